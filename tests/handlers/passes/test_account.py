"""Passes are shared, charged to who asked, and stopped one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of
from clocks import Clock
from whybox import v1
from whybox.v1 import errors
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Grant, Limits, Passes, StoppedBy
from whybox_handlers.passes.scheduler import Task, run, run_one

OBJECTIVE = torch.tensor([0.0, 1.0])


class Watched(nn.Module):
    """The network's first layer: notes the size of each batch, and does what a test wants done meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.meanwhile = meanwhile

    def forward(self, rows: Tensor) -> Tensor:
        self.batches.append(len(rows))
        self.meanwhile()
        if bool((rows > 100).any()):
            raise RuntimeError("this picture cannot be computed")
        return rows


def watched(meanwhile: Callable[[], object] = lambda: None) -> tuple[Classifier, Watched]:
    torch.manual_seed(0)
    layer = Watched(meanwhile)
    classifier = classifier_of(network_of(layer, nn.Flatten(1), nn.Linear(3 * 4 * 4, 2)))
    classifier.batch_sizes = v1.BatchSizes(forward=4, occluded=4, gradient=4)
    return classifier, layer


def rows(count: int, value: float = 0.5) -> Tensor:
    return torch.full((count, 3, 4, 4), value)


async def gradients(passes: Passes, pictures: Tensor, times: int = 1) -> Tensor:
    for _ in range(times):
        values, _ = await passes.gradients(pictures, OBJECTIVE)
    return values


def gradient_task(pictures: Tensor, times: int = 1, limits: Limits | None = None) -> Task[Tensor]:
    limits = limits or Limits()
    return Task(gradients(Passes(limits), pictures, times), limits)


@pytest.mark.parametrize(
    ("counts", "batches"),
    [([1], [1]), ([4], [4]), ([9], [4, 4, 1]), ([1, 1, 1], [3]), ([3, 3, 3], [4, 4, 1])],
)
def test_rows_of_all_who_wait_fill_batches_of_four(counts: list[int], batches: list[int]) -> None:
    classifier, layer = watched()
    tasks = [gradient_task(rows(count, index / 10)) for index, count in enumerate(counts)]
    run(classifier, tasks)
    assert layer.batches == batches
    for index, (task, count) in enumerate(zip(tasks, counts, strict=True)):
        assert isinstance(task.outcome, Tensor)
        expected = classifier.network(rows(count, index / 10))[:, 1]
        torch.testing.assert_close(task.outcome, expected.detach())


def test_those_who_need_more_go_on_alone() -> None:
    classifier, layer = watched()
    run(classifier, [gradient_task(rows(2), times=3), gradient_task(rows(2))])
    assert layer.batches == [4, 2, 2]


def test_each_is_charged_for_its_own() -> None:
    classifier, _ = watched()
    accounts = [Passes(Limits()) for _ in range(3)]

    async def both(passes: Passes) -> None:
        await passes.logits(rows(3))
        await passes.gradients(rows(2), OBJECTIVE)

    async def forward(passes: Passes) -> None:
        await passes.logits(rows(5))

    async def nothing(_: Passes) -> None:
        return

    jobs = zip((both, forward, nothing), accounts, strict=True)
    run(classifier, [Task(job(passes), Limits()) for job, passes in jobs])
    spent = [(passes.forward_evaluations, passes.gradient_evaluations) for passes in accounts]
    assert spent == [(5, 2), (5, 0), (0, 0)]


def test_computing_time_is_shared_by_rows() -> None:
    clock = Clock()
    classifier, _ = watched(lambda: clock.turn(0.04))
    tasks = [gradient_task(rows(3)), gradient_task(rows(1))]
    run(classifier, tasks, clock)
    assert [task.seconds for task in tasks] == pytest.approx([0.03, 0.01])


def test_a_failing_computation_spoils_only_its_own() -> None:
    classifier, _ = watched()
    tasks = [gradient_task(rows(1)), gradient_task(rows(1, 1000)), gradient_task(rows(2))]
    run(classifier, tasks)
    assert [type(task.outcome) for task in tasks] == [Tensor, RuntimeError, Tensor]
    alone = gradient_task(rows(2))
    run(classifier, [alone])
    assert isinstance(alone.outcome, Tensor)
    assert isinstance(tasks[2].outcome, Tensor)
    assert torch.equal(alone.outcome, tasks[2].outcome)


def test_an_explainer_may_catch_a_failing_computation() -> None:
    classifier, _ = watched()

    async def careful() -> str:
        try:
            await Passes(Limits()).gradients(rows(1, 1000), OBJECTIVE)
        except RuntimeError:
            await Passes(Limits()).gradients(rows(1), OBJECTIVE)
            return "recovered"
        return "not reached"

    task = Task(careful(), Limits())
    run(classifier, [task])
    assert task.outcome == "recovered"


def test_an_exception_of_its_own_spoils_only_its_own() -> None:
    classifier, _ = watched()

    async def broken() -> Tensor:
        await Passes(Limits()).logits(rows(1))
        raise ZeroDivisionError

    tasks: list[Task[Tensor]] = [Task(broken(), Limits()), gradient_task(rows(1), times=3)]
    run(classifier, tasks)
    assert [type(task.outcome) for task in tasks] == [ZeroDivisionError, Tensor]


