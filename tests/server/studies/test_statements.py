"""How much a page asks of the database: transactions, statements, and rows that an index finds."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.studies.conftest import Open
from server.studies.people import person
from studying import protocol
from whybox_server.database.engine import reading
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import Question
from whybox_server.studies.store import StudyStore

Statement = tuple[str, Any]


@contextmanager
def statements(engine: AsyncEngine) -> Iterator[list[Statement]]:
    """What the database is asked meanwhile; "COMMIT" at the end of each transaction."""
    found: list[Statement] = []

    def asked(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if not statement.startswith("BEGIN"):
            found.append((statement, parameters))

    def committed(_: object) -> None:
        found.append(("COMMIT", ()))

    event.listen(engine.sync_engine, "before_cursor_execute", asked)
    event.listen(engine.sync_engine, "commit", committed)
    yield found
    event.remove(engine.sync_engine, "before_cursor_execute", asked)
    event.remove(engine.sync_engine, "commit", committed)


async def _walk(store: StudyStore, opened: Open) -> tuple[str, Question]:
    """A person in the midst of a study."""
    await opened(protocol(8))
    name = (await person(store)).id
    for key in "ab":
        question = await store.question(name)
        assert isinstance(question, Question)
        await store.answer(name, question.picture_id, Answer.YES, milliseconds=1, key=key)
    question = await store.question(name)
    assert isinstance(question, Question)
    return name, question


async def _reload(store: StudyStore, name: str, question: Question) -> None:
    assert await store.question(name) == question


async def _answer(store: StudyStore, name: str, question: Question) -> None:
    await store.answer(name, question.picture_id, Answer.NO, milliseconds=1, key="c", goes_on=True)


@pytest.mark.parametrize(
    ("call", "most", "writes"), [(_reload, 2, False), (_answer, 10, True)], ids=["reload", "answer"]
)
async def test_a_page_is_one_transaction(
    store: StudyStore,
    opened: Open,
    engine: AsyncEngine,
    call: Callable[[StudyStore, str, Question], Awaitable[None]],
    most: int,
    writes: bool,
) -> None:
    name, question = await _walk(store, opened)
    with statements(engine) as found:
        await call(store, name, question)
    words = [statement.split(maxsplit=1)[0] for statement, _ in found]
    assert words.count("COMMIT") == 1
    assert len(words) - 1 <= most
    assert bool({"INSERT", "UPDATE"} & set(words)) == writes
    assert not any("protocol" in statement for statement, _ in found)


async def test_every_row_is_found_by_an_index(store: StudyStore, opened: Open, engine: AsyncEngine) -> None:
    """No statement of a page reads a table from end to end, as SQLite plans it."""
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads small tables from end to end, because that is faster")
    name, question = await _walk(store, opened)
    with statements(engine) as found:
        await _answer(store, name, question)
        await store.undo(name)
        await store.pause(name)
        await store.question(name)
    plans = []
    async with reading(engine) as session:
        connection = await session.connection()
        for statement, parameters in found:
            if statement.startswith(("SELECT", "UPDATE")):
                rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [str(row[-1]) for row in rows.all()]
        assert await session.scalar(text("SELECT count(*) FROM assignments"))
    assert any("USING COVERING INDEX ix_items_study_id_cell_taken" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
