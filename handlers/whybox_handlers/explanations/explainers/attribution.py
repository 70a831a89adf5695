"""The question and the answer of every explainer."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.explanations.superpixels import Segmentation
from whybox_handlers.passes.account import StoppedBy


@dataclass(frozen=True)
class Question:
    """A question to an explainer: why does the network give this answer?

    Attributes:
        picture: [3, H, W] in [0, 1].
        objective: [classes]: weights of the logits, whose weighted sum is explained. A single 1 asks "why this class?",
            a 1 and a -1 ask "why this class rather than that one?".
        logits: [classes] of the serving network for the picture.
        maps: [C, h, w]: its last feature maps; None for a network without such maps.
        baselines: [3, H, W] each: inputs that stand for "nothing there"; results are averaged over them. Empty for
            methods that take none.
        options: The options of the map, with every default filled in; a method reads those that it takes. It may stop
            once its residual is at most `tolerance`; 0 never stops it.
        seed: For everything random.
    """

    picture: Tensor
    objective: Tensor
    logits: Tensor
    maps: Tensor | None
    baselines: tuple[Tensor, ...] = ()
    options: v1.ExplanationOptions = field(default_factory=v1.ExplanationOptions)
    seed: int = 0

    @property
    def value(self) -> float:
        """The objective for the picture, in logits."""
        return float(self.objective_of(self.logits))

    def objective_of(self, logits: Tensor) -> Tensor:
        """[..., classes] logits to [...] values of the objective."""
        # Not a product with the objective: that sums a thousand zeros in an order that depends on the batch.
        chosen = self.objective.nonzero()[:, 0]
        return (logits[..., chosen] * self.objective[chosen]).sum(dim=-1)

    def generator(self) -> torch.Generator:
        """A new source of random numbers, the same for the same seed."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Attribution:
    """A map over the model's view of one picture, and what is needed to read it.

    Attributes:
        values: [3, H, W] per pixel and channel, [H, W] per pixel, or [h, w] per region; float32, on the CPU.
        units: What a value means: "logit" for values that sum to a difference of logits, "logit per pixel value" for
            gradients, "relative" for values of which only order and ratio mean something.
        signed: Whether negative values speak against the target.
        stopped_by: "done", "tolerance", "evaluations" or "deadline".
        residual: See `Explanation.residual` of the contract; None for a method that watches no residual.
        baseline_value: The objective for the baseline (the mean of several), in logits; None for methods without one.
        complete: Whether the method promises that the values sum to the change of the objective from the baseline.
        segmentation: How the picture was cut into superpixels, "slic" or "grid"; None for methods without superpixels.
    """

    values: Tensor
    units: str
    signed: bool
    stopped_by: StoppedBy = "done"
    residual: float | None = None
    baseline_value: float | None = None
    complete: bool = False
    segmentation: Segmentation | None = None
