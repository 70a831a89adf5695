"""What a corruption is: a way to spoil a picture, in up to five degrees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor

from whybox_handlers.pictures.levels import rounded

StrengthT = TypeVar("StrengthT")

Group = Literal["noise", "blur", "weather", "digital", "geometry"]


@dataclass(frozen=True)
class Corruption(Generic[StrengthT]):
    """One way to spoil a picture.

    Attributes:
        name: What requests call it.
        group: What it is like.
        summary: One sentence for people.
        spoil: From the picture, [3, H, W] in [0, 1], one of `strengths` and a generator to one or more pictures; values
            beyond [0, 1] will be cut. Several where a change has several directions, of which none is worse than
            another.
        strengths: By severity, mild first.
    """

    name: str
    group: Group
    summary: str
    spoil: Callable[[Tensor, StrengthT, torch.Generator], Tensor]
    strengths: tuple[StrengthT, ...]

    def pictures(self, picture: Tensor, severity: int, seed: int) -> Tensor:
        """The picture so spoilt, as pictures of 8 bits: [N, 3, H, W] in [0, 1]; the same for the same seed.

        Args:
            picture: [3, H, W] in [0, 1].
            severity: From 1 to the number of `strengths`.
            seed: Of corruptions that draw; all severities begin with the same draws.
        """
        generator = torch.Generator().manual_seed(seed)
        spoilt = self.spoil(picture, self.strengths[severity - 1], generator)
        stacked = spoilt if spoilt.dim() == 4 else spoilt[None]
        return rounded(stacked.clamp(0, 1))


AnyCorruption = Corruption[Any]
