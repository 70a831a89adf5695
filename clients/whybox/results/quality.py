"""How far can a map be trusted: what was measured of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """The target's probability while pixels are deleted or inserted, the most important first.

    Attributes:
        fractions: Shares of the pixels that were deleted or inserted, from 0 to 1.
        probabilities: The target's probability at each of them; with a contrast class as if there were only these two.
        auc: Area under the curve, 0 to 1.
        random_auc: The same for the map shifted to random places, the mean of four: what a map of the same detail gets
            that does not know where the evidence is.
    """

    fractions: tuple[float, ...]
    probabilities: tuple[float, ...]
    auc: float
    random_auc: float


@dataclass(frozen=True)
class Stability:
    """The map compared with that of the same picture with noise of half a grey level, as rounding to 8 bits makes it.

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
        reasons: What speaks against it, for people.
        deletion: The target's probability while the most important pixels go; a low area is good (Petsiuk et al.,
            arXiv:1806.07421).
        insertion: The target's probability while the most important pixels come; a high area is good.
        infidelity: Error of the changes of the logit that the map foretells (Yeh et al., arXiv:1901.09392), as a share
            of the true ones: 0 is perfect, 1 foretells nothing.
        uniform_infidelity: The same of a map with one value everywhere, which knows nothing of places.
        random_infidelity: The same of the map shifted to random places, the mean of 16: what a reliable map must beat.
        sensitivity: Largest change of the map, as a share of its size, of 4 random changes of each pixel value by at
            most 2 % (the same paper); 0 is a map that stays.
        stability: What rounding the picture to 8 bits leaves of the map.
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
