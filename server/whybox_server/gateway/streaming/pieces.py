"""An answer in several messages, where it is too large for one."""

from collections.abc import Iterator

from google.protobuf.message import Message

from whybox import v1
from whybox_server.gateway.parts import PARTS


def pieces(answer: v1.AnalyzeResponse, max_bytes: float) -> Iterator[v1.AnalyzeResponse]:
    """The answer in messages of at most `max_bytes`, as few as the order of its entries allows.

    Protobuf's merge of the messages is the answer. Lists are divided between entries, so a message is larger only if
    one entry alone is. The timing of a part stands in the message that completes it. What belongs to no part stands in
    each message.
    """
    if answer.ByteSize() <= max_bytes:
        yield answer
        return
    common = _without_parts(answer)
    piece: v1.AnalyzeResponse | None = None
    for element in _elements(answer):
        # Merged, the two have at most the sum of their sizes.
        if piece is not None and piece.ByteSize() + element.ByteSize() > max_bytes:
            yield piece
            piece = None
        if piece is None:
            piece = v1.AnalyzeResponse()
            piece.CopyFrom(common)
        piece.MergeFrom(element)
    if piece is not None:
        yield piece


def _without_parts(answer: v1.AnalyzeResponse) -> v1.AnalyzeResponse:
    common = v1.AnalyzeResponse()
    for field, value in answer.ListFields():
        if field.name in PARTS:
            continue
        if field.message_type is None:
            setattr(common, field.name, value)
        else:
            getattr(common, field.name).CopyFrom(value)
    common.timings.ClearField("parts")
    return common


def _elements(answer: v1.AnalyzeResponse) -> Iterator[v1.AnalyzeResponse]:
    """Each entry of a part's lists by itself, after the rest of the part; the last one of a part has its timing."""
    timings = {timing.part: timing for timing in answer.timings.parts}
    for field, content in answer.ListFields():
        if field.name not in PARTS:
            continue
        if field.is_repeated:
            for entry in content:
                element = v1.AnalyzeResponse()
                getattr(element, field.name).append(entry)
                yield _timed(element, timings.get(f"{field.name}[{entry.index}]"))
        else:
            *begun, last = _divided(field.name, content)
            yield from begun
            yield _timed(last, timings.get(field.name))


def _divided(name: str, content: Message) -> Iterator[v1.AnalyzeResponse]:
    """A part without its lists of messages, and then each entry of these."""
    lists = [field for field, _ in content.ListFields() if field.is_repeated and field.message_type is not None]
    rest = v1.AnalyzeResponse()
    getattr(rest, name).CopyFrom(content)
    for field in lists:
        getattr(rest, name).ClearField(field.name)
    yield rest
    for field in lists:
        for entry in getattr(content, field.name):
            element = v1.AnalyzeResponse()
            getattr(getattr(element, name), field.name).append(entry)
            yield element


def _timed(element: v1.AnalyzeResponse, timing: v1.PartTiming | None) -> v1.AnalyzeResponse:
    if timing is not None:
        element.timings.parts.append(timing)
    return element
