"""Work in slices comes to the same answers as work in one go; the worker keeps it, and nothing longer than it must."""

from pathlib import Path

import pytest

from clocks import Clock, slowed
from handlers.asked import ASKED, DIFFERENTIATED, SERVED, classifier, png, work_of
from whybox import v1
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.work.analyzer import Analyzer
from whybox_handlers.work.slices import SLICE_SECONDS, Slices

LONG = {*ATTACKS, "twin", "corruptions"}
# A pass of either network.
PASS_SECONDS = 0.3


def slices(clock: Clock, served: float = SERVED, differentiated: float = DIFFERENTIATED) -> Slices:
    return Slices(Analyzer(slowed(classifier(), clock, served, differentiated), clock), clock)


def ticketed(asked: str, ticket: str, folder: Path) -> v1.Work:
    work = work_of(asked)
    work.ticket = ticket
    work.pause_path = str(folder / f"{ticket}.pause")
    picture = folder / f"{ticket}.picture"
    picture.write_bytes(png())
    work.picture_path = str(picture)
    return work


def go_on(ticket: str) -> v1.Work:
    return v1.Work(ticket=ticket, go_on=True)


def one(worker: Slices, work: v1.Work) -> v1.WorkResult:
    (result,) = worker.answer([work])
    return result


@pytest.mark.parametrize("asked", ASKED)
def test_slices_come_to_the_same(asked: str, tmp_path: Path) -> None:
    """Each pass is a slice of its own, and other work is done in between."""
    [whole] = Analyzer(classifier()).answer([work_of(asked)])
    worker, work = slices(Clock(), 0.001), ticketed(asked, "1", tmp_path)
    Path(work.pause_path).touch()
    result, number, spent = one(worker, work), 1, 0.0
    while result.kept:
        assert not result.HasField("response")
        assert result.compute_ms >= spent
        spent = result.compute_ms
        assert one(worker, work_of("prediction")).response.HasField("prediction")
        result, number = one(worker, go_on("1")), number + 1
    assert result.response == whole.response
    assert (result.final, result.resume, result.so_far) == (whole.final, whole.resume, whole.so_far)
    assert number > 5 or asked not in LONG
    assert result.compute_ms >= spent


def test_a_slice_ends_after_a_second(tmp_path: Path) -> None:
    clock = Clock()
    worker, before = slices(clock, PASS_SECONDS, PASS_SECONDS), clock()
    result = one(worker, ticketed("fmn", "1", tmp_path))
    assert result.kept
    assert SLICE_SECONDS <= clock() - before <= SLICE_SECONDS + 2 * PASS_SECONDS


def test_a_slice_ends_at_the_next_pass_once_the_worker_is_wanted(tmp_path: Path) -> None:
    clock = Clock()
    worker, before = slices(clock, PASS_SECONDS, PASS_SECONDS), clock()
    work = ticketed("fmn", "1", tmp_path)
    Path(work.pause_path).touch()
    assert one(worker, work).kept
    assert clock() - before < SLICE_SECONDS
    Path(work.pause_path).unlink()
    assert one(worker, go_on("1")).kept
    assert clock() - before >= SLICE_SECONDS


def test_the_first_of_a_batch_that_is_wanted_ends_the_slice_of_all(tmp_path: Path) -> None:
    worker = slices(Clock())
    works = [ticketed("fmn", ticket, tmp_path) for ticket in "12"]
    Path(works[1].pause_path).touch()
    assert [result.kept for result in worker.answer(works)] == [True, True]
    Path(works[1].pause_path).unlink()
    results = worker.answer([go_on("2"), go_on("1")])
    while any(result.kept for result in results):
        results = worker.answer([go_on("2"), go_on("1")])
    [whole] = Analyzer(classifier()).answer([work_of("fmn")])
    assert [result.response for result in results] == [whole.response] * 2


def test_a_ticket_that_is_not_known(tmp_path: Path) -> None:
    worker = slices(Clock())
    assert one(worker, go_on("1")) == v1.WorkResult(unknown_ticket=True)
    result = one(worker, ticketed("saliency", "1", tmp_path))
    assert result.final
    assert one(worker, go_on("1")).unknown_ticket, "what is done is not kept"


def test_work_whose_caller_is_gone_is_not_kept(tmp_path: Path) -> None:
    worker = slices(Clock(), PASS_SECONDS, PASS_SECONDS)
    work = ticketed("fmn", "1", tmp_path)
    assert one(worker, work).kept
    Path(work.picture_path).unlink()
    one(worker, v1.Work())
    assert one(worker, go_on("1")).unknown_ticket


def test_time_in_which_the_work_lies_still_is_no_time_of_its_passes(tmp_path: Path) -> None:
    """A search that lay still plans by what its passes take, not by how long it waited."""
    clock = Clock()
    worker = slices(clock)
    work = ticketed("fmn", "1", tmp_path)
    work.deadline.FromNanoseconds(int((clock() + 1000) * 1e9))
    work.aim.CopyFrom(work.deadline)
    Path(work.pause_path).touch()
    result = one(worker, work)
    while result.kept:
        clock.turn(30)
        result = one(worker, go_on("1"))
    [whole] = Analyzer(classifier()).answer([work_of("fmn")])
    assert result.response == whole.response
    assert not result.cut_short
