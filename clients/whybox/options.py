"""What the questions of `Client` take, by keyword.

The server fills in options that are left out or None. The receipt of the answer lists all values; see
`Receipt.parameters`.
"""

from collections.abc import Collection, Iterable
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from numpy.typing import NDArray
from PIL import Image

ImageInput: TypeAlias = str | PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]
"""A picture: path, encoded bytes, Pillow picture, or array; see `Client`."""

MAX_MESSAGE_BYTES = 32 * 2**20
"""Size limit of a request and of an answer; the client refuses a larger request before sending it."""

PartName: TypeAlias = Literal["prediction", "explanations", "robustness", "bias", "certified"]
ALL_PARTS: tuple[PartName, ...] = get_args(PartName)


class CallOptions(TypedDict, total=False):
    """What every question to a model takes.

    Attributes:
        model: Name of the model to ask. Default: the client's model.
        version: Version of that model. Default: the newest one, or one that the server draws by its weights.
        seed: Seed of every method that samples, 0 to 2**32 - 1. The same seed gives the same answer. Default: 0.
        view: Whether the picture is the model's view itself, as `Distance.adversarial_png` is: it has exactly
            `Preprocessing.crop` pixels on each side, and is neither resized nor cropped. Default: False.
        timeout: Seconds that this call may take, at most 1000000. Methods that can end at any time end shortly before.
            Default: the client's timeout.
        request_id: Id of the call in the answer and in the server's log: 1 to 128 letters, digits, ".", "_" or "-".
            Default: a new id.
    """

    model: str | None
    version: str | None
    seed: int | None
    view: bool | None
    timeout: float | None
    request_id: str | None


class MapOptions(TypedDict, total=False):
    """How explanations are made. Each option applies to every method; the server refuses those that a method lacks.

    Attributes:
        target: Index or label of the class to explain, or several of them, for one map each. The maps of the first
            method come first, in the order of the classes. Default: the predicted class.
        contrast: Index or label of another class: the map explains why the target rather than this class.
        baseline: Input that stands for "nothing there". A str is a name: "black", "grey", "blur" (the blurred picture)
            or "mean" (the average of the maps for these three). Any other value is a picture of the model's view,
            `Preprocessing.crop` pixels on each side; pass a file as a Path. Default: `Method.default_baseline`.
        max_evaluations: Limit on what each method spends, in evaluations of its kind (`Method.evaluations`). Default:
            `Method.default_evaluations`.
        tolerance: A method stops when its `Explanation.residual` is at most this; 0 spends all `max_evaluations`.
            Default: `Method.default_tolerance`.
        encodings: How the maps are sent. "uint8" (the default; rounding error at most 1/510 of the map's range),
            "float16" and "float32" send numbers, which all arrive as float32; name at most one of them. The server
            draws "heat_map", "overlay" and "regions" (which superpixels suffice, and which are necessary). Without an
            encoding of numbers, only pictures are sent.
        channels: "sum" (the default) for one value per pixel, or "none" for one value per pixel and colour channel.
        quality: Measurements of each map: "deletion", "insertion", "infidelity", "sensitivity", "stability", or "all"
            of them. Default: none.
        examples: For methods that answer with known pictures (`Method.gives_examples`), which take none of the options
            from `contrast` to `quality`: the most pictures of each kind, 1 to 20. Default: 3.
        thumbnails: For the same methods: whether each picture comes with its thumbnail. Default: False.
    """

    target: int | str | Iterable[int | str] | None
    contrast: int | str | None
    baseline: ImageInput | None
    max_evaluations: int | None
    tolerance: float | None
    encodings: Iterable[str] | str | None
    channels: str | None
    quality: Iterable[str] | str | None
    examples: int | None
    thumbnails: bool | None


class ExplainOptions(MapOptions, CallOptions, total=False):
    """What `Client.explain` takes: `MapOptions` and `CallOptions`."""


class AttackOptions(TypedDict, total=False):
    """How robustness is measured.

    Attributes:
        norms: Norms in which robustness is measured; see `ModelInfo.norms`. Default: "linf".
        budget: What the attack may spend on each norm: "fast", "standard" (the default), "thorough", a number of
            gradients from 1 to 1000, or "deadline" to use the whole timeout of the call.
        attack: Attack to use; see `ModelInfo.attacks`. Default: `ModelInfo.default_attack`.
        pictures: Pictures of each change: "adversarial" (the changed picture, in 8 bits), "change" (the change itself,
            amplified), or both. Default: none.
        transfer: Whether the other served models classify the adversarial picture too; see `Distance.transfers`.
            Default: False.
        twin: Method of `ModelInfo.methods` that makes maps; it explains both the picture and its adversarial picture,
            see `Distance.twin`. Default: no explanation.
        corruptions: Corruptions to apply: names of `ModelInfo.corruptions`, names of their groups ("noise", "blur",
            "weather", "digital", "geometry"), or "all". Default: none.
    """

    norms: Iterable[str] | str | None
    budget: str | int | None
    attack: str | None
    pictures: Iterable[str] | str | None
    transfer: bool | None
    twin: str | None
    corruptions: Iterable[str] | str | None


class RobustnessOptions(AttackOptions, CallOptions, total=False):
    """What `Client.robustness` takes: `AttackOptions` and `CallOptions`."""


class SmoothingOptions(TypedDict, total=False):
    """How an answer is certified.

    Attributes:
        sigma: Standard deviation of the noise, for pixel values in [0, 1]; above 0, at most 2. There is no default:
            more noise can certify larger radii, but makes the smoothed classifier less accurate. Start with 0.05 for a
            model that was trained without noise, and with 0.25 for a model that was trained with noise.
        samples: Noisy pictures that estimate how often the class is predicted, 100 to 100000. Each costs a forward
            evaluation. No radius above sigma * quantile(alpha ** (1 / samples)) can be certified. Default: 1000.
        alpha: Chance that the certificate is wrong, above 0 and below 0.5. Default: 0.001.
    """

    sigma: float | None
    samples: int | None
    alpha: float | None


class SetOptions(TypedDict, total=False):
    """Which prediction set is given: the classes that may be right, with a promise of how often the right one is there.

    Attributes:
        set_method: "aps" (sets grow with how unsure the model is) or "lac" (the smallest sets on average). Default: no
            set.
        set_alpha: Share of requests whose right class the set may miss, above 0 and at most 0.5. Default: 0.1.
    """

    set_method: str | None
    set_alpha: float | None


class PredictOptions(SetOptions, CallOptions, total=False):
    """What `Client.predict` takes beside `top_k`: `SetOptions` and `CallOptions`."""


class AnalyzeOptions(SetOptions, ExplainOptions, AttackOptions, SmoothingOptions, total=False):
    """What `Client.analyze` and `Client.stream` take: the following, and the options listed above.

    The client refuses an option of a part that is not computed.

    Attributes:
        parts: Parts to compute, some of "prediction", "explanations", "robustness", "bias" and "certified". Default:
            the first four; all five when `sigma` is given.
        top_k: Number of classes to return, most probable first. Default: 5, or all classes of a model with fewer.
        methods: Methods to explain with; see `ModelInfo.methods`. Default: "grad_cam".
        attributes: Annotated attributes whose bias is reported. Default: all attributes of the audit.
    """

    parts: Collection[PartName] | PartName | None
    top_k: int | None
    methods: Iterable[str] | str | None
    attributes: Iterable[str] | str | None
