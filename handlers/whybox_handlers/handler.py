"""The TorchServe handler: bytes in, bytes out, one result per request of a batch."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.batch_sizes import ensure_measured
from whybox_handlers.work.analyzer import Analyzer
from whybox_handlers.work.slices import Slices


class Handler:
    """The service that the entry stub of every archive gives to TorchServe.

    It does not derive from TorchServe's BaseHandler, which runs without gradients and changes the precision of matrix
    products for the whole process on import.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._generation = round(1000 * self._process.create_time())

    def initialize(self, context: Any) -> None:
        """Loads the unpacked archive, on the GPU that TorchServe assigned or on the CPU."""
        # TorchServe's code in the worker logs two lines for each batch, which TorchServe reads and writes again.
        logging.getLogger().setLevel(logging.WARNING)
        properties = context.system_properties
        gpu = properties.get("gpu_id")
        device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        # Loaded here, so that the first readiness probe already meets a loaded model.
        classifier = Classifier.load(Path(properties["model_dir"]), device)
        ensure_measured(classifier)
        self._slices = Slices(Analyzer(classifier), time.time)

    def handle(self, data: Sequence[Mapping[str, bytes | bytearray]], _context: Any) -> list[bytes]:
        """Serialized `Work` under "request" in, serialized `WorkResult` out."""
        works = [v1.Work.FromString(bytes(item["request"])) for item in data]
        results = self._slices.answer(works)
        worker = self._worker()
        for result in results:
            result.worker.CopyFrom(worker)
        return [result.SerializeToString() for result in results]

    def _worker(self) -> v1.Worker:
        """This process, now."""
        return v1.Worker(
            pid=self._process.pid,
            resident_bytes=self._process.memory_info().rss,
            generation=self._generation,
        )
