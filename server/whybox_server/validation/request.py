"""A request against the model that it names: checked, and with every default filled in.

Everything that can be wrong with a request is refused here, before it waits in any queue, except for the picture's
content, which is read where it is decoded, and what `PartOptions.check_possible` leaves to each part.
"""

from collections.abc import Sequence
from typing import Any, cast

from whybox import v1
from whybox.v1.errors import InvalidRequestError, PictureError, PictureTooLargeError
from whybox_server.validation.kinds import BOOLEAN, TEXT, integer, number
from whybox_server.validation.options import Option, PartOptions

NO_PICTURE = "there is no picture; send the bytes of a JPEG, PNG, WebP or GIF file"

_MAX_SEED = 2**32 - 1
_REPEATED = {field.name for field in v1.AnalyzeRequest.DESCRIPTOR.fields if field.is_repeated}

VERSION: Option[v1.Model] = Option(
    "version", TEXT, "Version of the model. Default: the newest one, or one that is drawn by WHYBOX_TRAFFIC."
)
TIMEOUT: Option[v1.Model] = Option(
    "timeout",
    number(above=0, unit="seconds"),
    "Seconds that the caller waits; the server's own limit holds in any case.",
)
COMMON: tuple[Option[v1.Model], ...] = (
    VERSION,
    Option("seed", integer(0, _MAX_SEED), "Seed of every method that samples. Default: 0."),
    Option(
        "view",
        BOOLEAN,
        "Whether the picture is the model's view itself, as an adversarial picture is: it has exactly the size of the "
        "view and is neither resized nor cropped. Default: false.",
    ),
    TIMEOUT,
)
"""The options of a request that belong to no part."""


def validated(
    request: v1.AnalyzeRequest, picture: bytes, model: v1.Model, parts: Sequence[PartOptions], max_image_bytes: int
) -> v1.AnalyzeRequest:
    """A copy of the request with every default filled in: two requests that mean the same become equal.

    Args:
        request: As it came, without the picture.
        picture: The encoded picture.
        model: The model that the request names.
        parts: All parts that there are.
        max_image_bytes: Size limit of the encoded picture.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    check_picture(picture, max_image_bytes)
    filled = v1.AnalyzeRequest()
    filled.CopyFrom(request)
    filled.version = model.version
    asked = [part for part in parts if is_asked(request, part.part)]
    if not asked:
        *names, last = (part.part for part in parts)
        raise InvalidRequestError(f"ask for at least one of {', '.join(names)} and {last}")
    for part in asked:
        part.fill(filled, model)
    return filled


def is_asked(request: v1.AnalyzeRequest, part: str) -> bool:
    """Whether the request asks for a part, a field of `AnalyzeRequest`."""
    return bool(getattr(request, part)) if part in _REPEATED else request.HasField(cast("Any", part))


def check_picture(picture: bytes, max_image_bytes: int) -> None:
    """Raises PictureError where there is no picture, PictureTooLargeError where it has too many bytes."""
    if not picture:
        raise PictureError(NO_PICTURE, field="image")
    if len(picture) > max_image_bytes:
        raise picture_too_large(max_image_bytes)


def picture_too_large(max_image_bytes: int) -> PictureTooLargeError:
    """The error for a picture with too many bytes."""
    message = f"the picture may have at most {max_image_bytes:,} bytes; scale it down or compress it more"
    return PictureTooLargeError(message, field="image")
