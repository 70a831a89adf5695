"""Model specs: the committed ones are right, and each mistake is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from whybox_handlers.models.networks import build
from whybox_handlers.models.spec import PackageFiles, SpecError, load_spec

STORE = Path(__file__).parents[3] / "model_store"


LITE = (127 / 255,) * 3, (128 / 255,) * 3
TORCHVISION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMMITTED = {
    "efficientnet-lite0": (256, 224, *LITE),
    "efficientnet-lite2": (292, 260, *LITE),
    "mobilenet-v2": (256, 224, *TORCHVISION),
}


def test_the_specs_of_the_store_are_known() -> None:
    assert {path.stem for path in STORE.glob("*.yaml")} == set(COMMITTED)


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_specs(name: str) -> None:
    spec = load_spec(STORE / f"{name}.yaml")
    resize, crop, mean, std = COMMITTED[name]
    assert (spec.name, spec.resize, spec.crop) == (name, resize, crop)
    assert spec.mean == pytest.approx(mean)
    assert spec.std == pytest.approx(std)
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
        (put("version", 1.0), "version: 1.0 must be letters and digits"),
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
        (
            put("labels", 3),
            "labels: 3 must be 'torchvision/WEIGHTS', a list of labels .* or the name of a .txt or .json",
        ),
        (put("labels", ""), "labels: '' must be 'torchvision/WEIGHTS', a list"),
        (put("labels", ["cat", 3]), r"labels: \['cat', 3\] must be .* a list of labels \(quote numbers, yes and no\)"),
        (put("labels", [True, False]), r"labels: \[True, False\] must be .* a list of labels \(quote numbers, yes and"),
        (put("labels", {0: "cat"}), "labels: {0: 'cat'} must be"),
        (put("labels", {"file": 3}), "labels: {'file': 3} must be .* `{file: NAME}`"),
        (put("labels", {"package": "foolbox"}), "labels: {'package': 'foolbox'} must be .* `{file: NAME}`"),
        (put("labels", {"file": "x", "package": "no_such"}), ".*labels.package: 'no_such' is not installed"),
        (put("head", "sigmoid"), "head: 'sigmoid' must be softmax: a network with .* independent outputs"),
        (put("head", None), "head: None must be softmax"),
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
    for words in ("version: 1.0 must be letters and digits", "labels is missing", "1 is not a known entry"):
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
    with pytest.raises(SpecError, match=r"weights\.file: no file matches"):
        spec.weights.path()
    (tmp_path / "one.pth").touch()
    assert spec.weights.path() == tmp_path / "one.pth"
    (tmp_path / "two.pth").touch()
    with pytest.raises(SpecError, match=r"weights\.file: 2 files match"):
        spec.weights.path()


@pytest.mark.parametrize("name", ["plain.pth", "with [brackets].pth", "*ets].pth", "sub/*.pth"])
def test_names_and_patterns(name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for file in ("plain.pth", "with [brackets].pth", "sub/one.pth"):
        (tmp_path / file).touch()
    (tmp_path / "sub" / "folder.pth").mkdir()
    for pattern in (name, str(tmp_path / name)):
        assert PackageFiles(Path() if pattern != name else tmp_path, pattern, "weights.file").path().is_file()


@pytest.mark.parametrize("pattern", ["**x/*.pth", "\0", "."])
def test_what_is_no_pattern(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"weights\.file: "):
        PackageFiles(tmp_path, pattern, "weights.file").paths()


@pytest.mark.parametrize("architecture", ["resnet", "keras/resnet", "efficientnet_lite/efficientnet-lite9", ""])
def test_unknown_architectures(architecture: str) -> None:
    with pytest.raises(SpecError, match="architecture: "):
        build(architecture, 10)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("torchvision/ResNet18_Weights.IMAGENET1K_V1", "torchvision/ResNet18_Weights.IMAGENET1K_V1"),
        (["cat", "dog"], ("cat", "dog")),
        ("labels.txt", PackageFiles(STORE, "labels.txt", "labels")),
        ("labels.json", PackageFiles(STORE, "labels.json", "labels")),
        ({"file": "labels"}, PackageFiles(STORE, "labels", "labels.file")),
    ],
)
def test_labels_are_a_name_a_list_or_a_file(written: object, read: object, tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries | {"labels": written}))
    spec = load_spec(path)
    assert spec.labels == (replace(read, root=tmp_path) if isinstance(read, PackageFiles) else read)


def test_softmax_is_the_default_head(tmp_path: Path) -> None:
    entries = yaml.safe_load((STORE / "efficientnet-lite0.yaml").read_text())
    assert entries.pop("head") == "softmax"
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(entries))
    assert load_spec(path).name == "efficientnet-lite0"
