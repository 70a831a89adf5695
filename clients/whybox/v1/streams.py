"""Which parts of an answer a stream still owes."""

from whybox.v1.analysis_pb2 import AnalyzeRequest, AnalyzeResponse
from whybox.v1.errors import WhyboxError

_ANSWERED = AnalyzeResponse.DESCRIPTOR.fields_by_name


class Owed:
    """The parts that a request asks for and that have not come yet, named as in `PartTiming.part`.

    Args:
        request: What was asked.
    """

    def __init__(self, request: AnalyzeRequest) -> None:
        self._parts: dict[str, None] = {}
        self._begun = False
        for field, value in request.ListFields():
            # A part has its options in the request, and its answer under the same name.
            if field.message_type is None or field.name not in _ANSWERED:
                continue
            names = [f"{field.name}[{index}]" for index in range(len(value))] if field.is_repeated else [field.name]
            self._parts.update(dict.fromkeys(names))

    def note(self, message: AnalyzeResponse) -> None:
        """Notes a message of the stream; a part is complete with its timing."""
        self._begun = True
        for timing in message.timings.parts:
            self._parts.pop(timing.part, None)

    def told(self, error: WhyboxError) -> WhyboxError:
        """The error that ends the stream; it names the missing parts if the stream had begun and it does not yet."""
        if not self._begun or not self._parts or error.missing:
            return error
        parts = tuple(self._parts)
        message = f"{error.message}; the stream ended without {', '.join(parts)}"
        return type(error)(
            message, reason=error.reason, field=error.field, retry_after=error.retry_after, missing=parts
        )
