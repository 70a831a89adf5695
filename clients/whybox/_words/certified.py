"""Certificates in words: what is proven, of what, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whybox._words.robustness import size_words

if TYPE_CHECKING:
    from whybox.results import Certified


def certified_words(certified: Certified) -> str:
    """For example "within an L2 change of 0.124 (31.6 in grey levels) the smoothed classifier (...) answers dalmatian".

    The smoothed classifier is named with its noise and what the certificate rests on, and told from the model.
    """
    smoothed = f"the smoothed classifier ({_basis(certified)})"
    if certified.running:
        return f"under way: {certified.samples} of {certified.wanted_samples} samples"
    if certified.radius is not None:
        radius = size_words(certified.radius, "l2")
        words = f"within an L2 change of {radius} {smoothed} answers {certified.class_label}"
        return f"{words}; it is not the model itself{_ending(certified)}"
    words = f"nothing is certified: {smoothed} abstains, for no class has surely more than half of the answers"
    words += f" ({certified.class_label}: {certified.count} of {certified.samples})" if certified.samples else ""
    return f"{words}; less noise may help{_ending(certified)}"


def _basis(certified: Certified) -> str:
    confidence = f"{100 * (1 - certified.alpha):.10g} % confidence"
    return f"noise {certified.sigma:.3g}, {certified.samples} samples, {confidence}"


def _ending(certified: Certified) -> str:
    if not certified.stopped_by:
        return ""
    return f"; the {certified.stopped_by} ended it before its {certified.wanted_samples} samples"
