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
class Attack:
    """A search for the smallest change that flips the model's prediction.

    Attributes:
        name: What requests call it.
        summary: One sentence for people.
        reference: The paper that defines it.
        norms: Norms that it can measure in.
        evaluations: What it spends: "gradient" or "forward" evaluations.
    """

    name: str
    summary: str
    reference: str
    norms: tuple[str, ...]
    evaluations: str


@dataclass(frozen=True)
class AttackCheck:
    """Signs that the network hides its weaknesses from attacks that follow its gradients.

    They are those of Croce and Hein (arXiv:2003.01690), Carlini et al. (arXiv:1902.06705) and Zimmermann et al.
    (arXiv:2206.13991).

    Attributes:
        reliable: Whether none of the following speaks against such attacks.
        reasons: What does, for people.
        pictures: Number of pictures that were tested; 0 where the model was packed without the test.
        attacked: How many of them were attacked.
        repetition_difference: Largest difference of a logit between repeated passes of one picture; above 0 the network
            is random.
        softmax_output: Whether the network answers with probabilities instead of logits: where they saturate, no
            gradient is left.
        zero_gradient_share: Share of pictures with a gradient that is zero almost everywhere, 0 to 1.
        black_box_better_share: Share of the attacked pictures on which an attack without gradients found a much smaller
            change, 0 to 1.
        optimises_at_inference: Whether the network computes gradients to answer.
        radius_helps_share: Share of the attacked pictures whose flipped answer flipped back when the change was
            enlarged, 0 to 1.
        planted: Adversarial pictures that could be planted.
        planted_found: How many of them the attack found.
    """

    reliable: bool
    reasons: tuple[str, ...]
    pictures: int
    repetition_difference: float
    softmax_output: bool
    zero_gradient_share: float
    black_box_better_share: float
    optimises_at_inference: bool
    radius_helps_share: float
    planted: int
    planted_found: int
    attacked: int


@dataclass(frozen=True)
class CorruptionKind:
    """What may be done to a picture beside attacks.

    Attributes:
        name: What requests call it.
        group: "noise", "blur", "weather", "digital" or "geometry".
        summary: One sentence for people.
        severities: Number of severities: 5, or 1 where there are no degrees.
    """

    name: str
    group: str
    summary: str
    severities: int


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
        attacks: What its robustness can be measured with.
        default_attack: The attack that is used unless a request names another.
        attack_check: Whether attacks that follow the network's gradients can be trusted, or None where that was not
            tested.
        corruptions: What else can be done to a picture.
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
    attacks: tuple[Attack, ...]
    default_attack: str
    attack_check: AttackCheck | None
    corruptions: tuple[CorruptionKind, ...]
