"""Krippendorff's alpha."""

import numpy as np
from numpy.typing import NDArray


def krippendorff_alpha(counted: NDArray[np.int64]) -> float | None:
    """Krippendorff's alpha for nominal values, any number of raters, and missing values.

    alpha = 1 - D_o / D_e, with the observed disagreement D_o = (1 / n) sum_u (m_u^2 - sum_c n_uc^2) / (m_u - 1) and the
    expected one D_e = (n^2 - sum_c n_c^2) / (n (n - 1)). n_uc is the number of raters who gave unit u the value c,
    m_u = sum_c n_uc; units with fewer than two values are left out, and n_c and n are the sums over the others
    (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    Args:
        counted: n_uc, int64 [U, C].

    Returns:
        Alpha, up to 1; 1 is perfect agreement, 0 as by chance. None where it is not defined: all values are the same,
        or no unit has two.
    """
    of_unit = counted.sum(axis=1)
    comparable = counted[of_unit >= 2]
    of_unit = of_unit[of_unit >= 2]
    of_value = comparable.sum(axis=0).astype(np.float64)
    n = of_value.sum()
    expected = (n**2 - (of_value**2).sum()) / (n * (n - 1)) if n else 0.0
    if expected == 0:
        return None
    observed = ((of_unit**2 - (comparable**2).sum(axis=1)) / (of_unit - 1)).sum() / n
    return float(1 - observed / expected)
