"""`make bench-bias`: does an audit find biases that were planted, and does it find none where there are none?

Part 1: small networks learn to tell digits with the help of a cue, more of them or less. Their audits see pictures on
which a coin has stamped the cue. Part 2: EfficientNet-Lite0 and a translucent watermark.

Every picture is measured with the cue and without it, so the true effect is known. The findings are those of
`whybox-server audit`, on redraws of the audited pictures. Beside them, on every fourth redraw: the same decision on
softmax confidence, and a test of the shares among the prototypes and criticisms of MMD-critic.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from planted.digits import CUES, LABELS, halves, trained
from planted.intervals import Counts, interval, share
from planted.redraws import CONFIDENCE, MMD_CRITIC, NULLS, PICTURES, PLANTED, Redraws, Trial
from planted.stored import Truth, store
from planted.watermark import CLASSES, Watermarked, watermarked
from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM, CALIBRATION, ERROR_RATE, KINDS

CORRELATIONS = (0.5, 0.8, 0.95)
# The nulls are audited on networks that rely on the cue without being ruled by it.
NULL_CORRELATION = 0.8
# Baselines cost as much as the audit; they are asked on every fourth redraw.
BASELINES_EVERY = 4
# What is promised.
FALSE_POSITIVES, TEST_ALONE = 0.05, (0.03, 0.07)
POWER, LARGE_DELTA, LARGE_GROUP = 0.85, 0.45, 80
BINS = (0.0, 0.1, 0.2, 0.3, LARGE_DELTA, 0.6, 0.8, 1.01)


@dataclass(frozen=True)
class Network:
    """One trained network, audited.

    Attributes:
        cue: The cue that it was trained with.
        correlation: Correlation of the cue with the class in training.
        seed: Its seed.
        truths: The true effect on each class.
        trials: What was found.
    """

    cue: str
    correlation: float
    seed: int
    truths: list[Truth]
    trials: list[Trial]

    def counts(self, outcome: "Outcome") -> Counts:
        """Sum and number of the outcomes, by redraw."""
        counts = np.zeros((1 + max(trial.redraw for trial in self.trials), 2))
        for trial in self.trials:
            if (value := outcome(self, trial)) is not None:
                counts[trial.redraw] += value, 1
        return counts


Outcome = Callable[[Network, Trial], float | None]
"""What is averaged; None for a trial that does not count."""


@dataclass(frozen=True)
class Share:
    """A share of trials with its interval; NaN if there are none."""

    value: float
    low: float
    high: float
    trials: int
    networks: int

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]" if self.trials else "no trials"


def audited(cue: str, correlation: float, seed: int, redraws: int) -> Network:
    """Trains, measures and audits one network."""
    training, held_back = halves(seed)
    stored = store(trained(training, cue, correlation, seed), held_back, cue)
    drawing = Redraws(stored)
    attributes = (PLANTED, *NULLS) if correlation == NULL_CORRELATION else (PLANTED,)
    trials = [
        trial
        for attribute in attributes
        for redraw in range(redraws)
        for trial in drawing.trials(attribute, redraw, baselines=redraw % BASELINES_EVERY == 0)
    ]
    return Network(cue, correlation, seed, [stored.truth(label) for label in range(len(LABELS))], trials)


def shared(networks: Iterable[Network], outcome: Outcome) -> Share:
    """The mean outcome of the trials that count."""
    counted = [counts for network in networks if (counts := network.counts(outcome))[:, 1].any()]
    if not counted:
        return Share(np.nan, np.nan, np.nan, 0, 0)
    return Share(share(counted), *interval(counted), int(sum(counts[:, 1].sum() for counts in counted)), len(counted))


def flags(
    criterion: str, attribute: str, label: int | None = None, deltas: tuple[float, float] = (0, np.inf)
) -> Outcome:
    """Whether a criterion flags an attribute: of one class or of both, where the true |delta| lies in a range."""

    def outcome(network: Network, trial: Trial) -> float | None:
        counts = trial.attribute == attribute and criterion in trial.flagged and label in (None, trial.label)
        if not counts or not deltas[0] <= abs(network.truths[trial.label].delta) < deltas[1]:
            return None
        return float(trial.flagged[criterion])

    return outcome


def by_delta(networks: Sequence[Network], criterion: str) -> list[Share]:
    """The share of redraws with the planted attribute that are flagged, by the true |delta| of network and class."""
    return [shared(networks, flags(criterion, PLANTED, deltas=ends)) for ends in itertools.pairwise(BINS)]


def table_of_cells(networks: Sequence[Network]) -> Table:
    table = Table(
        "cue", "correlation", "class", "true delta", "accuracy with · without", "flagged", "error_rate", "calibration",
        CONFIDENCE, MMD_CRITIC, title="Planted cues: true effects and the share of redraws that are flagged",
    )  # fmt: skip
    table.caption = "true delta: mean of the networks and their smallest and largest; shares with 95 % intervals"
    for cue in CUES:
        for correlation in CORRELATIONS:
            cell = [network for network in networks if (network.cue, network.correlation) == (cue, correlation)]
            for label, name in enumerate(LABELS):
                truths = [network.truths[label] for network in cell]
                deltas = [truth.delta for truth in truths]
                accuracies = [
                    float(np.mean([getattr(truth, side) for truth in truths]))
                    for side in ("accuracy_with", "accuracy_without")
                ]
                cells = [
                    shared(cell, flags(criterion, PLANTED, label)) for criterion in (*KINDS, CONFIDENCE, MMD_CRITIC)
                ]
                table.add_row(
                    cue,
                    f"{correlation:g}",
                    name,
                    f"{np.mean(deltas):+.2f} ({min(deltas):+.2f}, {max(deltas):+.2f})",
                    f"{accuracies[0]:.0%} · {accuracies[1]:.0%}",
                    str(cells[0]),
                    *(f"{each.value:.0%}" for each in cells[1:]),
                )
    return table


def nulls(networks: Sequence[Network]) -> dict[str, dict[str, Share]]:
    """By null: the share of trials that each criterion flags, and "p < 0.05" of the test of distances alone."""
    return {
        null: {"p < 0.05": shared(networks, significant(null))}
        | {criterion: shared(networks, flags(criterion, null)) for criterion in (*KINDS, CONFIDENCE, MMD_CRITIC)}
        for null in NULLS
    }


def significant(attribute: str) -> Outcome:
    """Whether the test of the distances alone is significant."""

    def outcome(_: Network, trial: Trial) -> float | None:
        counts = trial.attribute == attribute and not np.isnan(trial.p_value)
        return float(trial.p_value < 0.05) if counts else None

    return outcome


def table_of_nulls(found: dict[str, dict[str, Share]]) -> Table:
    table = Table("attribute", *next(iter(found.values())), title="No effect: the share of redraws that are flagged")
    table.caption = "MMD-critic knows no confounders; the audit is told of them"
    for null, shares in found.items():
        table.add_row(null, *map(str, shares.values()))
    return table


def table_of_power(powers: dict[str, list[Share]]) -> Table:
    table = Table("true |delta|", *powers, title="Power against the true effect: the share of redraws that are flagged")
    for row, (low, high) in enumerate(itertools.pairwise(BINS)):
        table.add_row(f"{low:g} to {high:g}", *(str(of[row]) for of in powers.values()))
    return table


def detected(network: Network, trial: Trial) -> float | None:
    """Whether the planted bias is flagged, where power is promised."""
    promised = (
        trial.attribute == PLANTED
        and abs(network.truths[trial.label].delta) >= LARGE_DELTA
        and min(trial.n_with, trial.n_without) >= LARGE_GROUP
    )
    return float(trial.flagged[ADVERSARIAL_CRITICISM]) if promised else None


def against_confidence(_: Network, trial: Trial) -> float | None:
    """How much more often distance flags than confidence, on the same redraws."""
    if trial.attribute != PLANTED or CONFIDENCE not in trial.flagged:
        return None
    return float(trial.flagged[ADVERSARIAL_CRITICISM]) - float(trial.flagged[CONFIDENCE])


def verdict(measured: Share, low: float, high: float) -> str:
    """Whether the whole interval lies between two limits ("holds"), outside of them ("fails"), or neither."""
    if measured.low >= low and measured.high <= high:
        return "holds"
    return "fails" if measured.high < low or measured.low > high else "undecided"


def verdicts(networks: Sequence[Network], found: dict[str, dict[str, Share]]) -> list[str]:
    """What is promised beside what was measured."""
    lines = []
    for null, shares in found.items():
        for kind in KINDS:
            word = verdict(shares[kind], 0, FALSE_POSITIVES)
            lines.append(f"{word}: {null}: {kind} flagged in {shares[kind]}, at most {FALSE_POSITIVES:.0%}")
        alone = shares["p < 0.05"]
        word = verdict(alone, *TEST_ALONE)
        lines.append(f"{word}: {null}: p < 0.05 in {alone}, {TEST_ALONE[0]:.0%} to {TEST_ALONE[1]:.0%}")
    power = shared(networks, detected)
    lines.append(
        f"{verdict(power, POWER, 1)}: power {power} at |delta| >= {LARGE_DELTA} with {LARGE_GROUP} correct pictures in"
        f" each group ({power.trials} trials of {power.networks} networks), at least {POWER:.0%}"
    )
    difference = shared(networks, against_confidence)
    if difference.low > 0:
        words = "distance beats softmax confidence"
    elif difference.high < 0:
        words = "softmax confidence beats distance"
    else:
        words = "distance does not beat softmax confidence"
    return [*lines, f"{words}: it flags {100 * difference.value:+.1f} points more often"
            f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}] on the same redraws"]  # fmt: skip


def plot(powers: dict[str, list[Share]], path: Path) -> None:
    """Power against the true effect."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    centres = np.convolve(BINS, [0.5, 0.5], "valid")
    for place, (criterion, shares) in enumerate(powers.items()):
        known = [row for row, each in enumerate(shares) if each.trials]
        values = np.array([shares[row].value for row in known])
        ends = np.array([[shares[row].low, shares[row].high] for row in known]).T
        axes.errorbar(
            # Beside each other, so that no interval hides another.
            centres[known] + 0.006 * (place - 2),
            100 * values,
            yerr=100 * np.maximum(np.array([values - ends[0], ends[1] - values]), 0),
            marker="o",
            capsize=2,
            linewidth=2 if criterion == ADVERSARIAL_CRITICISM else 1,
            label=criterion,
        )
    axes.axvline(0.1, color="grey", linestyle=":", linewidth=1)
    axes.annotate("threshold of the audit", (0.1, 102), fontsize=8, color="grey")
    axes.set(
        xlim=(0, 1), ylim=(-3, 108), xlabel="true |Cliff's delta| of the distances", ylabel="flagged, % of redraws"
    )
    axes.set_title(f"Planted cues in digits, {PICTURES} audited pictures a class")
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
    figure.savefig(path, dpi=120)


