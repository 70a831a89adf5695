"""Model specs: the committed ones are right, and each mistake is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from whybox_handlers.models.networks import build, labels
from whybox_handlers.models.spec import SpecError, load_spec

STORE = Path(__file__).parents[3] / "model_store"


@pytest.mark.parametrize(
    ("name", "resize", "crop"), [("efficientnet-lite0", 256, 224), ("efficientnet-lite2", 292, 260)]
)
def test_committed_specs(name: str, resize: int, crop: int) -> None:
    spec = load_spec(STORE / f"{name}.yaml")
    assert (spec.name, spec.resize, spec.crop) == (name, resize, crop)
    assert spec.mean == pytest.approx((127 / 255,) * 3)
    assert spec.std == pytest.approx((128 / 255,) * 3)
    assert spec.weights.path().suffix == ".pth"
    assert len(spec.check_pictures.paths()) == 20
    assert spec.enabled == ()


def remove(name: str) -> Any:
    return lambda spec: spec.pop(name)


def put(path: str, value: object) -> Any:
    def change(spec: dict[str, Any]) -> None:
        *sections, name = path.split(".")
        for section in sections:
            spec = spec[section]
        spec[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove("labels"), "labels is missing"),
        (remove("weights"), "weights is missing"),
        (put("version", 1.0), "version: 1.0 must be a text"),
        (put("name", "Lite 0"), "name: 'Lite 0' must be lower-case letters"),
        (put("name", "a..b"), "name: 'a..b' must be lower-case"),
        (put("preprocessing.crop", 300), r"preprocessing.crop: 300 is larger than preprocessing.resize \(256\)"),
        (put("preprocessing.crop", "224"), "preprocessing.crop: '224' must be a positive whole number"),
        (put("preprocessing.resize", True), "preprocessing.resize: True must be"),
        (put("preprocessing.resize", 0), "preprocessing.resize: 0 must be a positive whole number"),
        (put("preprocessing.mean", [1, 2]), r"preprocessing.mean: \[1, 2\] must be three numbers"),
        (put("preprocessing.mean", [1, 2, "3"]), r"preprocessing.mean: \[1, 2, '3'\] must be three numbers"),
        (put("preprocessing.mean", [1, 2, float("nan")]), r"preprocessing.mean: \[1, 2, nan\] must be three numbers"),
        (put("preprocessing.std", [1, 2, True]), r"preprocessing.std: \[1, 2, True\] must be three numbers"),
        (put("preprocessing.std", [0, 1, 1]), "preprocessing.std: must not be 0"),
        (put("preprocessing.means", 1), "preprocessing.means is not a known entry; the entries here are .*mean, std"),
        (put("weights.package", "no_such_package"), "weights.package: 'no_such_package' is not installed"),
        (put("weights.package", "no.such.package"), "weights.package: 'no.such.package' is not installed"),
        (put("weights.package", 3), "weights.package: 3 must be the name of an installed package"),
        (put("weights.file", ""), "weights.file: '' must be a text"),
        (put("weights", "x.pth"), "weights must be a mapping"),
        (put("check_pictures", {}), "check_pictures.files is missing"),
        (put("colour", "red"), "colour is not a known entry; the entries here are name, version, "),
        (put("methods", ["saliency"]), "methods must be a mapping"),
        (put("methods", {}), "methods.enable is missing"),
        (put("methods", {"enable": "saliency"}), "methods.enable: 'saliency' must be a list of names"),
        (put("methods", {"enable": [1]}), r"methods.enable: \[1\] must be a list of names"),
        (put("methods", {"enable": [], "disable": []}), "methods.disable is not a known entry"),
    ],
)
def test_each_mistake_is_named(change: Any, words: str, tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    change(entries)
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(SpecError, match=f"model.yaml: {words}"):
        load_spec(path)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    del entries["labels"]
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries | {"version": 1.0, 1: "one"}))
    with pytest.raises(SpecError) as raised:
        load_spec(path)
    for words in ("version: 1.0 must be a text", "labels is missing", "1 is not a known entry"):
        assert words in str(raised.value)


@pytest.mark.parametrize("content", ["", "- a", "{", "\x00"])
def test_what_is_no_spec_at_all(content: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"model\.yaml: (the spec must be a mapping|cannot be read as YAML)"):
        load_spec(path)
    with pytest.raises(SpecError, match=r"missing\.yaml"):
        load_spec(tmp_path / "missing.yaml")


def test_methods_that_are_switched_on(tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries | {"methods": {"enable": ["guided_grad_cam", "rise"]}}))
    assert load_spec(path).enabled == ("guided_grad_cam", "rise")


def test_files_beside_the_spec(tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    entries["weights"] = {"file": "*.pth"}
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries))
    spec = load_spec(path)
    with pytest.raises(SpecError, match="no file matches"):
        spec.weights.path()
    (tmp_path / "one.pth").touch()
    assert spec.weights.path() == tmp_path / "one.pth"
    (tmp_path / "two.pth").touch()
    with pytest.raises(SpecError, match="2 files match"):
        spec.weights.path()


@pytest.mark.parametrize("architecture", ["resnet", "keras/resnet", "efficientnet_lite/efficientnet-lite9", ""])
def test_unknown_architectures(architecture: str) -> None:
    with pytest.raises(SpecError, match="architecture: "):
        build(architecture, 10)


def test_labels() -> None:
    names = labels("torchvision/EfficientNet_B0_Weights.IMAGENET1K_V1")
    assert (len(names), names[0], names[251]) == (1000, "tench", "dalmatian")
    for source in ("torchvision/No_Weights.V1", "torchvision/", "mine"):
        with pytest.raises(SpecError, match="labels: "):
            labels(source)
