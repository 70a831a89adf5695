"""Substitutes: what replaces a removed part of the picture."""

import torch
from torch import Tensor

from whybox_handlers.explanations.baselines import blur
from whybox_handlers.explanations.explainers import Question


def substitute(question: Question) -> Tensor:
    """The question's baseline, so that map and measurement mean the same by "nothing there"; [3, H, W] in [0, 1].

    Several baselines are averaged: to first order, a map averaged over them is the map for their mean. A question
    without baselines gets the blurred picture, which lacks detail and adds neither edges nor colours that the network
    could recognise.
    """
    return torch.stack(question.baselines).mean(dim=0) if question.baselines else blur(question.picture)
