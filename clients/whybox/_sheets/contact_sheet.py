"""One picture of an analysis: what the model saw beside each map and region, with captions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from PIL import Image

from whybox._sheets.explanation_tiles import explanation_tiles
from whybox._sheets.robustness_tiles import robustness_tiles
from whybox._sheets.tiles import Tile, lay_out
from whybox._words.parts import SHOWN_PARTS
from whybox._words.shared import class_words
from whybox.drawing.view import Box, seen, side_of
from whybox.results import Analysis

# The parts that have pictures beside the view; the prediction's caption stands under the view itself.
_TILES: Mapping[str, Callable[[Any, int], Iterator[Tile]]] = {
    "explanations": explanation_tiles,
    "robustness": robustness_tiles,
}
_CAPTION_CLASSES = 3


def contact_sheet(analysis: Analysis, size: int = 320) -> Image.Image:
    """Draws an analysis as one picture: what the model saw beside each map, region and adversarial picture.

    Each tile has a caption; the words about the other parts, and the errors of those that failed, stand below.

    Args:
        analysis: What to draw.
        size: Length of the longer side of each tile in pixels.

    Raises:
        TypeError, ValueError: `size` is no positive whole number.
    """
    size = side_of(size)
    view = Tile(seen(analysis.picture, _box(analysis), size), _view_caption(analysis))
    tiles = [
        tile
        for row in SHOWN_PARTS
        if row.name in _TILES
        for part in row.computed(analysis)
        for tile in _TILES[row.name](part, size)
    ]
    return lay_out([view, *tiles], list(_footer(analysis)), size)


def _box(analysis: Analysis) -> Box | None:
    parts = (analysis.prediction, *analysis.explanations, analysis.robustness)
    views = [part.view for part in parts if part is not None and part.view is not None]
    return views[0].box if views else None


def _view_caption(analysis: Analysis) -> list[str]:
    model = f"{analysis.model} {analysis.version}"
    if analysis.prediction is None or analysis.prediction.error is not None:
        return [model]
    return [*(class_words(score) for score in analysis.prediction.classes[:_CAPTION_CLASSES]), model]


def _footer(analysis: Analysis) -> Iterator[str]:
    for row in SHOWN_PARTS:
        if not row.captioned:
            for part in row.computed(analysis):
                yield from (line.text for line in row.lines(part) if line.tone != "minor")
    for name, error in analysis.errors.items():
        yield f"{name} failed: {error.message}"
