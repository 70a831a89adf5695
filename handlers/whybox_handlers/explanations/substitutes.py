"""What stands in place of a part of the picture that is taken away."""

import torch
from torch import Tensor

from whybox_handlers.explanations.baselines import blur
from whybox_handlers.explanations.explainers import Question


def substitute(question: Question) -> Tensor:
    """The question's baseline, so that map and measurement mean the same by "nothing there"; [3, H, W] in [0, 1].

    Of several baselines the mean: a map averaged over them is, to first order, the map for that. Without any the
    blurred picture: it takes detail away and adds neither edges nor colours that the network could take for something.
    """
    return torch.stack(question.baselines).mean(dim=0) if question.baselines else blur(question.picture)
