"""`make bench-load`: predictions and Grad-CAM while analyses saturate the workers, and a soak while processes die.

Rounds with and without load alternate, so that whatever else the machine does hits them alike; ratios are medians over
the rounds. The callers are processes of their own on the same cores. `--short` takes about six minutes.
"""

import argparse
import importlib.util
import itertools
import math
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
import soak
from servers import Server, serving
from traffic import Asked, Traffic, calling, quantile, sent
from whybox import Client, v1
from whybox.v1.vocabulary import BUDGETS
from whybox_handlers.models.archives import load_archive
from whybox_handlers.work.analyzer import Analyzer
from whybox_server.packing.pack import pack_model
from whybox_server.torchserve.machine import cores

REPOSITORY = Path(__file__).parents[2]
PARTS = ["saturation", "maps", "soak"]
# What saturates the workers beside predictions, and beside Grad-CAM.
PREDICTIONS_BESIDE, MAPS_BESIDE = {"fast": 1.0}, {"standard": 1.0}
WARM_UP = {"prediction": 4.0, "grad_cam": 2.0, "fast": 1.0}
# By the capacity: the rate of the load that saturates, and that of the soak.
OVERLOAD, SHARE = 3.0, 0.8
# Until the queue is full, and until it must have recovered.
FILL_SECONDS, RECOVERY_SECONDS = 8.0, 5.0
PROBE_SECONDS, PROBE_RATE = 1.0, 2.0
STREAMS = 10
_out = Console(width=140)


def picture() -> Path:
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise SystemExit("the picture of this benchmark is in the foolbox package; install whybox[server]")
    return next(Path(spec.origin).parent.glob("data/imagenet_*_251.jpg"))


@dataclass
class Rounds:
    """What a question cost in rounds of three parts each.

    Attributes:
        idle: Without load.
        loaded: While analyses saturate the workers.
        after: From `RECOVERY_SECONDS` after that.
        load: The calls of the load.
        probes: Its questions at a modest rate, in the last second before that.
        able: Answers to them a second, the most that was measured: other programs on the machine make it less.
    """

    idle: list[list[Asked]] = field(default_factory=list)
    loaded: list[list[Asked]] = field(default_factory=list)
    after: list[list[Asked]] = field(default_factory=list)
    load: list[Asked] = field(default_factory=list)
    probes: list[Asked] = field(default_factory=list)
    able: float = 0.0

    def ratio(self, part: str) -> float:
        """Median over the rounds of the p99 of a part by the idle p99 of the same round."""
        pairs = zip(getattr(self, part), self.idle, strict=True)
        return statistics.median(quantile(asked, 0.99) / quantile(idle, 0.99) for asked, idle in pairs)


def check_saturated(rounds: Rounds) -> None:
    """Raises AssertionError if the load was within what the workers can do."""
    assert any(each.is_shed for each in rounds.load), "no search was refused: the load did not saturate the workers"


def in_rounds(server: Server, question: str, load: dict[str, float], options: argparse.Namespace) -> Rounds:
    """Asks a question at a fixed rate without load, beside `OVERLOAD` times what the workers can do, and after it."""
    urls, rounds = [server.grpc], Rounds()
    steady = Traffic(urls, {question: 1}, options.seconds, options.rate)
    probe = Traffic(urls, load, PROBE_SECONDS, PROBE_RATE)
    for number in range(options.rounds):
        rounds.able = max(rounds.able, soak.capacity(server, picture(), load, options.capacity_seconds))
        flood = Traffic(urls, load, FILL_SECONDS + options.seconds, OVERLOAD * rounds.able)
        rounds.idle.append(sent(steady, picture()))
        with calling(flood, picture()) as flooding, calling(steady, picture()) as asking:
            flooding.begin()
            time.sleep(FILL_SECONDS)
            asking.begin()
            rounds.loaded.append(asking.asked())
            with calling(steady, picture()) as later, calling(probe, picture()) as probing:
                over = rounds.loaded[-1][0].due + options.seconds
                time.sleep(max(over + RECOVERY_SECONDS - PROBE_SECONDS - time.time(), 0))
                probing.begin()
                time.sleep(PROBE_SECONDS)
                later.begin()
                rounds.after.append(later.asked())
                rounds.probes += probing.asked()
            rounds.load += flooding.asked()
        _out.print(
            f"{question}, round {number + 1} of {options.rounds}: p99 idle {quantile(rounds.idle[-1], 0.99):.0f} ms,"
            f" saturated {quantile(rounds.loaded[-1], 0.99):.0f} ms, after it {quantile(rounds.after[-1], 0.99):.0f} ms"
        )
    return rounds