def test_the_deadline_ends_one_and_not_the_others() -> None:
    clock = Clock()
    classifier, layer = watched(lambda: clock.turn(0.02))
    limits = clock.limits(0.05)
    tasks = [gradient_task(rows(4), times=100, limits=limits), gradient_task(rows(4), times=8)]
    run(classifier, tasks)
    assert [type(task.outcome) for task in tasks] == [errors.DeadlineExceededError, Tensor]
    # Both take turns; after the second batch of its own, 0.08 s have passed.
    assert len(layer.batches) == 8 + 2


def test_work_whose_time_is_over_never_starts() -> None:
    classifier, layer = watched()
    task = gradient_task(rows(1), limits=Clock().limits(-1))
    run(classifier, [task])
    assert isinstance(task.outcome, errors.DeadlineExceededError)
    assert layer.batches == []


@pytest.mark.parametrize("waits_for", ["one long batch", "many short ones"])
def test_a_removed_lease_ends_within_one_batch(tmp_path: Path, waits_for: str) -> None:
    lease = tmp_path / "lease"
    lease.touch()
    classifier, layer = watched()
    layer.meanwhile = lambda: lease.unlink() if len(layer.batches) == 3 else None
    count, times = (400, 1) if waits_for == "one long batch" else (1, 100)
    gone = gradient_task(rows(count), times, Limits(lease=lease))
    run(classifier, [gone])
    assert isinstance(gone.outcome, errors.CancelledError)
    assert len(layer.batches) == 3


@pytest.mark.parametrize(
    ("unit", "budget", "wanted", "granted", "stopped_by"),
    [
        ("gradient", None, 7, 7, ""),
        ("gradient", 10, 4, 4, ""),
        # 5 passes forward, 2 of them with a gradient, are spent.
        ("gradient", 5, 4, 3, "evaluations"),
        ("forward", 8, 4, 3, "evaluations"),
        ("forward", 4, 4, 0, "evaluations"),
        ("gradient", 2, 1, 0, "evaluations"),
    ],
)
def test_a_budget_counts_its_unit(
    unit: Literal["gradient", "forward"], budget: int | None, wanted: int, granted: int, stopped_by: StoppedBy
) -> None:
    classifier, _ = watched()
    passes = Passes(Limits()).with_budget(budget, unit)

    async def spend() -> None:
        await passes.logits(rows(3))
        await passes.gradients(rows(2), OBJECTIVE)

    run(classifier, [Task(spend(), Limits())])
    assert passes.grant(wanted) == Grant(granted, stopped_by)
    assert bool(passes.grant(wanted)) == (granted > 0)


@pytest.mark.parametrize(
    ("seconds", "granted"), [(-1.0, 0), (0.01, 0), (0.0649, 0), (0.0651, 1), (0.251, 13), (0.456, 27)]
)
def test_time_is_judged_by_the_passes_so_far(seconds: float, granted: int) -> None:
    clock = Clock()
    classifier, _ = watched(lambda: clock.turn(0.04))
    limits = clock.limits(60)
    passes = Passes(limits)
    run(classifier, [Task(gradients(passes, rows(4)), limits)])
    clock.leave(limits, seconds)
    # 10 ms for each of the 4 rows, half as much again for caution, and 50 ms kept back.
    assert passes.grant(100) == Grant(granted, "deadline")


def test_before_the_first_pass_nothing_is_known_of_time() -> None:
    assert Passes(Clock().limits(-1)).grant(4) == Grant(4, "")


def test_shares_of_a_share() -> None:
    """Three who take a third, half and all of what is left have a third each of their own account's share."""
    clock = Clock()
    # 50 ms are kept back.
    limits = clock.limits(100.05)
    classifier, _ = watched(lambda: clock.turn(0.001))
    half = Passes(limits).with_budget(None, "forward", 0.5)
    shares = []
    for share in (1 / 3, 1 / 2, 1.0):
        own = half.with_budget(None, "forward", share)
        run(classifier, [Task(gradients(own, rows(1)), limits)])
        seconds = own.grant(1_000_000).count * 1.5 * 0.001
        shares.append(seconds)
        clock.turn(seconds)
    assert shares == pytest.approx([50 / 3] * 3, rel=0.001)


@pytest.mark.parametrize("returns", [True, False])
def test_who_is_stopped_may_return_what_there_is(returns: bool) -> None:
    clock = Clock()
    limits = clock.limits(600)
    classifier, layer = watched(lambda: clock.turn(601))

    async def stubborn() -> str:
        for _ in range(3 if returns else 1000):
            try:
                await Passes(limits).logits(rows(1))
            except errors.DeadlineExceededError:
                if not returns:
                    raise
        return "what there is"

    task = Task(stubborn(), limits)
    run(classifier, [task])
    assert layer.batches == [1], "nothing is computed once time is over"
    if returns:
        assert task.result() == "what there is"
    else:
        with pytest.raises(errors.DeadlineExceededError):
            task.result()


def test_one_alone_returns_or_raises() -> None:
    classifier, _ = watched()
    assert run_one(classifier, gradients(Passes(Limits()), rows(2))).shape == (2,)
    with pytest.raises(RuntimeError, match="cannot be computed"):
        run_one(classifier, gradients(Passes(Limits()), rows(1, 300.0)))


def test_a_network_without_maps_says_so() -> None:
    classifier, _ = watched()
    task = Task(Passes(Limits()).head_gradients(None, OBJECTIVE), Limits())
    run(classifier, [task])
    assert isinstance(task.outcome, ValueError)
