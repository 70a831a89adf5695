"""Architectures: split without a change, loaded from plain state dicts, explained by every method that fits them."""

import pytest
import torch
import torchvision
from torch import nn

from architectures import CLASSES, CONVOLUTIONAL, SIDE, classifier_of, random_classifier, random_pictures
from explaining import subject_of
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution
from whybox_handlers.explanations.explaining import question_of
from whybox_handlers.models import networks
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier, Differentiable
from whybox_handlers.models.spec import SpecError
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one

# Last feature maps of a 64-pixel picture.
MAPS = {
    "torchvision/resnet18": (512, 2, 2),
    "torchvision/densenet121": (1024, 2, 2),
    "torchvision/convnext_tiny": (768, 2, 2),
    "torchvision/mobilenet_v3_small": (576, 2, 2),
    "torchvision/efficientnet_b0": (1280, 2, 2),
    "efficientnet_lite/efficientnet-lite0": (1280, 2, 2),
}


def torchvisions(name: str) -> nn.Module:
    """Torchvision's own network, with other random weights than the next one's."""
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=CLASSES)
    return network.eval().requires_grad_(False)


def split(architecture: str) -> tuple[networks.Network, nn.Module]:
    """A network and the same in one piece."""
    network = networks.build(architecture, CLASSES)
    whole = nn.Sequential(*[half for half in (network.features, network.head) if half is not None])
    return network, whole.eval().requires_grad_(False)


@pytest.mark.parametrize("architecture", [*CONVOLUTIONAL, "torchvision/vit_b_32"])
def test_halves_are_torchvisions_network_with_its_state_dict(architecture: str) -> None:
    torch.manual_seed(0)
    theirs = torchvisions(architecture.partition("/")[2])
    if isinstance(theirs, torchvision.models.VisionTransformer):
        nn.init.normal_(theirs.heads.head.weight)  # torchvision begins with zeros
    network, ours = split(architecture)
    views = random_pictures(2, 224 if network.features is None else SIDE)
    expected = theirs(views)
    assert expected.shape == (2, CLASSES)
    assert not torch.equal(ours(views), expected)
    network.load(theirs.state_dict())
    torch.testing.assert_close(ours(views), expected, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", MAPS)
def test_features_are_maps(architecture: str) -> None:
    network, _ = split(architecture)
    assert network.features is not None
    assert network.features(random_pictures(1)).shape[1:] == MAPS[architecture]


@pytest.mark.parametrize(
    "name", ["resnet50", "densenet169", "convnext_small", "mobilenet_v3_large", "efficientnet_v2_s", "vit_b_16"]
)
def test_other_sizes_of_a_family(name: str) -> None:
    with torch.device("meta"):
        network = networks.build(f"torchvision/{name}", CLASSES)
    assert (network.features is None) == name.startswith("vit_")


def test_densenets_as_published_are_loaded() -> None:
    theirs = torchvisions("densenet121").state_dict()
    network, ours = split("torchvision/densenet121")
    # The files carry names from when modules could have dots in theirs: denselayer1.norm.1.weight.
    published = {}
    for name, tensor in theirs.items():
        parts = name.split(".")
        if len(parts) > 2 and parts[2].startswith("denselayer"):
            parts[3] = f"{parts[3][:-1]}.{parts[3][-1]}"
        published[".".join(parts)] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    network.load(published)
    loaded = torchvisions("densenet121")
    loaded.load_state_dict(theirs)
    views = random_pictures(1)
    torch.testing.assert_close(ours(views), loaded(views), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ("resnet18", "'resnet18' is not one of efficientnet_lite, torchvision"),
        ("timm/resnet18", "'timm' is not one of efficientnet_lite, torchvision"),
        ("torchvision/resnet19", "torchvision/resnet19 is not one of .*resnet18"),
        ("torchvision/vgg16", "torchvision/vgg16 is not one of .*convnext_tiny"),
        ("torchvision/", "is not one of"),
        ("efficientnet_lite/efficientnet-lite9", "it has efficientnet-lite0"),
    ],
)
def test_unknown_architectures(architecture: str, says: str) -> None:
    with pytest.raises(SpecError, match=f"architecture: .*{says}"):
        networks.build(architecture, CLASSES)


