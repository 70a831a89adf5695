"""Tries the methods that find out only when they run whether they can work on a network."""

from collections.abc import Callable

from torch import Tensor

from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.packing.randomisation import attributions, looked_at


def try_methods(classifier: Classifier, view: Tensor, report: Callable[[str], None]) -> None:
    """Notes in the manifest why a method cannot work on this network.

    Methods with a budget are not tried: they need gradients or answers alone, which every network has. A method of a
    single pass may need a rule for each of the network's operations.

    Args:
        classifier: On the CPU.
        view: [3, crop, crop] in [0, 1].
        report: Called with each step, in a few words.

    Raises:
        FailedPreconditionError: The network itself is at fault, whatever the method.
    """
    cases = looked_at(classifier, view[None])
    targets = [each.subject.predicted for each in cases]
    for method in classifier.model.methods:
        row = EXPLAINERS[method.name]
        if method.unavailable or row.default_evaluations:
            continue
        report(f"trying {method.name}")
        try:
            attributions(row, cases, targets, 0)
        except FailedPreconditionError as error:
            if error.reason != "METHOD_UNAVAILABLE":
                raise
            method.unavailable = error.message
