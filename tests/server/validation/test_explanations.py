"""Options of an explanation: what is refused, the defaults, and equal spellings."""

from typing import Any

import pytest

from messages import message
from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError, PictureTooLargeError
from whybox.v1.vocabulary import BASELINES, CHANNELS, ENCODINGS, MAP_PICTURES, MEASUREMENTS, NUMBERS
from whybox_server.validation.explanations import MAX_BASELINE_BYTES, ExplanationOptions, fill_explanation

# "crane" is a bird and a machine, as in ImageNet.
LABELS = ["tench", "golden retriever", "crane", "tabby", "tiger cat", "crane", "jeep", "maillot", "7", "dog"]
PATH_METHOD: dict[str, Any] = {
    "options": ["baseline", "max_evaluations", "tolerance"],
    "default_evaluations": 64,
    "min_evaluations": 4,
    "default_tolerance": 0.05,
    "default_baseline": "grey",
}
MODEL = v1.Model(
    name="m",
    num_classes=10,
    labels=LABELS,
    methods=[
        v1.Method(name="grad_cam"),
        v1.Method(name="path", **PATH_METHOD),
        # Samples, and stops only at its limit.
        v1.Method(name="sampling", options=["max_evaluations"], default_evaluations=1000, min_evaluations=1),
        v1.Method(name="absent", unavailable="this network has no maps; use path"),
        v1.Method(name="alike", options=["examples", "thumbnails"], gives_examples=True),
    ],
)
FIELD = "explanations[1]"


def options(**given):
    return v1.ExplanationOptions(**{"method": "path", **given})


def filled(**given):
    asked = options(**given)
    fill_explanation(asked, MODEL, FIELD)
    return asked


# What is wrong, the field that is named, and words of the remedy.
REFUSED = {
    "unknown method": ({"method": "lime"}, "method", ["'lime'", "grad_cam, path, sampling"]),
    "no method": ({"method": ""}, "method", ["''", "grad_cam, path"]),
    "method in another case": ({"method": "Grad_CAM"}, "method", ["grad_cam"]),
    **{
        f"{role} {value}": ({role: value}, role, [f"is {value};", "0 to 9"])
        for role in ("target_class", "contrast_class")
        for value in (-1, 10, 2**31 - 1)
    },
    **{
        f"{role} by index and name": ({f"{role}_class": 1, f"{role}_label": "jeep"}, f"{role}_label", ["not both"])
        for role in ("target", "contrast")
    },
    **{
        f"{name} of a method without maps": (
            {"method": "alike", name: value},
            "contrast_class" if name.startswith("contrast") else name,
            [f"alike takes no {'contrast_class' if name.startswith('contrast') else name}; leave it out"],
        )
        for name, value in {
            "contrast_class": 1,
            "contrast_label": "jeep",
            "baseline": "black",
            "baseline_image": b"png",
            "max_evaluations": 10,
            "tolerance": 0.1,
            "encodings": ["heat_map"],
            "channels": "sum",
            "quality": ["all"],
        }.items()
    },
    **{
        f"{name} of a method with maps": ({name: value}, name, [f"path takes no {name}; leave it out"])
        for name, value in (("examples", 3), ("thumbnails", True))
    },
    **{
        f"examples {value}": ({"method": "alike", "examples": value}, "examples", [f"is {value};", "1 to 20"])
        for value in (-1, 0, 21, 2**31 - 1)
    },
    "unknown name": ({"target_label": "zebra"}, "target_label", ["m has no class 'zebra'", "GetModel"]),
    "a name that is nearly right": ({"target_label": "tigercat"}, "target_label", ["did you mean 'tiger cat'"]),
    "name in another case": ({"contrast_label": "Jeep"}, "contrast_label", ["did you mean 'jeep'"]),
    "name of two classes": ({"target_label": "crane"}, "target_label", ["classes 2 and 5", "use target_class"]),
    "contrast of two": ({"contrast_label": "crane"}, "contrast_label", ["classes 2 and 5", "use contrast_class"]),
    "contrast with itself": ({"target_class": 3, "contrast_class": 3}, "contrast_class", ["another class"]),
    "contrast with itself by name": (
        {"target_class": 3, "contrast_label": "tabby"},
        "contrast_class",
        ["target itself"],
    ),
    "unknown baseline": ({"baseline": "white"}, "baseline", ["'white'", "black, grey, blur, mean"]),
    "two baselines": ({"baseline": "black", "baseline_image": b"png"}, "baseline", ["not both"]),
    **{
        f"max_evaluations {value}": ({"max_evaluations": value}, "max_evaluations", [f"is {value};", "4 to 10000"])
        for value in (-1, 0, 3, 10_001, 2**31 - 1)
    },
    **{
        f"tolerance {value}": ({"tolerance": value}, "tolerance", [f"is {value};", "0 to 1"])
        for value in (-0.001, 1.0000001, float("inf"), float("nan"))
    },
    **{
        f"{name} of a method without": (
            {"method": "grad_cam", name: value},
            name,
            ["grad_cam takes no", "leave it out"],
        )
        for name, value in {
            "baseline": "black",
            "baseline_image": b"png",
            "max_evaluations": 0,
            "tolerance": 0.0,
        }.items()
    },
    "tolerance of a method with other options": (
        {"method": "sampling", "tolerance": 0.1},
        "tolerance",
        ["sampling takes no tolerance"],
    ),
    "unknown encoding": ({"encodings": ["float64"]}, "encodings", ["'float64'", ", ".join(ENCODINGS)]),
    "repeated encoding": ({"encodings": ["overlay", "overlay"]}, "encodings", ["each once"]),
    "two kinds of numbers": ({"encodings": ["uint8", "overlay", "float16"]}, "encodings", ["one of uint8, float16"]),
    "channels": ({"channels": "mean"}, "channels", ["'mean'", "sum, none"]),
    "unknown quality": ({"quality": ["auc"]}, "quality", ["'auc'", ", ".join(MEASUREMENTS), "all"]),
    "repeated quality": ({"quality": ["stability", "stability"]}, "quality", ["each once"]),
    "all and another": ({"quality": ["all", "deletion"]}, "quality", ["'all' stands alone"]),
    "all twice": ({"quality": ["all", "all"]}, "quality", ["each once"]),
}


