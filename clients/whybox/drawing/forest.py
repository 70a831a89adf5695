"""Estimates with their intervals, one below the other."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from whybox.arguments import integer

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Colour: TypeAlias = tuple[int, int, int]

_PAPER: _Colour = (255, 255, 255)
_INK: _Colour = (34, 34, 34)
_PALE: _Colour = (110, 110, 110)
_GRID: _Colour = (226, 226, 226)
_ESTIMATE: _Colour = (31, 78, 121)
_OTHER: _Colour = (176, 58, 46)
_MIN_WIDTH, _MAX_WIDTH = 640, 8_000
# Lengths in pixels of a picture; it is drawn larger, and then made smaller, so that its lines are smooth.
_FINER = 2
_MARGIN = 18
_ROW = 34
_LINE = 19
_FONT_SIZE = 14
_TITLE_SIZE = 17
_MARK = 5
# Share of the width for the names of the rows, which have at most two lines.
_NAMES = 0.38
_NAME_LINE = 16
_NUMBERS = 150
_BETWEEN_TICKS = 64


@dataclass(frozen=True)
class Row:
    """An estimate with its interval.

    Attributes:
        name: What it is of.
        estimate: The estimate, between the ends.
        low: Lower end.
        high: Upper end.
        filled: Whether its mark is filled, else hollow.
        other: A second number in the same unit, as a diamond; None without one.
    """

    name: str
    estimate: float
    low: float
    high: float
    filled: bool = True
    other: float | None = None


@dataclass(frozen=True)
class Panel:
    """Rows with a common axis.

    Attributes:
        title: What the axis shows.
        rows: The rows; a panel without any is left out.
        filled: What a filled mark stands for.
        hollow: What a hollow mark stands for.
        other: What the diamond stands for.
        signed: Whether the numbers are differences, on both sides of 0, rather than shares.
    """

    title: str
    rows: Sequence[Row]
    filled: str
    hollow: str = ""
    other: str = ""
    signed: bool = False


def forest(panels: Sequence[Panel], title: Sequence[str], footer: Sequence[str], size: int) -> Image.Image:
    """Panels below each other, on white paper.

    Marks differ by their form, so that colour tells nothing that form does not.

    Args:
        panels: What to draw; numbers are fractions, and are written as percentages.
        title: Lines at the top.
        footer: Lines below, of any length.
        size: Width in pixels.

    Raises:
        TypeError: `size` is no whole number.
        ValueError: `size` is out of range.
    """
    width = integer("size", size, _MIN_WIDTH, _MAX_WIDTH, what=f"a width of {_MIN_WIDTH} to {_MAX_WIDTH} pixels")
    shown = [panel for panel in panels if panel.rows]
    font = ImageFont.load_default(_FONT_SIZE)
    below = [line for text in footer for line in wrapped(text, font, width - 2 * _MARGIN)]
    head = (_LINE + 6) * len(title) + _MARGIN // 2
    height = 2 * _MARGIN + head + sum(_panel_height(panel) for panel in shown) + _LINE * len(below)
    pen = _Pen(width, height)
    y = float(_MARGIN)
    for number, line in enumerate(title):
        pen.text(_MARGIN, y, line, _PALE if number else _INK, title=not number)
        y += _LINE + 6
    y = float(_MARGIN + head)
    for panel in shown:
        _draw(pen, panel, y)
        y += _panel_height(panel)
    for line in below:
        pen.text(_MARGIN, y, line, _PALE)
        y += _LINE
    return pen.picture()


def wrapped(text: str, font: _Font, width: float) -> Iterator[str]:
    """A text in lines that are at most as wide, unless a word is wider."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if line and font.getlength(longer) > width:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line


