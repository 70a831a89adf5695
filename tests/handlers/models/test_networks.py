"""Architectures: split without a change, loaded from plain state dicts, explained by every method that fits them."""

import re
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from architectures import (
    ATTENTIVE,
    CLASSES,
    CONVOLUTIONAL,
    random_classifier,
    random_pictures,
    side_of,
    whole_of,
)
from explaining import subject_of
from presence import present
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution
from whybox_handlers.explanations.explaining import question_of
from whybox_handlers.models import networks
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.spec import SpecError
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one

# Last feature maps of the small picture that the architecture takes.
MAPS = {
    "torchvision/alexnet": (256, 3, 3),
    "torchvision/convnext_tiny": (768, 2, 2),
    "torchvision/densenet121": (1024, 2, 2),
    "torchvision/efficientnet_b0": (1280, 2, 2),
    "torchvision/googlenet": (1024, 2, 2),
    "torchvision/inception_v3": (2048, 2, 2),
    "torchvision/maxvit_t": (512, 7, 7),
    "torchvision/mnasnet0_5": (1280, 2, 2),
    "torchvision/mobilenet_v2": (1280, 2, 2),
    "torchvision/mobilenet_v3_small": (576, 2, 2),
    "torchvision/regnet_x_400mf": (400, 2, 2),
    "torchvision/regnet_y_400mf": (440, 2, 2),
    "torchvision/resnet18": (512, 2, 2),
    "torchvision/resnext50_32x4d": (2048, 2, 2),
    "torchvision/shufflenet_v2_x0_5": (1024, 2, 2),
    "torchvision/squeezenet1_1": (512, 3, 3),
    "torchvision/swin_t": (768, 2, 2),
    "torchvision/swin_v2_t": (768, 2, 2),
    "torchvision/vgg11": (512, 4, 4),
    "torchvision/wide_resnet50_2": (2048, 2, 2),
}
CLASSIFIERS = torchvision.models.list_models(torchvision.models)
TOO_LARGE = {"regnet_y_128gf": "2.6 GB of weights", "vit_h_14": "2.5 GB of weights"}
WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def torchvisions(name: str, **options: object) -> nn.Module:
    """Torchvision's own network, with other random weights than the next one's."""
    if name in WITH_AUXILIARY_HEADS:
        options["init_weights"] = False
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)
    return network.eval().requires_grad_(False)


def split(architecture: str) -> tuple[networks.Network, nn.Module]:
    """A network and the same in one piece."""
    network = networks.build(architecture, CLASSES)
    return network, whole_of(network).requires_grad_(False)


@pytest.mark.parametrize("architecture", [*MAPS, "torchvision/vit_b_32"])
def test_halves_are_torchvisions_network_with_its_state_dict(architecture: str) -> None:
    torch.manual_seed(0)
    theirs = torchvisions(architecture.partition("/")[2])
    if isinstance(theirs, torchvision.models.VisionTransformer):
        nn.init.normal_(theirs.heads.head.weight)  # torchvision begins with zeros
    network, ours = split(architecture)
    views = random_pictures(2, side_of(architecture))
    expected = theirs(views)
    assert expected.shape == (2, CLASSES)
    assert not torch.equal(ours(views), expected)
    # A file holds the tensors alone, without torch's notes on versions.
    network.load(dict(theirs.state_dict()))
    torch.testing.assert_close(ours(views), expected, rtol=0, atol=0)
    maps = None if network.features is None else tuple(network.features(views).shape)
    assert maps == ((2, *MAPS[architecture]) if architecture in MAPS else None)


def test_features_of_efficientnet_lite_are_maps() -> None:
    network, _ = split("efficientnet_lite/efficientnet-lite0")
    assert present(network.features)(random_pictures(1)).shape == (1, 1280, 2, 2)


