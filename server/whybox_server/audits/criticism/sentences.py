"""Flags in plain words."""

from collections.abc import Iterator

from whybox_server.audits.criticism.findings import Flag, Repeat
from whybox_server.audits.criticism.options import SELECTION

# For an effect below 0, above 0, and of either sign: what the pictures with the value are or have.
_CLAIMS = {
    "adversarial_criticism": ("are easier to attack", "are harder to attack", "are easier or harder to attack"),
    "error_rate": (
        "are misclassified less often",
        "are misclassified more often",
        "are misclassified more or less often",
    ),
    "calibration": (
        "get answers that are less over-confident",
        "get answers that are more over-confident",
        "get answers that are more or less over-confident",
    ),
}


def message(flag: Flag, threshold: float) -> str:
    """The finding in one sentence, and one for each thing to know about it.

    Args:
        flag: The flag; its message is not looked at.
        threshold: The threshold of its effect.
    """
    return " ".join([_finding(flag, threshold), *(f"{_capital(caveat)}." for caveat in _caveats(flag, threshold))])


def number(effect: float) -> str:
    """An effect, always with its sign."""
    return f"{effect:+.2f}"


def span(low: float, high: float) -> str:
    """A 95 % interval."""
    return f"[{low:+.2f}, {high:+.2f}]"


def _finding(flag: Flag, threshold: float) -> str:
    of_audit = f"In audit {flag.audit_id}, " if flag.audit_id else ""
    value = f" = {flag.value}" if flag.value else ""
    who = f"pictures of {flag.class_label} annotated {flag.attribute}{value}"
    below, above, either = _CLAIMS[flag.kind]
    why = "; ".join(flag.reasons)
    if flag.effect is None:
        sizes = f"{flag.n_with} with it and {flag.n_without} without"
        return _capital(
            f"{of_audit}there is too little data to say whether {who} {either} than others ({sizes}): {why}."
        )
    evidence = f"{_effect(flag)}, n = {flag.n_with} with and {flag.n_without} without, q = {flag.q_value:.3g}"
    claim = below if flag.effect < 0 else above
    if flag.state == "flagged":
        return _capital(f"{of_audit}{who} {claim} than others: {evidence}.")
    if flag.state == "insufficient_data":
        return _capital(f"{of_audit}there is too little data to say that {who} {claim} than others: {evidence}; {why}.")
    power = f"an effect of {flag.minimum_detectable_effect:.2f} would have been flagged with a power of 80 %"
    shown = (
        f"it is not shown that {who} {either} than others: {evidence}; {_excluded(flag, threshold)}; {power}; {why}."
    )
    return _capital(of_audit + shown)


def _effect(flag: Flag) -> str:
    unit = {"adversarial_criticism": f"Cliff's delta in {flag.norm}", "error_rate": "gap of the error rates"}
    name = unit.get(flag.kind, "gap of confidence minus accuracy")
    strata = f" within {', '.join(flag.confounders)}" if flag.confounders else ""
    return f"{name}{strata} {number(flag.effect or 0)} {span(flag.ci_low or 0, flag.ci_high or 0)}"


def _excluded(flag: Flag, threshold: float) -> str:
    low, high = flag.ci_low or 0, flag.ci_high or 0
    if -threshold <= low and high <= threshold:
        return f"an effect beyond {threshold:g} is excluded"
    if low <= 0 <= high:
        return f"{number(flag.effect or 0)} is neither shown nor excluded"
    return f"an effect beyond {threshold:g} is neither shown nor excluded"


def _caveats(flag: Flag, threshold: float) -> Iterator[str]:
    if flag.effect is None:
        return
    if flag.confirmation_p_value is not None:
        yield (
            "effect, interval and n are those of the part that confirms, "
            f"with one-sided p = {flag.confirmation_p_value:.2g}"
        )
    if flag.unselected_effect is not None and flag.accuracy_with is not None and flag.accuracy_without is not None:
        if abs(flag.accuracy_with - flag.accuracy_without) > SELECTION:
            yield (
                "the test compares the pictures that stayed right, "
                f"{100 * flag.accuracy_with:.0f} % of those with the value "
                f"and {100 * flag.accuracy_without:.0f} % of the others"
            )
        yield (
            "over all pictures, with distance 0 where the answer is wrong, the effect is "
            f"{number(flag.unselected_effect)} {span(flag.unselected_ci_low or 0, flag.unselected_ci_high or 0)}"
        )
    if flag.adjusted_effect is not None:
        low, high = flag.adjusted_ci_low or 0, flag.adjusted_ci_high or 0
        if low <= 0 <= high or flag.adjusted_effect * flag.effect < 0:
            estimate = f"{number(flag.adjusted_effect)} {span(low, high)}"
            yield f"a regression with the confounders does not show it: {estimate}"
    for repeat in flag.repeats:
        yield from _repeated(flag, repeat, threshold)


def _repeated(flag: Flag, repeat: Repeat, threshold: float) -> Iterator[str]:
    """What a repeat says if it disagrees with the state of the flag."""
    if repeat.effect is None:
        if flag.state == "flagged":
            yield f"{repeat.what}, too few pictures are left to compare ({repeat.n_with} and {repeat.n_without})"
        return
    measured = f"the interval {span(repeat.ci_low or 0, repeat.ci_high or 0)}"
    if flag.state == "flagged" and not repeat.agrees(flag.effect or 0):
        yield f"{repeat.what}, which does not decide: {measured} does not lie beyond {threshold:g} on this side"
    if flag.state != "flagged" and repeat.beyond_threshold:
        yield f"{repeat.what}, which does not decide: {measured} lies beyond {threshold:g}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
