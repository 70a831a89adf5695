"""Tiles with captions, and a sheet of paper to put them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Colour: TypeAlias = tuple[int, int, int]

_PAPER = (255, 255, 255)
_INK = (34, 34, 34)
_PALE = (110, 110, 110)
# Lengths in pixels.
_MARGIN = 16
_LINE = 20
_GAP = 4
_FONT_SIZE = 14


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a sheet, and the lines of its caption, the title first."""

    picture: Image.Image
    caption: Sequence[str]


def mosaic(pictures: Sequence[Image.Image], size: int) -> Image.Image:
    """Small pictures in rows, from left to right; blank paper without any.

    Args:
        pictures: Each at most `size` wide, or it is made smaller.
        size: Width of the mosaic in pixels.
    """
    placed: list[tuple[Image.Image, int, int]] = []
    left = top = bottom = 0
    for picture in pictures:
        small = picture.copy()
        small.thumbnail((size, size))
        if left + small.width > size:
            left, top = 0, bottom + _GAP
        placed.append((small, left, top))
        left, bottom = left + small.width + _GAP, max(bottom, top + small.height)
    sheet = Image.new("RGB", (size, max(bottom, 1)), _PAPER)
    for small, x, y in placed:
        sheet.paste(small, (x, y))
    return sheet


def lay_out(tiles: Sequence[Tile], footer: Sequence[str], size: int) -> Image.Image:
    """The tiles in one row, each above its caption, and the lines of the footer below.

    Args:
        tiles: At least one tile.
        footer: Lines of any length.
        size: Width of the tiles in pixels; a smaller tile is not enlarged.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    captions = [_fitted(tile.caption, font, size) for tile in tiles]
    width = _MARGIN + len(tiles) * (size + _MARGIN)
    captions_top = _MARGIN + max(tile.picture.height for tile in tiles) + _MARGIN // 2
    footer_top = captions_top + max(map(len, captions)) * _LINE + _MARGIN // 2
    wrapped = [line for text in footer for line in _wrapped(text, font, width - 2 * _MARGIN)]
    sheet = Image.new("RGB", (width, footer_top + len(wrapped) * _LINE + _MARGIN // 2), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = _MARGIN + column * (size + _MARGIN)
        sheet.paste(tile.picture, (left, _MARGIN))
        for row, (line, colour) in enumerate(caption):
            pen.text((left, captions_top + row * _LINE), line, colour, font)
    for row, line in enumerate(wrapped):
        pen.text((_MARGIN, footer_top + row * _LINE), line, _INK, font)
    return sheet


def _fitted(caption: Sequence[str], font: _Font, width: int) -> list[tuple[str, _Colour]]:
    """The lines of a caption, none wider than its tile, each with its colour."""
    return [
        (_clipped(line, font, width), _PALE if row else _INK)
        for row, text in enumerate(caption)
        for line in _wrapped(text, font, width)
    ]


def _clipped(text: str, font: _Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
