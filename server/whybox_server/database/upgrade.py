"""The version of the tables: one Alembic history, inside the package."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from whybox_server.database.engine import describe, reading, writing
from whybox_server.database.errors import DatabaseError
from whybox_server.database.tables import Base

# Alembic tells of each look at a database as of news.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)

VERSION_TABLE = "whybox_version"
# Any number, the same in every process: upgrades of a PostgreSQL database wait for each other.
_LOCK = 0x77687962


async def upgrade(engine: AsyncEngine) -> None:
    """Makes the tables, or brings them to this version; several processes may do so at once.

    Raises:
        DatabaseError: The database cannot be reached, or is of a newer or unknown version; nothing in it is changed.
    """
    async with writing(engine) as session:
        await (await session.connection()).run_sync(_upgrade)


async def check(engine: AsyncEngine) -> None:
    """Makes sure that the tables are of this version, and changes nothing.

    Raises:
        DatabaseError: The database cannot be reached, or is of another version.
    """
    async with reading(engine) as session:
        found = await (await session.connection()).run_sync(_version)
    if found is None:
        raise DatabaseError(f"{describe(engine.url)} is empty: `whybox-server study open` opens a study in it")
    if found != (head := _history().get_current_head()):
        raise DatabaseError(
            f"{describe(engine.url)} is of version {found}, and this Whybox needs {head}:"
            " `whybox-server study serve` upgrades it"
        )


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _version(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    """The version of the tables; None without tables."""
    name = describe(connection.engine.url)
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    if not found:
        if others := sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables)):
            raise DatabaseError(
                f"{name} has tables of another program ({', '.join(others)}): give Whybox a database of its own"
            )
        return None
    history = _history()
    known = {script.revision for script in history.walk_revisions()}
    if len(found) > 1 or found[0] not in known:
        raise DatabaseError(
            f"{name} is of version {', '.join(found)}, and this Whybox knows versions up to"
            f" {history.get_current_head()}: use the Whybox that wrote it, or a newer one, or another database"
        )
    return found[0]


def _history() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    # "%" would begin a variable.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
