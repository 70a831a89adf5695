import asyncio
import base64
import json
import logging
import re

import httpx
import pytest
from google.protobuf import json_format

from whybox import v1
from whybox.v1 import errors
from whybox_server.explanation_options import MAX_BASELINE_BYTES
from whybox_server.validation import MAX_EXPLANATIONS

MODEL = "efficientnet-lite0"
PICTURE = b"\xff\xd8\xff\xe0 not really a JPEG"
BASE64 = base64.b64encode(PICTURE).decode()
URL = f"/v1/models/{MODEL}"


def request(**parts):
    return json_format.ParseDict({"model": MODEL, "image": BASE64, **parts}, v1.AnalyzeRequest())


GRAD_CAM = {"explanations": [{"method": "grad_cam"}]}
ALL_PARTS = {"prediction": {}, **GRAD_CAM, "robustness": {}, "bias": {}}

# action, options as they are sent, the request that they mean
MEANINGS = [
    ("predict", [], {"prediction": {}}),
    ("predict", [("top_k", "3")], {"prediction": {"top_k": 3}}),
    ("predict", [("top_k", "-3")], {"prediction": {"top_k": -3}}),
    ("predict", [("version", "1"), ("seed", "4294967295")], {"prediction": {}, "version": "1", "seed": 4294967295}),
    ("explain", [], GRAD_CAM),
    (
        "explain",
        [("method", "grad_cam"), ("method", "saliency"), ("target_class", "0"), ("target_class", "tiger cat")],
        {
            "explanations": [
                {"method": "grad_cam", "target_class": 0},
                {"method": "grad_cam", "target_label": "tiger cat"},
                {"method": "saliency", "target_class": 0},
                {"method": "saliency", "target_label": "tiger cat"},
            ]
        },
    ),
    (
        "explain",
        [("target_class", "-1"), ("contrast_class", "207")],
        {"explanations": [{"method": "grad_cam", "target_class": -1, "contrast_class": 207}]},
    ),
    (
        "explain",
        [("target_class", "007"), ("contrast_class", "7up")],
        {"explanations": [{"method": "grad_cam", "target_class": 7, "contrast_label": "7up"}]},
    ),
    (
        "explain",
        [
            *(
                ("method", "integrated_gradients"),
                ("baseline", "blur"),
                ("max_evaluations", "20"),
                ("tolerance", "0.05"),
            ),
            *(("encoding", "float16"), ("encoding", "overlay"), ("channels", "none"), ("quality", "all")),
        ],
        {
            "explanations": [
                {
                    "method": "integrated_gradients",
                    "baseline": "blur",
                    "max_evaluations": 20,
                    "tolerance": 0.05,
                    "encodings": ["float16", "overlay"],
                    "channels": "none",
                    "quality": ["all"],
                }
            ]
        },
    ),
    ("explain", [("tolerance", "0")], {"explanations": [{"method": "grad_cam", "tolerance": 0.0}]}),
    ("explain", [("tolerance", "1e-3")], {"explanations": [{"method": "grad_cam", "tolerance": 0.001}]}),
    (
        "explain",
        [("quality", "stability"), ("quality", "deletion"), ("encoding", "heat_map")],
        {"explanations": [{"method": "grad_cam", "quality": ["stability", "deletion"], "encodings": ["heat_map"]}]},
    ),
    ("robustness", [], {"robustness": {}}),
    (
        "robustness",
        [("norm", "linf"), ("norm", "l2"), ("budget", "30")],
        {"robustness": {"norms": ["linf", "l2"], "budget": "30"}},
    ),
    ("bias", [], {"bias": {}}),
    ("bias", [("attribute", "ball")], {"bias": {"attributes": ["ball"]}}),
    ("analyze", [], ALL_PARTS),
    (
        "analyze",
        [("top_k", "1"), ("method", "saliency"), ("norm", "l2"), ("attribute", "ball"), ("budget", "fast")],
        {
            "prediction": {"top_k": 1},
            "explanations": [{"method": "saliency"}],
            "robustness": {"norms": ["l2"], "budget": "fast"},
            "bias": {"attributes": ["ball"]},
        },
    ),
]


def as_json(options):
    """The options as somebody who writes JSON writes them."""
    fields = {}
    for name, value in options:
        if name == "tolerance":
            value = float(value)
        elif re.fullmatch("-?[0-9]+", value) and name != "version":
            value = int(value)
        fields.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


