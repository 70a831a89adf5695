"""`whybox-server` whose audits load no model: a program for tests of all that surrounds the measuring.

What is made of a picture depends on the first line of its text: "unreadable" and "wrong" are what they say, "failed"
fails unless MENDED is in the environment, and any other is predicted right, at a distance made up of its hash. It is a
tenth as large if the text begins with "near", and below 12 evaluations also if it begins with "faint". "brittle" fails
from 12 evaluations on, which otherwise find a tenth less; i_fgsm finds two to three times as much. A changed picture
differs from the whole one in its margin alone. Without an attack there are logits of the two classes, made of the hash
too. The text FATAL kills the process. Each picture takes MOMENT seconds.
"""

import hashlib
import os
import struct
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from whybox import v1
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import processes, ray_engine
from whybox_server.audits.passes.journal import INTRINSIC, Outcome, Record
from whybox_server.audits.passes.workers import Work
from whybox_server.cli.app import app


def measure_batch(work: Work, pictures: Sequence[Labelled]) -> list[Record]:
    time.sleep(float(os.environ.get("MOMENT", "0")) * len(pictures))
    options = None if work.options is None else v1.RobustnessOptions.FromString(work.options)
    records = [_record(picture, (work.folder / picture.file).read_text(), options) for picture in pictures]
    return records if options is not None else list(map(_unattacked, records))


def measured_here(work: Work, pictures: Iterable[Labelled], *_: object) -> Generator[list[Record]]:
    """In place of the pool: measures in this process, which is quicker than starting others."""
    for picture in pictures:
        yield measure_batch(work, [picture])


def _record(picture: Labelled, text: str, options: v1.RobustnessOptions | None) -> Record:
    digest = hashlib.sha256(text.encode()).hexdigest()
    text = text.partition("\n")[0]
    if text == os.environ.get("FATAL"):
        os._exit(1)
    if text == "unreadable":
        return Record(picture.key, digest, picture.label, None, error="damaged")
    small = options is None or int(options.budget) < 12
    if (text == "failed" and "MENDED" not in os.environ) or (text == "brittle" and not small):
        return Record(picture.key, digest, picture.label, None, error="ValueError: bad", traceback="line 1")
    looks: dict[str, Any] = {
        "margin": int(hashlib.sha256(picture.key.encode()).hexdigest()[:4], 16) / 2**16,
        "confidence": 0.5 + int(digest[4:8], 16) / 2**17,
        "covariates": {name: float(len(text) + place) for place, name in enumerate(INTRINSIC)},
        "perceptual_hash": digest[:16],
        "embedding": struct.pack("<2f", 1 + int(digest[:2], 16), 1 + int(digest[2:4], 16)),
    }
    if text == "wrong":
        return Record(picture.key, digest, picture.label, 1 - picture.label, **looks)
    near = text.startswith("near") or (text.startswith("faint") and small)
    distance = (1 + int(digest[:4], 16)) / 2**16 / (10 if near else 1) * (1 if small else 0.9)
    if options is not None and options.attack == "i_fgsm":
        distance *= 2 + int(digest[8:12], 16) / 2**16
    outcome = Outcome("found", distance, 0.99 * distance, 1.0, None, 0, 2, 9, "evaluations", ())
    return Record(picture.key, digest, picture.label, picture.label, norms={"linf": outcome}, **looks)


def _unattacked(record: Record) -> Record:
    """As of a calibration picture: logits in place of distances."""
    if not record.measured:
        return record
    logits = np.zeros(2, "<f4")
    logits[record.predicted] = 0.1 + int(record.sha256[8:12], 16) / 2**13
    return replace(record, norms={}, logits=logits.tobytes())


if __name__ == "__main__":
    # Pickled by its name, which is that of this file also in the processes that measure.
    with (
        patch.object(processes, "measure_batch", measure_batch),
        patch.object(ray_engine, "measure_batch", measure_batch),
    ):
        app()
