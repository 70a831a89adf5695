"""Results in words, honest and short; the command line and the contact sheet both speak them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whybox.results import BiasFlag, ClassScore


def class_words(score: ClassScore) -> str:
    """For example "golden retriever 89.1 %"."""
    return f"{score.label} {percent_words(score.probability)}"


def percent_words(share: float) -> str:
    """A share of 0 to 1, for example "89.1 %"."""
    return f"{100 * share:.1f} %"


def cost_words(forward: int, gradients: int) -> str:
    """For example "12 gradients, 7 forward passes"."""
    return f"{gradients} gradient{'' if gradients == 1 else 's'}, {forward} forward pass{'' if forward == 1 else 'es'}"


def flag_words(flag: BiasFlag) -> str:
    """The audit's sentence, with its evidence where it measured any."""
    words = f"{flag.attribute or 'bias'}: {flag.state.replace('_', ' ')}"
    if flag.effect is not None:
        interval = "" if flag.ci_low is None or flag.ci_high is None else f" [{flag.ci_low:+.2f}, {flag.ci_high:+.2f}]"
        words += f", effect {flag.effect:+.2f}{interval}"
    if flag.n is not None:
        words += f", n = {flag.n}"
    if flag.q_value is not None:
        words += f", q = {flag.q_value:.3g}"
    return f"{words}. {flag.message}".strip()
