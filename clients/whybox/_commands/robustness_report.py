"""Robustness on a terminal, beyond its lines: marks of corruptions, and what a model can be attacked with."""

from collections.abc import Iterator, Sequence

from rich.console import ConsoleRenderable
from rich.table import Table
from rich.text import Text

from whybox._words.robustness import attack_check_words, attack_words
from whybox._words.shared import class_words
from whybox.results import Corruption, CorruptionKind, CorruptionLevel, ModelInfo

# One mark for each severity.
_HOLDS, _FLIPS = "·", "x"


def corruption_marks(corruptions: Sequence[Corruption]) -> Iterator[ConsoleRenderable]:
    """A legend, and a table with one row for each corruption; nothing without corruptions."""
    if not corruptions:
        return
    yield Text(f"by severity from 1: {_HOLDS} the answer holds, {_FLIPS} it changes", "dim")
    table = Table.grid(padding=(0, 2))
    for corruption in corruptions:
        marks = Text(" ").join(_mark(level) for level in corruption.levels)
        first = [level.predicted_class for level in corruption.levels if level.flips and level.predicted_class][:1]
        becomes = "".join(f"makes it {class_words(score)}" for score in first)
        table.add_row(Text(corruption.name), Text(corruption.group, "dim"), marks, Text(becomes))
    yield table


def attack_lines(model: ModelInfo) -> Iterator[tuple[ConsoleRenderable, int]]:
    """The attacks and corruptions that a model offers, and whether its attacks can be trusted; each with its depth."""
    if model.attacks:
        yield Text("Attacks"), 0
        yield _attacks(model), 1
    if model.attack_check is not None:
        style = "dim" if model.attack_check.reliable else "yellow"
        yield Text(attack_check_words(model.attack_check), style), 1
    if model.corruptions:
        yield Text("Corruptions"), 0
        yield _corruption_groups(model.corruptions), 1


def _attacks(model: ModelInfo) -> Table:
    table = Table.grid(padding=(0, 2))
    for attack in model.attacks:
        default = "; the default" if attack.name == model.default_attack else ""
        lines = (Text(attack.summary), Text(attack_words(attack) + default, "dim"))
        table.add_row(Text(attack.name), Text("\n").join(lines))
    return table


def _corruption_groups(corruptions: Sequence[CorruptionKind]) -> Table:
    groups: dict[str, list[str]] = {}
    for kind in corruptions:
        groups.setdefault(kind.group, []).append(kind.name)
    table = Table.grid(padding=(0, 2))
    for group, names in groups.items():
        table.add_row(Text(group), Text(", ".join(names)))
    return table


def _mark(level: CorruptionLevel) -> Text:
    return Text(_FLIPS, "bold red") if level.flips else Text(_HOLDS, "green")
