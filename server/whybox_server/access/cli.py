"""The commands `whybox-server keys ...`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from whybox_server.access.keys import Key, KeyFile, KeyFileError, Scope, utc_now
from whybox_server.settings import SettingsError, read_settings

DEFAULT_FILE = Path("whybox-keys.json")
"""The file of the commands, if neither option nor setting names one."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_show_locals=False)

File = Annotated[
    Path | None, typer.Option(help=f"File of the keys. Default: WHYBOX_KEY_FILE, or {DEFAULT_FILE}.", metavar="FILE")
]


@app.callback()
def main() -> None:
    """Make and revoke the keys of callers.

    The file of keys holds their hashes alone. A server that is told of it by WHYBOX_KEY_FILE reads it again when it
    changes, so a key can be used, or is refused, at once.
    """


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Who or what holds the key, for the list.", metavar="NAME")],
    scope: Annotated[
        list[Scope],
        typer.Option(
            help="What it allows; repeatable. predict: predictions, bias flags, models and audits. analyze: these and"
            " all else about a picture. studies:read: status and results. studies:invite: invitations. metrics:"
            " /metrics. admin: everything."
        ),
    ],
    expires: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=36_500,
            help="Days after which it allows nothing. Default: it does not expire.",
            metavar="DAYS",
        ),
    ] = None,
    file: File = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept.

    [cyan]whybox-server keys add --name "Ada's notebook" --scope analyze --expires 90[/]
    """
    with _told() as err:
        now = utc_now().replace(microsecond=0)
        keys = KeyFile(_path(file))
        key, secret = keys.add(name, scope, now=now, expires=None if expires is None else now + timedelta(days=expires))
        # Alone on standard output, for other programs.
        print(secret)  # noqa: T201
        err.print(
            f"{keys.path} has the hash of {key.name!r} ({', '.join(key.scopes)}; {_expiry(key, now)}); keep the key:"
            " it is shown this once",
            markup=False,
            soft_wrap=True,
        )


@app.command("list")
def list_keys(file: File = None) -> None:
    """List the keys: names, scopes and dates."""
    with _told():
        now = utc_now()
        table = Table("name", "scopes", "made", "expires", box=None, pad_edge=False)
        for key in KeyFile(_path(file)).read():
            row = (key.name, ", ".join(key.scopes), f"{key.created:%Y-%m-%d}", _expiry(key, now))
            table.add_row(*map(Text, row), style="dim" if key.expired(now) else None)
        Console(highlight=False).print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Name of the key.", metavar="NAME")], file: File = None) -> None:
    """Revoke a key: from now on it allows nothing."""
    with _told():
        keys = KeyFile(_path(file))
        keys.revoke(name)
        Console(highlight=False).print(f"revoked {name!r} in {keys.path}", markup=False, soft_wrap=True)


def _path(file: Path | None) -> Path:
    return file or read_settings().key_file or DEFAULT_FILE


def _expiry(key: Key, now: datetime) -> str:
    if key.expires is None:
        return "never expires"
    return f"{'expired' if key.expired(now) else 'expires'} {key.expires:%Y-%m-%d}"


@contextmanager
def _told() -> Iterator[Console]:
    """Turns errors into one line and an exit status."""
    err = Console(stderr=True, highlight=False)
    try:
        yield err
    except (KeyFileError, SettingsError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
