"""Results in words, honest and short; the command line and the contact sheet both speak them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whybox.results import BiasFlag, ClassScore, Distance

_GREY_LEVELS = 255


def class_words(score: ClassScore) -> str:
    """For example "golden retriever 89.1 %"."""
    return f"{score.label} {percent_words(score.probability)}"


def percent_words(share: float) -> str:
    """A share of 0 to 1, for example "89.1 %"."""
    return f"{100 * share:.1f} %"


def cost_words(forward: int, gradients: int) -> str:
    """For example "12 gradients, 7 forward passes"."""
    return f"{gradients} gradient{'' if gradients == 1 else 's'}, {forward} forward pass{'' if forward == 1 else 'es'}"


def distance_words(distance: Distance) -> str:
    """How far the prediction is from changing, who searched, what it cost, and whether 8 bits can hold it."""
    searched = f"{distance.attack}, {cost_words(distance.forward_evaluations, distance.gradient_evaluations)}"
    if distance.distance is None:
        radius = _size(distance.searched_radius, distance.norm)
        return f"{distance.norm}: no change up to {radius} was found to flip the prediction ({searched})"
    becomes = f"makes it {class_words(distance.adversarial_class)}" if distance.adversarial_class else "flips it"
    words = [f"{distance.norm}: a change of {_size(distance.distance, distance.norm)} {becomes}"]
    words.append(f"an upper bound found by {searched}")
    if distance.survives_8bit is not None:
        words.append(f"it {'survives' if distance.survives_8bit else 'does not survive'} rounding to 8 bits")
    if distance.percentile is not None:
        words.append(f"{distance.percentile:.0f} % of the class's reference pictures are easier to flip")
    return "; ".join(words)


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


def _size(distance: float, norm: str) -> str:
    """A distance in grey levels where the norm is that of single values, else in its own units."""
    if norm == "linf":
        levels = distance * _GREY_LEVELS
        return f"{levels:.3g} grey level{'' if levels == 1 else 's'} of {_GREY_LEVELS}"
    return f"{distance:.3g} ({distance * _GREY_LEVELS:.3g} in grey levels)"
