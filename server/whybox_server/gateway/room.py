"""Whether an answer fits into the messages that its caller takes, known before any work on it."""

from collections.abc import Iterator, Sequence

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import RESPONSE_BYTES_KEY
from whybox_server.gateway.parts import PARTS
from whybox_server.gateway.sizes.served import Served

# What the workers add to the receipt: versions of libraries, and the name of the device.
_RUNTIME_BYTES = 4096
# Of an entry of `Timings.parts`, with the frame of the part's entry.
_TIMING_BYTES = 128


def check_room(
    request: v1.AnalyzeRequest,
    served: Served,
    others: Sequence[Served],
    common: v1.AnalyzeResponse,
    *,
    max_bytes: float,
    streamed: bool,
) -> None:
    """Raises InvalidRequestError, with what can be done, unless every message of the answer fits into `max_bytes`.

    Args:
        request: With every default filled in, without the picture.
        served: The model that is asked.
        others: The other served models.
        common: What belongs to no part; every message has it.
        max_bytes: The largest message that the caller takes.
        streamed: Whether the answer may be divided into pieces.
    """
    around = common.ByteSize() + _RUNTIME_BYTES
    sizes = list(_sizes(request, served, others))
    whole, largest = around + sum(sizes), around + max(sizes)
    size = largest if streamed else whole
    if size <= max_bytes:
        return
    remedies = ["ask for fewer maps or pictures", "for maps as uint8 or float16"]
    if streamed:
        what, remedies = "one map or distance with its pictures", ["ask for fewer of its pictures", *remedies[1:]]
    else:
        what = "the answer"
        if largest <= max_bytes:
            remedies.insert(0, "call StreamAnalysis, which divides it")
    message = (
        f"{what} may have up to {size:,} bytes, and the caller takes messages of {max_bytes:,}; {', '.join(remedies)}, "
        f"or take larger messages and send their size as the metadata {RESPONSE_BYTES_KEY}"
    )
    raise InvalidRequestError(message, reason="ANSWER_TOO_LARGE", field=RESPONSE_BYTES_KEY)


def _sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> Iterator[int]:
    """The largest size of each piece of the answer, in bytes."""
    for part in PARTS.values():
        if part.is_asked(request):
            for size in part.sizes(request, served, others):
                yield size + _TIMING_BYTES
