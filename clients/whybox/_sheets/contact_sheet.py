"""One picture of an analysis: what the model saw beside every map and region, with captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from whybox._messages import pictures as _pictures
from whybox._sheets.robustness_tiles import robustness_lines, robustness_tiles
from whybox._words.certified import certified_words
from whybox._words.explanations import (
    area_words,
    delta_words,
    ending_words,
    question_words,
    verdict_words,
)
from whybox._words.shared import class_words, flag_words

if TYPE_CHECKING:
    from whybox.results import Analysis, Explanation, Region, Regions, View

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER = (255, 255, 255)
_INK = (34, 34, 34)
_PALE = (110, 110, 110)
_MARGIN = 16
_LINE = 20
_FONT_SIZE = 14


def draw(analysis: Analysis, size: int) -> Image.Image:
    """Tiles of `size` pixels on their longer side, in one row; what is known beyond the maps stands below."""
    tiles = [(_pictures.seen(analysis.picture, _box(analysis), size), _prediction_caption(analysis))]
    tiles += [tile for explanation in analysis.explanations for tile in _explained(explanation, size)]
    tiles += robustness_tiles(analysis.robustness, size) if analysis.robustness else []
    font = ImageFont.load_default(_FONT_SIZE)
    captions = [_fitted(caption, font, size) for _, caption in tiles]
    width = _MARGIN + len(tiles) * (size + _MARGIN)
    captions_top = _MARGIN + max(tile.height for tile, _ in tiles) + _MARGIN // 2
    footer_top = captions_top + max(map(len, captions)) * _LINE + _MARGIN // 2
    footer = [line for text in _footer(analysis) for line in _wrapped(text, font, width - 2 * _MARGIN)]
    sheet = Image.new("RGB", (width, footer_top + len(footer) * _LINE + _MARGIN // 2), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, ((tile, _), caption) in enumerate(zip(tiles, captions, strict=True)):
        left = _MARGIN + column * (size + _MARGIN)
        sheet.paste(tile, (left, _MARGIN))
        for row, (line, colour) in enumerate(caption):
            pen.text((left, captions_top + row * _LINE), line, colour, font)
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


def _explained(explanation: Explanation, size: int) -> Iterator[tuple[Image.Image, list[str]]]:
    """The map, and the regions that were found; nothing of a map that failed."""
    # All that there is of a map that came without numbers.
    drawn = explanation.overlay_png or explanation.heat_map_png
    if explanation.attribution.size:
        yield explanation.overlay(size=size), _map_caption(explanation)
    elif drawn is not None:
        yield _pictures.seen(drawn, None, size), _map_caption(explanation)
    if explanation.regions is not None:
        yield from _spotlights(explanation, explanation.regions, size)


def _spotlights(explanation: Explanation, regions: Regions, size: int) -> Iterator[tuple[Image.Image, list[str]]]:
    label = explanation.target_label
    if regions.sufficient is not None and regions.sufficient.found:
        caption = _region_caption(f"enough for {label}", regions.sufficient, regions.segments)
        caption += [f"alone: {class_words(regions.sufficient.target)}"] if regions.sufficient.target else []
        yield explanation.spotlight(regions.sufficient, size), caption
    if regions.necessary is not None and regions.necessary.found:
        caption = _region_caption(f"needed for {label}", regions.necessary, regions.segments)
        caption += [f"without it: {class_words(regions.necessary.predicted)}"] if regions.necessary.predicted else []
        yield explanation.spotlight(regions.necessary, size), caption


def _region_caption(title: str, region: Region, segments: int) -> list[str]:
    return [title, f"{region.segments} of {segments} superpixels, {area_words(region)}"]


def _map_caption(explanation: Explanation) -> list[str]:
    legend = "red: for, blue: against" if explanation.signed else "bright: for"
    lines = [f"{explanation.method}: {question_words(explanation)}", legend]
    if explanation.convergence_delta is not None:
        lines.append(delta_words(explanation))
    lines += ending_words(explanation)
    if explanation.quality is not None:
        lines.append(verdict_words(explanation.quality))
    return lines


def _footer(analysis: Analysis) -> list[str]:
    lines = [*robustness_lines(analysis.robustness)] if analysis.robustness else []
    lines += [flag_words(flag) for flag in (analysis.bias.flags if analysis.bias else ())]
    if analysis.certified is not None and analysis.certified.error is None:
        lines.append(certified_words(analysis.certified))
    return lines + [f"{part} failed: {error.message}" for part, error in analysis.errors.items()]


def _fitted(caption: list[str], font: _Font, width: int) -> list[tuple[str, tuple[int, int, int]]]:
    """The lines of a caption, none wider than its tile, each with its colour: the first line's is the title's."""
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