@pytest.mark.parametrize(("given", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(given, field, words):
    with pytest.raises(InvalidRequestError) as caught:
        filled(**given)
    assert type(caught.value) is InvalidRequestError
    assert caught.value.field == f"{FIELD}.{field}"
    for word in words:
        assert word in caught.value.message


def test_a_baseline_that_is_too_large():
    with pytest.raises(PictureTooLargeError, match="baseline has 1,048,577 bytes; at most 1,048,576") as caught:
        filled(baseline_image=bytes(MAX_BASELINE_BYTES + 1))
    assert caught.value.field == f"{FIELD}.baseline_image"


@pytest.mark.parametrize("name", ["method", "target_label", "contrast_label", "baseline", "channels"])
def test_an_error_fits_into_a_header_whatever_was_sent(name):
    with pytest.raises(InvalidRequestError) as caught:
        filled(**{name: "golden retriever " * 2**20})
    assert len(caught.value.to_status().SerializeToString()) < 1000


# What each method is given where the request leaves it open.
DEFAULTS: dict[str, dict[str, Any]] = {
    "grad_cam": {},
    "path": {"baseline": "grey", "max_evaluations": 64, "tolerance": 0.05},
    "sampling": {"max_evaluations": 1000},
    # See `test_what_is_not_possible`: the other parts of the request are not affected.
    "absent": {},
}


@pytest.mark.parametrize("method", DEFAULTS)
def test_every_default(method):
    expected = options(method=method, encodings=["uint8"], channels="sum", **DEFAULTS[method])
    assert filled(method=method) == expected


COMPLETE: dict[str, Any] = {"encodings": ["uint8"], "channels": "sum", **DEFAULTS["path"]}

# Values at a boundary, in options that leave nothing to fill in.
ACCEPTED = {
    "first class": {"target_class": 0},
    "last class": {"target_class": 9},
    "first contrast": {"target_class": 9, "contrast_class": 0},
    "contrast with what is predicted": {"contrast_class": 9},
    "fewest evaluations": {"max_evaluations": 4},
    "most evaluations": {"max_evaluations": 10_000},
    "no tolerance": {"tolerance": 0.0},
    "every tolerance": {"tolerance": 1.0},
    **{f"baseline {name}": {"baseline": name} for name in BASELINES},
    "largest baseline": {"baseline": "", "baseline_image": bytes(MAX_BASELINE_BYTES)},
    **{f"encoding {name}": {"encodings": [name]} for name in ENCODINGS},
    **{f"{name} and every picture": {"encodings": [*MAP_PICTURES, name]} for name in NUMBERS},
    "pictures alone": {"encodings": MAP_PICTURES},
    **{f"channels {name}": {"channels": name} for name in CHANNELS},
    **{f"quality {name}": {"quality": [name]} for name in MEASUREMENTS},
    "quality in another order": {"quality": MEASUREMENTS[::-1]},
}


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted_stays_as_it_was_sent(given):
    given = COMPLETE | given
    assert filled(**given) == options(**given)


SAME = {
    "target by name": ({"target_label": "golden retriever"}, {"target_class": 1}),
    "contrast by name": ({"contrast_label": "dog"}, {"contrast_class": 9}),
    "both by name": ({"target_label": "jeep", "contrast_label": "tabby"}, {"target_class": 6, "contrast_class": 3}),
    "a name of digits": ({"target_label": "7"}, {"target_class": 8}),
    "all measurements": ({"quality": ["all"]}, {"quality": MEASUREMENTS}),
    "defaults spelled out": ({}, COMPLETE),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_two_spellings_of_the_same_become_equal(one, other):
    assert options(**one) != options(**other)
    assert filled(**one) == filled(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"target_class": 0}),
        ({"target_class": 0}, {"contrast_class": 0}),
        ({}, {"tolerance": 0.0}),
        ({}, {"baseline_image": b"png"}),
        ({"baseline_image": b"png"}, {"baseline_image": b"jpg"}),
        ({}, {"quality": ["deletion"]}),
        ({"encodings": ["uint8", "overlay"]}, {"encodings": ["overlay"]}),
    ],
)
def test_options_that_differ_stay_different(one, other):
    assert filled(**one) != filled(**other)


