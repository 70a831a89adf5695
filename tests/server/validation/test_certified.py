"""Options of a certificate: what is refused, and the defaults."""

import math

import pytest

from messages import message
from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox_server.validation.certified import CertifiedOptions

MODEL = v1.Model(name="m", num_classes=2)
OPTIONS = CertifiedOptions()


def filled(**options):
    request = message(v1.AnalyzeRequest, certified=options)
    OPTIONS.fill(request, MODEL)
    return request.certified


# What is wrong, the field that is named, and words of the remedy.
REFUSED = {
    "no noise": ({}, "sigma", ["a certified request needs a noise level", "set certified.sigma", "at most 2"]),
    "no noise, but samples": ({"samples": 100, "alpha": 0.01}, "sigma", ["needs a noise level"]),
    **{
        f"sigma {sigma}": ({"sigma": sigma}, "sigma", ["above 0 and at most 2"])
        for sigma in (0, -0.25, 2.000001, math.nan, math.inf, -math.inf)
    },
    **{
        f"samples {samples}": ({"sigma": 0.25, "samples": samples}, "samples", [str(samples), "100 to 100000"])
        for samples in (-1, 0, 99, 100_001, 2**31 - 1)
    },
    **{
        f"alpha {alpha}": ({"sigma": 0.25, "alpha": alpha}, "alpha", ["above 0 and below 0.5"])
        for alpha in (0, -0.001, 0.5, 1, math.nan, math.inf)
    },
}


@pytest.mark.parametrize(("options", "field", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(options, field, words):
    with pytest.raises(InvalidRequestError) as caught:
        filled(**options)
    assert caught.value.field == f"certified.{field}"
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sigma": 0.25}, {"sigma": 0.25, "samples": 1000, "alpha": 0.001}),
        ({"sigma": 1e-300, "samples": 100, "alpha": 1e-300}, {"sigma": 1e-300, "samples": 100, "alpha": 1e-300}),
        ({"sigma": 2, "samples": 100_000, "alpha": 0.499}, {"sigma": 2, "samples": 100_000, "alpha": 0.499}),
    ],
)
def test_defaults_and_ends_of_the_ranges(options, expected):
    assert filled(**options) == v1.CertifiedOptions(**expected)
    assert filled(**expected) == v1.CertifiedOptions(**expected)


def test_one_class_has_nothing_to_certify():
    request = message(v1.AnalyzeRequest, certified={"sigma": 1})
    OPTIONS.check_possible(request, MODEL, [])
    with pytest.raises(FailedPreconditionError, match="m has one class") as caught:
        OPTIONS.check_possible(request, v1.Model(name="m", num_classes=1), [])
    assert (caught.value.reason, caught.value.field) == ("ONE_CLASS", "certified")
