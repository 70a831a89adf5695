"""A model some of whose classes count as one, so that an attack leads to none of them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import ANY_RIVAL, Differentiator
from whybox_handlers.models.runtimes.local_network import LocalNetwork
from whybox_handlers.models.runtimes.serving import Serving
from whybox_handlers.models.subject import Subject


def merged(classifier: Classifier, subject: Subject, others: Sequence[int]) -> tuple[Classifier, Subject]:
    """The model and its picture, with the predicted class standing for others as well.

    The merged class has the largest logit of its members. A change that flips the merged model's answer to a class
    makes the model itself answer this class: it leads past all members. An attack on a misclassified picture that does
    not merely correct the answer is such a change.

    Args:
        classifier: The model.
        subject: Its picture.
        others: Classes that the predicted one stands for, too.

    Returns:
        Model and picture for an attack; neither its torch network nor features nor an audit are of use there.
    """
    merging = _Merging(subject.predicted, [index for index in others if index != subject.predicted])
    model = v1.Model()
    model.CopyFrom(classifier.model)
    # Its distances are to the nearest other class of the model.
    model.ClearField("audit")
    joined = Classifier(
        model,
        classifier.network,
        _MergedServing(classifier.serving, merging),
        classifier.device,
        classifier.batch_sizes,
        differentiator=_MergedDifferentiator(classifier.differentiator, classifier.serving, merging),
    )
    return joined, Subject(subject.picture, subject.view, merging(subject.logits), subject.maps)


class _Merging:
    """[..., classes] logits to logits of the same shape, of which only one class of several can be the largest.

    Args:
        kept: The class that stands for all.
        others: The classes that it stands for.
    """

    def __init__(self, kept: int, others: Sequence[int]) -> None:
        self._kept, self._others = kept, list(others)

    def __call__(self, logits: Tensor) -> Tensor:
        members = logits[..., [self._kept, *self._others]]
        changed = logits.clone()
        # Finite, because an answer is, and below all others.
        lowest = logits.detach().amin(dim=-1, keepdim=True) - 1
        changed[..., self._others] = lowest.expand(*lowest.shape[:-1], len(self._others))
        changed[..., self._kept] = members.amax(dim=-1)
        return changed

    def leading(self, classes: Tensor, logits: Tensor) -> Tensor:
        """[N] classes, with the member that leads in logits [N, classes] in place of the one that stands for all."""
        return torch.where(classes == self._kept, self._leader(logits), classes)

    def weights(self, objectives: Tensor, logits: Tensor) -> Tensor:
        """[N, classes] weights of the merged logits to weights of the logits: what is constant has none."""
        free = objectives.index_fill(1, torch.tensor([self._kept, *self._others]), 0)
        return free.scatter(1, self._leader(logits)[:, None], objectives[:, [self._kept]])

    def _leader(self, logits: Tensor) -> Tensor:
        members = torch.tensor([self._kept, *self._others])
        return members[logits[:, members].argmax(dim=1)]


class _MergedDifferentiator:
    """See `Differentiator`: which member leads, and which other class, is known before the gradient is computed."""

    def __init__(self, inner: Differentiator, serving: Serving, merging: _Merging) -> None:
        self._inner, self._serving, self._merging = inner, serving, merging
        self.runtime, self.separates = inner.runtime, inner.separates

    def objectives(self, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`."""
        own = self._logits(pictures)
        _, gradients = self._inner.objectives(pictures, self._merging.weights(objectives, own))
        return (self._merging(own) * objectives).sum(dim=1), gradients

    def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`."""
        own = self._logits(pictures)
        best = self._merging(own).scatter(1, labels[:, None], -math.inf).argmax(dim=1)
        rivals = torch.where(rivals == ANY_RIVAL, best, rivals)
        leading = self._merging.leading
        logits, gradients = self._inner.margins(pictures, leading(labels, own), leading(rivals, own))
        return self._merging(logits), gradients

    def _logits(self, pictures: Tensor) -> Tensor:
        # One by one, as `serve_alone`: a search amplifies the rounding of passes that are shared.
        return torch.cat([self._serving(picture[None])[0] for picture in pictures])


class _MergedServing:
    """See `Serving`."""

    local: LocalNetwork | None = None

    def __init__(self, serving: Serving, merging: _Merging) -> None:
        self._serving, self._merging = serving, merging

    @property
    def provider(self) -> str:
        """See `Serving`."""
        return self._serving.provider

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See `Serving`."""
        logits, *maps = self._serving(pictures)
        return self._merging(torch.as_tensor(logits)), *maps
