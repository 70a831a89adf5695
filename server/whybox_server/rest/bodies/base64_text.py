"""Pictures as base64 in JSON: line breaks and spaces are skipped, as in MIME; everything else is refused."""

import base64
import binascii
import re

from whybox.v1.errors import PictureError

_WHITESPACE = str.maketrans("", "", " \t\r\n")
# Both alphabets and no padding, as the JSON form of a protobuf message allows.
_OF_A_MESSAGE = re.compile("[A-Za-z0-9+/_-]*={0,2}")


def decoded(name: str, text: object) -> bytes:
    """The bytes of a picture.

    Args:
        name: The field that holds it, for errors.
        text: Base64, padded, perhaps a view of the body; None stands for no picture.

    Raises:
        PictureError: It is no base64.
    """
    if text is None:
        return b""
    try:
        if isinstance(text, memoryview):
            return binascii.a2b_base64(text, strict_mode=True)
        return base64.b64decode(_without_whitespace(name, text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(name, str(error)) from None


def of_message(name: str, text: object) -> str:
    """Base64 for a field of a message, checked, because the parser of messages drops what it does not know.

    Args:
        name: The field that holds it, for errors.
        text: Base64 in either alphabet, with padding or without.

    Raises:
        PictureError: It is no base64.
    """
    cleaned = _without_whitespace(name, text)
    if not _OF_A_MESSAGE.fullmatch(cleaned):
        raise _wrong(name, "only base64 data is allowed")
    return cleaned


def _without_whitespace(name: str, text: object) -> str:
    """The text without spaces, tabs and line breaks; raises PictureError if it is no text."""
    if not isinstance(text, str):
        raise PictureError(f"{name} must be a string in base64", field=name)
    return text.translate(_WHITESPACE)


def _wrong(name: str, why: str) -> PictureError:
    message = f"{name} is not valid base64 ({why}); no `data:` prefix, padded with `=`; white space is skipped"
    return PictureError(message, field=name)
