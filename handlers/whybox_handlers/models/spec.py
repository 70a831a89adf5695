"""Model specs: the YAML files in model_store/ from which archives are packed."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class SpecError(ValueError):
    """A model spec is wrong; the message names the file, the entry and what would be right."""


@dataclass(frozen=True)
class PackageFiles:
    """Files inside an installed package or, without a package, relative to the spec."""

    root: Path
    pattern: str

    def paths(self) -> list[Path]:
        """The files that match, sorted by name.

        Raises:
            SpecError: None does.
        """
        found = sorted(self.root.glob(self.pattern))
        if not found:
            raise SpecError(f"no file matches {self.pattern!r} in {self.root}")
        return found

    def path(self) -> Path:
        """The one file that matches.

        Raises:
            SpecError: None does, or several do.
        """
        found = self.paths()
        if len(found) > 1:
            raise SpecError(f"{len(found)} files match {self.pattern!r} in {self.root}; exactly one is needed")
        return found[0]


@dataclass(frozen=True)
class ModelSpec:
    """What `whybox-server pack` builds an archive from.

    Attributes:
        name: Name under which the model is served: lower-case letters, digits, dots and hyphens.
        version: Version of the model, for example "1.0".
        title: Name for people.
        architecture: "BUILDER/NAME", a row of `networks.BUILDERS` and a name that it knows.
        weights: A state dict saved by torch.
        resize: Short side after resizing, pixels; at least `crop`.
        crop: Side of the centre crop that the network sees, pixels.
        mean: Mean of each channel in [0, 1], subtracted inside the network.
        std: What the difference is divided by, in [0, 1].
        labels: "torchvision/WEIGHTS": the categories of one of torchvision's weight enums.
        check_pictures: Real pictures on which packing compares ONNX Runtime with torch and tests the explainers.
        enabled: Names of explainers that are off by default and that the model offers all the same.
    """

    name: str
    version: str
    title: str
    architecture: str
    weights: PackageFiles
    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    labels: str
    check_pictures: PackageFiles
    enabled: tuple[str, ...] = ()


def load_spec(path: Path) -> ModelSpec:
    """Reads a spec.

    Raises:
        SpecError: The file is not a spec; names the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"{path}: cannot be read as YAML: {error}") from error
    try:
        return _parse(entries, path.parent)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _parse(entries: Any, directory: Path) -> ModelSpec:
    take = _Entries(entries, "")
    preprocessing = take.section("preprocessing")
    spec = ModelSpec(
        name=take.text("name"),
        version=take.text("version"),
        title=take.text("title"),
        architecture=take.text("architecture"),
        weights=_files(take.section("weights"), directory),
        resize=preprocessing.positive("resize"),
        crop=preprocessing.positive("crop"),
        mean=preprocessing.grey_levels("mean"),
        std=preprocessing.grey_levels("std"),
        labels=take.text("labels"),
        check_pictures=_files(take.section("check_pictures"), directory),
        enabled=_enabled(take),
    )
    preprocessing.done()
    take.done()
    if not all(part.isalnum() for part in spec.name.replace("-", ".").split(".")) or spec.name != spec.name.lower():
        raise SpecError(f"name: {spec.name!r} may hold lower-case letters, digits, and single dots or hyphens between")
    if spec.resize < spec.crop:
        raise SpecError(f"preprocessing.resize: {spec.resize} is smaller than preprocessing.crop ({spec.crop})")
    if min(spec.std) == 0:
        raise SpecError("preprocessing.std: must not be 0")
    return spec


def _files(take: "_Entries", directory: Path) -> PackageFiles:
    pattern, package = take.text("file" if "file" in take.entries else "files"), take.entries.pop("package", None)
    take.done()
    if package is None:
        return PackageFiles(directory, pattern)
    # Found without being imported: some of these packages import half a machine learning stack.
    found = importlib.util.find_spec(str(package))
    if found is None or not found.submodule_search_locations:
        raise SpecError(f"{take.at('package')}: {package!r} is not installed; pip install it")
    return PackageFiles(Path(found.submodule_search_locations[0]), pattern)


def _enabled(take: "_Entries") -> tuple[str, ...]:
    if "methods" not in take.entries:
        return ()
    methods = take.section("methods")
    names = methods.texts("enable")
    methods.done()
    return names


class _Entries:
    """Takes typed entries out of a mapping and complains, by name, about what is wrong or left over."""

    def __init__(self, entries: Any, prefix: str) -> None:
        if not isinstance(entries, dict):
            raise SpecError(f"{prefix.rstrip('.') or 'the spec'} must be a mapping")
        self.entries = dict(entries)
        self._prefix = prefix

    def at(self, name: str) -> str:
        return self._prefix + name

    def _take(self, name: str) -> Any:
        if name not in self.entries:
            raise SpecError(f"{self.at(name)} is missing")
        return self.entries.pop(name)

    def text(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str) or not value:
            raise SpecError(f"{self.at(name)}: {value!r} must be a text (quote numbers)")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._take(name)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise SpecError(f"{self.at(name)}: {values!r} must be a list of names")
        return tuple(values)

    def positive(self, name: str) -> int:
        value = self._take(name)
        if type(value) is not int or value < 1:
            raise SpecError(f"{self.at(name)}: {value!r} must be a positive whole number")
        return value

    def grey_levels(self, name: str) -> tuple[float, float, float]:
        values = self._take(name)
        if not isinstance(values, list) or len(values) != 3 or not all(type(v) in (int, float) for v in values):
            raise SpecError(f"{self.at(name)}: {values!r} must be three numbers, in grey levels of 255")
        red, green, blue = (value / 255 for value in values)
        return red, green, blue

    def section(self, name: str) -> "_Entries":
        return _Entries(self._take(name), self.at(name) + ".")

    def done(self) -> None:
        if self.entries:
            raise SpecError(f"{self.at(next(iter(self.entries)))} is not a known entry")
