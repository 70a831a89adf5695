"""Models of other people: their classes, their weights and their check pictures; what packs, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.models import get_model
from torchvision.transforms.functional import to_pil_image
from typer.testing import CliRunner

from architectures import random_pictures
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.spec import load_spec
from whybox_handlers.packing.check_pictures import read_views
from whybox_server.cli.app import app
from whybox_server.packing import pack
from whybox_server.packing.pack import Checks, PackError, SpecError, pack_model

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


# --- Weights


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_is_packed_like_its_weights(spec_of: SpecWriter) -> None:
    spec = spec_of()
    weights = spec.parent / "weights.pth"
    plain = torch.load(weights, weights_only=True)
    wrapped = {f"module.{name}": tensor for name, tensor in plain.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, weights)
    served = load_archive(pack_model(spec, spec.parent, lambda _: None).archive)
    network = get_model("resnet18", num_classes=2).eval()
    network.load_state_dict(plain)
    views = random_pictures(2, CROP)
    mean, std = (torch.tensor(values).view(3, 1, 1) / 255 for values in ([124.0, 116.0, 104.0], [58.0, 57.0, 57.0]))
    torch.testing.assert_close(served.serve(views), network((views - mean) / std).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b""), "weights.pth is empty; copy or download the file again"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "weights.pth is truncated or damaged; copy"),
        (lambda path: torch.save(get_model("resnet18"), path), "weights.pth holds Python objects (torchvision."),
        (lambda path: path.unlink(), "weights.file: no file matches 'weights.pth'"),
    ],
)
def test_bad_weights(spoil: Callable[[Path], object], words: str, spec_of: SpecWriter) -> None:
    spec = spec_of()
    spoil(spec.parent / "weights.pth")
    assert words in refused(spec)


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (0.0, "weights: the network gives every check picture the same answer; check that it was trained"),
        (torch.nan, "0.png: the network's output is not finite; check the weights and the preprocessing"),
    ],
)
def test_weights_that_say_nothing(fill: float, words: str, spec_of: SpecWriter) -> None:
    spec = spec_of()
    path = spec.parent / "weights.pth"
    weights = torch.load(path, weights_only=True)
    torch.save({name: torch.full_like(tensor, fill) for name, tensor in weights.items() if tensor.dim()}, path)
    assert words in refused(spec)


@pytest.mark.parametrize(
    ("name", "crop", "words"),
    [
        ("vit_b_32", 200, "200 x 200 pixels (Wrong image height! Expected 224 but got 200!)"),
        ("maxvit_t", 112, "112 x 112 pixels (shape '"),
        (
            "inception_v3",
            74,
            "74 x 74 pixels (Calculated padded input size per channel: (2 x 2). Kernel size: (3 x 3).",
        ),
        ("alexnet", 48, "48 x 48 pixels (Given input size: (256x2x2)."),
    ],
)
def test_a_crop_that_a_network_cannot_take(name: str, crop: int, words: str, spec_of: SpecWriter) -> None:
    preprocessing = {"resize": crop, "crop": crop, "mean": [124, 116, 104], "std": [58, 57, 57]}
    spec = spec_of(architecture=f"torchvision/{name}", preprocessing=preprocessing)
    options = {"init_weights": False} if name == "inception_v3" else {}
    torch.save(get_model(name, num_classes=2, **options).state_dict(), spec.parent / "weights.pth")
    said = refused(spec)
    assert f"preprocessing.crop: the network cannot take {words}" in said
    assert said.endswith("); use the size that it was trained with")


def test_a_store_that_cannot_be_made(spec_of: SpecWriter) -> None:
    spec = spec_of()
    with pytest.raises(PackError, match=rf"^{spec}: .*File exists"):
        pack_model(spec, spec.parent / "weights.pth", lambda _: None)


def test_a_method_that_cannot_work(spec_of: SpecWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FailedPreconditionError("the model's output is not finite for this picture")

    monkeypatch.setattr(pack, "export", lambda *_: fail())
    assert refused(spec_of()).endswith(": the model's output is not finite for this picture")


# --- Check pictures


def keep_one(folder: Path) -> None:
    (folder / "1.png").unlink()


def repeat_one(folder: Path) -> None:
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes())


def spoil_one(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"not a picture")


def remove_both(folder: Path) -> None:
    (folder / "0.png").unlink()
    (folder / "1.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (keep_one, "check_pictures.files: two or more different pictures are needed, and 0.png is the only one; add"),
        (repeat_one, "two or more different pictures are needed, and 0.png, 1.png show the same; add another"),
        (spoil_one, "1.png: "),
        (remove_both, "check_pictures.files: no file matches '*.png'"),
    ],
)
def test_bad_check_pictures(spoil: Callable[[Path], None], words: str, spec_of: SpecWriter) -> None:
    spec = spec_of()
    spoil(spec.parent)
    assert words in refused(spec)


def test_pictures_of_the_same_name_in_two_folders_are_two(spec_of: SpecWriter) -> None:
    path = spec_of(check_pictures={"files": "*/0.png"})
    for index, folder in enumerate(("one", "two")):
        (path.parent / folder).mkdir()
        (path.parent / f"{index}.png").rename(path.parent / folder / "0.png")
    assert list(read_views(load_spec(path))) == ["one/0.png", "two/0.png"]


# --- Progress and omissions


def test_checks_that_are_left_out_are_told_and_made_later(spec_of: SpecWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(pack, "randomise_methods", lambda *_: made.append("methods"))
    monkeypatch.setattr(pack, "check_attacks", lambda *_: made.append("attacks"))
    spec = spec_of()

    def packed(checks: Checks) -> tuple[bool, list[str]]:
        outcome = pack_model(spec, spec.parent, lambda _: None, checks)
        return outcome.fresh, list(outcome.model.attack_check.reasons)

    never = "the model was never tested for randomness and masked gradients: pack it again"
    assert packed("export") == (True, [never])
    assert packed("export") == (False, [never])
    assert made == []
    assert packed("all") == (True, [])
    assert made == ["methods", "attacks"]
    # An archive with all checks is good enough for fewer.
    assert packed("export") == (False, [])


def test_each_step_is_a_line_without_a_terminal(spec_of: SpecWriter) -> None:
    spec = spec_of()
    outcome = CliRunner().invoke(app, ["pack", str(spec), "--checks", "export"])
    assert outcome.exit_code == 0
    first, *compared = outcome.stderr.splitlines()
    assert first == "mine: exporting to ONNX"
    tried = [f"mine: trying {name}" for name in ("saliency", "input_x_gradient", "grad_cam", "hires_cam", "deep_lift")]
    assert sorted(line for line in compared if line in tried) == sorted(tried)
    # The pictures are compared at the same time.
    assert [*sorted(compared[:2]), *(line for line in compared[2:] if line not in tried)] == [
        "mine: comparing ONNX Runtime with torch on 0.png",
        "mine: comparing ONNX Runtime with torch on 1.png",
        "mine: comparing saliency with Captum's",
        "mine: comparing grad_cam with Captum's",
        "mine: comparing input_x_gradient with Captum's",
        "mine: compiling the gradient",
        "mine: comparing compiled gradients with torch's",
        "mine: timing gradients",
        "mine: finding how many pictures may share a pass",
        "mine: writing the archive",
    ]
    assert outcome.stdout.startswith(
        f"packed {spec.parent / 'mine-1.0.mar'}: ONNX Runtime agrees with torch on 2 pictures"
    )
