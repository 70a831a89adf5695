"""`whybox audits`: what audits found about the served models."""

import json as json_module
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from whybox._commands import shared
from whybox._commands.report import styled
from whybox._words.bias import report_lines, states_words
from whybox.client import DEFAULT_SECONDS, DEFAULT_URL, Client
from whybox.results import Audit, AuditReport

EXAMPLES = """\
[bold]Examples[/bold]

whybox audits

whybox audits efficientnet-lite0

whybox audits efficientnet-lite0 8927a01510231f4f --save audit

whybox audits efficientnet-lite0 8927a01510231f4f --html audit.html

whybox audits efficientnet-lite0 8927a01510231f4f --json | jq '.flags[] | select(.state == "flagged") | .message'
"""


def audits(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Model whose audits are listed; default: all models.")
    ] = None,
    audit: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Audit to show with all its flags; default: list the audits."),
    ] = None,
    url: shared.Url = DEFAULT_URL,
    key_file: shared.KeyFile = None,
    timeout: shared.Timeout = DEFAULT_SECONDS,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write audit.json and audit.html of the audit ID into this folder."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page of the audit ID, which a browser shows, here.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the list, or audit.json of the audit ID as the server has it.")
    ] = False,
) -> None:
    """Show what audits found about the served models: for whom they fail.

    An audit measures a data set once, asks for every attribute whether pictures with it are easier to attack or more
    often wrong, and is packed with the model (whybox-server audit, whybox-server pack --bank). The list shows what was
    audited, the number of flags by state, and the flagged findings in sentences; with an ID all findings are shown.
    None of the states means "unbiased". Findings are stale if the served weights or preprocessing are not those that
    were audited.
    """
    if audit is None and (save is not None or html is not None):
        raise typer.BadParameter("name a model and an audit whose files are written.", param_hint="--save, --html")
    with shared.connected(url, key_file, model=model, timeout=timeout) as client:
        if audit is not None:
            report = client.audit(audit, page=save is not None or html is not None)
            if json:
                typer.echo(report.json, nl=False)
            else:
                _print_report(shared.output(), report)
            for path in _written(report, save, html):
                # Beside JSON, standard output must stay JSON.
                typer.echo(f"wrote {path}", err=json)
            return
        names = [served.name for served in client.models()] if model is None else [model]
        listed = {name: client.audits(name) for name in names}
        if json:
            entries = {name: [asdict(each) for each in found] for name, found in listed.items()}
            typer.echo(json_module.dumps(entries, indent=2))
        else:
            _print_list(shared.output(), client, listed)


def _print_list(console: Console, client: Client, listed: Mapping[str, tuple[Audit, ...]]) -> None:
    """A table of the audits, then the flagged findings of each in sentences."""
    if not any(listed.values()):
        console.print(
            f"no audit is packed with {', '.join(listed)}; pack one with: whybox-server pack SPEC --bank AUDIT",
            soft_wrap=True,
        )
        return
    # The id is whole on every terminal: it is what is asked for next.
    names = (Column(name, no_wrap=True) for name in ("model", "audit"))
    table = Table(*names, "data set", "pictures", "flags", box=None, pad_edge=False)
    for name, audits_of_model in listed.items():
        for audit in audits_of_model:
            cells = (name, audit.id, audit.data_set, str(audit.pictures), states_words(audit.flags))
            table.add_row(*map(Text, cells), style="yellow" if audit.differences else None)
    console.print(table)
    for name, audits_of_model in listed.items():
        for audit in audits_of_model:
            console.print()
            console.print(Text(name, "bold"))
            for line in report_lines(client.audit(audit.id, name, page=False), flagged_alone=True):
                console.print(styled(line))


def _print_report(console: Console, report: AuditReport) -> None:
    for line in report_lines(report):
        console.print(styled(line))


def _written(report: AuditReport, save: Path | None, html: Path | None) -> Iterator[Path]:
    """Writes the files that were asked for, and yields their paths."""
    if save is not None:
        yield from report.save(save)
    if html is not None and report.html is not None:
        html.write_bytes(report.html.encode())
        yield html
