"""The command `whybox-server robustness`: its options and how it ends."""

import os
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from whybox.v1.errors import WhyboxError
from whybox_server.archives import ArchiveError
from whybox_server.settings import SettingsError, read_settings

# How fields of a request are called here.
_OPTIONS = {"robustness.norms": "--norm", "robustness.budget": "--budget", "robustness.attack": "--attack"}
_INTERRUPTED = 128  # plus the signal's number, as shells have it


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(error: Exception) -> str:
    """What is wrong, with the option at fault in place of the field."""
    text = str(error)
    if not (isinstance(error, WhyboxError) and error.field in _OPTIONS):
        return text
    option = _OPTIONS[error.field]
    return text.replace(error.field, option) if error.field in text else f"{option}: {text}"


def robustness(
    folder: Annotated[
        Path, typer.Argument(help="Pictures: one sub-folder per class, or anything with --labels.", metavar="DIR")
    ],
    labels: Annotated[
        Path | None, typer.Option(help="CSV with a header: a column file, below DIR, and one with the class.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="That column: index or label, empty or -1 for none. Default: label or imagenet1k_index."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The packed model. Default: the only one, or efficientnet-lite0.")
    ] = None,
    model_store: Annotated[
        Path | None, typer.Option(help="Folder with the packed models. Default: WHYBOX_MODEL_STORE, or model_store.")
    ] = None,
    norm: Annotated[list[str] | None, typer.Option(help="linf or l2; repeatable. Default: linf.")] = None,
    budget: Annotated[
        str, typer.Option(help="Search per picture and norm: fast, standard, thorough or a number of evaluations.")
    ] = "standard",
    attack: Annotated[str, typer.Option(help="Default: the one that packing found fit for the model.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure so many pictures at most, drawn at random; more can follow.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the results. Default: robustness-MODEL.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one for each core.")] = None,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="cuda takes one process, with many pictures at once.")
    ] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of the sample, of attacks that draw, and of the bootstrap.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run measured.")] = False,
) -> None:
    """Measure how accurate a model stays when labelled pictures may change by up to a radius.

    Each picture that is predicted right is attacked; what counts is the smallest change found that makes it wrong.
    The result is empirical robust accuracy, an upper bound: a better attack may find smaller changes.

    [cyan]whybox-server robustness photos/[/] [dim]with photos/tabby/1.jpg, photos/281/2.jpg, …[/]

    [cyan]whybox-server robustness photos/ --labels photos.csv --budget fast --norm linf --norm l2[/]

    Writes robustness.png (accuracy against radius), robustness.json (all numbers, also per class) and pictures.jsonl
    (a line per picture, as soon as it is measured). Interrupted, the same command goes on where it stopped.
    """
    # Imported here: the serving process must not load what draws.
    from whybox_server.audits.audit import AuditError, InterruptedAuditError
    from whybox_server.audits.dataset import DataSetError
    from whybox_server.audits.journal import JournalError
    from whybox_server.audits.robust_accuracy.run import Asked, run

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        asked = Asked(
            folder=folder,
            model=model,
            model_store=read_settings(model_store=model_store).model_store,
            labels=labels,
            label_column=label_column,
            norms=tuple(norm or ()),
            budget=budget,
            attack=attack,
            limit=limit,
            save=save,
            workers=workers or _cores(),
            device=device,
            seed=seed,
            fresh=fresh,
        )
        run(asked, out, err)
    except (ArchiveError, AuditError, DataSetError, JournalError, SettingsError, WhyboxError, OSError) as error:
        err.print(f"error: {_told(error)}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except (InterruptedAuditError, KeyboardInterrupt) as stop:
        number = stop.signal if isinstance(stop, InterruptedAuditError) else signal.SIGINT
        remedy = "; without --fresh" if fresh else ""
        message = f"interrupted: what is measured is kept; the same command goes on from there{remedy}"
        err.print(message, style="yellow", markup=False, soft_wrap=True)
        raise typer.Exit(_INTERRUPTED + number) from None
