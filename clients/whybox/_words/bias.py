"""Bias flags in words."""

from collections.abc import Iterator, Mapping

from whybox._words.shared import Line, Tone
from whybox.results import Bias, BiasFlag

_TONES: Mapping[str, Tone] = {"flagged": "bad", "not_detected": "good", "stale": "doubtful"}


def bias_lines(bias: Bias) -> Iterator[Line]:
    """One line for each flag."""
    for flag in bias.flags:
        yield Line(flag_words(flag), _TONES.get(flag.state, "plain"))


def flag_words(flag: BiasFlag) -> str:
    """The audit's sentence, after its state and its measured evidence."""
    value = f" = {flag.value}" if flag.value else ""
    kind = "" if flag.state == "not_audited" else f" ({flag.kind.replace('_', ' ')})"
    words = f"{flag.attribute or 'bias'}{value}{kind}: {flag.state.replace('_', ' ')}"
    if flag.effect is not None:
        interval = "" if flag.ci_low is None or flag.ci_high is None else f" [{flag.ci_low:+.2f}, {flag.ci_high:+.2f}]"
        words += f", effect {flag.effect:+.2f}{interval}"
    if flag.n is not None:
        words += f", n = {flag.n}"
    if flag.q_value is not None:
        words += f", q = {flag.q_value:.3g}"
    return f"{words}. {flag.message}".strip()
