"""Work in pieces over a pool that answers each piece as a test tells it to."""

import asyncio
from contextlib import aclosing

import pytest

from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.deadlines import RESERVE_SECONDS, now
from whybox_server.gateway.instalments import in_instalments

WORK = v1.Work(
    request_id="id-1", request={"model": "m", "certified": {"sigma": 0.25}, "seed": 7}, picture_path="/picture"
)


def answered(state, samples):
    return v1.AnalyzeResponse(certified={"state": state, "samples": samples}, receipt={"runtime": {"torch": "2"}})


def piece(samples, so_far="certified", *, final=False):
    """What a worker answers that has drawn so many samples; `so_far` may be empty: there is nothing to tell yet."""
    if final:
        return v1.WorkResult(response=answered(so_far, samples), compute_ms=1000, final=True)
    return v1.WorkResult(
        response=answered("running", samples),
        so_far=answered(so_far, samples) if so_far else None,
        resume=str(samples).encode(),
        compute_ms=1000,
    )


class Pool:
    """Answers in turn, an exception by raising it, None never."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.works = []
        self.timeouts = []

    async def submit(self, work, timeout):
        kept = v1.Work()
        kept.CopyFrom(work)
        self.works.append(kept)
        self.timeouts.append(timeout)
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def pieces_of(pool, timeout=30.0):
    async with aclosing(in_instalments(pool, WORK, timeout)) as pieces:
        return [each async for each in pieces]


async def test_each_piece_goes_on_where_the_last_one_ended():
    answers = [piece(0, so_far=""), piece(20), piece(80), piece(100, final=True)]
    pool = Pool(*answers)
    results = await pieces_of(pool)
    assert [work.resume for work in pool.works] == [b"", b"0", b"20", b"80"]
    for work in pool.works:
        work.ClearField("resume")
        assert work == WORK
    assert results == answers
    assert pool.timeouts == sorted(pool.timeouts, reverse=True)


async def test_one_piece_may_be_all():
    answer = piece(100, "abstained", final=True)
    assert await pieces_of(Pool(answer)) == [answer]


@pytest.mark.parametrize("status", [None, errors.DeadlineExceededError("late").to_status()])
async def test_the_parts_of_work_in_one_piece_may_fail_each_for_itself(status):
    answer = v1.WorkResult(response={"prediction": {}, "bias": {"status": status}}, final=True)
    assert await pieces_of(Pool(answer)) == [answer]


LATE = {
    "raised": errors.DeadlineExceededError("late"),
    "of the work": v1.WorkResult(status=errors.DeadlineExceededError("late").to_status()),
    "of the part": v1.WorkResult(
        response={"certified": {"status": errors.DeadlineExceededError("late").to_status()}}, final=True
    ),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("state", ["certified", "abstained"])
async def test_the_deadline_ends_it_with_what_was_drawn(late, state):
    begun = piece(50, state)
    running, last = await pieces_of(Pool(begun, late))
    assert running == begun
    # Its time was told with the piece.
    assert last == v1.WorkResult(response=answered(state, 50), final=True)


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_the_deadline_is_an_error_while_there_is_nothing_to_tell(late):
    with pytest.raises(errors.DeadlineExceededError):
        await pieces_of(Pool(piece(0, so_far=""), late))


@in_virtual_time
async def test_a_piece_that_hangs_is_not_waited_for_beyond_the_deadline():
    pool = Pool(piece(50), None)
    _, last = await pieces_of(pool, timeout=30)
    assert last.response == answered("certified", 50)
    # The answer has time to reach the caller.
    assert now() == 30 - RESERVE_SECONDS
    assert pool.timeouts == [30, 30 - RESERVE_SECONDS]


WAYS = {
    "raised": lambda error: error,
    "of the work": lambda error: v1.WorkResult(status=error.to_status()),
    "of the part": lambda error: v1.WorkResult(response={"certified": {"status": error.to_status()}}, final=True),
}
NOBODY = [
    errors.OverloadedError("full", retry_after=2.0),
    errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0),
]


def name_of(error):
    return type(error).__name__


OTHERS = [errors.InternalError("m"), errors.PictureError("m", field="image"), errors.CancelledError("m")]
# The first piece fails as any work does; a part that fails at once fails for itself.
FAILURES = [
    *((error, [], way) for error in NOBODY + OTHERS for way in ("raised", "of the work")),
    *((error, [piece(50)], way) for error in OTHERS for way in WAYS),
]


@pytest.mark.parametrize(("error", "before", "way"), FAILURES)
async def test_other_errors_are_what_they_are(error, before, way):
    pool = Pool(*before, WAYS[way](error))
    with pytest.raises(type(error)) as caught:
        await pieces_of(pool)
    assert vars(caught.value) == vars(error)
    assert len(pool.works) == len(before) + 1


@pytest.mark.parametrize("error", NOBODY, ids=name_of)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@in_virtual_time
async def test_a_later_piece_that_no_worker_could_make_is_asked_for_again(error, way):
    pool = Pool(piece(50), way(error), way(error), piece(100, final=True))
    _, last = await pieces_of(pool)
    assert last.response.certified.samples == 100
    assert [work.resume for work in pool.works] == [b"", b"50", b"50", b"50"]


@pytest.mark.parametrize("error", NOBODY, ids=name_of)
@in_virtual_time
async def test_if_no_worker_ever_can_the_deadline_ends_it(error):
    pool = Pool(piece(50), *[error] * 1000)
    _, last = await pieces_of(pool, timeout=30)
    assert last.response == answered("certified", 50)
    assert now() == 30 - RESERVE_SECONDS
    # A worker that is being restarted is not asked a thousand times.
    assert len(pool.works) == 1 + 60


async def test_no_piece_follows_once_the_caller_is_gone():
    pool = Pool(piece(50), piece(100, final=True))
    async with aclosing(in_instalments(pool, WORK, 30)) as pieces:
        await anext(pieces)
    assert len(pool.works) == 1
