"""Bias flags in words."""

from collections.abc import Iterator, Mapping, Sequence

from whybox._words.robustness import size_words
from whybox._words.shared import Line, Tone
from whybox.results import Audit, AuditReport, Bias, BiasFlag, CounterfactualCheck, Example

_SHOWN = 3
# The order in which flags are listed.
_ORDER = {state: place for place, state in enumerate(("flagged", "stale", "not_detected", "insufficient_data"))}
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


def report_lines(report: AuditReport, *, flagged_alone: bool = False) -> Iterator[Line]:
    """What was audited, then one line for each flag, the flagged ones first.

    Args:
        report: The audit.
        flagged_alone: Whether the last line tells how many others there are instead.
    """
    stale = report.audit.differences
    yield Line(audit_words(report.audit), "doubtful" if stale else "plain")
    flags = sorted(report.flags, key=lambda flag: _ORDER.get(flag.state, len(_ORDER)))
    shown = [flag for flag in flags if flag.state == "flagged"] if flagged_alone else flags
    for flag in shown:
        yield Line(flag_words(flag), "doubtful" if stale else _TONES.get(flag.state, "plain"), 1)
    if others := len(flags) - len(shown):
        yield Line(f"{others} other finding{'' if others == 1 else 's'}", "minor", 1)


def states_words(flags: Mapping[str, int]) -> str:
    """Numbers of flags by state, for example "2 flagged, 1 not detected"."""
    states = sorted(flags, key=lambda state: (_ORDER.get(state, len(_ORDER)), state))
    return ", ".join(f"{flags[state]} {state.replace('_', ' ')}" for state in states) or "none"


def check_words(check: CounterfactualCheck) -> str:
    """The result of a check, or why there is none."""
    return f"  without the region: {check.message or f'not checked, because {check.reason}'}"


def audit_words(audit: Audit) -> str:
    """What was audited, how, and whether it was this model."""
    classes = "1 class" if audit.classes == 1 else f"{audit.classes} classes"
    words = [
        f"audit {audit.id}: {audit.pictures} pictures of {audit.data_set}, {classes}",
        f"attributes: {', '.join(audit.attributes) or 'none'}",
        f"{audit.attack}, {audit.budget} evaluations, {', '.join(audit.norms)}",
    ]
    if audit.trained_on:
        words.append(f"trained on {audit.trained_on} of the pictures")
    if (calibration := audit.calibration) is not None:
        sets = ", ".join(calibration.methods) or calibration.state.replace("_", " ")
        pictures = f"{calibration.n} pictures of {calibration.data_set} and tested on {calibration.coverage_n}"
        words.append(f"prediction sets ({sets}) calibrated on {pictures}")
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
    """The state, the audit's sentence, which has its evidence, and what reviewers wrote about it."""
    value = f" = {flag.value}" if flag.value else ""
    kind = "" if flag.state == "not_audited" else f" ({flag.kind.replace('_', ' ')})"
    words = f"{flag.attribute or 'bias'}{value}{kind}: {flag.state.replace('_', ' ')}"
    notes = [f"Note by {note.name}, {note.date}: {note.text}" for note in flag.notes]
    return " ".join([f"{words}. {flag.message}".strip(), *notes])
