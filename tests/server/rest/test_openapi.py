"""The OpenAPI document against what the server takes and answers."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from google.rpc import error_details_pb2

from messages import message
from presence import present
from whybox import v1
from whybox.v1 import errors
from whybox_server.access.checking import Access
from whybox_server.gateway.parts import PARTS
from whybox_server.rest import json_schema
from whybox_server.rest.actions import ACTIONS
from whybox_server.rest.openapi import document

MODEL = "efficientnet-lite0"
URL = f"/v1/models/{MODEL}"
PICTURE: dict[str, Any] = {"content": b"picture", "headers": {"Content-Type": "image/png"}}
DOCUMENT = document(access=Access(None), max_image_bytes=100_000, max_timeout=120)


def validate(instance, schema):
    """Checks an instance against a schema that may point into the document."""
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(instance)


def resolve(node):
    while "$ref" in node:
        pointer, node = node["$ref"], DOCUMENT
        for key in pointer.removeprefix("#/").split("/"):
            node = node[key]
    return node


def nodes(node):
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


async def test_the_document_is_served(http):
    response = await http.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == json.loads(json.dumps(DOCUMENT))


def test_references_resolve_and_schemas_are_schemas():
    for node in nodes(DOCUMENT):
        if "$ref" in node:
            assert resolve(node)
    inline = [node["schema"] for node in nodes(DOCUMENT) if "schema" in node]
    for schema in (*DOCUMENT["components"]["schemas"].values(), *inline):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_operations_have_names_of_their_own():
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["responses"] for operation in operations)


def test_every_route_is_described(app):
    # The document and the documentation page do not describe themselves.
    unsaid = {"/openapi.json", "/docs", "/docs/start.js", "/docs/assets/{path}"}
    served = {route.path_format for route in app.routes}
    assert set(DOCUMENT["paths"]) == served - unsaid


def test_parameters_of_the_path_are_required():
    # OpenAPI demands it, and code generators refuse a document without it.
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            inside = [each for each in map(resolve, operation.get("parameters", ())) if each["in"] == "path"]
            assert {each["name"] for each in inside} == set(re.findall(r"{(\w+)}", path))
            assert all(each["required"] is True for each in inside)


@pytest.mark.parametrize("part", PARTS)
def test_every_field_of_a_part_can_be_asked_over_rest(part):
    described = present(v1.AnalyzeRequest.DESCRIPTOR.fields_by_name[part].message_type)
    # A class may also be named, which fills the field beside it.
    fields = {field.name for field in described.fields} - {"target_label", "contrast_label"}
    assert {option.field_name for option in PARTS[part].options.options} == fields


@pytest.mark.parametrize("action", ACTIONS)
def test_every_option_is_described_in_each_place(action):
    operation = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]
    names = {option.name for option in ACTIONS[action].options}
    assert {"version", "seed", "timeout"} < names
    assert {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "query"} == names
    content = operation["requestBody"]["content"]
    assert set(content) == {"image/*", "application/octet-stream", "multipart/form-data", "application/json"}
    pictures = {"image", "baseline_image"} if action in ("explain", "analyze") else {"image"}
    described = content["application/json"]["schema"]
    for schema in (
        content["multipart/form-data"]["schema"],
        described["oneOf"][0] if "oneOf" in described else described,
    ):
        assert set(schema["properties"]) == names | pictures
        assert all(field["description"] for field in schema["properties"].values())


OK = [
    ("/v1/models", "/v1/models"),
    (URL, "/v1/models/{model}"),
    ("/healthz", "/healthz"),
    ("/readyz", "/readyz"),
]


@pytest.mark.parametrize(("url", "path"), OK)
async def test_what_is_read_is_as_described(http, url, path):
    schema = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    validate((await http.get(url)).json(), schema)


async def test_not_ready_is_as_described(http, gateway):
    gateway.pools = {}
    schema = DOCUMENT["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
    validate((await http.get("/readyz")).json(), schema)


ANSWERS = {
    "explain": {"application/json", "image/png"},
    "robustness": {"application/json", "image/png"},
    "certify": {"application/json", "application/x-ndjson"},
    "analyze": {"application/json", "application/x-ndjson"},
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_bodies_may_be_compressed_as_described(http, action):
    parameters = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["parameters"]
    [described] = [parameter for parameter in parameters if parameter.get("name") == "Content-Encoding"]
    assert described["in"] == "header"
    compressed: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    assert described["schema"]["enum"] == [*compressed]
    for name, compress in compressed.items():
        headers = PICTURE["headers"] | {"Content-Encoding": name}
        response = await http.post(f"{URL}:{action}", content=compress(PICTURE["content"]), headers=headers)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_form_is_taken_as_it_is_described(http, action):
    """As generated clients send it: binary parts without a filename, every other part as text."""
    content = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["requestBody"]["content"]
    properties = content["multipart/form-data"]["schema"]["properties"]
    binary = {name for name, schema in properties.items() if schema.get("format") == "binary"}
    assert binary == {"image", *(option.name for option in ACTIONS[action].pictures)}
    parts = dict.fromkeys(binary, (None, b"picture", "application/octet-stream"))
    response = await http.post(f"{URL}:{action}", files=parts, data={"seed": "1", "timeout": "2.5"})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_kind_of_answer_is_described(http, gateway, action):
    gateway.parts = 1
    part: dict[str, Any] = {"explanations": [{"overlay": b"png"}]}
    if action == "robustness":
        part = {"robustness": {"distances": [{"adversarial_picture": b"png"}]}}
    gateway.answer = message(v1.AnalyzeResponse, **part)
    kinds = ANSWERS.get(action, {"application/json"})
    content = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["responses"]["200"]["content"]
    assert set(content) == kinds
    for kind in ("application/json", "application/x-ndjson", "image/png"):
        response = await http.post(f"{URL}:{action}", content=b"picture", headers=PICTURE["headers"] | {"Accept": kind})
        assert response.headers["content-type"] == (kind if kind in kinds else "application/json")


@pytest.mark.parametrize("answer", ["full", "empty"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_answers_are_as_described(http, gateway, action, answer):
    if answer == "empty":
        gateway.answer = v1.AnalyzeResponse()
    content = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["responses"]["200"]["content"]
    body = (await http.post(f"{URL}:{action}", **PICTURE)).json()
    validate(body, content["application/json"]["schema"])
    assert set(body) <= set(resolve(content["application/json"]["schema"])["properties"])


@pytest.mark.parametrize("action", ["certify", "analyze"])
async def test_lines_are_as_described(http, gateway, action):
    gateway.parts = 2
    content = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["responses"]["200"]["content"]
    schema = content["application/x-ndjson"]["schema"]["contentSchema"]
    headers = PICTURE["headers"] | {"Accept": "application/x-ndjson"}
    gateway.error = errors.DeadlineExceededError("late")
    response = await http.post(f"{URL}:{action}", content=b"picture", headers=headers)
    lines = response.text.splitlines()
    assert len(lines) == 3
    for line in lines:
        validate(json.loads(line), schema)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("m", field="top_k"),
        errors.NotFoundError("m"),
        errors.FailedPreconditionError("m"),
        errors.PictureTooLargeError("m"),
        errors.QuotaExceededError("m", retry_after=1),
        errors.InternalError("m"),
        errors.OverloadedError("m", retry_after=1),
        errors.DeadlineExceededError("m"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_problems_are_as_described(http, gateway, error):
    gateway.error = error
    response = await http.post(f"{URL}:predict", **PICTURE)
    responses = DOCUMENT["paths"]["/v1/models/{model}:predict"]["post"]["responses"]
    described = resolve(responses[str(response.status_code)])
    validate(response.json(), described["content"]["application/problem+json"]["schema"])
    assert ("Retry-After" in described["headers"]) == (error.retry_after is not None)


# Values for the class of an explanation; the last ones are wrong.
CLASSES: list[object] = [207, 207.0, "tench", [207, "tench"], None, "", 1.5, True, [None], [], [[]]]
IMAGE = {"image": "cGljdHVyZQ=="}


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("predict", {"top_k": 3, "seed": 1, "timeout": 2.5, "version": "1"}),
        ("predict", {"top_k": "3"}),
        ("predict", {"set_method": "aps", "set_alpha": 0.05}),
        ("predict", {"top_k": 3.5}),
        ("predict", {"top_k": 3.0}),
        ("predict", {"top_k": 1e2}),
        ("predict", {"top_k": 1e300}),
        ("predict", {"top_k": None, "seed": None, "timeout": None, "version": None}),
        ("predict", {"image": None}),
        ("predict", {"colour": None}),
        ("predict", {"colour": 1}),
        ("explain", {"method": "grad_cam"}),
        ("explain", {"method": ["grad_cam", "integrated_gradients"], "max_evaluations": 3}),
        ("explain", {"max_evaluations": 1.5}),
        ("explain", {"steps": 3}),
        *(("explain", {"target_class": value}) for value in CLASSES),
        *(("explain", {"contrast_class": value}) for value in (207, "tench", [207], "")),
        *(("explain", {"tolerance": value}) for value in (0, 0.05, 1, -0.1, 1.1, "x", [0])),
        *(("explain", {"baseline": value}) for value in ("blur", ["blur"], 1)),
        ("explain", {"encoding": ["uint8", "overlay"], "quality": "all", "channels": "none"}),
        ("explain", {"encodings": ["uint8"]}),
        ("explain", {"quality": ["all"] * 101}),
        ("explain", {"method": "m" * 1001}),
        ("explain", {"baseline_image": "cGljdHVyZQ=="}),
        ("explain", {"baseline_image": 3}),
        ("explain", {"baseline_image": None, "baseline": None, "method": None}),
        ("explain", {"max_evaluations": 0}),
        ("explain", {"max_evaluations": 10_001}),
        *(
            (action, {"baseline_image": "cGljdHVyZQ=="})
            for action in ("predict", "robustness", "bias", "certify", "analyze")
        ),
        ("explain", {"method": [1]}),
        ("explain", {"method": []}),
        ("robustness", {"budget": 30, "norm": ["linf"]}),
        ("robustness", {"budget": 1.5}),
        *(("robustness", {"transfer": value}) for value in (True, False, 1, "yes", [True])),
        *(("robustness", {"picture": value}) for value in ("change", ["adversarial", "change"], [], 1)),
        *(("robustness", {"corruption": value}) for value in ("all", ["noise", "fog"], None)),
        ("robustness", {"attack": "ddn", "twin": "grad_cam"}),
        ("robustness", {"attack": ["ddn"]}),
        ("robustness", {"encoding": ["adversarial"]}),
        ("bias", {"attribute": ["ball"]}),
        *(("certify", {"sigma": value}) for value in (0.25, 2, 0, -1, "x", True, None, [0.25])),
        *(("certify", {"sigma": 0.25, "alpha": value}) for value in (0.001, 0, "x")),
        *(("certify", {"sigma": 0.25, "samples": value}) for value in (100, 1.5, "x")),
        ("certify", {}),
        ("certify", {"top_k": 1}),
        ("analyze", {"sigma": 0.25, "samples": 100, "alpha": 0.01}),
        ("analyze", {"certified": {"sigma": 0.25, "samples": 100}}),
        ("analyze", {"certified": {"sigma": 0.25}, "samples": 100}),
        ("analyze", {"certified": {"noise": 0.25}}),
        ("analyze", {}),
        ("analyze", {"top_k": 1, "method": "grad_cam"}),
        ("analyze", {"encoding": "uint8", "picture": "change", "transfer": True, "corruption": "all"}),
        ("analyze", {"robustness": {"encodings": ["change"], "twin": "grad_cam", "transfer": True}}),
        ("analyze", {"prediction": {"top_k": 1}, "explanations": [{"method": "grad_cam"}], "seed": 3}),
        ("analyze", {"prediction": {"colour": 1}}),
        ("analyze", {"prediction": {"top_k": None}, "explanations": None, "seed": None, "timeout": None}),
        ("analyze", {"prediction": {"top_k": 3.0}, "model": None}),
        ("analyze", {"prediction": None, "bias": None}),
        ("analyze", {"prediction": None, "top_k": 1}),
        ("analyze", {"model": None}),
        ("analyze", {"explanations": [None]}),
        ("analyze", {"explanations": [{"method": "grad_cam", "tolerance": None, "encodings": [None]}]}),
        ("analyze", {"prediction": {}, "top_k": 1}),
        ("analyze", {"prediction": {}, "baseline_image": "cGljdHVyZQ=="}),
        ("analyze", {"explanations": [{"target_label": "tench", "baseline_image": "cGljdHVyZQ==", "tolerance": 0.5}]}),
        ("analyze", {"explanations": [{"dtype": "uint8"}]}),
        ("analyze", {"explanations": {}}),
    ],
)
async def test_the_server_takes_what_the_document_takes(http, action, body):
    """A number in a string is the one thing that the server forgives beyond the document."""
    content = DOCUMENT["paths"][f"/v1/models/{{model}}:{action}"]["post"]["requestBody"]["content"]
    try:
        validate(IMAGE | body, content["application/json"]["schema"])
        described = 200
    except jsonschema.ValidationError:
        described = 400
    response = await http.post(f"{URL}:{action}", json=IMAGE | body)
    assert response.status_code == (200 if body == {"top_k": "3"} else described)


def test_schemas_follow_the_json_mapping():
    schemas = json_schema.answer_schemas(
        (v1.AnalyzeResponse.DESCRIPTOR, v1.Work.DESCRIPTOR, error_details_pb2.RetryInfo.DESCRIPTOR)
    )
    tensor = schemas["whybox.v1.Tensor"]
    assert tensor["required"] == ["shape", "dtype", "data", "compression"]
    assert tensor["properties"]["data"] == {"type": "string", "contentEncoding": "base64"}
    assert schemas["whybox.v1.Receipt"]["properties"]["runtime"] == {
        "type": "object",
        "additionalProperties": {"type": "string"},
    }
    assert schemas["google.protobuf.Any"]["required"] == ["@type"]
    assert schemas["google.protobuf.Timestamp"]["format"] == "date-time"
    validate("1.500s", schemas["google.protobuf.Duration"])


def test_requests_need_nothing_and_allow_nothing_unknown():
    for schema in json_schema.request_schemas((v1.AnalyzeRequest.DESCRIPTOR,)).values():
        assert "required" not in schema
        assert schema["additionalProperties"] is False
