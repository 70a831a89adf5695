"""Certificates over a pool that answers each piece as a test tells it to."""

import asyncio
import time
from contextlib import aclosing

import pytest

from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway import instalments as certificates
from whybox_server.gateway.deadlines import RESERVE_SECONDS
from whybox_server.gateway.instalments import certificate

WORK = v1.Work(
    request_id="id-1", request={"model": "m", "certified": {"sigma": 0.25}, "seed": 7}, picture_path="/picture"
)


def piece(drawn, state="certified", *, more=True, **fields):
    """What a worker answers that has drawn so many."""
    part = v1.Certified(state=state, samples=max(drawn - 100, 0), **fields)
    if state == "certified":
        part.radius, part.probability_lower_bound = 0.1, 0.9
    if more:
        part.stopped_by = "" if state == "running" else "deadline"
    result = v1.WorkResult(response={"certified": part, "receipt": {"runtime": {"torch": "2"}}}, compute_ms=1000)
    if more:
        result.smoothing.MergeFrom(v1.Smoothing(drawn=drawn, selection={3: min(drawn, 100)}, count=max(drawn - 100, 0)))
    return result


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
    async with aclosing(certificate(pool, WORK, timeout)) as pieces:
        return [each async for each in pieces]


async def test_each_piece_goes_on_where_the_last_one_ended():
    answers = [piece(60, "running"), piece(120), piece(180), piece(200, more=False)]
    pool = Pool(*answers)
    results = await pieces_of(pool)
    assert [work.smoothing for work in pool.works] == [v1.Smoothing(), *(answer.smoothing for answer in answers[:3])]
    for work in pool.works:
        work.ClearField("smoothing")
        assert work == WORK
    assert [result.response.certified.state for result in results] == ["running"] * 3 + ["certified"]
    assert [result.response.certified.samples for result in results] == [0, 20, 80, 100]
    assert [result.compute_ms for result in results] == [1000] * 4
    assert results[-1] == answers[-1]
    assert pool.timeouts == sorted(pool.timeouts, reverse=True)


async def test_nothing_is_proven_before_the_end():
    """Whoever could stop by what is proven so far would have proven less."""
    running, _ = await pieces_of(Pool(piece(150, class_index=3, count=40), piece(200, more=False)))
    part = running.response.certified
    assert (part.state, part.class_index, part.count) == ("running", 3, 40)
    assert not part.HasField("radius")
    assert (part.probability_lower_bound, part.stopped_by) == (0, "")


async def test_one_piece_may_be_all():
    answer = piece(200, "abstained", more=False)
    assert await pieces_of(Pool(answer)) == [answer]


LATE = {
    "raised": errors.DeadlineExceededError("late"),
    "of the work": v1.WorkResult(status=errors.DeadlineExceededError("late").to_status()),
    "of the part": v1.WorkResult(response={"certified": {"status": errors.DeadlineExceededError("late").to_status()}}),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("state", ["certified", "abstained"])
async def test_the_deadline_ends_it_with_what_was_drawn(late, state):
    running, last = await pieces_of(Pool(piece(150, state), late))
    assert running.response.certified.state == "running"
    assert (last.response.certified.state, last.response.certified.stopped_by) == (state, "deadline")
    assert last.response.certified.HasField("radius") == (state == "certified")
    assert last.response.receipt.runtime == {"torch": "2"}
    # Its time was told with the piece.
    assert last.compute_ms == 0


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("before", [[], [piece(60, "running")]], ids=["at once", "while choosing"])
async def test_without_a_class_the_deadline_is_an_error(late, before):
    with pytest.raises(errors.DeadlineExceededError):
        await pieces_of(Pool(*before, late))


@pytest.mark.parametrize("before", [[], [piece(150)]], ids=["at once", "later"])
async def test_a_piece_that_hangs_is_not_waited_for_beyond_the_deadline(before):
    started = time.monotonic()
    timeout = 0.4
    pool = Pool(*before, None)
    if before:
        _, last = await pieces_of(pool, timeout)
        assert last.response.certified.stopped_by == "deadline"
    else:
        with pytest.raises(errors.DeadlineExceededError):
            await pieces_of(pool, timeout)
    # The answer has time to reach the caller.
    assert 0.2 < time.monotonic() - started < timeout
    assert all(left <= timeout - RESERVE_SECONDS for left in pool.timeouts)


WAYS = {
    "raised": lambda error: error,
    "of the work": lambda error: v1.WorkResult(status=error.to_status()),
    "of the part": lambda error: v1.WorkResult(response={"certified": {"status": error.to_status()}}),
}
NOBODY = [
    errors.OverloadedError("full", retry_after=2.0),
    errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0),
]


def name_of(error):
    return type(error).__name__


OTHERS = [errors.InternalError("m"), errors.PictureError("m", field="image"), errors.CancelledError("m")]


@pytest.mark.parametrize(
    ("error", "before"),
    [(error, []) for error in NOBODY + OTHERS] + [(error, [piece(150)]) for error in OTHERS],
    ids=lambda each: ("later" if each else "at once") if isinstance(each, list) else type(each).__name__,
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_other_errors_are_what_they_are(error, before, way):
    pool = Pool(*before, way(error))
    with pytest.raises(type(error)) as caught:
        await pieces_of(pool)
    assert vars(caught.value) == vars(error)
    assert len(pool.works) == len(before) + 1


@pytest.mark.parametrize("error", NOBODY, ids=name_of)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_later_piece_that_nobody_could_make_is_asked_for_again(monkeypatch, error, way):
    monkeypatch.setattr(certificates, "_PAUSE_SECONDS", 0.01)
    pool = Pool(piece(150), way(error), way(error), piece(200, more=False))
    _, last = await pieces_of(pool)
    assert last.response.certified.samples == 100
    assert [work.smoothing.drawn for work in pool.works] == [0, 150, 150, 150]


@pytest.mark.parametrize("error", NOBODY, ids=name_of)
async def test_if_nobody_ever_can_the_deadline_ends_it(monkeypatch, error):
    monkeypatch.setattr(certificates, "_PAUSE_SECONDS", 0.01)
    _, last = await pieces_of(Pool(piece(150), *[error] * 1000), timeout=0.3)
    assert (last.response.certified.state, last.response.certified.stopped_by) == ("certified", "deadline")
    assert last.response.certified.samples == 50


async def test_between_two_attempts_there_is_a_pause():
    """A worker that is being restarted is not asked a thousand times."""
    pool = Pool(piece(150), *[NOBODY[1]] * 1000)
    await pieces_of(pool, timeout=0.3)
    assert len(pool.works) == 2


async def test_nobody_waits_no_piece_follows():
    pool = Pool(piece(150), piece(200, more=False))
    async with aclosing(certificate(pool, WORK, 30)) as pieces:
        await anext(pieces)
    assert len(pool.works) == 1