def test_an_architecture_that_no_onnx_file_holds_is_not_offered() -> None:
    with pytest.raises(
        SpecError, match="architecture: torchvision/vit_h_14 cannot be packed, because an ONNX file holds"
    ):
        networks.build("torchvision/vit_h_14", CLASSES)
    with pytest.raises(SpecError, match=r"is not one of .*vit_l_16") as raised:
        networks.build("torchvision/vit_h_15", CLASSES)
    assert "vit_h_14" not in str(raised.value)


@pytest.mark.parametrize(
    ("architecture", "num_classes", "says"),
    [
        ("efficientnet_lite/efficientnet-lite0", CLASSES, "lacks _conv_stem.weight"),
        ("torchvision/resnet34", CLASSES, "lacks layer1.2.conv1.weight"),
    ],
)
def test_weights_of_another_network(architecture: str, num_classes: int, says: str) -> None:
    network = networks.build(architecture, num_classes)
    with pytest.raises(SpecError, match=f"weights: the file holds another network's: .*{says}"):
        network.load(torchvisions("resnet18").state_dict())


def test_weights_of_another_width() -> None:
    network = networks.build("torchvision/mobilenet_v3_small", CLASSES)
    weights = dict(torchvisions("mobilenet_v3_small").state_dict())
    weights["features.0.0.weight"] = torch.zeros(7, 3, 3, 3)
    says = r"features\.0\.0\.weight has shape \[7, 3, 3, 3\], and the architecture's has \[16, 3, 3, 3\]"
    with pytest.raises(SpecError, match=f"weights: the file holds another network's: {says}"):
        network.load(weights)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "vit_b_32"])
def test_as_many_labels_as_outputs(name: str) -> None:
    with pytest.raises(SpecError, match="labels: 5 given, and the network in the weights has 7 outputs"):
        networks.build(f"torchvision/{name}", 5).load(torchvisions(name).state_dict())


def test_one_output_is_not_read_as_softmax() -> None:
    weights = torchvision.models.resnet18(num_classes=1).state_dict()
    with pytest.raises(SpecError, match="weights: the network has one output, to which softmax does not apply; train"):
        networks.build("torchvision/resnet18", 2).load(weights)


def test_weights_that_the_architecture_has_no_place_for() -> None:
    network = networks.build("torchvision/resnet18", CLASSES)
    with pytest.raises(SpecError, match=r"weights: .*the architecture has no layer1\.2\.conv1\.weight"):
        network.load(torchvisions("resnet34").state_dict())


# --- Every method


def explained(classifier: Classifier, method: str, side: int) -> Attribution:
    row, view = EXPLAINERS[method], random_pictures(1, side)[0]
    question = question_of(Case(classifier, subject_of(classifier, view)), row.defaults(method))
    budget = max(row.min_evaluations, 8) if row.default_evaluations else None
    return run_one(classifier, row.explain(Passes(Limits(), budget, row.evaluations), question))


OFFERED = [name for name, row in EXPLAINERS.items() if not row.unavailable]


@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_every_method_explains_every_architecture(architecture: str) -> None:
    classifier = random_classifier(architecture)
    for method in OFFERED:
        found = explained(classifier, method, SIDE)
        assert found.values.dtype == torch.float32, method
        assert bool(found.values.isfinite().all()), method
        assert float(found.values.abs().max()) > 0, method


def test_methods_that_read_maps_tell_why_a_transformer_has_none() -> None:
    with torch.device("meta"):
        network = Differentiable(networks.build("torchvision/vit_b_32", CLASSES), [0.5] * 3, [0.5] * 3)
    for method, row in EXPLAINERS.items():
        says = row.unavailable_for(network, EXPLAINERS, method)
        if row.needs_maps:
            assert says.startswith(f"{method} reads the last convolution, and this network has none; use ")
        else:
            assert says == row.unavailable
    assert {method for method, row in EXPLAINERS.items() if row.needs_maps} >= {"grad_cam", "hires_cam"}


def test_gradients_explain_a_transformer_and_deep_lift_names_what_it_cannot() -> None:
    torch.manual_seed(0)
    network = networks.build("torchvision/vit_b_32", CLASSES)
    assert isinstance(network.head, torchvision.models.VisionTransformer)
    nn.init.normal_(network.head.get_parameter("heads.head.weight"))
    classifier = classifier_of(network)
    found = explained(classifier, "saliency", 224)
    assert found.values.shape == (3, 224, 224)
    assert float(found.values.max()) > 0
    with pytest.raises(FailedPreconditionError, match=r"multi_head_attention.*use integrated_gradients"):
        explained(classifier, "deep_lift", 224)
