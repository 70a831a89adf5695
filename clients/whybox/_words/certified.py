"""Certificates in words: what is proven of the smoothed classifier, and what is not."""

from collections.abc import Iterator

from whybox._words.robustness import size_words
from whybox._words.shared import Line
from whybox.results import Certified


def certified_lines(certified: Certified) -> Iterator[Line]:
    """The certificate, or the abstention, in one line."""
    yield Line(certified_words(certified), "good" if certified.radius is not None else "doubtful")


def certified_words(certified: Certified) -> str:
    """For example "the smoothed classifier (...) answers dalmatian within an L2 change of 0.124 (31.6 in grey levels)".

    The words name the noise, the samples and the confidence, and tell the smoothed classifier from the model.
    """
    if certified.running:
        return f"under way: {certified.samples} of {certified.wanted_samples} samples"
    smoothed = f"the smoothed classifier ({_basis(certified)})"
    if certified.radius is not None:
        radius = size_words(certified.radius, "l2")
        words = f"{smoothed} answers {certified.class_label} within an L2 change of {radius}"
        return f"{words}; the certificate is not about the model itself{_ending(certified)}"
    words = f"{smoothed} abstains: no class was shown to win more than half of the votes"
    words += f" ({certified.class_label}: {certified.count} of {certified.samples})" if certified.samples else ""
    return f"{words}; less noise may help{_ending(certified)}"


def _basis(certified: Certified) -> str:
    confidence = f"{100 * (1 - certified.alpha):.10g} % confidence"
    return f"noise {certified.sigma:.3g}, {certified.samples} samples, {confidence}"


def _ending(certified: Certified) -> str:
    if not certified.stopped_by:
        return ""
    return f"; the {certified.stopped_by} came before all {certified.wanted_samples} samples were drawn"
