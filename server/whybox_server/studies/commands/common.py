"""What the commands of studies share."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from whybox_server.audits.commands.common import explained
from whybox_server.settings import read_settings
from whybox_server.studies.errors import StudyError
from whybox_server.validation.checks import printable

if TYPE_CHECKING:
    from whybox_server.studies.store import StudyStore

DATABASE = "sqlite:///whybox-studies.db"
"""The database of the commands, if neither option nor setting names one."""

_T = TypeVar("_T")

Database = Annotated[
    str | None,
    typer.Option(
        help="Database that keeps the answers: sqlite:///FILE or postgresql://USER@HOST/NAME. Default: WHYBOX_DATABASE,"
        " or sqlite:///whybox-studies.db.",
        metavar="URL",
    ),
]
StudyId = Annotated[
    str, typer.Argument(help="Name of the study; whybox-server study list shows them.", metavar="STUDY")
]
StudyFolder = Annotated[Path, typer.Argument(help="Folder that whybox-server study create wrote.", metavar="FOLDER")]


@contextmanager
def told(err: Console, *, fresh: bool = False, kept: str = "nothing is lost") -> Generator[None]:
    """Turns the errors of a study into one line and an exit status.

    Args:
        err: Console for the line.
        fresh: Whether --fresh was given.
        kept: What the same command finds done after an interrupt.
    """
    from whybox_server.database.errors import DatabaseError

    try:
        with explained(err, fresh=fresh, kept=kept):
            yield
    except (StudyError, DatabaseError) as error:
        err.print(f"error: {printable(str(error))}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def with_store(database: str | None, work: Callable[["StudyStore"], Awaitable[_T]], *, begins: bool = False) -> _T:
    """What `work` returns for the studies of a database.

    Args:
        database: URL; None for the setting, or for `DATABASE` without one.
        work: What is done.
        begins: Whether the tables are made, or brought to this version; otherwise they must be there.

    Raises:
        DatabaseError: The database cannot be reached, or is of another version.
        SettingsError: The setting is wrong.
        StudyError: As of `work`.
    """
    # Imported here: `study create` needs no database.
    from whybox_server.database.engine import create_engine, describe
    from whybox_server.database.upgrade import check, upgrade
    from whybox_server.studies.store import StudyStore

    engine = create_engine(read_settings(database=database).database or DATABASE)
    # SQLite would make the file, and then say that it is empty.
    if not begins and engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        raise StudyError(f"{describe(engine.url)} does not exist; open a study first, or give another --database")

    async def run() -> _T:
        try:
            await (upgrade if begins else check)(engine)
            return await work(StudyStore(engine))
        finally:
            await engine.dispose()

    return asyncio.run(run())
