"""Peak memory of `whybox-server audit` against the number of pictures: 1,000,000 may need 10 % more than 10,000.

What grows with the data must lie on the disk: the list of the pictures, the journal, the table, the copies, and what
the statistics read class by class. Only attack and network are stand-ins: a picture's name decides prediction, distance
and hash, and the names of a folder are links to one file. Each number of pictures is audited by a process of its own,
twice; the second run measures nothing again, as after an interrupt.
"""

import argparse
import csv
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
from google.protobuf import json_format
from rich.console import Console
from rich.progress import track

from whybox import v1
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import pool
from whybox_server.audits.passes.journal import INTRINSIC, Outcome, Record
from whybox_server.audits.passes.workers import Work
from whybox_server.cli.app import app

PICTURES = (10_000, 1_000_000)
CLASSES = 100
LARGEST_GROWTH = 0.1
# Numbers of an embedding. Those of real networks have 1000 to 2000, which lie on the disk alike.
EMBEDDING = 64
_BATCH = 100
_COLOURS = ("red", "green", "blue")


def main() -> int:
    """Prints the peak memory for each number of pictures; the exit status is 1 if it grows too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, nargs=2, default=PICTURES, help="Numbers of pictures to compare.")
    console, peaks = Console(), []
    for number in parser.parse_args().pictures:
        with tempfile.TemporaryDirectory() as folder:
            write_data_set(Path(folder), number)
            for run in ("first run", "second run"):
                started = time.monotonic()
                peak = audited(Path(folder))
                console.print(f"{number:,} pictures, {run}: {peak:.0f} MiB, {time.monotonic() - started:.0f} s")
                peaks.append(peak)
    growth = max(peaks[2:]) / max(peaks[:2]) - 1
    missed = growth > LARGEST_GROWTH
    console.print(f"growth {growth:+.1%}, at most {LARGEST_GROWTH:.0%} asked: {'missed' if missed else 'met'}")
    return int(missed)


def write_data_set(folder: Path, number: int) -> None:
    """Pictures of all classes, with a table of two attributes and a confounder, and a model that is only a manifest."""
    labels = [f"class {index}" for index in range(CLASSES)]
    model = v1.Model(name="m", version="1", num_classes=CLASSES, labels=labels, norms=["linf"], default_attack="fmn")
    model.attacks.add(name="fmn", norms=["linf"])
    with zipfile.ZipFile(folder / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(model))
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "hat", "colour", "wide"])
        for place in track(range(number), f"{number:,} pictures"):
            shelf = folder / "pictures" / str(place // 1000)
            name = f"{shelf.name}/{place}.jpg"
            if place % 1000 == 0:
                shelf.mkdir(parents=True)
                # A file system allows for a file some 10,000 names only.
                first = folder / "pictures" / name
                first.write_bytes(b"picture")
            else:
                os.link(first, folder / "pictures" / name)
            draw = hashlib.sha256(name.encode()).digest()
            table.writerow([name, place % CLASSES, draw[0] % 2, _COLOURS[draw[1] % 3], draw[2] % 2])


def audited(folder: Path) -> float:
    """The peak memory of an audit, MiB."""
    told = subprocess.run([sys.executable, __file__, "child", folder], check=True, capture_output=True, text=True)
    return float(json.loads(told.stdout.splitlines()[-1])) / 1024


def audit(folder: Path) -> None:
    """The audit of a child process, which prints its peak memory, KiB."""
    options = ["--labels", folder / "table.csv", "--model-store", folder, "--save", folder / "audit"]
    arguments = ["audit", folder / "pictures", *options, "--confounder", "wide", "--budget", "fast", "--no-thumbnails"]
    with patch.object(pool, "_measured", measured):
        app(list(map(str, arguments)), standalone_mode=False)
    sys.stdout.write(f"\n{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")


def measured(_: Work, pictures: Iterable[Labelled], *_others: object) -> Generator[list[Record]]:
    """In place of network and attack: what they would find."""
    pictures = iter(pictures)
    while batch := list(islice(pictures, _BATCH)):
        yield list(records(batch))


def records(batch: Iterable[Labelled]) -> Iterator[Record]:
    """Made-up measurements that depend on a picture's name alone."""
    for picture in batch:
        digest = hashlib.sha256(picture.file.encode()).digest()
        draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        right = digest[8] >= 64
        distance = float(draw.lognormal(-6, 1))
        outcome = Outcome("found", distance, 0.99 * distance, 1.0, 1 / 255, 0, 6, 9, "evaluations", ())
        yield Record(
            file=picture.file,
            sha256=digest.hex(),
            label=picture.label,
            predicted=picture.label if right else (picture.label + 1) % CLASSES,
            confidence=float(draw.uniform(0.2, 1)),
            norms={"linf": outcome} if right else {},
            covariates=dict(zip(INTRINSIC, draw.uniform(1, 2, len(INTRINSIC)).tolist(), strict=True)),
            perceptual_hash=digest[:8].hex(),
            embedding=draw.standard_normal(EMBEDDING).astype("<f4").tobytes(),
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        audit(Path(sys.argv[2]))
    else:
        sys.exit(main())
