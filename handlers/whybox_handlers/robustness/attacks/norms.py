"""Norms of a change of a picture, with what an attack needs to know of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor


class Norm(ABC):
    """How large a change of a picture is; changes and gradients are [3, H, W]."""

    name: str

    @abstractmethod
    def size(self, change: Tensor) -> float:
        """The norm of a change; 0 is none."""

    @abstractmethod
    def steepness(self, gradient: Tensor) -> float:
        """The dual norm: how much, to first order, a value grows with the best change of size 1."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """That change, of size 1."""

    @abstractmethod
    def projected(self, change: Tensor, radius: float) -> Tensor:
        """The nearest change (in L2) that is no larger than `radius`."""


class Linf(Norm):
    """The largest change of any value."""

    name = "linf"

    def size(self, change: Tensor) -> float:
        """See `Norm`."""
        return float(change.abs().max())

    def steepness(self, gradient: Tensor) -> float:
        """L1; summed in float64, which holds the sum of any finite gradient."""
        return float(gradient.double().abs().sum())

    def steepest(self, gradient: Tensor) -> Tensor:
        """The signs."""
        return gradient.sign()

    def projected(self, change: Tensor, radius: float) -> Tensor:
        """Each value clamped."""
        return change.clamp(-radius, radius)


class L2(Norm):
    """The root of the sum of the squares of all changes."""

    name = "l2"

    def size(self, change: Tensor) -> float:
        """See `Norm`; summed in float64, so that the last digits do not depend on the number of threads."""
        return float(change.double().norm())

    def steepness(self, gradient: Tensor) -> float:
        """L2 again; in float64, because squares of values below 1e-23 or above 1e19 are outside float32."""
        return float(gradient.double().norm())

    def steepest(self, gradient: Tensor) -> Tensor:
        """The gradient's direction."""
        exact = gradient.double()
        direction: Tensor = (exact / exact.norm()).to(gradient.dtype)
        return direction

    def projected(self, change: Tensor, radius: float) -> Tensor:
        """Scaled down."""
        size = self.size(change)
        return change * (radius / size) if size > radius else change


NORMS: Mapping[str, Norm] = {norm.name: norm for norm in (Linf(), L2())}
