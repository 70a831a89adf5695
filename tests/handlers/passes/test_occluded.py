"""Passes near a known picture against whole passes."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from architectures import CLASSES, classifier_of, network_of, random_pictures
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.local_network import Box
from whybox_handlers.models.runtimes.serving import OnnxServing
from whybox_handlers.packing.onnx_export import export
from whybox_handlers.passes.occluded import Occluded


class Crooked(nn.Module):
    """All that cuts must understand: other padding, strides and dilation down than across, skips, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 6, (5, 3), stride=2), nn.ReLU6())
        self.skipped = nn.Conv2d(6, 6, 3, padding=(1, 2), dilation=(1, 2), groups=3)
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(6, 4, 1), nn.Hardswish())
        self.mean = nn.AvgPool2d(2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.first(pictures)
        result: Tensor = self.mean(self.pooled(maps + self.skipped(maps)))
        return result


def crooked(side: int) -> Classifier:
    torch.manual_seed(3)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, CLASSES))
    classifier = classifier_of(network_of(*head, features=Crooked()))
    classifier.serving = OnnxServing(export(classifier.network, side), classifier.device)
    return classifier


def boxes(side: int) -> list[Box]:
    """All borders, corners, single pixels, everything, and anywhere."""
    ends = [(0, 1), (0, 9), (side - 1, side), (side - 7, side), (0, side), (side // 2, side // 2 + 1)]
    starts = torch.randint(side - 8, (6, 2), generator=torch.Generator().manual_seed(0)).tolist()
    return [
        *(Box(top, left, bottom, right) for top, bottom in ends for left, right in ends),
        *(Box(top, left, top + 8, left + 8) for top, left in starts),
    ]


@pytest.mark.parametrize("side", [45, 64])
def test_a_pass_near_a_known_picture_is_a_pass(side: int) -> None:
    assert_passes_are_whole(crooked(side), random_pictures(1, side)[0], boxes(side), minimum_stages=2)


def test_a_pass_near_a_known_real_picture_is_a_pass(lite0: Classifier, all_views: Tensor) -> None:
    assert_passes_are_whole(lite0, all_views[0], boxes(224)[::3], minimum_stages=3)


def assert_passes_are_whole(
    classifier: Classifier, picture: Tensor, places: Sequence[Box], minimum_stages: int
) -> None:
    assert classifier.serving.local is not None
    assert len(classifier.serving.local.stages) >= minimum_stages
    (logits,) = Occluded(picture, [torch.ones_like(picture), torch.zeros_like(picture)])(
        classifier, torch.tensor(places), torch.ones(len(places), dtype=torch.int64)
    )
    for (top, left, bottom, right), found in zip(places, logits, strict=True):
        occluded = picture.clone()
        occluded[:, top:bottom, left:right] = 0
        torch.testing.assert_close(found, classifier.serve(occluded[None])[0], rtol=0, atol=1e-5)