WAYS = {
    "raw": lambda options: {"content": PICTURE, "headers": {"Content-Type": "image/jpeg"}, "params": options},
    "octets": lambda options: {
        "content": PICTURE,
        "headers": {"Content-Type": "application/octet-stream"},
        "params": options,
    },
    "form": lambda options: {
        "files": {"image": ("a.jpg", PICTURE, "image/jpeg")},
        "data": {name: [v for n, v in options if n == name] for name, _ in options},
    },
    "form+query": lambda options: {"files": {"image": ("a.jpg", PICTURE, "image/jpeg")}, "params": options},
    "json": lambda options: {"json": {"image": BASE64, **as_json(options)}},
    "json+query": lambda options: {"json": {"image": BASE64}, "params": options},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("action", "options", "meaning"), MEANINGS)
async def test_every_way_to_send_means_the_same(http, gateway, way, action, options, meaning):
    response = await http.post(f"{URL}:{action}", **WAYS[way](options))
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**meaning)]


BASELINE = b"\x89PNG not really a PNG"
BASELINE64 = base64.b64encode(BASELINE).decode()
FILES = {"image": ("a.jpg", PICTURE, "image/jpeg"), "baseline_image": ("b.png", BASELINE, "image/png")}
WITH_BASELINE = {"form": {"files": FILES}, "json": {"json": {"image": BASE64, "baseline_image": BASELINE64}}}
TWO_METHODS = ["integrated_gradients", "occlusion"]
TWO_MAPS = {"explanations": [{"method": method, "baseline_image": BASELINE64} for method in TWO_METHODS]}


@pytest.mark.parametrize("sent", WITH_BASELINE.values(), ids=WITH_BASELINE)
@pytest.mark.parametrize(("action", "meaning"), [("explain", TWO_MAPS), ("analyze", ALL_PARTS | TWO_MAPS)])
async def test_a_baseline_of_your_own_is_for_every_map(http, gateway, sent, action, meaning):
    response = await http.post(f"{URL}:{action}", **sent, params={"method": TWO_METHODS})
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**meaning)]


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"image": FILES["image"], "baseline_image": ("b.png", b"")}},
        {"json": {"image": BASE64, "baseline_image": ""}},
    ],
    ids=["form", "json"],
)
@pytest.mark.parametrize(("action", "meaning"), [("explain", GRAD_CAM), ("predict", {"prediction": {}})])
async def test_no_baseline_is_left_empty(http, gateway, sent, action, meaning):
    """As a browser sends a form whose file was not chosen."""
    response = await http.post(f"{URL}:{action}", **sent)
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**meaning)]


async def test_the_answer_is_the_message_in_json(http, gateway):
    response = await http.post(f"{URL}:analyze", **WAYS["raw"]([]))
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    # SerializeToString, because NaN is not equal to itself.
    parsed = json_format.ParseDict(body, v1.AnalyzeResponse())
    assert parsed.SerializeToString(deterministic=True) == gateway.answer.SerializeToString(deterministic=True)
    assert body["explanations"][0]["convergence_delta"] == "NaN"
    assert body["robustness"]["distances"][0]["gradient_evaluations"] == 0
    assert "baseline_logit" not in body["explanations"][0]


@pytest.mark.parametrize(
    ("params", "seconds"),
    [({}, 30.0), ({"timeout": "2.5"}, 2.5), ({"timeout": "1e2"}, 100.0), ({"timeout": "500"}, 120.0)],
)
async def test_the_timeout_has_a_default_and_a_limit(http, gateway, params, seconds):
    await http.post(f"{URL}:predict", **WAYS["raw"](params))
    assert gateway.timeouts == [seconds]


PARTS = {
    "prediction": {"top_k": 2},
    "explanations": [
        {"method": "grad_cam", "target_label": "tench", "contrast_class": 3, "quality": ["stability"]},
        {"method": "saliency", "encodings": ["float16"], "baseline_image": BASE64, "tolerance": 0.0},
    ],
}


@pytest.mark.parametrize("more", [{}, {"model": MODEL}, {"seed": 7, "version": "1"}])
async def test_analyze_takes_the_parts_of_the_message(http, gateway, more):
    response = await http.post(f"{URL}:analyze", json={"image": BASE64, **PARTS, **more})
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**PARTS, **more)]


JSON = {"Content-Type": "application/json"}
RAW = {"content": PICTURE, "headers": {"Content-Type": "image/png"}}


