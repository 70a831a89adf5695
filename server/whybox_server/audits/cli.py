"""The commands that measure data sets: their options, their errors and their exit status."""

import json
import signal
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from whybox.v1.errors import WhyboxError
from whybox_server.archives import ArchiveError
from whybox_server.settings import SettingsError, read_settings

if TYPE_CHECKING:
    from whybox_server.audits.passes import pool

# The options that stand for fields of a request.
_OPTIONS = {"robustness.norms": "--norm", "robustness.budget": "--budget", "robustness.attack": "--attack"}
# The options of an audit that a table of predictions leaves without a meaning.
_OF_PICTURES = (
    *(
        "labels",
        "model",
        "model_store",
        "norm",
        "primary_norm",
        "budget",
        "attack",
        "calibration",
        "calibration_folder",
    ),
    *("no_repeat", "agreement", "removal", "workers", "engine", "ray_address", "device", "view", "fresh"),
)
_FLAGGED = 3
_INTERRUPTED = 128  # plus the number of the signal, as in shells


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
        err.print(f"error: {_message(error)}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except (InterruptedAuditError, KeyboardInterrupt) as stop:
        number = stop.signal if isinstance(stop, InterruptedAuditError) else signal.SIGINT
        remedy = " without --fresh" if fresh else ""
        message = f"interrupted: {kept}; run the same command again{remedy} to continue"
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
    engine: Engine = "processes",
    ray_address: RayAddress = None,
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
    from whybox_server.audits.passes.run import PassOptions
    from whybox_server.audits.robust_accuracy.run import measure_robust_accuracy

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
            workers=_workers(engine, workers, ray_address),
            device=device,
            seed=seed,
            view=view,
            fresh=fresh,
        )
        measure_robust_accuracy(options, out, err)


