"""A picture lies in the spool as long as a worker may read it, and no longer."""

import asyncio

import pytest

from server.gateway.calls import CALLS, IMAGE, analyze, request
from server.gateway.jobs import EVERYTHING, JOBS
from server.waiting import settle
from whybox.v1 import errors

pytestmark = pytest.mark.usefixtures("_nothing_leaks")


@pytest.mark.parametrize("call", CALLS)
async def test_the_picture_lies_there_until_the_last_answer(gateway, backend, spooled, call):
    calling = call(gateway, EVERYTHING)
    for name in ("explanations[1]", "prediction", "robustness", "explanations[0]"):
        await settle()
        assert spooled() == [IMAGE]
        backend.release(name)
    await calling.task
    assert spooled() == []


@pytest.mark.parametrize("call", CALLS)
async def test_each_request_has_a_picture_of_its_own(gateway, backend, spooled, call):
    pictures = [b"one", b"two", b"two"]
    calls = [call(gateway, request(image=image, robustness={})) for image in pictures]
    await settle()
    assert sorted(spooled()) == pictures
    backend.release("robustness")
    await asyncio.gather(*(calling.task for calling in calls))
    assert spooled() == []


@pytest.mark.parametrize("parts", [{"prediction": {}}, {"bias": {}}, {"prediction": {}, "bias": {}}], ids=" ".join)
async def test_work_names_the_place_of_the_picture_and_does_not_carry_it(gateway, backend, spooled, temporary, parts):
    answering = analyze(gateway, request(**parts))
    await settle()
    [asked] = backend.asked
    assert (asked.work.request.image, spooled()) == (b"", [IMAGE])
    [place] = temporary.glob("*/*")
    assert asked.work.picture_path == str(place)
    backend.release(next(iter(parts)))
    await answering
    assert spooled() == []


# How a call can end before its time: what comes of its jobs, and what is done to it.
ENDS = {
    "every part fails": (dict.fromkeys(JOBS, errors.InternalError("m")), None),
    "a bad picture": ({"prediction": errors.PictureError("m")}, None),
    "a bug": ({"prediction": ZeroDivisionError()}, None),
    "the caller is gone": ({}, asyncio.Task.cancel),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("outcomes", "end"), ENDS.values(), ids=ENDS)
async def test_the_picture_is_gone_with_its_caller(gateway, backend, spooled, call, outcomes, end):
    backend.outcomes = outcomes
    calling = call(gateway, EVERYTHING).task
    await settle()
    assert spooled() == [IMAGE]
    backend.release(*outcomes)
    if end:
        end(calling)
    outcomes = await asyncio.gather(calling, return_exceptions=True)
    assert isinstance(outcomes[0], BaseException)
    assert spooled() == []


@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_the_picture_is_gone_with_an_abandoned_stream(gateway, backend, spooled, taken, close):
    backend.release("prediction", "robustness")
    parts = gateway.stream(EVERYTHING, request_id="id-1", timeout=30)
    for _ in range(taken):
        await anext(parts)
    assert spooled() == [IMAGE] * bool(taken)
    if close:
        await parts.aclose()
    del parts
    await settle()
    assert spooled() == []
