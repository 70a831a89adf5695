"""MMD-critic: prototypes and criticisms by the maximum mean discrepancy (Kim, Khanna and Koyejo, NeurIPS 2016)."""

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from whybox_server.audits.criticism.pictures import Floats, Integers

_JITTER = 1e-9


def kernel(embeddings: npt.NDArray[np.float32]) -> Floats:
    """[N, N], the Gaussian kernel of embeddings [N, D], whose width is the median distance."""
    squares = cdist(embeddings, embeddings, "sqeuclidean")
    apart = squares[np.triu_indices(len(squares), 1)]
    return np.asarray(np.exp(-squares / np.median(apart)))


def prototypes(similar: Floats, number: int) -> Integers:
    """The pictures whose mean is closest to that of all, greedily.

    They maximise 2 / (n m) sum k(x, z) - 1 / m^2 sum k(z, z') over all n pictures x and m prototypes z.

    Args:
        similar: [N, N], the kernel.
        number: How many, at most N.
    """
    means = similar.mean(axis=0)
    chosen: list[int] = []
    covered, to_chosen, among = 0.0, np.zeros(len(similar)), 0.0
    for size in range(1, number + 1):
        gains = 2 * (covered + means) / size - (among + 2 * to_chosen + similar.diagonal()) / size**2
        gains[chosen] = -np.inf
        best = int(gains.argmax())
        covered += means[best]
        among += 2 * to_chosen[best] + similar[best, best]
        to_chosen += similar[best]
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def criticisms(similar: Floats, of: Integers, number: int) -> Integers:
    """The pictures that prototypes represent worst, and that differ from each other, greedily.

    They maximise the sum of |witness function| + log det of their kernel.

    Args:
        similar: [N, N], the kernel.
        of: The prototypes.
        number: How many, at most N minus the number of prototypes.
    """
    witness = np.abs(similar.mean(axis=0) - similar[of].mean(axis=0))
    # What is left of each picture's variance after those chosen: the next factor of the determinant.
    left = similar.diagonal() + _JITTER
    factors = np.zeros((number, len(similar)))
    chosen: list[int] = []
    for step in range(number):
        gains = witness + np.log(np.maximum(left, _JITTER))
        gains[[*of, *chosen]] = -np.inf
        best = int(gains.argmax())
        factors[step] = (similar[best] - factors[:step, best] @ factors[:step]) / np.sqrt(max(left[best], _JITTER))
        left = left - factors[step] ** 2
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)