def audit(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with the pictures: one sub-folder per class, or any layout with --labels. Left out with"
            " --predictions.",
            metavar="DIR",
        ),
    ] = None,
    labels: Labels = None,
    label_column: LabelColumn = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="Report on this attribute only: a column of the table, or brightness, contrast, saturation, sharpness,"
            " width, height or aspect_ratio (up to the median of the class against above it); repeatable. Default: all"
            " columns with 2 to 10 values within a class.",
            metavar="NAME",
        ),
    ] = None,
    confounder: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare only pictures that have the same value in this column; repeatable. Same names.",
            metavar="NAME",
        ),
    ] = None,
    where: Where = None,
    cross: Annotated[
        list[str] | None,
        typer.Option(help="Test the combined values of two attributes too; repeatable.", metavar="A,B"),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Audit a table of predictions instead of a model: columns file, the class, predicted, and perhaps"
            " confidence (0 to 1). Nothing is attacked; the findings are error_rate and calibration.",
            metavar="TABLE",
        ),
    ] = None,
    model: Model = None,
    model_store: ModelStore = None,
    norm: Norm = None,
    primary_norm: Annotated[
        str | None, typer.Option(help="Norm that decides; the others are sensitivity. Default: linf.")
    ] = None,
    budget: Budget = "standard",
    attack: Attack = "",
    delta: Annotated[
        float, typer.Option(help="Flag a distance effect if the interval of Cliff's delta lies beyond this.")
    ] = 0.1,
    gap: Annotated[
        float, typer.Option(help="Flag a gap of error rates or calibration if its interval lies beyond this share.")
    ] = 0.05,
    min_group: Annotated[int, typer.Option(help="A flag needs this many pictures in each group; at least 10.")] = 20,
    discovery: Annotated[
        str | None,
        typer.Option(
            help="Part of the column split that finds; the other part confirms. Default: the larger part.",
            metavar="PART",
        ),
    ] = None,
    confirm: Annotated[
        Path | None,
        typer.Option(help="Folder of another audit, whose pictures confirm what these find.", metavar="AUDIT"),
    ] = None,
    fail_on: Annotated[
        Literal["flagged"] | None, typer.Option(help="Exit with status 3 if anything is flagged, for pipelines.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Table of at least 100 other pictures (columns file and the class, as for --labels) that calibrate"
            " prediction sets. They are predicted, never attacked, and are no part of the audit. A column split divides"
            " them into calibration and test; without it, they are halved at random.",
            metavar="TABLE",
        ),
    ] = None,
    calibration_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures of --calibration. Default: DIR.", metavar="DIR"),
    ] = None,
    no_repeat: Annotated[
        bool,
        typer.Option(
            "--no-repeat",
            help="Do not measure distance effects that a smaller budget flags again at budget standard.",
        ),
    ] = False,
    agreement: Annotated[
        bool,
        typer.Option(
            "--agreement",
            help="Attack at most 50 correct pictures of each class by i_fgsm too, and say how alike both rank them.",
        ),
    ] = False,
    no_thumbnails: Annotated[
        bool,
        typer.Option(
            "--no-thumbnails", help="Put no small copies of pictures into audit.html, for example if they show people."
        ),
    ] = False,
    removal: Annotated[
        Literal["blur", "fill"],
        typer.Option(
            help="How the boxes of a flagged attribute are removed to see what becomes of the answers: blurred, or"
            " filled with the mean colour."
        ),
    ] = "blur",
    limit: Limit = None,
    save: Save = None,
    workers: Workers = None,
    engine: Engine = "processes",
    ray_address: RayAddress = None,
    device: Device = "cpu",
    seed: Seed = 0,
    view: View = False,
    fresh: Fresh = False,
) -> None:
    """Find prototypes, criticisms and biases of a model in a data set.

    Each correctly predicted picture is attacked. An attribute is flagged where pictures that have it are easier to
    attack, more often wrong, or more over-confident than others of their class: by a test of all attributes at once, an
    interval beyond a threshold, and enough pictures. "not_detected" says how large an effect would have been found.

    [cyan]whybox-server audit photos/ --labels photos.csv[/] [dim]with the columns file,label,wheelchair,outdoors,…[/]

    [cyan]whybox-server audit photos/ --labels photos.csv --where render=0 --attribute wheelchair --confounder wide[/]

    [cyan]whybox-server audit photos/ --labels photos.csv --calibration others.csv --calibration-folder others/[/]

    [cyan]whybox-server audit --predictions predictions.parquet --fail-on flagged[/]

    [cyan]whybox-server audit compare audit-before/ audit-after/[/]

    An empty cell or "unknown" is a value of its own and is never tested. Columns with a meaning of their own: split
    (two parts: one finds, the other confirms), trained_on, and NAME_box or box (where the attribute is: left top right
    bottom in pixels, ; between boxes). The boxes of a flagged attribute are removed from at most 50 pictures, and the
    answers are compared with those without random regions of equal area.

    The command writes audit.html (the report, one file that needs no network), audit.json (manifest and findings) and
    audit.parquet (a row per picture). After an interrupt the same command continues where it stopped; other attributes,
    confounders and thresholds measure nothing again.
    """
    from whybox_server.audits.criticism.options import CriticismOptions
    from whybox_server.audits.data.dataset import Choice
    from whybox_server.audits.data.errors import DataSetError
    from whybox_server.audits.passes.journal import INTRINSIC
    from whybox_server.audits.passes.run import PassOptions
    from whybox_server.audits.report.rounds import RoundOptions
    from whybox_server.audits.report.run import AuditOptions, run_audit

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with explained(err, fresh=fresh):
        if (folder is None) == (predictions is None):
            raise DataSetError("give either the folder with the pictures or --predictions")
        if predictions is not None:
            _check_for_predictions(context)
        if calibration_folder is not None and calibration is None:
            raise DataSetError("--calibration-folder holds the pictures of a table; give it with --calibration")
        choice = Choice(
            label_column=label_column,
            attributes=tuple(attribute or ()),
            confounders=tuple(confounder or ()),
            where=tuple(where or ()),
            intrinsic=INTRINSIC if predictions is None else (),
            limit=limit,
            seed=seed,
        )
        norms = tuple(norm or ())
        criticism = CriticismOptions(
            attributes=tuple(attribute) if attribute else None,
            confounders=choice.confounders,
            crosses=_pairs(cross or ()),
            primary_norm=primary_norm or ("linf" if "linf" in norms or not norms else norms[0]),
            delta_threshold=delta,
            gap_threshold=gap,
            min_group=min_group,
            discovery=discovery,
            seed=seed,
        )
        source = None
        if folder is not None:
            source = PassOptions(
                folder=folder,
                model=model,
                model_store=read_settings(model_store=model_store).model_store,
                labels=labels,
                choice=choice,
                norms=norms,
                budget=budget,
                attack=attack,
                save=save,
                workers=_workers(engine, workers, ray_address),
                device=device,
                seed=seed,
                view=view,
                fresh=fresh,
                calibration=calibration,
                calibration_folder=calibration_folder,
            )
        rounds = RoundOptions(repeat=not no_repeat, agreement=agreement)
        asked = AuditOptions(
            source,
            predictions,
            choice,
            criticism,
            confirm,
            save,
            thumbnails=not no_thumbnails,
            rounds=rounds,
            removal=removal,
        )
        findings = run_audit(asked, out, err)
    if fail_on is not None and any(flag.state == fail_on for flag in findings.flags):
        raise typer.Exit(_FLAGGED)


