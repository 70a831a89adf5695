"""Features before the last layer: the last layer makes the logits of them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from architectures import SIDE, classifier_of, network_of, random_classifier, random_pictures
from whybox import v1
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject


def looked_at(classifier: Classifier) -> Subject:
    [picture] = random_pictures(1)
    return Subject(picture, v1.View(), *classifier.look(picture[None]).row(0))


def without_maps() -> Classifier:
    return classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * SIDE**2, 5), nn.GELU(), nn.Linear(5, 4)))


@pytest.mark.parametrize("make", [lambda: random_classifier("torchvision/resnet18"), without_maps])
def test_the_last_layer_makes_the_logits_of_the_embedding(make: Callable[[], Classifier]) -> None:
    classifier = make()
    subject = looked_at(classifier)
    found = embedding(classifier, subject)
    assert found is not None
    *_, last = (module for module in classifier.network.modules() if isinstance(module, nn.Linear))
    assert (found.dtype, found.shape) == (torch.float32, (last.in_features,))
    assert torch.allclose(last(found), subject.logits, atol=1e-4)


def test_a_network_without_maps_and_without_a_linear_layer_has_none() -> None:
    classifier = classifier_of(network_of(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)))
    assert embedding(classifier, looked_at(classifier)) is None
