"""Results on a terminal."""

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from whybox._commands.robustness_report import print_attacks, print_robustness
from whybox._words.certified import certified_words
from whybox._words.explanations import (
    evaluations_words,
    explanation_words,
    quality_words,
    randomisation_words,
    regions_words,
)
from whybox._words.shared import flag_words, percent_words
from whybox.results import Analysis, Explanation, Method, ModelInfo, Prediction

_BAR_WIDTH = 30
_INDENT = (0, 0, 0, 2)
_DEEPER = (0, 0, 0, 4)
_STATE_STYLES = {"flagged": "bold red", "not_detected": "green", "stale": "yellow"}


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Prints every part of the answer, and of a part that failed the reason."""
    console.print(Text(f"{analysis.model} {analysis.version}", "bold"))
    errors = analysis.errors
    if analysis.prediction is not None:
        _heading(console, "Prediction")
        console.print(Padding(_classes(analysis.prediction), _INDENT, expand=False))
    if analysis.explanations:
        _heading(console, "Explanations")
        for explanation in analysis.explanations:
            if explanation.error is None:
                _explanation(console, explanation)
    if analysis.robustness is not None:
        _heading(console, "Robustness")
        print_robustness(console, analysis.robustness)
    if analysis.bias is not None:
        _heading(console, "Bias")
        for flag in analysis.bias.flags:
            _line(console, Text(flag_words(flag), _STATE_STYLES.get(flag.state, "")))
    if analysis.certified is not None and analysis.certified.error is None:
        _heading(console, "Certified")
        style = "green" if analysis.certified.radius is not None else "yellow"
        _line(console, Text(certified_words(analysis.certified), style))
    if errors:
        _heading(console, "Failed")
        for part, error in errors.items():
            _line(console, Text(f"{part}: {error.message} ({error.reason})", "red"))
    console.print()
    console.print(Text(_closing(analysis), "dim"), soft_wrap=True)


def print_models(console: Console, models: Sequence[ModelInfo]) -> None:
    """Prints one block per model: its names, its classes, and what can be asked of it."""
    for model in models:
        console.print(Text.assemble((f"{model.name} {model.version}", "bold"), f"  {model.title}"))
        _line(console, Text(f"{model.num_classes} classes; norms: {', '.join(model.norms) or 'none'}"))
        methods = Table.grid(padding=(0, 2))
        for method in model.methods:
            methods.add_row(Text(method.name, "dim" if method.unavailable else ""), _method(method))
        console.print(Padding(methods, _INDENT, expand=False))
        print_attacks(console, model)


def _explanation(console: Console, explanation: Explanation) -> None:
    _line(console, Text(explanation_words(explanation)))
    if explanation.quality is not None:
        style = "" if explanation.quality.reliable else "yellow"
        _line(console, Text(quality_words(explanation.quality), style), _DEEPER)
    if explanation.regions is not None:
        _line(console, Text(regions_words(explanation.regions)), _DEEPER)


def _method(method: Method) -> Text:
    if method.unavailable:
        return Text(f"not for this model: {method.unavailable}", "dim")
    lines = [Text(method.summary)]
    if words := evaluations_words(method):
        lines.append(Text(words, "dim"))
    if test := method.randomisation_test:
        lines.append(Text(randomisation_words(test), "dim" if test.passed else "yellow"))
    return Text("\n").join(lines)


def _classes(prediction: Prediction) -> Table:
    table = Table.grid(padding=(0, 2))
    for score in prediction.classes:
        bar = Bar(1.0, 0, score.probability, width=_BAR_WIDTH, color="cyan")
        table.add_row(Text(score.label), Text(percent_words(score.probability), justify="right"), bar)
    return table


def _closing(analysis: Analysis) -> str:
    words = []
    if analysis.timings is not None:
        parts = ", ".join(f"{part.part} {part.total_ms:.0f}" for part in analysis.timings.parts)
        words.append(f"{analysis.timings.total_ms:.0f} ms" + (f" ({parts})" if parts else ""))
    return "; ".join([*words, f"request id {analysis.request_id}"])


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, "bold"))


def _line(console: Console, text: Text, indent: tuple[int, int, int, int] = _INDENT) -> None:
    console.print(Padding(text, indent, expand=False))
