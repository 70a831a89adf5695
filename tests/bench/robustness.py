"""`make bench`: smallest changes that flip the answer, found by Whybox and by Foolbox, in one process, on one thread.

64 real pictures of `WHYBOX_DATA`, or the 20 of the foolbox package where that is not set. Each side's distances are
confirmed by its own network. Excess is over the best distance that any of them found for the picture. Evaluations are
passes of one picture forward and back.

`--quick` leaves out the ways that only the curves need, and `--only WORDS` all whose name has none of the words.
`--save DIR` says where the plots go.
"""

import argparse
import csv
import importlib.util
import json
import math
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foolbox
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.side_by_side import Measured, default_model, in_turn
from whybox.v1.vocabulary import BUDGETS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.pictures import decoding
from whybox_handlers.robustness.attacks import ATTACKS, NORMS, Found

PICTURES = 64
# Of the search for the radius around attacks that need one.
FIRST_RADIUS, HALVINGS = {"linf": 1 / 255, "l2": 0.5}, 7
BOUNDS = {"fast": 0.08, "standard": 0.03}


@dataclass(frozen=True)
class Answer:
    """Size of the change that was found, infinite for none, and the gradients and forward passes that it cost."""

    distance: float
    gradients: int
    forwards: int


Way = Callable[[Subject], Answer]


class Counting(nn.Module):
    """The network, counting what goes through it, picture by picture."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forwards = self.backwards = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.forwards += len(pictures)
        if pictures.requires_grad:
            # A hook on a copy: it sees every pass back, also of several classes after one pass forward.
            pictures = pictures.clone()
            pictures.register_hook(self._count)
        logits: Tensor = self.network(pictures)
        return logits

    def _count(self, gradients: Tensor) -> None:
        self.backwards += len(gradients)


def load() -> tuple[Classifier, list[Subject]]:
    """The default model and the pictures, each with what the model says of it."""
    classifier = default_model()
    subjects = []
    for path in paths():
        view, box = decoding.preprocess(decoding.decode(path.read_bytes()), 256, 224)
        subjects.append(Subject(view, box, classifier.serve(view[None])[0], None))
    return classifier, subjects


def paths() -> list[Path]:
    """The encoded pictures, evenly spread over the classes."""
    if "WHYBOX_DATA" in os.environ:
        data = Path(os.environ["WHYBOX_DATA"])
        with (data / "imagen.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if int(row["imagenet1k_index"]) >= 0]
        return [data / "imagen" / rows[index * len(rows) // PICTURES]["file"] for index in range(PICTURES)]
    carried = importlib.util.find_spec("foolbox")
    if carried is None or carried.origin is None:
        raise SystemExit("set WHYBOX_DATA, or install whybox[server], which brings 20 pictures")
    return sorted(Path(carried.origin).parent.glob("data/imagenet_*.jpg"))


def whybox(classifier: Classifier, name: str, norm: str, evaluations: int) -> Way:
    """What a request gets."""

    def way(subject: Subject) -> Answer:
        task = Task(ATTACKS[name].run(Passes(Limits()), subject, norm, evaluations), Limits())
        run(classifier, [task])
        if not isinstance(task.outcome, Found):
            raise SystemExit(f"{name} failed: {task.outcome}")
        found = task.outcome
        distance = math.inf if found.adversarial is None else found.adversarial.distance
        return Answer(distance, found.gradient_evaluations, found.forward_evaluations)

    return way


def minimal(counting: Counting, norm: str, attack: Any) -> Way:
    """One of Foolbox's attacks that look for the smallest change themselves."""

    def search(model: Any, subject: Subject) -> float:
        return flip_at(model, attack, subject, norm, None)

    return counted(counting, search)


def within_a_radius(counting: Counting, norm: str, attack: Any) -> Way:
    """One of Foolbox's attacks within a radius, with a search for the smallest at which it finds something."""

    def search(model: Any, subject: Subject) -> float:
        high, best = FIRST_RADIUS[norm], math.inf
        while math.isinf(best):
            best = flip_at(model, attack, subject, norm, high)
            high *= 1 if math.isfinite(best) else 2
        low = high / 64
        for _ in range(HALVINGS):
            # The radii spread over orders of magnitude.
            middle = math.sqrt(low * high)
            distance = flip_at(model, attack, subject, norm, middle)
            best = min(best, distance)
            low, high = (low, middle) if math.isfinite(distance) else (middle, high)
        return best

    return counted(counting, search)


