"""URLs of databases, and how the two kinds are spoken to."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from postgres import Postgres
from server.waiting import settle
from whybox_server.database.engine import create_engine, reading, writing
from whybox_server.database.errors import DatabaseError
from whybox_server.database.upgrade import upgrade

FOREVER = 60.0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot be read"),
        ("studies.db", "cannot be read"),
        ("postgresql://u:hunter2@host:port/name", "cannot be read"),
        ("mysql://u:hunter2@host/name", "kind 'mysql' is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite://studies.db", "needs a file"),
        ("sqlite:////nowhere/at/all.db", "the folder /nowhere/at does not exist"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        create_engine(url)
    assert message in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://whybox:hunter2@127.0.0.1:1/studies",
        "postgresql://127.0.0.1:1/studies?user=whybox&password=hunter2",
        "postgresql+asyncpg://whybox:hunter2@127.0.0.1:1/studies",
    ],
)
async def test_a_server_that_cannot_be_reached_is_named_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"PostgreSQL database studies at 127.0.0.1:1: .*refused") as refused:
        await upgrade(create_engine(url))
    assert "hunter2" not in str(refused.value)


async def test_a_wrong_password_is_not_repeated(postgres: Postgres) -> None:
    with pytest.raises(DatabaseError, match="password authentication failed") as refused:
        await upgrade(create_engine(postgres.url("postgres", "hunter2")))
    assert "hunter2" not in str(refused.value)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        await upgrade(create_engine(f"sqlite:///{path}"))
    assert path.read_bytes() == b"not a database" * 100


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    engine = create_engine(f"sqlite:///{path}")
    await upgrade(engine)
    await engine.dispose()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"U" * (len(whole) - 4096))
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(DatabaseError, match="malformed; the file is damaged; bring back a copy"):
        await upgrade(engine)
    await engine.dispose()


async def test_a_file_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    # A folder is no file, for root as well.
    engine = create_engine(f"sqlite:///{tmp_path}")
    with pytest.raises(DatabaseError, match="unable to open database file; make sure that the file and its folder"):
        await upgrade(engine)
    await engine.dispose()
    assert threading.active_count() == before


async def test_how_sqlite_is_set(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'studies.db'}")
    found = {}
    async with reading(engine) as session:
        for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete"):
            found[pragma] = await session.scalar(text(f"PRAGMA {pragma}"))
    await engine.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 60_000,
        "secure_delete": 1,
    }


async def test_what_fails_is_undone(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with writing(engine) as session:
            await session.execute(text("CREATE TABLE pets (name TEXT)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    with pytest.raises(DatabaseError, match="pets"):
        async with reading(engine) as session:
            await session.execute(text("SELECT * FROM pets"))


async def test_a_writer_waits_for_the_writer_of_another_process(tmp_path: Path) -> None:
    """The lock is taken before anything is read, so what was read is still true when it is written."""
    path = tmp_path / "studies.db"
    engine = create_engine(f"sqlite:///{path}")
    async with writing(engine) as session:
        await session.execute(text("CREATE TABLE counts (number INTEGER)"))
        await session.execute(text("INSERT INTO counts VALUES (0)"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def add() -> None:
        async with writing(engine) as session:
            number = await session.scalar(text("SELECT number FROM counts"))
            await session.execute(text("UPDATE counts SET number = :number"), {"number": number + 1})

    waiting = asyncio.create_task(add())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    other.execute("UPDATE counts SET number = 10")
    other.execute("COMMIT")
    other.close()
    await waiting
    async with reading(engine) as session:
        assert await session.scalar(text("SELECT number FROM counts")) == 11
    await engine.dispose()


async def test_writers_who_wait_for_each_other_leave_connections_to_readers(
    postgres: Postgres, postgres_template: str
) -> None:
    url = postgres.fresh("test", template=postgres_template)
    engine, other = create_engine(url), create_engine(url)
    lock = text("LOCK TABLE studies IN EXCLUSIVE MODE")

    async def write() -> None:
        async with writing(engine) as session:
            await session.execute(lock)

    async with asyncio.timeout(FOREVER):
        async with writing(other) as holder:
            await holder.execute(lock)
            writers = [asyncio.create_task(write()) for _ in range(30)]
            await settle()
            async with reading(engine) as session:
                assert await session.scalar(text("SELECT count(*) FROM studies")) == 0
            assert not any(writer.done() for writer in writers)
        await asyncio.gather(*writers)
    await engine.dispose()
    await other.dispose()


async def test_a_writer_whose_turn_does_not_come_is_told(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def hold() -> None:
        async with writing(engine):
            await go.wait()

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await settle()
    monkeypatch.setattr("whybox_server.database.engine._PATIENCE", 0)
    with pytest.raises(DatabaseError, match="too many people answer at once"):
        async with writing(engine):
            pass
    go.set()
    await asyncio.gather(*holders)
    async with writing(engine) as session:
        assert await session.scalar(text("SELECT count(*) FROM studies")) == 0
