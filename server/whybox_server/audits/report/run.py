"""The run of `whybox-server audit`: from its options to its files."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from whybox_server.audits.calibration.run import SCORES, Calibrated, calibrate, calibrating
from whybox_server.audits.counterfactual.check import with_checks
from whybox_server.audits.counterfactual.plan import CheckOptions, Removal
from whybox_server.audits.criticism.columns import Question
from whybox_server.audits.criticism.find import find
from whybox_server.audits.criticism.findings import Findings
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Pictures, annotated
from whybox_server.audits.data.columns import Column
from whybox_server.audits.data.dataset import Choice, DataSet
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.notes import read_notes
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.journal import Journal
from whybox_server.audits.passes.pictures import PICTURES, digest_of, write_pictures
from whybox_server.audits.passes.run import Pass, PassOptions, Plan, Predicted, make_folder, measured
from whybox_server.audits.passes.tally import counts, faults, left_out
from whybox_server.audits.report import words
from whybox_server.audits.report.checks import check_attributes, check_options, check_others, untested
from whybox_server.audits.report.groups import groups
from whybox_server.audits.report.manifest import MANIFEST, audit_id, column_entries, inputs_digest, write_manifest
from whybox_server.audits.report.page.noting import write_notes
from whybox_server.audits.report.page.write import PAGE, write_page
from whybox_server.audits.report.predictions import predictions
from whybox_server.audits.report.rounds import RoundOptions, Rounds, measure_rounds, planned

_PREFIX = "audit"
# Fewer comparisons take a few seconds.
_MANY = 100


@dataclass(frozen=True)
class AuditOptions:
    """The options of the command.

    Attributes:
        source: The pictures and the model; None for a table of predictions.
        predictions: That table; None for pictures and a model.
        choice: Which rows and columns are used.
        criticism: What is tested, and when an effect is flagged.
        confirm: Folder of another audit, whose pictures confirm what these find; None for none.
        save: Folder for the results; None for `audit-MODEL`, or `audit-TABLE`.
        thumbnails: Whether the page shows small copies of pictures.
        rounds: What is measured once the findings are known.
        removal: How a flagged attribute is removed from pictures with boxes, "blur" or "fill"; see `with_checks`.
    """

    source: PassOptions | None
    predictions: Path | None
    choice: Choice
    criticism: CriticismOptions
    confirm: Path | None
    save: Path | None
    thumbnails: bool = True
    rounds: RoundOptions = field(default_factory=RoundOptions)
    removal: Removal = "blur"


class _Source(NamedTuple):
    """What is audited: pictures with their records, what the records depend on, and the pass, if there was one."""

    data: DataSet
    journal: Journal
    labels: Sequence[str]
    norms: Sequence[str]
    settings: dict[str, Any]
    save: Path
    done: Pass | None = None


def run_audit(asked: AuditOptions, out: Console, err: Console) -> Findings:
    """Measures the pictures of a data set, looks for prototypes, criticisms and biases, and writes the results.

    Args:
        asked: The options.
        out: Console for the results.
        err: Console for the progress.

    Returns:
        The findings.

    Raises:
        CriticismError: The options do not fit the measurements.
        Exception: As `measured`, and as `predictions`.
    """
    with calibrating(asked.source, _PREFIX, err) as predicted, _source(asked, err) as source:
        plan = {} if source.done is None else planned(source.done.options, asked.rounds)
        notes = read_notes(source.save)
        copies = Copies(source.data, source.journal)
        missing = faults(source.data, source.journal)
        table = source.save / PICTURES
        write_pictures(table, source.data, source.journal, copies, source.labels, source.norms)
        calibrated = _calibrated(asked, predicted, source)
        settings = {
            **source.settings,
            "choice": asdict(replace(asked.choice, intrinsic=(), roles=())),
            "removal": asked.removal,
            "confirm": None if asked.confirm is None else digest_of(asked.confirm / PICTURES),
            "calibration": None if calibrated is None else calibrated.sha256,
            **plan,
        }
        inputs = inputs_digest(settings | asdict(asked.criticism), source.data, source.journal)
        measurements = _measurements(table, source.data)
        confirming = None
        if asked.confirm is not None:
            confirming = _measurements(asked.confirm / PICTURES, source.data, split=False)
            check_others(asked.confirm, measurements, confirming)
        options = _options(asked.criticism, source.data, measurements)
        findings = find(
            measurements,
            source.labels,
            options,
            confirming=confirming,
            audit_id=audit_id(inputs),
            followed=partial(_followed, err),
        )
        rounds = Rounds(findings)
        if source.done is not None:
            rounds = measure_rounds(source.done, copies, measurements, findings, options, plan, err)
        checking = CheckOptions(asked.removal, options.primary_norm, options.seed)
        findings = with_checks(rounds.findings, measurements, source.done, checking, err)
        numbers = counts(source.data, copies, missing)
        columns = column_entries(source.data.all_columns(), findings)
        everything, *others = groups(measurements)
        manifest = write_manifest(
            source.save,
            inputs,
            settings,
            numbers | asdict(missing),
            columns,
            [everything, *others],
            findings,
            rounds,
            calibrated,
        )
        pictures = source.data.folder if asked.thumbnails else None
        write_page(source.save, manifest, measurements, options, pictures)
        write_notes(source.save / PAGE, notes)
        out.print(f"audit {audit_id(inputs)}: {words.accuracy(everything)}", markup=False, soft_wrap=True)
        for line in (*rounds.lines, *left_out(numbers, missing, MANIFEST), *words.columns_left_out(columns)):
            out.print(line, markup=False, soft_wrap=True)
        if calibrated is not None:
            for line in words.calibration(calibrated.entries):
                out.print(line, markup=False, soft_wrap=True)
        for shown in (words.accuracies(others), words.sentences(findings)):
            if shown is not None:
                out.print(shown)
        for line in words.lost_notes(notes, manifest):
            out.print(line, markup=False, soft_wrap=True)
        for name in (MANIFEST, PICTURES, *([SCORES] if calibrated is not None else []), PAGE):
            out.print(f"saved {source.save / name}", markup=False, soft_wrap=True)
    return findings


def _followed(err: Console, questions: Sequence[Question]) -> Iterable[Question]:
    """The questions, with a progress bar on a terminal, and a line in a log if there are many."""
    title = f"statistics of {len(questions)} comparisons"
    if not err.is_terminal and len(questions) >= _MANY:
        err.print(title)
    return track(questions, title, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def _source(asked: AuditOptions, err: Console) -> Generator[_Source]:
    if asked.predictions is not None:
        with predictions(asked.predictions, asked.choice) as found:
            settings = {"predictions": digest_of(asked.predictions)}
            _check(asked, found.data, found.labels, settings)
            save = asked.save or Path(f"{_PREFIX}-{asked.predictions.stem}")
            make_folder(save)
            yield _Source(found.data, found.journal, found.labels, (), settings, save, None)
    elif asked.source is not None:
        with measured(asked.source, _PREFIX, err, partial(_check_pass, asked)) as done:
            norms = tuple(done.options.norms)
            yield _Source(done.data, done.journal, done.model.labels, norms, done.settings, done.save, done)
    else:
        raise ValueError("an audit needs pictures or predictions")


def _check_pass(asked: AuditOptions, plan: Plan) -> None:
    planned(plan.options, asked.rounds)
    _check(asked, plan.data, plan.model.labels, plan.settings)


def _check(asked: AuditOptions, data: DataSet, labels: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuses before a picture is measured what would be refused afterwards."""
    check_options(asked.criticism, asked.confirm, data, labels, settings)
    if asked.confirm is not None:
        _measurements(asked.confirm / PICTURES, data, split=False)


