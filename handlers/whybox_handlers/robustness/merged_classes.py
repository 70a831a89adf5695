"""A model some of whose classes count as one, so that an attack leads to none of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
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
        Model and picture for an attack; neither features nor an audit are of use there.
    """
    merging = _Merging(subject.predicted, [index for index in others if index != subject.predicted])
    model = v1.Model()
    model.CopyFrom(classifier.model)
    # Its distances are to the nearest other class of the model.
    model.ClearField("audit")
    network = _MergedNetwork(classifier.network, merging)
    serving = _MergedServing(classifier.serving, merging)
    joined = Classifier(model, network, serving, classifier.device, classifier.batch_sizes)
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


class _MergedNetwork(Differentiable):
    def __init__(self, network: Differentiable, merging: _Merging) -> None:
        nn.Module.__init__(self)
        self._network, self._merging = network, merging
        self.features, self.head = network.features, network.head

    def forward(self, pictures: Tensor) -> Tensor:
        """See `Differentiable`."""
        return self._merging(self._network(pictures))

    def stages(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See `Differentiable`."""
        logits, *maps = self._network.stages(pictures)
        return self._merging(logits), *maps


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
