"""From an answer of `whybox.v1` to the value of `whybox.results`."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from google.protobuf.message import Message

from whybox import results, v1
from whybox._messages.fields import many, one, plain
from whybox._messages.parts import PARTS, Part
from whybox.v1.errors import WhyboxError
from whybox.v1.streams import Owed


def read_analysis(message: v1.AnalyzeResponse, picture: bytes) -> results.Analysis:
    """The value of one answer about the encoded `picture`.

    Raises:
        InternalError: A map or a mask of the answer cannot be decoded.
    """
    return results.Analysis(
        **plain(message),
        **{part.name: _read(part, message, picture) for part in PARTS},
        timings=_timings(message.timings) if message.HasField("timings") else None,
        receipt=one(message, "receipt", results.Receipt),
        picture=picture,
        message=message,
    )


def read_stream(
    answers: Generator[v1.AnalyzeResponse, None, None], request: v1.AnalyzeRequest
) -> Generator[results.Analysis, None, None]:
    """The value of each answer of a stream to a request; closing it closes `answers`.

    Raises:
        InternalError: A map or a mask of an answer cannot be decoded.
        WhyboxError: The stream ended early; the error names what is missing, also where the connection broke.
    """
    owed = Owed(request)
    with closing(answers):
        try:
            for answer in answers:
                owed.note(answer)
                yield read_analysis(answer, request.image)
        except WhyboxError as error:
            told = owed.told(error)
            if told is error:
                raise
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
            raise told from error


def _read(part: Part, message: Message, picture: bytes) -> Any:
    """The value of one part: a tuple for a repeated part, None for an absent one."""
    if message.DESCRIPTOR.fields_by_name[part.name].is_repeated:
        return tuple(part.read(each, picture) for each in getattr(message, part.name))
    return part.read(getattr(message, part.name), picture) if message.HasField(part.name) else None


def _timings(message: v1.Timings) -> results.Timings:
    return results.Timings(**plain(message), parts=many(message.parts, results.PartTiming))
