"""What the server says about a model that it serves."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """Upright picture -> short side to `resize` -> centre crop of `crop` x `crop` -> (value - mean) / std.

    Attributes:
        resize: Length of the short side after resizing, in pixels.
        crop: Side of the square that the model sees, in pixels.
        mean: Per channel (red, green, blue), for values in [0, 1].
        std: Per channel, for values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Method:
    """A way to explain the model.

    Attributes:
        name: What requests call it.
        summary: One sentence for people.
        reference: The paper that defines it.
        options: Options that it takes beyond those of all methods, with their defaults; for example {"steps": 50}.
    """

    name: str
    summary: str
    reference: str
    options: Mapping[str, int]


@dataclass(frozen=True)
class Digests:
    """SHA-256 in lower-case hexadecimal of what the model is made of; `inputs_sha256` covers all of it."""

    weights_sha256: str
    onnx_sha256: str
    preprocessing_sha256: str
    labels_sha256: str
    inputs_sha256: str


@dataclass(frozen=True)
class PackingCheck:
    """ONNX Runtime against torch, compared when the model was packed.

    Attributes:
        pictures: Number of real pictures compared.
        max_logit_difference: Largest absolute difference of any logit; 0 means the same numbers.
        runtime: Versions of the libraries that were compared, by name.
    """

    pictures: int
    max_logit_difference: float
    runtime: Mapping[str, str]


@dataclass(frozen=True)
class ModelInfo:
    """A served model.

    Attributes:
        name: What requests call it.
        version: The version that is described.
        title: Name for people.
        architecture: For example "efficientnet_lite/efficientnet-lite0".
        num_classes: Number of classes.
        labels: Names of the classes in index order; empty in `Client.models()`, see `Client.model()`.
        methods: What it can be explained with.
        norms: Norms in which its robustness can be measured.
        preprocessing: How a picture becomes the model's input, or None where the server does not say.
        digests: What it is made of, or None where the server does not say.
        packing_check: The comparison made when it was packed, or None where there was none.
    """

    name: str
    version: str
    title: str
    architecture: str
    num_classes: int
    labels: tuple[str, ...]
    methods: tuple[Method, ...]
    norms: tuple[str, ...]
    preprocessing: Preprocessing | None
    digests: Digests | None
    packing_check: PackingCheck | None
