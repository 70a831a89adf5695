"""Model specs: the YAML files in model_store/ from which archives are packed."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, ValidationInfo, field_validator

from whybox_handlers.models.mistakes import in_words
from whybox_handlers.pictures.levels import LEVELS


class SpecError(ValueError):
    """A model spec is wrong; the message names the file and, for each mistake, the entry and what would be right."""


@dataclass(frozen=True)
class PackageFiles:
    """Files inside an installed package or, without a package, relative to the spec.

    Attributes:
        root: Folder of the package or of the spec.
        pattern: Name of a file, or a pattern of names, as `Path.glob` takes it.
        entry: The spec's entry that names them, for errors.
    """

    root: Path
    pattern: str
    entry: str

    def paths(self) -> list[Path]:
        """The files that match, sorted by name.

        Raises:
            SpecError: No file matches.
        """
        try:
            # A name as it stands may be absolute, or hold brackets, which are special in a pattern.
            named = self.root / self.pattern
            found = [named] if named.is_file() else sorted(each for each in self._matching() if each.is_file())
        except (ValueError, IndexError, OSError) as error:
            raise SpecError(f"{self.entry}: {self.pattern!r} is no pattern of file names ({error})") from error
        if not found:
            raise SpecError(
                f"{self.entry}: no file matches {self.pattern!r} in {self.root}; correct the name or add the file"
            )
        return found

    def path(self) -> Path:
        """The one file that matches.

        Raises:
            SpecError: No file matches, or several do.
        """
        found = self.paths()
        if len(found) > 1:
            raise SpecError(
                f"{self.entry}: {len(found)} files match {self.pattern!r} in {self.root}; exactly one is needed"
            )
        return found[0]

    def _matching(self) -> Iterator[Path]:
        pattern = Path(self.pattern)
        if not pattern.is_absolute():
            return iter(self.root.glob(self.pattern))
        return iter(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


@dataclass(frozen=True)
class ModelSpec:
    """What `whybox-server pack` builds an archive from.

    Attributes:
        name: Name under which the model is served: lower-case letters, digits, dots and hyphens.
        version: Version of the model, for example "1.0".
        title: Name for people.
        architecture: "BUILDER/NAME", a row of `networks.BUILDERS` and a name that it knows.
        weights: A state dict or a checkpoint saved by torch, as `weights.read_weights` takes it.
        resize: Short side after resizing, pixels; at least `crop`.
        crop: Side of the centre crop that the network sees, pixels.
        mean: Mean of each channel in [0, 1], subtracted inside the network.
        std: Standard deviation of each channel in units of the range [0, 1], by which the difference is divided; not 0.
        labels: The names of the classes, as `labels.read_labels` takes them.
        check_pictures: Real pictures, two or more different ones, on which packing compares ONNX Runtime with torch and
            tests the explainers.
        enabled: Names of explainers that are off by default and that this model offers.
        gradient: What computes gradients; None for what packing finds to be the fastest.
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
    labels: str | tuple[str, ...] | PackageFiles
    check_pictures: PackageFiles
    enabled: tuple[str, ...] = ()
    gradient: Literal["torch", "onnxruntime", "openvino"] | None = None


class _Section(BaseModel):
    """A mapping in the YAML file; the description of each entry says what its value must be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Text = Annotated[str, Field(min_length=1, description="a text (quote numbers)")]
_Pixels = Annotated[int, Field(gt=0, description="a positive whole number")]
_GreyLevels = Annotated[
    list[FiniteFloat],
    Field(min_length=3, max_length=3, description=f"three numbers, in grey levels of {LEVELS}"),
]


class _Location(_Section):
    """Where files are: in an installed package or, without a package, beside the spec."""

    package: str | None = Field(None, min_length=1, description="the name of an installed package")

    @field_validator("package")
    @classmethod
    def _is_installed(cls, package: str | None) -> str | None:
        if package is not None and _folder_of(package) is None:
            raise ValueError(f"{package!r} is not installed; pip install it")
        return package

    def found(self, pattern: str, directory: Path, entry: str) -> PackageFiles:
        """The files of that pattern, which the entry gives; `directory` is the spec's."""
        return PackageFiles((self.package and _folder_of(self.package)) or directory, pattern, entry)