def _calibrated(asked: AuditOptions, predicted: Predicted | None, source: _Source) -> Calibrated | None:
    if predicted is None or asked.source is None or asked.source.calibration is None:
        return None
    return calibrate(predicted, asked.source.calibration, source.data, source.journal, asked.source.seed)


def _measurements(table: Path, data: DataSet, *, split: bool = True) -> PictureTable:
    place = data.place("split") if split else None
    return PictureTable(
        table,
        [*_names(data.columns, "attribute"), *data.intrinsic_attributes],
        [*_names(data.columns, "confounder"), *data.intrinsic_confounders],
        None if place is None else data.columns[place].name,
    )


def _options(options: CriticismOptions, data: DataSet, measurements: Pictures) -> CriticismOptions:
    """The options without the attributes that cannot be tested; the manifest has them with their reasons.

    Raises:
        CriticismError: None of the attributes that were named can be tested.
    """
    if options.attributes is None:
        return options
    reasons = untested(data)
    # Copies and pictures that cannot be decoded do not count, so that less may be left to compare than the table says.
    left = [name for name in options.attributes if name not in reasons and not _compares(measurements, name)]
    reasons |= dict.fromkeys(left, "the pictures that count have one known value in each class")
    tested = tuple(name for name in options.attributes if name not in reasons)
    check_attributes(options.attributes, reasons)
    return replace(options, attributes=tested)


def _compares(measurements: Pictures, name: str) -> bool:
    """Whether a class has pictures with different known values of an attribute."""
    columns = (part.attributes[name] for _, part in measurements.parts())
    return any(len(set(values[annotated(values)])) > 1 for values in columns)


def _names(columns: Sequence[Column], role: str) -> list[str]:
    """The columns with a role that can be used in it."""
    return [column.name for column in columns if column.role == role and (role != "attribute" or not column.reason)]
