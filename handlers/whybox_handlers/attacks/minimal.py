"""The template of every minimal attack: search with gradients, then refine and verify with the serving network."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from whybox_handlers.classifier import Classifier

# The bisection stops when the distance is known to this relative precision.
_PRECISION = 0.005
# Torch and ONNX Runtime round differently, so that a change found on the very boundary may need a little more.
_STRETCHES = (1.0, 1.001, 1.01, 1.1)


@dataclass(frozen=True)
class Adversarial:
    """A change that flips the prediction of the serving network.

    Attributes:
        picture: [3, H, W] in [0, 1]: the changed picture.
        distance: Size of the change in the attack's norm, for values in [0, 1].
        unflipped_distance: A change of this size along the same direction does not flip the prediction; less than
            `distance` by at most 1 %.
    """

    picture: Tensor
    distance: float
    unflipped_distance: float


@dataclass(frozen=True)
class Search:
    """Outcome of an attack on one picture.

    Attributes:
        adversarial: The smallest change that was found and verified; None where there is none.
        searched_radius: Largest size of change that was tried.
        distance_at_half_budget: Best distance after half of the gradient evaluations, before refinement; None where
            there was none yet.
        gradient_evaluations: Passes of one picture forward and backward through the torch network.
        forward_evaluations: Passes of one picture through the serving network.
    """

    adversarial: Adversarial | None
    searched_radius: float
    distance_at_half_budget: float | None
    gradient_evaluations: int
    forward_evaluations: int


class MinimalAttack(ABC):
    """Looks for the smallest change of a picture that changes the predicted class."""

    name: str

    def run(
        self,
        classifier: Classifier,
        picture: Tensor,
        label: int,
        evaluations: int,
        check: Callable[[], None] = lambda: None,
    ) -> Search:
        """Attacks one picture.

        Args:
            classifier: What is attacked.
            picture: [3, H, W] in [0, 1].
            label: The class that `classifier.serve` predicts for it.
            evaluations: Gradient evaluations to spend, at least 1.
            check: Called before each of them; ends the attack by raising.
        """
        serving = _Serving(classifier, label)
        best: Tensor | None = None
        smallest = at_half = math.inf
        searched = 0.0
        spent = 0
        check()
        for change, flipped in self.search(classifier, picture, label, evaluations):
            check()
            size = self.size(change)
            searched = max(searched, size)
            if flipped is None:
                flipped = size < smallest and serving.flips(_along(picture, change, 1))
            else:
                spent += 1
            if flipped and size < smallest:
                best, smallest = change, size
            if 2 * spent <= evaluations:
                at_half = smallest
        return Search(
            adversarial=None if best is None else self._refine(serving, picture, best),
            searched_radius=searched,
            distance_at_half_budget=at_half if math.isfinite(at_half) else None,
            gradient_evaluations=spent,
            forward_evaluations=serving.evaluations,
        )

    @abstractmethod
    def search(
        self, classifier: Classifier, picture: Tensor, label: int, evaluations: int
    ) -> Iterator[tuple[Tensor, bool | None]]:
        """Yields each change that was tried, [3, H, W], and whether the torch network's answer differs from `label`.

        One gradient evaluation each, at most `evaluations`; None in place of the answer stands for a last change on
        which none was spent. The changed pictures lie in [0, 1].
        """

    @abstractmethod
    def size(self, change: Tensor) -> float:
        """Norm of a change."""

    def _refine(self, serving: "_Serving", picture: Tensor, change: Tensor) -> Adversarial | None:
        """Bisects along the ray through `change`, between the picture and a point that the serving network confirms.

        None where it confirms none.
        """
        for stretch in _STRETCHES:
            flipped = _along(picture, change, stretch)
            if serving.flips(flipped):
                break
        else:
            return None
        low, high = 0.0, stretch
        while high - low > _PRECISION * high:
            middle = (low + high) / 2
            candidate = _along(picture, change, middle)
            if serving.flips(candidate):
                high, flipped = middle, candidate
            else:
                low = middle
        return Adversarial(
            flipped,
            distance=self.size(flipped - picture),
            unflipped_distance=self.size(_along(picture, change, low) - picture),
        )


class _Serving:
    """The serving network as a question with a counter."""

    def __init__(self, classifier: Classifier, label: int) -> None:
        self._classifier = classifier
        self._label = label
        self.evaluations = 0

    def flips(self, picture: Tensor) -> bool:
        """Whether the network, asked about this picture alone, gives another class."""
        self.evaluations += 1
        return int(self._classifier.serve(picture.unsqueeze(0))[0].argmax()) != self._label


def _along(picture: Tensor, change: Tensor, fraction: float) -> Tensor:
    """The point at a fraction of the way from the picture to the changed one, inside the pixel range."""
    return torch.clamp(picture + fraction * change, 0, 1)
