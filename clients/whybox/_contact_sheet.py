"""One picture of an analysis: what the model saw beside every map, with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from whybox import _pictures
from whybox._words import class_words, delta_words, distance_words, flag_words

if TYPE_CHECKING:
    from whybox.results import Analysis, Explanation, View

_PAPER = (255, 255, 255)
_INK = (34, 34, 34)
_PALE = (110, 110, 110)
_MARGIN = 16
_LINE = 20
_FONT_SIZE = 14


def draw(analysis: Analysis, size: int) -> Image.Image:
    """Tiles of `size` pixels on their longer side, in one row; the robustness and the bias flags stand below."""
    tiles = [(_pictures.seen(analysis.picture, _box(analysis), size), _prediction_caption(analysis))]
    tiles += [
        (explanation.overlay(size=size), _map_caption(explanation))
        for explanation in analysis.explanations
        if explanation.error is None
    ]
    footer = _footer(analysis)
    caption_lines = max(len(caption) for _, caption in tiles)
    width = _MARGIN + len(tiles) * (size + _MARGIN)
    captions_top = _MARGIN + max(tile.height for tile, _ in tiles) + _MARGIN // 2
    footer_top = captions_top + caption_lines * _LINE + _MARGIN // 2
    font = ImageFont.load_default(_FONT_SIZE)
    footer = [line for text in footer for line in _wrapped(text, font, width - 2 * _MARGIN)]
    sheet = Image.new("RGB", (width, footer_top + len(footer) * _LINE + _MARGIN // 2), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, (tile, caption) in enumerate(tiles):
        left = _MARGIN + column * (size + _MARGIN)
        sheet.paste(tile, (left, _MARGIN))
        for row, line in enumerate(caption):
            pen.text((left, captions_top + row * _LINE), _clipped(line, font, size), _PALE if row else _INK, font)
    for row, line in enumerate(footer):
        pen.text((_MARGIN, footer_top + row * _LINE), line, _INK, font)
    return sheet


def _box(analysis: Analysis) -> tuple[float, float, float, float] | None:
    parts = (analysis.prediction, *analysis.explanations, analysis.robustness)
    views: Sequence[View] = [part.view for part in parts if part is not None and part.view is not None]
    return views[0].box if views else None


def _prediction_caption(analysis: Analysis) -> list[str]:
    model = f"{analysis.model} {analysis.version}"
    if analysis.prediction is None or analysis.prediction.error is not None:
        return [model]
    return [*(class_words(score) for score in analysis.prediction.classes[:3]), model]


def _map_caption(explanation: Explanation) -> list[str]:
    legend = "red: for, blue: against" if explanation.signed else "bright: for"
    lines = [f"{explanation.method}: {explanation.target_label}", legend]
    if explanation.convergence_delta is not None:
        lines.append(delta_words(explanation))
    return lines


def _footer(analysis: Analysis) -> list[str]:
    lines = [distance_words(distance) for distance in (analysis.robustness.distances if analysis.robustness else ())]
    lines += [flag_words(flag) for flag in (analysis.bias.flags if analysis.bias else ())]
    return lines + [f"{part} failed: {error.message}" for part, error in analysis.errors.items()]


def _clipped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
