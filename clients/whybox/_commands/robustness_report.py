"""Robustness on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleRenderable
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whybox._words.robustness import (
    attack_check_words,
    attack_words,
    corruptions_words,
    distance_words,
    reliability_words,
    transfer_words,
    twin_words,
)
from whybox._words.shared import class_words
from whybox.results import Corruption, CorruptionLevel, Distance, ModelInfo, Robustness

_INDENT = (0, 0, 0, 2)
_DEEPER = (0, 0, 0, 4)
# One mark for each severity.
_HOLDS, _FLIPS = "·", "x"


def print_robustness(console: Console, robustness: Robustness) -> None:
    """Prints every distance with what it rests on, and a row for every corruption."""
    for distance in robustness.distances:
        _print(console, Text(distance_words(distance)))
        for line in _about(distance):
            _print(console, line, _DEEPER)
    if robustness.corruptions:
        _print(console, Text(corruptions_words(robustness.corruptions)))
        _print(console, Text(f"by severity from 1: {_HOLDS} holds, {_FLIPS} changes", "dim"), _DEEPER)
        _print(console, _corruptions(robustness.corruptions), _DEEPER)


def print_attacks(console: Console, model: ModelInfo) -> None:
    """Prints what a model's robustness can be measured with, and whether that can be trusted."""
    if model.attacks:
        table = Table.grid(padding=(0, 2))
        for attack in model.attacks:
            default = "; the default" if attack.name == model.default_attack else ""
            lines = (Text(attack.summary), Text(attack_words(attack) + default, "dim"))
            table.add_row(Text(attack.name), Text("\n").join(lines))
        _print(console, Text("Attacks"))
        _print(console, table, _DEEPER)
    if model.attack_check is not None:
        style = "dim" if model.attack_check.reliable else "yellow"
        _print(console, Text(attack_check_words(model.attack_check), style), _DEEPER)
    if model.corruptions:
        groups: dict[str, list[str]] = {}
        for kind in model.corruptions:
            groups.setdefault(kind.group, []).append(kind.name)
        table = Table.grid(padding=(0, 2))
        for group, names in groups.items():
            table.add_row(Text(group), Text(", ".join(names)))
        _print(console, Text("Corruptions"))
        _print(console, table, _DEEPER)


def _about(distance: Distance) -> Iterator[Text]:
    if distance.reliable or distance.reasons:
        yield Text(reliability_words(distance), "dim" if distance.reliable else "yellow")
    for transfer in distance.transfers:
        yield Text(transfer_words(transfer), "red" if transfer.error is not None else "")
    if distance.twin is not None:
        yield Text(twin_words(distance.twin))


def _corruptions(corruptions: Sequence[Corruption]) -> Table:
    table = Table.grid(padding=(0, 2))
    for corruption in corruptions:
        marks = Text(" ").join(_mark(level) for level in corruption.levels)
        first = [level.predicted_class for level in corruption.levels if level.flips and level.predicted_class][:1]
        becomes = "".join(f"makes it {class_words(score)}" for score in first)
        table.add_row(Text(corruption.name), Text(corruption.group, "dim"), marks, Text(becomes))
    return table


def _mark(level: CorruptionLevel) -> Text:
    return Text(_FLIPS, "bold red") if level.flips else Text(_HOLDS, "green")


def _print(console: Console, what: ConsoleRenderable, indent: tuple[int, int, int, int] = _INDENT) -> None:
    console.print(Padding(what, indent, expand=False))
