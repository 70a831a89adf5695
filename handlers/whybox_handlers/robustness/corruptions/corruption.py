"""The type of a corruption: a way to spoil a picture, with up to five severities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor

from whybox.arguments import MAX_UINT32, integer
from whybox_handlers.pictures.levels import rounded

StrengthT = TypeVar("StrengthT")

Group = Literal["noise", "blur", "weather", "digital", "geometry"]


@dataclass(frozen=True)
class Corruption(Generic[StrengthT]):
    """One way to spoil a picture.

    Attributes:
        name: Its name in requests.
        group: Its kind.
        summary: One sentence for people.
        spoil: From the picture, [3, H, W] in [0, 1], one of `strengths` and a generator to one picture, or to several
            [N, 3, H, W] if the change has several directions of equal size; values outside [0, 1] are cut afterwards.
        strengths: By severity, the mildest first.
    """

    name: str
    group: Group
    summary: str
    spoil: Callable[[Tensor, StrengthT, torch.Generator], Tensor]
    strengths: tuple[StrengthT, ...]

    def pictures(self, picture: Tensor, severity: int, seed: int) -> Tensor:
        """The spoilt pictures, rounded to 8 bits: [N, 3, H, W] in [0, 1]; the same for the same seed.

        Args:
            picture: [3, H, W] in [0, 1].
            severity: From 1 to the number of `strengths`.
            seed: Seed of corruptions that draw random numbers, 0 to 2**32 - 1; all severities begin with the same
                draws.

        Raises:
            TypeError: `severity` or `seed` is no whole number.
            ValueError: One of them is out of range. No severity stands for a default or counts from the end.
        """
        generator = torch.Generator().manual_seed(integer("seed", seed, 0, MAX_UINT32))
        strength = self.strengths[integer("severity", severity, 1, len(self.strengths)) - 1]
        spoilt = self.spoil(picture, strength, generator)
        stacked = spoilt if spoilt.dim() == 4 else spoilt[None]
        return rounded(stacked.clamp(0, 1))


AnyCorruption = Corruption[Any]
