"""What an audit finds: flags and their evidence, prototypes and criticisms, what was tested and how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from whybox_server.audits.criticism.columns import Column
from whybox_server.audits.criticism.methods.tails import Tail


@dataclass(frozen=True)
class Repeat:
    """The same effect measured in another way; it decides nothing. The fields are those of the contract's `Repeat`."""

    what: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    n_with: int
    n_without: int
    beyond_threshold: bool

    def agrees(self, effect: float) -> bool:
        """Whether its interval lies beyond the threshold on the side of an effect."""
        return self.beyond_threshold and (self.effect or 0) * effect > 0


@dataclass(frozen=True)
class Shift:
    """How far a measure changes without a region. The fields are those of the contract's `Shift`."""

    what: str
    unit: str
    n: int
    box: float
    random: float
    difference: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class CounterfactualCheck:
    """What becomes of answers without boxes; it decides nothing. The fields are those of the contract's message."""

    state: str
    reason: str = ""
    removal: str = ""
    pictures: int = 0
    regions: int = 0
    outside: int = 0
    without_room: int = 0
    overlapping: int = 0
    shifts: tuple[Shift, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Flag:
    """The finding on one question. The fields are those of the contract's `BiasFlag`, which describes them."""

    kind: str
    state: str
    attribute: str
    value: str
    class_index: int
    class_label: str
    n: int
    n_with: int
    n_without: int
    unit: str
    id: str = ""
    norm: str = ""
    effect: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_value_method: str = ""
    q_value: float | None = None
    minimum_detectable_effect: float | None = None
    split_half_agreement: int | None = None
    confirmation_p_value: float | None = None
    unselected_effect: float | None = None
    unselected_ci_low: float | None = None
    unselected_ci_high: float | None = None
    accuracy_with: float | None = None
    accuracy_without: float | None = None
    confounders: tuple[str, ...] = ()
    adjusted_effect: float | None = None
    adjusted_ci_low: float | None = None
    adjusted_ci_high: float | None = None
    repeats: tuple[Repeat, ...] = ()
    reasons: tuple[str, ...] = ()
    audit_id: str = ""
    message: str = ""
    counterfactual: CounterfactualCheck | None = None


@dataclass(frozen=True)
class Finding:
    """A flag, and the tails of the class that illustrate it.

    Attributes:
        flag: The flag.
        tails: The prototypes and the criticisms of the class by the attribute, for distances; else empty.
    """

    flag: Flag
    tails: tuple[Tail, ...]


EXAMPLES = 20
"""An audit lists at most this number of prototypes, of criticisms, and of misclassified pictures of each class."""


@dataclass(frozen=True)
class Example:
    """A picture and its distance; None if no change was found that makes the answer wrong."""

    file: str
    distance: float | None


@dataclass(frozen=True)
class ClassCriticism:
    """A class and its pictures by distance in the primary norm.

    Attributes:
        class_index: Index of the class.
        class_label: Its label.
        pictures: Number of its pictures.
        right: Number of those that are classified correctly.
        wrong: Number of the others.
        prototypes: The fifth of the correct ones that is hardest to attack, the hardest first; at most `EXAMPLES`.
        criticisms: The fifth that is easiest to attack, the easiest first; at most `EXAMPLES`.
        misclassified: The files of the others, by name; at most `EXAMPLES`.
    """

    class_index: int
    class_label: str
    pictures: int
    right: int
    wrong: int
    prototypes: tuple[Example, ...]
    criticisms: tuple[Example, ...]
    misclassified: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """All that the statistics of an audit say.

    Attributes:
        findings: By class, attribute, value and kind.
        columns: All columns of the table, and why some were not tested.
        classes: The classes by index.
        manifest: The thresholds and how the tests were made, as JSON values.
    """

    findings: tuple[Finding, ...]
    columns: tuple[Column, ...]
    classes: tuple[ClassCriticism, ...]
    manifest: Mapping[str, Any]

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags of all findings."""
        return tuple(finding.flag for finding in self.findings)

    def to_entries(self) -> dict[str, Any]:
        """JSON values of all findings; the flags have the names of the contract's `BiasFlag`."""
        return {
            "manifest": dict(self.manifest),
            "columns": [asdict(column) for column in self.columns],
            "flags": [asdict(flag) for flag in self.flags],
            "tails": [[asdict(tail) for tail in finding.tails] for finding in self.findings],
            "classes": [asdict(criticised) for criticised in self.classes],
        }