# action, what is sent, status, field, what the detail says
@pytest.mark.parametrize(
    ("action", "sent", "status", "field", "says"),
    [
        # options
        ("predict", RAW | {"params": {"topk": 3}}, 400, "topk", "seed, timeout, top_k, version"),
        ("predict", RAW | {"params": {"method": "grad_cam"}}, 400, "method", "Unknown option"),
        ("predict", RAW | {"params": {"top_k": "five"}}, 400, "top_k", "integer"),
        ("predict", RAW | {"params": {"top_k": ""}}, 400, "top_k", "integer"),
        ("predict", RAW | {"params": {"top_k": "2147483648"}}, 400, "top_k", "2147483647"),
        ("predict", RAW | {"params": {"top_k": "1_0"}}, 400, "top_k", "integer"),
        ("predict", RAW | {"params": {"seed": "-1"}}, 400, "seed", "from 0 to 4294967295"),
        ("predict", RAW | {"params": {"top_k": [1, 2]}}, 400, "top_k", "given twice"),
        ("predict", RAW | {"params": {"timeout": "0"}}, 400, "timeout", "above 0"),
        ("predict", RAW | {"params": {"timeout": "nan"}}, 400, "timeout", "above 0"),
        ("predict", RAW | {"params": {"timeout": "-1"}}, 400, "timeout", "above 0"),
        ("explain", RAW | {"params": {"steps": "20"}}, 400, "steps", "Unknown option"),
        ("explain", RAW | {"params": {"dtype": "uint8"}}, 400, "dtype", "encoding"),
        ("explain", RAW | {"params": {"target_class": ""}}, 400, "target_class", "index or the name"),
        ("explain", RAW | {"params": {"target_class": ["cat", ""]}}, 400, "target_class", "index or the name"),
        ("explain", RAW | {"params": {"target_class": "2147483648"}}, 400, "target_class", "2147483647"),
        ("explain", RAW | {"params": {"target_class": "1" * 20}}, 400, "target_class", "integer"),
        ("explain", RAW | {"params": {"contrast_class": ["1", "2"]}}, 400, "contrast_class", "given twice"),
        ("explain", RAW | {"params": {"baseline": ["black", "grey"]}}, 400, "baseline", "given twice"),
        ("explain", RAW | {"params": {"max_evaluations": "1.5"}}, 400, "max_evaluations", "integer"),
        *(
            ("explain", RAW | {"params": {"tolerance": value}}, 400, "tolerance", "from 0 to 1")
            for value in ("", "-0.1", "1.1", "nan", "inf", "5%", "1e999")
        ),
        ("explain", RAW | {"params": {"baseline_image": BASE64}}, 400, "baseline_image", "Unknown option"),
        ("explain", RAW | {"params": {"method": "m" * 1001}}, 400, "method", "at most 1000 characters"),
        ("explain", RAW | {"params": {"quality": ["all"] * 101}}, 400, "quality", "at most 100 values"),
        (
            "explain",
            RAW | {"params": {"method": ["a", "b"], "target_class": [*range(9)]}},
            400,
            "explanations",
            "18 explanations are too many",
        ),
        *(
            (action, RAW | {"params": {name: "1"}}, 400, name, "Unknown option")
            for action in ("predict", "robustness", "bias")
            for name in (
                "target_class",
                "contrast_class",
                "baseline",
                "max_evaluations",
                "tolerance",
                "encoding",
                "quality",
            )
        ),
        ("bias", RAW | {"params": {"top_k": "1"}}, 400, "top_k", "Unknown option"),
        # options in JSON
        ("predict", {"json": {"image": BASE64, "top_k": 1.5}}, 400, "top_k", "integer"),
        ("predict", {"json": {"image": BASE64, "top_k": True}}, 400, "top_k", "integer"),
        ("predict", {"json": {"image": BASE64, "top_k": None}}, 400, "top_k", "integer"),
        *(
            ("explain", {"json": {"image": BASE64, name: [1]}}, 400, name, "must be")
            for name in ("version", "seed", "timeout", "contrast_class", "baseline", "tolerance", "channels")
        ),
        ("predict", {"json": {"image": BASE64, "version": 1}}, 400, "version", "string"),
        ("predict", {"json": {"image": BASE64, "timeout": "soon"}}, 400, "timeout", "number"),
        ("predict", {"json": {"image": BASE64, "model": MODEL}}, 400, "model", "Unknown option"),
        ("explain", {"json": {"image": BASE64, "method": [3]}}, 400, "method", "string"),
        ("explain", {"json": {"image": BASE64, "method": []}}, 400, "method", "string"),
        ("explain", {"json": {"image": BASE64, "channels": "\ud800"}}, 400, "channels", "Unicode"),
        *(
            ("explain", {"json": {"image": BASE64, "target_class": value}}, 400, "target_class", "index or the name")
            for value in (True, None, 1.5, [], [1, True], {}, "")
        ),
        ("explain", {"json": {"image": BASE64, "target_class": "\ud800"}}, 400, "target_class", "Unicode"),
        *(
            ("explain", {"json": {"image": BASE64, "tolerance": value}}, 400, "tolerance", "from 0 to 1")
            for value in (True, None, -0.1, 2, 10**400, [])
        ),
        ("explain", {"json": {"image": BASE64, "encodings": ["uint8"]}}, 400, "encodings", "encoding"),
        # baselines
        *(
            (action, sent, 400, "baseline_image", f"{action} takes no baseline_image")
            for action in ("predict", "robustness", "bias")
            for sent in WITH_BASELINE.values()
        ),
        ("explain", {"json": {"image": BASE64, "baseline_image": 3}}, 400, "baseline_image", "string in base64"),
        ("explain", {"json": {"image": BASE64, "baseline_image": None}}, 400, "baseline_image", "string in base64"),
        ("explain", {"json": {"image": BASE64, "baseline_image": "%%%"}}, 400, "baseline_image", "not valid base64"),
        ("explain", {"json": {"baseline_image": BASE64}}, 400, "image", "no picture"),
        ("explain", {"files": {"baseline_image": FILES["baseline_image"]}}, 400, "image", "no picture"),
        ("explain", {"files": FILES | {"baseline_image": (None, "black")}}, 400, "baseline_image", "must be a file"),
        (
            "explain",
            {"files": [("image", ("a", PICTURE)), *[("baseline_image", ("b", BASELINE))] * 2]},
            400,
            None,
            "Too many files",
        ),
        ("explain", {"files": [("baseline_image", ("b", BASELINE))] * 2}, 400, "baseline_image", "given twice"),
        (
            "analyze",
            {"json": {"image": BASE64, "baseline_image": BASELINE64, **PARTS}},
            400,
            "baseline_image",
            "inside of the part",
        ),
        ("robustness", {"json": {"image": BASE64, "budget": True}}, 400, "budget", "string"),
        # in two places
        ("predict", {"json": {"image": BASE64, "top_k": 1}, "params": {"top_k": 1}}, 400, "top_k", "given twice"),
        ("explain", {"json": {"image": BASE64, "method": "a"}, "params": {"method": "b"}}, 400, "method", "twice"),
        (
            "predict",
            {"files": {"image": ("a", PICTURE)}, "data": {"seed": "1"}, "params": {"seed": "1"}},
            400,
            "seed",
            "given twice",
        ),
        (
            "predict",
            {"content": f'{{"image":"{BASE64}","seed":1,"seed":2}}', "headers": JSON},
            400,
            "seed",
            "given twice",
        ),
        # parts
        ("analyze", {"json": {"image": BASE64, **PARTS, "top_k": 1}}, 400, "top_k", "cannot be combined"),
        ("analyze", {"json": {"image": BASE64, **PARTS}, "params": {"norm": "l2"}}, 400, "norm", "cannot be combined"),
        ("analyze", {"json": {"image": BASE64, **PARTS, "model": "other"}}, 400, "model", "differs"),
        ("analyze", {"json": {"image": BASE64, "prediction": {"topk": 1}}}, 400, "prediction", "topk"),
        ("analyze", {"json": {"image": BASE64, "explanations": {}}}, 400, "explanations", "understood"),
        ("analyze", {"json": {"image": BASE64, "bias": {"attributes": ["\ud800"]}}}, 400, "bias", "understood"),
        ("analyze", {"json": {"image": BASE64, **PARTS, "colour": 1}}, 400, "colour", "Unknown option"),
        ("predict", {"json": {"image": BASE64, "prediction": {}}}, 400, "prediction", "Unknown option"),
        # pictures
        ("predict", {}, 400, "image", "multipart/form-data"),
        ("predict", {"content": b"", "headers": {"Content-Type": "image/png"}}, 400, "image", "no picture"),
        ("predict", {"content": b"", "headers": JSON}, 400, "image", "no picture"),
        ("predict", {"json": {"top_k": 1}}, 400, "image", "no picture"),
        ("predict", {"files": {"image": ("a.jpg", b"")}}, 400, "image", "no picture"),
        ("predict", {"json": {"image": 3}}, 400, "image", "string"),
        ("predict", {"json": {"image": "%%%"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": BASE64.rstrip("=") + "\n"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": "data:image/png;base64," + BASE64}}, 400, "image", "base64"),
        ("predict", {"json": {"image": "ä"}}, 400, "image", "base64"),
        ("predict", {"files": {"image": (None, "text")}}, 400, "image", "file"),
        ("predict", {"files": {"photo": ("a.jpg", PICTURE)}}, 400, "photo", "files are image and baseline_image"),
        ("predict", {"files": [("image", ("a", PICTURE)), ("image", ("b", PICTURE))]}, 400, "image", "given twice"),
        ("predict", {"files": [("image", ("a", PICTURE))] * 3}, 400, None, "Too many files"),
        # bodies
        ("predict", {"content": b"{", "headers": JSON}, 400, None, "not valid JSON"),
        ("predict", {"content": b"\xff", "headers": JSON}, 400, None, "not valid JSON"),
        ("predict", {"content": b"[" * 60_000, "headers": JSON}, 400, None, "nested"),
        ("predict", {"content": b'{"timeout": NaN}', "headers": JSON}, 400, None, "NaN"),
        ("predict", {"content": b"[]", "headers": JSON}, 400, None, "object"),
        ("predict", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, None, "boundary"),
        ("predict", {"content": PICTURE}, 415, "image", "without a Content-Type"),
        ("predict", {"data": {"image": "x"}}, 415, "image", "application/x-www-form-urlencoded"),
        ("predict", {"content": PICTURE, "headers": {"Content-Type": "text/plain"}}, 415, "image", "text/plain"),
    ],
)
async def test_what_cannot_be_understood_is_named(http, gateway, action, sent, status, field, says):
    sent = dict(sent)
    if "json" in sent:
        # httpx would not escape half of a surrogate pair.
        sent["content"] = json.dumps(sent.pop("json"))
        sent["headers"] = JSON
    response = await http.post(f"{URL}:{action}", **sent)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "INVALID_ARGUMENT"
    assert [error["field"] for error in problem.get("errors", ())] == ([field] if field else [])
    assert says in problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert gateway.requests == []


