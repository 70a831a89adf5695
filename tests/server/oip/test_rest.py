"""What is particular to REST: probes, metadata, the form of bodies and of errors, and the document."""

import base64
import json
import re
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette

from server.conftest import MODEL, FakeGateway
from server.oip.conftest import CROP, scores

URL = f"/v2/models/{MODEL}"
INPUT = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(b"one").decode()]}
TENSORS = {
    "inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        {"name": "view", "datatype": "FP32", "shape": [-1, 3, CROP, CROP]},
    ],
    "outputs": [
        {"name": "classes", "datatype": "INT64", "shape": [-1, -1]},
        {"name": "labels", "datatype": "BYTES", "shape": [-1, -1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, -1]},
    ],
}
METADATA = {"name": MODEL, "versions": ["1"], "platform": "whybox", **TENSORS}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (f"{URL}/ready", {"name": MODEL, "ready": True}),
        (f"{URL}/versions/1/ready", {"name": MODEL, "ready": True}),
        (URL, METADATA),
        (f"{URL}/versions/1", METADATA),
    ],
)
async def test_what_is_read(http: httpx.AsyncClient, path: str, answer: dict[str, Any]) -> None:
    response = await http.get(path)
    assert (response.status_code, response.json()) == (200, answer)
    assert response.headers["x-request-id"]


async def test_the_server(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v2")).json()
    assert re.fullmatch(r"\d+\.\d+\.\d+", answer.pop("version"))
    assert answer == {"name": "whybox", "extensions": ["binary_tensor_data", "classification"]}


async def test_while_one_model_loads(http: httpx.AsyncClient, gateway: FakeGateway) -> None:
    gateway.pools = {
        MODEL: {"1": {"predict": "ready", "analyze": "ready"}},
        "other": {"1": {"predict": "loading"}},
    }
    found = {
        path: (await http.get(path)).status_code for path in ("/v2/health/live", "/v2/health/ready", f"{URL}/ready")
    }
    assert list(found.values()) == [200, 503, 200]
    gateway.pools[MODEL]["1"]["predict"] = "loading"
    response = await http.get(f"{URL}/ready")
    assert (response.status_code, response.json()) == (503, {"name": MODEL, "ready": False})


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v2/models/other", 404, "There is no model 'other'"),
        ("GET", f"{URL}/versions/2/ready", 404, "of version '2'"),
        ("GET", f"{URL}/infer", 405, "does not take GET"),
        ("POST", f"{URL}/infer?top_k=3", 400, "unknown option 'top_k'; known here: timeout"),
        ("POST", f"{URL}/infer?timeout=0", 400, "timeout must be"),
        ("GET", f"{URL}?version=1", 400, "unknown option 'version'"),
        ("POST", f"{URL}/infer", 400, "a request has exactly one of the inputs image, pixels, view, not 0"),
    ],
)
async def test_errors_have_the_form_of_the_protocol(
    http: httpx.AsyncClient, method: str, path: str, status: int, message: str
) -> None:
    response = await http.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]
    assert response.headers["x-request-id"]


def raw(body: dict[str, Any], behind: bytes, length: str | None = None) -> dict[str, Any]:
    text = json.dumps(body).encode()
    headers = {"inference-header-content-length": length or str(len(text)), "content-type": "application/octet-stream"}
    return {"content": text + behind, "headers": headers}


