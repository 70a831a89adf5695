"""The plots of the page, as SVG: each at two widths, so that letters stay legible on a phone."""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from whybox_server.studies.results.votes import MAYBE, NO, YES, Votes

_WIDE, _NARROW = 14.4, 4.9  # inches of 72 points: the widths of the text on a desktop and on a phone
_INK, _SOFT, _LINE, _MARK, _CALM = "#1b1f24", "#535c66", "#c9d0d7", "#a3210f", "#2f5f8f"
_SIZE = 12.0  # points of letters
_LETTERS = 10  # letters of an average line, for each inch
_SVG: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": _SIZE, "text.color": _INK}

# Draws on axes of a width in inches.
_Draw = Callable[[Axes, float], None]

# Answers in the order of a stack, with their names, fills and hatches: they differ without colour too.
_STACK = ((YES, "yes", "#2f5f8f", ""), (MAYBE, "maybe", "#b9cde0", "///"), (NO, "no", "#e8ecf0", ""))


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        wide: SVG for a desktop.
        narrow: SVG for a phone.
    """

    wide: str
    narrow: str


@dataclass(frozen=True)
class Bar:
    """A row of a forest plot.

    Attributes:
        name: What it is, above the row.
        estimate: Filled mark.
        low: Left end of the interval.
        high: Right end of it.
        filled: Whether the mark is a filled square; a hollow circle otherwise.
        other: A second value, as a diamond; None without one.
        bounds: A thin line behind the interval; None without one.
    """

    name: str
    estimate: float
    low: float
    high: float
    filled: bool = True
    other: float | None = None
    bounds: tuple[float, float] | None = None


def forest(bars: Sequence[Bar], axis: str, alternative: str, *, signed: bool = False) -> Plot:
    """Estimates with their intervals, one below the other.

    Args:
        bars: At least one.
        axis: What the axis shows.
        alternative: The plot in words.
        signed: Whether the values are differences, with a line at 0.
    """

    def draw(axes: Axes, width: float) -> None:
        for place, bar in enumerate(bars):
            ink = _CALM if bar.filled else _SOFT
            if bar.bounds is not None:
                axes.plot(bar.bounds, (place, place), color=_LINE, linewidth=7, solid_capstyle="butt")
            axes.plot((bar.low, bar.high), (place, place), color=ink, linewidth=2.5, solid_capstyle="butt")
            marker = "s" if bar.filled else "o"
            axes.plot(
                bar.estimate, place, marker, color=ink, markerfacecolor=ink if bar.filled else "white", markersize=8
            )
            if bar.other is not None:
                axes.plot(
                    bar.other, place, "D", color=_MARK, markerfacecolor="white", markersize=8, markeredgewidth=1.8
                )
            _name_row(axes, width, bar.name, place)
        if signed:
            axes.axvline(0, color=_SOFT, linewidth=1)
            ends = max(abs(end) for bar in bars for end in (bar.low, bar.high)) * 1.1 or 0.1
            axes.set_xlim(-ends, ends)
        else:
            furthest = max(max(bar.high, bar.other or 0, *(bar.bounds or ())) for bar in bars)
            axes.set_xlim(0, min(np.ceil(furthest * 10 + 0.5) / 10, 1))
        axes.set_ylim(len(bars) - 0.6, -0.8)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(FuncFormatter(_points if signed else _percent))
        axes.set_xlabel(axis)

    return _plot(draw, 0.8 * len(bars) + 0.75, alternative)


def tallies(votes: Votes, cell: int, alternative: str) -> Plot:
    """The questions of a cell side by side, sorted by their answers: how many people said yes, maybe and no."""
    counts = _counts(votes, cell)
    shares = counts / counts.sum(axis=1, keepdims=True)
    order = np.lexsort((-shares[:, 1], -shares[:, 0]))
    shares = shares[order]
    # Equal neighbours are one step, so that many questions make a small file.
    change = np.flatnonzero(np.any(np.diff(shares, axis=0), axis=1)) + 1
    edges = np.concatenate([[0], change, [len(shares)]])

    def draw(axes: Axes, _: float) -> None:
        bottom = np.zeros(len(edges))
        for place, (value, name, fill, hatch) in enumerate(_STACK):
            if not (votes.value == value).any():
                continue
            top = bottom + shares[np.minimum(edges, len(shares) - 1), place]
            # One outline for all steps: neighbours would show seams.
            axes.fill_between(
                edges, bottom, top, step="post", facecolor=fill, edgecolor=_SOFT, hatch=hatch, linewidth=0, label=name
            )
            bottom = top
        axes.set_xlim(0, len(shares))
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("questions, sorted by their answers")
        axes.set_ylabel("answers")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=len(_STACK), frameon=False)

    return _plot(draw, 3.2, alternative)


def agreement(rows: Sequence[tuple[str, float, float]], alternative: str) -> Plot:
    """Alpha of each cell: over all answers (filled), and for no against the rest (hollow)."""

    def draw(axes: Axes, width: float) -> None:
        for place, (name, whole, rest) in enumerate(rows):
            axes.plot((whole, rest), (place, place), color=_LINE, linewidth=3)
            axes.plot(rest, place, "o", color=_CALM, markerfacecolor="white", markersize=8)
            axes.plot(whole, place, "s", color=_CALM, markersize=7)
            _name_row(axes, width, name, place)
        lowest = min(0.0, *(value for _, *values in rows for value in values))
        axes.set_xlim(lowest * 1.1, 1)
        axes.set_ylim(len(rows) - 0.6, -0.8)
        axes.set_yticks([])
        axes.set_xlabel("Krippendorff's alpha: 0 as by chance, 1 perfect")

    return _plot(draw, 0.8 * len(rows) + 0.75, alternative)


def _counts(votes: Votes, cell: int) -> NDArray[np.int64]:
    """How many people said yes, maybe and no to each question of a cell that has a vote, [Q, 3]."""
    number = len(votes.questions.names)
    counts = np.stack([np.bincount(votes.question[votes.value == value], minlength=number) for value, *_ in _STACK], 1)
    asked: NDArray[np.int64] = counts[(votes.questions.cell == cell) & counts.any(axis=1)]
    return asked


def _name_row(axes: Axes, width: float, name: str, place: int) -> None:
    """Writes a name above its row, in as many lines as a plot of some inches needs."""
    note = axes.annotate(
        textwrap.fill(name, int(width * _LETTERS)),
        (0, place),
        xycoords=("axes fraction", "data"),
        xytext=(0, 7),
        textcoords="offset points",
        va="bottom",
        linespacing=1.1,
        parse_math=False,
        # No line runs through it.
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    # A long name must not push the plot aside.
    note.set_in_layout(False)


def _plot(draw: _Draw, height: float, alternative: str) -> Plot:
    return Plot(*(_svg(draw, width, height, alternative, name) for width, name in ((_WIDE, "w"), (_NARROW, "n"))))


def _svg(draw: _Draw, width: float, height: float, alternative: str, name: str) -> str:
    # The figure is made without pyplot, whose global state would outlive it.
    with mpl.rc_context(_SVG | {"svg.hashsalt": f"{alternative}{name}"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(colors=_SOFT)
        draw(axes, width)
        content = BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(content.getvalue().decode(), alternative)


def _inline(svg: str, alternative: str) -> str:
    """The element alone, as an image with a text."""
    element = svg[svg.index("<svg") :]
    opening = element.index(">")
    size = re.search(r'viewBox="[^"]*"', element[:opening])
    if size is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    text = alternative.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    # Namespaces of XML mean nothing within HTML.
    body = re.sub(r"<metadata>.*?</metadata>", "", element[opening + 1 :], flags=re.DOTALL)
    return f'<svg {size[0]} role="img" aria-label="{text}">{body}'


def _percent(value: float, _: int) -> str:
    return f"{value:.0%}"


def _points(value: float, _: int) -> str:
    return f"{value * 100:+.3g}" if value else "0"