def _passes(archive: Path, budget: str, seconds: float) -> float:
    """Seconds of the longest pass of searches, asked again and again in-process."""
    torch.set_num_threads(1)
    classifier = load_archive(archive)
    analyzer = Analyzer(classifier)
    asked = v1.RobustnessOptions(norms=["linf"], budget=str(BUDGETS[budget]), attack=classifier.model.default_attack)
    work = v1.Work(request=v1.AnalyzeRequest(image=picture().read_bytes(), robustness=asked))
    longest, until = 0.0, time.perf_counter() + seconds
    # The first one warms up.
    for measured in itertools.chain([False], itertools.repeat(True)):
        units = analyzer.begin([work])
        times = [time.perf_counter()]

        def between(times: list[float] = times) -> bool:
            times.append(time.perf_counter())
            return False

        analyzer.proceed(units, between)
        if measured:
            longest = max(longest, max(later - earlier for earlier, later in itertools.pairwise(times)))
            if time.perf_counter() > until:
                return longest
    raise AssertionError


def longest_pass(archive: Path, budget: str, seconds: float) -> float:
    """Milliseconds of the longest pass, with as many processes at it as the server has workers."""
    workers = cores()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return 1000 * max(pool.map(_passes, *zip(*[(archive, budget, seconds)] * workers, strict=True)))


def maps_before_distances(server: Server, image: bytes) -> int:
    """Of `STREAMS` default analyses, how many deliver their Grad-CAM before their distance."""
    before = 0
    with Client(server.grpc) as client:
        for _ in range(STREAMS):
            parts = [
                "map" if part.explanations else "distance"
                for part in client.stream(image)
                if part.explanations or part.robustness
            ]
            before += parts == ["map", "distance"]
    return before


def judged(figure: float, asked: float, unit: str) -> list[str]:
    """A figure, what is asked, and whether it is that."""
    return [f"{figure:.2f}{unit}", f"<= {asked:.2f}{unit}", "yes" if figure <= asked else "NO"]


def saturation(server: Server, table: Table, options: argparse.Namespace) -> None:
    """Predictions beside three times as many searches as the workers can do."""
    rounds = in_rounds(server, "prediction", PREDICTIONS_BESIDE, options)
    check_saturated(rounds)
    number = sum(map(len, rounds.loaded))
    table.add_row(
        f"prediction p99 beside {OVERLOAD:g} x {rounds.able:.1f} searches/s, by idle p99",
        *judged(rounds.ratio("loaded"), 2, ""),
    )
    table.add_row(
        f"prediction p99 from {RECOVERY_SECONDS:g} s after it, by idle p99", *judged(rounds.ratio("after"), 1.2, "")
    )
    failed = [
        each
        for part in (rounds.idle, rounds.loaded, rounds.after)
        for asked in part
        for each in asked
        if not each.digest
    ]
    table.add_row(f"predictions without an answer, of {number} beside it", *judged(len(failed), 0, ""))
    others = [each for each in rounds.load if not each.digest and not each.is_shed]
    sheds = sum(each.is_shed for each in rounds.load)
    table.add_row(
        f"searches that failed otherwise than {sheds} sheds, of {len(rounds.load)}", *judged(len(others), 0, "")
    )
    table.add_row(
        f"searches without an answer, asked {RECOVERY_SECONDS:g} s after it, of {len(rounds.probes)}",
        *judged(sum(not each.digest for each in rounds.probes), 0, ""),
    )
    for each in [*failed, *others][:5]:
        _out.print(each, markup=False)


