"""The pass over a data set that all reports share: from the options of the command to a record of each picture."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from rich.console import Console

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import DEADLINE
from whybox_server.archives import ArchiveError, read_store
from whybox_server.audits.data.dataset import Choice, DataSet
from whybox_server.audits.data.reading import read_data_set
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import JOURNAL, Journal
from whybox_server.audits.passes.pool import Workers, measure_pictures
from whybox_server.audits.passes.progress import ProgressDisplay
from whybox_server.audits.passes.workers import Work, libraries
from whybox_server.validation.robustness import check_possible, fill_robustness

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


@dataclass(frozen=True)
class Pass:
    """A finished pass.

    Attributes:
        data: The pictures.
        journal: A record of each of them.
        model: The manifest of the model.
        options: The options of the attack, with every default filled in.
        settings: Everything that a record depends on, apart from its picture.
        save: Folder for the results; it exists.
    """

    data: DataSet
    journal: Journal
    model: v1.Model
    options: v1.RobustnessOptions
    settings: dict[str, Any]
    save: Path


@contextmanager
def measured(asked: PassOptions, prefix: str, err: Console) -> Generator[Pass]:
    """Measures the pictures of a data set; inside the block the journal is open.

    Args:
        asked: The options.
        prefix: Beginning of the name of the folder for the results, without --save.
        err: Console for the progress.

    Raises:
        ArchiveError: The model is not packed.
        DataSetError: Pictures, labels or columns are missing or wrong.
        JournalError: The results of an earlier run were made with other settings, are damaged, or are in use.
        AuditError: The audit cannot go on, or no picture could be measured.
        InterruptedAuditError: SIGINT or SIGTERM arrived.
        WhyboxError: The options do not fit the model, or the model cannot be loaded.
        OSError: A file cannot be read or written.
    """
    archive, model = _model(asked.model_store, asked.model)
    options = _options(asked, model)
    settings = _settings(asked, model, options)
    with read_data_set(asked.folder, model.labels, asked.labels, asked.choice) as data:
        save = asked.save or Path(f"{prefix}-{model.name}")
        save.mkdir(parents=True, exist_ok=True)
        work = Work(archive, asked.folder, options.SerializeToString(), asked.seed, asked.device, asked.view)
        with Journal(save / JOURNAL, settings, fresh=asked.fresh) as journal:
            with ProgressDisplay(err, options.norms[0]) as display:
                progress = measure_pictures(work, data, journal, asked.workers, display.show)
            if progress.kept:
                earlier = f"{progress.kept} of {progress.total} pictures were measured by an earlier run"
                err.print(earlier, soft_wrap=True)
            if not any(journal.fingerprint(picture.file) for picture in data.pictures()):
                raise AuditError(f"none of the {progress.total} pictures can be decoded")
            yield Pass(data, journal, model, options, settings, save)


def _model(store: Path, name: str | None) -> tuple[Path, v1.Model]:
    """The named model with its archive; without a name the only packed one, or the default if there are several."""
    models = read_store(store, [name] if name else [])
    if len(models) > 1:
        models = {path: model for path, model in models.items() if model.name == _DEFAULT_MODEL}
    if not models:
        raise ArchiveError(f"{store} holds several models; choose one with --model")
    return next(iter(models.items()))


def _options(asked: PassOptions, model: v1.Model) -> v1.RobustnessOptions:
    if asked.budget == DEADLINE:
        message = "an audit has no deadline; give fast, standard, thorough or a number of gradient evaluations"
        raise InvalidRequestError(message, field="robustness.budget")
    options = v1.RobustnessOptions(norms=asked.norms, budget=asked.budget, attack=asked.attack)
    fill_robustness(options, model)
    check_possible(options, model, [])
    return options


def _settings(asked: PassOptions, model: v1.Model, options: v1.RobustnessOptions) -> dict[str, Any]:
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
