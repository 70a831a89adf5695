"""The connection to SQLite or PostgreSQL, and the transactions on it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from whybox_server.database.errors import DatabaseError

_EXPECTED = "give sqlite:///folder/file.db or postgresql://user:password@host:5432/name"
# Seconds that a process waits for the writers before it.
_PATIENCE = 60
_OVERLOADED = f"no connection was free for {_PATIENCE} s; too many people answer at once"
# Tasks of a process that write at once: one works, and the next waits for its locks in the database already. The others
# leave the connections to those who read.
_WRITERS = 2
# Seconds in which a server must answer.
_CONNECT = 10
# What to do about a fault of SQLite, by its primary result code.
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program writes to it; end that, or wait until it is done",
    sqlite3.SQLITE_CANTOPEN: "make sure that the file and its folder may be read and written",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; bring back a copy",
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "check the disk, and the room on it",
    sqlite3.SQLITE_NOTADB: "name the file of a database, or one that does not exist yet",
    sqlite3.SQLITE_READONLY: "make sure that the file and its folder may be written",
}


def create_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite:///path` or `postgresql://user:password@host:port/name`; nothing is connected yet.

    Raises:
        DatabaseError: The URL is of neither kind.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        # The URL may hold a password anywhere, so it is not repeated.
        raise DatabaseError(f"the URL of the database cannot be read: {_EXPECTED}") from None
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend in ("postgresql", "postgres"):
        return _postgresql(parsed)
    raise DatabaseError(f"a database of the kind {backend!r} is not supported: {_EXPECTED}")


def _sqlite(url: URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:" or url.host:
        raise DatabaseError(
            "an SQLite database needs a file: give sqlite:///folder/file.db, or sqlite:////folder/file.db"
        )
    if not Path(url.database).parent.is_dir():
        raise DatabaseError(f"{describe(url)}: the folder {Path(url.database).parent} does not exist; make it first")
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        # One connection for each process: tasks take turns at it in the order in which they come, and never find the
        # file locked by each other. Other processes are waited for by SQLite itself.
        pool_size=1,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        connect_args={"timeout": _PATIENCE},
    )

    def connecting(*_: object) -> None:
        # If a file cannot be opened, aiosqlite leaves a thread behind that fails once the loop has ended.
        sqlite3.connect(str(url.database)).close()

    def connected(connection: Any, _: object) -> None:
        # SQLAlchemy begins transactions, not the driver, which would begin them too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail if another process wrote in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "do_connect", connecting)
    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
    return engine


def _postgresql(url: URL) -> AsyncEngine:
    return create_async_engine(
        url.set(drivername="postgresql+psycopg"),
        # A server that was started again is found again.
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        connect_args={"connect_timeout": _CONNECT},
    )


def describe(url: URL) -> str:
    """The database in words: without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite database {url.database}"
    return f"PostgreSQL database {url.database or '?'} at {url.host or 'the local socket'}:{url.port or 5432}"


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A transaction that may write. It is committed at the end, and undone by an exception.

    Raises:
        DatabaseError: The database cannot be reached or written.
    """
    async with _turn(engine), _transaction(engine, writes=True) as session:
        yield session


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A transaction that reads one state of the database.

    Raises:
        DatabaseError: The database cannot be reached or read.
    """
    async with _transaction(engine, writes=False) as session:
        yield session


_turns: WeakKeyDictionary[Engine, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def _turn(engine: AsyncEngine) -> AsyncIterator[None]:
    """One of the turns of those who write, in the order in which they came."""
    turns = _turns.setdefault(engine.sync_engine, asyncio.Semaphore(_WRITERS))
    try:
        async with asyncio.timeout(_PATIENCE):
            await turns.acquire()
    except TimeoutError:
        raise DatabaseError(f"{describe(engine.url)}: {_OVERLOADED}") from None
    try:
        yield
    finally:
        turns.release()


@asynccontextmanager
async def _transaction(engine: AsyncEngine, *, writes: bool) -> AsyncIterator[AsyncSession]:
    options: dict[str, Any] = {"writes": writes}
    if engine.dialect.name == "postgresql" and not writes:
        options["isolation_level"] = "REPEATABLE READ"
    try:
        async with (
            AsyncSession(engine.execution_options(**options), expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
    except IntegrityError:
        # A mistake of this code, and no fault of the database.
        raise
    except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
        raise DatabaseError(f"{describe(engine.url)}: {_reason(error, engine.url)}") from None


def _reason(error: Exception, url: URL) -> str:
    """What the driver says, in one line, without the password."""
    if isinstance(error, PoolTimeoutError):
        return _OVERLOADED
    cause = error.orig if isinstance(error, DBAPIError) else error
    words = " ".join(str(cause).split())
    if isinstance(cause, sqlite3.Error):
        remedy = _REMEDIES.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, "check that the file is whole")
        return f"{words}; {remedy}"
    for secret in (url.password, *(value for name, value in url.query.items() if "pass" in name)):
        if secret:
            words = words.replace(str(secret), "***")
    return f"{words}; check that it runs, and that the URL is right"