LIMIT = 100_000
PADDED = base64.b64encode(bytes(LIMIT + 1)).decode()


async def chunks(count):
    for _ in range(count):
        yield bytes(1000)


@pytest.mark.parametrize(
    "sent",
    [
        {"content": bytes(LIMIT + 1), "headers": {"Content-Type": "image/png"}},
        {"content": chunks(101), "headers": {"Content-Type": "image/png"}},
        {"content": bytes(LIMIT + 1)},
        {"json": {"image": PADDED}},
        {"json": {"image": base64.b64encode(bytes(5 * LIMIT)).decode()}},
        {"files": {"image": ("a", bytes(LIMIT + 1))}},
        {"files": {"image": ("a", bytes(5 * LIMIT))}},
    ],
    ids=["declared", "chunked", "no type", "json", "larger json", "form", "larger form"],
)
async def test_a_picture_that_is_too_large_is_refused(http, gateway, sent):
    response = await http.post(f"{URL}:predict", **sent)
    problem = response.json()
    assert (response.status_code, problem["reason"]) == (413, "PICTURE_TOO_LARGE")
    assert [error["field"] for error in problem["errors"]] == ["image"]
    assert gateway.requests == []


# A little more than the largest form and the largest JSON.
FORM_TOO_LARGE = LIMIT + MAX_BASELINE_BYTES + 2**20 + 1
JSON_TOO_LARGE = (LIMIT + 16 * MAX_BASELINE_BYTES) * 4 // 3 + 2**20 + 100


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"image": BASE64, "colour": "x" * JSON_TOO_LARGE}},
        {"json": {"image": BASE64, "baseline_image": "A" * JSON_TOO_LARGE}},
        {"json": {"image": "A" * JSON_TOO_LARGE}},
        {"files": FILES | {"baseline_image": ("b", bytes(FORM_TOO_LARGE))}},
        {"files": {"image": ("a", bytes(FORM_TOO_LARGE))}},
    ],
    ids=["json", "json baseline", "json picture", "form baseline", "form picture"],
)
async def test_a_body_that_is_too_large_tells_what_it_may_hold(http, gateway, sent):
    response = await http.post(f"{URL}:explain", **sent)
    problem = response.json()
    assert (response.status_code, problem["reason"]) == (413, "BODY_TOO_LARGE")
    # It was not read: nobody knows which of them is too large.
    assert "errors" not in problem
    assert f"a picture of at most {LIMIT}, baselines of at most {MAX_BASELINE_BYTES} each" in problem["detail"]
    assert gateway.requests == []


