"""The commands around a study that people answer: open, invite, status, close, forget, list."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console

from whybox_server.studies.commands.common import Database, StudyFolder, StudyId, told, with_store
from whybox_server.studies.errors import AnnotatorNotFoundError, StudyError
from whybox_server.studies.state import Kind, Status


def _out() -> Console:
    return Console(highlight=False)


def _err() -> Console:
    return Console(stderr=True, highlight=False)


def open_study(
    folder: StudyFolder,
    pilot: Annotated[
        bool, typer.Option("--pilot", help="Open a pilot, a study of its own whose answers never count.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Open a preview, to look at the pages; its answers never count.")
    ] = False,
    database: Database = None,
) -> None:
    """Open a study: freeze its protocol, and take answers from now on.

    Every file that people see is compared with its digest. From now on protocol and files must stay as they are: the
    server refuses a study whose folder has changed.

    [cyan]whybox-server study open study-photos/[/]
    """
    from whybox_server.studies.creation.folder import read_protocol

    with told(_err()):
        if pilot and preview:
            raise StudyError("--pilot and --preview exclude each other")
        kind: Kind = "pilot" if pilot else "preview" if preview else "main"
        protocol = read_protocol(folder)
        study = with_store(database, lambda store: store.open(protocol, folder.absolute(), kind), begins=True)
        _out().print(f"opened {study.id}, protocol {study.digest}", markup=False, soft_wrap=True)


def invite(
    study: StudyId,
    number: Annotated[int, typer.Option(min=1, max=10_000, help="Number of people to invite.", metavar="N")] = 1,
    days: Annotated[float, typer.Option(min=0.01, max=365, help="Days for which the invitations let people in.")] = 14,
    url: Annotated[
        str, typer.Option(help="Address under which people reach the pages.", metavar="URL")
    ] = "http://127.0.0.1:8000",
    database: Database = None,
) -> None:
    """Invite people: print a link for each, which is signed and expires.

    A link is a key to the answers of one person. Give each person another one.

    [cyan]whybox-server study invite photos --number 30 --url https://studies.example.org[/]
    """
    with told(_err()):
        tokens = with_store(database, lambda store: store.invite(study, number, timedelta(days=days)))
        for token in tokens:
            link = f"{url.rstrip('/')}/studies/{quote(study)}?invitation={quote(token, safe='')}"
            # Plain lines, for other programs.
            print(link)  # noqa: T201


def status(study: StudyId, database: Database = None) -> None:
    """Show how far a study is: its people, and the answers of each cell."""
    with told(_err()):
        found = with_store(database, lambda store: store.status(study))
        for line in _lines(found):
            _out().print(line, markup=False, soft_wrap=True)


def close(
    study: StudyId,
    reason: Annotated[str, typer.Option(help="Why the study ends; results tell it.", metavar="TEXT")],
    database: Database = None,
) -> None:
    """Close a study: it takes no more answers, and the reason is kept.

    [cyan]whybox-server study close photos --reason 'all cells are full'[/]
    """
    with told(_err()):
        with_store(database, lambda store: store.close(study, reason))
        _out().print(f"closed {study}", markup=False, soft_wrap=True)


def forget(
    annotator: Annotated[
        str, typer.Argument(help="The person's random name, as in an export of the votes.", metavar="ANNOTATOR")
    ],
    database: Database = None,
) -> None:
    """Delete a person's data: all answers and everything else that is stored about the person.

    The cells that the person answered open again, if their study is open.
    """
    with told(_err()):
        try:
            with_store(database, lambda store: store.withdraw(annotator))
        except AnnotatorNotFoundError:
            remedy = "give the name as whybox-server study export writes it"
            raise StudyError(f"nothing is stored about annotator {annotator}; {remedy}") from None
        _out().print(f"deleted all data of {annotator}", markup=False, soft_wrap=True)


def list_studies(database: Database = None) -> None:
    """List the studies of a database, the newest first."""
    with told(_err()):
        studies = with_store(database, lambda store: store.studies())
        for study in studies:
            state = study.state + (f" ({study.close_reason})" if study.close_reason else "")
            line = f"{study.id}: {state}, opened {study.opened_at:%Y-%m-%d %H:%M} UTC, {study.folder}"
            _out().print(line, markup=False, soft_wrap=True)
        if not studies:
            _out().print("no study is open; whybox-server study open FOLDER opens one")


def _lines(found: Status) -> list[str]:
    state = found.state + (f" ({found.close_reason})" if found.close_reason else "")
    people = ", ".join(f"{number} {name}" for name, number in found.annotators.items() if number) or "none"
    lines = [
        f"{found.study_id}: {state}{', every cell is full' if found.full else ''}",
        f"annotators: {people}",
        f"answers: {found.answers}, {found.cannot_judge} of them “cannot judge”",
    ]
    if found.gold_answers:
        excluded = f"; {found.excluded} annotators are excluded" if found.excluded else ""
        lines.append(f"gold: {found.gold_failures} of {found.gold_answers} answers wrong{excluded}")
    width = max(map(len, found.cells), default=0)
    lines += [
        f"{name:{width}}  {cell.answered}/{cell.needed}" + (f", {cell.leased} being answered" if cell.leased else "")
        for name, cell in found.cells.items()
    ]
    return lines
