"""Whole requests: what is refused, the defaults, and equal spellings."""

import pytest

from whybox import v1
from whybox.v1.errors import InvalidRequestError, PictureError, PictureTooLargeError
from whybox_server.gateway.parts import OPTIONS
from whybox_server.validation.request import validated

MODEL = v1.Model(
    name="m",
    version="2.0",
    num_classes=10,
    methods=[v1.Method(name="grad_cam")],
    norms=["linf", "l2"],
    attacks=[v1.Attack(name="fmn", norms=["linf", "l2"])],
    default_attack="fmn",
)
LIMIT = 1000


def request(**parts):
    return v1.AnalyzeRequest(model="m", **parts)


def attacking(**options):
    return request(robustness=options)


def check(asked, picture=b"picture", model=MODEL):
    return validated(asked, picture, model, OPTIONS, LIMIT)


# What is wrong, the field that is named, and words of the remedy.
REFUSED = {
    "no part": (request(), None, ["prediction, explanations, robustness, bias and certified"]),
    "top_k 0": (request(prediction={"top_k": 0}), "prediction.top_k", ["is 0", "1 to 10"]),
    "top_k negative": (request(prediction={"top_k": -1}), "prediction.top_k", ["is -1", "1 to 10"]),
    "top_k beyond the classes": (request(prediction={"top_k": 11}), "prediction.top_k", ["is 11", "1 to 10"]),
    "top_k 5000": (request(prediction={"top_k": 5000}), "prediction.top_k", ["is 5000", "1 to 10"]),
    "an unknown set": (request(prediction={"set_method": "raps"}), "prediction.set_method", ["'raps'", "aps, lac"]),
    **{
        f"set_alpha {alpha}": (
            request(prediction={"set_method": "aps", "set_alpha": alpha}),
            "prediction.set_alpha",
            ["above 0 and at most 0.5"],
        )
        for alpha in (0, -0.1, 0.51, float("nan"))
    },
    "set_alpha without a set": (
        request(prediction={"set_alpha": 0.1}),
        "prediction.set_alpha",
        ["choose its method with prediction.set_method: aps or lac"],
    ),
    "explanations are named by their place": (
        request(explanations=[{"method": "grad_cam"}, {"method": "lime"}]),
        "explanations[1].method",
        ["'lime'", "grad_cam"],
    ),
    "17 explanations": (
        request(explanations=[{"method": "grad_cam"}] * 17),
        "explanations",
        ["17 explanations", "ask for at most 16"],
    ),
    "robustness is named": (attacking(norms=["linf", "l0"]), "robustness.norms", ["'l0'", "linf, l2"]),
    "too many attributes": (
        request(bias={"attributes": [str(number) for number in range(33)]}),
        "bias.attributes",
        ["33 attributes", "at most 32"],
    ),
    "empty attribute": (request(bias={"attributes": [""]}), "bias.attributes", ["1 to 100 characters"]),
    "long attribute": (request(bias={"attributes": ["a" * 101]}), "bias.attributes", ["1 to 100 characters"]),
    "repeated attribute": (request(bias={"attributes": ["age", "age"]}), "bias.attributes", ["each once"]),
}


@pytest.mark.parametrize(("asked", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(asked, field, words):
    with pytest.raises(InvalidRequestError) as caught:
        check(asked)
    assert type(caught.value) is InvalidRequestError
    assert caught.value.field == field
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("image", "error", "reason", "words"),
    [
        (b"", PictureError, "BAD_PICTURE", "JPEG, PNG, WebP or GIF"),
        (bytes(LIMIT + 1), PictureTooLargeError, "PICTURE_TOO_LARGE", "at most 1,000 bytes; scale it down"),
    ],
)
def test_pictures_that_are_refused(image, error, reason, words):
    with pytest.raises(PictureError) as caught:
        check(request(prediction={}), image)
    assert type(caught.value) is error
    assert (caught.value.field, caught.value.reason) == ("image", reason)
    assert words in caught.value.message


# An explanation with nothing left to fill in.
COMPLETE = {"method": "grad_cam", "encodings": ["uint8"], "channels": "sum"}

# Values at a boundary, in requests that leave nothing to fill in.
ACCEPTED = {
    "top_k 1": {"prediction": {"top_k": 1}},
    "every class": {"prediction": {"top_k": 10}},
    "16 explanations": {"explanations": [COMPLETE] * 16},
    "robustness": {"robustness": {"norms": ["l2", "linf"], "attack": "fmn", "budget": "12"}},
    "certified": {"certified": {"sigma": 2, "samples": 100, "alpha": 0.499}},
    "32 attributes": {"bias": {"attributes": [str(number) for number in range(32)]}},
    "attribute of 100 characters": {"bias": {"attributes": ["ä" * 100]}},
    "largest seed": {"bias": {}, "seed": 2**32 - 1},
}


@pytest.mark.parametrize("parts", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted_stays_as_it_was_sent(parts):
    asked = request(version="2.0", **parts)
    assert check(asked) == asked


def test_the_largest_picture_is_taken():
    assert check(request(bias={}), bytes(LIMIT)) == request(bias={}, version="2.0")


@pytest.mark.parametrize("asked", [request(prediction={}), attacking(), attacking(budget="fast")])
def test_the_request_itself_is_not_touched(asked):
    before = asked.SerializeToString(deterministic=True)
    assert check(asked) != asked
    assert asked.SerializeToString(deterministic=True) == before


def test_every_default():
    asked = request(
        prediction={}, explanations=[{"method": "grad_cam"}], robustness={}, bias={}, certified={"sigma": 1}
    )
    assert check(asked) == request(
        version="2.0",
        prediction={"top_k": 5},
        explanations=[COMPLETE],
        robustness={"norms": ["linf"], "attack": "fmn", "budget": "12"},
        bias={},
        certified={"sigma": 1, "samples": 1000, "alpha": 0.001},
    )


def test_fewer_classes_than_the_default_top_k():
    assert check(request(prediction={}), model=v1.Model(num_classes=3)).prediction.top_k == 3


SAME = [
    (attacking(), attacking(budget="standard", norms=["linf"])),
    (request(prediction={}), request(prediction={"top_k": 5}, version="2.0", seed=0)),
    (request(prediction={"set_method": "lac"}), request(prediction={"set_method": "lac", "set_alpha": 0.1})),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_request_become_equal(one, other):
    assert one != other
    assert check(one) == check(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (request(prediction={}), request(prediction={}, seed=1)),
        (request(prediction={}), request(prediction={}, bias={})),
        (attacking(norms=["l2", "linf"]), attacking(norms=["linf", "l2"])),
    ],
)
def test_requests_that_differ_stay_different(one, other):
    assert check(one) != check(other)