async def test_every_map_can_have_the_largest_baseline(http, gateway):
    largest = base64.b64encode(bytes(MAX_BASELINE_BYTES)).decode()
    picture = base64.b64encode(bytes(LIMIT)).decode()
    maps = [{"method": "occlusion", "baseline_image": largest}] * MAX_EXPLANATIONS
    response = await http.post(f"{URL}:analyze", json={"image": picture, "explanations": maps})
    assert response.status_code == 200, response.text
    [asked] = gateway.requests
    assert [len(options.baseline_image) for options in asked.explanations] == [MAX_BASELINE_BYTES] * MAX_EXPLANATIONS
    form = {"image": ("a", bytes(LIMIT)), "baseline_image": ("b", bytes(MAX_BASELINE_BYTES))}
    response = await http.post(f"{URL}:explain", files=form, data={"method": ["m" * 1000] * MAX_EXPLANATIONS})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("place", ["query", "form", "json"])
async def test_few_bytes_cannot_ask_for_more_maps_than_memory_holds(http, gateway, place):
    many = {"method": ["m"] * 49, "target_class": [7] * 49}
    baseline = bytes(MAX_BASELINE_BYTES)
    files = FILES | {"baseline_image": ("b", baseline)}
    sent = {
        "query": {"files": files, "params": many},
        "form": {"files": files, "data": many},
        "json": {"json": {"image": BASE64, "baseline_image": base64.b64encode(baseline).decode(), **many}},
    }
    response = await http.post(f"{URL}:explain", **sent[place])
    assert response.status_code == 400
    assert "2401 explanations are too many for one request; ask for 16" in response.json()["detail"]
    assert gateway.requests == []


