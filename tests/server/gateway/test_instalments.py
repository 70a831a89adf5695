"""Work in pieces over a pool that answers each piece as a test tells it to."""

from contextlib import aclosing

import pytest

from messages import message
from server.backends import InTurn
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.deadlines import Reserve, now
from whybox_server.gateway.instalments import in_instalments
from whybox_server.gateway.pools import PoolKind

MODEL = v1.Model(name="m", version="1")
WORK = message(
    v1.Work,
    request_id="id-1",
    request={"model": "m", "certified": {"sigma": 0.25}, "seed": 7},
    picture_path="/picture",
)


# A caller who waits 30 s is answered a twentieth of that earlier.
ANSWER = 28.5


def answered(state, samples):
    certified = {"state": state, "samples": samples}
    return message(v1.AnalyzeResponse, certified=certified, receipt={"runtime": {"torch": "2"}})


def piece(samples, so_far="certified", *, final=False):
    """What a worker answers that has drawn `samples`; an empty `so_far`: there is nothing to tell yet."""
    if final:
        return v1.WorkResult(response=answered(so_far, samples), compute_ms=1000, final=True)
    return v1.WorkResult(
        response=answered("running", samples),
        so_far=answered(so_far, samples) if so_far else None,
        resume=str(samples).encode(),
        compute_ms=1000,
    )


async def pieces_of(backend, timeout=30.0):
    async with aclosing(
        in_instalments(backend.pool(MODEL, PoolKind.ANALYZE), WORK, Reserve().deadline(timeout), "somebody")
    ) as pieces:
        return [each async for each in pieces]


async def test_each_piece_goes_on_where_the_last_one_ended():
    answers = [piece(0, so_far=""), piece(20), piece(80), piece(100, final=True)]
    backend = InTurn([*answers])
    results = await pieces_of(backend)
    assert [work.resume for work in backend.works] == [b"", b"0", b"20", b"80"]
    for work in backend.works:
        assert (work.request_id, work.request, work.picture_path) == (
            WORK.request_id,
            WORK.request,
            WORK.picture_path,
        )
    assert results == answers


async def test_one_piece_may_be_all():
    answer = piece(100, "abstained", final=True)
    assert await pieces_of(InTurn([answer])) == [answer]


@pytest.mark.parametrize("status", [None, errors.DeadlineExceededError("late").to_status()])
async def test_the_parts_of_work_in_one_piece_may_fail_each_for_itself(status):
    answer = message(v1.WorkResult, response={"prediction": {}, "bias": {"status": status}}, final=True)
    assert await pieces_of(InTurn([answer])) == [answer]


LATE = {
    "raised": errors.DeadlineExceededError("late"),
    "of the work": v1.WorkResult(status=errors.DeadlineExceededError("late").to_status()),
    "of the part": message(
        v1.WorkResult, response={"certified": {"status": errors.DeadlineExceededError("late").to_status()}}, final=True
    ),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("state", ["certified", "abstained"])
async def test_the_deadline_ends_it_with_what_was_drawn(late, state):
    begun = piece(50, state)
    running, last = await pieces_of(InTurn([begun, late]))
    assert running == begun
    # Its time was told with the piece.
    assert last == v1.WorkResult(response=answered(state, 50), final=True, cut_short=True)


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_the_deadline_is_an_error_while_there_is_nothing_to_tell(late):
    with pytest.raises(errors.DeadlineExceededError):
        await pieces_of(InTurn([piece(0, so_far=""), late]))


@in_virtual_time
async def test_a_piece_that_hangs_is_not_waited_for_beyond_the_deadline():
    backend = InTurn([piece(50), None])
    _, last = await pieces_of(backend, timeout=30)
    assert last.response == answered("certified", 50)
    # The answer has time to reach the caller.
    assert now() == ANSWER
    assert all(asked.aim < asked.seconds < ANSWER for asked in backend.asked)


WAYS = {
    "raised": lambda error: error,
    "of the work": lambda error: v1.WorkResult(status=error.to_status()),
    "of the part": lambda error: message(
        v1.WorkResult, response={"certified": {"status": error.to_status()}}, final=True
    ),
}
NO_WORKER = [
    errors.OverloadedError("full", retry_after=2.0),
    errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0),
]


def name_of(error):
    return type(error).__name__


OTHERS = [errors.InternalError("m"), errors.PictureError("m", field="image"), errors.CancelledError("m")]
# The first piece fails as any work does; a part that fails at once fails for itself.
FAILURES = [
    *((error, [], way) for error in NO_WORKER + OTHERS for way in ("raised", "of the work")),
    *((error, [piece(50)], way) for error in OTHERS for way in WAYS),
]


@pytest.mark.parametrize(("error", "before", "way"), FAILURES)
async def test_other_errors_are_what_they_are(error, before, way):
    backend = InTurn([*before, WAYS[way](error)])
    with pytest.raises(type(error)) as caught:
        await pieces_of(backend)
    assert vars(caught.value) == vars(error)
    assert len(backend.works) == len(before) + 1


@pytest.mark.parametrize("error", NO_WORKER, ids=name_of)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@in_virtual_time
async def test_a_later_piece_that_no_worker_could_make_is_asked_for_again(error, way):
    backend = InTurn([piece(50), way(error), way(error), piece(100, final=True)])
    _, last = await pieces_of(backend)
    assert last.response.certified.samples == 100
    assert [work.resume for work in backend.works] == [b"", b"50", b"50", b"50"]


@pytest.mark.parametrize("error", NO_WORKER, ids=name_of)
@in_virtual_time
async def test_if_no_worker_ever_can_the_deadline_ends_it(error):
    backend = InTurn([piece(50), *[error] * 1000])
    _, last = await pieces_of(backend, timeout=30)
    assert last.response == answered("certified", 50)
    assert now() == ANSWER
    # A worker that is being restarted is not asked a thousand times.
    assert len(backend.works) == 1 + 57


async def test_no_piece_follows_once_the_caller_is_gone():
    backend = InTurn([piece(50), piece(100, final=True)])
    async with aclosing(
        in_instalments(backend.pool(MODEL, PoolKind.ANALYZE), WORK, Reserve().deadline(30), "somebody")
    ) as pieces:
        await anext(pieces)
    assert len(backend.works) == 1
