"""Coverage: how many pictures have their right class in their prediction set."""

from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import binomtest

CONFIDENCE = 0.95
"""Level of the intervals."""


@dataclass(frozen=True)
class Coverage:
    """The share of pictures whose set has the right class, with the interval of Clopper and Pearson (Biometrika 1934).

    Attributes:
        covered: Number of pictures whose set has it.
        n: Number of pictures.
        coverage: Their ratio.
        ci_low: Lower end of the interval.
        ci_high: Upper end.
    """

    covered: int
    n: int
    coverage: float
    ci_low: float
    ci_high: float

    @classmethod
    def of(cls, covered: int, n: int) -> "Coverage":
        """From 0 to `n` pictures out of at least one."""
        interval = binomtest(covered, n).proportion_ci(CONFIDENCE, method="exact")
        return cls(covered, n, covered / n, float(interval.low), float(interval.high))

    def to_entries(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