@pytest.mark.parametrize(
    "sent",
    [
        {"content": bytes(LIMIT), "headers": {"Content-Type": "image/png"}},
        {"content": chunks(100), "headers": {"Content-Type": "image/png"}},
        {"json": {"image": base64.b64encode(bytes(LIMIT)).decode()}},
        {"files": {"image": ("a", bytes(LIMIT))}},
    ],
    ids=["declared", "chunked", "json", "form"],
)
async def test_a_picture_of_the_largest_size_is_taken(http, gateway, sent):
    assert (await http.post(f"{URL}:predict", **sent)).status_code == 200
    assert len(gateway.requests[0].image) == LIMIT


async def test_no_more_is_read_than_is_allowed(app):
    """The body is refused while it arrives, or before where it declares its size."""
    for headers, most in ([], 101), ([(b"content-length", b"200000")], 0):
        read = 0

        async def receive():
            nonlocal read
            read += 1
            return {"type": "http.request", "body": bytes(1000), "more_body": True}

        sent = []

        async def send(message, sent=sent):
            sent.append(message)

        await app(scope(":predict", [(b"content-type", b"image/png"), *headers]), receive, send)
        assert sent[0]["status"] == 413
        assert read == most


def scope(action, headers=()):
    path = URL + action
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers],
        "root_path": "",
    }


class HangingUp:
    """A caller that sends a request, and hangs up when told to."""

    def __init__(self):
        self.hangup = asyncio.Event()
        self.messages = [{"type": "http.request", "body": PICTURE, "more_body": False}]
        self.received = []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.hangup.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.received.append(message)


@pytest.mark.parametrize(
    ("action", "accept", "parts"),
    [(":predict", b"*/*", 0), (":analyze", b"application/x-ndjson", 0), (":analyze", b"application/x-ndjson", 2)],
    ids=["plain", "stream", "begun stream"],
)
async def test_hanging_up_cancels_the_work(app, gateway, samples, action, accept, parts):
    gateway.waits, gateway.parts = True, parts
    caller = HangingUp()
    headers = [(b"content-type", b"image/png"), (b"accept", accept)]
    answering = asyncio.create_task(app(scope(action, headers), caller.receive, caller.send))
    await gateway.started.wait()
    assert not gateway.cancelled.is_set()
    caller.hangup.set()
    await asyncio.wait_for(answering, 5)
    assert gateway.cancelled.is_set()
    [labels] = samples("whybox_requests_total")
    assert 'code="CANCELLED"' in labels
    assert list(samples("whybox_requests_in_flight").values()) == [0]


async def test_hanging_up_while_sending_ends_the_request(app, gateway, caplog):
    caller = HangingUp()
    caller.messages[0]["more_body"] = True
    caller.hangup.set()
    await app(scope(":predict", [(b"content-type", b"image/png")]), caller.receive, caller.send)
    assert caller.received[0]["status"] == 499
    assert gateway.requests == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_cancelling_the_server_cancels_the_work(app, gateway):
    gateway.waits = True
    caller = HangingUp()
    answering = asyncio.create_task(
        app(scope(":predict", [(b"content-type", b"image/png")]), caller.receive, caller.send)
    )
    await gateway.started.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert gateway.cancelled.is_set()


