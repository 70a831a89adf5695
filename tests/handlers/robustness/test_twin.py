"""A picture and its adversarial neighbour, explained alike; what fails there leaves the distance alone."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from linear import Watched, end, linear, picture, subject_of
from whybox import v1
from whybox.v1.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    error_from_status,
)
from whybox_handlers.explanations import explaining as explanation
from whybox_handlers.explanations.explainers import (
    EXPLAINERS,
    Attribution,
    Explainer,
    Question,
)
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.explanations.maps.similarity import map_similarity
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run, run_one
from whybox_handlers.robustness import twin as twin_module
from whybox_handlers.robustness.attacks import ATTACKS, Adversarial
from whybox_handlers.robustness.measurement import measure_robustness
from whybox_handlers.robustness.twin import twin

DISTANCE = 0.02


@pytest.fixture
def model() -> tuple[Classifier, Watched, Subject, Adversarial]:
    """A model, a picture, and its neighbour with another answer."""
    classifier, watched = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    found = run_one(classifier, ATTACKS["fmn"].run(Passes(Limits()), subject, "linf", 9)).adversarial
    assert found is not None
    return classifier, watched, subject, found


def register(monkeypatch: pytest.MonkeyPatch, explainer: Callable[..., object]) -> None:
    row = Explainer(explainer, "", "", evaluations="forward")  # type: ignore[arg-type]
    monkeypatch.setattr(explanation, "EXPLAINERS", {**EXPLAINERS, "saliency": row})


def measured(
    classifier: Classifier, subject: Subject, limits: Limits, norms: tuple[str, ...] = ("linf",)
) -> tuple[v1.Robustness, Task[list[bytes]]]:
    options = v1.RobustnessOptions(norms=norms, budget="9", attack="fmn", twin="saliency")
    part = v1.Robustness()
    task = Task(measure_robustness(part, classifier, subject, options, 0, Passes(limits), "request-7"), limits)
    run(classifier, [task])
    return part, task


@pytest.mark.parametrize(
    ("method", "defaults"),
    [("saliency", {}), ("integrated_gradients", {"baseline": "black", "max_evaluations": 4, "tolerance": 0.5})],
)
def test_maps_are_those_of_each_picture_alone(
    method: str, defaults: dict[str, object], model: tuple[Classifier, Watched, Subject, Adversarial]
) -> None:
    classifier, _, subject, adversarial = model
    offered = {f"default_{name.removeprefix('max_')}": value for name, value in defaults.items()}
    classifier.model.methods.add(name=method, options=list(defaults), **offered)
    part = v1.Twin()
    run_one(classifier, twin(part, classifier, subject, adversarial, method, 5, Passes(Limits())))
    neighbour = subject_of(classifier, adversarial.picture)
    maps = []
    for of, target in ((subject, 0), (neighbour, 1), (neighbour, 0)):
        alone = v1.Explanation(method=method, status={})
        options = v1.ExplanationOptions(method=method, target_class=target, encodings=["uint8"], channels="sum")
        options.MergeFrom(v1.ExplanationOptions(**defaults))
        maps.append(run_one(classifier, explain(alone, classifier, of, options, 5, Passes(Limits()))).values)
        if len(maps) < 3:
            assert (part.before, part.after)[len(maps) - 1] == alone
    assert part.HasField("status")
    assert part.status.code == 0
    before, after, moved = maps
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
    model: tuple[Classifier, Watched, Subject, Adversarial],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    classifier, _, subject, adversarial = model
    asked = []

    async def fail_the_second_time(passes: Passes, question: Question) -> Attribution:
        asked.append(question)
        if len(asked) == 2:
            raise raised
        return await EXPLAINERS["saliency"].explain(passes, question)

    register(monkeypatch, fail_the_second_time)
    part, task = measured(classifier, subject, Limits())
    task.result()
    [distance] = part.distances
    assert distance.distance == adversarial.distance
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


def test_maps_that_cannot_be_compared_leave_the_distance(
    model: tuple[Classifier, Watched, Subject, Adversarial], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, _, subject, adversarial = model

    def fail(*_: object) -> v1.MapSimilarity:
        raise ZeroDivisionError

    monkeypatch.setattr(twin_module, "map_similarity", fail)
    part, task = measured(classifier, subject, Limits())
    task.result()
    [distance] = part.distances
    assert distance.distance == adversarial.distance
    assert type(error_from_status(distance.twin.status)) is InternalError
    assert not distance.twin.HasField("before")


@pytest.mark.parametrize("gone", [False, True])
def test_limits_end_the_maps(
    gone: bool,
    model: tuple[Classifier, Watched, Subject, Adversarial],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A method that does not watch the clock: the deadline ends its maps, a caller who is gone the whole work."""
    classifier, watched, subject, adversarial = model
    lease = tmp_path / "lease"
    lease.touch()
    limits = Limits(time.time() + 600, lease)

    async def too_long(passes: Passes, question: Question) -> Attribution:
        before = watched.calls
        while watched.calls < before + 1000:
            await passes.logits(question.picture[None])
            if gone:
                lease.unlink(missing_ok=True)
            else:
                end(limits, -1)
        raise AssertionError("nobody stopped it")

    register(monkeypatch, too_long)
    part, task = measured(classifier, subject, limits)
    if gone:
        assert isinstance(task.outcome, CancelledError)
        return
    task.result()
    [distance] = part.distances
    assert distance.distance == adversarial.distance
    assert type(error_from_status(distance.twin.status)) is DeadlineExceededError


@pytest.mark.parametrize("norms", [("linf",), ("linf", "l2")])
def test_maps_share_the_time_that_is_left(
    norms: tuple[str, ...],
    model: tuple[Classifier, Watched, Subject, Adversarial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Methods that take what time there is are all given about as much."""
    classifier, watched, subject, _ = model
    seconds = []

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        time.sleep(0.002)
        return logits

    watched.meanwhile = meanwhile

    async def as_long_as_it_may(passes: Passes, question: Question) -> Attribution:
        started = time.perf_counter()
        while passes.grant(1):
            await passes.logits(question.picture[None])
        seconds.append(time.perf_counter() - started)
        return Attribution(question.picture[0], "relative", signed=False, stopped_by="deadline")

    register(monkeypatch, as_long_as_it_may)
    deadline = time.time() + 1.0 * len(norms)
    part, task = measured(classifier, subject, Limits(deadline), norms)
    task.result()
    assert time.time() < deadline
    assert [distance.state for distance in part.distances] == ["found"] * len(norms)
    for distance in part.distances:
        assert distance.twin.status.code == 0, distance.twin.status.message
        assert distance.twin.HasField("new_class")
    assert len(seconds) == 3 * len(norms)
    # The searches took next to nothing of their shares, which then go to what comes after them.
    assert min(seconds) > 0.15
    for number in range(0, len(seconds), 3):
        assert max(seconds[number : number + 3]) < 1.5 * min(seconds[number : number + 3])


def test_a_neighbour_without_an_answer_has_no_maps(
    model: tuple[Classifier, Watched, Subject, Adversarial],
) -> None:
    classifier, watched, subject, adversarial = model
    watched.meanwhile = lambda _, logits: torch.full_like(logits, float("nan"))
    part = v1.Twin()
    run_one(classifier, twin(part, classifier, subject, adversarial, "saliency", 0, Passes(Limits())))
    error = error_from_status(part.status)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "NOT_FINITE"
