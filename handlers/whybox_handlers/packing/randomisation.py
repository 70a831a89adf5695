"""The model-randomisation test: do a method's maps depend on what the network has learnt?

Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv:1810.03292.
"""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from whybox import v1
from whybox_handlers.explanations.explainers import Attribution, Explainer
from whybox_handlers.explanations.explaining import question_of
from whybox_handlers.explanations.maps.pixels import channels_summed
from whybox_handlers.explanations.maps.ranks import rank_correlation
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run

THRESHOLD = 0.5
"""A method fails from this mean absolute rank correlation. Unrelated maps of 7 x 7 cells reach 0.1 to 0.3 by chance. At
0.5 a quarter of a map (0.5^2, in variance of ranks) is independent of the weights that became random."""
_FORGOTTEN = 0.25
"""Share of the layers that become random: the last ones, which hold what the network knows about the classes. Methods
that change the rule of the gradient fail to notice these; random weights in all layers change any map."""
_FEWEST_VALUES = 20
"""A map with fewer different values is not counted: ranks of unrelated maps agree too often by chance."""
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
_MIN_SPREAD = 1e-3
"""Logits of different pictures must differ by this share of their size; otherwise the random network is dead."""


class DeadNetworkError(ValueError):
    """With random weights in its last layers the network gives every picture the same answer: nothing can be tested."""


def randomised(classifier: Classifier, pictures: Tensor, seed: int = 0) -> Classifier:
    """The classifier with random weights in the last quarter of its layers, served by torch.

    Weights are drawn from N(0, 2 / fan-in) (He et al., arXiv:1502.01852), which keeps the size of activations from
    layer to layer. Biases are 0, norms scale by 1, and batch norms take their statistics from the pictures, so that the
    logits still depend on the picture.

    Args:
        classifier: The trained one; it is not changed.
        pictures: [N, 3, crop, crop] in [0, 1], two or more different ones.
        seed: Seed of the weights.

    Raises:
        DeadNetworkError: The logits do not depend on the picture.
    """
    generator = torch.Generator().manual_seed(seed)
    network = copy.deepcopy(classifier.network).cpu()
    # Networks register their layers in the order in which they call them.
    layers = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    forgotten = layers[-math.ceil(_FORGOTTEN * len(layers)) :]
    norms = [layer for layer in forgotten if isinstance(layer, _NORMS)]
    for layer in forgotten:
        for name, parameter in layer.named_parameters(recurse=False):
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            else:
                parameter.fill_(float(layer in norms and name == "weight"))
    batch_norms = [norm for norm in norms if isinstance(norm, _BatchNorm)]
    if batch_norms:
        _calibrate(batch_norms, network, pictures)
    random = Classifier(classifier.model, network, TorchServing(network), torch.device("cpu"), classifier.batch_sizes)
    logits = random.serve(pictures).double()
    if not float((logits - logits.mean(dim=0)).norm()) > _MIN_SPREAD * float(logits.norm()):
        raise DeadNetworkError("with random weights in its last layers the network gives every picture the same answer")
    return random


def _calibrate(norms: Sequence[_BatchNorm], network: Differentiable, pictures: Tensor) -> None:
    """Gives batch norms the statistics of the pictures in one pass: each sees the output of the earlier ones."""
    for norm in norms:
        norm.reset_running_stats()
        # The plain mean over all batches, of which there is one.
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network.stages(pictures)
    for norm in norms:
        norm.eval()


class Made(NamedTuple):
    """A map, and what it took.

    Attributes:
        attribution: The map.
        evaluations: Evaluations of the method's kind that it spent.
    """

    attribution: Attribution
    evaluations: int


def looked_at(classifier: Classifier, pictures: Tensor) -> list[Case]:
    """Pictures [N, 3, crop, crop] in [0, 1] with the classifier's answers, for `attributions`."""
    served = classifier.look(pictures)
    return [Case(classifier, Subject(picture, v1.View(), *served.row(index))) for index, picture in enumerate(pictures)]


def randomisation_test(
    row: Explainer, trained: Sequence[Case], random: Sequence[Case], evaluations: int
) -> v1.RandomisationTest | None:
    """Compares a method's maps of the trained network with those of the random one, at its defaults and a small budget.

    Both maps explain the class that the trained network predicts. A picture is not counted if either map has fewer than
    20 different values.

    Maps that are compared need not be finished. A method that samples draws the same samples for both networks, so that
    a method that ignores the weights fails the test after any number of evaluations.

    Args:
        row: The method.
        trained: Pictures, one or more, as the classifier sees them.
        random: The same pictures, as `randomised` of it sees them.
        evaluations: As in `attributions`.

    Returns:
        None if no picture could be counted.

    Raises:
        Exception: Any exception of the method.
    """
    targets = [case.subject.predicted for case in trained]
    made = [attributions(row, cases, targets, evaluations) for cases in (trained, random)]
    pairs = zip(*([_magnitudes(each.attribution) for each in maps] for maps in made), strict=True)
    likeness = [
        abs(rank_correlation(*pair)) for pair in pairs if min(len(values.unique()) for values in pair) >= _FEWEST_VALUES
    ]
    if not likeness:
        return None
    similarity = sum(likeness) / len(likeness)
    return v1.RandomisationTest(
        passed=similarity < THRESHOLD,
        similarity=similarity,
        threshold=THRESHOLD,
        pictures=len(likeness),
        evaluations=max(each.evaluations for maps in made for each in maps),
    )


def _magnitudes(attribution: Attribution) -> Tensor:
    """Absolute values of the map, summed over channels."""
    return channels_summed(attribution.values).abs()


def attributions(row: Explainer, cases: Sequence[Case], targets: Sequence[int], evaluations: int) -> list[Made]:
    """Maps of several pictures, at the method's defaults except for the budget.

    Args:
        row: The method.
        cases: The pictures, one or more, of one classifier.
        targets: The class that each map explains.
        evaluations: The budget of a map, unless the method needs more.

    Raises:
        Exception: Any exception of the method.
    """
    usual = max(min(row.default_evaluations, evaluations), row.min_evaluations)
    budget = (row.randomisation_evaluations or usual) if row.default_evaluations else None
    # A method whose budget decides how fine its map is stops as soon as it can tell its error; others spend all.
    options = row.defaults("", tolerance=math.inf if row.randomisation_evaluations else 0.0)
    tasks, accounts = [], []
    for case, target in zip(cases, targets, strict=True):
        options.target_class = target
        accounts.append(Passes(Limits(), budget, row.evaluations))
        tasks.append(Task(row.explain(accounts[-1], question_of(case, options)), Limits()))
    run(cases[0].classifier, tasks)
    return [Made(task.result(), account.spent) for task, account in zip(tasks, accounts, strict=True)]