NDJSON = {"Accept": "application/x-ndjson", "Content-Type": "image/png"}


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/json;q=0.5, Application/X-NDJSON;q=1"])
async def test_analyze_streams_a_line_per_part(http, gateway, accept):
    gateway.parts = 3
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON | {"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in response.headers
    lines = response.text.splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["id-1"] * 3
    assert gateway.requests == [request(**ALL_PARTS)]


async def test_only_analyze_streams(http):
    response = await http.post(f"{URL}:predict", content=PICTURE, headers=NDJSON)
    assert response.headers["content-type"] == "application/json"


OVERLAY, HEAT_MAP = b"\x89PNG overlay", b"\x89PNG heat map"


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0.5, Image/PNG;q=1"])
@pytest.mark.parametrize(
    ("params", "encoding", "drawn"),
    [
        ({}, "overlay", OVERLAY),
        ({"encoding": "overlay", "method": "saliency", "target_class": "tench"}, "overlay", OVERLAY),
        ({"encoding": "heat_map", "contrast_class": "3"}, "heat_map", HEAT_MAP),
    ],
)
async def test_explain_draws_where_a_picture_is_wanted(http, gateway, accept, params, encoding, drawn):
    gateway.answer = v1.AnalyzeResponse(explanations=[{encoding: drawn}])
    response = await http.post(
        f"{URL}:explain", content=PICTURE, headers=RAW["headers"] | {"Accept": accept}, params=params
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-request-id"] == gateway.request_ids[0]
    assert response.content == drawn
    [asked] = gateway.requests
    assert [list(options.encodings) for options in asked.explanations] == [[encoding]]


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"method": ["grad_cam", "saliency"]}, "method", "one method and one class"),
        ({"target_class": ["1", "2"]}, "target_class", "one method and one class"),
        ({"method": ["grad_cam", "saliency"], "target_class": ["1", "2"]}, "method", "one method and one class"),
        ({"encoding": "uint8"}, "encoding", "one of overlay and heat_map"),
        ({"encoding": "regions"}, "encoding", "one of overlay and heat_map"),
        ({"encoding": ["overlay", "heat_map"]}, "encoding", "one of overlay and heat_map"),
        ({"encoding": ["overlay", "overlay"]}, "encoding", "one of overlay and heat_map"),
        ({"encoding": "jpeg"}, "encoding", "one of overlay and heat_map"),
        ({"quality": "stability"}, "quality", "no measurements"),
    ],
)
async def test_what_one_picture_cannot_show_is_refused(http, gateway, params, field, says):
    headers = RAW["headers"] | {"Accept": "image/png"}
    response = await http.post(f"{URL}:explain", content=PICTURE, headers=headers, params=params)
    problem = response.json()
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert says in problem["detail"]
    assert "accept application/json" in problem["detail"]
    assert gateway.requests == []


async def test_an_error_is_no_picture(http, gateway):
    gateway.error = errors.FailedPreconditionError("grad_cam reads the last convolution; use saliency")
    response = await http.post(f"{URL}:explain", content=PICTURE, headers=RAW["headers"] | {"Accept": "image/png"})
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("action", ["predict", "robustness", "bias", "analyze"])
async def test_only_explain_draws(http, action):
    response = await http.post(f"{URL}:{action}", content=PICTURE, headers=RAW["headers"] | {"Accept": "image/png"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


async def test_an_error_before_the_stream_is_a_problem(http, gateway):
    gateway.error = errors.OverloadedError("full", retry_after=2)
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("error", "reason"), [(errors.DeadlineExceededError("late"), "DEADLINE_EXCEEDED"), (KeyError("secret"), "INTERNAL")]
)
async def test_an_error_inside_the_stream_is_its_last_line(http, gateway, samples, error, reason):
    gateway.parts, gateway.error = 1, error
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON)
    assert response.status_code == 200
    first, last = (json.loads(line) for line in response.text.splitlines())
    assert first["model"] == MODEL
    assert last["error"]["reason"] == reason
    assert last["error"]["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    [labels] = samples("whybox_requests_total")
    assert f'code="{last["error"]["code"]}"' in labels


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequestError("m", field="explanations[0].method"), 400),
        (errors.PictureError("m", field="image"), 400),
        (errors.PictureTooLargeError("m", field="explanations[0].baseline_image"), 413),
        (errors.NotFoundError("m", field="model"), 404),
        (errors.FailedPreconditionError("m"), 409),
        (errors.QuotaExceededError("m", retry_after=60), 429),
        (errors.UnavailableError("m", retry_after=0.3), 503),
        (errors.OverloadedError("m", retry_after=1.0), 503),
        (errors.DeadlineExceededError("m"), 504),
        (errors.CancelledError("m"), 499),
        (errors.InternalError("m"), 500),
    ],
)
async def test_every_error_of_the_gateway(http, gateway, samples, error, status):
    gateway.error = error
    response = await http.post(f"{URL}:predict", **RAW)
    assert response.status_code == status
    problem = response.json()
    assert (problem["code"], problem["reason"], problem["detail"]) == (error.code_name, error.reason, "m")
    assert problem.get("errors") == ([{"field": error.field, "detail": "m"}] if error.field else None)
    assert problem.get("retry_after") == error.retry_after
    assert ("retry-after" in response.headers) == (error.retry_after is not None)
    [labels] = samples("whybox_requests_total")
    assert f'code="{error.code_name}"' in labels


