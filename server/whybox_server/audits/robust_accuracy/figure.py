"""The picture of accuracy against radius."""

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

_WIDTH, _HEIGHT = 7.0, 5.2  # inches per norm
_DPI = 150
_BLUE, _GREY = "#1f5fa8", "#666666"
_LEVELS = 255
# An axis whose end is at least this many times its begin has room for only one number per decade.
_WIDE = 1000
_NAMES = {"linf": "L∞: largest change of any value", "l2": "L2: root of the sum of squares"}


def draw(path: Path, summary: Summary, model: str, attack: str) -> None:
    """Writes a PNG with the curves of all norms side by side.

    Args:
        path: The file to write.
        summary: The summary of all measured pictures.
        model: Name and version of the model, for the title.
        attack: Name and budget of the attack, for the title.
    """
    # The figure is made without pyplot, whose global state would outlive it.
    figure = Figure(figsize=(_WIDTH * len(summary.norms), _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{model}: accuracy under attack, n = {summary.pictures}\n{attack}", fontsize=12)
    axes = figure.subplots(1, len(summary.norms), squeeze=False)[0]
    for each, (name, norm) in zip(axes, summary.norms.items(), strict=True):
        _draw_norm(each, name, norm, summary)
    figure.supxlabel(
        "Empirical robust accuracy is an upper bound: the attack finds upper bounds on distances.",
        fontsize=8,
        color=_GREY,
    )
    figure.savefig(path)


def _draw_norm(axes: Axes, name: str, norm: NormSummary, summary: Summary) -> None:
    curve = norm.curve
    axes.axhline(summary.accuracy.value, color=_GREY, linestyle="--", linewidth=1, label="without attack")
    if len(curve.radius) > 1:
        # One grey level is the smallest change that 8-bit pictures can show, so the axis always includes it.
        shown = [0.7 / _LEVELS, 1.5 / _LEVELS] if name == "linf" else []
        begin, end = min([curve.radius[1], *shown]), max([curve.radius[-1], *shown])
        _draw_curve(axes, curve, begin, end)
        # A logarithmic axis has no zero; the dashed line shows the accuracy there.
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
    """Draws steps: between two radii the upper bound at the smaller one holds."""

    def extended(values: Array) -> Array:
        return np.append(values, values[-1])

    radius = np.concatenate([[begin], curve.radius[1:], [end]])
    low, high = extended(curve.low), extended(curve.high)
    interval = f"{CONFIDENCE:.0%} interval at each radius"
    axes.fill_between(radius, low, high, step="post", color=_BLUE, alpha=0.2, linewidth=0, label=interval)
    axes.step(radius, extended(curve.accuracy), where="post", color=_BLUE, linewidth=1.8, label="under attack, at most")
    if curve.unsearched.any():
        searched = extended(curve.accuracy - curve.unsearched)
        axes.step(
            radius,
            searched,
            where="post",
            color=_BLUE,
            linewidth=1.2,
            linestyle=":",
            label="share also searched up to the radius",
        )


def _plain_ticks(axis: Axis, subs: tuple[int, ...]) -> None:
    """Puts plain numbers on an axis, at these multiples of the powers of ten."""
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
