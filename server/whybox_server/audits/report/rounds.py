"""What is measured once the findings are known: flags of a small budget at `standard`, and a sample by I-FGSM."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from whybox import v1
from whybox.v1.vocabulary import BUDGETS, DEFAULT_BUDGET
from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM
from whybox_server.audits.criticism.find import with_repeat
from whybox_server.audits.criticism.findings import Findings, Flag
from whybox_server.audits.criticism.methods.agreement import RankAgreement, rank_agreement
from whybox_server.audits.criticism.options import FLOOR, CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError, Floats, Measurements, Pictures
from whybox_server.audits.criticism.verdicts import FLAGGED
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.again import Again, Round, measured_again
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.run import Pass

PAPER_ATTACK = "i_fgsm"
"""The attack of Stock and Cisse."""

SAMPLE = 50
"""Pictures of each class, at most, that it attacks."""

_STANDARD = BUDGETS[DEFAULT_BUDGET]


@dataclass(frozen=True)
class RoundOptions:
    """What is measured once the findings are known.

    Attributes:
        repeat: Whether flagged distance effects are measured again at `standard`, if the budget was smaller.
        agreement: Whether the attack of the paper ranks a sample of each class too.
    """

    repeat: bool = True
    agreement: bool = False


class Rounds(NamedTuple):
    """What the rounds add to an audit.

    Attributes:
        findings: The findings; flags that were measured again have a further `Repeat`.
        entries: For the manifest: `repeat` and `agreement`, None for what was not measured.
        tables: Their tables, as paths below the folder of the results.
        lines: What they say, for the terminal.
    """

    findings: Findings
    entries: Mapping[str, Any] = {"repeat": None, "agreement": None}
    tables: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassAgreement:
    """How alike two attacks rank pictures of a class.

    Attributes:
        class_index: Index of the class.
        class_label: Its label.
        n: Number of its pictures that both attacked.
        ranks: How alike they rank them.
        median_ratio: Median of the distance by the paper's attack divided by that of the audit's, where both found a
            change; None if they found none.
    """

    class_index: int
    class_label: str
    n: int
    ranks: RankAgreement
    median_ratio: float | None

    def to_entries(self) -> dict[str, Any]:
        """JSON values, with those of `RankAgreement` beside the others."""
        own = asdict(self)
        ranks: dict[str, Any] = own.pop("ranks")
        return own | ranks


def planned(attack: v1.RobustnessOptions, asked: RoundOptions) -> dict[str, Any]:
    """What the options mean for a pass, for the settings of the audit: the budget of repeats, and the other attack.

    Raises:
        CriticismError: The attack of the pass is that of the paper, so that there is nothing to compare.
    """
    if asked.agreement and attack.attack == PAPER_ATTACK:
        raise CriticismError(
            f"--agreement compares the attack with {PAPER_ATTACK}, but it is {PAPER_ATTACK}; leave it out"
        )
    repeats = asked.repeat and int(attack.budget) < _STANDARD
    return {"repeat": _STANDARD if repeats else None, "agreement": PAPER_ATTACK if asked.agreement else None}


def measure_rounds(
    done: Pass,
    copies: Copies,
    pictures: Pictures,
    findings: Findings,
    options: CriticismOptions,
    plan: Mapping[str, Any],
    err: Console,
) -> Rounds:
    """Measures what is planned.

    Args:
        done: The pass.
        copies: Which of its pictures are copies.
        pictures: Those that count.
        findings: What they say.
        options: The options of the findings.
        plan: From `planned`.
        err: Console for the progress.

    Raises:
        Exception: As `measured_again`.
    """
    pass_ = _Measured(done, copies, pictures, options, err)
    repeats = _repeat(pass_, findings, plan["repeat"]) if plan["repeat"] else Rounds(findings, {"repeat": None})
    agreement = _agreement(pass_, findings) if plan["agreement"] else Rounds(findings, {"agreement": None})
    return Rounds(
        repeats.findings,
        {**repeats.entries, **agreement.entries},
        repeats.tables + agreement.tables,
        repeats.lines + agreement.lines,
    )


@dataclass(frozen=True)
class _Measured:
    """A pass with its pictures that count."""

    done: Pass
    copies: Copies
    pictures: Pictures
    options: CriticismOptions
    err: Console

    def again(self, how: Round, files: Sequence[str], title: str) -> tuple[Again, "_Again"]:
        """The round over some files, and their pictures with its distances."""
        again = measured_again(self.done, self.copies, how, files, title, self.err)
        return again, _Again(self.pictures, PictureTable(again.table))


@dataclass(frozen=True)
class _Again(Pictures):
    """The pictures that a round measured, with its distances.

    Attributes:
        pictures: All pictures as they were measured first.
        table: Those that the round measured.
    """

    pictures: Pictures
    table: PictureTable

    @property
    def classes(self) -> Sequence[int]:
        return self.table.classes

    @property
    def header(self) -> Measurements:
        return self.pictures.header

    def of_class(self, index: int) -> Measurements:
        return self.both(index)[1]

    def both(self, index: int) -> tuple[Measurements, Measurements]:
        """The pictures of a class as they were measured first, and with the distances of the round."""
        found = self.table.of_class(index)
        # On a GPU the last bits of an answer depend on the batch, so that one on the boundary may be wrong this time.
        found = found.only(np.flatnonzero(found.right))
        first = self.pictures.of_class(index)
        places = {file: row for row, file in enumerate(first.files)}
        ours = first.only(np.array([places[file] for file in found.files], dtype=np.int64))
        return ours, replace(
            ours, distances=found.distances, searched_radius=found.searched_radius, reasons=found.reasons
        )


def _repeat(pass_: _Measured, findings: Findings, budget: int) -> Rounds:
    """The findings with their flagged distance effects measured again with a larger budget."""
    flags = _flagged(findings)
    if not flags:
        return Rounds(findings, {"repeat": None})
    options = pass_.options
    classes = sorted({flag.class_index for flag in flags})
    what = f"at budget {DEFAULT_BUDGET}"
    # With a split, a flag reports the effect of the part that confirms.
    part = findings.manifest["parts"].get("confirmation")
    if part is None and any(flag.confirmation_p_value is not None for flag in flags):
        # A flag reports the effect of another audit, whose pictures lie elsewhere.
        what += " in the pictures that found it"
    files = [file for index in classes for file in _right_files(pass_.pictures.of_class(index), part)]
    how = Round(pass_.done.options.attack, options.primary_norm, budget)
    again, theirs = pass_.again(how, files, what)
    findings = with_repeat(findings, theirs, what, options)
    agreeing = sum(flag.repeats[-1].agrees(flag.effect or 0) for flag in _flagged(findings))
    shown = f"{agreeing} of {len(flags)} flagged distance effects lie beyond the threshold on the same side again"
    entry = {**asdict(how), "classes": classes, "pictures": len(files), "failed": again.missing.failed}
    measured = sum(len(each) for _, each in theirs.parts())
    line = f"{what} ({budget} evaluations, {measured} pictures): {shown}"
    return Rounds(findings, {"repeat": entry}, (how.table,), (line,))


def _right_files(part: Measurements, name: str | None) -> list[str]:
    """The correctly classified pictures of a class, or of a part of its split."""
    chosen = part.right if name is None or part.split is None else part.right & (part.split == name)
    return [part.files[row] for row in np.flatnonzero(chosen)]


def _flagged(findings: Findings) -> list[Flag]:
    """The flags that are repeated."""
    return [flag for flag in findings.flags if flag.kind == ADVERSARIAL_CRITICISM and flag.state == FLAGGED]


def _agreement(pass_: _Measured, findings: Findings) -> Rounds:
    """How the attack of the paper ranks a sample of each class, with at least the evaluations of `standard`."""
    seed = pass_.options.seed
    how = Round(PAPER_ATTACK, pass_.options.primary_norm, max(int(pass_.done.options.budget), _STANDARD))
    files = [file for index, part in pass_.pictures.parts() for file in _sample(index, part, seed)]
    entry: dict[str, Any] = {**asdict(how), "sample": SAMPLE, "classes": [], "failed": []}
    if not files:
        line = f"agreement with {PAPER_ATTACK}: no class has {FLOOR} correctly classified pictures"
        return Rounds(findings, {"agreement": entry}, (), (line,))
    title = f"agreement with {PAPER_ATTACK}"
    again, measured = pass_.again(how, files, title)
    labels = {criticised.class_index: criticised.class_label for criticised in findings.classes}
    classes = []
    for index in measured.classes:
        ours, theirs = (each.distances[how.norm] for each in measured.both(index))
        classes.append(_of_class(index, labels[index], ours, theirs, seed))
    entry |= {"classes": [each.to_entries() for each in classes], "failed": again.missing.failed}
    line = f"{title} ({how.budget} evaluations, at most {SAMPLE} pictures of a class): {_words(classes)}"
    return Rounds(findings, {"agreement": entry}, (how.table,), (line,))


def _sample(index: int, part: Measurements, seed: int) -> list[str]:
    """The files of a class's sample; a class with fewer than `FLOOR` correctly classified pictures has none."""
    files = _right_files(part, None)
    if len(files) < FLOOR:
        return []
    return [files[place] for place in np.random.default_rng([seed, index]).permutation(len(files))[:SAMPLE]]


def _of_class(label: int, name: str, ours: Floats, theirs: Floats, seed: int) -> ClassAgreement:
    both = np.isfinite(ours) & np.isfinite(theirs)
    ratio = float(np.median(theirs[both] / ours[both])) if both.any() else None
    return ClassAgreement(label, name, len(ours), rank_agreement(ours, theirs, seed), ratio)


def _words(classes: Sequence[ClassAgreement]) -> str:
    """The agreement in words: of one class with its interval, of several their median and their ends."""
    known = sorted(((each.ranks.rho, each) for each in classes if each.ranks.rho is not None), key=lambda pair: pair[0])
    if not known:
        return "the distances of a class are all equal and rank nothing"
    if len(known) > 1:
        median = statistics.median(rho for rho, _ in known)
        ends = " to ".join(f"{rho:+.2f} ({each.class_label})" for rho, each in (known[0], known[-1]))
        return f"Spearman's rho {median:+.2f} in the median of {len(known)} classes, {ends}"
    [(rho, each)] = known
    interval = "" if each.ranks.rho_low is None else f" [{each.ranks.rho_low:+.2f}, {each.ranks.rho_high:+.2f}]"
    return f"Spearman's rho {rho:+.2f}{interval} of {each.n} pictures of {each.class_label}"