async def test_a_bug_is_logged_and_not_told(http, gateway, caplog):
    gateway.error = ZeroDivisionError("secret")
    response = await http.post(f"{URL}:predict", headers={"X-Request-ID": "bug-1", **RAW["headers"]}, content=PICTURE)
    assert response.status_code == 500
    assert response.json()["reason"] == "INTERNAL"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    [record] = [record for record in caplog.records if record.name.startswith("whybox")]
    assert "bug-1" in record.getMessage()
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "UNKNOWN_PATH"),
        ("GET", "/v1/models/", 404, "UNKNOWN_PATH"),
        ("POST", f"{URL}:guess", 404, "UNKNOWN_PATH"),
        ("GET", "/docs/assets/nothing.js", 404, "UNKNOWN_PATH"),
        ("GET", f"{URL}:predict", 405, "METHOD_NOT_ALLOWED"),
        ("POST", URL, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/models/other", 404, "NOT_FOUND"),
        ("GET", f"{URL}?version=2", 404, "NOT_FOUND"),
        ("GET", f"{URL}?top_k=2", 400, "INVALID_REQUEST"),
        ("GET", "/v1/models?page=2", 400, "INVALID_REQUEST"),
    ],
)
async def test_wrong_paths_and_methods_are_problems(http, method, path, status, reason):
    response = await http.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason"] == reason
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("abc-1.2_Z", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("two words", False),
        ("tab\there", False),
        (None, False),
    ],
)
async def test_request_ids(http, gateway, sent, kept):
    headers = RAW["headers"] | ({} if sent is None else {"X-Request-ID": sent})
    response = await http.post(f"{URL}:predict", content=PICTURE, headers=headers)
    [used] = gateway.request_ids
    assert response.headers["x-request-id"] == used
    assert (used == sent) if kept else re.fullmatch("[0-9a-f]{32}", used)


async def test_models(http):
    listed = (await http.get("/v1/models")).json()["models"]
    assert [(model["name"], model["labels"]) for model in listed] == [(MODEL, [])]
    for url in (URL, f"{URL}?version=1"):
        assert (await http.get(url)).json()["labels"] == ["tench"]


@pytest.mark.parametrize(
    ("pools", "ready"),
    [
        ({MODEL: {"predict": "ready", "analyze": "ready"}}, True),
        ({MODEL: {"predict": "ready", "analyze": "starting"}}, False),
        ({}, False),
    ],
)
async def test_readiness(http, gateway, pools, ready):
    gateway.pools = pools
    response = await http.get("/readyz")
    assert response.status_code == (200 if ready else 503)
    assert response.json() == {"ready": ready, "models": pools}
    assert (await http.get("/healthz")).json() == {"status": "alive"}


@pytest.mark.parametrize("pools", [{MODEL: {"predict": "ready", "analyze": "ready"}}, {}])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_ask_for_the_head_alone(http, gateway, path, pools):
    gateway.pools = pools
    head, get = await http.head(path), await http.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-length"] == get.headers["content-length"]
    assert "HEAD" in (await http.post(path)).headers["allow"]


async def test_metrics_use_templates_and_known_names(http, samples):
    await http.post(f"{URL}:predict", **RAW)
    await http.get("/v1/models/made-up")
    await http.get("/v1/made/up")
    await http.get("/healthz")
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    routes = {re.search('route="([^"]*)"', labels)[1] for labels in samples("whybox_requests_total")}
    models = {re.search('model="([^"]*)"', labels)[1] for labels in samples("whybox_requests_total")}
    assert routes == {"/v1/models/{model}:predict", "/v1/models/{model}", "unknown"}
    assert models == {MODEL, "unknown", ""}
    assert "whybox_requests_total{" in response.text


async def test_the_documentation_needs_no_network(http):
    page = await http.get("/docs")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    addresses = re.findall('(?:src|href)="([^"]*)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        # Relative to /docs; nothing leaves this server.
        found = await http.get(httpx.URL("http://whybox/docs").join(address))
        assert found.status_code == 200, address
        assert found.headers["content-type"].startswith(("text/", "image/png"))
