"""The thresholds of the statistics, and what they may be."""

from dataclasses import dataclass

from whybox_server.audits.criticism.pictures import CriticismError

FLOOR = 10
"""Groups with fewer pictures are never tested, and nothing is said about them but their size."""

Q = 0.05
"""A flag needs an adjusted p-value below this."""

POWER = 0.8
"""Power at the minimum detectable effect."""

LARGE = 30
"""Both groups need as many pictures for an asymptotic p-value."""

CENSORED = 0.2
"""The largest share of a group without a found change at which distances are still compared."""

SPLITS = 100
"""Random splits into halves."""

AGREEING = 95
"""A flag needs the sign of the effect in both halves of as many splits."""

SELECTION = 0.1
"""Groups whose accuracies differ by more are said to be compared after a selection."""


@dataclass(frozen=True)
class CriticismOptions:
    """What is tested, and when an effect is flagged.

    Attributes:
        attributes: The attributes to report on; None for all. It changes neither which columns are tested nor how many
            tests the p-values are adjusted for, unless it names a column that would not be tested otherwise.
        confounders: The confounders within whose values the groups are compared.
        crosses: Pairs of attributes whose combined values are tested too.
        primary_norm: The norm that decides. Others are reported beside it.
        delta_threshold: A distance effect is flagged if the interval of Cliff's delta lies beyond this, 0 to 1.
        gap_threshold: A gap of error rates or of calibration is flagged if its interval lies beyond this share.
        min_group: A flag needs at least this many pictures in each group, `FLOOR` or more: correct ones for a distance
            effect.
        discovery: The part of the split that finds; the other confirms. None: the part with more pictures.
        seed: Seed of everything random.

    Raises:
        CriticismError: A value is out of its range.
    """

    attributes: tuple[str, ...] | None = None
    confounders: tuple[str, ...] = ()
    crosses: tuple[tuple[str, str], ...] = ()
    primary_norm: str = "linf"
    delta_threshold: float = 0.1
    gap_threshold: float = 0.05
    min_group: int = 20
    discovery: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option, value in (("--delta", self.delta_threshold), ("--gap", self.gap_threshold)):
            if not 0 <= value < 1:
                raise CriticismError(f"{option} must be at least 0 and below 1, but is {value}")
        if self.min_group < FLOOR:
            raise CriticismError(f"--min-group must be at least {FLOOR}, but is {self.min_group}")
