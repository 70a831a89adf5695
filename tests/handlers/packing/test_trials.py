"""Packing tries the methods that find out only when they run whether they can work."""

import pytest
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_classifier, random_pictures, side_of
from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.packing.trials import try_methods


def tried(classifier: Classifier, side: int) -> dict[str, str]:
    """Why methods are not offered, by method."""
    classifier.model.methods.extend(
        v1.Method(name=name, unavailable=row.unavailable_for(classifier.network, [], name))
        for name, row in EXPLAINERS.items()
    )
    try_methods(classifier, random_pictures(1, side)[0], lambda _: None)
    return {method.name: method.unavailable for method in classifier.model.methods if method.unavailable}


@pytest.mark.parametrize(
    ("architecture", "operation"),
    [
        ("torchvision/resnet18", ""),
        ("torchvision/squeezenet1_1", ""),
        ("torchvision/swin_t", "torch.nn.functional.softmax"),
        ("torchvision/vit_b_32", "torch.nn.functional.multi_head_attention_forward"),
    ],
)
def test_deep_lift_is_offered_if_it_has_a_rule_for_every_operation(architecture: str, operation: str) -> None:
    classifier = random_classifier(architecture)
    found = tried(classifier, side_of(architecture))
    says = f"DeepLIFT has no rule for {operation}, which this network uses; use integrated_gradients"
    assert found.pop("deep_lift", "") == (says if operation else "")
    # The others are those that the registry withholds, with or without maps.
    without_maps = {"grad_cam", "hires_cam"} if classifier.network.features is None else set()
    assert found.keys() == {"guided_grad_cam"} | without_maps


class _Endless(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures / 0


def test_a_fault_of_the_network_is_no_fault_of_a_method() -> None:
    classifier = classifier_of(network_of(_Endless(), nn.Flatten(1), nn.Linear(3 * 16, 5)))
    with pytest.raises(FailedPreconditionError, match="not finite"):
        tried(classifier, 4)
