"""Class activation maps against what they are made of."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures import CLASSES, classifier_of, network_of, random_classifier, random_pictures
from explaining import explained, question_of
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.explanations.propagation.rules import guided_gradients
from whybox_handlers.models.classifier import Classifier

SIDE, TARGET = 21, 1


@pytest.fixture(scope="module")
def view(all_views: Tensor) -> Tensor:
    return all_views[0]


def test_grad_cam_of_pooling_and_a_linear_layer_is_cam() -> None:
    torch.manual_seed(0)
    features, layer = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()), nn.Linear(5, CLASSES)
    classifier = classifier_of(network_of(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), layer, features=features))
    question = question_of(classifier, torch.rand(3, SIDE, SIDE), 3)
    assert question.maps is not None
    # Zhou et al., CAM: the linear layer's weights on the maps; pooling divides each gradient by the number of cells.
    cam = torch.einsum("k,khw->hw", layer.weight[3], question.maps).relu() / SIDE**2
    found = explained(classifier, "grad_cam", question)
    torch.testing.assert_close(found.values, cam.detach(), rtol=1e-4, atol=1e-7)
    assert not found.signed


def test_hires_cam_is_grad_cam_where_the_head_is_pooling_and_one_linear_layer() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, CLASSES))
    classifier = classifier_of(network_of(*head, features=features))
    view = torch.rand(3, 8, 8)
    found = explained(classifier, "hires_cam", question_of(classifier, view, TARGET))
    torch.testing.assert_close(
        found.values,
        explained(classifier, "grad_cam", question_of(classifier, view, TARGET)).values,
        rtol=1e-5,
        atol=1e-7,
    )
    assert float(found.values.max()) > 0


@pytest.mark.parametrize("target", [0, 207, 999])
def test_hires_cam_by_the_whole_network(lite0: Classifier, view: Tensor, target: int) -> None:
    kept: list[Tensor] = []
    network = lite0.network
    assert network.features is not None
    keeping = network.features.register_forward_hook(lambda _module, _inputs, maps: kept.append(maps))
    try:
        logits = network(view[None].clone().requires_grad_())
    finally:
        keeping.remove()
    (gradients,) = torch.autograd.grad(logits[0, target], kept[0])
    expected = torch.einsum("nkhw,nkhw->hw", gradients, kept[0].detach()).relu()
    found = explained(lite0, "hires_cam", question_of(lite0, view, target))
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-6)


def test_guided_grad_cam_is_the_product_of_both() -> None:
    classifier = random_classifier("torchvision/resnet18")
    view = random_pictures(1)[0]
    coarse = explained(classifier, "grad_cam", question_of(classifier, view, TARGET)).values
    enlarged = functional.interpolate(coarse[None, None], size=view.shape[-2:], mode="bilinear", align_corners=False)[0]
    guided = guided_gradients(classifier, view[None], torch.eye(CLASSES)[[TARGET]])[1][0]
    found = explained(classifier, "guided_grad_cam", question_of(classifier, view, TARGET))
    torch.testing.assert_close(found.values, enlarged * guided)
    assert (found.signed, found.units) == (True, "relative")


def test_guided_grad_cam_is_off_unless_a_spec_switches_it_on() -> None:
    network, row = (
        classifier_of(network_of(nn.Flatten(), features=nn.Identity())).network,
        EXPLAINERS["guided_grad_cam"],
    )
    says = row.unavailable_for(network, (), "guided_grad_cam")
    assert "enable: [guided_grad_cam]" in says
    assert row.unavailable_for(network, ("guided_grad_cam",), "guided_grad_cam") == ""
