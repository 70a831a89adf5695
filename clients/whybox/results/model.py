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

    Maps of the trained network are compared with maps of the same network with random weights in the last quarter of
    its layers. A method whose maps stay similar shows edges of the picture rather than what the network has learnt. The
    test makes maps with few evaluations, so for methods that sample a pass is weaker evidence than a failure.

    Attributes:
        passed: Whether `similarity` is below `threshold`.
        similarity: Mean over the pictures of |Spearman's rank correlation| of the two maps' absolute values, 0 to 1; 0
            means that the maps have nothing in common.
        threshold: Similarity at which a method fails the test.
        pictures: Number of pictures that were counted; maps with fewer than 20 different values are not.
        evaluations: Largest number of evaluations that one of the maps took; fewer for large networks.
    """

    passed: bool
    similarity: float
    threshold: float
    pictures: int
    evaluations: int


@dataclass(frozen=True)
class Method:
    """A way to explain the model.

    Attributes:
        name: Name in requests.
        summary: One sentence for people.
        reference: The paper that defines the method.
        options: Options of this method beside those that all methods take: some of "baseline", "max_evaluations" and
            "tolerance".
        evaluations: Kind of evaluations that the method spends: "gradient" or "forward".
        default_evaluations: Default limit on the evaluations; 0 for methods without "max_evaluations".
        min_evaluations: Fewest evaluations that the method needs.
        default_tolerance: Default tolerance; see `Explanation.residual`.
        default_baseline: Default baseline; empty for methods without "baseline".
        unavailable: Why the method cannot explain this model, and what to use instead; empty if it can.
        randomisation_test: Whether the maps depend on what the network has learnt; None if that was not tested.
        map_shape: Shape of the map with channels "none": (3, height, width), or (height, width) with one value per
            pixel or per cell; empty if the method cannot explain the network, or makes no map.
        gives_examples: Whether it answers with known pictures (`Explanation.examples`) instead of a map.
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
    map_shape: tuple[int, ...]
    gives_examples: bool


@dataclass(frozen=True)
class Attack:
    """A search for the smallest change that flips the model's prediction.

    Attributes:
        name: Name in requests.
        summary: One sentence for people.
        reference: The paper that defines the attack.
        norms: Norms in which the attack can measure.
        evaluations: Kind of evaluations that the attack spends: "gradient" or "forward".
    """

    name: str
    summary: str
    reference: str
    norms: tuple[str, ...]
    evaluations: str


