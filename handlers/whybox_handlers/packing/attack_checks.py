"""Tests, when a model is packed, whether its gradients mislead the attacks that follow them.

These are the five warnings of AutoAttack (Croce and Hein, arXiv:2003.01690), whether enlarging a change ever restores
the original answer (Carlini et al., arXiv:1902.06705), and whether planted adversarial pictures are found (Zimmermann
et al., arXiv:2206.13991).
"""

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import ANY_RIVAL
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.models.subject import Subject
from whybox_handlers.packing.budgets import Budget
from whybox_handlers.packing.side_by_side import side_by_side
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.computations import differentiate_margin
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.pictures.levels import LEVELS
from whybox_handlers.robustness.attacks import ATTACKS, NORMS, Found
from whybox_handlers.robustness.verdict import objections_to_attacks

_NORM = "linf"
_FOLLOWING, _BLACK_BOX = "fmn", "square"
# A distance below this share of another one is much better.
_MUCH_BETTER = 0.8
# A gradient with a larger share of zeros says nothing about most of the picture.
_ZEROS = 0.99
_ENLARGEMENTS = (2.0, 4.0)
_PLANTED_RADIUS = 8 / LEVELS
# Number and size, as a share of that radius, of the changes that the planted one must differ from.
_INNER, _INNER_SHARE = 16, 0.75
# Outputs that sum to 1 up to this are probabilities.
_SUM_OF_PROBABILITIES = 1e-4


def check_attacks(classifier: Classifier, views: Tensor, budget: Budget, report: Callable[[str], None]) -> None:
    """Notes the outcomes and the default attack in the manifest.

    Args:
        classifier: On the CPU.
        views: [N, 3, crop, crop] in [0, 1]; the first ones are attacked.
        budget: For this network.
        report: Called with each step, in a few words.
    """
    check = classifier.model.attack_check
    check.Clear()
    check.pictures = len(views)
    report("testing whether gradients can be trusted")
    logits = torch.cat([classifier.serve(view[None]) for view in views])
    again = torch.cat([classifier.serve(view[None]) for view in views])
    check.repetition_difference = float((logits - again).abs().max())
    sums = (logits.sum(dim=1) - 1).abs().max()
    check.softmax_output = bool(((logits >= 0) & (logits <= 1)).all() and sums <= _SUM_OF_PROBABILITIES)
    check.optimises_at_inference = _optimises(classifier.network, views[:1])
    check.zero_gradient_share = _mean(
        _zero_gradient(classifier, view, row) for view, row in zip(views, logits, strict=True)
    )
    attacked = [
        Subject(view, v1.View(), row, None)
        for view, row in zip(views[: budget.attacked_pictures], logits, strict=False)
    ]
    check.attacked = len(attacked)
    check.gradient_evaluations = budget.gradient_evaluations
    check.forward_evaluations = budget.forward_evaluations
    check.planted_evaluations = budget.planted_evaluations
    following, black_box, planted = _searched(classifier, attacked, budget, report)
    check.black_box_better_share = _mean(_better(*pair) for pair in zip(black_box, following, strict=True))
    check.radius_helps_share = _mean(_flips_back(classifier, *pair) for pair in zip(attacked, following, strict=True))
    check.planted = sum(found is not None for found in planted)
    check.planted_found = sum(found is True for found in planted)
    check.reasons.extend(objections_to_attacks(check))
    check.reliable = not check.reasons
    masked = check.zero_gradient_share or check.black_box_better_share or check.planted_found < check.planted
    classifier.model.default_attack = _BLACK_BOX if masked else _FOLLOWING


def _searched(
    classifier: Classifier, attacked: Sequence[Subject], budget: Budget, report: Callable[[str], None]
) -> tuple[list[Found], list[Found], list[bool | None]]:
    """For each picture: what is found with gradients and without, and whether the planted picture is found.

    None in place of the last if no picture could be planted.
    """

    def follow(index: int) -> Found:
        report(f"attacking picture {index + 1} of {len(attacked)} with gradients")
        return _attack(classifier, attacked[index], _FOLLOWING, budget.gradient_evaluations)

    def search(index: int) -> Found:
        report(f"attacking picture {index + 1} of {len(attacked)} without gradients")
        attack = ATTACKS[_BLACK_BOX]
        return _attack(
            classifier, attacked[index], _BLACK_BOX, budget.forward_evaluations // attack.forwards_per_gradient
        )

    def plant(index: int) -> bool | None:
        report(f"planting an adversarial picture beside picture {index + 1} of {len(attacked)}")
        picture = attacked[index].picture
        planted = _planted(classifier, picture, torch.Generator().manual_seed(index))
        return None if planted is None else _finds(planted, picture, budget.planted_evaluations)

    checks: Sequence[Callable[[int], Any]] = (search, plant, follow)
    jobs = [(check, index) for check in checks for index in range(len(attacked))]
    outcomes = side_by_side(lambda job: job[0](job[1]), jobs)
    black_box, planted, following = (
        outcomes[start : start + len(attacked)] for start in range(0, len(jobs), len(attacked))
    )
    return following, black_box, planted


