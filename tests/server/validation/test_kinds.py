"""The schema of a kind says what its reader takes."""

import jsonschema
import pytest

from whybox_server.validation.kinds import CLASS


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
