"""What the checks of a pack spend: all on networks of the usual size, less on larger ones.

Counts follow from the size of the network and never from a clock, so that the same network is checked alike, and gets
the same manifest, on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.robustness.attacks.minimal import MinimalAttack

FULL = 10**9
"""Multiply-adds of one pass up to which a network is checked in full; EfficientNet-Lite0 takes 0.39e9, ResNet-50
4.1e9, ViT-B/16 16.8e9. Counts of larger networks are divided by the multiple of this number, down to the fewest."""

Evaluations = Literal["gradient", "forward"]


@dataclass(frozen=True)
class Budget:
    """Counts for one network; each is at least the fewest with which its check can still fail.

    Attributes:
        compared_pictures: Pictures on which methods that spend gradients, or forward passes, are compared: 4 to 2, or
            2 to 1.
        map_evaluations: Evaluations for one map of that comparison, gradients or forward passes: 8 to 4, or 64 to 25,
            unless the method needs more.
        attacked_pictures: 2 to 1.
        gradient_evaluations: Of the attack that follows gradients, for one picture; 10.
        forward_evaluations: Of the attack without gradients: 300 to 100.
        planted_evaluations: Gradient evaluations of the search for a planted picture: 30 to 15.
    """

    compared_pictures: Mapping[Evaluations, int]
    map_evaluations: Mapping[Evaluations, int]
    attacked_pictures: int
    gradient_evaluations: int
    forward_evaluations: int
    planted_evaluations: int


def budget_of(multiply_adds: int) -> Budget:
    """What the checks spend on a network.

    Args:
        multiply_adds: Of one pass of one picture.
    """

    def between(full: int, fewest: int) -> int:
        return max(round(full * min(1.0, FULL / max(multiply_adds, 1))), fewest)

    return Budget(
        compared_pictures={"gradient": between(4, 2), "forward": between(2, 1)},
        map_evaluations={"gradient": between(8, 4), "forward": between(64, 25)},
        attacked_pictures=between(2, 1),
        gradient_evaluations=10,
        forward_evaluations=MinimalAttack.forwards_per_gradient * between(30, 10),
        planted_evaluations=between(30, 15),
    )


def count_multiply_adds(network: Differentiable, crop: int) -> int:
    """Multiply-adds of the convolutions and linear layers in one pass of one picture of `crop` x `crop` pixels."""
    # With a gradient in sight, attention is computed layer by layer and not by an operation that hides its layers.
    picture = torch.zeros(1, 3, crop, crop, device=network.mean.device, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        network(picture)
    return int(counter.get_total_flops()) // 2
