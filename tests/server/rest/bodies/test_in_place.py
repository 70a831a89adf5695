"""A long picture in base64 is read from the text of the body: every way to write it gives the same picture."""

import base64
import json

import pytest

from whybox.v1.errors import InvalidRequestError, PictureError
from whybox_server.rest.bodies.base64_text import decoded
from whybox_server.rest.bodies.reading import _parsed_in_place, parsed

PICTURE = bytes(range(256)) * 400
TEXT = base64.b64encode(PICTURE).decode()
OTHER = base64.b64encode(PICTURE[::-1] * 2).decode()

BODIES = {
    "alone": json.dumps({"image": TEXT}),
    "with others": json.dumps({"top_k": 3, "image": TEXT, "seed": 1}),
    "beside a longer one": json.dumps({"image": TEXT, "explanations": [{"baseline_image": OTHER}]}),
    "escaped": json.dumps({"image": TEXT}).replace("/", "\\/"),
    "in lines": json.dumps({"image": TEXT[:70000] + "\n" + TEXT[70000:]}),
    "in spaces": json.dumps({"image": TEXT}, indent=" " * 70000),
    "after an escaped quote": json.dumps({"seed": f'"{OTHER}', "image": TEXT}),
    "in another field": json.dumps({"image": base64.b64encode(b"short").decode(), "other": OTHER}),
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
def test_the_fields_are_those_of_the_parser(text: str) -> None:
    expected, fields = parsed(text.encode()), _parsed_in_place(bytearray(text.encode()))
    assert decoded("image", fields.pop("image")) == decoded("image", expected.pop("image"))
    assert fields == expected


def test_only_the_text_of_the_body_holds_the_picture() -> None:
    assert isinstance(_parsed_in_place(bytearray(BODIES["with others"].encode()))["image"], memoryview)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"image": "{TEXT}",}}',
        f'{{"image": "{TEXT}", "image": ""}}',
        f'["{TEXT}"]',
        f'{{"{TEXT}": 1',
        f'"{TEXT}"',
    ],
    ids=["a comma", "twice", "a list", "cut off", "a string"],
)
def test_what_is_wrong_is_told_as_the_parser_tells_it(text: str) -> None:
    with pytest.raises(InvalidRequestError) as expected:
        parsed(text.encode())
    with pytest.raises(InvalidRequestError) as told:
        _parsed_in_place(bytearray(text.encode()))
    assert str(told.value) == str(expected.value)


@pytest.mark.parametrize(
    "wrong", [TEXT[:-1] + "A=", "=" + TEXT, TEXT[:-1]], ids=["length", "padding first", "no padding"]
)
def test_wrong_base64_is_refused_in_place_too(wrong: str) -> None:
    with pytest.raises(PictureError, match="image is not valid base64"):
        decoded("image", _parsed_in_place(bytearray(json.dumps({"image": wrong}).encode()))["image"])