SIZED = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 7}}
BEHIND = b"\3\0\0\0one"


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"inputs": [INPUT]}},
        {"json": {"inputs": [INPUT | {"data": INPUT["data"][0]}]}},
        {"json": {"inputs": [INPUT], "id": None, "outputs": None, "parameters": None}},
        {"json": {"model_name": MODEL, "model_version": "1", "inputs": [INPUT | {"parameters": {}}]}},
        {"content": json.dumps({"inputs": [INPUT]})},
        raw({"inputs": [SIZED]}, BEHIND),
    ],
)
async def test_bodies_that_mean_the_same(http: httpx.AsyncClient, gateway: FakeGateway, sent: dict[str, Any]) -> None:
    response = await http.post(f"{URL}/infer", **sent)
    assert response.status_code == 200
    assert [request.image for request in gateway.requests] == [b"one"]
    assert response.json()["outputs"][0]["data"] == [score.index for score in scores(b"one", 5)]


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not valid JSON"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "Content-Type text/plain is not underst"),
        ({"content": b"x", "headers": {"content-encoding": "br"}}, 415, "Content-Encoding br"),
        ({"json": []}, 400, "must be a JSON object"),
        ({"json": {"input": []}}, 400, "unknown field 'input' in the body"),
        ({"json": {"inputs": {}}}, 400, "inputs must be an array"),
        ({"json": {"inputs": [1]}}, 400, "inputs[0] must be a JSON object"),
        ({"json": {"inputs": [INPUT, INPUT]}}, 400, "exactly one"),
        ({"json": {"inputs": [INPUT], "model_name": "other"}}, 400, "model_name differs"),
        ({"json": {"inputs": [INPUT], "id": 3}}, 400, "id must be a string"),
        ({"json": {"inputs": [INPUT | {"name": 3}]}}, 400, "name of inputs[0] must be a string"),
        ({"json": {"inputs": [INPUT | {"shape": 3}]}}, 400, "the shape of image is no list"),
        ({"json": {"inputs": [INPUT | {"shape": [True]}]}}, 400, "the shape of image is no list"),
        ({"json": {"inputs": [INPUT | {"data": ["/9j/*"]}]}}, 400, "image[0]"),
        ({"json": {"inputs": [INPUT | {"parameters": {"a": 1}}]}}, 400, "unknown parameter 'a'"),
        ({"json": {"inputs": [INPUT], "parameters": {"binary_data_output": "yes"}}}, 400, "binary_data_output must be"),
        ({"json": {"inputs": [INPUT], "outputs": [{}]}}, 400, "name of outputs[0] must be a string"),
        ({"json": {"inputs": [SIZED]}}, 400, "binary_data_size of image is 7, but 0 bytes follow"),
        (raw({"inputs": [SIZED]}, BEHIND + b"x"), 400, "binary_data_size of image is 7, but 8 bytes follow"),
        (raw({"inputs": [INPUT]}, b"x"), 400, "but 1 bytes follow"),
        (raw({"inputs": [SIZED | {"data": []}]}, BEHIND), 400, "either as data, or behind"),
        (raw({"inputs": [SIZED]}, b"\4\0\0\0one"), 400, "the bytes of image end within an element"),
        (raw({"inputs": [SIZED]}, BEHIND, "9999"), 400, "must be the number of bytes of the JSON"),
        (raw({"inputs": [SIZED]}, BEHIND, "-1"), 400, "must be the number of bytes of the JSON"),
        *(
            (
                {"json": {"inputs": [{"name": name, "datatype": kind, "shape": [1, 1, 1, 3], "data": data}]}},
                400,
                message,
            )
            for name, kind, data, message in (
                ("pixels", "UINT8", [0, 0, 256], "no numbers of UINT8"),
                ("pixels", "UINT8", [0, 0, -1], "no numbers of UINT8"),
                ("pixels", "UINT8", [0, 0, 1.5], "no numbers of UINT8"),
                ("pixels", "UINT8", [[0, 0], 1], "no numbers of UINT8"),
                ("pixels", "UINT8", ["a", "b", "c"], "no numbers of UINT8"),
                ("pixels", "UINT8", [0, 0, 10**30], "no numbers of UINT8"),
                ("pixels", "UINT8", None, "no numbers of UINT8"),
                ("view", "FP32", [0, 0, "1"], "no numbers of FP32"),
                ("view", "FP32", [0, 0, 1e300], r"view has the shape"),
            )
        ),
    ],
)
async def test_bodies_that_mean_nothing(
    http: httpx.AsyncClient, gateway: FakeGateway, sent: dict[str, Any], status: int, message: str
) -> None:
    response = await http.post(f"{URL}/infer", **sent)
    assert (response.status_code, message in response.json()["error"]) == (status, True), response.text
    assert gateway.requests == []


async def test_raw_outputs_one_by_one(http: httpx.AsyncClient) -> None:
    outputs = [{"name": "labels"}, {"name": "classes", "parameters": {"binary_data": True}}]
    response = await http.post(f"{URL}/infer", json={"inputs": [INPUT], "outputs": outputs})
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    labels, classes = json.loads(response.content[:length])["outputs"]
    assert labels["data"] == [score.label for score in scores(b"one", 5)]
    assert classes["parameters"] == {"binary_data_size": 40}
    assert response.content[length:] == b"".join(score.index.to_bytes(8, "little") for score in scores(b"one", 5))


async def test_only_the_api_is_counted(http: httpx.AsyncClient, samples: Any) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", f"{URL}/ready"):
        await http.get(path)
    await http.get(URL)
    await http.post(f"{URL}/infer", json={"inputs": [INPUT]})
    await http.post("/v2/models/other/infer", json={})
    counted = samples("whybox_requests_total")
    assert {(re.findall('"(.*?)"', labels)[0], re.findall('route="(.*?)"', labels)[0]) for labels in counted} == {
        ("OK", "/v2/models/{model}"),
        ("OK", "/v2/models/{model}/infer"),
        ("NOT_FOUND", "/v2/models/{model}/infer"),
    }


async def test_the_document(http: httpx.AsyncClient, app: Starlette) -> None:
    document = (await http.get("/openapi.json")).json()
    served = {path for path in (getattr(route, "path_format", "") for route in app.routes) if path.startswith("/v2")}
    assert served == {path for path in document["paths"] if path.startswith("/v2")}

    def check(instance: Any, path: str, method: str, status: int) -> None:
        response = document["paths"][path][method]["responses"][str(status)]
        schema = response["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(instance)

    template = "/v2/models/{model}"
    for path, described in {"/v2": "/v2", URL: template, f"{URL}/ready": f"{template}/ready"}.items():
        check((await http.get(path)).json(), described, "get", 200)
    body = {
        "inputs": [INPUT],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
        "id": "mine",
    }
    schema = document["paths"][f"{template}/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(schema).validate(body)
    check((await http.post(f"{URL}/infer", json=body)).json(), f"{template}/infer", "post", 200)
    check((await http.post(f"{URL}/infer", json={})).json(), f"{template}/infer", "post", 400)