def digits(number: int, redraws: int, processes: int, console: Console) -> list[Network]:
    """Part 1: all networks, in several processes."""
    cells = [(cue, correlation, seed) for seed in range(number) for cue in CUES for correlation in CORRELATIONS]
    networks = []
    with (
        progress(console) as bar,
        ProcessPoolExecutor(processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        step = bar.add_task("networks trained, measured, audited", total=len(cells))
        for done in as_completed([pool.submit(audited, *cell, redraws) for cell in cells]):
            networks.append(done.result())
            bar.advance(step)
    return sorted(networks, key=lambda network: (network.cue, network.correlation, network.seed))


def progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip


def table_of_watermarks(rows: Sequence[Watermarked]) -> Table:
    table = Table(
        "class", "opacity", "accuracy with · without", "true delta", "to carton", "audit on a coin-tossed set",
        "redraws flagged: distance", "error_rate", CALIBRATION, title="EfficientNet-Lite0 and a translucent watermark",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.label,
            f"{row.opacity:.2f}",
            f"{row.truth.accuracy_with:.0%} · {row.truth.accuracy_without:.0%}",
            f"{row.truth.delta:+.2f}",
            f"{row.carton} of {row.pictures}",
            "\n".join(f"{kind} {verdict}" for kind, verdict in row.verdicts.items()),
            *(f"{row.flagged[kind]:.0%}" for kind in (ADVERSARIAL_CRITICISM, ERROR_RATE, CALIBRATION)),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=10, help="networks of each cue and correlation")
    parser.add_argument("--redraws", type=int, default=200, help="redraws of the audited pictures of each network")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--part", choices=("digits", "watermark"), help="default: both")
    parser.add_argument("--classes", nargs="*", default=["parachute"], choices=CLASSES, help="watermarked classes")
    parser.add_argument("--pictures", type=int, help="watermarked pictures of each class; default: all")
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--save", type=Path, default=Path("whybox-bench"), help="folder for picture and figures")
    chosen = parser.parse_args()
    chosen.save.mkdir(parents=True, exist_ok=True)
    # Its tables do not fit into the 80 columns that a file is given.
    console = Console(width=None if sys.stdout.isatty() else 170)
    figures: dict[str, Any] = {"networks": chosen.networks, "redraws": chosen.redraws}
    started = time.perf_counter()
    if chosen.part != "watermark":
        networks = digits(chosen.networks, chosen.redraws, chosen.processes, console)
        found = nulls(networks)
        powers = {criterion: by_delta(networks, criterion) for criterion in (*KINDS, CONFIDENCE, MMD_CRITIC)}
        for table in (table_of_cells(networks), table_of_nulls(found), table_of_power(powers)):
            console.print(table)
        said = verdicts(networks, found)
        for line in said:
            console.print(line, highlight=False, soft_wrap=True)
        plot(powers, chosen.save / "bias.png")
        figures["digits"] = {
            "verdicts": said,
            "nulls": {null: {name: asdict(each) for name, each in of.items()} for null, of in found.items()},
            "bins": BINS,
            "power": {criterion: [asdict(each) for each in shares] for criterion, shares in powers.items()},
            "truths": [
                {"cue": network.cue, "correlation": network.correlation, "seed": network.seed, "class": name}
                | asdict(truth)
                for network in networks
                for name, truth in zip(LABELS, network.truths, strict=True)
            ],
        }
    if chosen.part != "digits":
        rows = [
            row
            for name in chosen.classes
            for row in watermarked(name, chosen.model_store, chosen.redraws, chosen.processes, console, chosen.pictures)
        ]
        console.print(table_of_watermarks(rows))
        figures["watermark"] = [asdict(row) for row in rows]
    figures["minutes"] = (time.perf_counter() - started) / 60
    path = chosen.save / "bias.json"
    # JSON has no NaN: what was not measured is null.
    path.write_text(json.dumps(_finite(figures), indent=1, allow_nan=False) + "\n")
    console.print(f"wrote {path} after {figures['minutes']:.0f} minutes", highlight=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


if __name__ == "__main__":
    main()
