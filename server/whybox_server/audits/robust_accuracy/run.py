"""From the options of `whybox-server robustness` to its files."""

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
from whybox_server.audits.audit import AuditError, audit
from whybox_server.audits.dataset import DataSet, read_data_set
from whybox_server.audits.journal import Journal, Record
from whybox_server.audits.progress import Teller
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
class Asked:
    """The options, as they were given; `run` fills in the defaults."""

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
    fresh: bool


def run(asked: Asked, out: Console, err: Console) -> None:
    """Measures, and writes the three files.

    Raises:
        ArchiveError: The model is not there.
        DataSetError: Pictures or labels are not as they should be.
        JournalError: What was measured before does not fit.
        AuditError: It cannot go on, or no picture could be measured.
        InterruptedAuditError: It was asked to stop.
        WhyboxError: The options do not fit the model, or it cannot be loaded.
        OSError: A file cannot be read or written.
    """
    archive, model = _model(asked.model_store, asked.model)
    options = _options(asked, model)
    data = read_data_set(asked.folder, model.labels, asked.labels, asked.label_column).sample(asked.limit, asked.seed)
    settings = _settings(asked, model, options)
    save = asked.save or default_save(model.name)
    save.mkdir(parents=True, exist_ok=True)
    work = Work(archive, asked.folder, options.SerializeToString(), asked.seed, asked.device)
    with Journal(save / PICTURES, settings, fresh=asked.fresh) as journal, Teller(err, options.norms[0]) as teller:
        records = audit(work, data, journal, 1 if asked.device == "cuda" else asked.workers, teller.tell)
    if teller.progress.kept:
        err.print(f"{teller.progress.kept} of {len(records)} pictures were measured by an earlier run", soft_wrap=True)
    _conclude(records, data, model, options, settings, save, out)


def default_save(model: str) -> Path:
    """Where the files go without --save."""
    return Path(f"robustness-{model}")


def _model(store: Path, name: str | None) -> tuple[Path, v1.Model]:
    """The wanted model; without a wish the only one, or the default one where there are several."""
    models = read_store(store, [name] if name else [])
    if len(models) > 1:
        models = {path: model for path, model in models.items() if model.name == _DEFAULT_MODEL}
    if not models:
        raise ArchiveError(f"{store} holds several models; choose one with --model")
    return next(iter(models.items()))


def _options(asked: Asked, model: v1.Model) -> v1.RobustnessOptions:
    if asked.budget == DEADLINE:
        message = "an audit has no deadline; give fast, standard, thorough or a number of evaluations"
        raise InvalidRequestError(message, field="robustness.budget")
    options = v1.RobustnessOptions(norms=asked.norms, budget=asked.budget, attack=asked.attack)
    fill_robustness(options, model)
    check_possible(options, model, [])
    return options


def _settings(asked: Asked, model: v1.Model, options: v1.RobustnessOptions) -> dict[str, Any]:
    """All that a record depends on, apart from its picture."""
    return {
        "model": model.name,
        "version": model.version,
        "digests": json_format.MessageToDict(model.digests, preserving_proto_field_name=True),
        "attack": options.attack,
        "norms": list(options.norms),
        "budget": int(options.budget),
        "seed": asked.seed,
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
        raise AuditError(f"none of the {len(records)} pictures can be decoded; {save / PICTURES} tells why")
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
