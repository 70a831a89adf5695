"""The results of an audit as text for a terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from whybox_server.audits.passes.tally import Faults, left_out
from whybox_server.audits.robust_accuracy.summary import SMALL, Summary
from whybox_server.audits.statistics import Estimate

_SHOWN = 5


def lines(summary: Summary, data: Mapping[str, Any], faults: Faults) -> list[str]:
    """The numbers over all pictures, and the numbers of pictures that they leave out."""
    said = [f"accuracy without attack: {_share(summary.accuracy)}, {summary.right} of {summary.pictures} pictures"]
    for name, norm in summary.norms.items():
        at = norm.customary
        estimate = Estimate(float(at.accuracy[0]), float(at.low[0]), float(at.high[0]))
        radius = "1/255" if name == "linf" else f"{at.radius[0]:g}"
        said.append(f"accuracy under attack up to {name} radius {radius}: at most {_share(estimate)}")
        if norm.median is None:
            continue
        censored = f"; no flip found for {norm.censored} pictures" if norm.censored else ""
        unreliable = f"; {norm.unreliable} distances are not reliable" if norm.unreliable else ""
        said.append(f"median {name} distance: {_distance(norm.median, name)}{censored}{unreliable}")
    return [*said, *left_out(data, faults, "robustness.json")]


def extremes(classes: Mapping[int, Summary], labels: Sequence[str], norm: str) -> Table:
    """A table of the least and the most robust classes by median distance; classes with few pictures are marked."""
    medians = {index: estimate for index, each in classes.items() if (estimate := each.norms[norm].median) is not None}
    order = sorted(medians, key=lambda index: medians[index].value)
    table = Table(
        title=f"least and most robust classes by median {norm} distance",
        caption=f"* fewer than {SMALL} pictures; ∞: no bound was found",
    )
    for column in ("class", "pictures", "right", "median", "95 % interval"):
        table.add_column(column, justify="left" if column == "class" else "right")
    shown = order if len(order) <= 2 * _SHOWN else order[:_SHOWN] + order[-_SHOWN:]
    for place, index in enumerate(shown):
        summary, estimate = classes[index], medians[index]
        table.add_row(
            Text(f"{labels[index]} ({index})"),
            f"{summary.pictures}{'*' if summary.small else ''}",
            str(summary.right),
            _number(estimate.value),
            f"{_number(estimate.low)} to {_number(estimate.high)}",
            end_section=len(order) > len(shown) and place == _SHOWN - 1,
        )
    return table


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%})"


def _distance(estimate: Estimate, norm: str) -> str:
    levels = f", {estimate.value * 255:.2g} grey levels" if norm == "linf" and math.isfinite(estimate.value) else ""
    return f"{_number(estimate.value)} (95 % interval {_number(estimate.low)} to {_number(estimate.high)}){levels}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "∞"
