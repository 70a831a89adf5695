"""The curve of accuracy against radius, drawn."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from whybox_server.audits.robust_accuracy.summary import Curve, NormSummary, Summary
from whybox_server.audits.statistics import CONFIDENCE, Array

_WIDTH, _HEIGHT = 7.0, 5.2  # inches for each norm
_DPI = 150
_BLUE, _GREY = "#1f5fa8", "#666666"
_LEVELS = 255
# An axis from one radius to this many times as much has no room for more than one number in each decade.
_WIDE = 1000
_NAMES = {"linf": "L∞: largest change of any value", "l2": "L2: root of the sum of squares"}


def draw(path: Path, summary: Summary, model: str, attack: str) -> None:
    """Writes the curve of each norm, side by side, as PNG.

    Args:
        path: Of the file.
        summary: Of all pictures.
        model: Its name and version.
        attack: Its name and budget, for people.
    """
    # Not pyplot: its global state would outlive the picture.
    figure = Figure(figsize=(_WIDTH * len(summary.norms), _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{model}: accuracy under attack, n = {summary.pictures}\n{attack}", fontsize=12)
    axes = figure.subplots(1, len(summary.norms), squeeze=False)[0]
    for each, (name, norm) in zip(axes, summary.norms.items(), strict=True):
        _draw_norm(each, name, norm, summary)
    figure.supxlabel(
        "Empirical robust accuracy is an upper bound on robustness: the attack only finds upper bounds on distances.",
        fontsize=8,
        color=_GREY,
    )
    figure.savefig(path)


def _draw_norm(axes: Axes, name: str, norm: NormSummary, summary: Summary) -> None:
    curve = norm.curve
    axes.axhline(summary.accuracy.value, color=_GREY, linestyle="--", linewidth=1, label="without attack")
    if len(curve.radius) > 1:
        # One grey level is the least that 8-bit pictures can show: it belongs into the picture wherever the curve lies.
        shown = [0.7 / _LEVELS, 1.5 / _LEVELS] if name == "linf" else []
        begin, end = min([curve.radius[1], *shown]), max([curve.radius[-1], *shown])
        _draw_curve(axes, curve, begin, end)
        # Zero has no place on a logarithmic axis; it is the dashed line.
        axes.set_xscale("log")
        axes.set_xlim(begin, end)
        subs = (1, 2, 5) if end < _WIDE * begin else (1,)
        _plain_ticks(axes.xaxis, subs)
        if name == "linf":
            _mark_grey_levels(axes, subs)
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"radius ({_NAMES[name]})")
    axes.set_ylabel("accuracy")
    axes.grid(which="major", alpha=0.25)
    axes.legend(loc="lower left", fontsize=9, framealpha=0.9)


def _draw_curve(axes: Axes, curve: Curve, begin: float, end: float) -> None:
    """Steps, which between two radii stay at what was true of the smaller one, as an upper bound does."""

    def extended(values: Array) -> Array:
        return np.append(values, values[-1])

    radius = np.concatenate([[begin], curve.radius[1:], [end]])
    low, high = extended(curve.low), extended(curve.high)
    interval = f"{CONFIDENCE:.0%} interval, pointwise"
    axes.fill_between(radius, low, high, step="post", color=_BLUE, alpha=0.2, linewidth=0, label=interval)
    axes.step(radius, extended(curve.accuracy), where="post", color=_BLUE, linewidth=1.8, label="under attack, at most")
    if curve.unsearched.any():
        searched = extended(curve.accuracy - curve.unsearched)
        axes.step(
            radius, searched, where="post", color=_BLUE, linewidth=1.2, linestyle=":", label="… and searched that far"
        )


def _plain_ticks(axis: Axis, subs: tuple[int, ...]) -> None:
    """Numbers as people write them, at these multiples of the powers of ten."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _mark_grey_levels(axes: Axes, subs: tuple[int, ...]) -> None:
    level = 1 / _LEVELS
    axes.axvline(level, color=_GREY, linewidth=1)
    axes.annotate(
        "1 grey level",
        (level, 0.5),
        xycoords=("data", "axes fraction"),
        rotation=90,
        ha="right",
        va="center",
        fontsize=9,
    )
    top = axes.secondary_xaxis("top", functions=(_to_levels, _from_levels))
    top.set_xlabel("grey levels of 255")
    _plain_ticks(top.xaxis, subs)


def _to_levels(size: npt.ArrayLike) -> Array:
    return np.asarray(size, dtype=np.float64) * _LEVELS


def _from_levels(levels: npt.ArrayLike) -> Array:
    return np.asarray(levels, dtype=np.float64) / _LEVELS
