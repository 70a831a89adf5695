"""The tiles of an explanation: its map and its regions, or known pictures."""

from collections.abc import Iterator

from whybox._sheets.tiles import Tile, mosaic
from whybox._words.examples import KINDS, agreement_words, neighbour_words
from whybox._words.explanations import area_words, delta_words, ending_words, question_words, verdict_words
from whybox._words.shared import class_words
from whybox.drawing.view import seen
from whybox.results import Examples, Explanation, Region, Regions


def explanation_tiles(explanation: Explanation, size: int) -> Iterator[Tile]:
    """The map, and the regions that were found; or a mosaic of known pictures for each kind that has any."""
    if explanation.examples is not None:
        yield from _mosaics(explanation, explanation.examples, size)
    if explanation.attribution.size:
        yield Tile(explanation.overlay(size=size), _map_caption(explanation))
    elif (drawn := explanation.overlay_png or explanation.heat_map_png) is not None:
        # The map came without numbers; the server's drawing stands for it.
        yield Tile(seen(drawn, None, size), _map_caption(explanation))
    if explanation.regions is not None:
        yield from _spotlights(explanation, explanation.regions, size)


def _mosaics(explanation: Explanation, examples: Examples, size: int) -> Iterator[Tile]:
    for kind, neighbours in examples.by_kind.items():
        if neighbours:
            small = [neighbour.thumbnail_jpeg for neighbour in neighbours if neighbour.thumbnail_jpeg is not None]
            pictures = [seen(jpeg, None, None) for jpeg in small]
            caption = [f"{explanation.method}: {KINDS[kind]}", agreement_words(explanation, examples)]
            caption += [neighbour_words(neighbour, examples.norm) for neighbour in neighbours]
            yield Tile(mosaic(pictures, size), caption)


def _map_caption(explanation: Explanation) -> list[str]:
    legend = "red: for, blue: against" if explanation.signed else "bright: for"
    lines = [f"{explanation.method}: {question_words(explanation)}", legend]
    if explanation.convergence_delta is not None:
        lines.append(delta_words(explanation))
    lines += ending_words(explanation)
    if explanation.quality is not None:
        lines.append(verdict_words(explanation.quality))
    return lines


def _spotlights(explanation: Explanation, regions: Regions, size: int) -> Iterator[Tile]:
    label = explanation.target_label
    if regions.sufficient is not None and regions.sufficient.found:
        caption = _region_caption(f"enough for {label}", regions.sufficient, regions.segments)
        caption += [f"alone: {class_words(regions.sufficient.target)}"] if regions.sufficient.target else []
        yield Tile(explanation.spotlight(regions.sufficient, size), caption)
    if regions.necessary is not None and regions.necessary.found:
        caption = _region_caption(f"needed for {label}", regions.necessary, regions.segments)
        caption += [f"without it: {class_words(regions.necessary.predicted)}"] if regions.necessary.predicted else []
        yield Tile(explanation.spotlight(regions.necessary, size), caption)


def _region_caption(title: str, region: Region, segments: int) -> list[str]:
    return [title, f"{region.segments} of {segments} superpixels, {area_words(region)}"]
