"""A picture and its adversarial neighbour, explained alike; what fails there leaves the distance alone."""

import dataclasses
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from clocks import Clock
from explaining import subject_of
from linear import Watched, linear, picture
from whybox import v1
from whybox.v1.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    error_from_status,
)
from whybox_handlers.explanations import explaining
from whybox_handlers.explanations.explainers import (
    EXPLAINERS,
    Attribution,
    Explainer,
    Question,
)
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.explanations.maps.similarity import map_similarity
from whybox_handlers.models.case import Case
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run, run_one
from whybox_handlers.robustness import twin
from whybox_handlers.robustness.attacks import ATTACKS, Adversarial
from whybox_handlers.robustness.measurement import Measured, measure_robustness
from whybox_handlers.robustness.twin import measure_twin

DISTANCE = 0.02


class Model(NamedTuple):
    """A case, its serving network, and the picture's neighbour with another answer."""

    case: Case
    watched: Watched
    adversarial: Adversarial


@pytest.fixture
def model() -> Model:
    classifier, watched = linear(DISTANCE, picture())
    case = Case(classifier, subject_of(classifier, picture()), seed=5, request_id="request-7")
    found = run_one(classifier, ATTACKS["fmn"].run(Passes(Limits()), case.subject, "linf", 9)).adversarial
    assert found is not None
    return Model(case, watched, found)


def register(
    monkeypatch: pytest.MonkeyPatch, explainer: Callable[[Passes, Question], Coroutine[Any, Any, Attribution]]
) -> None:
    row = Explainer(explainer, "", "", evaluations="forward")
    monkeypatch.setattr(explaining, "EXPLAINERS", {**EXPLAINERS, "saliency": row})


def measured(case: Case, limits: Limits | None = None, norms: tuple[str, ...] = ("linf",)) -> Task[Measured]:
    """The distance with a twin by saliency, done."""
    options = v1.RobustnessOptions(norms=norms, budget="9", attack="fmn", twin="saliency")
    limits = limits or Limits()
    task = Task(measure_robustness(case, options, Passes(limits), EXPLAINERS["saliency"].defaults("saliency")), limits)
    run(case.classifier, [task])
    return task


