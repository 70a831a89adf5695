"""What the questions of `Client` take, by keyword.

Whatever is left out, or None, is left to the contract's defaults, which every receipt spells out.
"""

from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias, TypedDict, get_args

from whybox._messages.pictures import ImageInput

Part: TypeAlias = Literal["prediction", "explanations", "robustness", "bias", "certified"]
ALL_PARTS: tuple[Part, ...] = get_args(Part)
DEFAULT_PARTS: tuple[Part, ...] = ALL_PARTS[:-1]
"""Those that are computed unless the caller says otherwise: a certificate takes long, and needs a level of noise."""

Measurement: TypeAlias = Literal["deletion", "insertion", "infidelity", "sensitivity", "stability"]
ALL_MEASUREMENTS: tuple[Measurement, ...] = get_args(Measurement)


class CallOptions(TypedDict, total=False):
    """What every question to a model takes, whichever part it is about.

    Attributes:
        model: Another model than the client's.
        version: A version of the model; default: the served one.
        seed: Seed of every method that samples, 0 to 2**32 - 1; the same seed gives the same answer. Default 0.
        timeout: Seconds that this call may take, instead of the client's. Methods that can end at any time end shortly
            before.
        request_id: Name of the call in the answer and in the server's log: 1 to 128 letters, digits, ".", "_" or "-".
            Default: a new one.
    """

    model: str | None
    version: str | None
    seed: int
    timeout: float | None
    request_id: str | None


class MapOptions(TypedDict, total=False):
    """How maps are made. Every option goes to every method; the server refuses one that a method does not take.

    Attributes:
        target: Index or label of the class to explain. Several make one map each: those of the first method, in the
            order of the classes, then those of the second. Default: the predicted class.
        contrast: Index or label of another class: the map tells why the target rather than this one.
        baseline: What stands for "nothing there". A str is a name: "black", "grey", "blur" (the picture without
            detail), or "mean" (the average of the maps for these three). Anything else is a picture of the model's
            view, `Preprocessing.crop` pixels on each side; a file is given as a Path. Default:
            `Method.default_baseline`.
        max_evaluations: The most that a method may spend, in evaluations of its kind (`Method.evaluations`). Default:
            `Method.default_evaluations`.
        tolerance: A method stops when its `Explanation.residual` is at most this; 0 spends all of `max_evaluations`.
            Default: `Method.default_tolerance`.
        encodings: How maps travel. At most one of "uint8" (the default; an error of at most 1/510 of the map's range),
            "float16" and "float32", which all arrive as float32; and of what the server draws, "heat_map", "overlay"
            and "regions" (what of the picture suffices, and what is necessary). Without one of the first three no
            numbers are sent.
        channels: "sum" (the default) for one value per pixel, "none" for one per pixel and colour channel.
        quality: What is measured of each map: "deletion", "insertion", "infidelity", "sensitivity", "stability", or
            "all" of them. Default: nothing.
    """

    target: int | str | Iterable[int | str] | None
    contrast: int | str | None
    baseline: ImageInput | None
    max_evaluations: int | None
    tolerance: float | None
    encodings: Iterable[str] | str | None
    channels: str | None
    quality: Iterable[str] | str | None


class ExplainOptions(MapOptions, CallOptions, total=False):
    """What `Client.explain` takes: `MapOptions` and `CallOptions`."""


class AttackOptions(TypedDict, total=False):
    """How robustness is measured.

    Attributes:
        norms: Norms in which robustness is measured; see `ModelInfo.norms`. Default: "linf".
        budget: What the attack may spend on each norm: "fast", "standard" (the default), "thorough", a number of
            gradients from 1 to 1000, or "deadline" for what the time of the call allows.
        attack: Who searches; see `ModelInfo.attacks`. Default: `ModelInfo.default_attack`.
        pictures: Pictures of each change: "adversarial" (what the model saw, changed, in 8 bits), "change" (the change
            itself, amplified), or both. Default: none.
        transfer: Whether the other served models are shown the adversarial picture too; see `Distance.transfers`.
        twin: A method of `ModelInfo.methods` that explains each adversarial picture beside the picture that was sent;
            see `Distance.twin`.
        corruptions: What else is done to the picture: names of `ModelInfo.corruptions`, names of their groups ("noise",
            "blur", "weather", "digital", "geometry"), or "all". Default: nothing.
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
            more noise can certify larger radii, of a less accurate classifier. 0.05 is a start for a model that was
            not trained with noise, 0.25 for one that was.
        samples: Noisy pictures that estimate how often the class comes, 100 to 100000. Each costs a forward
            evaluation; no radius above sigma * quantile(alpha ** (1 / samples)) can be certified. Default 1000.
        alpha: Chance that the certificate is wrong, above 0 and below 0.5. Default 0.001.
    """

    sigma: float | None
    samples: int | None
    alpha: float | None


class AnalyzeOptions(ExplainOptions, AttackOptions, SmoothingOptions, total=False):
    """What `Client.analyze` and `Client.stream` take: the following, and the options of maps, attacks, noise and calls.

    An option of a part that is not computed is refused.

    Attributes:
        parts: Which of "prediction", "explanations", "robustness", "bias" and "certified" are computed. Default: the
            first four; with `sigma` all five.
        top_k: Number of classes to return, most probable first. Default 5.
        methods: Methods to explain with; see `ModelInfo.methods`. Default: "grad_cam".
        attributes: Annotated attributes that bias is reported on. Default: all that an audit looked at.
    """

    parts: Collection[Part] | Part | None
    top_k: int | None
    methods: Iterable[str] | str | None
    attributes: Iterable[str] | str | None
