"""A prediction with all its evidence."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from google.protobuf.json_format import MessageToJson

from whybox.results.bias import Bias
from whybox.results.certified import Certified
from whybox.results.explanation import Explanation
from whybox.results.part import Part
from whybox.results.prediction import Prediction
from whybox.results.receipt import Receipt, Timings
from whybox.results.robustness import Robustness
from whybox.v1 import AnalyzeResponse
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True, eq=False)
class Analysis:
    """A prediction and its evidence. A part that was not asked for is None; `explanations` is then empty.

    Attributes:
        request_id: Id of the request in the server's log.
        model: Name of the model that answered.
        version: Its version.
        prediction: Which classes, with which probability.
        explanations: Which pixels or regions spoke for a class; one map per method and target.
        robustness: How small a change makes the model change its mind.
        bias: What an audit found about the predicted class.
        certified: The proven radius within which the smoothed classifier keeps its answer.
        timings: How long the answer took.
        receipt: What is needed to get the same answer again.
        picture: The encoded picture that was sent.
        message: The message that the values were read from.
    """

    request_id: str
    model: str
    version: str
    prediction: Prediction | None
    explanations: tuple[Explanation, ...]
    robustness: Robustness | None
    bias: Bias | None
    certified: Certified | None
    timings: Timings | None
    receipt: Receipt | None
    picture: bytes = field(repr=False)
    message: AnalyzeResponse = field(repr=False)

    @property
    def errors(self) -> dict[str, WhyboxError]:
        """The errors of the parts that failed, by part: "prediction", "explanations[0]", ..., "certified"."""
        return {
            name: part.error
            for each in fields(self)
            for name, part in _entries(each.name, getattr(self, each.name))
            if part.error is not None
        }

    def to_json(self) -> str:
        """The answer as the REST interface writes it: protobuf JSON with the field names of the .proto files."""
        return MessageToJson(self.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _entries(name: str, value: object) -> Iterator[tuple[str, Part]]:
    """The parts in one field of an analysis, each with its name in the errors of the server."""
    if isinstance(value, Part):
        yield name, value
    elif isinstance(value, tuple):
        for explanation in value:
            yield f"{name}[{explanation.index}]", explanation
