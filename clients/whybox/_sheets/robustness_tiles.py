"""The tiles of robustness: adversarial pictures, their changes, and their explanations."""

from collections.abc import Iterator

from whybox._sheets.tiles import Tile
from whybox._words.explanations import question_words
from whybox._words.robustness import size_words
from whybox._words.shared import class_words, percent_words
from whybox.drawing.view import seen
from whybox.results import Distance, Robustness, Twin


def robustness_tiles(robustness: Robustness, size: int) -> Iterator[Tile]:
    """Each picture that came with a distance, and the maps of its twin."""
    for distance in robustness.distances:
        yield from _changes(distance, size)
        if distance.twin is not None:
            yield from _twins(distance.twin, size)


def _changes(distance: Distance, size: int) -> Iterator[Tile]:
    if distance.adversarial_png is not None:
        caption = [f"adversarial, {distance.norm}, {distance.attack}"]
        caption += [class_words(distance.adversarial_class)] if distance.adversarial_class is not None else []
        caption += _size_caption(distance.distance_8bit, distance.norm)
        yield Tile(seen(distance.adversarial_png, None, size), caption)
    if distance.change_png is not None:
        caption = [f"change, {distance.norm}, amplified", *_size_caption(distance.distance, distance.norm)]
        yield Tile(seen(distance.change_png, None, size), caption)


def _size_caption(change: float | None, norm: str) -> list[str]:
    return [] if change is None else [size_words(change, norm)]


def _twins(twin: Twin, size: int) -> Iterator[Tile]:
    for explanation, when in ((twin.before, "before"), (twin.after, "after")):
        if explanation is None or explanation.error is not None or not explanation.attribution.size:
            continue
        caption = [f"{explanation.method} {when}: {question_words(explanation)}"]
        if when == "after" and twin.new_class is not None:
            overlap = percent_words(twin.new_class.top_overlap)
            caption.append(f"SSIM {twin.new_class.ssim:.2f}, top overlap {overlap}")
        yield Tile(explanation.overlay(size=size), caption)
