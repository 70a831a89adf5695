"""Whether an answer fits into the messages that its caller takes, known before any work on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import RESPONSE_BYTES_KEY
from whybox_server.gateway.parts import PARTS
from whybox_server.gateway.sizes.served import Served

# What the workers add to the receipt: versions of libraries, and the name of the device.
_RUNTIME_BYTES = 4096
# An entry of `Timings.parts`, and the frames of a part in a message of its own.
_AROUND_PIECE_BYTES = 128


@dataclass(frozen=True)
class Bound:
    """How large an answer can be.

    Attributes:
        whole: Bytes of the whole answer, at most.
        piece: Bytes of the largest message that cannot be divided further, at most.
    """

    whole: int
    piece: int


def bound(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served], common: v1.AnalyzeResponse) -> Bound:
    """How large the answer to a request can be.

    Args:
        request: With every default filled in, without the picture.
        served: The model that is asked.
        others: The other served models.
        common: What belongs to no part, as far as it is known before the work; every message has it.
    """
    around = common.ByteSize() + _RUNTIME_BYTES
    asked = [part for part in PARTS.values() if part.is_asked(request)]
    sizes = [_AROUND_PIECE_BYTES + size for part in asked for size in part.sizes(request, served, others)]
    return Bound(around + sum(sizes), around + max(sizes))


def check_room(bound: Bound, max_bytes: float, *, streamed: bool) -> None:
    """Raises InvalidRequestError, with what can be done, if a message of the answer may be larger than `max_bytes`.

    Args:
        bound: How large the answer can be.
        max_bytes: The largest message that the caller takes.
        streamed: Whether the answer is divided into pieces.
    """
    size = bound.piece if streamed else bound.whole
    if size <= max_bytes:
        return
    what = "a single map or distance of the answer" if streamed else "the answer"
    fewer = "ask for fewer of its pictures, or for maps as uint8 or float16"
    if not streamed:
        fewer = "ask for fewer maps and pictures, or for maps as uint8 or float16"
        if bound.piece <= max_bytes:
            fewer = f"call StreamAnalysis, which divides the answer; {fewer}"
    message = (
        f"{what} may have up to {size:,} bytes, and the caller takes messages of {max_bytes:,}; {fewer}; or raise the "
        f"limit of the channel and send it as the metadata {RESPONSE_BYTES_KEY}"
    )
    raise InvalidRequestError(message, reason="ANSWER_TOO_LARGE", field=RESPONSE_BYTES_KEY)