@dataclass(frozen=True)
class AttackCheck:
    """Signs that the network hides its weaknesses from gradient-based attacks.

    The checks are those of Croce and Hein (arXiv:2003.01690), Carlini et al. (arXiv:1902.06705) and Zimmermann et al.
    (arXiv:2206.13991).

    Attributes:
        reliable: Whether no check speaks against gradient-based attacks.
        reasons: The checks that do, in words for people.
        pictures: Number of pictures that were tested; 0 for a model that was packed without the checks.
        attacked: Number of these pictures that were attacked.
        gradient_evaluations: Gradient evaluations that the attack with gradients could spend on each of them.
        forward_evaluations: Forward evaluations that the attack without gradients could spend on each of them.
        planted_evaluations: Gradient evaluations that the search for each planted picture could spend.
        repetition_difference: Largest difference of a logit between repeated passes of one picture; above 0 the network
            is random.
        softmax_output: Whether the network returns probabilities instead of logits; saturated probabilities have no
            gradient.
        zero_gradient_share: Share of the pictures with a gradient that is zero almost everywhere, 0 to 1.
        black_box_better_share: Share of the attacked pictures on which a gradient-free attack found a much smaller
            change, 0 to 1.
        optimises_at_inference: Whether the network computes gradients to answer.
        radius_helps_share: Share of the attacked pictures for which enlarging the change restored the original answer,
            0 to 1.
        planted: Number of adversarial pictures that could be planted.
        planted_found: Number of planted pictures that the attack found.
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
    gradient_evaluations: int
    forward_evaluations: int
    planted_evaluations: int


@dataclass(frozen=True)
class CorruptionKind:
    """A common corruption or a change of geometry that can be applied to a picture.

    Attributes:
        name: Name in requests.
        group: "noise", "blur", "weather", "digital" or "geometry".
        summary: One sentence for people.
        severities: Number of severities: 5, or 1 for a corruption without degrees.
    """

    name: str
    group: str
    summary: str
    severities: int


@dataclass(frozen=True)
class Digests:
    """SHA-256 in lower-case hexadecimal of the parts of the model; `inputs_sha256` covers all inputs of packing.

    `gradient_sha256` is empty if torch computes gradients.
    """

    weights_sha256: str
    onnx_sha256: str
    preprocessing_sha256: str
    labels_sha256: str
    inputs_sha256: str
    gradient_sha256: str


@dataclass(frozen=True)
class PackingCheck:
    """Comparison of ONNX Runtime with torch, and of the maps with Captum's, made when the model was packed.

    Attributes:
        pictures: Number of real pictures on which logits were compared.
        max_logit_difference: Largest absolute difference of a logit; 0 means the same numbers.
        max_map_difference: Largest difference of a map from Captum's, as a share of the range of that map's values; 0
            means the same map.
        runtime: Versions of the libraries that were compared, by name.
        multiply_adds: Multiply-adds of one pass of one picture; above 1e9 methods and attacks are tested with less. 0
            for a model that was packed without these tests.
    """

    pictures: int
    max_logit_difference: float
    max_map_difference: float
    runtime: Mapping[str, str]
    multiply_adds: float


@dataclass(frozen=True)
class BatchSizes:
    """How many pictures may share a pass through the network on a processor; found when the model was packed.

    Up to these numbers, 1 to 4, each picture gets the same bits as in a pass of its own.

    Attributes:
        forward: Passes forward through ONNX Runtime.
        occluded: Passes for a picture with a window hidden.
        gradient: Passes forward and back through torch; 1 if a compiled graph computes them.
        runtime: The processor, the number of threads, and versions of the libraries, by name; a worker with others
            finds its own numbers.
    """

    forward: int
    occluded: int
    gradient: int
    runtime: Mapping[str, str]


@dataclass(frozen=True)
class Gradient:
    """What computes gradients of the network on a processor; found when the model was packed. On a GPU torch does.

    Attributes:
        runtime: "onnxruntime" or "openvino", which run a compiled graph, or "torch".
        version: Version of that library.
        time_ratio: Time of one gradient by torch's, on the packing machine; 0 if it was not measured.
        difference: Largest difference of a value from the gradient in double precision, as a share of the range of its
            values; 0 for torch.
        reason: Why torch computes; empty otherwise.
    """

    runtime: str
    version: str
    time_ratio: float
    difference: float
    reason: str


@dataclass(frozen=True)
class AuditFile:
    """A file of an audit in the archive of the model.

    Attributes:
        format: "json" (the manifest with all findings) or "html" (the page for people).
        size: Its size in bytes.
        sha256: Its digest.
        thumbnails: Audited pictures that it shows.
    """

    format: str
    size: int
    sha256: str
    thumbnails: int


@dataclass(frozen=True)
class Calibration:
    """The calibration pictures that prediction sets rest on.

    Attributes:
        state: "ok", or "insufficient_data".
        data_set: Name of the pictures: that of their table.
        pictures: Number of usable pictures.
        n: Number of those that the thresholds come from.
        coverage_n: Number of the others, on which coverage was measured.
        methods: Methods of prediction sets that are calibrated.
    """

    state: str
    data_set: str
    pictures: int
    n: int
    coverage_n: int
    methods: tuple[str, ...]


@dataclass(frozen=True)
class References:
    """The audited pictures that are packed with a model, for the method "example".

    Attributes:
        pictures: Number of pictures.
        dimensions: Number of features of each picture.
        thumbnails: Number of pictures with a thumbnail.
        largest_record: Size of the largest record of a picture without its thumbnail, in bytes.
        largest_thumbnail: Size of the largest thumbnail, in bytes.
        sha256: Digests of the files in the archive, by name.
    """

    pictures: int
    dimensions: int
    thumbnails: int
    largest_record: int
    largest_thumbnail: int
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Audit:
    """An audit whose findings are packed with a model.

    Attributes:
        id: Id of the audit; every flag repeats it.
        data_set: Name of the data set.
        pictures: Number of measured pictures.
        classes: Number of classes that they show.
        attributes: Attributes with findings.
        attack: Attack that measured the distances.
        norms: Norms of the distances.
        primary_norm: Norm that decides about flags, and that prototypes and criticisms are chosen by.
        budget: Gradient evaluations per picture and norm.
        trained_on: Number of correctly classified pictures that the model was trained on, as far as the data set says.
        model: Name of the audited model.
        version: Version of the audited model.
        digests: Digests of the audited model, or None if the server does not say.
        differences: What differs between the audited model and this one; every flag is "stale" if anything does.
        bank_sha256: Digest of the findings and distances.
        largest_findings: Size of the longest findings on a class, in bytes.
        flags: Number of flags by state; all are "stale" if anything differs.
        files: Its files; see `Client.audit`.
        calibration: The pictures that prediction sets rest on, or None if the audit had none.
        references: The pictures that the method "example" looks among, or None if the archive holds none.
    """

    id: str
    data_set: str
    pictures: int
    classes: int
    attributes: tuple[str, ...]
    attack: str
    norms: tuple[str, ...]
    primary_norm: str
    budget: int
    trained_on: int
    model: str
    version: str
    digests: Digests | None
    differences: tuple[str, ...]
    bank_sha256: str
    largest_findings: int
    flags: Mapping[str, int]
    files: tuple[AuditFile, ...]
    calibration: Calibration | None
    references: References | None


@dataclass(frozen=True)
class ModelInfo:
    """A served model.

    Attributes:
        name: Name in requests.
        version: The described version.
        title: Name for people.
        architecture: For example "efficientnet_lite/efficientnet-lite0".
        num_classes: Number of classes.
        labels: Names of the classes in index order; empty in `Client.models()`, see `Client.model()`.
        methods: Methods to explain the model with, also those that cannot explain it; see `Method.unavailable`.
        norms: Norms in which robustness can be measured.
        preprocessing: How a picture becomes the model's input, or None if the server does not say.
        digests: Digests of what the model is made of, or None if the server does not say.
        packing_check: The comparison made when the model was packed, or None without one.
        attacks: Attacks to measure robustness with.
        default_attack: Name of the attack that is used unless a request names another.
        attack_check: Whether gradient-based attacks can be trusted, or None if that was not tested.
        corruptions: Corruptions that can be applied to a picture.
        batch_sizes: How many pictures may share a pass through the network, or None if that was not found.
        gradient: What computes gradients on a processor, or None if the server does not say.
        audit: The audit that bias flags and percentiles rest on, or None if the model was packed without one.
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
    batch_sizes: BatchSizes | None
    gradient: Gradient | None
    audit: Audit | None
