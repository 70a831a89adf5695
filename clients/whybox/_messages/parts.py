"""The parts of an answer, one row for each: its name, its options, and how its messages are written and read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from whybox import results
from whybox._messages.bias import ask_bias, read_bias
from whybox._messages.certified import ask_certified, read_certified
from whybox._messages.explanations import ask_explanations, read_explanation
from whybox._messages.prediction import PREDICTION_OPTIONS, ask_prediction, read_prediction
from whybox._messages.robustness import ask_robustness, read_robustness
from whybox.options import AnalyzeOptions, AttackOptions, MapOptions, PartName, SmoothingOptions


@dataclass(frozen=True)
class Part:
    """A part of an answer.

    Attributes:
        name: Its field in `AnalyzeRequest`, in `AnalyzeResponse` and in `Analysis`.
        options: Names of the options that are for this part alone.
        ask: Writes the options of this part as its message or messages.
        read: Makes the value of one message of this part, given the encoded picture.
        by_default: Whether the part is computed when the caller names no parts; if not, only when the caller gives one
            of its options.
    """

    name: PartName
    options: tuple[str, ...]
    ask: Callable[[AnalyzeOptions], Message | Iterable[Message]]
    read: Callable[[Any, bytes], results.Part]
    by_default: bool = True


PARTS = (
    Part("prediction", PREDICTION_OPTIONS, ask_prediction, read_prediction),
    Part("explanations", ("methods", *MapOptions.__annotations__), ask_explanations, read_explanation),
    Part("robustness", tuple(AttackOptions.__annotations__), ask_robustness, read_robustness),
    Part("bias", ("attributes",), ask_bias, read_bias),
    # A certificate takes long, and needs a level of noise.
    Part("certified", tuple(SmoothingOptions.__annotations__), ask_certified, read_certified, by_default=False),
)
