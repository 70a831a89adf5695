"""Rules for the way back through a network other than the gradient's.

A rule is a `TorchFunctionMode`: while it is active, torch hands it every operation that the network calls, and the rule
replaces those that it treats differently. No hooks are set and no modules are changed, so a rule applies only to its
own thread and leaves no trace. It works alike for modules and functions, in place or not, used once or twice.

Hooks on modules do not. Captum's DeepLift refuses modules that are used twice, silently treats all functions and
unknown modules (ReLU6) as linear, and its values do not sum to the difference if max pooling comes next to a ReLU.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from whybox_handlers.explanations.propagation.operations import Call, Function, slope
from whybox_handlers.explanations.propagation.rescale_rule import Recording, Rescaling
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import TorchDifferentiator

RECTIFIERS = frozenset({"relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "silu", "hardswish", "gelu", "mish"})
"""The operations that guided backpropagation changes; gates (sigmoid, hardsigmoid) and all others keep the gradient."""


def guided_gradients(classifier: Classifier, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, ...]:
    """Guided backpropagation (Springenberg et al., Striving for Simplicity, arXiv:1412.6806).

    A rectifier y = f(z) turns the gradient g at y into max(g, 0) * f'(z) at z. For ReLU that is the paper's rule: g
    passes only if z > 0 and g > 0. The paper has no rule for the others (see `RECTIFIERS`); this one keeps its idea,
    evidence for and never against, and treats ReLU6 as flat above 6. The sign changes if f falls, as SiLU below -1.28.

    Args:
        classifier: The model.
        pictures: [N, 3, H, W] in [0, 1].
        objectives: [N, classes] weights of the logits.

    Returns:
        [N] objectives in logits, and [N, 3, H, W] values without a unit: only their order and ratio have a meaning.
    """
    # Loaded here at the latest: a rule intercepts what loading calls, too.
    network = classifier.network
    by_torch = TorchDifferentiator(lambda: network, classifier.device)
    with _Guided():
        return by_torch.objectives(pictures, objectives)


def rescaled_multipliers(
    classifier: Classifier, pictures: Tensor, baselines: Tensor, objectives: Tensor
) -> tuple[Tensor, ...]:
    """DeepLIFT with the rescale rule (Shrikumar et al., arXiv:1704.02685).

    Multipliers m say how differences D from the baseline go through the network: D(objective) = sum of m * D(picture).
    This is exact, because it holds for each operation:

    * linear ones: their gradient;
    * elementwise ones y = f(z): D(y) / D(z), and f'(z) if D(z) = 0;
    * products of two activations, as in squeeze-and-excitation: D(ab) = D(a) mean(b) + D(b) mean(a), where the mean is
      that of picture and baseline. This is the products' gradient half-way between the two;
    * max pooling: D(y) is assigned to the place of the picture's maximum if y grew, to the baseline's if it fell;
    * layer normalisation: composed of these.

    Args:
        classifier: The model.
        pictures: [N, 3, H, W] in [0, 1].
        baselines: The same; one for each picture.
        objectives: [N, classes] weights of the logits.

    Returns:
        [N] objectives of the pictures and [N] of the baselines, in logits; [N, 3, H, W] multipliers, in logits per unit
        of pixel value.

    Raises:
        FailedPreconditionError: The network has an operation without a rule; the message names it.
    """
    # Loaded here at the latest: a rule intercepts what loading calls, too.
    network = classifier.network
    weights = objectives.to(classifier.device)
    recorded: list[tuple[Tensor, ...]] = []
    with Recording(recorded):
        # The inputs require a gradient, because that tells activations from constants.
        logits = network(baselines.detach().to(classifier.device).requires_grad_())
    baseline_values = (logits.detach() * weights).sum(dim=1)
    inputs = pictures.detach().to(classifier.device).requires_grad_()
    with Rescaling(recorded):
        logits = network(inputs)
    values = (logits * weights).sum(dim=1)
    (multipliers,) = torch.autograd.grad(values.sum(), inputs)
    return values.detach().cpu(), baseline_values.cpu(), multipliers.cpu()


class _Guided(TorchFunctionMode):
    def __torch_function__(
        self, func: Function, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        call = Call(func, args, kwargs)
        if call.name not in RECTIFIERS or not call.activations:
            return call.plain()
        return call.written(_GuidedRectifier.apply(call.of_first(1), call.args[0]))


class _GuidedRectifier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, z: Tensor) -> Tensor:
        ctx.save_for_backward(slope(function, z))
        value: Tensor = function(z)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (slopes,) = ctx.saved_tensors
        return None, gradient.clamp(min=0) * slopes
