"""Results on a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.bar import Bar
from rich.console import Console, ConsoleRenderable
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whybox._commands.robustness_report import attack_lines, corruption_marks
from whybox._words.bias import audit_words
from whybox._words.explanations import evaluations_words, randomisation_words
from whybox._words.parts import SHOWN_PARTS, ShownPart
from whybox._words.prediction import set_lines
from whybox._words.shared import Line, Tone, percent_words
from whybox.results import Analysis, Method, ModelInfo, Prediction

_BAR_WIDTH = 30
_INDENT = 2
_STYLES: Mapping[Tone, str] = {"plain": "", "good": "green", "doubtful": "yellow", "bad": "bold red", "minor": "dim"}


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Prints each part of the answer, and the reason of each part that failed."""
    console.print(Text(f"{analysis.model} {analysis.version}", "bold"))
    for row in SHOWN_PARTS:
        if parts := row.computed(analysis):
            _print_heading(console, row.heading)
            for part in parts:
                for block in _BLOCKS.get(row.name, _lines)(row, part):
                    console.print(block)
    if errors := analysis.errors:
        _print_heading(console, "Failed")
        for name, error in errors.items():
            console.print(_indented(Text(f"{name}: {error.message} ({error.reason})", "red")))
    console.print()
    console.print(Text(_closing(analysis), "dim"), soft_wrap=True)


def print_models(console: Console, models: Sequence[ModelInfo]) -> None:
    """Prints one block per model: its names, its classes, and the methods, attacks and corruptions that it offers."""
    for model in models:
        console.print(Text.assemble((f"{model.name} {model.version}", "bold"), f"  {model.title}"))
        console.print(_indented(Text(f"{model.num_classes} classes; norms: {', '.join(model.norms) or 'none'}")))
        if (sizes := model.batch_sizes) is not None:
            shared = f"forward {sizes.forward}, occluded {sizes.occluded}, gradient {sizes.gradient}"
            console.print(_indented(Text(f"pictures that may share a pass: {shared}")))
        if (gradient := model.gradient) is not None:
            why = f" ({gradient.reason})" if gradient.reason else f", in {gradient.time_ratio:.2f} of the time of torch"
            console.print(_indented(Text(f"gradients: {gradient.runtime}{why}")))
        if model.audit is not None:
            console.print(_indented(Text(audit_words(model.audit), "yellow" if model.audit.differences else "")))
        methods = Table.grid(padding=(0, 2))
        for method in model.methods:
            methods.add_row(Text(method.name, "dim" if method.unavailable else ""), _method(method))
        console.print(_indented(methods))
        for block, depth in attack_lines(model):
            console.print(_indented(block, depth))


def _lines(row: ShownPart, part: Any) -> Iterator[Padding]:
    for line in row.lines(part):
        yield styled(line)


def _class_bars(row: ShownPart, part: Prediction) -> Iterator[Padding]:  # noqa: ARG001 (bars stand for lines)
    table = Table.grid(padding=(0, 2))
    for score in part.classes:
        bar = Bar(1.0, 0, score.probability, width=_BAR_WIDTH, color="cyan")
        table.add_row(Text(score.label), Text(percent_words(score.probability), justify="right"), bar)
    yield _indented(table)
    if part.prediction_set is not None:
        yield from map(styled, set_lines(part.prediction_set))


def _robustness(row: ShownPart, part: Any) -> Iterator[Padding]:
    yield from _lines(row, part)
    for block in corruption_marks(part.corruptions):
        yield _indented(block, 1)


# The parts that a terminal shows with more than their lines.
_BLOCKS: Mapping[str, Callable[[ShownPart, Any], Iterator[Padding]]] = {
    "prediction": _class_bars,
    "robustness": _robustness,
}


def _method(method: Method) -> Text:
    if method.unavailable:
        return Text(f"not for this model: {method.unavailable}", "dim")
    lines = [Text(method.summary)]
    if words := evaluations_words(method):
        lines.append(Text(words, "dim"))
    if test := method.randomisation_test:
        lines.append(Text(randomisation_words(test), "dim" if test.passed else "yellow"))
    return Text("\n").join(lines)


def _closing(analysis: Analysis) -> str:
    words = []
    if analysis.timings is not None:
        parts = ", ".join(
            f"{part.part} {part.total_ms:.0f}" + (" cached" if part.cached else "") for part in analysis.timings.parts
        )
        words.append(f"{analysis.timings.total_ms:.0f} ms" + (f" ({parts})" if parts else ""))
    return "; ".join([*words, f"request id {analysis.request_id}"])


def _print_heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, "bold"))


def styled(line: Line) -> Padding:
    """A line as a terminal shows it: indented, in the colour of its tone."""
    return _indented(Text(line.text, _STYLES[line.tone]), line.depth)


def _indented(block: ConsoleRenderable, depth: int = 0) -> Padding:
    return Padding(block, (0, 0, 0, _INDENT * (1 + depth)), expand=False)
