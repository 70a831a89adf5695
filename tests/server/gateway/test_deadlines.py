"""The answer sets out a reserve before its caller hangs up, and the work is done before that."""

import asyncio
import time

import pytest

from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.deadlines import Deadline, Reserve, now


@pytest.mark.parametrize(
    ("timeout", "learned", "reserve"),
    [
        (1, [], 0.3),
        (5, [], 0.3),
        (20, [], 1.0),
        (600, [], 30.0),
        # Half of the time at most: some must remain for the work.
        (0.4, [], 0.2),
        (0, [], 0),
        # Twice what assembling and sending took lately.
        (5, [0.4], 0.8),
        (5, [0.05], 0.3),
        (5, [0.4, 0.1], 0.72),
        (2, [3.0], 1.0),
    ],
)
@in_virtual_time
async def test_the_reserve(timeout, learned, reserve):
    reserves = Reserve()
    for seconds in learned:
        reserves.learn(seconds)
    deadline = reserves.deadline(timeout)
    assert deadline.answer == pytest.approx(timeout - reserve)
    assert deadline.work == pytest.approx(deadline.answer - reserve / 4)
    assert deadline.aim == pytest.approx(deadline.answer - reserve / 2)


@in_virtual_time
async def test_one_slow_answer_is_forgotten():
    reserves = Reserve()
    reserves.learn(2.0)
    for _ in range(50):
        reserves.learn(0.01)
    assert reserves.deadline(5).answer == pytest.approx(4.7)


@in_virtual_time
async def test_a_worker_is_told_its_times():
    work = v1.Work()
    Deadline(answer=3, work=2, aim=1).stamp(work)
    assert work.deadline.ToNanoseconds() / 1e9 == pytest.approx(time.time() + 2)
    assert work.aim.ToNanoseconds() / 1e9 == pytest.approx(time.time() + 1)


@in_virtual_time
async def test_work_is_awaited_until_the_answer_is_due():
    with pytest.raises(errors.DeadlineExceededError, match="allow more"):
        async with Deadline(answer=3, work=2, aim=1).awaited("allow more"):
            await asyncio.Event().wait()
    assert now() == 3
    with pytest.raises(errors.DeadlineExceededError, match="allow more"):
        async with Deadline(answer=3, work=2, aim=1).awaited("allow more"):
            raise AssertionError("the body is not begun")


@in_virtual_time
async def test_an_error_in_time_stays_what_it_is():
    with pytest.raises(ZeroDivisionError):
        async with Deadline(answer=3, work=2, aim=1).awaited("allow more"):
            raise ZeroDivisionError
