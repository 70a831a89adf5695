"""The pass over a data set that all reports share: from the options of the command to a record of each picture."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from rich.console import Console

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import DEADLINE
from whybox_server.audits.data.dataset import Choice, DataSet
from whybox_server.audits.data.reading import read_data_set
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import JOURNAL, Journal
from whybox_server.audits.passes.pool import Pictures, Workers, measure_pictures
from whybox_server.audits.passes.progress import ProgressDisplay
from whybox_server.audits.passes.workers import Work, libraries
from whybox_server.validation.archives import ArchiveError, read_store
from whybox_server.validation.robustness import check_possible, fill_robustness
from whybox_server.validation.traffic import newest_first

CALIBRATION = "calibration"
"""Folder with the journal of the calibration pictures, below that of the results."""

_DEFAULT_MODEL = "efficientnet-lite0"


@dataclass(frozen=True)
class PassOptions:
    """The options of a command, as they were given; `measured` fills in the defaults.

    Attributes:
        folder: Folder of the data set.
        model: Name of the model; None for the only packed one, or for efficientnet-lite0 if there are several.
        model_store: Folder with the packed models.
        labels: Table with the labels; None if the sub-folders are the classes.
        choice: Which rows and columns of that table are used.
        norms: "linf" and "l2", each at most once; empty for the default.
        budget: "fast", "standard", "thorough" or a number of gradient evaluations, 1 to 1000.
        attack: Name of the attack; "" for the model's default.
        save: Folder for the results; None for `PREFIX-MODEL`.
        workers: Who measures.
        device: "cpu" or "cuda".
        seed: Seed of attacks that draw at random, and of the statistics.
        view: Whether the pictures are the model's views themselves, neither resized nor cropped.
        fresh: Whether to delete the measurements of earlier runs.
        calibration: Table of the pictures that prediction sets rest on; None for none.
        calibration_folder: Folder of these pictures; None for `folder`.
    """

    folder: Path
    model: str | None
    model_store: Path
    labels: Path | None
    norms: tuple[str, ...]
    budget: str
    attack: str
    save: Path | None
    workers: Workers
    device: str
    seed: int
    view: bool
    fresh: bool
    choice: Choice = field(default_factory=Choice)
    calibration: Path | None = None
    calibration_folder: Path | None = None


@dataclass(frozen=True)
class Pass:
    """A finished pass.

    Attributes:
        asked: The options of the command.
        data: The pictures.
        journal: A record of each of them.
        archive: Path of the packed model.
        model: Its manifest.
        options: The options of the attack, with every default filled in.
        settings: Everything that a record depends on, apart from its picture.
        save: Folder for the results; it exists.
    """

    asked: PassOptions
    data: DataSet
    journal: Journal
    archive: Path
    model: v1.Model
    options: v1.RobustnessOptions
    settings: dict[str, Any]
    save: Path


@dataclass(frozen=True)
class Plan:
    """A pass that has measured nothing yet.

    Attributes:
        data: The pictures.
        model: The manifest of the model.
        options: The options of the attack, with every default filled in.
        settings: As of `Pass`.
    """

    data: DataSet
    model: v1.Model
    options: v1.RobustnessOptions
    settings: dict[str, Any]


@dataclass(frozen=True)
class Predicted:
    """Pictures that were predicted and not attacked.

    Attributes:
        data: The pictures.
        journal: A record of each of them, with its logits.
        labels: Labels of the model's classes.
        save: Folder for the results.
        model: Name and version of the model.
    """

    data: DataSet
    journal: Journal
    labels: Sequence[str]
    save: Path
    model: str


@contextmanager
def measured(
    asked: PassOptions, prefix: str, err: Console, check: Callable[[Plan], None] | None = None
) -> Generator[Pass]:
    """Measures the pictures of a data set; inside the block the journal is open.

    Args:
        asked: The options.
        prefix: Beginning of the name of the folder for the results, without --save.
        err: Console for the progress.
        check: Called before anything is measured; what it raises ends the pass.

    Raises:
        ArchiveError: The model is not packed.
        DataSetError: Pictures, labels or columns are missing or wrong.
        JournalError: The results of an earlier run were made with other settings, are damaged, or are in use.
        AuditError: The audit cannot go on, or no picture could be measured.
        InterruptedAuditError: SIGINT or SIGTERM arrived.
        WhyboxError: The options do not fit the model, or the model cannot be loaded.
        OSError: A file cannot be read or written.
    """
    archive, model = model_of(asked.model_store, asked.model)
    options = attack_options(asked, model)
    settings = record_settings(asked, model, options)
    with read_data_set(asked.folder, model.labels, asked.labels, asked.choice) as data:
        if check is not None:
            check(Plan(data, model, options, settings))
        save = _folder(asked, prefix, model)
        make_folder(save)
        with Journal(save / JOURNAL, settings, fresh=asked.fresh) as journal:
            measure(asked, archive, options, data, journal, err)
            if not any(journal.fingerprint(picture.file) for picture in data.pictures()):
                raise AuditError(f"none of the {len(data)} pictures can be decoded")
            yield Pass(asked, data, journal, archive, model, options, settings, save)


def measure(
    asked: PassOptions,
    archive: Path,
    options: v1.RobustnessOptions | None,
    data: Pictures,
    journal: Journal,
    err: Console,
    title: str = "",
) -> None:
    """Measures the pictures that a journal does not hold yet, with a progress bar.

    Args:
        asked: The folder of the pictures, and how to compute.
        archive: Path of the packed model.
        options: The options of the attack, with every default filled in; None to attack nothing and keep the logits.
        data: The pictures.
        journal: Their records.
        err: Console for the progress.
        title: What is measured; "" for the pass itself.

    Raises:
        Exception: As `measure_pictures`.
    """
    attack = None if options is None else options.SerializeToString()
    work = Work(archive, asked.folder, attack, asked.seed, asked.device, asked.view)
    with ProgressDisplay(err, None if options is None else options.norms[0], title) as display:
        progress = measure_pictures(work, data, journal, asked.workers, display.show)
    if progress.kept:
        earlier = f"{progress.kept} of {progress.total} pictures were measured by an earlier run"
        err.print(f"{title}: {earlier}" if title else earlier, soft_wrap=True)


@contextmanager
def predicted(
    asked: PassOptions, table: Path | None, prefix: str, err: Console, name: str = CALIBRATION
) -> Generator[Predicted]:
    """Predicts the pictures of a table, without an attack; inside the block their journal is open.

    The journal has a folder of its own below that of the results. Another attack or budget leaves the predictions
    valid, and another table leaves the distances valid.

    Args:
        asked: The options of the pass.
        table: The table; None if the sub-folders are the classes.
        prefix: As for `measured`.
        err: Console for the progress.
        name: What the predictions are for: the folder of the journal, and the title of the progress.

    Raises:
        Exception: As `measured`; a table none of whose pictures can be decoded is no error.
    """
    archive, model = model_of(asked.model_store, asked.model)
    settings = {
        name: value
        for name, value in record_settings(asked, model, attack_options(asked, model)).items()
        if name not in ("attack", "norms", "budget", "seed")
    }
    folder = asked.calibration_folder or asked.folder
    choice = Choice(label_column=asked.choice.label_column)
    with read_data_set(folder, model.labels, table, choice) as data:
        save = _folder(asked, prefix, model)
        make_folder(save / name)
        with Journal(save / name / JOURNAL, settings, fresh=asked.fresh) as journal:
            measure(replace(asked, folder=folder), archive, None, data, journal, err, name)
            yield Predicted(data, journal, model.labels, save, f"{model.name} {model.version}")


def make_folder(path: Path) -> None:
    """Makes the folder for the results if it is missing.

    Raises:
        AuditError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(
            f"{path} cannot be a folder for the results ({error.strerror}); give another --save"
        ) from error


