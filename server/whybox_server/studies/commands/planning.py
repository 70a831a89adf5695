"""The command `whybox-server study plan`."""

import re
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from whybox_server.studies.commands.common import told
from whybox_server.studies.creation.cost import SECONDS
from whybox_server.studies.errors import StudyError

# What the plan calls otherwise than the command.
_OPTIONS = {"votes": "--per-cell", "pictures_per_annotator": "--per-annotator"}


def plan(
    error: Annotated[float, typer.Option(help="Error of the model by the data set's labels, between 0 and 1.")],
    half_width: Annotated[
        float | None,
        typer.Option(help="Largest half-width of the interval for 95 % of the rectified error, such as 0.03."),
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(help="Smallest difference in the accepted share between two arms to be found, such as 0.1."),
    ] = None,
    cells: Annotated[int, typer.Option(help="Cells that each picture is shown in; the default study has 6.")] = 6,
    per_cell: Annotated[int, typer.Option(help="People who answer each picture in each cell.")] = 5,
    per_annotator: Annotated[int, typer.Option(help="Pictures that one person answers.")] = 60,
    share_errors: Annotated[float, typer.Option(help="Share of the pictures that the model answers wrongly.")] = 0.5,
    power: Annotated[float, typer.Option(help="Chance to find the difference.")] = 0.8,
    contrasts: Annotated[
        int, typer.Option(help="Registered contrasts, for Holm's correction; the default study has 9.")
    ] = 9,
    alike: Annotated[
        float,
        typer.Option(help="Correlation between two arms of what a picture, or a person, adds: an assumption."),
    ] = 0.5,
    seconds: Annotated[float, typer.Option(help="Seconds that an answer takes.")] = SECONDS,
    minutes: Annotated[float, typer.Option(help="Time of each person for consent, instructions and practice.")] = 3.0,
    picture_variance: Annotated[
        float | None, typer.Option(min=0, help="Variance between pictures of a fresh majority. Default: ReaL's.")
    ] = None,
    votes_variance: Annotated[
        float | None, typer.Option(min=0, help="Variance that five votes add to a picture. Default: ReaL's.")
    ] = None,
    annotator_variance: Annotated[
        float | None, typer.Option(min=0, help="Variance that one person adds to the mean. Default: ReaL's.")
    ] = None,
) -> None:
    """Say how many pictures, annotators and hours a study needs.

    Give the precision that you want: a half-width of the rectified error, a difference between two arms, or both.

    [cyan]whybox-server study plan --error 0.3 --difference 0.1[/]

    [cyan]whybox-server study plan --error 0.3 --half-width 0.05 --cells 1[/]

    Variances are those of ReaL, whose raters were trained. A crowd from a platform varies more: take
    --annotator-variance from a pilot.
    """
    from whybox_server.studies.results import planning

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    of = planning.Components(
        picture=planning.REAL.picture if picture_variance is None else picture_variance,
        votes=planning.REAL.votes if votes_variance is None else votes_variance,
        annotator=planning.REAL.annotator if annotator_variance is None else annotator_variance,
    )
    with told(err):
        if half_width is None and difference is None:
            raise StudyError("give --half-width, --difference, or both: how precise is the study to be?")
        try:
            found = planning.plan(
                error,
                half_width=half_width,
                difference=difference,
                share_errors=share_errors,
                power=power,
                contrasts=contrasts,
                alike=alike,
                workload=planning.Workload(cells, per_cell, per_annotator, seconds, minutes),
                of=of,
            )
        except ValueError as wrong:
            raise StudyError(re.sub(r"^(\w+)(?= is )", _option, str(wrong))) from None
    table = Table.grid(padding=(0, 2))
    table.add_row("pictures", f"{found.pictures:,} ({found.errors:,} errors, {found.correct:,} correct)")
    table.add_row("annotators", f"{found.annotators:,}")
    table.add_row("answers", f"{found.answers:,}")
    table.add_row("hours", f"{found.hours:,.1f} of all people together")
    table.add_row("rectified error", f"± {100 * found.half_width:.1f} points (95 %)")
    if found.detectable is not None:
        table.add_row("difference", f"{100 * found.detectable:.1f} points between two arms, power {power:g}")
    out.print(table)


def _option(name: re.Match[str]) -> str:
    return _OPTIONS.get(name[1], "--" + name[1].replace("_", "-"))
