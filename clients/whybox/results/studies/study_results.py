"""The results of a study, which print and plot themselves."""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from whybox.drawing.forest import Panel, Row, forest
from whybox.results.studies.outcome import (
    Agreement,
    CellOutcome,
    Contrast,
    Count,
    Estimate,
    Exclusions,
    Latent,
    Sensitivity,
    Speed,
)
from whybox.results.studies.words import cell_words, contrast_words, is_clean, result_lines


@dataclass(frozen=True)
class StudyResults:
    """What people say of the model's error; `str` tells it in lines, `plot` draws it.

    Attributes:
        study: Id of the study.
        digest: SHA-256 of its protocol.
        title: Its title.
        model: Name and version of the model whose answers people judged.
        data: The data set.
        asked: What people were asked.
        counts: Numbers by counting alone.
        limits: What cannot be known from these answers, a sentence each.
        estimand: What every estimate is of. It belongs beside every interval.
        left_out: What the intervals leave out; empty if it is known who answered what.
        extrapolated: What the estimates marked as extrapolated are; empty without any.
        seed: Seed of the redraws behind the intervals.
        redraws: Number of the redraws.
        errors: Pictures of the data set that the model answers wrongly.
        correct: Pictures of the data set that the model answers rightly.
        standard_error: Error of the model on the data set.
        votes: Number of votes that count; one about an item that stands for several cells is one vote.
        unasked_errors: Errors about which nobody could be asked; they count as rejected.
        unasked_correct: Correct answers about which nobody could be asked; they count as accepted.
        cells: One for each cell with a vote, in the order of the protocol.
        contrasts: Differences between cells, the registered ones first.
        sensitivity: The accepted share, had "maybe" and ties counted otherwise.
        agreement: Over all cells, then for each cell.
        dawid_skene: Hidden classes by Dawid and Skene; None where people are unknown.
        exclusions: Who was excluded.
        speed: Which answers were fast.
        json: results.json as the server has it.
    """

    study: str
    digest: str
    title: str
    model: str
    data: str
    asked: str
    counts: tuple[Count, ...]
    limits: tuple[str, ...]
    estimand: str
    left_out: str
    extrapolated: str
    seed: int
    redraws: int
    errors: int
    correct: int
    standard_error: float
    votes: int
    unasked_errors: int
    unasked_correct: int
    cells: tuple[CellOutcome, ...]
    contrasts: tuple[Contrast, ...]
    sensitivity: tuple[Sensitivity, ...]
    agreement: tuple[Agreement, ...]
    dawid_skene: Latent | None
    exclusions: Exclusions
    speed: Speed
    json: str = field(repr=False, compare=False)

    def __str__(self) -> str:
        return "\n".join(
            result_lines(
                (self.title, self.estimand, self.left_out, self.extrapolated, *self.limits),
                self.counts,
                self.cells,
                self.contrasts,
                self.agreement,
                self.exclusions,
            )
        )

    def plot(self, size: int = 960) -> Image.Image:
        """Draws all estimates with their intervals for 95 %, one below the other.

        Three panels share the picture: the rectified beside the standard error, how many answers people accept in the
        other cells, and the differences between cells. The estimand stands below.

        Args:
            size: Width in pixels, 640 to 8,000.

        Raises:
            TypeError, ValueError: `size` is no such number.
        """
        panels = (self._errors(), self._accepted(), self._contrasts(registered_alone=False))
        return forest(panels, (self.title, f"{self.model} on {self.data}"), self._footer, size)

    def plot_errors(self, size: int = 960) -> Image.Image:
        """Draws the rectified beside the standard error, for each explanation that people saw.

        Args:
            size: Width in pixels, 640 to 8,000.

        Raises:
            TypeError, ValueError: `size` is no such number.
        """
        return forest((self._errors(),), (self.title,), self._footer, size)

    def plot_contrasts(self, size: int = 960, *, registered_alone: bool = False) -> Image.Image:
        """Draws the differences between cells.

        Args:
            size: Width in pixels, 640 to 8,000.
            registered_alone: Whether the exploratory ones are left out.

        Raises:
            TypeError, ValueError: `size` is no such number.
        """
        return forest((self._contrasts(registered_alone=registered_alone),), (self.title,), self._footer, size)

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes `results.json`, byte by byte as the server has it, and the plot as `results.png`.

        Args:
            folder: Where to write; a missing folder is made.

        Returns:
            The files.

        Raises:
            OSError: The folder or a file cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        numbers, plot = folder / "results.json", folder / "results.png"
        numbers.write_bytes(self.json.encode())
        self.plot().save(plot)
        return numbers, plot

    @property
    def _footer(self) -> tuple[str, ...]:
        return tuple(line for line in (self.estimand, self.left_out, self.extrapolated, *self.limits) if line)

    def _errors(self) -> Panel:
        rows = [
            Row(cell_words(cell.cell), rectified.estimate, rectified.low, rectified.high, other=cell.standard_error)
            for cell in self.cells
            if (rectified := _rectified(cell)) is not None
        ]
        return Panel("Error of the model", rows, filled="rectified by people", other="by the data set's labels")

    def _accepted(self) -> Panel:
        rows = [
            Row(cell_words(cell.cell), cell.accepted.estimate, cell.accepted.low, cell.accepted.high)
            for cell in self.cells
            if _rectified(cell) is None
        ]
        return Panel("Answers that people accept", rows, filled="accepted share")

    def _contrasts(self, *, registered_alone: bool) -> Panel:
        rows = [
            Row(
                contrast_words(contrast.plus, contrast.minus),
                contrast.difference.estimate,
                contrast.difference.low,
                contrast.difference.high,
                filled=contrast.registered,
            )
            for contrast in self.contrasts
            if contrast.registered or not registered_alone
        ]
        return Panel(
            "Difference in the accepted share, percentage points",
            rows,
            filled="registered",
            hollow="exploratory",
            signed=True,
        )


def _rectified(cell: CellOutcome) -> Estimate | None:
    """The rectified error of a cell with clean pictures; all answers about adversarial ones are errors."""
    return cell.rectified if is_clean(cell.cell) else None
