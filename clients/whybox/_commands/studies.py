"""`whybox study`: the studies of a server, their results, and invitations to them."""

import json as json_module
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from whybox._commands import shared
from whybox.client import DEFAULT_SECONDS, DEFAULT_URL
from whybox.results import Study, StudyStatus

_BAR_WIDTH = 24

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

StudyId = Annotated[str, typer.Argument(metavar="STUDY", help="Id of the study; `whybox study list` shows them.")]


@app.callback()
def main() -> None:
    """Ask about studies: people judge whether the model's labels are relevant, and its error is rectified.

    Each command needs a key (whybox-server keys add): the scope studies:read, and studies:invite for invitations. It is
    read from a file or from the environment, so that it stands in no list of processes.
    """


@app.command("list")
def list_studies(
    key_file: shared.KeyFile = None,
    url: shared.Url = DEFAULT_URL,
    timeout: shared.Timeout = DEFAULT_SECONDS,
    json: shared.Json = False,
) -> None:
    """List the studies, the one that opened last first."""
    with shared.connected(url, key_file, timeout=timeout) as client:
        studies = client.studies()
        if json:
            _print_json([asdict(study) for study in studies])
        elif studies:
            _print_list(shared.output(), studies)
        else:
            shared.output().print(
                "no study is open yet; open one with: whybox-server study open FOLDER", soft_wrap=True
            )


@app.command()
def status(
    study: StudyId,
    key_file: shared.KeyFile = None,
    url: shared.Url = DEFAULT_URL,
    timeout: shared.Timeout = DEFAULT_SECONDS,
    json: shared.Json = False,
) -> None:
    """Show how far a study is: its people, and the answers of each cell."""
    with shared.connected(url, key_file, timeout=timeout) as client:
        told = client.study(study)
        if json:
            _print_json(asdict(told))
        else:
            _print_status(shared.output(), told)


@app.command()
def results(
    study: StudyId,
    key_file: shared.KeyFile = None,
    url: shared.Url = DEFAULT_URL,
    timeout: shared.Timeout = 300.0,
    save: Annotated[
        Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write results.json and results.png here.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print results.json as the server has it.")] = False,
) -> None:
    """Show what people say of the model's error: the rectified beside the standard error, and how explanations matter.

    [cyan]whybox study results photos --save results[/]
    """
    with shared.connected(url, key_file, timeout=timeout) as client:
        found = client.study_results(study)
        if json:
            typer.echo(found.json, nl=False)
        else:
            shared.output().print(Text(str(found)), soft_wrap=True)
        if save is not None:
            for path in found.save(save):
                # Beside JSON, standard output must stay JSON.
                typer.echo(f"wrote {path}", err=json)


@app.command()
def invite(
    study: StudyId,
    number: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Number of people to invite.")] = 1,
    days: Annotated[float, typer.Option(min=0.01, max=365, help="Days for which the invitations let people in.")] = 14,
    key_file: shared.KeyFile = None,
    url: shared.Url = DEFAULT_URL,
    timeout: shared.Timeout = DEFAULT_SECONDS,
    save: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="FILE", help="Write the links here, readable by you alone."),
    ] = None,
    json: shared.Json = False,
) -> None:
    """Invite people: print a link for each, which expires. A link is a key to the answers of one person.

    [cyan]whybox study invite photos --number 30 --save links.txt[/]
    """
    with shared.connected(url, key_file, timeout=timeout) as client:
        invitations = client.invite(study, number, days=days)
        if save is not None:
            with os.fdopen(os.open(save, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                save.chmod(0o600)
                file.write(f"{invitations}\n")
            typer.echo(f"wrote {save}", err=json)
        if json:
            _print_json(asdict(invitations))
        elif save is None:
            typer.echo(str(invitations))


def _print_json(value: Any) -> None:
    typer.echo(json_module.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _print_list(console: Console, studies: tuple[Study, ...]) -> None:
    # The id is whole on every terminal: it is what is asked for next.
    table = Table(
        Column("study", no_wrap=True), "title", "state", "model", "pictures", "opened", box=None, pad_edge=False
    )
    for study in studies:
        state = study.state if study.kind == "main" else f"{study.state}, {study.kind}"
        cells = (study.id, study.title, state, study.model, str(study.pictures), f"{study.opened_at:%Y-%m-%d}")
        table.add_row(*map(Text, cells), style="dim" if study.state == "closed" else None)
    console.print(table)


def _print_status(console: Console, status: StudyStatus) -> None:
    console.print(Text(str(status.study)), soft_wrap=True)
    console.print(Text(f"people: {status.people}"), soft_wrap=True)
    table = Table("cell", "answers", "", Column("asked now", justify="right"), box=None, pad_edge=False)
    for cell in status.cells:
        table.add_row(
            Text(cell.name),
            Text(f"{cell.answered} of {cell.needed}"),
            ProgressBar(max(cell.needed, 1), cell.answered, _BAR_WIDTH),
            Text(str(cell.leased)),
        )
    console.print(table)
    if status.cannot_judge:
        console.print(Text(f"{status.cannot_judge} answers say that the picture cannot be judged"), soft_wrap=True)
    if status.gold_answers:
        words = f"gold: {status.gold_failures} of {status.gold_answers} wrong; {status.excluded} people excluded"
        console.print(Text(words, "yellow" if status.excluded else ""), soft_wrap=True)
    if status.full:
        console.print(Text("every item has its answers", "green"))
