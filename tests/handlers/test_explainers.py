"""Every explainer against Captum called directly, and against its own axioms."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from whybox import v1
from whybox_handlers import pictures as decoding
from whybox_handlers.classifier import Classifier, Differentiable
from whybox_handlers.explainers import EXPLAINERS
from whybox_handlers.networks import Network

STEPS = 8


def captum_grad_cam(network: Differentiable, picture: Tensor, target: int) -> Tensor:
    return LayerGradCam(network, network.maps).attribute(picture[None], target, relu_attributions=True)[0, 0]


def captum_integrated_gradients(network: Differentiable, picture: Tensor, target: int) -> Tensor:
    return IntegratedGradients(network).attribute(picture[None], target=target, n_steps=STEPS)[0]


# One row per method: its options, and the same map from Captum.
PEERS: dict[str, tuple[v1.ExplanationOptions, Callable[[Differentiable, Tensor, int], Tensor]]] = {
    "grad_cam": (v1.ExplanationOptions(), captum_grad_cam),
    "integrated_gradients": (v1.ExplanationOptions(steps=STEPS), captum_integrated_gradients),
}


@pytest.fixture(scope="module")
def views(pictures: dict[Path, int], classifier: Classifier) -> list[tuple[Tensor, int]]:
    """Three real pictures as the model sees them, with the class it predicts."""
    views = []
    for path in list(pictures)[:3]:
        view, _ = decoding.preprocess(decoding.decode(path.read_bytes()), 256, 224)
        views.append((view, int(classifier.probabilities(view[None]).argmax())))
    return views


def test_every_method_has_a_row() -> None:
    assert set(PEERS) == set(EXPLAINERS)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_equals_captum(method: str, classifier: Classifier, views: list[tuple[Tensor, int]]) -> None:
    options, peer = PEERS[method]
    for view, predicted in views:
        for target in (predicted, (predicted + 500) % 1000):
            ours = EXPLAINERS[method].attribute(classifier.network, view, target, options)
            theirs = peer(classifier.network, view, target).detach()
            assert ours.values.shape == theirs.shape
            span = float(theirs.max() - theirs.min())
            assert float((ours.values - theirs).abs().max()) <= 1e-4 * span
            logits = classifier.serve(view[None])[0]
            assert ours.target_logit == pytest.approx(float(logits[target]), abs=1e-3)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_the_same_map_in_any_thread(method: str, classifier: Classifier, views: list[tuple[Tensor, int]]) -> None:
    options, _ = PEERS[method]
    attribute = EXPLAINERS[method].attribute
    alone = [attribute(classifier.network, view, target, options).values for view, target in views]
    with ThreadPoolExecutor(1) as other:
        elsewhere = list(other.map(lambda each: attribute(classifier.network, *each, options).values, views))
    for one, two in zip(alone, elsewhere, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_integrated_gradients_tell_their_completeness_gap(
    classifier: Classifier, views: list[tuple[Tensor, int]]
) -> None:
    view, target = views[0]
    gaps = []
    for steps in (2, 64):
        options = v1.ExplanationOptions(steps=steps)
        found = EXPLAINERS["integrated_gradients"].attribute(classifier.network, view, target, options)
        with torch.no_grad():
            logits = classifier.network(torch.stack([view, torch.zeros_like(view)]))[:, target].double()
        gap = float(found.values.double().sum() - (logits[0] - logits[1]))
        assert found.convergence_delta == pytest.approx(gap, abs=1e-4)
        assert (found.baseline, found.gradient_evaluations) == ("black", steps)
        gaps.append(abs(gap))
    assert gaps[1] < gaps[0]


def small(features: nn.Module, head: nn.Module) -> Differentiable:
    return Differentiable(Network(features, head, lambda _: None), [0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def test_integrated_gradients_of_a_linear_network_are_exact() -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    network, picture = small(nn.Identity(), linear), torch.rand(3, 8, 8)
    found = EXPLAINERS["integrated_gradients"].attribute(network, picture, 2, v1.ExplanationOptions(steps=1))
    # In pixel values: the network divides by std = 0.5 itself.
    expected = picture * linear[1].weight[2].view(3, 8, 8) / 0.5
    torch.testing.assert_close(found.values, expected.detach(), rtol=1e-4, atol=1e-6)
    assert found.convergence_delta == pytest.approx(0, abs=1e-5)


def test_grad_cam_of_pooling_and_a_linear_layer_is_cam() -> None:
    torch.manual_seed(0)
    features, linear = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()), nn.Linear(5, 4)
    network = small(features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear))
    picture = torch.rand(3, 8, 8)
    found = EXPLAINERS["grad_cam"].attribute(network, picture, 3, v1.ExplanationOptions())
    maps = features((picture[None] - 0.5) / 0.5)[0]
    # Zhou et al., CAM: the linear layer's weights on the maps; pooling divides each gradient by the number of cells.
    cam = torch.einsum("k,khw->hw", linear.weight[3], maps).relu() / 64
    torch.testing.assert_close(found.values, cam.detach(), rtol=1e-4, atol=1e-7)
    assert not found.signed
