import krippendorff
import numpy as np
import pytest

from whybox_server.studies.results.agreement import krippendorff_alpha


def table(ratings: np.ndarray) -> np.ndarray:
    """Ratings of raters [A, U], NaN where missing, as counts [U, C]."""
    return np.stack([(ratings == value).sum(axis=0) for value in range(4)], axis=1)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("raters", [2, 5, 20])
def test_it_is_that_of_another_library(raters: int, missing: float) -> None:
    rng = np.random.default_rng(raters)
    truth = rng.integers(0, 4, 60)
    ratings = np.where(rng.random((raters, 60)) < 0.6, truth, rng.integers(0, 4, (raters, 60))).astype(float)
    ratings[rng.random(ratings.shape) < missing] = np.nan
    assert krippendorff_alpha(table(ratings)) == pytest.approx(
        krippendorff.alpha(reliability_data=ratings, level_of_measurement="nominal"), abs=1e-12
    )


@pytest.mark.parametrize(
    ("counted", "alpha"),
    [
        pytest.param([[3, 0], [0, 2]], 1.0, id="perfect"),
        pytest.param([[1, 1], [1, 1]], -0.5, id="worse than chance"),
        pytest.param([[3, 0], [2, 0]], None, id="one value"),
        pytest.param([[1, 0], [0, 1]], None, id="nothing to compare"),
        pytest.param([[0, 0]], None, id="nothing"),
    ],
)
def test_by_hand(counted: list[list[int]], alpha: float | None) -> None:
    assert krippendorff_alpha(np.array(counted)) == (alpha if alpha is None else pytest.approx(alpha))