class _Pen:
    """Draws in the pixels of the picture on paper that is finer than these."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self._height = width, height
        self._paper = Image.new("RGB", (width * _FINER, height * _FINER), _PAPER)
        self._pen = ImageDraw.Draw(self._paper)
        self._font, self._title = (ImageFont.load_default(size * _FINER) for size in (_FONT_SIZE, _TITLE_SIZE))

    def text(self, x: float, y: float, text: str, colour: _Colour, *, title: bool = False, anchor: str = "la") -> None:
        self._pen.text((x * _FINER, y * _FINER), text, colour, self._title if title else self._font, anchor)

    def in_two_lines(self, text: str, width: float) -> list[str]:
        """The text in at most two lines, cut off where it is longer."""
        lines = list(wrapped(text, self._font, width * _FINER))
        return [self._fitted(line, width) for line in (*lines[:1], " ".join(lines[1:])) if line]

    def _fitted(self, text: str, width: float) -> str:
        if self._font.getlength(text) <= width * _FINER:
            return text
        while text and self._font.getlength(f"{text}…") > width * _FINER:
            text = text[:-1]
        return f"{text.rstrip()}…"

    def length(self, text: str) -> float:
        return self._font.getlength(text) / _FINER

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: _Colour, width: float) -> None:
        ends = [(x * _FINER, y * _FINER) for x, y in (start, end)]
        self._pen.line(ends, colour, round(width * _FINER))

    def square(self, x: float, y: float, colour: _Colour, *, filled: bool) -> None:
        corners = [(x - _MARK) * _FINER, (y - _MARK) * _FINER, (x + _MARK) * _FINER, (y + _MARK) * _FINER]
        self._pen.rectangle(corners, colour if filled else _PAPER, colour, 2 * _FINER)

    def diamond(self, x: float, y: float, colour: _Colour) -> None:
        reach = _MARK + 2
        corners = [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
        self._pen.polygon([(a * _FINER, b * _FINER) for a, b in corners], _PAPER, colour, 2 * _FINER)

    def picture(self) -> Image.Image:
        return self._paper.resize((self.width, self._height), Image.Resampling.LANCZOS)


def _panel_height(panel: Panel) -> int:
    # Title, rows, ticks, legend and the space below.
    return _LINE + 8 + _ROW * len(panel.rows) + _LINE + 6 + _LINE + 20


def _draw(pen: _Pen, panel: Panel, top: float) -> None:
    left, right = _NAMES * pen.width, pen.width - _MARGIN - _MARK
    across_width = right - _NUMBERS - 16 - left
    low, high, step = _axis(panel, max(2, int(across_width / _BETWEEN_TICKS)))

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * across_width

    pen.text(_MARGIN, top, panel.title, _INK)
    first = top + _LINE + 8
    last = first + _ROW * len(panel.rows)
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        pen.line((across(tick), first), (across(tick), last), _GRID, 1)
        pen.text(across(tick), last + 4, _number(tick, panel), _PALE, anchor="ma")
    if panel.signed:
        pen.line((across(0), first), (across(0), last), _PALE, 1)
    for number, row in enumerate(panel.rows):
        y = first + _ROW * (number + 0.5)
        lines = pen.in_two_lines(row.name, left - _MARGIN - 16)
        for place, line in enumerate(lines):
            pen.text(_MARGIN, y + (place - (len(lines) - 1) / 2) * _NAME_LINE, line, _INK, anchor="lm")
        pen.line((across(row.low), y), (across(row.high), y), _ESTIMATE, 2)
        for end in (row.low, row.high):
            pen.line((across(end), y - 4), (across(end), y + 4), _ESTIMATE, 2)
        if row.other is not None:
            pen.diamond(across(row.other), y, _OTHER)
        pen.square(across(row.estimate), y, _ESTIMATE, filled=row.filled)
        pen.text(right, y, _interval(row, panel), _INK, anchor="rm")
    _legend(pen, panel, last + _LINE + 6 + _LINE / 2)


def _legend(pen: _Pen, panel: Panel, y: float) -> None:
    """What the marks that occur stand for, below the axis, or from the margin if that is too narrow."""
    marks = [
        (form, words)
        for form, words, occurs in (
            ("filled", panel.filled, any(row.filled for row in panel.rows)),
            ("hollow", panel.hollow, any(not row.filled for row in panel.rows)),
            ("diamond", panel.other, any(row.other is not None for row in panel.rows)),
        )
        if occurs
    ]
    length = sum(14 + pen.length(words) + 24 for _, words in marks)
    x = min(_NAMES * pen.width + _MARK, max(pen.width - _MARGIN - length, _MARGIN + _MARK))
    for form, words in marks:
        if form == "diamond":
            pen.diamond(x, y, _OTHER)
        else:
            pen.square(x, y, _ESTIMATE, filled=form == "filled")
        pen.text(x + 14, y, words, _PALE, anchor="lm")
        x += 14 + pen.length(words) + 24


def _axis(panel: Panel, ticks: int) -> tuple[float, float, float]:
    """Both ends of the axis, and the step between ticks, of which there are about as many."""
    values = [value for row in panel.rows for value in (row.low, row.high, row.estimate)]
    values += [row.other for row in panel.rows if row.other is not None]
    reach = max(max(map(abs, values)), 0.02)
    low, high = (-reach, reach) if panel.signed else (0.0, reach)
    step = _step((high - low) / ticks)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _step(least: float) -> float:
    """The smallest round number that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _number(value: float, panel: Panel) -> str:
    text = f"{100 * value:{'+' if panel.signed else ''}.4g}"
    text = "0" if float(text) == 0 else text
    return text if panel.signed else f"{text} %"


def _interval(row: Row, panel: Panel) -> str:
    form = "+.1f" if panel.signed else ".1f"
    estimate, low, high = (f"{100 * value:{form}}" for value in (row.estimate, row.low, row.high))
    return f"{estimate} ({low} to {high})"
