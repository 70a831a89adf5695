"""Practice and gold: pictures whose right answer is known."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from whybox_server.audits.data.classes import Classes, ClassNameError
from whybox_server.audits.data.tables import Table
from whybox_server.studies.creation.asked import Known
from whybox_server.studies.creation.sampling import Candidate, shuffled
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Answer, Wording

PRACTICE = 6
"""Number of practice pictures by default."""

# Pictures for practice are those that the model knows best.
_CONFIDENT = 0.9
_COLUMNS = ("file", "label", "right", "why")


@dataclass(frozen=True)
class Right:
    """A known picture with its right answer.

    Attributes:
        known: What is shown.
        right: The right answer.
        why: What people are told after a practice answer.
    """

    known: Known
    right: Answer
    why: str


def read_known(table: Path, option: str, folder: Path, labels: Sequence[str], answers: Sequence[Answer]) -> list[Right]:
    """The known pictures of a table with the columns `file`, `label`, `right` and, if people are told, `why`.

    Args:
        table: CSV or Parquet.
        option: The option that names it, for messages.
        folder: Folder of the pictures.
        labels: Labels of the model's classes.
        answers: What people may answer.

    Raises:
        StudyError: A column is missing, or a row is wrong.
        DataSetError: The table cannot be read.
    """
    content = Table(table)
    if lacking := [name for name in _COLUMNS[:3] if name not in content.columns]:
        remedy = "it needs file, label and right, and may have why"
        raise StudyError(f"{option} {table} lacks the column {', '.join(lacking)}; {remedy}")
    classes, found = Classes(labels), []
    for number, line in enumerate(content.rows()):
        cells = dict(zip(content.columns, line.cells, strict=True))
        try:
            found.append(_right(number, cells, folder, classes, answers))
        except (ClassNameError, ValueError) as error:
            raise StudyError(f"{option}: {content.where(line.number)}: {error}") from None
    if not found:
        raise StudyError(f"{option} {table} has no rows; add one for each picture, or leave {option} out")
    return found


def drawn_practice(
    candidates: Sequence[Candidate], number: int, labels: Sequence[str], wording: Wording, seed: int
) -> list[Right]:
    """Practice from pictures that the model answers rightly and confidently: the label, and an unrelated one, in turns.

    Args:
        candidates: Pictures that are not in the study.
        number: At most this number of pictures.
        labels: Labels of the model's classes.
        wording: Says why an answer is the right one.
        seed: Seed of the draw.
    """
    sure = shuffled((each for each in candidates if each.stratum == "correct" and each.confidence >= _CONFIDENT), seed)
    # Pictures of other classes come first.
    ranks: Counter[int] = Counter()
    varied: list[tuple[int, Candidate]] = []
    for each in sure:
        varied.append((ranks[each.label], each))
        ranks[each.label] += 1
    varied.sort(key=_rank)
    words, practice = wording.pages.practised, []
    for place, (_, each) in enumerate(varied[:number]):
        if place % 2:
            why = words.fits_not.replace("{label}", labels[each.label])
            practice.append(Right(Known(each.file, None, place), Answer.NO, why))
        else:
            practice.append(Right(Known(each.file, each.label, place), Answer.YES, words.fits))
    return practice


def _rank(ranked: tuple[int, Candidate]) -> int:
    return ranked[0]


def _right(number: int, cells: dict[str, str], folder: Path, classes: Classes, answers: Sequence[Answer]) -> Right:
    path = PurePosixPath(cells["file"])
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{cells['file']!r} is no path below the folder of the pictures; give such a path")
    if not (folder / path).is_file():
        raise ValueError(f"{folder / path} does not exist; add the picture, or remove the row")
    if cells["right"] not in answers:
        raise ValueError(f"right is {cells['right']!r}; write {' or '.join(answers)}")
    known = Known(path.as_posix(), classes.index(cells["label"]), number)
    return Right(known, Answer(cells["right"]), cells.get("why", ""))