def flip_at(model: Any, attack: Any, subject: Subject, norm: str, radius: float | None) -> float:
    """Size of the change that the attack finds, infinite where that flips nothing."""
    label = torch.tensor([subject.predicted])
    _, changed, flipped = attack(model, subject.picture[None], label, epsilons=radius)
    return NORMS[norm].size(changed[0] - subject.picture) if bool(flipped[0]) else math.inf


def counted(counting: Counting, search: Callable[[Any, Subject], float]) -> Way:
    model = foolbox.PyTorchModel(counting, bounds=(0, 1), device="cpu")

    def way(subject: Subject) -> Answer:
        counting.forwards = counting.backwards = 0
        distance = search(model, subject)
        return Answer(distance, counting.backwards, counting.forwards - counting.backwards)

    return way


def ways_of(norm: str, classifier: Classifier, *, quick: bool) -> dict[str, Way]:
    """By name; the figures in names are evaluations of Whybox, and steps of Foolbox."""
    counting, attacks = Counting(classifier.network).eval(), foolbox.attacks
    ways = {f"whybox {name}": whybox(classifier, "fmn", norm, budget) for name, budget in BUDGETS.items()}
    fmn = attacks.LInfFMNAttack if norm == "linf" else attacks.L2FMNAttack
    if norm == "linf":
        ways |= {
            "Foolbox FMN-100": minimal(counting, norm, fmn()),
            "Foolbox DeepFool-50": minimal(counting, norm, attacks.LinfDeepFoolAttack()),
            "Foolbox BIM-10, radius searched": within_a_radius(
                counting, norm, attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10)
            ),
            "Foolbox PGD-10, radius searched": within_a_radius(
                counting, norm, attacks.LinfPGD(rel_stepsize=0.2, steps=10)
            ),
        }
    else:
        ways |= {
            "Foolbox FMN-100": minimal(counting, norm, fmn()),
            "Foolbox DDN-100": minimal(counting, norm, attacks.DDNAttack()),
            "Foolbox DeepFool-50": minimal(counting, norm, attacks.L2DeepFoolAttack()),
        }
    if quick:
        return ways
    ways |= {f"whybox fmn-{budget}": whybox(classifier, "fmn", norm, budget) for budget in (3, 30)}
    ways["Foolbox FMN-30"] = minimal(counting, norm, fmn(steps=30))
    others = [attack for attack in ATTACKS.values() if attack.name != "fmn" and norm in attack.norms]
    return ways | {f"whybox {attack.name}-12": whybox(classifier, attack.name, norm, 12) for attack in others}


def excesses(measured: Mapping[str, Measured[Answer]], among: str = "") -> dict[str, list[float]]:
    """How much farther than the best distance of the ways whose name begins so each way's is, by picture."""
    columns = zip(*(each.answers for name, each in measured.items() if name.startswith(among)), strict=True)
    best = [min(answer.distance for answer in column) for column in columns]
    return {
        name: [answer.distance / least - 1 for answer, least in zip(each.answers, best, strict=True)]
        for name, each in measured.items()
    }


def table_of(norm: str, measured: Mapping[str, Measured[Answer]]) -> Table:
    over = excesses(measured)
    scale, unit = (255, "grey levels") if norm == "linf" else (1, "")
    columns = ("", "gradients", "forwards", f"median {unit}", "mean excess", "median excess", "found", "median ms")
    table = Table(*columns, "time / standard", title=f"Smallest change that flips the answer, {norm}")
    standard = measured["whybox standard"]
    for name, each in measured.items():
        found = [answer for answer in each.answers if math.isfinite(answer.distance)]
        table.add_row(
            name,
            f"{statistics.mean(answer.gradients for answer in each.answers):.1f}",
            f"{statistics.mean(answer.forwards for answer in each.answers):.1f}",
            f"{scale * statistics.median(answer.distance for answer in each.answers):.4f}",
            f"{statistics.mean(over[name]):.1%}",
            f"{statistics.median(over[name]):.1%}",
            f"{len(found)}/{len(each.answers)}",
            f"{each.median:.0f}",
            f"{each.median / standard.median:.1f}",
        )
    return table


