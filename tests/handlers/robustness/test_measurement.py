"""From what attacks find to the answer: distances, pictures of 8 bits, what speaks against them, and late deadlines."""

import dataclasses
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clocks import Clock
from explaining import subject_of
from linear import Watched, linear, picture
from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run, run_one
from whybox_handlers.robustness.attacks import ATTACKS, NORMS, Found
from whybox_handlers.robustness.measurement import Measured, measure_robustness

LEVEL = 1 / 255
DISTANCE = 0.2 * LEVEL


def begun(classifier: Classifier, subject: Subject, limits: Limits | None = None, **options: Any) -> Task[Measured]:
    """The measurement, done."""
    wanted = v1.RobustnessOptions(**{"norms": ["linf"], "budget": "9", "attack": "fmn"} | options)
    limits = limits or Limits()
    task = Task(measure_robustness(Case(classifier, subject), wanted, Passes(limits)), limits)
    run(classifier, [task])
    return task


def measured(classifier: Classifier, subject: Subject, **options: Any) -> v1.Distance:
    [distance] = begun(classifier, subject, **options).result().part.distances
    return distance


def found_by(name: str, classifier: Classifier, subject: Subject, norm: str, evaluations: int = 9) -> Found:
    return run_one(classifier, ATTACKS[name].run(Passes(Limits()), subject, norm, evaluations))


def smallest_of_8_bits(classifier: Classifier, of: Tensor, change: Tensor, norm: str) -> float:
    """By brute force: every picture of 8 bits that an enlargement of the change comes by, from the smallest on."""
    scale = torch.tensor(255.0, dtype=torch.float64)
    start, steps = of.double() * scale, change.double() * scale
    # Where the values pass halves of levels.
    halves = torch.arange(0.5, 255, dtype=torch.float64)
    passings = ((halves - start.flatten()[:, None]) / steps.flatten()[:, None]).flatten()
    passings = passings[(passings > 1) & (passings < 50)].sort().values
    for middle in torch.cat([torch.ones(1), (passings[1:] + passings[:-1]) / 2]).tolist():
        rounded = (torch.round(start + middle * steps) / scale).clamp(0, 1).float()
        if int(classifier.serve(rounded[None])[0].argmax()) != 0:
            return NORMS[norm].size(rounded - of)
    raise AssertionError("nothing flips")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("levels", [0.05, 0.2, 0.45, 1.3])
def test_the_smallest_change_that_8_bits_can_hold(norm: str, levels: float, seed: int) -> None:
    classifier, _ = linear(levels * LEVEL, picture(seed))
    subject = subject_of(classifier, picture(seed))
    distance = measured(classifier, subject, norms=[norm], encodings=["adversarial"])
    adversarial = found_by("fmn", classifier, subject, norm).adversarial
    assert adversarial is not None
    assert distance.distance == adversarial.distance
    if norm == "linf":
        assert distance.distance == pytest.approx(levels * LEVEL, rel=0.01)
    smallest = smallest_of_8_bits(classifier, subject.picture, adversarial.picture - subject.picture, norm)
    assert smallest <= distance.distance_8bit <= 1.1 * smallest
    shown = torch.from_numpy(np.array(Image.open(BytesIO(distance.adversarial_picture)))).permute(2, 0, 1) / 255
    assert NORMS[norm].size(shown - subject.picture) == pytest.approx(distance.distance_8bit, rel=1e-5)
    assert int(classifier.serve(shown[None])[0].argmax()) == 1
    rounded = torch.round(adversarial.picture * 255) / 255
    assert distance.survives_8bit == (int(classifier.serve(rounded[None])[0].argmax()) == 1)


def test_the_change_is_amplified() -> None:
    classifier, _ = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    distance = measured(classifier, subject, norms=["l2"], encodings=["change"])
    adversarial = found_by("fmn", classifier, subject, "l2").adversarial
    assert adversarial is not None
    change = adversarial.picture - subject.picture
    shown = np.asarray(Image.open(BytesIO(distance.change_picture))).transpose(2, 0, 1).astype(float)
    assert {shown.min(), shown.max()} & {0.0, 255.0}
    expected = 127.5 + 127.5 * (change / change.abs().max()).numpy()
    assert np.abs(shown - expected).max() <= 0.51


