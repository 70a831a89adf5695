"""The draw of pictures: what is asked about stands for all pictures of its stratum."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from whybox_server.studies.errors import StudyError

Stratum = Literal["error", "correct"]


@dataclass(frozen=True)
class Candidate:
    """A picture that may be drawn.

    Attributes:
        file: Path of the picture below the folder of the data set, with `/`.
        sha256: Digest of its bytes, in hexadecimal digits.
        label: Index of the class that the data set gives.
        predicted: Index of the class that the model answers.
        confidence: Softmax probability of that class, 0 to 1.
        perceptual_hash: 16 hexadecimal digits.
    """

    file: str
    sha256: str
    label: int
    predicted: int
    confidence: float
    perceptual_hash: str

    @property
    def stratum(self) -> Stratum:
        """Whether the model's answer is the data set's."""
        return "correct" if self.predicted == self.label else "error"


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn.

    Attributes:
        candidate: The picture.
        inclusion_probability: How probable it was to be drawn from its stratum, above 0 and up to 1.
    """

    candidate: Candidate
    inclusion_probability: float


@dataclass(frozen=True)
class Sample:
    """The pictures of a study.

    Attributes:
        drawn: The pictures, sorted by file.
        errors: Number of pictures with a wrong answer that could be drawn.
        correct: Number of pictures with a right answer that could be drawn.
    """

    drawn: tuple[Drawn, ...]
    errors: int
    correct: int


def draw(candidates: Sequence[Candidate], errors: int | None, correct: float, seed: int) -> Sample:
    """Draws pictures from each stratum, without replacement and each with the same probability.

    A larger number with the same seed gives the same pictures and more.

    Args:
        candidates: The pictures.
        errors: Number of pictures with a wrong answer, at least 1; None for all of them.
        correct: Share of the pictures with a right answer, 0 to 1; at least one is drawn unless the share is 0.
        seed: Seed of the draw.

    Raises:
        StudyError: No picture has a wrong answer, or fewer have one than are asked for.
    """
    wrong = [each for each in candidates if each.stratum == "error"]
    right = [each for each in candidates if each.stratum == "correct"]
    if not wrong:
        remedy = "there is no error to ask people about; give a data set that the model does not solve"
        raise StudyError(f"the model answers all {len(candidates)} pictures rightly: {remedy}")
    if errors is not None and errors > len(wrong):
        raise StudyError(f"--errors {errors} are more than the {len(wrong)} misclassified pictures; leave --errors out")
    number = min(max(round(correct * len(right)), 1), len(right)) if correct else 0
    drawn = [*_drawn(wrong, len(wrong) if errors is None else errors, seed), *_drawn(right, number, seed)]
    return Sample(tuple(sorted(drawn, key=lambda each: each.candidate.file)), len(wrong), len(right))


def shuffled(candidates: Iterable[Candidate], seed: int) -> list[Candidate]:
    """The pictures in a random order that depends on the seed and on their names alone."""
    return sorted(candidates, key=lambda each: hashlib.sha256(f"{seed}:{each.file}".encode()).digest())


def _drawn(stratum: Sequence[Candidate], number: int, seed: int) -> list[Drawn]:
    return [Drawn(each, number / len(stratum)) for each in shuffled(stratum, seed)[:number]]
