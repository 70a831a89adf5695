"""The effect of an attribute when confounders are held fixed by a linear model, instead of by strata."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.regression.linear_model import OLS

from whybox_server.audits.criticism.pictures import Booleans, Floats, Texts
from whybox_server.audits.statistics import CONFIDENCE


@dataclass(frozen=True)
class Adjusted:
    """The coefficient of the attribute, its interval, and its two-sided p-value."""

    effect: float
    low: float
    high: float
    p_value: float


def delta_scores(distances: Floats) -> Floats:
    """[N], 2 / N times the midranks: the difference of their means between two groups is Cliff's delta."""
    return np.asarray(2 * stats.rankdata(distances) / len(distances))


def adjusted(values: Floats, having: Booleans, confounders: Sequence[Texts]) -> Adjusted | None:
    """The coefficient of the attribute in ordinary least squares with the confounders' values as further terms.

    The standard error is robust to unequal variances (HC1; MacKinnon and White 1985). Without confounders the
    coefficient is the difference of means.

    Args:
        values: [N].
        having: [N], whether the picture has the value of the attribute.
        confounders: Each [N], categorical.

    Returns:
        None if the confounders' values tell the attribute, or leave too few pictures to tell anything.
    """
    columns = [np.ones(len(values))]
    for confounder in confounders:
        # One value is the baseline; the intercept stands for it.
        columns += [(confounder == value).astype(np.float64) for value in np.unique(confounder)[1:]]
    background = np.column_stack(columns)
    design = np.column_stack([background, having])
    rank = np.linalg.matrix_rank(design)
    if rank == np.linalg.matrix_rank(background) or rank >= len(values):
        return None
    fitted = OLS(values, design).fit(cov_type="HC1")
    low, high = fitted.conf_int(alpha=1 - CONFIDENCE)[-1]
    return Adjusted(float(fitted.params[-1]), float(low), float(high), float(fitted.pvalues[-1]))
