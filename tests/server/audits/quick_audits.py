"""`whybox-server` whose audits load no model: a program for tests of all that surrounds the measuring.

What is made of a picture depends on the first line of its text: "unreadable" and "wrong" are what they say, "failed"
fails unless MENDED is in the environment, and any other is predicted right, at a distance made up of its hash, which is
a tenth as large if the text begins with "near". Each takes MOMENT seconds. The text FATAL kills the process.
"""

import hashlib
import os
import time
from collections.abc import Generator, Iterable, Sequence
from typing import Any
from unittest.mock import patch

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import processes, ray_engine
from whybox_server.audits.passes.journal import INTRINSIC, Outcome, Record
from whybox_server.audits.passes.workers import Work
from whybox_server.cli import app


def measure_batch(work: Work, pictures: Sequence[Labelled]) -> list[Record]:
    time.sleep(float(os.environ.get("MOMENT", "0")) * len(pictures))
    return [_record(picture, (work.folder / picture.file).read_text()) for picture in pictures]


def measured_here(work: Work, pictures: Iterable[Labelled], *_: object) -> Generator[list[Record]]:
    """In place of the pool: measures in this process, which is quicker than starting others."""
    for picture in pictures:
        yield measure_batch(work, [picture])


def _record(picture: Labelled, text: str) -> Record:
    digest = hashlib.sha256(text.encode()).hexdigest()
    text = text.partition("\n")[0]
    if text == os.environ.get("FATAL"):
        os._exit(1)
    if text == "unreadable":
        return Record(picture.file, digest, picture.label, None, error="damaged")
    if text == "failed" and "MENDED" not in os.environ:
        return Record(picture.file, digest, picture.label, None, error="ValueError: bad", traceback="line 1")
    looks: dict[str, Any] = {
        "confidence": 0.5 + int(digest[4:8], 16) / 2**17,
        "covariates": {name: float(len(text) + place) for place, name in enumerate(INTRINSIC)},
        "perceptual_hash": digest[:16],
        "embedding": bytes.fromhex(digest)[:8],
    }
    if text == "wrong":
        return Record(picture.file, digest, picture.label, 1 - picture.label, **looks)
    distance = (1 + int(digest[:4], 16)) / 2**16 / (10 if text.startswith("near") else 1)
    outcome = Outcome("found", distance, 0.99 * distance, 1.0, None, 0, 2, 9, "evaluations", ())
    return Record(picture.file, digest, picture.label, picture.label, norms={"linf": outcome}, **looks)


if __name__ == "__main__":
    # Pickled by its name, which is that of this file also in the processes that measure.
    with (
        patch.object(processes, "measure_batch", measure_batch),
        patch.object(ray_engine, "measure_batch", measure_batch),
    ):
        app()
