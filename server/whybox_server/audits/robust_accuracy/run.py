"""The run of `whybox-server robustness`: from its options to its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from rich.console import Console

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import DEADLINE
from whybox_server.archives import ArchiveError, read_store
from whybox_server.audits.audit import AuditError, measure_pictures
from whybox_server.audits.dataset import DataSet, read_data_set
from whybox_server.audits.journal import Journal, Record
from whybox_server.audits.progress import ProgressDisplay
from whybox_server.audits.robust_accuracy import words
from whybox_server.audits.robust_accuracy.figure import draw
from whybox_server.audits.robust_accuracy.report import MEANING, write_report
from whybox_server.audits.robust_accuracy.summary import summarise, summarise_classes
from whybox_server.audits.workers import Work
from whybox_server.validation.robustness import check_possible, fill_robustness

PICTURES, NUMBERS, FIGURE = "pictures.jsonl", "robustness.json", "robustness.png"

_DEFAULT_MODEL = "efficientnet-lite0"
_LIBRARIES = ("whybox", "torch", "onnxruntime-gpu")


@dataclass(frozen=True)
class AuditOptions:
    """The options of the command, as they were given; `measure_robust_accuracy` fills in the defaults.

    Attributes:
        folder: Folder of the data set.
        model: Name of the model; None for the only packed one, or for efficientnet-lite0 if there are several.
        model_store: Folder with the packed models.
        labels: CSV file with the labels; None if the sub-folders are the classes.
        label_column: Column of the class in that file; None for the usual names.
        norms: "linf" and "l2", each at most once; empty for the default.
        budget: "fast", "standard", "thorough" or a number of gradient evaluations, 1 to 1000.
        attack: Name of the attack; "" for the model's default.
        limit: The most pictures to measure, at least 1; None for all of them.
        save: Folder for the results; None for the default.
        workers: Number of processes on a CPU, at least 1.
        device: "cpu" or "cuda".
        seed: Seed of the sample, of attacks that draw at random, and of the bootstrap.
        view: Whether the pictures are the model's views themselves, neither resized nor cropped.
        fresh: Whether to delete the measurements of earlier runs.
    """

    folder: Path
    model: str | None
    model_store: Path
    labels: Path | None
    label_column: str | None
    norms: Sequence[str]
    budget: str
    attack: str
    limit: int | None
    save: Path | None
    workers: int
    device: str
    seed: int
    view: bool
    fresh: bool


def measure_robust_accuracy(asked: AuditOptions, out: Console, err: Console) -> None:
    """Measures the pictures of a data set, and writes the three files of the results.

    Args:
        asked: The options.
        out: Console for the results.
        err: Console for the progress.

    Raises:
        ArchiveError: The model is not packed.
        DataSetError: Pictures or labels are missing or wrong.
        JournalError: The results of an earlier run were made with other settings, are damaged, or are in use.
        AuditError: The audit cannot go on, or no picture could be measured.
        InterruptedAuditError: SIGINT or SIGTERM arrived.
        WhyboxError: The options do not fit the model, or the model cannot be loaded.
        OSError: A file cannot be read or written.
    """
    archive, model = _model(asked.model_store, asked.model)
    options = _options(asked, model)
    data = read_data_set(asked.folder, model.labels, asked.labels, asked.label_column).sample(asked.limit, asked.seed)
    settings = _settings(asked, model, options)
    save = asked.save or default_save(model.name)
    save.mkdir(parents=True, exist_ok=True)
    work = Work(archive, asked.folder, options.SerializeToString(), asked.seed, asked.device, asked.view)
    workers = 1 if asked.device == "cuda" else asked.workers
    with (
        Journal(save / PICTURES, settings, fresh=asked.fresh) as journal,
        ProgressDisplay(err, options.norms[0]) as display,
    ):
        records = measure_pictures(work, data, journal, workers, display.show)
    if kept := display.progress.kept:
        err.print(f"{kept} of {len(records)} pictures were measured by an earlier run", soft_wrap=True)
    _conclude(records, data, model, options, settings, save, out)


def default_save(model: str) -> Path:
    """The folder for the results without --save."""
    return Path(f"robustness-{model}")


def _model(store: Path, name: str | None) -> tuple[Path, v1.Model]:
    """The named model with its archive; without a name the only packed one, or the default if there are several."""
    models = read_store(store, [name] if name else [])
    if len(models) > 1:
        models = {path: model for path, model in models.items() if model.name == _DEFAULT_MODEL}
    if not models:
        raise ArchiveError(f"{store} holds several models; choose one with --model")
    return next(iter(models.items()))


def _options(asked: AuditOptions, model: v1.Model) -> v1.RobustnessOptions:
    if asked.budget == DEADLINE:
        message = "an audit has no deadline; give fast, standard, thorough or a number of gradient evaluations"
        raise InvalidRequestError(message, field="robustness.budget")
    options = v1.RobustnessOptions(norms=asked.norms, budget=asked.budget, attack=asked.attack)
    fill_robustness(options, model)
    check_possible(options, model, [])
    return options


def _settings(asked: AuditOptions, model: v1.Model, options: v1.RobustnessOptions) -> dict[str, Any]:
    """Everything that a record depends on, apart from its picture."""
    return {
        "model": model.name,
        "version": model.version,
        "digests": json_format.MessageToDict(model.digests, preserving_proto_field_name=True),
        "attack": options.attack,
        "norms": list(options.norms),
        "budget": int(options.budget),
        "seed": asked.seed,
        "view": asked.view,
        "device": asked.device,
        "libraries": {library: version(library) for library in _LIBRARIES},
    }


def _conclude(
    records: Sequence[Record],
    data: DataSet,
    model: v1.Model,
    options: v1.RobustnessOptions,
    settings: dict[str, Any],
    save: Path,
    out: Console,
) -> None:
    measured = [record for record in records if record.measured]
    if not measured:
        raise AuditError(f"none of the {len(records)} pictures can be decoded; see {save / PICTURES} for the reasons")
    whole = summarise(measured, options.norms, settings["seed"])
    radii = {name: norm.curve.radius for name, norm in whole.norms.items()}
    classes = summarise_classes(measured, options.norms, settings["seed"], radii)
    write_report(save / NUMBERS, settings, data, model.labels, records, whole, classes)
    attack = f"attack {options.attack}, budget {options.budget} gradient evaluations for each picture"
    draw(save / FIGURE, whole, f"{model.name} {model.version}", attack)
    out.print(MEANING, style="dim", markup=False, soft_wrap=True)
    for line in words.lines(whole, data, records):
        out.print(line, markup=False, soft_wrap=True)
    out.print(words.extremes(classes, model.labels, options.norms[0]))
    for name in (NUMBERS, FIGURE, PICTURES):
        out.print(f"saved {save / name}", markup=False, soft_wrap=True)