def _folder(asked: PassOptions, prefix: str, model: v1.Model) -> Path:
    """The folder for the results."""
    return asked.save or Path(f"{prefix}-{model.name}")


def model_of(store: Path, name: str | None) -> tuple[Path, v1.Model]:
    """The named model with its archive; without a name the only packed one, or the default if there are several.

    A model that is packed in several versions is taken in the newest.

    Raises:
        ArchiveError: The model is not packed, or several are and the default is not among them.
    """
    models = read_store(store, [name] if name else [])
    names = {model.name for model in models.values()}
    if len(names) > 1:
        models = {path: model for path, model in models.items() if model.name == _DEFAULT_MODEL}
    if not models:
        raise ArchiveError(f"{store} holds several models; choose one with --model")
    [newest, *_] = newest_first(model.version for model in models.values())
    return next((path, model) for path, model in models.items() if model.version == newest)


def attack_options(asked: PassOptions, model: v1.Model) -> v1.RobustnessOptions:
    """The options of the attack, with every default filled in.

    Raises:
        WhyboxError: They do not fit the model.
    """
    if asked.budget == DEADLINE:
        message = "an audit has no deadline; give fast, standard, thorough or a number of gradient evaluations"
        raise InvalidRequestError(message, field="robustness.budget")
    options = v1.RobustnessOptions(norms=asked.norms, budget=asked.budget, attack=asked.attack)
    fill_robustness(options, model)
    check_possible(options, model, [])
    return options


def record_settings(asked: PassOptions, model: v1.Model, options: v1.RobustnessOptions) -> dict[str, Any]:
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
        "libraries": libraries(),
    }
