"""What a REST request means, in whichever way it is sent, and what is said of one that means nothing."""

import base64
import json
import re
from typing import Any

import pytest

from server.rest.sending import (
    ALL_PARTS,
    BASE64,
    BASELINE,
    BASELINE64,
    FILES,
    GRAD_CAM,
    JSON,
    MODEL,
    PICTURE,
    RAW,
    URL,
    request,
)

# action, options as they are sent, the request that they mean
MEANINGS = [
    ("predict", [], {"prediction": {}}),
    ("predict", [("top_k", "3")], {"prediction": {"top_k": 3}}),
    ("predict", [("top_k", "-3")], {"prediction": {"top_k": -3}}),
    ("predict", [("view", "true")], {"prediction": {}, "view": True}),
    ("robustness", [("view", "False")], {"robustness": {}}),
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
    (
        "robustness",
        [
            *(("attack", "ddn"), ("norm", "l2"), ("budget", "deadline"), ("twin", "grad_cam"), ("transfer", "true")),
            *(("picture", "adversarial"), ("picture", "change"), ("corruption", "noise"), ("corruption", "fog")),
        ],
        {
            "robustness": {
                "attack": "ddn",
                "norms": ["l2"],
                "budget": "deadline",
                "twin": "grad_cam",
                "transfer": True,
                "encodings": ["adversarial", "change"],
                "corruptions": ["noise", "fog"],
            }
        },
    ),
    ("robustness", [("transfer", "false")], {"robustness": {}}),
    ("bias", [], {"bias": {}}),
    ("bias", [("attribute", "ball")], {"bias": {"attributes": ["ball"]}}),
    ("certify", [], {"certified": {}}),
    (
        "certify",
        [("sigma", "0.25"), ("samples", "500"), ("alpha", "1e-2"), ("seed", "3")],
        {"certified": {"sigma": 0.25, "samples": 500, "alpha": 0.01}, "seed": 3},
    ),
    ("analyze", [], ALL_PARTS),
    ("analyze", [("sigma", "0.5")], ALL_PARTS | {"certified": {"sigma": 0.5}}),
    # Without sigma they are refused, not overlooked: see the gateway's validation.
    ("analyze", [("samples", "500")], ALL_PARTS | {"certified": {"samples": 500}}),
    ("analyze", [("alpha", "0.25")], ALL_PARTS | {"certified": {"alpha": 0.25}}),
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
    (
        "analyze",
        [("encoding", "overlay"), ("picture", "change"), ("corruption", "all")],
        ALL_PARTS
        | {
            "explanations": [{"method": "grad_cam", "encodings": ["overlay"]}],
            "robustness": {"encodings": ["change"], "corruptions": ["all"]},
        },
    ),
]


def as_json(options):
    """The options as they are written in JSON."""
    fields: dict[str, list[Any]] = {}
    for name, value in options:
        if name in ("tolerance", "sigma", "alpha"):
            value = float(value)
        elif re.fullmatch("-?[0-9]+", value) and name != "version":
            value = int(value)
        elif name == "transfer":
            value = value == "true"
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


# No integers in JSON.
UNFIT: list[Any] = [1e300, 2**31, "x", {}, [1]]

