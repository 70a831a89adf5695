"""How small a change flips the prediction: adversarial changes, and common corruptions."""

from dataclasses import dataclass

from whybox.results.attack import Distance
from whybox.results.part import Part
from whybox.results.prediction import ClassScore, View
from whybox.v1.errors import WhyboxError


@dataclass(frozen=True)
class CorruptionLevel:
    """A corruption in one severity.

    Attributes:
        severity: From 1 (mild) to 5; always 1 for a corruption without degrees.
        predicted_class: The prediction for the corrupted picture, or None. A corruption with several directions (a
            shift has four) gives the first direction that changes the answer, or else the first direction.
        flips: Whether this class differs from the prediction for the picture as it was sent.
    """

    severity: int
    predicted_class: ClassScore | None
    flips: bool


@dataclass(frozen=True)
class Corruption:
    """The effect of a common corruption or a change of geometry on the answer.

    Attributes:
        name: For example "gaussian_noise"; see `ModelInfo.corruptions`.
        group: "noise", "blur", "weather", "digital" or "geometry".
        levels: One for each severity, mild first; fewer, or none, if the deadline came first.
        first_flip: The lowest severity at which the answer changes; None if it does not change.
        stopped_by: "deadline" if it came before all severities were tried, else empty.
        error: Why the corruption could not be applied, or None.
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
        distances: One for each norm, in the order of the request.
        view: The part of the picture that was changed, or None if the server does not say.
        corruptions: One for each corruption that was asked for, in the order of `ModelInfo.corruptions`.
    """

    distances: tuple[Distance, ...]
    view: View | None
    corruptions: tuple[Corruption, ...]
