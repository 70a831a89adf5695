"""Scores and thresholds of prediction sets: closed forms, MAPIE's, and what the sets promise."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mapie.conformity_scores import APSConformityScore, LACConformityScore
from scipy.stats import binom

from whybox.v1.vocabulary import SET_METHODS
from whybox_handlers.prediction_sets.scores import (
    SCORES,
    Array,
    aps,
    included,
    kept_ranks,
    lac,
    place_of,
    probabilities,
    ranking,
    threshold_rank,
)

CLASSES = 12


def of(*shares: float) -> np.typing.NDArray[np.float32]:
    """Logits with these probabilities."""
    return np.log(np.array(shares, dtype=np.float64)).astype(np.float32)


def drawn(seed: int, number: int) -> tuple[np.typing.NDArray[np.float32], np.typing.NDArray[np.int64]]:
    """Logits [number, CLASSES] and right classes [number], drawn from their softmax at another temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (number, CLASSES)).astype(np.float32)
    shares = np.exp(logits / 1.5)
    right = [generator.choice(CLASSES, p=row / row.sum()) for row in shares.astype(np.float64)]
    return logits, np.array(right)


def test_the_methods_of_the_contract() -> None:
    assert tuple(SCORES) == SET_METHODS


@pytest.mark.parametrize(
    ("score", "shares", "expected"),
    [
        (lac, (0.5, 0.3, 0.2), (0.5, 0.7, 0.8)),
        (lac, (0.2, 0.8), (0.8, 0.2)),
        (aps, (0.5, 0.3, 0.2), (0, 0.5, 0.8)),
        (aps, (0.2, 0.3, 0.5), (0.8, 0.5, 0)),
        (aps, (0.25, 0.25, 0.25, 0.25), (0, 0.25, 0.5, 0.75)),
        (aps, (0.2, 0.4, 0.4), (0.8, 0, 0.4)),
        (lac, (0.2, 0.4, 0.4), (0.8, 0.6, 0.6)),
    ],
)
def test_scores(score: Callable[..., Array], shares: tuple[float, ...], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(score(of(*shares)), expected, atol=1e-6)


def test_equal_logits_rank_by_their_index() -> None:
    assert ranking(np.array([1, 3, 3, 0, 3], np.float32)).tolist() == [1, 2, 4, 0, 3]


def test_probabilities_sum_to_one_in_spite_of_float32() -> None:
    logits = np.random.default_rng(0).normal(0, 5, 1000).astype(np.float32) + np.float32(3e4)
    assert probabilities(logits).sum() == pytest.approx(1, abs=1e-14)
    last = ranking(logits)[-1]
    assert aps(logits)[last] == pytest.approx(1 - probabilities(logits)[last], abs=1e-12)


@pytest.mark.parametrize(
    ("n", "alpha", "rank"),
    [
        (99, 0.1, 90),
        (99, 0.01, 99),
        (99, 0.0099, None),
        (250, 0.1, 226),
        (9, 0.3, 7),
        (999, 0.05, 950),
        (1, 0.5, 1),
        (1, 0.49, None),
    ],
)
def test_ranks_of_thresholds(n: int, alpha: float, rank: int | None) -> None:
    assert threshold_rank(n, alpha) == rank


@pytest.mark.parametrize("n", [1, 7, 100, 4999, 5000, 5001, 12345])
@pytest.mark.parametrize("most", [1, 50, 5000])
def test_thinned_scores_never_understate_a_threshold(n: int, most: int) -> None:
    ranks = kept_ranks(n, most)
    assert len(ranks) == min(n, most)
    assert ranks[-1] == n
    assert (np.diff(ranks) > 0).all()
    for rank in {1, n // 3 + 1, n // 2 + 1, n - 1 or 1, n}:
        place = place_of(rank, n, len(ranks))
        assert ranks[place] >= rank
        assert place == 0 or ranks[place - 1] < rank


def _lac(peer: LACConformityScore, right: np.typing.NDArray[np.int64], shares: Array) -> Any:
    """MAPIE's scores."""
    return peer.get_conformity_scores(right, shares, y_enc=right)


def _aps(peer: APSConformityScore, right: np.typing.NDArray[np.int64], shares: Array) -> Any:
    """MAPIE's scores, which lose the whole of the class's own probability instead of a random share."""
    scores, _ = peer.get_true_label_cumsum_proba(right, shares, np.arange(CLASSES))
    return scores - np.take_along_axis(shares, right.reshape(-1, 1), axis=1)


@pytest.mark.parametrize("n", [50, 333])
@pytest.mark.parametrize(
    ("method", "peer", "score"), [("lac", LACConformityScore(), _lac), ("aps", APSConformityScore(), _aps)]
)
def test_thresholds_and_sets_are_those_of_mapie(method: str, peer: Any, score: Callable[..., Any], n: int) -> None:
    alphas = [0.05, 0.1, 0.2, 0.5]
    logits, right = drawn(n, n)
    others, _ = drawn(1, 200)
    peer.set_external_attributes(classes=np.arange(CLASSES))
    theirs = score(peer, right, np.stack(list(map(probabilities, logits))))
    ours = [SCORES[method](row)[label] for row, label in zip(logits, right, strict=True)]
    np.testing.assert_allclose(theirs.ravel(), ours, atol=1e-12)

    peer.quantiles_ = peer.get_conformity_score_quantiles(theirs, np.array(alphas), cv="prefit")
    ranks = [threshold_rank(n, alpha) for alpha in alphas]
    limits = [np.sort(ours)[rank - 1] for rank in ranks if rank is not None]
    np.testing.assert_allclose(peer.quantiles_, limits, atol=1e-12)

    shares = np.stack(list(map(probabilities, others)))
    repeated = peer.get_predictions(others, np.array(alphas), shares, cv="prefit")
    sets = peer.get_prediction_sets(repeated, theirs, np.array(alphas), cv="prefit", include_last_label=True)
    for row, logit in enumerate(others):
        for level, limit in enumerate(limits):
            # MAPIE leaves LAC's empty sets empty.
            expected = sets[row, :, level]
            expected[logit.argmax()] = True
            found = included(SCORES[method](logit), limit + 1e-12, int(logit.argmax()))
            assert found.tolist() == expected.tolist(), (row, alphas[level])


@pytest.mark.parametrize("method", SET_METHODS)
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_of_exchangeable_pictures(method: str, alpha: float) -> None:
    """Over repeated calibrations the mean coverage is rank / (n + 1), from 1 - alpha to 1 - alpha + 1 / (n + 1)."""
    n, tested, repeats = 100, 100, 200
    logits, right = drawn(7, repeats * (n + tested))
    scores = np.array([SCORES[method](row)[label] for row, label in zip(logits, right, strict=True)])
    first, second = np.split(scores.reshape(repeats, n + tested), [n], axis=1)
    rank = threshold_rank(n, alpha)
    assert rank is not None
    limits = np.sort(first, axis=1)[:, rank - 1]
    covered = second <= limits[:, None]
    expected = rank / (n + 1)
    assert 1 - alpha <= expected <= 1 - alpha + 1 / (n + 1)
    # One test picture of each calibration: these are independent.
    low, high = binom.interval(0.999, repeats, expected)
    assert low <= covered[:, 0].sum() <= high
    # All of them: their variance is that of the beta-binomial distribution.
    spread = math.sqrt(expected * (1 - expected) * (1 / (n + 2) + 1 / tested) / repeats)
    assert abs(covered.mean() - expected) < 3.3 * spread


@pytest.mark.parametrize(
    ("scores", "limit", "classes"),
    [
        ([0.1, 0.5, 0.9], 0.5, [0, 1]),
        ([0.1, 0.5, 0.9], math.inf, [0, 1, 2]),
        ([0.1, 0.5, 0.9], 0.05, [0]),
        ([0.5, 0.5, 0.5], 0.5, [0, 1, 2]),
    ],
)
def test_a_set_has_the_classes_up_to_the_threshold_and_the_first(
    scores: list[float], limit: float, classes: list[int]
) -> None:
    assert np.flatnonzero(included(np.array(scores), limit, 0)).tolist() == classes