class _Weights(_Location):
    file: _Text


class _CheckPictures(_Location):
    files: _Text


class _LabelFile(_Location):
    file: _Text


class _Preprocessing(_Section):
    resize: _Pixels
    crop: _Pixels
    mean: _GreyLevels
    std: _GreyLevels

    @field_validator("crop")
    @classmethod
    def _fits(cls, crop: int, before: ValidationInfo) -> int:
        resize = before.data.get("resize", crop)
        if crop > resize:
            raise ValueError(f"{crop} is larger than preprocessing.resize ({resize}); make it at most as large")
        return crop

    @field_validator("std")
    @classmethod
    def _divides(cls, std: list[float]) -> list[float]:
        if 0 in std:
            raise ValueError("must not be 0 for any channel; it is what pixel values are divided by")
        return std


class _Methods(_Section):
    enable: list[str] = Field(description="a list of names of methods")


class _Spec(_Section):
    name: str = Field(
        pattern=r"\A[a-z0-9]+([.-][a-z0-9]+)*\z",
        description="lower-case letters and digits, with single dots or hyphens between them",
    )
    version: str = Field(
        pattern=r"\A[A-Za-z0-9]+([.+_-][A-Za-z0-9]+)*\z",
        description="letters and digits, with single dots, hyphens, underscores or plus signs between them (quote "
        "numbers)",
    )
    title: _Text
    architecture: _Text
    weights: _Weights
    preprocessing: _Preprocessing
    labels: _Text | list[str] | _LabelFile = Field(
        description="'torchvision/WEIGHTS', a list of labels (quote numbers, yes and no), or the name of a .txt or "
        ".json file, as text or as `{file: NAME}` with or without `package`"
    )
    head: Literal["softmax"] = Field(
        "softmax",
        description="softmax: a network with one output or with independent outputs (sigmoid) cannot be packed; train "
        "it with one output per class",
    )
    check_pictures: _CheckPictures
    gradient: Literal["torch", "onnxruntime", "openvino"] | None = Field(
        None, description="torch, onnxruntime or openvino; without it the fastest is chosen"
    )
    methods: _Methods = _Methods(enable=[])


def load_spec(path: Path) -> ModelSpec:
    """Reads a spec.

    Raises:
        SpecError: The file is not a spec; names every entry that is wrong.
    """
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"{path}: cannot be read as YAML: {error}") from error
    try:
        spec = _Spec.model_validate(entries)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False)
        raise SpecError(
            f"{path}: {'; '.join(dict.fromkeys(in_words(each, entries, _Spec) for each in mistakes))}"
        ) from None
    return ModelSpec(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        architecture=spec.architecture,
        weights=spec.weights.found(spec.weights.file, path.parent, "weights.file"),
        resize=spec.preprocessing.resize,
        crop=spec.preprocessing.crop,
        mean=_of_range(spec.preprocessing.mean),
        std=_of_range(spec.preprocessing.std),
        labels=_labels(spec.labels, path.parent),
        check_pictures=spec.check_pictures.found(spec.check_pictures.files, path.parent, "check_pictures.files"),
        enabled=tuple(spec.methods.enable),
        gradient=spec.gradient,
    )


def _labels(labels: str | list[str] | _LabelFile, directory: Path) -> str | tuple[str, ...] | PackageFiles:
    if isinstance(labels, str):
        return PackageFiles(directory, labels, "labels") if labels.lower().endswith((".txt", ".json")) else labels
    return tuple(labels) if isinstance(labels, list) else labels.found(labels.file, directory, "labels.file")


def _of_range(grey_levels: list[float]) -> tuple[float, float, float]:
    red, green, blue = (level / LEVELS for level in grey_levels)
    return red, green, blue


def _folder_of(package: str) -> Path | None:
    """Where an installed package lies; None for a package that is not installed."""
    try:
        # Found without being imported: some of these packages import half a machine learning stack.
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = found.submodule_search_locations if found else None
    return Path(folders[0]) if folders else None
