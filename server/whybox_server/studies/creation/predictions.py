"""The labelled pictures and the model's answers, predicted here or taken from an audit."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from rich.console import Console

from whybox import v1
from whybox_server.audits.data.dataset import Choice
from whybox_server.audits.data.reading import read_data_set
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.journal import JOURNAL, Journal
from whybox_server.audits.passes.pictures import PICTURES, audited
from whybox_server.audits.passes.pool import Workers
from whybox_server.audits.passes.run import PassOptions, attack_options, measure, model_of, record_settings
from whybox_server.audits.passes.tally import Faults, counts, faults, left_out
from whybox_server.audits.report.manifest import MANIFEST, read_manifest
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.errors import StudyError
from whybox_server.validation.checks import printable

WORK = "work"
"""Folder with the predictions, below that of the study; nobody who answers sees it."""

LEFT_OUT = "left-out.json"
"""File in it: the pictures that were not predicted, and why."""

# Pictures that a message names.
_TOLD = 3
_SHARED = ("weights_sha256", "preprocessing_sha256", "labels_sha256")
_COLUMNS = ["file", "sha256", "label", "predicted", "confidence", "perceptual_hash", "counted"]


@dataclass(frozen=True)
class Asked:
    """What is predicted, as the command was given.

    Attributes:
        folder: Folder of a data set, or of an audit.
        labels: Table with the labels; None if sub-folders are the classes, and for an audit.
        choice: Which rows and columns of the table are used.
        model: Name of the model; None for the only packed one, for the default, or for that of the audit.
        model_store: Folder with the packed models.
        norms: Of the attack; empty for the default.
        budget: Of the attack: "fast", "standard", "thorough" or a number.
        attack: Its name; "" for the model's default.
        workers: Number of processes; None for one per core. A GPU is used by one process.
        device: "cpu" or "cuda".
        view: Whether the pictures are the model's views themselves.
        fresh: Whether to delete what an earlier run predicted.
        seed: Of everything random.
    """

    folder: Path
    labels: Path | None
    choice: Choice
    model: str | None
    model_store: Path
    norms: tuple[str, ...]
    budget: str
    attack: str
    workers: int | None
    device: str
    view: bool
    fresh: bool
    seed: int

    @property
    def audit(self) -> bool:
        """Whether the folder is that of an audit."""
        return (self.folder / MANIFEST).is_file()


@dataclass(frozen=True)
class Predictions:
    """The pictures with the model's answers.

    Attributes:
        folder: Folder of the pictures.
        archive: Path of the packed model.
        model: Its manifest.
        options: Of the attack, with every default filled in.
        view: Whether the pictures are the model's views themselves.
        candidates: The pictures; copies of one are there once.
    """

    folder: Path
    archive: Path
    model: v1.Model
    options: v1.RobustnessOptions
    view: bool
    candidates: tuple[Candidate, ...]


def chosen_model(asked: Asked) -> tuple[Path, v1.Model]:
    """The model with its archive, before anything is predicted.

    Raises:
        ArchiveError: The model is not packed.
        StudyError: The folder is that of an audit of another model.
        DataSetError: The audit is damaged.
    """
    name = asked.model
    settings: dict[str, Any] = read_manifest(asked.folder)["settings"] if asked.audit else {}
    if settings and name not in (None, settings["model"]):
        remedy = "leave --model out, or give the folder of the pictures"
        raise StudyError(f"--model {name}: {asked.folder} is an audit of {settings['model']}; {remedy}")
    name = settings.get("model", name)
    archive, model = model_of(asked.model_store, name)
    # The same that a bank must share with its model; another export of the same network answers the same.
    differing = [each for each in _SHARED if settings and settings["digests"].get(each) != getattr(model.digests, each)]
    if differing:
        remedy = "audit the packed model, or give the folder of the pictures instead"
        raise StudyError(f"{asked.folder} is an audit of {name} with another {differing[0]}; {remedy}")
    return archive, model


def predict(asked: Asked, save: Path, err: Console) -> Predictions:
    """The pictures with the model's answers; predictions of an earlier run are kept.

    Args:
        asked: The options of the command.
        save: Folder of the study; it exists.
        err: Console for the progress.

    Raises:
        ArchiveError: The model is not packed.
        DataSetError: Pictures or labels are missing or wrong.
        JournalError: An earlier run was made with other settings.
        AuditError: The prediction failed.
        InterruptedAuditError: SIGINT or SIGTERM arrived.
        WhyboxError: The options do not fit the model, or it cannot be loaded.
        StudyError: The audit and the model or the options do not fit.
    """
    archive, model = chosen_model(asked)
    options = _pass_options(asked)
    attack = attack_options(options, model)
    if asked.audit:
        return _of_audit(asked, archive, model, attack)
    settings = record_settings(options, model, attack)
    settings = {key: settings[key] for key in settings if key not in ("attack", "norms", "budget", "seed")}
    work = save / WORK
    work.mkdir(exist_ok=True)
    with (
        read_data_set(asked.folder, model.labels, asked.labels, asked.choice) as data,
        Journal(work / JOURNAL, settings, fresh=asked.fresh) as journal,
    ):
        measure(options, archive, None, data, journal, err, "predicting")
        copies, missing = Copies(data, journal), faults(data, journal)
        _write_left_out(work / LEFT_OUT, missing)
        # Near-duplicates are pictures of their own.
        numbers = counts(data, copies, missing) | {"near": 0}
        told = [*left_out(numbers, missing, str(work / LEFT_OUT)), *_named(missing)]
        candidates = tuple(
            Candidate(
                row.file, record.sha256, row.label, record.predicted, record.confidence or 0.0, record.perceptual_hash
            )
            for row, record, _, counted in audited(data, journal, copies)
            if counted and record.predicted is not None
        )
    for line in told:
        err.print(printable(line), markup=False, soft_wrap=True)
    if not candidates:
        raise StudyError(f"no picture in {asked.folder} can be decoded; give a folder with pictures")
    return Predictions(asked.folder, archive, model, attack, asked.view, candidates)


def _write_left_out(path: Path, missing: Faults) -> None:
    path.write_text(json.dumps(asdict(missing), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _named(missing: Faults) -> Iterator[str]:
    """The first pictures that were not predicted, a line each."""
    found = [*missing.unreadable, *missing.failed]
    yield from (f"  {fault['file']}: {fault['error']}" for fault in found[:_TOLD])
    if len(found) > _TOLD:
        yield f"  and {len(found) - _TOLD} more"


def _of_audit(asked: Asked, archive: Path, model: v1.Model, attack: v1.RobustnessOptions) -> Predictions:
    if asked.labels is not None or asked.choice != replace(Choice(), seed=asked.choice.seed):
        remedy = "leave --labels, --label-column, --where and --limit out"
        raise StudyError(f"{asked.folder} is an audit, which knows the labels and the pictures; {remedy}")
    manifest = read_manifest(asked.folder)
    written = manifest["data"].get("folder")
    if written is None:
        remedy = "give the folder of the pictures"
        raise StudyError(f"{asked.folder} is an audit of predictions without pictures; {remedy}")
    folder = Path(written)
    if not folder.is_dir():
        remedy = "put them back, or give the folder of the pictures"
        raise StudyError(f"the pictures of {asked.folder} are no longer in {folder}; {remedy}")
    candidates = tuple(_audited(asked.folder / PICTURES))
    return Predictions(folder, archive, model, attack, bool(manifest["settings"]["view"]), candidates)


def _audited(table: Path) -> Iterator[Candidate]:
    """The pictures of an audit that count."""
    with table.open("rb") as content:
        for batch in parquet.ParquetFile(content).iter_batches(columns=_COLUMNS):
            for row in pa.Table.from_batches([batch]).to_pylist():
                if row.pop("counted"):
                    yield Candidate(**{**row, "perceptual_hash": row["perceptual_hash"] or ""})


def _pass_options(asked: Asked) -> PassOptions:
    return PassOptions(
        folder=asked.folder,
        model=asked.model,
        model_store=asked.model_store,
        labels=asked.labels,
        norms=asked.norms,
        budget=asked.budget,
        attack=asked.attack,
        save=None,
        workers=Workers(number=asked.workers),
        device=asked.device,
        seed=asked.seed,
        view=asked.view,
        fresh=asked.fresh,
        choice=asked.choice,
    )
