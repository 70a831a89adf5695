"""Coverage: how many pictures have their right class in their prediction set."""

from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import betabinom, binomtest

from whybox_handlers.prediction_sets.scores import threshold_rank

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


def chance(covered: int, n: int, calibrated: int, alpha: float) -> float | None:
    """How likely a coverage as low is by chance, if the pictures of both parts are exchangeable.

    The number of covered pictures is then beta-binomial, or larger where scores are equal or the most probable class is
    added to a set. The interval of the coverage knows the chance of the test pictures alone; this knows that of the
    calibration pictures too.

    Args:
        covered: Number of test pictures whose set has the right class.
        n: Number of test pictures.
        calibrated: Number of calibration pictures.
        alpha: Share of right classes that sets may miss.

    Returns:
        0 to 1; None if the calibration pictures cannot resolve `alpha`, so that sets have all classes.
    """
    rank = threshold_rank(calibrated, alpha)
    return None if rank is None else float(betabinom.cdf(covered, n, rank, calibrated + 1 - rank))
