"""The command `whybox-server audit`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from whybox_server.audits.commands.common import (
    Attack,
    Budget,
    Device,
    Engine,
    Fresh,
    LabelColumn,
    Labels,
    Limit,
    Model,
    ModelStore,
    Norm,
    RayAddress,
    Save,
    Seed,
    View,
    Where,
    Workers,
    explained,
    workers_of,
)
from whybox_server.settings import read_settings

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
                workers=workers_of(engine, workers, ray_address),
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
