"""The cache between the core and the workers: what is known is not computed again, nor at the same time twice."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from typing import NamedTuple

from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError, WhyboxError, error_from_status
from whybox_server.gateway.cache.flights import Flight, Flights, Landed
from whybox_server.gateway.cache.held import Held
from whybox_server.gateway.cache.keys import Source, key
from whybox_server.gateway.deadlines import Deadline
from whybox_server.gateway.instalments import part_statuses
from whybox_server.gateway.pools import PoolKind
from whybox_server.gateway.units import Unit, together
from whybox_server.monitoring.metrics import Metrics

_LATE = "the deadline passed before another call for the same was answered; allow more time, or ask for less"


class Result(NamedTuple):
    """What a worker answered; and whether that was to another call."""

    work: v1.WorkResult
    cached: bool = False


Results = AsyncGenerator[Result, None]
"""The results of a unit of work; the last one is final."""

Compute = Callable[[Unit], Results]
"""Has workers do a unit."""


class _Led(NamedTuple):
    key: bytes
    flight: Flight


class Cache:
    """Keeps each part by itself, as serialized answers, in memory.

    A part is kept if it and everything in it succeeded, and if no deadline took part in it.

    All workers of a pool run with the same libraries. A result with other versions than those before it says that the
    workers are new; what the old ones computed counts no more.

    Args:
        max_bytes: Bound of what is kept.
        metrics: Are told of every look-up.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._held = Held(max_bytes)
        self._flights = Flights()
        self._runtimes: dict[tuple[str, str, PoolKind], Mapping[str, str]] = {}
        self._metrics = metrics

    @contextmanager
    def sources(
        self, unit: Unit, source: Source, deadline: Deadline, compute: Compute
    ) -> Iterator[list[tuple[Unit, Results]]]:
        """The results of a unit's parts: those that no call has or computes as one unit, every other one by itself.

        Args:
            unit: What is asked for.
            source: What it rests on.
            deadline: Of the call.
            compute: Has workers do a unit, for this call.

        Yields:
            Units that together are the unit, in its order, and their results; whoever takes these closes them. What
            others wait for is given up at the end of the block, if it has no result by then.
        """
        placed: list[tuple[int, Unit, Results]] = []
        missing: list[tuple[int, Unit, _Led | None]] = []
        with ExitStack() as flights:
            for position, entry in enumerate(unit.entries()):
                name = key(entry, source)
                if name is not None and self._is_known(name, deadline):
                    placed.append((position, entry, self._known(entry, name, source, deadline, compute)))
                    continue
                self._count(entry, source, "miss")
                led = None if name is None else _Led(name, flights.enter_context(self._flights.led(name, deadline)))
                missing.append((position, entry, led))
            if missing:
                rest = together([entry for _, entry, _ in missing])
                results = self._computed(rest, [led for _, _, led in missing], source, compute)
                placed.append((missing[0][0], rest, results))
            yield [(each, results) for _, each, results in sorted(placed, key=lambda place: place[0])]

    def _is_known(self, name: bytes, deadline: Deadline) -> bool:
        return self._held.get(name) is not None or self._flights.helpful(name, deadline) is not None

    async def _known(self, entry: Unit, name: bytes, source: Source, deadline: Deadline, compute: Compute) -> Results:
        """What is kept, or what another call finds; if that comes to nothing, it is computed for this call."""
        while (held := self._held_result(entry, name, source)) is None:
            flight = self._flights.helpful(name, deadline)
            if flight is None:
                break
            as_patient = flight.is_as_patient_as(deadline)
            async with deadline.awaited(_LATE):
                landed = await flight.landed()
            if landed is not None and (as_patient or not landed.cut_short):
                self._count(entry, source, "shared")
                if isinstance(landed.outcome, WhyboxError):
                    raise error_from_status(landed.outcome.to_status())
                yield Result(_read(landed.outcome), cached=True)
                return
        if held is not None:
            self._count(entry, source, "hit")
            yield Result(held, cached=True)
            return
        self._count(entry, source, "miss")
        with self._flights.led(name, deadline) as flight:
            async with aclosing(self._computed(entry, [_Led(name, flight)], source, compute)) as results:
                async for result in results:
                    yield result

    def _count(self, entry: Unit, source: Source, outcome: str) -> None:
        self._metrics.cache_lookup(source.model.name, entry.parts[0].kind, outcome)

    def _held_result(self, entry: Unit, name: bytes, source: Source) -> v1.WorkResult | None:
        value = self._held.get(name)
        if value is None:
            return None
        result = _read(value)
        if result.response.receipt.runtime != self._runtimes[source.model.name, source.model.version, entry.pool]:
            self._held.drop(name)
            return None
        return result

    async def _computed(self, unit: Unit, led: Sequence[_Led | None], source: Source, compute: Compute) -> Results:
        """What workers answer; each part is kept, and handed to those who wait for it."""
        try:
            async with aclosing(compute(unit)) as results:
                async for result in results:
                    if result.work.final:
                        self._learn(unit, led, result.work, source)
                    yield result
        except CancelledError:
            # A worker saw that the caller is gone; those who wait are not.
            _land_all(led, None)
            raise
        except WhyboxError as error:
            _land_all(led, Landed(error, cut_short=isinstance(error, DeadlineExceededError)))
            raise

    def _learn(self, unit: Unit, led: Sequence[_Led | None], result: v1.WorkResult, source: Source) -> None:
        runtime = dict(result.response.receipt.runtime)
        if runtime:
            self._runtimes[source.model.name, source.model.version, unit.pool] = runtime
        for each, share in zip(led, unit.shares(result.response), strict=True):
            if each is None:
                continue
            [status] = part_statuses(share)
            value = share.SerializeToString()
            if _all_ok(share) and runtime and not result.cut_short:
                self._metrics.cache_evicted(self._held.put(each.key, value))
                self._metrics.cache_holds(len(self._held), self._held.bytes)
            each.flight.land(_landed(value, status, cut_short=result.cut_short))


def _landed(value: bytes, status: Status, *, cut_short: bool) -> Landed | None:
    """What those who wait for a part are told; None if it ended with its caller."""
    if status.code == code_pb2.OK:
        return Landed(value, cut_short)
    if status.code == code_pb2.CANCELLED:
        return None
    return Landed(error_from_status(status), cut_short or status.code == code_pb2.DEADLINE_EXCEEDED)


def _land_all(led: Sequence[_Led | None], landed: Landed | None) -> None:
    for each in led:
        if each is not None:
            each.flight.land(landed)


def _read(value: bytes) -> v1.WorkResult:
    return v1.WorkResult(response=v1.AnalyzeResponse.FromString(value), final=True)


def _all_ok(message: Message) -> bool:
    """Whether each status in a message is OK, at any depth."""
    if isinstance(message, Status):
        return bool(message.code == code_pb2.OK)
    return all(
        _all_ok(each)
        for field, value in message.ListFields()
        if field.message_type is not None and not field.message_type.GetOptions().map_entry
        for each in (value if field.is_repeated else [value])
    )
