"""A small version of `make bench-studies`."""

import numpy as np
import pytest
from scipy import stats

import crowds
from whybox_server.studies.results.redraws import shares
from whybox_server.studies.results.votes import YES

SIMULATIONS = 60
E = crowds.ERRORS / (crowds.ERRORS + crowds.ANSWERS_RIGHT)


@pytest.mark.parametrize("people", [60, 15])
def test_intervals_hold_what_a_fresh_majority_says(people: int) -> None:
    """Limits that a coverage of 95 % misses once in 1,000; intervals of independent votes miss them by far."""
    truth = crowds.truth().fresh_majority
    held, independent, estimates, widths = 0, 0, [], []
    for number in range(SIMULATIONS):
        votes, _ = crowds.study(people, np.random.default_rng([1, people, number]))
        found = shares(votes, "accepted", "rejected", seed=number, redraws=400).combine({0: -E, 1: E - 1}, 1.0)
        held += found.low <= truth <= found.high
        estimates.append(found.estimate)
        widths.append(found.standard_error)
        stratum, rejects = votes.questions.stratum[votes.question], votes.value != YES
        mean, variance = 0.0, 0.0
        for one, share in ((0, E), (1, 1 - E)):
            mean += share * rejects[stratum == one].mean()
            variance += share**2 * rejects[stratum == one].var() / np.count_nonzero(stratum == one)
        independent += abs(mean - truth) < 1.96 * np.sqrt(variance)
    enough = stats.binom.ppf(0.001, SIMULATIONS, 0.95)
    assert held >= enough > independent
    assert abs(np.mean(estimates) - truth) < 4 * np.std(estimates) / np.sqrt(SIMULATIONS)
    # The standard error is that of estimates, within the 0.1 % tails of their own and 15 % for Student's t.
    low, high = np.sqrt(stats.chi2.ppf([0.001, 0.999], SIMULATIONS - 1) / (SIMULATIONS - 1))
    assert low / 1.15 < np.std(estimates) / np.sqrt(np.mean(np.square(widths))) < high * 1.15
