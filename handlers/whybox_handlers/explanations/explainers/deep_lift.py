"""DeepLIFT: differences from a baseline, sent back through the network (Shrikumar et al., arXiv:1704.02685)."""

import torch

from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.propagation.rules import rescaled_multipliers
from whybox_handlers.passes.account import Passes

# Largest gap of the sum, as shares of the values' magnitudes and of the logits. Rounding stays well below.
_MISSED_OF_VALUES = 1e-3
_MISSED_OF_LOGITS = 1e-4


async def deep_lift(passes: Passes, question: Question) -> Attribution:
    """The multipliers of the rescale rule times x - b, for the picture x and a baseline b, [3, H, W], in logits.

    Values sum to objective(x) - objective(b) up to rounding. The cost is a pass forward each for x and b, and one back.

    Raises:
        FailedPreconditionError: The network has an operation that the rules do not know, or cannot see.
    """
    baselines = torch.stack(question.baselines)
    pictures = question.picture.expand_as(baselines)
    values, baseline_values, multipliers = await passes.multipliers(
        rescaled_multipliers, pictures, baselines, question.objective
    )
    differences = multipliers * (pictures - baselines)
    missed = (differences.double().sum(dim=(1, 2, 3)) - (values - baseline_values)).abs()
    allowed = _MISSED_OF_VALUES * differences.abs().double().sum(dim=(1, 2, 3))
    allowed += _MISSED_OF_LOGITS * (values.abs() + baseline_values.abs())
    if bool((missed > allowed).any()):
        raise FailedPreconditionError(
            "part of this network (TorchScript, for example) hides from DeepLIFT; use integrated_gradients",
            reason="METHOD_UNAVAILABLE",
        )
    baseline_value = float(baseline_values.mean())
    return Attribution(differences.mean(dim=0), "logit", signed=True, baseline_value=baseline_value, complete=True)
