"""The history of the tables."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from whybox_server.database.engine import create_engine, reading, writing
from whybox_server.database.errors import DatabaseError
from whybox_server.database.tables import Base
from whybox_server.database.upgrade import VERSION_TABLE, check, upgrade


async def test_the_history_leads_to_the_tables(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return list(compare_metadata(context, Base.metadata))

    async with reading(engine) as session:
        assert await (await session.connection()).run_sync(differences) == []


async def test_constraints_are_those_of_the_tables(engine: AsyncEngine) -> None:
    """Alembic compares no checks."""

    def checks(connection: Connection) -> set[str | None]:
        return {
            check["name"]
            for table in Base.metadata.tables
            for check in inspect(connection).get_check_constraints(table)
        }

    async with reading(engine) as session:
        found = await (await session.connection()).run_sync(checks)
    assert found == {
        "ck_studies_state",
        "ck_annotators_state",
        "ck_items_taken",
        "ck_items_unjudged",
        "ck_assignments_item",
        "ck_assignments_answer",
        "ck_assignments_state",
        "ck_operations_answer",
        "ck_operations_error",
        "ck_operations_state",
    }


async def test_a_second_upgrade_changes_nothing(engine: AsyncEngine) -> None:
    await upgrade(engine)
    await check(engine)


async def test_several_may_upgrade_at_once(empty_url: str) -> None:
    engines = [create_engine(empty_url) for _ in range(5)]
    await asyncio.gather(*map(upgrade, engines))
    await check(engines[0])
    for engine in engines:
        await engine.dispose()


async def test_a_database_without_tables_is_not_of_this_version(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with pytest.raises(DatabaseError, match="is empty: `whybox-server study open` opens"):
        await check(engine)
    await engine.dispose()


@pytest.mark.parametrize("use", [upgrade, check])
async def test_a_database_of_a_newer_version_stays_as_it_is(engine: AsyncEngine, use: object) -> None:
    async with writing(engine) as session:
        await session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        await session.execute(text("ALTER TABLE studies ADD COLUMN colour TEXT"))
    with pytest.raises(DatabaseError, match="is of version 9999, and this Whybox knows versions up to 0002: use the"):
        await use(engine)  # type: ignore[operator]
    async with reading(engine) as session:
        assert await session.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"
        await session.execute(text("SELECT colour FROM studies"))


async def test_a_database_of_another_program_stays_as_it_is(empty_url: str) -> None:
    engine = create_engine(empty_url)
    async with writing(engine) as session:
        await session.execute(text("CREATE TABLE studies (title TEXT)"))
        await session.execute(text("INSERT INTO studies VALUES ('theirs')"))
    with pytest.raises(
        DatabaseError, match=r"tables of another program \(studies\): give Whybox a database of its own"
    ):
        await upgrade(engine)
    async with reading(engine) as session:
        assert await session.scalar(text("SELECT title FROM studies")) == "theirs"
    await engine.dispose()


def test_the_history_is_in_the_wheel(tmp_path: Path) -> None:
    """As an installed package finds it: the folder of migrations lies beside the code, also under an odd name."""
    room = Path(__file__).parents[3] / "server" / "whybox_server"
    installed = tmp_path / "100% odd" / "whybox_server"
    for path in (*room.glob("*.py"), *(room / "database").rglob("*.py")):
        copy = installed / path.relative_to(room)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    code = (
        "import asyncio, whybox_server.database.upgrade as it; from whybox_server.database.engine import create_engine;"
        f"engine = create_engine('sqlite:///{tmp_path}/studies.db');"
        "asyncio.run(it.upgrade(engine)); print(it.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(installed.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(installed))
