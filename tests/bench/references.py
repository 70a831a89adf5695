"""The reference bank: recall and time of its index, memory that workers share, and classes named by neighbours.

A bank of 100,000 clustered embeddings is compared with brute force. Two processes map it, and what they hold for
themselves is measured. Where `WHYBOX_DATA` has the pictures, the neighbours of ImageNet validation pictures among 1,500
training pictures of ten classes name their class.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console

from explaining import served
from whybox import v1
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.models.spec import load_spec
from whybox_handlers.models.subject import Subject
from whybox_handlers.pictures.decoding import decode, preprocess
from whybox_handlers.references import INDEX, References, ReferenceWriter

_out = Console(highlight=False, soft_wrap=True)
REPOSITORY = Path(__file__).parents[2]
PICTURES, DIMENSIONS, CLUSTERS, QUERIES, NEIGHBOURS = 100_000, 1280, 1000, 300, 10
_LABEL = "imagenet1k_index"
# A process that maps the bank, asks it, and says what it holds.
_WORKER = """
import sys, numpy as np
from pathlib import Path
from whybox_handlers.references import References
bank = References(Path(sys.argv[1]))
for query in np.load(sys.argv[2]):
    bank.nearest(query, 10)
print("ready", flush=True)
sys.stdin.readline()
own = shared = 0
inside = False
for line in open("/proc/self/smaps"):
    first = line.split()[0]
    if "-" in first and not first.endswith(":"):
        inside = line.rstrip().endswith(sys.argv[3])
    elif inside and first == "Rss:":
        shared += int(line.split()[1])
    elif inside and first in ("Private_Dirty:", "Anonymous:"):
        own += int(line.split()[1])
pss = next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:"))
rss = next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Rss:"))
print(own, shared, rss, pss, flush=True)
sys.stdin.readline()
"""


def main() -> None:
    """Prints all three measurements."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        queries = measure_index(folder)
        measure_memory(folder, queries)
    data = os.environ.get("WHYBOX_DATA")
    if data:
        measure_classes(Path(data))
    else:
        _out.print("WHYBOX_DATA is not set: the classes of neighbours are not measured")


def measure_index(folder: Path) -> NDArray[np.float32]:
    """Writes a bank and compares its answers with brute force; returns the queries."""
    drawn = np.random.default_rng(0)
    centres = drawn.standard_normal((CLUSTERS, DIMENSIONS), dtype=np.float32)

    def draw(number: int) -> NDArray[np.float32]:
        noise = drawn.standard_normal((number, DIMENSIONS), dtype=np.float32)
        features: NDArray[np.float32] = np.maximum(centres[drawn.integers(0, CLUSTERS, number)] + noise, 0)
        return features

    features, queries = draw(PICTURES), draw(QUERIES)
    started = time.perf_counter()
    writer = ReferenceWriter(folder, DIMENSIONS)
    for start in range(0, PICTURES, 1000):
        pictures = [v1.Neighbour(id=f"{start + row}.jpg", class_index=row % 1000) for row in range(1000)]
        writer.add(features[start : start + 1000], pictures, [row % 3 for row in range(1000)])
    writer.finish()
    _out.print(f"{PICTURES} embeddings indexed in {time.perf_counter() - started:.0f} s")
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    bank = References(folder)
    bank.nearest(queries[0], NEIGHBOURS)
    shared, spent, others = 0, [], []
    for query in queries:
        best = np.argpartition(-(units @ query), NEIGHBOURS)[:NEIGHBOURS]
        started = time.perf_counter()
        found = bank.nearest(query, NEIGHBOURS)
        spent.append(1000 * (time.perf_counter() - started))
        shared += len({match.key for match in found} & set(best.tolist()))
        started = time.perf_counter()
        bank.nearest_outside(query, 0, NEIGHBOURS)
        others.append(1000 * (time.perf_counter() - started))
    recall = shared / (NEIGHBOURS * QUERIES)
    _out.print(f"top {NEIGHBOURS} of brute force found: {recall:.2%}")
    _out.print(f"a query: median {np.median(spent):.2f} ms, 95th percentile {np.percentile(spent, 95):.2f} ms")
    _out.print(f"pictures of other classes: median {np.median(others):.2f} ms")
    return queries


def measure_memory(folder: Path, queries: NDArray[np.float32]) -> None:
    """Starts two processes on one bank, and prints what each holds of the index."""
    np.save(folder / "queries.npy", queries)
    command = [sys.executable, "-c", _WORKER, str(folder), str(folder / "queries.npy"), INDEX]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for number, worker in enumerate(workers):
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
        own, mapped, rss, pss = (int(kib) / 1024 for kib in worker.stdout.readline().split())
        size = (folder / INDEX).stat().st_size / 2**20
        _out.print(
            f"worker {number + 1}: index {size:.0f} MiB, mapped {mapped:.0f} MiB, of it private {own:.0f} MiB; "
            f"RSS {rss:.0f} MiB, PSS {pss:.0f} MiB"
        )
    for worker in workers:
        worker.communicate("\n")


def measure_classes(data: Path) -> None:
    """Names the class of each validation picture by its ten nearest training pictures."""
    path = REPOSITORY / "model_store" / "efficientnet-lite0.yaml"
    classifier, spec = served(path), load_spec(path)

    def features(path: Path) -> NDArray[np.float32]:
        picture, view = preprocess(decode(path.read_bytes()), spec.resize, spec.crop)
        found = embedding(classifier, Subject(picture, view, *classifier.look(picture[None]).row(0)))
        assert found is not None
        return found.numpy()

    with (data / "imagenette-bank.csv").open(newline="") as table:
        trained = list(csv.DictReader(table))
    with (data / "imagenet-val-500.csv").open(newline="") as table:
        asked = list(csv.DictReader(table))
    with tempfile.TemporaryDirectory() as folder:
        writer = ReferenceWriter(Path(folder), DIMENSIONS)
        known = np.stack([features(data / "imagenette-bank" / row["file"]) for row in trained])
        writer.add(known, [v1.Neighbour(class_index=int(row[_LABEL])) for row in trained], [0] * len(trained))
        writer.finish()
        bank = References(Path(folder))
        named, agreeing = 0, []
        for row in asked:
            found = bank.nearest(features(data / "imagenet-val-500" / row["file"]), NEIGHBOURS)
            labels = [bank.label(match.key) for match in found]
            # `most_common` keeps the order of the nearest among equals.
            named += Counter(labels).most_common(1)[0][0] == int(row[_LABEL])
            agreeing.append(labels.count(int(row[_LABEL])) / NEIGHBOURS)
        right = 0
        for key, (row, own) in enumerate(zip(trained, known, strict=True)):
            others = [match.key for match in bank.nearest(own, NEIGHBOURS + 1) if match.key != key]
            right += Counter(map(bank.label, others)).most_common(1)[0][0] == int(row[_LABEL])
    _out.print(f"{NEIGHBOURS} neighbours of {len(trained)} pictures name the class of {named} of {len(asked)} others")
    _out.print(f"  ({named / len(asked):.1%}); on average {np.mean(agreeing):.1%} of the neighbours have it")
    _out.print(
        f"  of the {len(trained)} themselves, each without itself, they name {right} ({right / len(trained):.1%})"
    )


if __name__ == "__main__":
    main()
