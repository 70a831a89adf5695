"""From measured pictures to findings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from whybox_server.audits.criticism.columns import (
    ADVERSARIAL_CRITICISM,
    CALIBRATION,
    Crossed,
    Question,
    Survey,
    questions,
    read_columns,
    survey,
    with_fates,
)
from whybox_server.audits.criticism.comparisons import compare
from whybox_server.audits.criticism.evidence import Evidence, gather, repeat, tails, threshold
from whybox_server.audits.criticism.findings import EXAMPLES, ClassCriticism, Example, Finding, Findings, Flag
from whybox_server.audits.criticism.methods.family import adjust, largest_flagged, permutations
from whybox_server.audits.criticism.methods.significance import Alternative
from whybox_server.audits.criticism.methods.tails import Tail, TailName, tail_rows
from whybox_server.audits.criticism.options import AGREEING, CENSORED, FLOOR, LARGE, POWER, SPLITS, CriticismOptions, Q
from whybox_server.audits.criticism.pictures import CriticismError, Integers, Measurements, Pictures
from whybox_server.audits.criticism.sentences import message
from whybox_server.audits.criticism.verdicts import FLAGGED, Confirmation, stands_out, untested, verdict
from whybox_server.audits.statistics import CONFIDENCE, RESAMPLES


def find(
    pictures: Pictures,
    class_labels: Sequence[str],
    options: CriticismOptions | None = None,
    *,
    confirming: Pictures | None = None,
    audit_id: str = "",
    followed: Callable[[Sequence[Question]], Iterable[Question]] = iter,
) -> Findings:
    """The findings on all classes and attributes of the audited pictures; one class at a time is in memory.

    Args:
        pictures: The pictures. If they have a split, one part finds and the other confirms.
        class_labels: The label of each class, by its index.
        options: What is tested, and when an effect is flagged.
        confirming: The pictures of another audit, which confirm what these find.
        audit_id: Id of the audit.
        followed: Yields the questions that are tested, which take nearly all of the time, and may show how far it is.

    Raises:
        CriticismError: The options do not fit the measurements; the message says what and how.
    """
    options = options or CriticismOptions()
    if pictures.classes and not 0 <= pictures.classes[0] <= pictures.classes[-1] < len(class_labels):
        raise CriticismError(f"labels must be 0 to {len(class_labels) - 1}, the indices of class_labels")
    everything = Crossed(pictures, options)
    seen = survey(everything)
    columns = read_columns(seen, options)
    first, second, split = _parts(everything, seen, confirming, options)
    if second is not None:
        _check_confirming(seen, second, [column.name for column in columns if column.tested])
    asked = {
        question: _Asked(comparison.sizes, comparison.refusal(), tails(part, question, options))
        for question, part in _with_parts(first, questions(seen, columns))
        for comparison in [compare(part, question, options)]
    }
    tested = [question for question, answer in asked.items() if not answer.refusal]
    number = permutations(len(tested))
    evidence = {
        question: gather(part, question, options, number) for question, part in _with_parts(first, followed(tested))
    }
    p_values = [said.significance.p_value for said in evidence.values()]
    q_values = dict(zip(tested, adjust(p_values), strict=True))
    standing = [
        question for question in tested if stands_out(question, evidence[question], q_values[question], options)
    ]
    confirmations = _confirm(second, standing, evidence, options, number) if second is not None else {}
    court = _Court(
        options, class_labels, asked, evidence, p_values, q_values, confirmations, second is not None, audit_id
    )
    return Findings(
        findings=tuple(
            Finding(court.decide(question), answer.tails)
            for question, answer in asked.items()
            if not options.attributes or question.attribute in options.attributes
        ),
        columns=with_fates(columns, {question.attribute for question in tested}),
        classes=tuple(_criticise(everything, class_labels, options)),
        manifest=_manifest(options, tested, number, split),
    )


def with_repeat(findings: Findings, pictures: Pictures, what: str, options: CriticismOptions) -> Findings:
    """The findings, with the flagged distance effects measured again, for example with a larger budget.

    Args:
        findings: The findings.
        pictures: The correctly classified pictures of the flagged classes, at least, with their new measurements.
        what: What is different, for example "at budget standard".
        options: The options of the findings.
    """
    crossed = Crossed(pictures, options)

    def repeated(finding: Finding) -> Finding:
        flag = finding.flag
        if flag.kind != ADVERSARIAL_CRITICISM or flag.state != FLAGGED:
            return finding
        question = Question(flag.kind, flag.class_index, flag.attribute, flag.value)
        again = repeat(crossed.of_class(flag.class_index), question, options, what)
        flag = replace(flag, repeats=(*flag.repeats, again))
        return replace(finding, flag=replace(flag, message=message(flag, threshold(question, options))))

    return replace(findings, findings=tuple(repeated(finding) for finding in findings.findings))


@dataclass(frozen=True)
class _Asked:
    """What a question compares.

    Attributes:
        sizes: Number of pictures with the value, and without it.
        refusal: Why they cannot be compared; "" if they can.
        tails: The tails of the class by the attribute.
    """

    sizes: tuple[int, int]
    refusal: str
    tails: tuple[Tail, ...]


@dataclass(frozen=True)
class _Court:
    """All that verdicts rest on."""

    options: CriticismOptions
    class_labels: Sequence[str]
    asked: dict[Question, _Asked]
    evidence: dict[Question, Evidence]
    p_values: list[float]
    q_values: dict[Question, float]
    confirmations: dict[Question, Confirmation]
    confirming: bool
    audit_id: str

    def decide(self, question: Question) -> Flag:
        label = self.class_labels[question.class_index]
        if question not in self.evidence:
            answer = self.asked[question]
            return untested(question, label, answer.sizes, answer.refusal, self.options, self.audit_id)
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


@dataclass(frozen=True)
class _Part(Pictures):
    """The pictures of one part of the split."""

    pictures: Pictures
    name: str

    @property
    def classes(self) -> Sequence[int]:
        return self.pictures.classes

    @property
    def header(self) -> Measurements:
        return self.pictures.header

    def of_class(self, index: int) -> Measurements:
        part = self.pictures.of_class(index)
        return part.only(np.flatnonzero(part.split == self.name))


def _parts(
    pictures: Crossed, seen: Survey, confirming: Pictures | None, options: CriticismOptions
) -> tuple[Pictures, Pictures | None, dict[str, str]]:
    """The pictures that find, those that confirm, and the names of the parts."""
    if pictures.header.split is None:
        return pictures, None if confirming is None else Crossed(confirming, options), {}
    if confirming is not None:
        raise CriticismError("both a split and another audit would confirm; give one of them")
    names = sorted(seen.parts)
    if len(names) != 2:
        raise CriticismError(f"split must have two values, but has {len(names)}: {', '.join(names[:5])}")
    finds = options.discovery or max(names, key=lambda name: seen.parts[name])
    if finds not in names:
        raise CriticismError(f"discovery is {finds!r}, but the parts of the split are {names[0]!r} and {names[1]!r}")
    [confirms] = (name for name in names if name != finds)
    return _Part(pictures, finds), _Part(pictures, confirms), {"discovery": finds, "confirmation": confirms}


def _check_confirming(seen: Survey, second: Pictures, tested: Sequence[str]) -> None:
    for name in tested:
        if name not in second.header.attributes:
            raise CriticismError(f"the audit that would confirm has no attribute {name!r}")
    if ADVERSARIAL_CRITICISM in seen.kinds and not second.header.distances:
        raise CriticismError("the audit that would confirm has no distances")
    if CALIBRATION in seen.kinds and any(len(part) and not part.confident for _, part in second.parts()):
        raise CriticismError("the audit that would confirm has no confidence")


def _with_parts(pictures: Pictures, asked: Iterable[Question]) -> Iterator[tuple[Question, Measurements]]:
    """Each question with the pictures of its class; questions on one class stand together."""
    for index, together in groupby(asked, key=lambda question: question.class_index):
        part = pictures.of_class(index)
        yield from ((question, part) for question in together)


def _confirm(
    second: Pictures,
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


def _criticise(pictures: Pictures, class_labels: Sequence[str], options: CriticismOptions) -> Iterator[ClassCriticism]:
    for index, part in pictures.parts():
        right = np.flatnonzero(part.right)
        yield ClassCriticism(
            class_index=index,
            class_label=class_labels[index],
            pictures=len(part),
            right=len(right),
            wrong=len(part) - len(right),
            prototypes=_examples(part, right, "prototypes", options),
            criticisms=_examples(part, right, "criticisms", options),
            misclassified=tuple(part.files[row] for row in np.flatnonzero(~part.right)[:EXAMPLES]),
        )


def _examples(part: Measurements, right: Integers, name: TailName, options: CriticismOptions) -> tuple[Example, ...]:
    if not part.distances:
        return ()
    distances = part.distances[options.primary_norm]
    rows = right[tail_rows(distances[right], name)][:EXAMPLES]
    return tuple(
        Example(part.files[row], float(distances[row]) if np.isfinite(distances[row]) else None) for row in rows
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