def test_every_pass_is_counted() -> None:
    classifier, watched = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    before = watched.calls
    distance = measured(classifier, subject)
    assert distance.forward_evaluations == watched.calls - before
    assert distance.forward_evaluations > found_by("fmn", classifier, subject, "linf").forward_evaluations


def calls_of_the_search(classifier: Classifier, watched: Watched, subject: Subject) -> int:
    before = watched.calls
    found_by("fmn", classifier, subject, "linf")
    return watched.calls - before


@pytest.mark.parametrize("seconds", [-1.0, 0.06], ids=["over", "nearly over"])
@pytest.mark.parametrize("passes", [1, 2, 3, 5])
def test_the_deadline_after_the_search_leaves_the_distance(passes: int, seconds: float) -> None:
    """Time ends with the first, second ... look at what the search has found."""
    # Of 8 bits, so that rounding takes the whole change away.
    of = torch.round(picture() * 255) / 255
    classifier, watched = linear(DISTANCE, of)
    subject = subject_of(classifier, of)
    whole = measured(classifier, subject)
    last = watched.calls + calls_of_the_search(classifier, watched, subject) * 2 + passes
    clock = Clock()
    limits = clock.limits(600)

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        if watched.calls == last:
            # 50 ms are kept back before a deadline, and what is left is less than a pass like this takes.
            clock.leave(limits, seconds)
        return logits

    watched.meanwhile = meanwhile
    [distance] = begun(classifier, subject, limits).result().part.distances
    assert watched.calls == last, "nothing more is looked at"
    assert (distance.state, distance.distance) == ("found", whole.distance)
    assert distance.reliable, distance.reasons
    known = passes + (seconds > 0)
    # The first looks at twice the change, the second at the picture as rounded, the others at its enlargements.
    assert distance.HasField("survives_8bit") == (known > 2)
    assert not distance.survives_8bit
    assert not distance.HasField("distance_8bit") or distance.distance_8bit >= whole.distance_8bit


def test_the_deadline_before_the_second_norm_leaves_the_first() -> None:
    classifier, watched = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    before = watched.calls
    whole = measured(classifier, subject)
    clock, last = Clock(), 2 * watched.calls - before
    limits = clock.limits(600)

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        if watched.calls == last:
            clock.leave(limits, -1)
        return logits

    watched.meanwhile = meanwhile
    found = begun(classifier, subject, limits, norms=["linf", "l2"]).result()
    assert len(found.pictures) == 2
    first, second = found.part.distances
    assert (first.norm, first.distance) == ("linf", whole.distance)
    assert (second.norm, second.state, second.searched_radius) == ("l2", "not_found", 0)
    assert second.stopped_by == "deadline"
    assert not second.reliable


def test_without_time_for_the_first_there_is_none() -> None:
    classifier, _ = linear(DISTANCE, picture())
    task = begun(classifier, subject_of(classifier, picture()), Clock().limits(-1))
    assert isinstance(task.outcome, DeadlineExceededError)


def test_a_caller_who_is_gone_ends_it(tmp_path: Path) -> None:
    classifier, watched = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    last = watched.calls + calls_of_the_search(classifier, watched, subject) * 2 + 1
    lease = tmp_path / "lease"
    lease.touch()

    def meanwhile(_: Tensor, logits: Tensor) -> Tensor:
        if watched.calls == last:
            lease.unlink()
        return logits

    watched.meanwhile = meanwhile
    task = begun(classifier, subject, Limits(lease=lease))
    assert isinstance(task.outcome, CancelledError)
    assert watched.calls == last


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_flips_nothing(value: float) -> None:
    """A network whose output breaks down on pictures of 8 bits, and a little farther from the picture."""
    classifier, watched = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())

    def meanwhile(pictures: Tensor, logits: Tensor) -> Tensor:
        broken = (pictures - subject.picture).abs().amax(dim=(1, 2, 3)) > 1.5 * DISTANCE
        return torch.where(broken[:, None], logits + torch.tensor([0.0, value, 0.0]), logits)

    watched.meanwhile = meanwhile
    distance = measured(classifier, subject)
    assert distance.distance == pytest.approx(DISTANCE, rel=0.01)
    assert (distance.HasField("survives_8bit"), distance.survives_8bit) == (True, False)
    assert not distance.HasField("distance_8bit")
    assert any("twice the change" in reason for reason in distance.reasons)


