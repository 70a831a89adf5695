"""Processes that stand for workers: who is ended, and who is not."""

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from whybox import v1
from whybox_server.torchserve.workers import Workers

MIB = 2**20


class Started:
    """A process that holds some memory."""

    def __init__(self, mebibytes: int) -> None:
        code = f"held = bytearray(b'x') * ({mebibytes} << 20); print(flush=True); input()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def seen(self, *, generation: int = 0) -> v1.Worker:
        started = round(1000 * psutil.Process(self.process.pid).create_time())
        return v1.Worker(pid=self.process.pid, generation=started + generation)

    @property
    def ended(self) -> bool:
        try:
            self.process.wait(0.3)
        except subprocess.TimeoutExpired:
            return False
        return True


@pytest.fixture
def small() -> Iterator[Started]:
    yield from _started(1)


@pytest.fixture
def large() -> Iterator[Started]:
    yield from _started(200)


def _started(mebibytes: int) -> Iterator[Started]:
    started = Started(mebibytes)
    with started.process:
        yield started
        started.process.kill()


def test_who_holds_too_much_is_ended(small: Started, large: Started, caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers("m-predict", 150 * MIB)
    for each in (small, large):
        workers.note(each.seen())
    workers.end_large()
    assert (small.ended, large.ended) == (False, True)
    [told] = caplog.messages
    assert f"worker {large.process.pid} of m-predict holds 2" in told
    assert "more than the 150 MiB of WHYBOX_WORKER_MEMORY" in told
    workers.end_large()
    assert len(caplog.messages) == 1


def test_who_was_silent_for_longest_is_ended(small: Started, large: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    workers, now = Workers("m-predict", 2**40), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for now, each in enumerate((small, large, small)):  # noqa: B007 (the clock reads it)
        workers.note(each.seen())
    workers.end_silent()
    assert (small.ended, large.ended) == (False, True)
    workers.end_silent()
    assert small.ended
    workers.end_silent()


def test_another_process_of_the_same_id_is_left_alone(large: Started) -> None:
    workers = Workers("m-predict", MIB)
    workers.note(large.seen(generation=-60_000))
    workers.end_large()
    workers.end_silent()
    assert not large.ended


def test_who_ends_while_it_is_looked_at_is_passed_over(
    small: Started, large: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, memory_info = Workers("m-predict", 150 * MIB), psutil.Process.memory_info
    for each in (small, large):
        workers.note(each.seen())

    def ended(process: psutil.Process) -> object:
        if process.pid == small.process.pid:
            raise psutil.NoSuchProcess(process.pid)
        return memory_info(process)

    monkeypatch.setattr(psutil.Process, "memory_info", ended)
    workers.end_large()
    assert large.ended


def test_a_clock_that_is_set_makes_no_other_process(large: Started) -> None:
    workers = Workers("m-predict", MIB)
    workers.note(large.seen(generation=1000))
    workers.end_large()
    assert large.ended


def test_who_is_gone_or_unknown_is_forgotten(small: Started) -> None:
    workers = Workers("m-predict", MIB)
    workers.note(small.seen())
    workers.note(v1.Worker())
    small.process.kill()
    small.process.wait()
    workers.end_large()
    workers.end_silent()


@pytest.mark.parametrize("nice", [0, 5])
def test_the_niceness_of_workers(small: Started, nice: int) -> None:
    before = psutil.Process(small.process.pid).nice()
    workers = Workers("m-analyze", 150 * MIB, nice)
    workers.note(small.seen())
    assert psutil.Process(small.process.pid).nice() == max(before, nice)


def test_the_niceness_of_a_process_that_is_gone(small: Started) -> None:
    seen = small.seen()
    small.process.kill()
    small.process.wait()
    Workers("m-analyze", 150 * MIB, 5).note(seen)
