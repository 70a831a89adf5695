"""What every explainer returns."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Attribution:
    """A map over the model's view of one picture, and what is needed to read it.

    Attributes:
        values: [3, H, W] per pixel and channel, or [h, w] where the method gives one value per region; float32, on the
            CPU.
        units: What a value means: "logit" where values add up to a difference of logits, "relative" where only their
            order and ratio mean something.
        signed: Whether negative values speak against the class.
        target_logit: The target's logit for the picture.
        forward_evaluations: Passes of one picture through the network, those with a gradient included.
        gradient_evaluations: Backward passes of one picture through the whole network.
        baseline: Name of the input that stands for "nothing there"; empty where there is none.
        baseline_logit: The target's logit for that input.
    """

    values: Tensor
    units: str
    signed: bool
    target_logit: float
    forward_evaluations: int
    gradient_evaluations: int
    baseline: str = ""
    baseline_logit: float | None = None

    @property
    def convergence_delta(self) -> float | None:
        """Completeness gap in logits: sum(values) - (target_logit - baseline_logit); 0 is exact.

        None for methods without a baseline, which promise no completeness.
        """
        if self.baseline_logit is None:
            return None
        return float(self.values.double().sum()) - (self.target_logit - self.baseline_logit)
