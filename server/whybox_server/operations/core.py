"""Operations: begun, run, waited for, cancelled, deleted and, after a restart, begun again."""

import asyncio
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.longrunning.operations_proto_pb2 import ListOperationsResponse, Operation
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox.v1.errors import (
    CancelledError,
    InvalidRequestError,
    NotFoundError,
    QuotaExceededError,
    UnavailableError,
    as_whybox_error,
    error_from_status,
)
from whybox_server.access.checking import Caller
from whybox_server.access.keys import utc_now
from whybox_server.database.errors import DatabaseError
from whybox_server.database.tables import OperationRow
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.parts import PARTS
from whybox_server.monitoring.readiness import SERVER_STOPPING
from whybox_server.operations.requests import Requests, new_id
from whybox_server.operations.store import UNFINISHED, OperationStore
from whybox_server.validation.checks import quoted

_log = logging.getLogger(__name__)

MAX_RESULT_BYTES = 64_000_000
"""Largest result that is kept."""

MAX_PAGE = 100
"""Operations in one list, at most."""

_PREFIX = "operations/"
# An operation that did not end by then, because its server is gone, is forgotten.
_FORGOTTEN = timedelta(days=7)
# How often an operation may begin.
_RUNS = 2
# Between two looks for results that are kept no longer.
_EXPIRY_SECONDS = 60.0
# Between two looks at an operation of another server, and before the database is asked again after a fault.
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """What operations may take.

    Attributes:
        hours: For which a result is kept.
        timeout: Seconds that an operation may run.
        running: Number that runs at once.
        stored: Number that a caller may have, those that ended included.
    """

    hours: float
    timeout: float
    running: int
    stored: int


