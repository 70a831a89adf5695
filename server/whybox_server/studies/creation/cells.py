"""Which cells a study has, and which items they come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Arm, Asked, Cell, Example, File, Item, Label, Version

DEFAULT = tuple(Cell(arm=arm, version=version) for version, arm in product(get_args(Version), get_args(Arm)))
"""The model's label in all arms, for the picture and for its adversarial twin."""

# The arms whose difference is registered: the first minus the second.
_ARM_PAIRS: tuple[tuple[Arm, Arm], ...] = (("feature", "none"), ("example", "none"), ("example", "feature"))
_PARTS = ((get_args(Arm), "arm"), (get_args(Version), "version"), (get_args(Asked), "asked"))


@dataclass(frozen=True)
class Shown:
    """What one cell shows of a picture.

    Attributes:
        cell: Name of the cell.
        label: What is asked about.
        picture: What is asked about it.
        explanation: Where the model looked; None outside of the arm `feature`.
        examples: The nearest pictures; empty outside of the arm `example`.
    """

    cell: str
    label: Label
    picture: File
    explanation: File | None = None
    examples: tuple[Example, ...] = ()


def chosen_cells(names: Sequence[str], *, given: bool = False, foil: bool = False) -> tuple[Cell, ...]:
    """The cells of a study, in the order of the Latin square.

    Args:
        names: Such as "feature/clean/model"; without the last part the model's label is meant. Empty for `DEFAULT`.
        given: Whether each of these cells is also there with the data set's label.
        foil: Whether each of these cells is also there with the foil.

    Raises:
        StudyError: A name is no cell, or is there twice.
    """
    cells = [_parsed(name) for name in names] or list(DEFAULT)
    if twice := next((cell.name for place, cell in enumerate(cells) if cell in cells[:place]), None):
        raise StudyError(f"--cell {twice} is there twice; name each cell once")
    added: list[Asked] = [*(["given"] if given else []), *(["foil"] if foil else [])]  # type: ignore[list-item]
    beside = [cell.model_copy(update={"asked": asked}) for asked in added for cell in cells if cell.asked == "model"]
    return tuple(dict.fromkeys([*cells, *beside]))


def registered(cells: Iterable[Cell]) -> tuple[tuple[str, str], ...]:
    """The contrasts between arms that are registered: those about the model's label, in each version."""
    names = {cell.name for cell in cells if cell.asked == "model"}
    pairs = (
        (Cell(arm=one, version=version).name, Cell(arm=other, version=version).name)
        for version in get_args(Version)
        for one, other in _ARM_PAIRS
    )
    return tuple(pair for pair in pairs if names.issuperset(pair))


def merged(shown: Iterable[Shown]) -> tuple[Item, ...]:
    """The items of a picture: cells that show the same and ask the same are one item.

    The data set's label of a rightly classified picture is the model's, for example. People read labels, so two classes
    with the same label are one question.
    """
    cells: dict[tuple[object, ...], list[Shown]] = {}
    for each in shown:
        key = (each.label.text, each.picture, each.explanation, each.examples)
        cells.setdefault(key, []).append(each)
    return tuple(
        Item(
            cells=tuple(each.cell for each in same),
            label=same[0].label,
            picture=same[0].picture,
            explanation=same[0].explanation,
            examples=same[0].examples,
        )
        for same in cells.values()
    )


def number_of_items(cells: Sequence[Cell], candidate: Candidate, labels: Sequence[str]) -> int:
    """Number of items that `merged` makes of a picture, known before anything is shown.

    Only one label can be another one's: the data set's label of a picture can be the model's. Two classes with the same
    label have explanations of their own.

    Args:
        cells: The cells.
        candidate: The picture.
        labels: Labels of the model's classes.
    """
    there = {cell.name for cell in cells}
    same_class = candidate.label == candidate.predicted
    same_label = labels[candidate.label] == labels[candidate.predicted]

    def is_another(cell: Cell) -> bool:
        if (cell.asked, cell.version) != ("given", "clean") or f"{cell.arm}/clean/model" not in there:
            return False
        return same_class or (same_label and cell.arm == "none")

    return len(cells) - sum(map(is_another, cells))


def has(cells: Iterable[Cell], part: Literal["feature", "example", "adversarial", "foil"]) -> bool:
    """Whether a cell has an arm, a version or a label of this name."""
    return any(part in (cell.arm, cell.version, cell.asked) for cell in cells)


def _parsed(name: str) -> Cell:
    parts = name.split("/")
    if len(parts) == len(_PARTS) - 1:
        parts.append("model")
    if len(parts) != len(_PARTS) or any(part not in known for part, (known, _) in zip(parts, _PARTS, strict=True)):
        means = "/".join(f"{{{','.join(known)}}}" for known, _ in _PARTS)
        raise StudyError(f"--cell {name!r} is no cell; write {means}")
    return Cell.model_validate(dict(zip(("arm", "version", "asked"), parts, strict=True)))
