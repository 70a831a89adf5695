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
class RandomisationTest:
    """Whether a method's maps depend on what the network has learnt (Adebayo et al., arXiv:1810.03292).

    Maps of the trained network are compared with maps of the same network with random weights. A method whose maps stay
    alike shows edges of the picture rather than what the network has learnt. Maps are made with few evaluations: for a
    method that samples, passing says less than failing would.

    Attributes:
        passed: Whether `similarity` is below `threshold`.
        similarity: Mean over the pictures of |Spearman's rank correlation| of the two maps' absolute values, 0 to 1; 0
            means nothing in common.
        threshold: At or above it the test is failed.
        pictures: Number of pictures whose map had more than one value.
    """

    passed: bool
    similarity: float
    threshold: float
    pictures: int


@dataclass(frozen=True)
class Method:
    """A way to explain the model.

    Attributes:
        name: What requests call it.
        summary: One sentence for people.
        reference: The paper that defines it.
        options: Which options it takes beyond those of all methods: some of "baseline", "max_evaluations" and
            "tolerance".
        evaluations: What it spends: "gradient" or "forward" evaluations.
        default_evaluations: How many of them at most, unless the request says otherwise; 0 for methods without
            "max_evaluations".
        min_evaluations: With fewer it cannot work.
        default_tolerance: Its tolerance unless the request says otherwise; see `Explanation.residual`.
        default_baseline: Its baseline unless the request says otherwise; empty for methods without "baseline".
        unavailable: Why this model cannot be explained so, and what to use instead; empty if it can.
        randomisation_test: Whether its maps depend on what the network has learnt; None where that was not tested.
    """

    name: str
    summary: str
    reference: str
    options: tuple[str, ...]
    evaluations: str
    default_evaluations: int
    min_evaluations: int
    default_tolerance: float
    default_baseline: str
    unavailable: str
    randomisation_test: RandomisationTest | None


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
    """ONNX Runtime against torch, and maps against Captum's, compared when the model was packed.

    Attributes:
        pictures: Number of real pictures on which logits were compared.
        max_logit_difference: Largest absolute difference of any logit; 0 means the same numbers.
        max_map_difference: Largest difference of a map from Captum's, as a share of the range of that map's values; 0
            means the same map.
        runtime: Versions of the libraries that were compared, by name.
    """

    pictures: int
    max_logit_difference: float
    max_map_difference: float
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
        methods: What it can be explained with, and what not for a reason; see `Method.unavailable`.
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