class Operations:
    """The operations of a server.

    Args:
        store: Where they are kept.
        requests: Where their requests are kept until they end.
        gateway: What answers.
        limits: What they may take.
        clock: Tells the time in UTC.
    """

    def __init__(
        self,
        store: OperationStore,
        requests: Requests,
        gateway: Gateway,
        limits: Limits,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._requests = requests
        self._gateway = gateway
        self._limits = limits
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(limits.running)
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begins what was left unfinished again; at the end, leaves what is unfinished to the next start.

        Raises:
            DatabaseError: The database cannot be used.
        """
        await self._resume()
        expiry = asyncio.create_task(self._expire())
        try:
            yield
        finally:
            expiry.cancel()
            await asyncio.gather(expiry, return_exceptions=True)
            await self.stop()

    async def stop(self) -> None:
        """Ends all work without a trace in the database, and wakes those who wait."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, request: v1.AnalyzeRequest, *, request_id: str, caller: Caller) -> Operation:
        """Begins an operation; see `validation.operations.Start`.

        Raises:
            QuotaExceededError: The caller has as many as it may have.
            UnavailableError: The server is stopping, or cannot keep it.
            WhyboxError: The request is wrong.
        """
        if self._stopping:
            raise _stopping()
        model = self._gateway.check(request)
        # It keeps its meaning if the server is started with another version meanwhile.
        request.version = model.version
        now = self._clock()
        row = OperationRow(
            id=new_id(),
            caller=caller.key,
            server=self._requests.server,
            state="waiting",
            model=model.name,
            version=model.version,
            request_id=request_id,
            runs=0,
            created_at=now,
            ended_at=None,
            expires_at=now + _FORGOTTEN,
            error=None,
        )
        try:
            await self._requests.keep(row.id, request)
        except OSError as error:
            _log.error("the request of an operation cannot be kept: %s", error)
            message = "the server cannot keep the picture; its log says why"
            raise UnavailableError(message, reason="OPERATION_NOT_KEPT") from None
        try:
            with _database():
                stored = await self._store.add(row, self._limits.stored)
            if not stored:
                raise QuotaExceededError(
                    f"you have {self._limits.stored} operations, as many as this server keeps for a caller; delete"
                    " those that you no longer need"
                )
        except BaseException:
            self._requests.forget(row.id)
            raise
        self._launch(row)
        return _shown(row)

    async def get(self, name: str, caller: Caller, max_bytes: float) -> Operation:
        """How far an operation is, with its result.

        Args:
            name: "operations/ID".
            caller: Who asks.
            max_bytes: The largest message that the caller takes.

        Raises:
            NotFoundError: The caller has no such operation.
            InvalidRequestError: The result is larger than the caller takes.
        """
        return await self._with_result(await self._row(name, caller), max_bytes)

    async def wait(self, name: str, caller: Caller, seconds: float, max_bytes: float) -> Operation:
        """As `get`, once the operation has ended, or after `seconds`.

        Raises:
            UnavailableError: The server is stopping.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            row = await self._row(name, caller)
            left = end - loop.time()
            if row.state not in UNFINISHED or left <= 0:
                return await self._with_result(row, max_bytes)
            if self._stopping:
                raise _stopping()
            task = self._tasks.get(row.id)
            # An operation of another server has no task here.
            await (asyncio.sleep(min(left, _POLL_SECONDS)) if task is None else asyncio.wait([task], timeout=left))

    async def listed(self, caller: Caller, size: int, token: str) -> ListOperationsResponse:
        """The operations of a caller without their results, the oldest first.

        Args:
            caller: Who asks.
            size: Number of them, at most; 0 for `MAX_PAGE`.
            token: `next_page_token` of the page before; empty for the first.

        Raises:
            InvalidRequestError: The token is none of this server's, or the size is below 0.
        """
        if size < 0:
            raise InvalidRequestError(f"page_size is {size}; it must be at least 0", field="page_size")
        size = min(size or MAX_PAGE, MAX_PAGE)
        with _database():
            rows = await self._store.page(caller.key, self._clock(), _place(token), size + 1)
        page = rows[:size]
        answer = ListOperationsResponse(operations=map(_shown, page))
        if len(rows) > size:
            answer.next_page_token = _token(page[-1])
        return answer

    async def cancel(self, name: str, caller: Caller) -> None:
        """Ends an operation, whose error is CANCELLED from now on; one that has ended stays as it is.

        Raises:
            NotFoundError: The caller has no such operation.
        """
        row = await self._row(name, caller)
        if row.state in UNFINISHED:
            with _database():
                await self._end(row.id, CancelledError("the operation was cancelled").to_status())
            await self._drop(row.id)

    async def delete(self, name: str, caller: Caller) -> None:
        """Forgets an operation and its result; one that has not ended is ended.

        Raises:
            NotFoundError: The caller has no such operation.
        """
        row = await self._row(name, caller)
        with _database():
            await self._store.delete(row.id, caller.key, self._clock())
        await self._drop(row.id)

    async def _row(self, name: str, caller: Caller) -> OperationRow:
        with _database():
            row = await self._store.get(name.removeprefix(_PREFIX), caller.key, self._clock())
        if row is None or not name.startswith(_PREFIX):
            raise NotFoundError(
                f"there is no operation {quoted(name)} of yours here; results are kept for"
                f" {self._limits.hours:g} hours",
                reason="UNKNOWN_OPERATION",
                field="name",
            )
        return row

    async def _with_result(self, row: OperationRow, max_bytes: float) -> Operation:
        operation = _shown(row)
        if row.state == "succeeded":
            with _database():
                answer = await self._store.answer(row.id)
            if answer is None:
                raise NotFoundError("the operation was deleted meanwhile", reason="UNKNOWN_OPERATION", field="name")
            operation.response.type_url = f"type.googleapis.com/{v1.AnalyzeResponse.DESCRIPTOR.full_name}"
            operation.response.value = answer
            if (size := operation.ByteSize()) > max_bytes:
                message = (
                    f"the operation has {size:,} bytes, and the caller takes messages of {max_bytes:,}; raise the limit"
                    " of the channel and send it as the metadata x-whybox-max-response-bytes"
                )
                raise InvalidRequestError(message, reason="ANSWER_TOO_LARGE")
        return operation

    async def _resume(self) -> None:
        rows = await self._store.interrupted(self._requests.server)
        self._requests.forget_others({row.id for row in rows})
        for row in rows:
            if row.runs < _RUNS:
                self._launch(row)
            else:
                await self._end(
                    row.id,
                    UnavailableError(
                        "the server ended twice while the operation ran; start it again", reason="OPERATION_INTERRUPTED"
                    ).to_status(),
                )
                self._requests.forget(row.id)

    def _launch(self, row: OperationRow) -> None:
        task = self._tasks[row.id] = asyncio.create_task(self._run(row.id, row.request_id, row.caller))
        task.add_done_callback(lambda _: self._tasks.pop(row.id, None))

    async def _drop(self, name: str) -> None:
        """Ends the work on an operation, and forgets its request."""
        if (task := self._tasks.get(name)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._requests.forget(name)

    async def _run(self, name: str, request_id: str, caller: str) -> None:
        async with self._slots:
            if not await _insisting(lambda: self._store.begin(name)):
                return
            outcome = await self._outcome(name, request_id, caller)
            await _insisting(lambda: self._end(name, outcome))
        self._requests.forget(name)

    async def _outcome(self, name: str, request_id: str, caller: str) -> v1.AnalyzeResponse | Status:
        """The answer to an operation, or the status of its error."""
        request = await self._requests.read(name)
        if request is None:
            message = "the server has lost the picture; start the operation again"
            return UnavailableError(message, reason="OPERATION_INTERRUPTED").to_status()
        try:
            answer = await self._answer(request, request_id, caller)
        except Exception as error:  # noqa: BLE001 (whatever it is, the operation has ended)
            return as_whybox_error(error, request_id).to_status()
        if (size := answer.ByteSize()) > MAX_RESULT_BYTES:
            message = (
                f"the answer has {size:,} bytes, and an operation keeps at most {MAX_RESULT_BYTES:,}; ask for fewer"
                " maps and pictures, for maps as uint8 or float16, or call StreamAnalysis"
            )
            return InvalidRequestError(message, reason="ANSWER_TOO_LARGE").to_status()
        return answer

    async def _answer(self, request: v1.AnalyzeRequest, request_id: str, caller: str) -> v1.AnalyzeResponse:
        """The answer, tried again as long as there is time and something in it may succeed later."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.timeout
        while True:
            try:
                answer = await self._gateway.analyze(
                    request, request_id=request_id, timeout=end - loop.time(), caller=Caller(caller)
                )
            except (QuotaExceededError, UnavailableError) as error:
                if (delay := error.retry_after) is None or loop.time() + delay >= end:
                    raise
            else:
                if (delay := _delay(answer)) is None or loop.time() + delay >= end:
                    return answer
            await asyncio.sleep(delay)

    async def _end(self, name: str, outcome: v1.AnalyzeResponse | Status) -> bool:
        """Notes how an operation ended: with an answer, or with the status of an error."""
        now = self._clock()
        until = now + timedelta(hours=self._limits.hours)
        content = outcome.SerializeToString()
        if isinstance(outcome, v1.AnalyzeResponse):
            return await self._store.end(name, "succeeded", at=now, until=until, error=None, answer=content)
        state = "cancelled" if outcome.code == code_pb2.CANCELLED else "failed"
        return await self._store.end(name, state, at=now, until=until, error=content, answer=None)

    async def _expire(self) -> None:
        while True:
            try:
                for name in await self._store.expire(self._clock()):
                    await self._drop(name)
            except DatabaseError as error:
                _log.error("old operations cannot be removed: %s", error)
            await asyncio.sleep(_EXPIRY_SECONDS)


def _shown(row: OperationRow) -> Operation:
    """An operation without its answer."""
    told = v1.AnalysisMetadata(
        state=row.state,
        model=row.model,
        version=row.version,
        request_id=row.request_id,
        runs=row.runs,
    )
    told.create_time.FromDatetime(row.created_at)
    told.expire_time.FromDatetime(row.expires_at)
    if row.ended_at is not None:
        told.end_time.FromDatetime(row.ended_at)
    operation = Operation(name=f"{_PREFIX}{row.id}", done=row.state not in UNFINISHED)
    operation.metadata.Pack(told)
    if row.error is not None:
        operation.error.ParseFromString(row.error)
    return operation


def _delay(answer: v1.AnalyzeResponse) -> float | None:
    """Seconds after which a part that is missing now may succeed; None if no part is."""
    contents = (
        content
        for part in PARTS.values()
        for content in (getattr(answer, part.name) if part.is_repeated else [getattr(answer, part.name)])
    )
    errors = (error_from_status(each.status) for each in contents if each.status.code == code_pb2.UNAVAILABLE)
    return max((error.retry_after for error in errors if error.retry_after is not None), default=None)


def _token(row: OperationRow) -> str:
    """What a list goes on after."""
    return urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _place(token: str) -> tuple[datetime, str] | None:
    """What `_token` was made of; None for the first page.

    Raises:
        InvalidRequestError: It is none of this server's.
    """
    if not token:
        return None
    try:
        created, name = urlsafe_b64decode(token).decode().split(" ")
        at = datetime.fromisoformat(created)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "page_token is none of this server's; send next_page_token of the page before, or none"
        raise InvalidRequestError(message, field="page_token")
    return at, name


def _stopping() -> UnavailableError:
    return UnavailableError(
        "the server is stopping; ask again when it has restarted", reason=SERVER_STOPPING, retry_after=_POLL_SECONDS
    )


async def _insisting(change: Callable[[], Awaitable[bool]]) -> bool:
    """What a change of the database returns; it is tried until the database can be used."""
    while True:
        try:
            return await change()
        except DatabaseError as error:
            _log.error("an operation waits for the database: %s", error)
            await asyncio.sleep(_POLL_SECONDS)


@contextmanager
def _database() -> Iterator[None]:
    """Tells callers of faults of the database, and the log what they are."""
    try:
        yield
    except DatabaseError as error:
        _log.error("a call about an operation failed: %s", error)
        message = "the database of operations cannot be used now; the server's log says why"
        raise UnavailableError(message, reason="DATABASE_UNAVAILABLE") from None
