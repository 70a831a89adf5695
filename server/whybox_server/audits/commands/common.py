"""What the commands that measure data sets share: options, errors and their exit status."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from whybox.v1.errors import WhyboxError
from whybox_server.settings import SettingsError
from whybox_server.validation.archives import ArchiveError
from whybox_server.validation.checks import printable

if TYPE_CHECKING:
    from whybox_server.audits.passes import pool

# The options that stand for fields of a request.
_OPTIONS = {"robustness.norms": "--norm", "robustness.budget": "--budget", "robustness.attack": "--attack"}
_INTERRUPTED = 128  # plus the number of the signal, as in shells


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
        help="Gradient evaluations per picture and norm: fast (8), standard (12), thorough (100), or 1 to 1000."
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
Workers = Annotated[int | None, typer.Option(min=1, help="Number of workers. Default: one per core.")]
Engine = Annotated[
    Literal["processes", "ray"],
    typer.Option(
        help="What runs the workers: processes of this machine, or Ray Data (extra ray), which also runs them on a"
        " cluster. The results are the same."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a Ray cluster; the command runs on one of its machines. Each machine needs Whybox, and the"
        " pictures and the model at the same paths, as on a shared file system. Default: --engine ray starts Ray on"
        " this machine, and ends it afterwards.",
        metavar="HOST:PORT",
    ),
]
Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="Device to compute on; cuda uses one process (Ray: one per GPU) and batches of 32 pictures."),
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
def explained(err: Console, *, fresh: bool = False, kept: str = "all measurements are kept") -> Generator[None]:
    """Turns the errors of an audit into one line and an exit status.

    Args:
        err: Console for the line.
        fresh: Whether --fresh was given.
        kept: What the same command finds done after an interrupt.
    """
    # Imported here: the serving process must not load libraries that draw.
    from whybox_server.audits.criticism.pictures import CriticismError
    from whybox_server.audits.data.errors import DataSetError
    from whybox_server.audits.passes.errors import AuditError, InterruptedAuditError
    from whybox_server.audits.passes.journal import JournalError

    faults = (ArchiveError, AuditError, CriticismError, DataSetError, JournalError, SettingsError, WhyboxError, OSError)
    try:
        yield
    except faults as error:
        err.print(f"error: {printable(_message(error))}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except (InterruptedAuditError, KeyboardInterrupt) as stop:
        number = stop.signal if isinstance(stop, InterruptedAuditError) else signal.SIGINT
        remedy = " without --fresh" if fresh else ""
        message = f"interrupted: {kept}; run the same command again{remedy} to continue"
        err.print(message, style="yellow", markup=False, soft_wrap=True)
        raise typer.Exit(_INTERRUPTED + number) from None


def workers_of(engine: Literal["processes", "ray"], number: int | None, address: str | None) -> "pool.Workers":
    """Who measures."""
    from whybox_server.audits.passes import pool
    from whybox_server.audits.passes.errors import AuditError

    if address is not None and engine != "ray":
        raise AuditError("--ray-address needs --engine ray")
    return pool.Workers(engine, number, address)


def _message(error: Exception) -> str:
    """The message of an error, with the option in place of the field that it names."""
    text = str(error)
    if not (isinstance(error, WhyboxError) and error.field in _OPTIONS):
        return text
    option = _OPTIONS[error.field]
    return text.replace(error.field, option) if error.field in text else f"{option}: {text}"
