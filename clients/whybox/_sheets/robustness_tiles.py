"""What robustness shows on a contact sheet: adversarial pictures, their changes, and their explanations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from whybox._messages import pictures as _pictures
from whybox._words.explanations import question_words
from whybox._words.robustness import (
    corruptions_words,
    distance_words,
    reliability_words,
    size_words,
    transfer_words,
    twin_words,
)
from whybox._words.shared import class_words, percent_words

if TYPE_CHECKING:
    from whybox.results import Distance, Robustness, Twin


def robustness_tiles(robustness: Robustness, size: int) -> Iterator[tuple[Image.Image, list[str]]]:
    """Each picture that came with a distance, of `size` pixels on its longer side, with the lines of its caption."""
    for distance in robustness.distances:
        yield from _changes(distance, size)
        if distance.twin is not None:
            yield from _twins(distance.twin, size)


def robustness_lines(robustness: Robustness) -> Iterator[str]:
    """The same, and all else that is known, in words."""
    for distance in robustness.distances:
        yield distance_words(distance)
        if distance.reasons:
            yield reliability_words(distance)
        for transfer in distance.transfers:
            yield transfer_words(transfer)
        if distance.twin is not None:
            yield twin_words(distance.twin)
    if robustness.corruptions:
        yield corruptions_words(robustness.corruptions)


def _changes(distance: Distance, size: int) -> Iterator[tuple[Image.Image, list[str]]]:
    if distance.adversarial_png is not None:
        caption = [f"adversarial, {distance.norm}, {distance.attack}"]
        caption += [class_words(distance.adversarial_class)] if distance.adversarial_class is not None else []
        caption += _size_caption(distance.distance_8bit, distance.norm)
        yield _pictures.seen(distance.adversarial_png, None, size), caption
    if distance.change_png is not None:
        caption = [f"change, {distance.norm}, amplified", *_size_caption(distance.distance, distance.norm)]
        yield _pictures.seen(distance.change_png, None, size), caption


def _size_caption(change: float | None, norm: str) -> list[str]:
    return [] if change is None else [size_words(change, norm)]


def _twins(twin: Twin, size: int) -> Iterator[tuple[Image.Image, list[str]]]:
    for explanation, when in ((twin.before, "before"), (twin.after, "after")):
        if explanation is None or explanation.error is not None or not explanation.attribution.size:
            continue
        caption = [f"{explanation.method} {when}: {question_words(explanation)}"]
        if when == "after" and twin.new_class is not None:
            overlap = percent_words(twin.new_class.top_overlap)
            caption.append(f"SSIM {twin.new_class.ssim:.2f}, top overlap {overlap}")
        yield explanation.overlay(size=size), caption
