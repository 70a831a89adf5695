"""The commands that measure data sets: their options, their errors and their exit status."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from whybox.v1.errors import WhyboxError
from whybox_server.archives import ArchiveError
from whybox_server.settings import SettingsError, read_settings

# The options that stand for fields of a request.
_OPTIONS = {"robustness.norms": "--norm", "robustness.budget": "--budget", "robustness.attack": "--attack"}
_INTERRUPTED = 128  # plus the number of the signal, as in shells


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _message(error: Exception) -> str:
    """The message of an error, with the option in place of the field that it names."""
    text = str(error)
    if not (isinstance(error, WhyboxError) and error.field in _OPTIONS):
        return text
    option = _OPTIONS[error.field]
    return text.replace(error.field, option) if error.field in text else f"{option}: {text}"


Folder = Annotated[
    Path,
    typer.Argument(
        help="Folder with the pictures: one sub-folder per class, or any layout with --labels.", metavar="DIR"
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Table with a header (CSV, or Parquet by its ending .parquet): column file (path below DIR) and a column"
        " with the class.",
        metavar="TABLE",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with the class: an index or a label; empty or -1 leaves the picture out. Default: label or"
        " imagenet1k_index."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Keep the rows of the table that meet a condition, COLUMN=VALUE or COLUMN!=VALUE; repeatable, and then all"
        " of them.",
        metavar="CONDITION",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Model to measure. Default: the only packed one, or efficientnet-lite0.")
]
ModelStore = Annotated[
    Path | None, typer.Option(help="Folder with the packed models. Default: WHYBOX_MODEL_STORE, or model_store.")
]
Norm = Annotated[
    list[str] | None, typer.Option(help="Norm that measures a change: linf or l2; repeatable. Default: linf.")
]
Budget = Annotated[
    str,
    typer.Option(
        help="Gradient evaluations per picture and norm: fast (6), standard (12), thorough (100), or 1 to 1000."
    ),
]
Attack = Annotated[
    str,
    typer.Option(
        help="Attack to use, one of fmn, i_fgsm, deepfool, ddn, apgd and square. Default: the one that packing"
        " chose for the model."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Measure at most N pictures, drawn at random; a later run can raise N.", metavar="N"),
]
Save = Annotated[Path | None, typer.Option(help="Folder for the results. Default: COMMAND-MODEL.", metavar="DIR")]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of processes. Default: one per core.")]
Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="Device to compute on; cuda uses one process and batches of 32 pictures."),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Seed of the sample, of attacks that draw at random, and of the statistics.")
]
View = Annotated[
    bool,
    typer.Option(
        "--view",
        help="The pictures are the model's views themselves, and are neither resized nor cropped.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete the measurements of earlier runs and start over.")]


@contextmanager
def explained(err: Console, *, fresh: bool = False) -> Generator[None]:
    """Turns the errors of an audit into one line and an exit status.

    Args:
        err: Console for the line.
        fresh: Whether --fresh was given.
    """
    # Imported here: the serving process must not load libraries that draw.
    from whybox_server.audits.audit import AuditError, InterruptedAuditError
    from whybox_server.audits.criticism.pictures import CriticismError
    from whybox_server.audits.data.errors import DataSetError
    from whybox_server.audits.journal import JournalError

    faults = (ArchiveError, AuditError, CriticismError, DataSetError, JournalError, SettingsError, WhyboxError, OSError)
    try:
        yield
    except faults as error:
        err.print(f"error: {_message(error)}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except (InterruptedAuditError, KeyboardInterrupt) as stop:
        number = stop.signal if isinstance(stop, InterruptedAuditError) else signal.SIGINT
        remedy = " without --fresh" if fresh else ""
        message = f"interrupted: all measurements are kept; run the same command again{remedy} to continue"
        err.print(message, style="yellow", markup=False, soft_wrap=True)
        raise typer.Exit(_INTERRUPTED + number) from None


def robustness(
    folder: Folder,
    labels: Labels = None,
    label_column: LabelColumn = None,
    where: Where = None,
    model: Model = None,
    model_store: ModelStore = None,
    norm: Norm = None,
    budget: Budget = "standard",
    attack: Attack = "",
    limit: Limit = None,
    save: Save = None,
    workers: Workers = None,
    device: Device = "cpu",
    seed: Seed = 0,
    view: View = False,
    fresh: Fresh = False,
) -> None:
    """Measure the accuracy of a model when every picture may change by up to a radius.

    Each correctly predicted picture is attacked, and the smallest change found that makes the prediction wrong counts.
    The result is empirical robust accuracy. It is an upper bound: a better attack may find smaller changes.

    [cyan]whybox-server robustness photos/[/] [dim]with photos/tabby/1.jpg, photos/281/2.jpg, …[/]

    [cyan]whybox-server robustness photos/ --labels photos.csv --budget fast --norm linf --norm l2[/]

    The command writes robustness.png (accuracy against radius), robustness.json (all numbers, also per class) and
    audit.parquet (a row per measured picture). After an interrupt the same command continues where it stopped. It gives
    up when the first five pictures all fail.
    """
    from whybox_server.audits.data.dataset import Choice
    from whybox_server.audits.robust_accuracy.run import measure_robust_accuracy
    from whybox_server.audits.run import PassOptions

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with explained(err, fresh=fresh):
        options = PassOptions(
            folder=folder,
            model=model,
            model_store=read_settings(model_store=model_store).model_store,
            labels=labels,
            choice=Choice(label_column=label_column, where=tuple(where or ()), limit=limit, seed=seed),
            norms=tuple(norm or ()),
            budget=budget,
            attack=attack,
            save=save,
            workers=workers or _cores(),
            device=device,
            seed=seed,
            view=view,
            fresh=fresh,
        )
        measure_robust_accuracy(options, out, err)
