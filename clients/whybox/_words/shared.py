"""Lines, and the phrases that several parts have in common."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from whybox.results import ClassScore, Observation

Tone: TypeAlias = Literal["plain", "good", "doubtful", "bad", "minor"]


@dataclass(frozen=True)
class Line:
    """One line about a part of an answer.

    Attributes:
        text: The words.
        tone: What the line tells: good news, news to doubt, bad news, or minor news that a short account leaves out.
        depth: 0, or 1 for a line about the line before it.
    """

    text: str
    tone: Tone = "plain"
    depth: int = 0


def class_words(score: ClassScore) -> str:
    """For example "golden retriever 89.1 %"."""
    return f"{score.label} {percent_words(score.probability)}"


def percent_words(share: float) -> str:
    """A share of 0 to 1, for example "89.1 %"."""
    return f"{100 * share:.1f} %"


def cost_words(forward: int, gradients: int) -> str:
    """For example "12 gradients, 7 forward passes"."""
    return f"{gradients} gradient{'' if gradients == 1 else 's'}, {forward} forward pass{'' if forward == 1 else 'es'}"


def observation_lines(observations: Iterable[Observation]) -> Iterator[Line]:
    """One line below a part for each observation that was noted; the others are in the results."""
    for observation in observations:
        if observation.state == "noted":
            yield Line(f"{observation.kind.replace('_', ' ')}: {observation.message}", "doubtful", depth=1)
