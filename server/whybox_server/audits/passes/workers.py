"""The processes that measure pictures.

Only these processes import the handlers and torch, inside the functions: the process that waits for them stays light.
"""

import hashlib
import os
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Self

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, PictureError
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.changed import Changed
from whybox_server.audits.passes.journal import Outcome, Record

if TYPE_CHECKING:
    from whybox_handlers.audits.measuring import Measured
    from whybox_handlers.models.classifier import Classifier


# Pictures per batch. On a GPU the pictures of a batch share passes, so the last bits of a result depend on the others
# in the batch. A CPU gains nothing from larger batches.
BATCH_SIZE = {"cpu": 1, "cuda": 32}
_LIBRARIES = ("whybox", "torch", "onnxruntime-gpu")


def libraries() -> dict[str, str]:
    """The versions, in this process, of the libraries that measurements depend on."""
    return {library: version(library) for library in _LIBRARIES}


@dataclass(frozen=True)
class Work:
    """The model and the options of an audit, the same for all pictures.

    Attributes:
        archive: Path of the packed model.
        folder: Folder of the data set.
        options: `v1.RobustnessOptions` with every default filled in, serialized; None to attack nothing and keep the
            logits instead.
        seed: Seed of attacks that sample.
        device: "cpu" or "cuda".
        view: Whether the pictures are the model's views themselves.
    """

    archive: Path
    folder: Path
    options: bytes | None
    seed: int
    device: str
    view: bool = False

    def absolute(self) -> Self:
        """The same with paths that do not depend on the working directory."""
        return replace(self, archive=self.archive.absolute(), folder=self.folder.absolute())


def end_with_parent() -> None:
    """Ends this process as soon as its parent has ended; otherwise it would wait for pictures for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def measure_batch(work: Work, pictures: Sequence[Labelled]) -> list[Record]:
    """Reads and predicts pictures, and attacks those whose prediction is right.

    Returns:
        One record per picture. If measuring a picture fails, its record holds the error.

    Raises:
        FailedPreconditionError: The model cannot be loaded on `work.device`.
        OSError: A picture cannot be read.
    """
    from whybox_handlers.audits.measuring import measure
    from whybox_handlers.audits.removal import Removal

    options = None if work.options is None else v1.RobustnessOptions.FromString(work.options)
    images = [(work.folder / picture.file).read_bytes() for picture in pictures]
    labels = [picture.label for picture in pictures]
    removals = [
        Removal(picture.region, picture.seen, picture.removal) if isinstance(picture, Changed) else None
        for picture in pictures
    ]
    classifier = loaded_classifier(work.archive, work.device)
    outcomes = measure(classifier, images, labels, options, work.seed, view=work.view, removals=removals)
    return [_record(work, *each) for each in zip(pictures, images, outcomes, strict=True)]


@cache
def loaded_classifier(archive: Path, device: str) -> "Classifier":
    """The model, loaded once in each process.

    Raises:
        FailedPreconditionError: The model cannot be loaded on the device.
    """
    import torch

    from whybox_handlers.models.archives import load_archive

    if device == "cuda" and not torch.cuda.is_available():
        raise FailedPreconditionError("torch finds no CUDA device; use --device cpu")
    # Sums split over another number of threads round differently. The cores are used by several processes instead.
    torch.set_num_threads(1)
    try:
        return load_archive(archive, device)
    except ValueError as error:
        raise FailedPreconditionError(str(error)) from error


def _record(work: Work, picture: Labelled, image: bytes, measured: "Measured | Exception") -> Record:
    digest = hashlib.sha256(image).hexdigest()
    if isinstance(measured, PictureError):
        return Record(picture.key, digest, picture.label, None, error=measured.message)
    if isinstance(measured, Exception):
        where = "".join(traceback.format_exception(measured))
        error = f"{type(measured).__name__}: {measured}"
        return Record(picture.key, digest, picture.label, None, error=error, traceback=where)
    return Record(
        file=picture.key,
        sha256=digest,
        label=picture.label,
        predicted=measured.predicted,
        confidence=measured.confidence,
        margin=measured.margin,
        norms={distance.norm: _outcome(distance) for distance in measured.distances},
        covariates=measured.covariates,
        perceptual_hash=f"{measured.perceptual_hash:016x}",
        embedding=b"" if measured.embedding is None else measured.embedding.numpy().astype("<f4").tobytes(),
        logits=b"" if work.options is not None else measured.logits.numpy().astype("<f4").tobytes(),
    )


def _outcome(distance: v1.Distance) -> Outcome:
    found = distance.state == "found"
    return Outcome(
        state=distance.state,
        distance=distance.distance if found else None,
        unflipped_distance=distance.unflipped_distance if found else None,
        searched_radius=distance.searched_radius,
        distance_8bit=distance.distance_8bit if distance.HasField("distance_8bit") else None,
        adversarial_class=distance.adversarial_class.index if found else None,
        gradient_evaluations=distance.gradient_evaluations,
        forward_evaluations=distance.forward_evaluations,
        stopped_by=distance.stopped_by,
        reasons=tuple(distance.reasons),
    )