SETTLED = Found(None, 0.1, DISTANCE, 9, 5, "evaluations", flip_met=True)
NEVER_TESTED = "never tested"


@pytest.mark.parametrize(
    ("budget", "changed", "reasons"),
    [
        ("9", {}, []),
        ("9", {"distance_at_half_budget": 1.2 * DISTANCE}, []),
        ("9", {"distance_at_half_budget": 1.4 * DISTANCE}, ["still reduced the distance by much"]),
        ("30", {"distance_at_half_budget": None, "gradient_evaluations": 30}, ["no flip was found in the first half"]),
        ("9", {"distance_at_half_budget": None, "gradient_evaluations": 0, "forward_evaluations": 90}, ["first half"]),
        ("9", {"distance_at_half_budget": None, "flip_met": False}, ["met no flip"]),
        # So few look around first.
        ("9", {"distance_at_half_budget": None, "gradient_evaluations": 9, "forward_evaluations": 90}, []),
        # Who has no further step to make has no use for a larger budget.
        ("9", {"distance_at_half_budget": 1.4 * DISTANCE, "stopped_by": "converged"}, []),
        ("30", {"distance_at_half_budget": None, "gradient_evaluations": 30, "stopped_by": "converged"}, []),
        ("9", {"stopped_by": "flat"}, ["the gradient vanished"]),
        ("9", {"stopped_by": "deadline"}, ["before its budget was spent"]),
        # The time was the budget.
        ("deadline", {"stopped_by": "deadline"}, []),
        ("deadline", {"stopped_by": "deadline", "adversarial": None}, ["no flip was found up to"]),
        ("9", {"adversarial": None, "distance_at_half_budget": None}, ["no flip was found up to"]),
    ],
)
def test_what_speaks_against_a_search(
    budget: str, changed: dict[str, Any], reasons: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, _ = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    adversarial = found_by("fmn", classifier, subject, "linf").adversarial
    found = dataclasses.replace(SETTLED, **{"adversarial": adversarial} | changed)

    async def search(*_: object, **__: object) -> Found:
        return found

    monkeypatch.setattr(ATTACKS["fmn"], "run", search, raising=True)
    distance = measured(classifier, subject, budget=budget)
    assert len(distance.reasons) == len(reasons), distance.reasons
    assert all(words in told for words, told in zip(reasons, distance.reasons, strict=True)), distance.reasons
    assert distance.reliable == (not reasons)


@pytest.mark.parametrize(
    ("check", "gradient", "forward"),
    [
        ({}, [], []),
        ({"pictures": 0}, [NEVER_TESTED], [NEVER_TESTED]),
        ({"repetition_difference": 0.1}, ["random"], ["random"]),
        ({"radius_helps_share": 0.5}, ["enlarging the change"], ["enlarging the change"]),
        ({"zero_gradient_share": 0.25}, ["zero almost everywhere"], []),
        ({"softmax_output": True}, ["probabilities instead of logits"], []),
        ({"black_box_better_share": 0.5}, ["gradients mislead"], []),
        ({"optimises_at_inference": True}, ["computes gradients"], []),
        ({"planted": 0, "planted_found": 0}, ["could be planted"], []),
        ({"planted": 2, "planted_found": 1}, ["were not found"], []),
    ],
)
def test_what_is_known_of_the_model_concerns_some_attacks(
    check: dict[str, object], gradient: list[str], forward: list[str]
) -> None:
    classifier, _ = linear(DISTANCE, picture())
    subject = subject_of(classifier, picture())
    for name, value in check.items():
        setattr(classifier.model.attack_check, name, value)
    for attack, reasons in (("fmn", gradient), ("square", forward)):
        told = [reason for reason in measured(classifier, subject, attack=attack).reasons if "budget" not in reason]
        assert len(told) == len(reasons), told
        assert all(words in reason for words, reason in zip(reasons, told, strict=True)), told
