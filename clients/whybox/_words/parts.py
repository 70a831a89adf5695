"""How the parts of an answer are shown, one row for each: its heading and its lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from whybox._words.bias import bias_lines
from whybox._words.certified import certified_lines
from whybox._words.explanations import explanation_lines
from whybox._words.prediction import prediction_lines
from whybox._words.robustness import robustness_lines
from whybox._words.shared import Line
from whybox.results import Analysis, Part


@dataclass(frozen=True)
class ShownPart:
    """How one part is shown.

    Attributes:
        name: Its field in `Analysis`.
        heading: What stands above its lines on a terminal.
        lines: The lines about one value of the part.
        captioned: Whether a contact sheet has the words in the captions of its tiles instead of below all tiles.
    """

    name: str
    heading: str
    lines: Callable[[Any], Iterator[Line]]
    captioned: bool = False

    def computed(self, analysis: Analysis) -> tuple[Part, ...]:
        """The values of this part that did not fail: one for each map, and at most one for the other parts."""
        value: tuple[Part, ...] | Part | None = getattr(analysis, self.name)
        values = value if isinstance(value, tuple) else (value,)
        return tuple(part for part in values if part is not None and part.error is None)


SHOWN_PARTS = (
    ShownPart("prediction", "Prediction", prediction_lines, captioned=True),
    ShownPart("explanations", "Explanations", explanation_lines, captioned=True),
    ShownPart("robustness", "Robustness", robustness_lines),
    ShownPart("bias", "Bias", bias_lines),
    ShownPart("certified", "Certified", certified_lines),
)
