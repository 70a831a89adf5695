import numpy as np
import pytest
from scipy import stats

from whybox_server.studies.results.redraws import shares
from whybox_server.studies.results.votes import CANNOT_JUDGE, NO, YES, Questions, Votes


def study(
    accepting: list[int],
    *,
    n: int = 5,
    picture: list[int] | None = None,
    weight: list[float] | None = None,
    stratum: list[int] | None = None,
) -> Votes:
    """Questions with n votes each, by people unknown."""
    size = len(accepting)
    value = [YES if vote < k else NO for k in accepting for vote in range(n)]
    return Votes(
        np.repeat(np.arange(size), n),
        None,
        np.array(value, np.int8),
        Questions(
            np.array(picture or range(size)),
            np.zeros(size, np.int64),
            np.array(stratum or [0] * size, np.int8),
            np.array(weight or [1.0] * size),
            tuple(map(str, range(size))),
            ("none/clean/model",),
        ),
    )


@pytest.mark.parametrize(("accepted", "rejected"), [(0, 10), (10, 0), (3, 7)])
def test_equal_weights_give_the_beta_distribution_of_jeffreys(accepted: int, rejected: int) -> None:
    found = shares(study([5] * accepted + [0] * rejected), "accepted", "rejected", seed=1, redraws=40_000)
    beta = stats.beta(accepted + 0.5, rejected + 0.5)
    assert stats.kstest(found.draws[:, 0], beta.cdf).pvalue > 0.001
    assert found.estimate[0] == accepted / 10


@pytest.mark.parametrize(("accepting", "low", "high"), [(5, None, 1.0), (0, 0.0, None)])
def test_all_pictures_alike_end_the_interval(accepting: int, low: float | None, high: float | None) -> None:
    """A crowd that accepts every picture may accept all that there are; Jeffreys' prior alone leaves 1 out."""
    found = shares(study([accepting] * 10), "accepted", "rejected", seed=1, redraws=2000).combine({0: 1.0})
    assert found.low == (pytest.approx(stats.beta(10.5, 0.5).ppf(0.025), abs=0.02) if low is None else low)
    assert found.high == (pytest.approx(stats.beta(0.5, 10.5).ppf(0.975), abs=0.02) if high is None else high)


@pytest.mark.parametrize(("n", "extrapolated"), [(4, True), (5, False), (6, False)])
def test_estimates_from_fewer_than_five_votes_say_so(n: int, extrapolated: bool) -> None:
    votes = study([1] * 6 + [3] * 6, n=n, stratum=[0] * 6 + [1] * 6)
    found = shares(votes, "accepted", "rejected", seed=1, redraws=100)
    assert found.combine({0: 0.5, 1: 0.5}).extrapolated == extrapolated
    assert 0 <= found.combine({0: 1.0}).estimate <= 1


def test_the_standard_error_is_that_of_pictures_and_annotators() -> None:
    """Student's t widens the interval of few annotators, and not the standard error."""
    rng = np.random.default_rng(11)
    votes = crowd(rng.uniform(-0.3, 0.3, 5), 300, rng)
    found = shares(votes, "accepted", "rejected", seed=1, redraws=4000)
    one = found.combine({0: 1.0})
    assert votes.annotator is not None
    alone = shares(
        Votes(votes.question, None, votes.value, votes.questions), "accepted", "rejected", seed=1, redraws=4000
    )
    pictures = alone.combine({0: 1.0}).standard_error
    assert one.standard_error == pytest.approx(np.hypot(pictures, np.sqrt(found.annotators[0, 0])), rel=1e-6)
    assert (one.high - one.low) / 2 > 1.2 * 1.96 * one.standard_error


def test_weights_are_those_of_hajek_and_strata_stand_apart() -> None:
    votes = study([5, 0, 5, 0], weight=[3.0, 1.0, 1.0, 4.0], stratum=[0, 0, 1, 1])
    found = shares(votes, "accepted", "rejected", seed=1, redraws=4000)
    np.testing.assert_allclose(found.estimate, [0.75, 0.2])
    assert abs(stats.pearsonr(*found.draws.T).statistic) < 0.06


def test_questions_of_one_picture_are_one_cluster() -> None:
    """Ten pictures four times over are no surer than ten pictures."""
    accepting = [5, 0] * 5
    single = shares(study(accepting), "accepted", "rejected", seed=1, redraws=4000)
    repeated = study(accepting * 4, picture=[*range(10)] * 4)
    fourfold = shares(repeated, "accepted", "rejected", seed=1, redraws=4000)
    assert fourfold.draws[:, 0].std() == pytest.approx(single.draws[:, 0].std(), rel=0.1)


@pytest.mark.parametrize(("ties", "majority"), [("accepted", 1.0), ("rejected", 0.0)])
def test_ties_move_the_majority_and_leave_the_estimate(ties: str, majority: float) -> None:
    found = shares(study([3] * 8, n=6), "accepted", ties, seed=1, redraws=100).combine({0: 1.0})  # type: ignore[arg-type]
    assert found.majority == majority
    assert found.estimate == pytest.approx(0.5)
    assert found.corrected_by == pytest.approx(0.5 - majority)


@pytest.mark.parametrize("ties", ["accepted", "rejected"])
@pytest.mark.parametrize("n", [5, 6])
def test_what_retaking_would_add_is_what_it_adds(n: int, ties: str) -> None:
    """Against votes that are really drawn with replacement."""
    accepting = [0, 1, 2, 3, 4, 5]
    found = shares(study(accepting, n=n), "accepted", ties, seed=1, redraws=100).combine({0: 1.0})  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    drawn = rng.binomial(n, np.array(accepting) / n, (200_000, 6))
    retaken = (2 * drawn >= n if ties == "accepted" else 2 * drawn > n).mean()
    assert found.retaking_bias == pytest.approx(retaken - found.majority, abs=0.002)


def crowd(leaning: np.ndarray, pictures: int, rng: np.random.Generator) -> Votes:
    """Everybody answers all pictures with the same chance of yes, 0.5 plus a leaning of their own."""
    people = len(leaning)
    question = np.repeat(np.arange(pictures), people)
    annotator = np.tile(np.arange(people), pictures)
    value = np.where(rng.random(len(question)) < 0.5 + leaning[annotator], YES, NO).astype(np.int8)
    return Votes(question, annotator, value, study([0] * pictures).questions)


def test_the_part_of_annotators_is_their_variance() -> None:
    """Five people with leanings of variance s2, p = 0.5: the derivative of a fresh majority is 5 x 6 / 16."""
    rng = np.random.default_rng(3)
    leanings = rng.uniform(-0.2, 0.2, (150, 5))
    found = [
        shares(crowd(one, 300, rng), "accepted", "rejected", seed=1, redraws=1).annotators[0, 0] for one in leanings
    ]
    expected = (5 * 6 / 16) ** 2 * (0.4**2 / 12) / 5
    assert np.mean(found) == pytest.approx(expected, rel=0.3)


def test_equal_people_add_nothing() -> None:
    rng = np.random.default_rng(4)
    found = [
        shares(crowd(np.zeros(5), 300, rng), "accepted", "rejected", seed=1, redraws=1).annotators[0, 0]
        for _ in range(100)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / 10


def test_cannot_judge_is_no_vote() -> None:
    votes = study([5, 0, 5])
    value = votes.value.copy()
    value[10:] = CANNOT_JUDGE
    found = shares(Votes(votes.question, None, value, votes.questions), "accepted", "rejected", seed=1, redraws=100)
    assert found.estimate[0] == pytest.approx(0.5)