# action, an option as it is sent, the request that it means
SPELLINGS: list[Any] = [
    *(("predict", {"top_k": value}, {"prediction": {"top_k": 3}}) for value in ("3", "3.0", "3.000", "03")),
    *(("predict", {"seed": value}, {"prediction": {}, "seed": 7}) for value in ("7", "7.0")),
    *(
        ("robustness", {"transfer": value}, {"robustness": {"transfer": True}})
        for value in ("true", "True", "TRUE", True)
    ),
    *(("robustness", {"transfer": value}, {"robustness": {}}) for value in ("false", "False", "FALSE", False)),
    *(("robustness", {"budget": value}, {"robustness": {"budget": "30"}}) for value in ("30", "30.0")),
    *(
        ("explain", {"target_class": value}, {"explanations": [{"method": "grad_cam", "target_label": value}]})
        for value in ("207.0", "1e2", "True", "null")
    ),
]
JSON_SPELLINGS: list[Any] = [
    *(("predict", {"top_k": value}, {"prediction": {"top_k": 3}}) for value in (3, 3.0)),
    ("predict", {"top_k": 1e2}, {"prediction": {"top_k": 100}}),
    ("predict", {"seed": 7.0}, {"prediction": {}, "seed": 7}),
    ("explain", {"view": True}, {"explanations": [{"method": "grad_cam"}], "view": True}),
    ("predict", {"view": None}, {"prediction": {}}),
    ("robustness", {"budget": 30.0}, {"robustness": {"budget": "30"}}),
    ("explain", {"target_class": 207.0}, {"explanations": [{"method": "grad_cam", "target_class": 207}]}),
    ("explain", {"target_class": [207.0]}, {"explanations": [{"method": "grad_cam", "target_class": 207}]}),
    ("certify", {"sigma": 1}, {"certified": {"sigma": 1.0}}),
    # null is as if the option were left out
    *(
        ("predict", {name: None}, {"prediction": {}})
        for name in ("top_k", "seed", "version", "timeout", "baseline_image")
    ),
    *(
        ("explain", {name: None}, GRAD_CAM)
        for name in ("method", "target_class", "contrast_class", "tolerance", "encoding", "baseline", "baseline_image")
    ),
    *(
        ("robustness", {name: None}, {"robustness": {}})
        for name in ("transfer", "norm", "budget", "attack", "picture", "twin", "corruption")
    ),
    ("certify", {"sigma": 0.5, "alpha": None, "samples": None}, {"certified": {"sigma": 0.5}}),
    ("analyze", {"top_k": None, "sigma": None, "method": None}, ALL_PARTS),
    (
        "analyze",
        {"prediction": {"top_k": None}, "explanations": None, "robustness": None, "model": None, "seed": None},
        {"prediction": {}},
    ),
]


@pytest.mark.parametrize(
    ("action", "sent", "meaning"),
    [
        *((action, RAW | {"params": options}, meaning) for action, options, meaning in SPELLINGS),
        *(
            (action, {"json": {"image": BASE64, **options}}, meaning)
            for action, options, meaning in (*SPELLINGS, *JSON_SPELLINGS)
        ),
        ("predict", {"json": {"image": BASE64, "top_k": None}, "params": {"top_k": 2}}, {"prediction": {"top_k": 2}}),
    ],
)
async def test_a_value_is_what_its_schema_says_however_it_is_spelled(http, gateway, action, sent, meaning):
    response = await http.post(f"{URL}:{action}", **sent)
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**meaning)]


# Base64 as MIME breaks it into lines, as PEM does, and as people paste it.
SPACED = {
    "mime": lambda text: "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76)) + "\r\n",
    "pem": lambda text: "\n".join(text[start : start + 4] for start in range(0, len(text), 4)),
    "pasted": lambda text: f"  {text[:3]}\t{text[3:]} \n",
}


@pytest.mark.parametrize("spaced", SPACED.values(), ids=SPACED)
async def test_white_space_in_base64_is_skipped(http, gateway, spaced):
    picture = bytes(range(256))
    text = spaced(base64.b64encode(picture).decode())
    for body in ({"baseline_image": text}, {"explanations": [{"method": "rise", "baseline_image": text}]}):
        response = await http.post(f"{URL}:analyze", json={"image": text, **body})
        assert response.status_code == 200, response.text
        asked = gateway.requests.pop()
        assert asked.image == picture
        assert [options.baseline_image for options in asked.explanations] == [picture]


@pytest.mark.parametrize("text", ["_-8=", "_-8", "/+8=", "/+8", " /+\n8"])
async def test_a_picture_inside_of_a_part_has_either_alphabet(http, gateway, text):
    body = {"image": BASE64, "explanations": [{"method": "rise", "baseline_image": text}]}
    response = await http.post(f"{URL}:analyze", json=body)
    assert response.status_code == 200, response.text
    assert gateway.requests[0].explanations[0].baseline_image == b"\xff\xef"


PARTS = {
    "prediction": {"top_k": 2},
    "explanations": [
        {"method": "grad_cam", "target_label": "tench", "contrast_class": 3, "quality": ["stability"]},
        {"method": "saliency", "encodings": ["float16"], "baseline_image": BASE64, "tolerance": 0.0},
    ],
}