@pytest.mark.parametrize(
    ("method", "changes"),
    [("saliency", {}), ("integrated_gradients", {"baseline": "black", "max_evaluations": 4, "tolerance": 0.5})],
)
def test_maps_are_those_of_each_picture_alone(method: str, changes: dict[str, object], model: Model) -> None:
    case, adversarial = model.case, model.adversarial
    options = EXPLAINERS[method].defaults(method, **changes)
    part = run_one(case.classifier, measure_twin(case, adversarial, options, Passes(Limits())))
    neighbour = dataclasses.replace(case, subject=subject_of(case.classifier, adversarial.picture))
    alone = []
    for of, target in ((case, 0), (neighbour, 1), (neighbour, 0)):
        options.target_class = target
        alone.append(run_one(case.classifier, explain(of, options, Passes(Limits()))))
    before, after, moved = (each.attribution.values for each in alone)
    assert (part.before, part.after) == (alone[0].part, alone[1].part)
    assert part.HasField("status")
    assert part.status.code == 0
    assert part.same_class == map_similarity(before, moved)
    assert part.new_class == map_similarity(before, after)
    assert part.before.target_label == "cat"
    assert part.after.target_label == "dog"
    # The gradient of a linear model is the same everywhere; that of another class is another one.
    if method == "saliency":
        assert part.same_class.ssim == pytest.approx(1)
        assert part.new_class.ssim < 0.9


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (FailedPreconditionError("it has no maps", reason="METHOD_UNAVAILABLE"), FailedPreconditionError),
        (DeadlineExceededError("too late"), DeadlineExceededError),
        (ValueError("a bug"), InternalError),
    ],
)
def test_maps_that_fail_leave_the_distance(
    raised: Exception,
    told: type[Exception],
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    async def fail_the_second_time(passes: Passes, question: Question) -> Attribution:
        asked.append(question)
        if len(asked) == 2:
            raise raised
        return await EXPLAINERS["saliency"].explain(passes, question)

    register(monkeypatch, fail_the_second_time)
    [distance] = measured(model.case).result().part.distances
    assert distance.distance == model.adversarial.distance
    assert distance.reliable, distance.reasons
    assert [field.name for field, _ in distance.twin.ListFields()] == ["status"], "nothing half done is left"
    error = error_from_status(distance.twin.status)
    assert type(error) is told
    bugs = [record for record in caplog.records if record.levelno == logging.ERROR]
    if told is InternalError:
        assert "a bug" not in error.message
        assert "request-7" in error.message
        [record] = bugs
        assert record.exc_info
        assert record.exc_info[1] is raised
        assert "request-7" in record.getMessage()
    else:
        assert error.message == raised.args[0]
        assert not bugs


def test_maps_that_cannot_be_compared_leave_the_distance(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> v1.MapSimilarity:
        raise ZeroDivisionError

    monkeypatch.setattr(twin, "map_similarity", fail)
    [distance] = measured(model.case).result().part.distances
    assert distance.distance == model.adversarial.distance
    assert type(error_from_status(distance.twin.status)) is InternalError
    assert not distance.twin.HasField("before")


@pytest.mark.parametrize("gone", [False, True])
def test_limits_end_the_maps(
    gone: bool,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A method that does not watch the clock: the deadline ends its maps, a caller who is gone the whole work."""
    clock, lease = Clock(), tmp_path / "lease"
    lease.touch()
    limits = clock.limits(600, lease)

    async def too_long(passes: Passes, question: Question) -> Attribution:
        before = model.watched.calls
        while model.watched.calls < before + 1000:
            await passes.logits(question.picture[None])
            if gone:
                lease.unlink(missing_ok=True)
            else:
                clock.leave(limits, -1)
        raise AssertionError("nobody stopped it")

    register(monkeypatch, too_long)
    task = measured(model.case, limits)
    if gone:
        assert isinstance(task.outcome, CancelledError)
        return
    [distance] = task.result().part.distances
    assert distance.distance == model.adversarial.distance
    assert type(error_from_status(distance.twin.status)) is DeadlineExceededError


@pytest.mark.parametrize("norms", [("linf",), ("linf", "l2")])
def test_maps_share_the_time_that_is_left(
    norms: tuple[str, ...],
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Methods that take what time there is are all given about as much."""
    clock = Clock()
    seconds = []

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        clock.turn(0.002)
        return logits

    model.watched.meanwhile = meanwhile

    async def as_long_as_it_may(passes: Passes, question: Question) -> Attribution:
        started = clock()
        while passes.grant(1):
            await passes.logits(question.picture[None])
        seconds.append(clock() - started)
        return Attribution(question.picture[0], "relative", signed=False, stopped_by="deadline")

    register(monkeypatch, as_long_as_it_may)
    limits = clock.limits(1.0 * len(norms))
    part = measured(model.case, limits, norms).result().part
    assert limits.seconds_left() > 0
    assert [distance.state for distance in part.distances] == ["found"] * len(norms)
    for distance in part.distances:
        assert distance.twin.status.code == 0, distance.twin.status.message
        assert distance.twin.HasField("new_class")
    assert len(seconds) == 3 * len(norms)
    # The searches took next to nothing of their shares, which then go to what comes after them.
    assert min(seconds) > 0.2
    for number in range(0, len(seconds), 3):
        assert max(seconds[number : number + 3]) < 1.1 * min(seconds[number : number + 3])


def test_a_neighbour_without_an_answer_has_no_maps(
    model: Model,
) -> None:
    model.watched.meanwhile = lambda _, logits: torch.full_like(logits, float("nan"))
    options = EXPLAINERS["saliency"].defaults("saliency")
    part = run_one(model.case.classifier, measure_twin(model.case, model.adversarial, options, Passes(Limits())))
    error = error_from_status(part.status)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "NOT_FINITE"