def _mean(outcomes: Any) -> float:
    values = [float(outcome) for outcome in outcomes]
    return sum(values) / len(values)


def _optimises(network: nn.Module, pictures: Tensor) -> bool:
    """Whether a forward pass calls torch's automatic differentiation, according to Python's profiler."""
    called = []

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name in ("grad", "backward") and "torch/autograd/__init__" in code.co_filename:
            called.append(code.co_name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        network(pictures)
    finally:
        sys.setprofile(before)
    return bool(called)


def _zero_gradient(classifier: Classifier, view: Tensor, logits: Tensor) -> bool:
    label = logits.argmax()[None]
    _, gradients = differentiate_margin(classifier, view[None], label, torch.tensor([ANY_RIVAL]))
    return float((gradients == 0).float().mean()) > _ZEROS


def _attack(classifier: Classifier, subject: Subject, name: str, evaluations: int) -> Found:
    return run_one(classifier, ATTACKS[name].run(Passes(Limits()), subject, _NORM, evaluations))


def _better(one: Found, other: Found) -> bool:
    if one.adversarial is None:
        return False
    return other.adversarial is None or one.adversarial.distance < _MUCH_BETTER * other.adversarial.distance


def _flips_back(classifier: Classifier, subject: Subject, found: Found) -> bool:
    if found.adversarial is None:
        return False
    change = found.adversarial.picture - subject.picture
    enlarged = torch.stack([(subject.picture + factor * change).clamp(0, 1) for factor in _ENLARGEMENTS])
    return bool((classifier.serve(enlarged).argmax(dim=1) == subject.predicted).any())


class _Detector(nn.Module):
    """Two classes over the network's logits z: whether v . (z - z0) exceeds a threshold."""

    def __init__(self, network: nn.Module, origin: Tensor, direction: Tensor, threshold: float) -> None:
        super().__init__()
        self.network = network
        self.mean = network.mean
        self._origin, self._direction, self._threshold = origin, direction, threshold

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 2]; class 1 is the planted one."""
        score = (self.network(pictures) - self._origin) @ self._direction - self._threshold
        return torch.stack([torch.zeros_like(score), score], dim=1)

    def stages(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As `Differentiable.stages`, without maps."""
        return (self.forward(pictures),)


def _planted(classifier: Classifier, view: Tensor, generator: torch.Generator) -> Classifier | None:
    """A detector on top of the network that tells one random change of the planted radius from smaller random ones.

    None if the network's output does not tell them apart.
    """

    def random_change(radius: float) -> Tensor:
        signs = torch.randint(0, 2, view.shape, generator=generator) * 2.0 - 1
        return (view + radius * signs).clamp(0, 1)

    inner = [random_change(_INNER_SHARE * _PLANTED_RADIUS) for _ in range(_INNER)]
    with torch.no_grad():
        logits = torch.cat(
            [classifier.network(picture[None]) for picture in (view, random_change(_PLANTED_RADIUS), *inner)]
        )
    direction = logits[1] - logits[0]
    length = float(direction.norm())
    if not length:
        return None
    direction = direction / length
    scores = (logits - logits[0]) @ direction
    highest = max(float(scores[2:].max()), 0.0)
    if not float(scores[1]) > highest:
        return None
    detector = _Detector(classifier.network, logits[0], direction, (float(scores[1]) + highest) / 2)
    detector.eval()
    return Classifier(v1.Model(), detector, TorchServing(detector), torch.device("cpu"))  # type: ignore[arg-type]


def _finds(planted: Classifier, view: Tensor, evaluations: int) -> bool:
    subject = Subject(view, v1.View(), planted.serve(view[None])[0], None)
    adversarial = _attack(planted, subject, _FOLLOWING, evaluations).adversarial
    if adversarial is None:
        return False
    return NORMS[_NORM].size(adversarial.picture - view) <= _PLANTED_RADIUS
