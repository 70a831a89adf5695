"""From evidence to the state of a flag."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM, CALIBRATION, ERROR_RATE, Question
from whybox_server.audits.criticism.evidence import Evidence, threshold
from whybox_server.audits.criticism.findings import Flag
from whybox_server.audits.criticism.methods.effects import beyond
from whybox_server.audits.criticism.options import AGREEING, SPLITS, CriticismOptions, Q
from whybox_server.audits.criticism.sentences import message, number, span

FLAGGED, NOT_DETECTED, INSUFFICIENT_DATA = "flagged", "not_detected", "insufficient_data"

UNITS = {
    ADVERSARIAL_CRITICISM: "Cliff's delta of the distances",
    ERROR_RATE: "difference of error rates",
    CALIBRATION: "difference of mean confidence minus accuracy",
}
"""What an effect of each kind is, between -1 and 1."""

_ID_DIGITS = 12


@dataclass(frozen=True)
class Confirmation:
    """The other part of the pictures, on a question that the first part answered.

    Attributes:
        evidence: What it says, with a one-sided p-value; None if its groups cannot be compared.
        refusal: Why they cannot be compared; "" if they can.
    """

    evidence: Evidence | None
    refusal: str


def stands_out(question: Question, evidence: Evidence, q_value: float, options: CriticismOptions) -> bool:
    """Whether an effect is significant in the family, beyond the threshold, and not made by the selection."""
    return not list(_doubts(question, evidence, q_value, options))


def verdict(
    question: Question,
    label: str,
    evidence: Evidence,
    q_value: float,
    alpha: float,
    options: CriticismOptions,
    confirmation: Confirmation | None = None,
    *,
    confirming: bool = False,
    audit_id: str = "",
) -> Flag:
    """The flag on a question that was tested.

    Args:
        question: The question.
        label: Label of its class.
        evidence: The evidence, of the discovering part if there is another.
        q_value: Its adjusted p-value.
        alpha: The largest p-value that would have been flagged.
        options: The thresholds.
        confirmation: What the other part says, if there is one and the effect stands out.
        confirming: Whether another part confirms, so that split halves are reported alone.
        audit_id: Id of the audit.
    """
    reasons = [*_doubts(question, evidence, q_value, options)]
    if not confirming and evidence.agreement < AGREEING:
        reasons.append(f"both halves have its sign in {evidence.agreement} of {SPLITS} splits, below {AGREEING}")
    state = NOT_DETECTED if reasons else FLAGGED
    shown = evidence
    chance = None
    if confirmation and confirmation.evidence:
        shown, chance = confirmation.evidence, confirmation.evidence.significance.p_value
        if chance >= Q:
            state = NOT_DETECTED
            reasons.append(f"the other part does not confirm it, p = {chance:.2g}")
    elif confirmation:
        state = INSUFFICIENT_DATA
        reasons.append(f"in the part that would confirm it, {confirmation.refusal}")
    smaller = min(*_sizes(evidence), *_sizes(shown))
    if state == FLAGGED and smaller < options.min_group:
        state = INSUFFICIENT_DATA
        reasons.append(f"a group has {smaller} pictures, and a flag needs {options.min_group}")
    flag = _flag(question, label, shown, options)
    flag = replace(
        flag,
        state=state,
        p_value=evidence.significance.p_value,
        p_value_method=evidence.significance.method,
        q_value=q_value,
        split_half_agreement=evidence.agreement,
        confirmation_p_value=chance,
        minimum_detectable_effect=evidence.detectable(alpha) if state == NOT_DETECTED else None,
        reasons=tuple(reasons),
        audit_id=audit_id,
    )
    return replace(flag, message=message(flag, threshold(question, options)))


def untested(
    question: Question, label: str, sizes: tuple[int, int], refusal: str, options: CriticismOptions, audit_id: str
) -> Flag:
    """The flag on a question whose groups cannot be compared; it says their sizes and nothing else about them."""
    flag = Flag(
        kind=question.kind,
        state=INSUFFICIENT_DATA,
        attribute=question.attribute,
        value=question.value,
        class_index=question.class_index,
        class_label=label,
        n=sum(sizes),
        n_with=sizes[0],
        n_without=sizes[1],
        unit=UNITS[question.kind],
        id=flag_id(question, label),
        norm=options.primary_norm if question.kind == ADVERSARIAL_CRITICISM else "",
        confounders=options.confounders,
        reasons=(refusal,),
        audit_id=audit_id,
    )
    return replace(flag, message=message(flag, threshold(question, options)))


def flag_id(question: Question, label: str) -> str:
    """The address of the flag on a question, 12 hexadecimal digits: the same in every audit that asks it.

    Args:
        question: The question.
        label: Label of its class.
    """
    asked = [question.kind, question.class_index, label, question.attribute, question.value]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:_ID_DIGITS]


def _doubts(question: Question, evidence: Evidence, q_value: float, options: CriticismOptions) -> Iterator[str]:
    least = threshold(question, options)
    if q_value >= Q:
        yield f"q is not below {Q}"
    if not beyond(evidence.interval, least):
        yield f"its interval does not lie beyond {least:g}"
    if evidence.unselected and evidence.unselected[0] * evidence.effect < 0:
        effect, interval = evidence.unselected
        yield (
            "over all pictures, with distance 0 where the answer is wrong, the effect has the other sign: "
            f"{number(effect)} {span(*interval)}"
        )


def _sizes(evidence: Evidence) -> tuple[int, int]:
    return evidence.n_with, evidence.n_without


def _flag(question: Question, label: str, shown: Evidence, options: CriticismOptions) -> Flag:
    """The flag with what was measured; its state is still to be decided."""
    flag = replace(
        untested(question, label, _sizes(shown), "", options, ""),
        effect=shown.effect,
        ci_low=shown.interval[0],
        ci_high=shown.interval[1],
        accuracy_with=shown.accuracies[0],
        accuracy_without=shown.accuracies[1],
        repeats=shown.repeats,
    )
    if shown.unselected:
        effect, (low, high) = shown.unselected
        flag = replace(flag, unselected_effect=effect, unselected_ci_low=low, unselected_ci_high=high)
    if shown.adjusted:
        flag = replace(
            flag,
            adjusted_effect=shown.adjusted.effect,
            adjusted_ci_low=shown.adjusted.low,
            adjusted_ci_high=shown.adjusted.high,
        )
    return flag
