"""How little would change its mind: adversarial changes, and common corruptions."""

from dataclasses import dataclass

from whybox.results.attack import Distance
from whybox.results.part import Part
from whybox.results.prediction import ClassScore, View
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True)
class CorruptionLevel:
    """A corruption in one severity.

    Attributes:
        severity: From 1, mild, to 5; 1 alone where there are no degrees.
        predicted_class: What the model predicts, or None; of a change with several directions (a step aside: four) in
            the first in which the answer changes, or else in the first.
        flips: Whether that is another class than for the picture as it was sent.
    """

    severity: int
    predicted_class: ClassScore | None
    flips: bool


@dataclass(frozen=True)
class Corruption:
    """What a common corruption or a change of geometry does to the answer.

    Attributes:
        name: For example "gaussian_noise"; see `ModelInfo.corruptions`.
        group: "noise", "blur", "weather", "digital" or "geometry".
        levels: By severity; fewer than there are, or none, where the deadline came first.
        first_flip: The lowest severity at which the answer changes; None where it never does.
        stopped_by: "" for all severities, or "deadline".
        error: Why nothing is known of it, or None.
    """

    name: str
    group: str
    levels: tuple[CorruptionLevel, ...]
    first_flip: int | None
    stopped_by: str
    error: WhyboxError | None = None


@dataclass(frozen=True)
class Robustness(Part):
    """How small a change makes the model change its mind.

    Attributes:
        distances: One per norm, in the order of the request.
        view: The part of the picture that was changed, or None where the server does not say.
        corruptions: One for each corruption that was asked for, in the order of `ModelInfo.corruptions`.
    """

    distances: tuple[Distance, ...]
    view: View | None
    corruptions: tuple[Corruption, ...]
