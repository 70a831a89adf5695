"""Minimum detectable effects: what an audit would have flagged with a power of 80 %, its thresholds included.

An effect is flagged if its 95 % interval lies beyond the threshold and if its test is significant. With the standard
error s(e) of an effect e, both happen with that power if e is at least threshold + (z_0.975 + z_0.8) s(e) and at least
(z_(1 - alpha/2) + z_0.8) s(e), where alpha is the largest p-value that would be flagged.
"""

from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from whybox_server.audits.criticism.options import POWER
from whybox_server.audits.criticism.pictures import Floats
from whybox_server.audits.statistics import CONFIDENCE


def detectable_delta(having: Floats, without: Floats, threshold: float, alpha: float) -> float:
    """The smallest |delta|, 0 to 1, between exponential distributions that would be flagged.

    The standard error is that of Hanley and McNeil (Radiology 1982), larger or equal for the worse direction.

    Args:
        having: [S], number of pictures with the value in each stratum, at least 1.
        without: [S], number of those without it, at least 1.
        threshold: The threshold of |delta|.
        alpha: The largest p-value that would be flagged.
    """
    weights = having * without / (having + without + 1)
    weights = weights / weights.sum()

    def error(delta: float) -> float:
        return max(
            float(np.sqrt(weights**2 @ _variance((1 + signed) / 2, having, without))) for signed in (delta, -delta)
        )

    return _smallest(error, threshold, alpha, 1.0)


def detectable_gap(share: float, having: Floats, without: Floats, threshold: float, alpha: float) -> float:
    """The smallest difference of two shares, 0 to 1, that would be flagged.

    Args:
        share: The share among pictures without the value; that of the others differs towards one half.
        having: [S], number of pictures with the value in each stratum, at least 1.
        without: [S], number of those without it, at least 1.
        threshold: The threshold of the difference.
        alpha: The largest p-value that would be flagged.
    """
    weights = having * without / (having + without)
    weights = weights / weights.sum()
    room = max(share, 1 - share)

    def error(gap: float) -> float:
        other = room - gap
        return float(np.sqrt(weights**2 @ (other * (1 - other) / having + room * (1 - room) / without)))

    return _smallest(error, threshold, alpha, room)


def detectable_difference(error: float, threshold: float, alpha: float) -> float:
    """The smallest difference of means that would be flagged, given its standard error; 1 at most."""
    return _smallest(lambda _: error, threshold, alpha, 1.0)


def _variance(wins: float, having: Floats, without: Floats) -> Floats:
    """The variance of an estimated delta if the picture with the value is larger in a share `wins` of the pairs."""
    first, second = wins / (2 - wins), 2 * wins**2 / (1 + wins)
    area = wins * (1 - wins) + (having - 1) * (first - wins**2) + (without - 1) * (second - wins**2)
    return np.asarray(4 * area / (having * without))


def _smallest(error: Callable[[float], float], threshold: float, alpha: float, most: float) -> float:
    """The smallest effect that is flagged with the power; `most` if none below is."""
    power = float(stats.norm.ppf(POWER))
    ends = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) + power
    significant = float(stats.norm.isf(alpha / 2)) + power

    def missing(effect: float) -> float:
        return max(threshold + ends * error(effect), significant * error(effect)) - effect

    return most if missing(most) >= 0 else float(optimize.brentq(missing, 0.0, most))
