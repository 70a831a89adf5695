"""The schema of a kind says what its reader takes."""

import jsonschema
import pytest

from whybox_server.validation.kinds import CLASS, number


@pytest.mark.parametrize(
    ("value", "taken"),
    [("x", True), ("tabby", True), ("3", True), (3, True), (3.0, True), ("", False), (True, False), (None, False)],
)
def test_a_class_is_described_as_it_is_read(value: object, taken: bool) -> None:
    assert jsonschema.Draft202012Validator(CLASS.schema).is_valid(value) == taken
    if taken:
        CLASS.read(value)
    else:
        with pytest.raises(ValueError, match="index or the name of a class"):
            CLASS.read(value)


@pytest.mark.parametrize("value", [5e-324, 2.2250738585072014e-308, 1e-100, 1e-99, 0.5, 1.7976931348623157e308])
def test_a_number_is_read_as_python_and_javascript_spell_it(value: float) -> None:
    assert number(low=0).read(repr(value)) == value