def maps(server: Server, archive: Path, table: Table, options: argparse.Namespace) -> None:
    """Grad-CAM beside three times as many searches as the workers can do."""
    one_pass = longest_pass(archive, "standard", options.capacity_seconds)
    rounds = in_rounds(server, "grad_cam", MAPS_BESIDE, options)
    check_saturated(rounds)
    waits = [
        (quantile(loaded, 0.99) - quantile(idle, 0.99)) / one_pass
        for loaded, idle in zip(rounds.loaded, rounds.idle, strict=True)
    ]
    table.add_row(
        f"Grad-CAM p99 beside searches less its idle p99, in longest passes ({one_pass:.0f} ms)",
        *judged(statistics.median(waits), 2, ""),
    )
    failed = [each for asked in rounds.loaded for each in asked if not each.digest]
    table.add_row(f"Grad-CAM without an answer, of {sum(map(len, rounds.loaded))}", *judged(len(failed), 0, ""))
    for each in failed[:5]:
        _out.print(each, markup=False)
    late = STREAMS - maps_before_distances(server, picture().read_bytes())
    table.add_row(f"default analyses with the distance before the Grad-CAM, of {STREAMS}", *judged(late, 0, ""))


def soaked(server: Server, table: Table, options: argparse.Namespace) -> None:
    """Mixed traffic at 80 % of what the server can do, while processes are killed."""
    able = soak.capacity(server, picture(), soak.MIX, options.capacity_seconds)
    times = soak.LONG if options.soak_seconds >= soak.LONG.seconds else soak.SHORT
    seen = soak.soak(server, picture(), SHARE * able, replace(times, seconds=options.soak_seconds))
    _out.print(
        f"soak of {options.soak_seconds:.0f} s: {len(seen.asked)} calls at {seen.rate:.1f}/s; killed"
        f" {dict(seen.killed)}; failed with a time to try again {dict(seen.failures)}"
    )
    for each in [*seen.lost, *seen.wrong][:5]:
        _out.print(each, markup=False)
    table.add_row("answers lost in the soak", *judged(len(seen.lost), 0, ""))
    table.add_row("answers wrong in the soak", *judged(len(seen.wrong), 0, ""))
    for kind, held in seen.warm.items():
        grown = seen.end.get(kind, math.inf) / held
        table.add_row(
            f"memory of {kind} at the end, by {held / 2**20:.0f} MiB after {times.warm_at:.0f} s",
            *judged(grown, 1.05, ""),
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--short", action="store_true", help="about six minutes: the defaults of the others become 2, 8, 60"
    )
    parser.add_argument("--rounds", type=int, help="alternating rounds (5)")
    parser.add_argument("--seconds", type=float, help="of each part of a round (40)")
    parser.add_argument("--soak-seconds", type=float, help="of the soak (1800)")
    parser.add_argument("--rate", type=float, default=10, help="predictions or Grad-CAM a second (10)")
    parser.add_argument("--capacity-seconds", type=float, default=8, help="for which a capacity is measured (8)")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all)")
    parser.add_argument("--store", type=Path, default=REPOSITORY / "model_store", help="folder of the packed model")
    options = parser.parse_args()
    for name, short, whole in (("rounds", 2, 5), ("seconds", 8.0, 40.0), ("soak_seconds", 60.0, soak.LONG.seconds)):
        if getattr(options, name) is None:
            setattr(options, name, short if options.short else whole)
    archive = pack_model(REPOSITORY / "model_store/efficientnet-lite0.yaml", options.store, lambda _: None).archive
    table = Table("figure", "measured", "asked", "met", title=f"EfficientNet-Lite0, {cores()} cores, callers beside it")
    parts = {
        "saturation": saturation,
        "maps": lambda server, table, options: maps(server, archive, table, options),
        "soak": soaked,
    }
    with tempfile.TemporaryDirectory() as folder:
        for part in options.part:
            # Each begins with a server of its own: what a soak leaves behind is no matter to a latency.
            with serving(archive.parent, Path(folder) / part, WHYBOX_MODELS="efficientnet-lite0") as server:
                sent(Traffic([server.grpc], WARM_UP, 4, callers=4), picture())
                parts[part](server, table, options)
    _out.print(table)


if __name__ == "__main__":
    main()
