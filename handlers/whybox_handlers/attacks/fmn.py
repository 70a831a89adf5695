"""Fast minimum-norm attack in L-infinity (Pintor et al., NeurIPS 2021, arXiv:2102.12827), for small budgets."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from whybox_handlers.attacks.minimal import MinimalAttack
from whybox_handlers.classifier import Classifier, Differentiable

# Step length in multiples of the radius, first and last.
_ALPHA = (1.0, 0.2)
# Share by which the radius stays below the smallest flip so far, first and last.
_GAMMA = (0.02, 0.005)
# Until the first flip the radius goes a little beyond the linear guess, which mostly falls short.
_BEYOND = 1.02
# Smaller changes of pixel values are lost in float32.
_SMALLEST = 1e-6


class FMN(MinimalAttack):
    """Walks along the decision boundary while the allowed radius follows it.

    The paper shrinks the radius by a fixed share after a flip and lets it grow otherwise. Here it is set, at every
    step, to where the linearised network has its boundary: with a dozen evaluations none is left for finding the order
    of magnitude.
    """

    name = "fmn"

    def size(self, change: Tensor) -> float:
        """Largest change of any value."""
        return float(change.abs().max())

    def search(
        self, classifier: Classifier, picture: Tensor, label: int, evaluations: int
    ) -> Iterator[tuple[Tensor, bool | None]]:
        """See `MinimalAttack.search`; the first change tried is none at all."""
        start = picture.to(classifier.device)
        change = torch.zeros_like(start)
        smallest = math.inf
        for step in range(evaluations):
            progress = step / evaluations
            margin, gradient = _margin(classifier.network, start + change, label)
            if step == 0:
                # The serving network has decided for the label, also where rounding makes torch see it beaten.
                margin = abs(margin)
            flipped = margin < 0
            yield change.cpu(), flipped
            steepness = float(gradient.abs().sum())
            if not 0 < steepness < math.inf:
                return  # a flat network gives no direction
            size = self.size(change)
            boundary = size + margin / steepness
            if flipped:
                smallest = min(smallest, size)
                boundary = max(boundary, size / 2)
            if math.isfinite(smallest):
                radius = min(boundary, smallest * (1 - _annealed(_GAMMA, progress)))
            else:
                radius = max(boundary * _BEYOND, _SMALLEST)
            change = (change - _annealed(_ALPHA, progress) * radius * gradient.sign()).clamp(-radius, radius)
            change = (start + change).clamp(0, 1) - start
        yield change.cpu(), None


def _margin(network: Differentiable, picture: Tensor, label: int) -> tuple[float, Tensor]:
    """Lead of the label's logit over the best other one (negative: flipped), and its gradient, [3, H, W]."""
    pictures = picture.unsqueeze(0).requires_grad_()
    logits = network(pictures)[0]
    others = logits.clone()
    others[label] = -math.inf
    margin = logits[label] - others.max()
    (gradient,) = torch.autograd.grad(margin, pictures)
    return float(margin.detach()), gradient[0]


def _annealed(ends: tuple[float, float], progress: float) -> float:
    """Cosine from the first value (progress 0) to the last (1)."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
