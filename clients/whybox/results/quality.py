"""How far a map can be trusted: measurements of its quality."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """The target's probability while pixels are deleted or inserted, the most important first.

    Attributes:
        fractions: Shares of the pixels that were deleted or inserted, from 0 to 1.
        probabilities: The target's probability at each of them; with a contrast class as if there were only these two.
        auc: Area under the curve, 0 to 1.
        random_auc: Mean area for the map shifted to four random places: what a map with the same detail reaches that
            does not know where the evidence is.
    """

    fractions: tuple[float, ...]
    probabilities: tuple[float, ...]
    auc: float
    random_auc: float


@dataclass(frozen=True)
class Stability:
    """Comparison of the map with the map of the same picture under noise of half a grey level, as from 8-bit rounding.

    Attributes:
        rank_correlation: Spearman's rank correlation of the two maps, -1 to 1; 1 is the same order.
        top_overlap: Share of the 5 % largest values that both maps have in common, 0 to 1.
    """

    rank_correlation: float
    top_overlap: float


@dataclass(frozen=True)
class Quality:
    """Measurements of one map; those that were not asked for are None.

    Attributes:
        reliable: Whether no measurement speaks against the map.
        reasons: The measurements that do, in words for people.
        deletion: The target's probability while the most important pixels are deleted; a low area is good (Petsiuk et
            al., arXiv:1806.07421).
        insertion: The target's probability while the most important pixels are inserted; a high area is good.
        infidelity: Error of the changes of the logit that the map predicts (Yeh et al., arXiv:1901.09392), as a share
            of the true changes: 0 is perfect, 1 predicts nothing.
        uniform_infidelity: Infidelity of a map with one value everywhere.
        random_infidelity: Mean infidelity of the map shifted to 16 random places: a reliable map is below this.
        sensitivity: Largest change of the map under 4 random changes of each pixel value by at most 2 %, as a share of
            the map's size (the same paper); 0 is a map that does not change.
        stability: How much of the map remains when the picture is rounded to 8 bits.
        forward_evaluations: Forward passes of one picture that the measurements cost.
        gradient_evaluations: Gradients of one picture that the measurements cost.
    """

    reliable: bool
    reasons: tuple[str, ...]
    deletion: Curve | None
    insertion: Curve | None
    infidelity: float | None
    uniform_infidelity: float | None
    random_infidelity: float | None
    sensitivity: float | None
    stability: Stability | None
    forward_evaluations: int
    gradient_evaluations: int
