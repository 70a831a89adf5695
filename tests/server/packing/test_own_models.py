"""Models of other people: their classes, their weights and their check pictures; what packs, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.models import get_model
from torchvision.transforms.functional import to_pil_image

from architectures import random_pictures
from whybox_handlers.models.archives import load_archive
from whybox_server.packing import pack
from whybox_server.packing.pack import PackError, SpecError, pack_model

CROP = 32

SpecWriter = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing without the tests of methods and attacks."""
    monkeypatch.setattr(pack, "randomise_methods", lambda *_: None)
    monkeypatch.setattr(pack, "check_attacks", lambda *_: None)


@pytest.fixture
def spec_of(tmp_path: Path) -> SpecWriter:
    """Writes the spec of a small ResNet, with its weights and check pictures beside it."""

    def write(classes: int = 2, **changes: Any) -> Path:
        torch.manual_seed(0)
        torch.save(get_model("resnet18", num_classes=classes).state_dict(), tmp_path / "weights.pth")
        for index, picture in enumerate(random_pictures(2, CROP)):
            to_pil_image(picture).save(tmp_path / f"{index}.png")
        entries = {
            "name": "mine",
            "version": "1.0",
            "title": "A model of mine",
            "architecture": "torchvision/resnet18",
            "weights": {"file": "weights.pth"},
            "preprocessing": {"resize": CROP, "crop": CROP, "mean": [124, 116, 104], "std": [58, 57, 57]},
            "labels": [f"class {index}" for index in range(classes)],
            "check_pictures": {"files": "*.png"},
        }
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(entries | changes))
        return path

    return write


def refused(spec: Path) -> str:
    """What packing says against a spec: one line that names its file."""
    with pytest.raises((SpecError, PackError)) as raised:
        pack_model(spec, spec.parent, lambda _: None)
    words = str(raised.value)
    assert words.startswith(f"{spec}: ")
    assert "\n" not in words
    assert not list(spec.parent.glob("*.mar"))
    return words


# --- Classes


def test_two_classes_are_packed_with_every_check(spec_of: SpecWriter) -> None:
    spec = spec_of()
    packed = pack_model(spec, spec.parent, lambda _: None)
    assert (packed.model.num_classes, list(packed.model.labels)) == (2, ["class 0", "class 1"])
    # The feature maps of 32 pixels are 1 x 1: a map of one cell is compared, but cannot be tested.
    assert packed.model.packing_check.max_map_difference < 1e-3
    tested = {method.name: method.HasField("randomisation_test") for method in packed.model.methods}
    assert tested["saliency"]
    assert not tested["grad_cam"]
    classifier = load_archive(packed.archive)
    probabilities = classifier.probabilities(random_pictures(1, CROP))[0]
    assert float(probabilities.sum()) == pytest.approx(1)
    assert len(probabilities) == 2


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("classes", "name", "content"),
    [(3, "labels.txt", "cat\ndog\ncow\n"), (4, "labels.json", '{"0": "cat", "1": "dog", "3": "ibis", "2": "cow"}')],
)
def test_labels_from_a_file(classes: int, name: str, content: str, spec_of: SpecWriter) -> None:
    spec = spec_of(classes, labels=name)
    (spec.parent / name).write_text(content)
    packed = pack_model(spec, spec.parent, lambda _: None)
    assert list(packed.model.labels) == ["cat", "dog", "cow", "ibis"][:classes]
    # Other labels make another archive.
    (spec.parent / name).write_text(content.replace("cow", "ox"))
    assert pack_model(spec, spec.parent, lambda _: None).model.labels[2] == "ox"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 3, "labels": ["cat", "dog"]}, "labels: 2 given, and the network in the weights has 3 outputs"),
        ({"classes": 2, "labels": ["cat", "dog", "cow"]}, "labels: 3 given, and the network in the weights has 2"),
        ({"classes": 1, "labels": ["cat", "dog"]}, "weights: the network has one output"),
        ({"classes": 1}, "labels: 1 given, and two or more are needed"),
        ({"labels": "labels.txt"}, "no file matches 'labels.txt'"),
        ({"labels": "torchvision/Mine"}, "labels: torchvision has no weights 'Mine'"),
        ({"head": "sigmoid"}, "head: 'sigmoid' must be softmax"),
        ({"architecture": "torchvision/resnet19"}, "architecture: torchvision/resnet19 is not one of"),
        ({"methods": {"enable": ["gradcam"]}}, "methods.enable: 'gradcam' is not one of"),
    ],
)
def test_classes_that_do_not_fit(changes: dict[str, Any], words: str, spec_of: SpecWriter) -> None:
    assert words in refused(spec_of(**changes))
