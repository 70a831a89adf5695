"""The commands about what audits found: `audit compare` and `audit note`."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from whybox_server.audits.commands.common import explained


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