def audit_compare(
    first: Annotated[Path, typer.Argument(help="Folder of an audit.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Folder of another audit of the same pictures.", metavar="B")],
    save: Annotated[Path | None, typer.Option(help="File for all numbers as JSON.", metavar="FILE")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare two audits on the pictures that both measured: what changed in accuracy, distances and flags.

    Pictures are the same if their file, their bytes and their label are.
    """
    from whybox_server.audits.report.compare import compare
    from whybox_server.audits.report.words import changes

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with explained(err):
        comparison = compare(first, second, seed)
        for line in changes(comparison):
            out.print(line, markup=False, soft_wrap=True)
        if save is not None:
            save.write_text(json.dumps(comparison.to_entries(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
            out.print(f"saved {save}", markup=False, soft_wrap=True)


def audit_note(
    folder: Annotated[Path, typer.Argument(help="Folder of an audit.", metavar="AUDIT")],
    flag: Annotated[
        str | None,
        typer.Argument(
            help="Id of the flag, or its beginning; see --list, audit.html or audit.json.",
            metavar="FLAG",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="What the note says, at most 2,000 characters.")] = None,
    name: Annotated[str | None, typer.Option(help="Who writes it, at most 200 characters.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the flags with their ids and notes.")] = False,
) -> None:
    """Put a note on a flag: what a reviewer thinks of it. It never changes the state.

    [cyan]whybox-server audit note audit/ 3f21 --name 'A. Reviewer' --text 'Seen: wheelchairs are small here.'[/]

    Notes are kept in notes.json beside the audit. audit.html shows them, the same audit run again keeps them, and
    whybox-server pack --bank packs them with the findings.
    """
    from whybox_server.audits.data.errors import DataSetError
    from whybox_server.audits.notes import add_note, kept_for_one, read_notes
    from whybox_server.audits.report.manifest import read_manifest
    from whybox_server.audits.report.page.noting import write_notes
    from whybox_server.audits.report.page.write import PAGE
    from whybox_server.audits.report.words import noted_flags

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with explained(err):
        if listed:
            if (flag, text, name) != (None, None, None):
                raise DataSetError("--list shows all flags and writes nothing; leave FLAG, --text and --name out")
            manifest = read_manifest(folder)
            for line in noted_flags(read_notes(folder), manifest):
                out.print(line, markup=False, soft_wrap=True)
            return
        if flag is None or text is None or name is None:
            raise DataSetError("a note needs FLAG, --text and --name; --list shows the flags with their ids")
        with kept_for_one(folder):
            manifest = read_manifest(folder)
            if not (folder / PAGE).is_file():
                raise DataSetError(f"{folder / PAGE}, which shows the notes, is missing; run the audit again")
            note = add_note(folder, manifest, flag, text, name, datetime.now(UTC).date().isoformat())
            write_notes(folder / PAGE, read_notes(folder))
        out.print(f"noted on flag {note.flag}, {note.question} ({note.state})", markup=False, soft_wrap=True)


def _workers(engine: Literal["processes", "ray"], number: int | None, address: str | None) -> "pool.Workers":
    """Who measures."""
    from whybox_server.audits.passes import pool
    from whybox_server.audits.passes.errors import AuditError

    if address is not None and engine != "ray":
        raise AuditError("--ray-address needs --engine ray")
    return pool.Workers(engine, number, address)


def _check_for_predictions(context: typer.Context) -> None:
    """Raises DataSetError for an option that only pictures and a model have a use for."""
    from whybox_server.audits.data.errors import DataSetError

    for name in _OF_PICTURES:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise DataSetError(
                f"{option} is for pictures and a model, and --predictions has neither; leave {option} out"
            )


def _pairs(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The crossings, each once."""
    from whybox_server.audits.data.errors import DataSetError

    pairs = tuple(map(_pair, texts))
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise DataSetError("--cross names two attributes twice; name each crossing once")
    return pairs


def _pair(text: str) -> tuple[str, str]:
    """The two attributes of a crossing."""
    from whybox_server.audits.data.errors import DataSetError

    first, *others = (name.strip() for name in text.split(","))
    if len(others) != 1 or not first or others[0] in ("", first):
        raise DataSetError(f"--cross {text!r} is no crossing; write two attributes with a comma between them")
    return first, others[0]
