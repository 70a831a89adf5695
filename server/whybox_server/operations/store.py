"""Operations in the database."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from whybox_server.database.engine import reading, writing
from whybox_server.database.tables import OperationRow

UNFINISHED = ("waiting", "running")
"""The states of an operation that has not ended."""

_Row = OperationRow

P = ParamSpec("P")
T = TypeVar("T")


def _whole(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A method that ends its transaction even if its caller is cancelled: one that is cut off locks SQLite."""

    @functools.wraps(method)
    async def done(*args: P.args, **kwargs: P.kwargs) -> T:
        work = asyncio.create_task(method(*args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.gather(work, return_exceptions=True)
            raise

    return done


class OperationStore:
    """The table of operations. Each method is one transaction, and raises DatabaseError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @_whole
    async def add(self, row: OperationRow, most: int) -> bool:
        """Stores an operation, unless its caller has `most` already; whether it did."""
        async with writing(self._engine) as session:
            mine = select(func.count()).select_from(_Row).where(_of(row.caller, row.created_at))
            if (await session.scalar(mine) or 0) >= most:
                return False
            session.add(row)
            return True

    @_whole
    async def get(self, name: str, caller: str, now: datetime) -> OperationRow | None:
        """An operation of a caller; None if there is none, or no longer."""
        async with reading(self._engine) as session:
            return await session.scalar(select(_Row).where(_of(caller, now), _Row.id == name))

    @_whole
    async def answer(self, name: str) -> bytes | None:
        """The answer of an operation; None if there is none."""
        async with reading(self._engine) as session:
            return await session.scalar(select(_Row.answer).where(_Row.id == name))

    @_whole
    async def page(
        self, caller: str, now: datetime, after: tuple[datetime, str] | None, size: int
    ) -> list[OperationRow]:
        """The operations of a caller, the oldest first, at most `size` of them, from the one that follows `after`."""
        query = select(_Row).where(_of(caller, now)).order_by(_Row.created_at, _Row.id).limit(size)
        if after is not None:
            created, name = after
            later = (_Row.created_at > created) | ((_Row.created_at == created) & (_Row.id > name))
            query = query.where(later)
        async with reading(self._engine) as session:
            return list(await session.scalars(query))

    @_whole
    async def begin(self, name: str) -> bool:
        """Notes that a waiting operation runs; whether it still waits."""
        change = update(_Row).where(_Row.id == name, _Row.state == "waiting")
        async with writing(self._engine) as session:
            done = await session.execute(change.values(state="running", runs=_Row.runs + 1).returning(_Row.id))
            return done.first() is not None

    @_whole
    async def end(
        self, name: str, state: str, *, at: datetime, until: datetime, error: bytes | None, answer: bytes | None
    ) -> bool:
        """Notes how an operation ended; whether it had not ended before.

        Args:
            name: Its id.
            state: "succeeded", "failed" or "cancelled".
            at: When it ended.
            until: When it is forgotten.
            error: Of one that did not succeed.
            answer: Of one that did.
        """
        change = update(_Row).where(_Row.id == name, _Row.state.in_(UNFINISHED))
        values = {"state": state, "ended_at": at, "expires_at": until, "error": error, "answer": answer}
        async with writing(self._engine) as session:
            return (await session.execute(change.values(values).returning(_Row.id))).first() is not None

    @_whole
    async def delete(self, name: str, caller: str, now: datetime) -> bool:
        """Forgets an operation of a caller; whether there was one."""
        async with writing(self._engine) as session:
            gone = await session.execute(delete(_Row).where(_of(caller, now), _Row.id == name).returning(_Row.id))
            return gone.first() is not None

    @_whole
    async def expire(self, now: datetime) -> Sequence[str]:
        """Forgets what is kept no longer; the ids."""
        async with writing(self._engine) as session:
            return list(await session.scalars(delete(_Row).where(_Row.expires_at <= now).returning(_Row.id)))

    @_whole
    async def interrupted(self, server: str) -> Sequence[OperationRow]:
        """The unfinished operations of a server that has just started, the oldest first; none of them runs any more."""
        mine = (_Row.server == server, _Row.state.in_(UNFINISHED))
        async with writing(self._engine) as session:
            await session.execute(update(_Row).where(*mine).values(state="waiting"))
            return list(await session.scalars(select(_Row).where(*mine).order_by(_Row.created_at, _Row.id)))


def _of(caller: str, now: datetime) -> ColumnElement[bool]:
    return (_Row.caller == caller) & (_Row.expires_at > now)