@pytest.mark.parametrize("more", [{}, {"model": MODEL}, {"seed": 7, "version": "1", "view": True}])
async def test_analyze_takes_the_parts_of_the_message(http, gateway, more):
    response = await http.post(f"{URL}:analyze", json={"image": BASE64, **PARTS, **more})
    assert response.status_code == 200, response.text
    assert gateway.requests == [request(**PARTS, **more)]


# Values in JSON that an option does not take.
NO_POSITIVE_NUMBERS: list[object] = [True, [None], 0, 10**400, []]
NO_SHARES: list[object] = [True, [None], -0.1, 2, 10**400, []]
NO_CLASSES: list[object] = [True, [None], [1, None], 1.5, [], [1, True], {}, ""]


# action, what is sent, status, field, what the detail says
@pytest.mark.parametrize(
    ("action", "sent", "status", "field", "says"),
    [
        # options
        ("predict", RAW | {"params": {"topk": 3}}, 400, "topk", "seed, set_alpha, set_method, timeout, top_k"),
        ("predict", RAW | {"params": {"method": "grad_cam"}}, 400, "method", "unknown option"),
        ("predict", RAW | {"params": {"top_k": "five"}}, 400, "top_k", "integer"),
        ("predict", RAW | {"params": {"top_k": ""}}, 400, "top_k", "integer"),
        ("predict", RAW | {"params": {"top_k": "2147483648"}}, 400, "top_k", "must be an integer from 1 to 1000"),
        *(
            ("predict", RAW | {"params": {"top_k": value}}, 400, "top_k", "must be an integer from 1 to 1000")
            for value in (
                "1_0",
                "1e2",
                " 5",
                "5 ",
                "+5",
                "5.",
                ".0",
                "3.5",
                "3.0e0",
                "0x5",
                "\u0665",
                "null",
                "NaN",
                "1" * 11,
            )
        ),
        *(
            ("predict", {"json": {"image": BASE64, "top_k": value}}, 400, "top_k", "must be an integer from 1 to 1000")
            for value in UNFIT
        ),
        *(
            ("robustness", RAW | {"params": {"transfer": value}}, 400, "transfer", "true or false")
            for value in ("1", "0", "on", "", " true", "null", "None")
        ),
        *(
            ("explain", RAW | {"params": {"max_evaluations": value}}, 400, "max_evaluations", "from 1 to 10000")
            for value in ("0", "10001", "many")
        ),
        ("explain", RAW | {"params": {"contrast_class": "-2147483649"}}, 400, "contrast_class", "from 0 to 999"),
        ("robustness", RAW | {"params": {"transfer": "yes"}}, 400, "transfer", "true or false"),
        ("robustness", RAW | {"params": {"transfer": ["true", "true"]}}, 400, "transfer", "given twice"),
        ("robustness", {"json": {"image": BASE64, "transfer": 1}}, 400, "transfer", "true or false"),
        ("robustness", RAW | {"params": {"encoding": "change"}}, 400, "encoding", "picture"),
        ("explain", RAW | {"params": {"picture": "change"}}, 400, "picture", "unknown option"),
        *(
            ("certify", RAW | {"params": {name: value}}, 400, name, "number above 0")
            for name in ("sigma", "alpha")
            for value in ("", "0", "-1", "nan", "inf", "1e999", "some")
        ),
        *(
            ("certify", {"json": {"image": BASE64, "sigma": value}}, 400, "sigma", "number above 0")
            for value in NO_POSITIVE_NUMBERS
        ),
        ("certify", RAW | {"params": {"samples": "1e3"}}, 400, "samples", "integer"),
        ("certify", RAW | {"params": {"sigma": ["1", "2"]}}, 400, "sigma", "given twice"),
        *(
            (action, RAW | {"params": {"sigma": "1"}}, 400, "sigma", "unknown option")
            for action in ("predict", "explain", "robustness", "bias")
        ),
        ("analyze", {"json": {"image": BASE64, "sigma": 1, "prediction": {}}}, 400, "sigma", "inside of the part"),
        ("predict", RAW | {"params": {"seed": "-1"}}, 400, "seed", "from 0 to 4294967295"),
        ("predict", RAW | {"params": {"top_k": [1, 2]}}, 400, "top_k", "given twice"),
        ("predict", RAW | {"params": {"timeout": "0"}}, 400, "timeout", "above 0"),
        ("predict", RAW | {"params": {"timeout": "nan"}}, 400, "timeout", "above 0"),
        ("predict", RAW | {"params": {"timeout": "-1"}}, 400, "timeout", "above 0"),
        ("explain", RAW | {"params": {"encoding": "jpeg"}}, 400, "encoding", "must be one of uint8, float16"),
        ("explain", RAW | {"params": {"baseline": "white"}}, 400, "baseline", "must be one of black, grey, blur, mean"),
        ("explain", RAW | {"params": {"channels": "mean"}}, 400, "channels", "must be one of sum, none"),
        ("explain", RAW | {"params": {"quality": ["all", "auc"]}}, 400, "quality", "stability, all"),
        ("robustness", RAW | {"params": {"picture": "overlay"}}, 400, "picture", "must be one of adversarial, change"),
        ("certify", RAW | {"params": {"sigma": "2.1"}}, 400, "sigma", "above 0 and at most 2"),
        ("certify", RAW | {"params": {"alpha": "0.5"}}, 400, "alpha", "above 0 and below 0.5"),
        ("certify", RAW | {"params": {"samples": "99"}}, 400, "samples", "from 100 to 100000"),
        ("explain", RAW | {"params": {"steps": "20"}}, 400, "steps", "unknown option"),
        ("explain", RAW | {"params": {"dtype": "uint8"}}, 400, "dtype", "encoding"),
        ("explain", RAW | {"params": {"target_class": ""}}, 400, "target_class", "index or the name"),
        ("explain", RAW | {"params": {"target_class": ["cat", ""]}}, 400, "target_class", "index or the name"),
        (
            "explain",
            RAW | {"params": {"target_class": "2147483648"}},
            400,
            "target_class",
            "must be an integer from 0 to 999",
        ),
        ("explain", RAW | {"params": {"target_class": "1" * 20}}, 400, "target_class", "integer"),
        ("explain", RAW | {"params": {"contrast_class": ["1", "2"]}}, 400, "contrast_class", "given twice"),
        ("explain", RAW | {"params": {"baseline": ["black", "grey"]}}, 400, "baseline", "given twice"),
        ("explain", RAW | {"params": {"max_evaluations": "1.5"}}, 400, "max_evaluations", "integer"),
        *(
            ("explain", RAW | {"params": {"tolerance": value}}, 400, "tolerance", "from 0 to 1")
            for value in ("", "-0.1", "1.1", "nan", "inf", "5%", "1e999")
        ),
        ("explain", RAW | {"params": {"baseline_image": BASE64}}, 400, "baseline_image", "unknown option"),
        ("explain", RAW | {"params": {"method": "m" * 1001}}, 400, "method", "at most 1000 characters"),
        ("explain", RAW | {"params": {"quality": ["all"] * 101}}, 400, "quality", "at most 100 values"),
        (
            "explain",
            RAW | {"params": {"method": ["a", "b"], "target_class": [*range(9)]}},
            400,
            "explanations",
            "18 explanations; ask for at most 16",
        ),
        *(
            (action, RAW | {"params": {name: "1"}}, 400, name, "unknown option")
            for action in ("predict", "robustness", "bias", "certify")
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
        ("bias", RAW | {"params": {"top_k": "1"}}, 400, "top_k", "unknown option"),
        # options in JSON
        ("predict", {"json": {"image": BASE64, "top_k": 1.5}}, 400, "top_k", "integer"),
        ("predict", {"json": {"image": BASE64, "top_k": True}}, 400, "top_k", "integer"),
        ("predict", {"json": {"image": BASE64, "top_k": [None]}}, 400, "top_k", "integer from 1 to 1000"),
        *(
            ("explain", {"json": {"image": BASE64, name: [1]}}, 400, name, "must be")
            for name in ("version", "seed", "timeout", "contrast_class", "baseline", "tolerance", "channels")
        ),
        ("predict", {"json": {"image": BASE64, "version": 1}}, 400, "version", "string"),
        ("predict", {"json": {"image": BASE64, "timeout": "soon"}}, 400, "timeout", "number"),
        ("predict", {"json": {"image": BASE64, "model": MODEL}}, 400, "model", "unknown option"),
        ("explain", {"json": {"image": BASE64, "method": [3]}}, 400, "method", "string"),
        ("explain", {"json": {"image": BASE64, "method": []}}, 400, "method", "string"),
        ("explain", {"json": {"image": BASE64, "channels": "\ud800"}}, 400, "channels", "Unicode"),
        *(
            ("explain", {"json": {"image": BASE64, "target_class": value}}, 400, "target_class", "index or the name")
            for value in NO_CLASSES
        ),
        ("explain", {"json": {"image": BASE64, "target_class": "\ud800"}}, 400, "target_class", "Unicode"),
        *(
            ("explain", {"json": {"image": BASE64, "tolerance": value}}, 400, "tolerance", "from 0 to 1")
            for value in NO_SHARES
        ),
        ("explain", {"json": {"image": BASE64, "encodings": ["uint8"]}}, 400, "encodings", "encoding"),
        # baselines
        *(
            (action, sent, 400, "baseline_image", f"{action} takes no baseline_image")
            for action in ("predict", "robustness", "bias", "certify")
            for sent in WITH_BASELINE.values()
        ),
        ("explain", {"json": {"image": BASE64, "baseline_image": 3}}, 400, "baseline_image", "string in base64"),
        ("explain", {"json": {"image": None}}, 400, "image", "no picture"),
        ("predict", {"json": {"image": BASE64, "colour": None}}, 400, "colour", "unknown option"),
        ("predict", {"json": {"image": BASE64, "model": None}}, 400, "model", "unknown option"),
        ("analyze", {"json": {"image": BASE64, "bias": None}}, 400, "bias", "is null"),
        ("analyze", {"json": {"image": BASE64, "bias": None, "prediction": None}}, 400, "prediction", "is null"),
        ("explain", {"json": {"image": BASE64, "baseline_image": "%%%"}}, 400, "baseline_image", "not valid base64"),
        ("explain", {"json": {"baseline_image": BASE64}}, 400, "image", "no picture"),
        ("explain", {"files": {"baseline_image": FILES["baseline_image"]}}, 400, "image", "no picture"),
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
        ("analyze", {"json": {"image": BASE64, **PARTS, "colour": 1}}, 400, "colour", "unknown option"),
        ("predict", {"json": {"image": BASE64, "prediction": {}}}, 400, "prediction", "unknown option"),
        # pictures
        ("predict", {}, 400, "image", "multipart/form-data"),
        ("predict", {"content": b"", "headers": {"Content-Type": "image/png"}}, 400, "image", "no picture"),
        ("predict", {"content": b"", "headers": JSON}, 400, "image", "no picture"),
        ("predict", {"json": {"top_k": 1}}, 400, "image", "no picture"),
        ("predict", {"files": {"image": ("a.jpg", b"")}}, 400, "image", "no picture"),
        ("predict", {"json": {"image": 3}}, 400, "image", "string"),
        ("predict", {"json": {"image": "%%%"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": BASE64.rstrip("=") + "\n"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": BASE64 + "\u00a0"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": BASE64 + "\x00"}}, 400, "image", "base64"),
        ("predict", {"json": {"image": " \r\n"}}, 400, "image", "no picture"),
        *(
            (
                "analyze",
                {"json": {"image": BASE64, "explanations": [{}, {"method": "rise", name: value}]}},
                400,
                f"explanations[1].{name}",
                "base64",
            )
            for name in ("baseline_image", "baselineImage")
            for value in ("%%%", "data:image/png;base64," + BASE64, BASE64[:4] + "!" + BASE64[4:], 3, ["AAAA"])
        ),
        ("predict", {"json": {"image": "data:image/png;base64," + BASE64}}, 400, "image", "base64"),
        ("predict", {"json": {"image": "ä"}}, 400, "image", "base64"),
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
