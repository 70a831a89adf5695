"""From measured pictures to findings."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from whybox_server.audits.criticism.columns import (
    ADVERSARIAL_CRITICISM,
    Question,
    questions,
    read_columns,
    with_crossings,
)
from whybox_server.audits.criticism.comparisons import compare
from whybox_server.audits.criticism.evidence import Evidence, gather, repeat, tails, threshold
from whybox_server.audits.criticism.findings import ClassCriticism, Example, Finding, Findings, Flag
from whybox_server.audits.criticism.methods.family import adjust, largest_flagged, permutations
from whybox_server.audits.criticism.methods.significance import Alternative
from whybox_server.audits.criticism.methods.tails import TailName, tail_rows
from whybox_server.audits.criticism.options import AGREEING, CENSORED, FLOOR, LARGE, POWER, SPLITS, CriticismOptions, Q
from whybox_server.audits.criticism.pictures import CriticismError, Integers, Measurements, annotated
from whybox_server.audits.criticism.sentences import message
from whybox_server.audits.criticism.verdicts import FLAGGED, Confirmation, stands_out, untested, verdict
from whybox_server.audits.statistics import CONFIDENCE, RESAMPLES


def find(
    measurements: Measurements,
    class_labels: Sequence[str],
    options: CriticismOptions | None = None,
    *,
    confirming: Measurements | None = None,
    audit_id: str = "",
) -> Findings:
    """The findings on all classes and attributes of the audited pictures.

    Args:
        measurements: The pictures. If they have a split, one part finds and the other confirms.
        class_labels: The label of each class, by its index.
        options: What is tested, and when an effect is flagged.
        confirming: The pictures of another audit, which confirm what these find.
        audit_id: Id of the audit.

    Raises:
        CriticismError: The options do not fit the measurements; the message says what and how.
    """
    options = options or CriticismOptions()
    if len(measurements) and not 0 <= measurements.labels.min() <= measurements.labels.max() < len(class_labels):
        raise CriticismError(f"labels must be 0 to {len(class_labels) - 1}, the indices of class_labels")
    everything = with_crossings(measurements, options)
    columns = read_columns(everything, options)
    first, second, split = _parts(everything, confirming, options)
    if second is not None:
        _check_confirming(first, second, [column.name for column in columns if column.tested])
    asked = list(questions(everything, columns, options))
    tested = [
        question for question, part in _with_parts(first, asked) if not compare(part, question, options).refusal()
    ]
    number = permutations(len(tested))
    evidence = {question: gather(part, question, options, number) for question, part in _with_parts(first, tested)}
    p_values = [said.significance.p_value for said in evidence.values()]
    q_values = dict(zip(tested, adjust(p_values), strict=True))
    standing = [
        question for question in tested if stands_out(question, evidence[question], q_values[question], options)
    ]
    confirmations = _confirm(second, standing, evidence, options, number) if second is not None else {}
    court = _Court(options, class_labels, evidence, p_values, q_values, confirmations, second is not None, audit_id)
    reported = [question for question in asked if not options.attributes or question.attribute in options.attributes]
    return Findings(
        findings=tuple(
            Finding(court.decide(part, question), tails(part, question, options))
            for question, part in _with_parts(first, reported)
        ),
        columns=columns,
        classes=tuple(_criticise(everything, class_labels, options)),
        manifest=_manifest(options, tested, number, split),
    )


def with_repeat(findings: Findings, measurements: Measurements, what: str, options: CriticismOptions) -> Findings:
    """The findings, with the flagged distance effects measured again, for example with a larger budget.

    Args:
        findings: The findings.
        measurements: The new measurements, of the correctly classified pictures of the flagged classes at least.
        what: What is different, for example "at budget standard".
        options: The options of the findings.
    """
    crossed = with_crossings(measurements, options)
    rows = crossed.class_rows()

    def repeated(finding: Finding) -> Finding:
        flag = finding.flag
        if flag.kind != ADVERSARIAL_CRITICISM or flag.state != FLAGGED:
            return finding
        question = Question(flag.kind, flag.class_index, flag.attribute, flag.value)
        own = rows.get(flag.class_index, np.empty(0, dtype=np.int64))
        again = repeat(crossed.only(own), question, options, what)
        flag = replace(flag, repeats=(*flag.repeats, again))
        return replace(finding, flag=replace(flag, message=message(flag, threshold(question, options))))

    return replace(findings, findings=tuple(repeated(finding) for finding in findings.findings))


@dataclass(frozen=True)
class _Court:
    """All that verdicts rest on."""

    options: CriticismOptions
    class_labels: Sequence[str]
    evidence: dict[Question, Evidence]
    p_values: list[float]
    q_values: dict[Question, float]
    confirmations: dict[Question, Confirmation]
    confirming: bool
    audit_id: str

    def decide(self, part: Measurements, question: Question) -> Flag:
        label = self.class_labels[question.class_index]
        if question not in self.evidence:
            comparison = compare(part, question, self.options)
            sizes = comparison.groups.n_with, comparison.groups.n_without
            return untested(question, label, sizes, comparison.refusal(), self.options, self.audit_id)
        return verdict(
            question,
            label,
            self.evidence[question],
            self.q_values[question],
            largest_flagged(self.p_values, self.evidence[question].significance.p_value),
            self.options,
            self.confirmations.get(question),
            confirming=self.confirming,
            audit_id=self.audit_id,
        )


def _parts(
    measurements: Measurements, confirming: Measurements | None, options: CriticismOptions
) -> tuple[Measurements, Measurements | None, dict[str, str]]:
    """The pictures that find, those that confirm, and the names of the parts."""
    if measurements.split is None:
        return measurements, None if confirming is None else with_crossings(confirming, options), {}
    if confirming is not None:
        raise CriticismError("both a split and another audit would confirm; give one of them")
    known = annotated(measurements.split)
    values, numbers = np.unique(measurements.split[known], return_counts=True)
    names = [str(value) for value in values]
    if len(names) != 2:
        raise CriticismError(f"split must have two values, but has {len(names)}: {', '.join(names[:5])}")
    finds = options.discovery or names[np.argmax(numbers)]
    if finds not in names:
        raise CriticismError(f"discovery is {finds!r}, but the parts of the split are {names[0]!r} and {names[1]!r}")
    [confirms] = (name for name in names if name != finds)
    first, second = (measurements.only(np.flatnonzero(measurements.split == name)) for name in (finds, confirms))
    return first, second, {"discovery": finds, "confirmation": confirms}


def _check_confirming(first: Measurements, second: Measurements, tested: Sequence[str]) -> None:
    for name in tested:
        if name not in second.attributes:
            raise CriticismError(f"the audit that would confirm has no attribute {name!r}")
    if first.distances and not second.distances:
        raise CriticismError("the audit that would confirm has no distances")
    if first.confident and len(second) and not second.confident:
        raise CriticismError("the audit that would confirm has no confidence")


def _with_parts(measurements: Measurements, asked: Sequence[Question]) -> Iterator[tuple[Question, Measurements]]:
    """Each question with the pictures of its class; questions on one class stand together."""
    rows = measurements.class_rows()
    label, part = None, measurements
    for question in asked:
        if question.class_index != label:
            label = question.class_index
            part = measurements.only(rows.get(label, np.empty(0, dtype=np.int64)))
        yield question, part


def _confirm(
    second: Measurements,
    standing: Sequence[Question],
    evidence: dict[Question, Evidence],
    options: CriticismOptions,
    number: int,
) -> dict[Question, Confirmation]:
    confirmations = {}
    for question, part in _with_parts(second, standing):
        if refusal := compare(part, question, options).refusal():
            confirmations[question] = Confirmation(None, refusal)
        else:
            alternative: Alternative = "greater" if evidence[question].effect > 0 else "less"
            confirmations[question] = Confirmation(gather(part, question, options, number, alternative), "")
    return confirmations


def _criticise(
    measurements: Measurements, class_labels: Sequence[str], options: CriticismOptions
) -> Iterator[ClassCriticism]:
    for label, rows in measurements.class_rows().items():
        right = rows[measurements.right[rows]]
        yield ClassCriticism(
            class_index=label,
            class_label=class_labels[label],
            pictures=len(rows),
            right=len(right),
            prototypes=_examples(measurements, right, "prototypes", options),
            criticisms=_examples(measurements, right, "criticisms", options),
            misclassified=tuple(measurements.files[row] for row in rows if not measurements.right[row]),
        )


def _examples(
    measurements: Measurements, right: Integers, name: TailName, options: CriticismOptions
) -> tuple[Example, ...]:
    if not measurements.distances:
        return ()
    distances = measurements.distances[options.primary_norm]
    rows = right[tail_rows(distances[right], name)]
    return tuple(
        Example(measurements.files[row], float(distances[row]) if np.isfinite(distances[row]) else None) for row in rows
    )


def _manifest(
    options: CriticismOptions, tested: Sequence[Question], number: int, split: dict[str, str]
) -> dict[str, Any]:
    return {
        "options": asdict(options),
        "parts": split,
        "tested": [asdict(question) for question in tested],
        "family": len(tested),
        "permutations": number,
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
        "largest_q": Q,
        "power": POWER,
        "never_tested_below": FLOOR,
        "asymptotic_from": LARGE,
        "largest_censored_share": CENSORED,
        "splits": SPLITS,
        "agreeing_splits": AGREEING,
    }
