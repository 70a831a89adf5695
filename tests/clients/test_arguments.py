"""Every kind of argument is read in one way, and refused with one error that names it."""

import decimal
import enum
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from whybox import arguments


class Norm(enum.StrEnum):
    LINF = "linf"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, 5),
        (5.0, 5),
        (np.int64(5), 5),
        (np.uint8(5), 5),
        (np.float32(5), 5),
        (np.array(5), 5),
        (np.array(5.0), 5),
        (torch.tensor(5), 5),
        (torch.tensor(5.0), 5),
        (2**31 - 1, 2**31 - 1),
        (-(2**31), -(2**31)),
    ],
)
def test_integers(given: Any, expected: int) -> None:
    read = arguments.integer("n", given)
    assert (read, type(read)) == (expected, int)


@pytest.mark.parametrize(
    "given",
    [
        True, np.bool_(True), np.array(True), torch.tensor(True), 5.5, float("nan"), float("inf"), np.float64(5.5), "5",
        b"5", [5], np.array([5]), torch.tensor([5]), torch.tensor(5, device="meta"), 5 + 0j, Fraction(5), None,
    ],
)  # fmt: skip
def test_what_is_no_integer(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^n must be an integer from -2147483648 to 2147483647, not .{1,80}$"):
        arguments.integer("n", given)


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [(2**31, -(2**31), 2**31 - 1), (-1, 0, 2**32 - 1), (2**32, 0, 2**32 - 1), (0, 1, 5), (-1, 1, 5), (1e30, 1, 5)],
)
def test_integers_out_of_range(given: Any, low: int, high: int) -> None:
    with pytest.raises(ValueError, match=f"^n must be an integer from {low} to {high}, not "):
        arguments.integer("n", given, low, high)


@pytest.mark.parametrize(
    "given", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2), decimal.Decimal("0.5")]
)
def test_numbers(given: Any) -> None:
    read = arguments.number("x", given)
    assert (read, type(read)) == (0.5, float)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        *((given, ValueError) for given in (float("nan"), float("-inf"), np.float32("inf"), torch.tensor(torch.nan))),
        (10**400, ValueError),
        (decimal.Decimal("sNaN"), ValueError),
        *((given, TypeError) for given in (True, np.bool_(False), "0.5", b"1", [0.5], np.array([0.5]), 1j, None)),
        (torch.tensor([0.5]), TypeError),
        (torch.tensor(True), TypeError),
    ],
)
def test_what_is_no_finite_number(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^x must be a finite number, not "):
        arguments.number("x", given)


@pytest.mark.parametrize("value", [True, False])
def test_flags(value: bool) -> None:
    for given in (value, np.bool_(value), np.array(value), torch.tensor(value)):
        assert arguments.flag("f", given) is value


@pytest.mark.parametrize("given", [0, 1, 1.0, "true", np.int64(1), [True], np.array([True]), None])
def test_what_is_no_flag(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^f must be True or False, not "):
        arguments.flag("f", given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("rise", ("rise",)),
        (np.str_("rise"), ("rise",)),
        (Norm.LINF, ("linf",)),
        (["rise", Norm.LINF], ("rise", "linf")),
        (np.array(["rise", "lime"]), ("rise", "lime")),
        (np.array("rise"), ("rise",)),
        ((each for each in ("rise", "lime")), ("rise", "lime")),
        ((), ()),
    ],
)
def test_names(given: Any, expected: tuple[str, ...]) -> None:
    read = arguments.names("methods", given)
    assert read == expected
    assert {type(name) for name in read} <= {str}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        *((given, TypeError, "not ") for given in (5, True, b"rise", bytearray(b"rise"), object(), torch.tensor(5))),
        (["rise", 5], TypeError, "not 5"),
        ([b"rise"], TypeError, "not b'rise'"),
        ([None], TypeError, "not None"),
        ([["rise"]], TypeError, "not \\['rise'\\]"),
        ("", ValueError, "with at least one character"),
        (["rise", ""], ValueError, "with at least one character"),
        ("\udc00", ValueError, "of valid Unicode"),
    ],
)
def test_what_is_no_name(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^methods must be a name or several names.*{words}"):
        arguments.names("methods", given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, (0,)),
        (torch.tensor(5), (5,)),
        (np.array(5), (5,)),
        ("tabby", ("tabby",)),
        ([torch.tensor(5), "tabby", 3.0], (5, "tabby", 3)),
        (torch.tensor([5, 2]), (5, 2)),
        (range(2), (0, 1)),
        ([], ()),
    ],
)
def test_classes(given: Any, expected: tuple[int | str, ...]) -> None:
    assert arguments.classes("target", given) == expected


@pytest.mark.parametrize(
    ("given", "error"),
    [
        *((given, TypeError) for given in (True, [True], torch.tensor(True), 3.5, b"tabby", None, [None], [[1]])),
        (torch.zeros(2, 2), TypeError),
        *((given, ValueError) for given in (-1, [5, -1], 2**31, "", ["tabby", ""], "\udc00")),
    ],
)
def test_what_is_no_class(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^target must be a class's index or label"):
        arguments.classes("target", given)


def test_neither_numpy_nor_torch_is_loaded() -> None:
    loads = "import sys, whybox.arguments; print({'numpy', 'torch'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", loads], text=True).strip() == "set()"
