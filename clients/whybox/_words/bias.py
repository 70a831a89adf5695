"""Bias flags in words."""

from collections.abc import Iterator, Mapping, Sequence

from whybox._words.robustness import size_words
from whybox._words.shared import Line, Tone
from whybox.results import Audit, Bias, BiasFlag, CounterfactualCheck, Example

_SHOWN = 3
_TONES: Mapping[str, Tone] = {"flagged": "bad", "not_detected": "good", "stale": "doubtful"}


def bias_lines(bias: Bias) -> Iterator[Line]:
    """One line for each flag and its check with boxes, then the pictures that are hardest and easiest to attack."""
    for flag in bias.flags:
        yield Line(flag_words(flag), _TONES.get(flag.state, "plain"))
        # Only flagged findings are checked; why one was not is said only there.
        if (check := flag.counterfactual) is not None and (check.state == "checked" or flag.state == "flagged"):
            yield Line(check_words(check))
    for what, examples in (("hardest", bias.prototypes), ("easiest", bias.criticisms)):
        if examples:
            yield Line(f"{what} to attack in audit {bias.audit_id}: {examples_words(examples, bias.norm)}")


def check_words(check: CounterfactualCheck) -> str:
    """The result of a check, or why there is none."""
    return f"  without the region: {check.message or f'not checked, because {check.reason}'}"


def audit_words(audit: Audit) -> str:
    """What was audited, how, and whether it was this model."""
    words = [
        f"audit {audit.id}: {audit.pictures} pictures of {audit.data_set}, {audit.classes} classes",
        f"attributes: {', '.join(audit.attributes) or 'none'}",
        f"{audit.attack}, {audit.budget} evaluations, {', '.join(audit.norms)}",
    ]
    if audit.trained_on:
        words.append(f"trained on {audit.trained_on} of the pictures")
    if audit.differences:
        words.append(f"stale: the audited version {audit.version} had other {' and '.join(audit.differences)}")
    return "; ".join(words)


def examples_words(examples: Sequence[Example], norm: str) -> str:
    """The first pictures with their distances, for example "a.jpg (0.2 grey levels of 255) and 19 more"."""
    shown = [
        f"{example.id} ({'not flipped' if example.distance is None else size_words(example.distance, norm)})"
        for example in examples[:_SHOWN]
    ]
    more = len(examples) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


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
