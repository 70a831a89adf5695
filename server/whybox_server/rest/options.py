"""The options of the REST routes: one table that reads them and describes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from whybox_server.rest import values
from whybox_server.rest.values import INT32, MAX_CHARACTERS, UINT32

ACTIONS = ("predict", "explain", "robustness", "bias", "certify", "analyze")
EXPLAINING = ("explain", "analyze")
# More than any option can use: every map gets its copy, so that a large body must not be full of them.
MAX_VALUES = 100


@dataclass(frozen=True)
class Options:
    """What a caller asked for; None or nothing where it was left open."""

    version: str = ""
    seed: int = 0
    timeout: float | None = None
    top_k: int | None = None
    method: tuple[str, ...] = ()
    target_class: tuple[int | str, ...] = ()
    contrast_class: int | str | None = None
    baseline: str = ""
    max_evaluations: int | None = None
    tolerance: float | None = None
    encoding: tuple[str, ...] = ()
    channels: str = ""
    quality: tuple[str, ...] = ()
    norm: tuple[str, ...] = ()
    budget: str = ""
    attack: str = ""
    picture: tuple[str, ...] = ()
    transfer: bool = False
    twin: str = ""
    corruption: tuple[str, ...] = ()
    attribute: tuple[str, ...] = ()
    sigma: float | None = None
    samples: int | None = None
    alpha: float | None = None


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: The same in a query, a form and JSON.
        actions: The actions that take it.
        read: Turns a string, or a scalar of JSON, into its value; a ValueError says what would be right.
        schema: What `read` accepts, as JSON Schema.
        description: For people.
        repeatable: Whether it may be given several times (in JSON: as an array).
    """

    name: str
    actions: tuple[str, ...]
    read: Callable[[object], object]
    schema: Mapping[str, Any]
    description: str
    repeatable: bool = False


_TEXT = {"type": "string", "maxLength": MAX_CHARACTERS}
_INT32 = {"type": "integer", "format": "int32"}
_CLASS = {"type": ["integer", "string"], "minLength": 1, "maxLength": MAX_CHARACTERS}
_ATTACKING = ("robustness", "analyze")
_CERTIFYING = ("certify", "analyze")

OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("version", ACTIONS, values.text, _TEXT, "Version of the model. Default: the served one."),
        Option(
            "seed",
            ACTIONS,
            values.integer(UINT32),
            {"type": "integer", "minimum": 0, "maximum": UINT32[-1]},
            "Seed of every method that samples. Default 0.",
        ),
        Option(
            "timeout",
            ACTIONS,
            values.seconds,
            {"type": "number", "exclusiveMinimum": 0},
            "Seconds that the caller will wait; the server's own limit holds in any case.",
        ),
        Option(
            "top_k",
            ("predict", "analyze"),
            values.integer(INT32),
            _INT32,
            "How many classes to return, most probable first. Default 5.",
        ),
        Option(
            "method",
            EXPLAINING,
            values.text,
            _TEXT,
            "How to explain, one of the model's `methods`; one map for each. Default grad_cam.",
            repeatable=True,
        ),
        Option(
            "target_class",
            EXPLAINING,
            values.class_name,
            _CLASS,
            "Index or name of the class to explain; one map for each. Default: the predicted class.",
            repeatable=True,
        ),
        Option(
            "contrast_class",
            EXPLAINING,
            values.class_name,
            _CLASS,
            "Index or name of another class: the map then tells why the target rather than this one.",
        ),
        Option(
            "baseline",
            EXPLAINING,
            values.text,
            _TEXT,
            'What stands for "nothing there": "black", "grey", "blur" or "mean" (of the maps for these three). '
            "A picture of your own goes into `baseline_image` of a form or of JSON.",
        ),
        Option(
            "max_evaluations",
            EXPLAINING,
            values.integer(INT32),
            _INT32,
            "The most that each method may spend, in the evaluations that it counts; see the model's `methods`.",
        ),
        Option(
            "tolerance",
            EXPLAINING,
            values.share,
            {"type": "number", "minimum": 0, "maximum": 1},
            "Methods stop when their `residual` is at most this; 0 spends all of max_evaluations.",
        ),
        Option(
            "encoding",
            EXPLAINING,
            values.text,
            _TEXT,
            'How maps travel: one of "uint8" (default), "float16" and "float32", and any of "heat_map", "overlay" and '
            '"regions".',
            repeatable=True,
        ),
        Option(
            "channels",
            EXPLAINING,
            values.text,
            _TEXT,
            '"sum" (default): one value per pixel. "none": one per pixel and colour channel.',
        ),
        Option(
            "quality",
            EXPLAINING,
            values.text,
            _TEXT,
            'What shall be measured of each map: "deletion", "insertion", "infidelity", "sensitivity", "stability", or '
            '"all".',
            repeatable=True,
        ),
        Option(
            "norm",
            _ATTACKING,
            values.text,
            _TEXT,
            "In which norm to measure, one of the model's `norms`. Default linf.",
            repeatable=True,
        ),
        Option(
            "budget",
            _ATTACKING,
            values.budget,
            {"type": ["string", "integer"]},
            'What each search may spend: "fast", "standard" (default), "thorough", a number of gradient evaluations '
            'from 1 to 1000, or "deadline" for what the time of the call allows.',
        ),
        Option(
            "attack",
            _ATTACKING,
            values.text,
            _TEXT,
            "Who searches, one of the model's `attacks`. Default: its `default_attack`.",
        ),
        Option(
            "picture",
            _ATTACKING,
            values.text,
            _TEXT,
            'Pictures of each change, as PNG: "adversarial" (the changed view in 8 bits), "change" (the change itself, '
            "amplified).",
            repeatable=True,
        ),
        Option(
            "transfer",
            _ATTACKING,
            values.boolean,
            {"type": "boolean"},
            "Whether the other served models are shown the adversarial picture too. Default false.",
        ),
        Option(
            "twin",
            _ATTACKING,
            values.text,
            _TEXT,
            "Explains each adversarial picture beside the picture that was sent, with one of the model's `methods`.",
        ),
        Option(
            "corruption",
            _ATTACKING,
            values.text,
            _TEXT,
            'What else is done to the picture: one of the model\'s `corruptions`, one of their groups, or "all".',
            repeatable=True,
        ),
        Option(
            "attribute",
            ("bias", "analyze"),
            values.text,
            _TEXT,
            "Annotated attribute to report on. Default: every audited one.",
            repeatable=True,
        ),
        Option(
            "sigma",
            _CERTIFYING,
            values.positive,
            {"type": "number", "exclusiveMinimum": 0},
            "Standard deviation of the noise that the certificate is for, for pixel values in [0, 1]; at most 2. "
            "There is no default, and `:analyze` certifies only where it is given.",
        ),
        Option(
            "samples",
            _CERTIFYING,
            values.integer(INT32),
            _INT32,
            "Noisy pictures that estimate the probability of the class, 100 to 100000. Default 1000.",
        ),
        Option(
            "alpha",
            _CERTIFYING,
            values.positive,
            {"type": "number", "exclusiveMinimum": 0},
            "Chance that the certificate is wrong, below 0.5. Default 0.001.",
        ),
    )
}


def options_of(action: str) -> tuple[Option, ...]:
    """The options that an action takes, in the order of the table."""
    return tuple(option for option in OPTIONS.values() if action in option.actions)