def test_what_is_not_possible():
    possible = message(v1.AnalyzeRequest, explanations=[{"method": "grad_cam"}, {"method": "path"}])
    ExplanationOptions().check_possible(possible, MODEL, [])
    impossible = message(v1.AnalyzeRequest, explanations=[{"method": "absent"}])
    with pytest.raises(FailedPreconditionError) as caught:
        ExplanationOptions().check_possible(impossible, MODEL, [])
    assert (caught.value.reason, caught.value.field) == ("METHOD_UNAVAILABLE", "explanations")
    assert caught.value.message == "m cannot be explained with absent: this network has no maps; use path"


@pytest.mark.parametrize(("given", "examples"), [({}, 3), ({"examples": 20}, 20), ({"thumbnails": True}, 3)])
def test_a_method_that_gives_examples_has_no_options_of_maps(given: dict[str, Any], examples: int) -> None:
    found = filled(method="alike", target_label="jeep", **given)
    assert found == v1.ExplanationOptions(
        method="alike", target_class=6, examples=examples, thumbnails=given.get("thumbnails", False)
    )


@pytest.mark.parametrize(("packed", "asked", "refused"), [(0, True, True), (0, False, False), (5, True, False)])
def test_thumbnails_need_a_bank_that_has_them(packed: int, asked: bool, refused: bool) -> None:
    model = v1.Model()
    model.CopyFrom(MODEL)
    model.audit.references.thumbnails = packed
    request = v1.AnalyzeRequest(explanations=[filled(method="alike", thumbnails=asked)])
    if not refused:
        ExplanationOptions().check_possible(request, model, [])
        return
    with pytest.raises(FailedPreconditionError, match="without thumbnails; leave thumbnails out, or pack it") as raised:
        ExplanationOptions().check_possible(request, model, [])
    assert raised.value.reason == "NO_THUMBNAILS"