def verdicts(measured: Mapping[str, Measured[Answer]]) -> list[str]:
    """What is promised beside what was measured."""
    lines = []
    for among, words in (("", "of all"), ("Foolbox", "of Foolbox's")):
        over = excesses(measured, among)
        for budget, bound in BOUNDS.items():
            excess = statistics.mean(over[f"whybox {budget}"])
            verb = "within" if excess <= bound else "beyond"
            lines.append(f"{budget}: mean excess over the best {words} {excess:.1%}, {verb} {bound:.0%}")
    standard = measured["whybox standard"].median
    faster = [
        f"{each.median / standard:.1f} times as fast as {name}" for name, each in measured.items() if "-100" in name
    ]
    return [*lines, f"standard: {', '.join(faster)}"]


def plot(norm: str, measured: Mapping[str, Measured[Answer]], path: Path) -> None:
    """Mean excess against mean evaluations; those of Whybox's default attack are joined by a line."""
    over = excesses(measured)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    points = {
        name: (statistics.mean(answer.gradients for answer in each.answers), 100 * statistics.mean(over[name]))
        for name, each in measured.items()
        if math.isfinite(statistics.mean(over[name])) and "square" not in name
    }
    joined = sorted(points[name] for name in points if name.removeprefix("whybox ").split("-")[0] in (*BUDGETS, "fmn"))
    axes.plot(*zip(*joined, strict=True), color="tab:blue", zorder=1)
    for name, point in points.items():
        axes.scatter(*point, color="tab:blue" if name.startswith("whybox") else "tab:orange", zorder=2)
        axes.annotate(name, point, textcoords="offset points", xytext=(6, 4), fontsize=8)
    right, top = (max(point[axis] for point in points.values()) for axis in (0, 1))
    # Room for the names.
    axes.set(xscale="log", yscale="symlog", xlim=(None, 2 * right), ylim=(0, 2 * top))
    axes.set(xlabel="gradient evaluations a picture (mean)", ylabel="excess over the best distance found, % (mean)")
    pictures = len(next(iter(measured.values())).answers)
    axes.set_title(f"Smallest change that flips EfficientNet-Lite0, {norm}, {pictures} pictures")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("norms", nargs="*", default=list(NORMS), help="linf, l2; default: both")
    parser.add_argument("--quick", action="store_true", help="leave out what only the curves need")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of ways, for example FMN-100")
    parser.add_argument("--save", type=Path, default=Path("whybox-bench"), help="folder for plots and figures")
    chosen = parser.parse_args()
    chosen.save.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    # Foolbox's, about its own use of other libraries.
    warnings.simplefilter("ignore")
    console = Console()
    classifier, subjects = load()
    for norm in chosen.norms:
        torch.manual_seed(0)
        ways = ways_of(norm, classifier, quick=chosen.quick)
        kept = {
            name: way
            for name, way in ways.items()
            # What the verdicts compare.
            if name.removeprefix("whybox ") in BOUNDS or any(word in name for word in chosen.only)
        }
        measured = in_turn(kept, subjects)
        console.print(table_of(norm, measured))
        for line in verdicts(measured):
            console.print(line, highlight=False)
        plot(norm, measured, chosen.save / f"robustness-{norm}.png")
        figures = {
            name: [
                [answer.distance, answer.gradients, answer.forwards, time]
                for answer, time in zip(each.answers, each.milliseconds, strict=True)
            ]
            for name, each in measured.items()
        }
        (chosen.save / f"robustness-{norm}.json").write_text(json.dumps(figures))
        console.print(f"wrote {chosen.save / f'robustness-{norm}.png'}")


if __name__ == "__main__":
    main()