class _EmptyOnMeta(TorchFunctionMode):
    """Weights take no memory; what a network computes while it is built (a RegNet, its widths) still has values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}) | ({"device": "meta"} if func is torch.empty else {}))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_of_torchvision(name: str) -> None:
    with _EmptyOnMeta():
        theirs = torchvisions(name)
        if name in TOO_LARGE:
            with pytest.raises(SpecError, match=f"{name} cannot be packed, because an ONNX file holds less than 2 GiB"):
                networks.build(f"torchvision/{name}", CLASSES)
        else:
            network = networks.build(f"torchvision/{name}", CLASSES)
    size = sum(4 * parameter.numel() for parameter in theirs.parameters())
    assert (size > networks.MAX_ONNX_BYTES) == (name in TOO_LARGE)
    if name in TOO_LARGE:
        return
    views = torch.zeros(2, 3, 224, 224, device="meta")
    assert (network.features is None) == name.startswith("vit_")
    if network.features is None:
        assert network.head.to("meta")(views).shape == (2, CLASSES)
    else:
        maps = network.features.to("meta")(views)
        assert maps.dim() == 4
        # Places are few, and features are many.
        assert maps.shape[1] > maps.shape[2] == maps.shape[3] > 1
        assert network.head.to("meta")(maps).shape == (2, CLASSES)


@pytest.mark.parametrize("name", WITH_AUXILIARY_HEADS)
@pytest.mark.parametrize("auxiliary", [True, False])
def test_auxiliary_heads_are_left_out(name: str, auxiliary: bool) -> None:
    torch.manual_seed(0)
    theirs = torchvisions(name, aux_logits=auxiliary)
    assert any(key.lower().startswith("aux") for key in theirs.state_dict()) == auxiliary
    network, ours = split(f"torchvision/{name}")
    network.load(theirs.state_dict())
    views = random_pictures(2, 128)
    torch.testing.assert_close(ours(views), theirs(views), rtol=0, atol=0)
    assert not any(key.lower().startswith("aux") for key, _ in ours.named_modules())
    with pytest.raises(SpecError, match="labels: 5 given, and the network in the weights has 7 outputs"):
        networks.build(f"torchvision/{name}", 5).load(theirs.state_dict())


@pytest.mark.parametrize("name", WITH_AUXILIARY_HEADS)
def test_published_networks_transform_their_input_as_half_as_mean_and_std_does(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvisions(name, transform_input=True).double()
    network = networks.build(f"torchvision/{name}", CLASSES)
    network.load(theirs.state_dict())
    ours = Differentiable(network, [0.5] * 3, [0.5] * 3).double()
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    views = random_pictures(2, 128).double()
    expected = theirs((views - mean) / std)
    torch.testing.assert_close(ours(views), expected, rtol=1e-6, atol=0)


def test_an_old_mnasnets_stem_does_not_fit() -> None:
    weights = dict(torchvisions("mnasnet0_5").state_dict())
    # Its first version began with 32 channels whatever its width.
    weights["layers.0.weight"] = torch.zeros(32, 3, 3, 3)
    says = r"layers\.0\.weight has shape \[32, 3, 3, 3\], and the architecture's has \[16, 3, 3, 3\]"
    with pytest.raises(SpecError, match=f"weights: the file holds another network's: {says}"):
        networks.build("torchvision/mnasnet0_5", CLASSES).load(weights)


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
        ("torchvision/vgg17", "torchvision/vgg17 is not one of .*vgg16"),
        ("torchvision/fcn_resnet50", "torchvision/fcn_resnet50 is not one of"),
        ("torchvision/", "is not one of"),
        ("efficientnet_lite/efficientnet-lite9", "it has efficientnet-lite0"),
    ],
)
def test_unknown_architectures(architecture: str, says: str) -> None:
    with pytest.raises(SpecError, match=f"architecture: .*{says}"):
        networks.build(architecture, CLASSES)


def test_architectures_that_no_onnx_file_holds_are_not_offered() -> None:
    with pytest.raises(SpecError, match=r"is not one of .*vit_l_16") as raised:
        networks.build("torchvision/vit_h_15", CLASSES)
    offered = re.split(", | is not one of ", str(raised.value))[1:]
    assert offered == [name for name in CLASSIFIERS if name not in TOO_LARGE]


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


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "mnasnet0_5", "mobilenet_v3_small", "squeezenet1_1", "swin_t", "vit_b_32"]
)
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


SINGLE_PASS = [name for name in EXPLAINERS if not EXPLAINERS[name].default_evaluations]
# Networks that differ most in how they compute; the others are explained by the methods that ask for a single pass.
VARIED = (
    "convnext_tiny",
    "googlenet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
)


@pytest.mark.parametrize("architecture", [*CONVOLUTIONAL, *ATTENTIVE])
def test_every_method_explains_every_architecture(architecture: str) -> None:
    classifier = random_classifier(architecture)
    for method in EXPLAINERS if architecture.partition("/")[2] in VARIED else SINGLE_PASS:
        if EXPLAINERS[method].unavailable_for(classifier.network, EXPLAINERS, method):
            continue
        if method == "deep_lift" and architecture in ATTENTIVE:
            with pytest.raises(FailedPreconditionError, match=r"DeepLIFT has no rule for .*; use integrated_gr"):
                explained(classifier, method, side_of(architecture))
            continue
        found = explained(classifier, method, side_of(architecture))
        assert found.values.dtype == torch.float32, method
        assert bool(found.values.isfinite().all()), method
        assert float(found.values.abs().max()) > 0, method


@pytest.mark.parametrize("architecture", ["torchvision/swin_t", "torchvision/maxvit_t", "torchvision/squeezenet1_1"])
def test_maps_lie_where_the_picture_differs(architecture: str) -> None:
    classifier = random_classifier(architecture)
    side = side_of(architecture)
    view = random_pictures(1, side)
    changed = view.clone()
    changed[:, :, : side // 4, side // 2 :] = 1 - changed[:, :, : side // 4, side // 2 :]
    maps = [present(classifier.look(each).maps)[0] for each in (view, changed)]
    difference = (maps[0] - maps[1]).abs().sum(dim=0)
    rows, columns = difference.shape
    place = int(difference.argmax())
    assert (place // columns < rows / 2, place % columns >= columns // 2) == (True, True)


def test_methods_that_read_maps_tell_why_a_transformer_has_none() -> None:
    with torch.device("meta"):
        network = Differentiable(networks.build("torchvision/vit_b_32", CLASSES), [0.5] * 3, [0.5] * 3)
    for method, row in EXPLAINERS.items():
        says = row.unavailable_for(network, EXPLAINERS, method)
        if row.needs_maps:
            assert says.startswith(f"{method} reads the last feature maps, and this network pools none; use ")
        else:
            assert says == ""
    assert {method for method, row in EXPLAINERS.items() if row.needs_maps} >= {"grad_cam", "hires_cam"}
