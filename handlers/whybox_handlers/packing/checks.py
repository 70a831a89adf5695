"""Checks of a model before it is served: its export, its maps, and its methods."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.packing.budgets import Budget
from whybox_handlers.packing.peers import PEERS, map_difference
from whybox_handlers.packing.randomisation import (
    DeadNetworkError,
    attributions,
    looked_at,
    randomisation_test,
    randomised,
)
from whybox_handlers.packing.refusals import PackError
from whybox_handlers.packing.side_by_side import side_by_side

# ONNX Runtime and torch round differently; a larger difference, as a share of the largest logit, means that the export
# is wrong.
MAX_LOGIT_DIFFERENCE = 1e-4
# Rounding may swap two classes whose logits differ by less than this share of the largest logit.
_TIE = 32 * torch.finfo(torch.float32).eps
# The same for a map of ours and Captum's, as a share of the map's range with 0.
MAX_MAP_DIFFERENCE = 1e-3
_TOP = 5
# Number of pictures from which the random network takes the statistics of its batch norms.
_CALIBRATION_PICTURES = 8


def compare_logits(classifier: Classifier, views: Mapping[str, Tensor], report: Callable[[str], None]) -> None:
    """Compares the serving network with torch on real pictures and notes the outcome in the manifest.

    Args:
        classifier: On the CPU.
        views: [3, crop, crop] in [0, 1], by the names that reports and errors use.
        report: Called with each step, in a few words.

    Raises:
        PackError: They disagree.
    """

    def both(name: str) -> tuple[Tensor, Tensor]:
        report(f"comparing ONNX Runtime with torch on {name}")
        with torch.no_grad():
            return classifier.serve(views[name][None])[0], classifier.network(views[name][None])[0]

    logits = dict(zip(views, side_by_side(both, views), strict=True))
    # Over all pictures: the logits of one of them may all be small.
    size = max(float(expected.abs().max()) for _, expected in logits.values())
    worst = 0.0
    for name, (served, expected) in logits.items():
        if not expected.isfinite().all():
            raise PackError(f"{name}: the network's output is not finite; check the weights and the preprocessing")
        difference = float((served - expected).abs().max())
        if not difference <= MAX_LOGIT_DIFFERENCE * size:
            raise PackError(
                f"{name}: a logit differs by {difference:.2g} between ONNX Runtime and torch (at most "
                f"{MAX_LOGIT_DIFFERENCE * size:.2g}, {MAX_LOGIT_DIFFERENCE:g} of the largest logit)"
            )
        if not _same_order(served, expected, _TIE * size):
            raise PackError(f"{name}: the {min(_TOP, len(expected))} most probable classes differ")
        worst = max(worst, difference)
    check = classifier.model.packing_check
    check.pictures, check.max_logit_difference = len(views), worst


def _same_order(served: Tensor, expected: Tensor, tie: float) -> bool:
    """Whether the leading classes of both, [classes], are the same in the same order, up to ties."""
    number = min(_TOP, len(expected))
    leading = expected.topk(number).values
    chosen = expected[served.topk(number).indices]
    return bool((leading - chosen).abs().max() <= tie)


def compare_maps(classifier: Classifier, view: Tensor, report: Callable[[str], None]) -> None:
    """Compares maps of the predicted class with Captum's and notes the outcome in the manifest.

    Args:
        classifier: On the CPU.
        view: [3, crop, crop] in [0, 1].
        report: Called with each step, in a few words.

    Raises:
        PackError: They disagree.
    """
    cases = looked_at(classifier, view[None])
    target = cases[0].subject.predicted
    check = classifier.model.packing_check
    for method in classifier.model.methods:
        if method.name not in PEERS or method.unavailable:
            continue
        report(f"comparing {method.name} with Captum's")
        # These methods take no budget.
        (ours,) = attributions(EXPLAINERS[method.name], cases, [target], 0)
        difference = map_difference(method.name, classifier.network, view, target, ours.attribution.values)
        if not difference <= MAX_MAP_DIFFERENCE:
            raise PackError(
                f"{method.name}: the map differs from Captum's by {difference:.2g} of its range "
                f"(at most {MAX_MAP_DIFFERENCE:g})"
            )
        check.max_map_difference = max(check.max_map_difference, difference)


def randomise_methods(classifier: Classifier, views: Tensor, budget: Budget, report: Callable[[str], None]) -> None:
    """Makes the model-randomisation test of each method and notes the outcomes in the manifest.

    Methods that are off by default are tested too, because a failure may be the reason.

    Args:
        classifier: On the CPU.
        views: [N, 3, crop, crop] in [0, 1], two or more different ones; the first ones are used.
        budget: For this network.
        report: Called with each step, in a few words.

    Raises:
        PackError: A network with random weights cannot tell the pictures apart.
    """
    try:
        random = randomised(classifier, views[:_CALIBRATION_PICTURES])
    except DeadNetworkError as error:
        raise PackError(f"check_pictures.files: {error}; add pictures that differ more, or check the weights") from None
    used = views[: max(budget.compared_pictures.values())]
    trained_cases, random_cases = looked_at(classifier, used), looked_at(random, used)

    def test(method: v1.Method) -> None:
        row = EXPLAINERS[method.name]
        report(f"testing {method.name} against a network with random weights")
        number = budget.compared_pictures[row.evaluations]
        try:
            outcome = randomisation_test(
                row, trained_cases[:number], random_cases[:number], budget.map_evaluations[row.evaluations]
            )
        except FailedPreconditionError as error:
            # Some methods find out only when they run that they cannot work on this network.
            method.unavailable = error.message
            return
        if outcome is not None:
            method.randomisation_test.CopyFrom(outcome)

    testable = [
        method
        for method in classifier.model.methods
        if not EXPLAINERS[method.name].unavailable_for(classifier.network, [method.name], method.name)
    ]
    # The longest come first, so that no core waits at the end.
    side_by_side(test, sorted(testable, key=lambda method: -method.default_evaluations))
