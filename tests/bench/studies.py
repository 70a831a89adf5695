"""How often the intervals of a study hold what they are of: simulated crowds with known truth.

    python tests/bench/studies.py [--simulations 1000] [--redraws 1000]

One arm, 200 pictures x 5 votes, 60 and 15 annotators of mixed quality, 10 % spammers, 20 % who stop early. Three
methods are held against two truths: what a fresh majority of five would say, and which labels are truly relevant.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

import crowds
from whybox_server.studies.results.compute import compute
from whybox_server.studies.results.votes import CORRECT, ERROR, YES, Votes

_out = Console(highlight=False, soft_wrap=True)
SEED = 20261127


def of_votes(votes: Votes) -> tuple[float, float, float]:
    """Rejected share with the interval that takes every vote as independent."""
    stratum, rejects = votes.questions.stratum[votes.question], votes.value != YES
    return _binomial({one: rejects[stratum == one] for one in (ERROR, CORRECT)})


def _binomial(rejects: dict[int, NDArray[np.bool_]]) -> tuple[float, float, float]:
    total = crowds.ERRORS + crowds.ANSWERS_RIGHT
    share = {ERROR: crowds.ERRORS / total, CORRECT: crowds.ANSWERS_RIGHT / total}
    mean = sum(share[s] * rejects[s].mean() for s in share)
    half = stats.norm.ppf(0.975) * np.sqrt(sum(share[s] ** 2 * rejects[s].var() / len(rejects[s]) for s in share))
    return float(mean), float(mean - half), float(mean + half)


def simulate(people: int, simulations: int, redraws: int) -> dict[str, NDArray[np.float64]]:
    """Estimate, low and high of each method in each simulation, [S, 3]."""
    found: dict[str, list[tuple[float, float, float]]] = {"Whybox": [], "votes as independent": [], "Dawid-Skene": []}
    for number in range(simulations):
        votes, design = crowds.study(people, np.random.default_rng([SEED, people, number]))
        outcome = compute(votes, design, seed=number, redraws=redraws)
        rectified = outcome.cells[0].rectified
        assert rectified is not None
        assert outcome.dawid_skene is not None
        found["Whybox"].append((rectified.estimate, rectified.low, rectified.high))
        found["votes as independent"].append(of_votes(votes))
        latent = outcome.dawid_skene.cells[0]
        assert latent.accepted_of_errors is not None
        assert latent.rejected_of_correct is not None
        halves = crowds.PICTURES // 2
        rejected = {ERROR: 1 - latent.accepted_of_errors, CORRECT: latent.rejected_of_correct}
        found["Dawid-Skene"].append(
            _binomial({s: np.arange(halves) < round(share * halves) for s, share in rejected.items()})
        )
    return {method: np.array(rows) for method, rows in found.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--redraws", type=int, default=1000)
    asked = parser.parse_args()
    truths = {"fresh majority": crowds.truth().fresh_majority, "true relevance": crowds.truth().irrelevance}
    _out.print("rejected: " + ", ".join(f"{100 * value:.2f} % by {name}" for name, value in truths.items()))
    columns = "".join(f"{name:>16}: coverage    bias" for name in truths)
    _out.print(f"{'people':>6} {'method':22}{columns}   half-width")
    for people in (60, 15):
        for method, rows in simulate(people, asked.simulations, asked.redraws).items():
            estimate, low, high = 100 * rows.T
            cells = "".join(
                f"{np.mean((low <= 100 * true) & (100 * true <= high)):>26.1%} {estimate.mean() - 100 * true:>+7.2f}"
                for true in truths.values()
            )
            _out.print(f"{people:>6} {method:22}{cells} {(high - low).mean() / 2:>12.2f}")


if __name__ == "__main__":
    main()
