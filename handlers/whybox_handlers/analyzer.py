"""From requests to parts: the work of a TorchServe worker, an audit and a notebook alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from google.rpc.status_pb2 import Status
from torch import Tensor

from whybox import v1
from whybox.v1 import errors
from whybox_handlers.bias.flags import not_audited
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.failures import note
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtime import versions
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.robustness.measurement import measure_robustness, view_picture
from whybox_handlers.robustness.smoothing import certify


@dataclass
class _Item:
    """One unit of work on its way to its result."""

    work: v1.Work
    limits: Limits
    result: v1.WorkResult = field(default_factory=v1.WorkResult)

    @classmethod
    def of(cls, work: v1.Work) -> "_Item":
        deadline = work.deadline.ToNanoseconds() / 1e9 if work.HasField("deadline") else None
        return cls(work, Limits(deadline, Path(work.picture_path) if work.picture_path else None))


@dataclass(frozen=True)
class _PartTask:
    """A part of an answer on its way."""

    task: Task[object]
    item: _Item
    part: v1.Explanation | v1.Robustness | v1.Certified

    def close(self) -> None:
        """Charges the time; of a part that failed only the reason is left, nothing half done."""
        self.item.result.compute_ms += 1000 * self.task.seconds
        if isinstance(self.task.outcome, Exception):
            kept = [(name, getattr(self.part, name)) for name in ("index", "method") if hasattr(self.part, name)]
            self.part.Clear()
            for name, value in kept:
                setattr(self.part, name, value)
            note(self.part.status, self.task.outcome, self.item.work.request_id)


class Analyzer:
    """Answers work for one classifier."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._runtime = versions(classifier)

    def answer(self, batch: Sequence[v1.Work]) -> list[v1.WorkResult]:
        """One result per unit of work, in order.

        All pictures go through the serving network together, and explanations and attacks share their passes; a picture
        that cannot be read, work whose deadline is past or whose caller is gone, and a part that fails each spoil only
        themselves.
        """
        items = [_Item.of(work) for work in batch]
        tasks: list[_PartTask] = []
        for item, subject in self._subjects(items):
            self._start(item, subject)
            for index, options in enumerate(item.work.request.explanations):
                part = item.result.response.explanations.add(index=index, method=options.method)
                tasks.append(_PartTask(self._explaining(item, part, subject, options), item, part))
            if item.work.request.HasField("robustness"):
                task = self._attacking(item, subject)
                tasks.append(_PartTask(task, item, item.result.response.robustness))
            if item.work.request.HasField("certified"):
                task = self._certifying(item, subject)
                tasks.append(_PartTask(task, item, item.result.response.certified))
        run(self._classifier, [each.task for each in tasks])
        for each in tasks:
            each.close()
        return [item.result for item in items]

    def _subjects(self, items: Sequence[_Item]) -> list[tuple[_Item, Subject]]:
        """Decodes and classifies; leaves out where that is not possible (the result says why) or wanted (a probe)."""
        subjects: list[tuple[_Item, Subject]] = []

        def add(item: _Item, *looked_at: Any) -> None:
            subjects.append((item, Subject(*looked_at)))

        seen: list[tuple[_Item, Tensor, v1.View]] = []
        for item in items:
            if item.work.HasField("request"):
                _attempt(item, item.result.status, self._see, item, seen)
        if not seen:
            return []
        started = time.perf_counter()
        logits, *maps = self._classifier.look(torch.stack([picture for _, picture, _ in seen]))
        for item, _, _ in seen:
            # What the batch shares is charged to its members in equal parts.
            item.result.compute_ms += 1000 * (time.perf_counter() - started) / len(seen)
        for row, (item, picture, view) in enumerate(seen):
            looked_at = picture, view, logits[row], maps[0][row] if maps else None
            _attempt(item, item.result.status, add, item, *looked_at)
        return subjects

    def _start(self, item: _Item, subject: Subject) -> None:
        """The parts that need nothing but the first look."""
        request, response = item.work.request, item.result.response
        response.receipt.runtime.update(self._runtime)
        if request.HasField("prediction"):
            prediction = response.prediction
            _attempt(item, prediction.status, self._predict, prediction, request.prediction, subject)
        if request.HasField("bias"):
            bias = response.bias
            _attempt(item, bias.status, self._flag, bias, request.bias, subject)

    def _see(self, item: _Item, seen: list[tuple[_Item, Tensor, v1.View]]) -> None:
        try:
            path = item.limits.lease
            image = path.read_bytes() if path is not None else item.work.request.image
        except FileNotFoundError:
            raise errors.CancelledError("the caller went away before the work began") from None
        seen.append((item, *self._classifier.see(image)))

    def _predict(self, part: v1.Prediction, options: v1.PredictionOptions, subject: Subject) -> None:
        best = subject.probabilities.topk(options.top_k).indices.tolist()
        part.classes.extend(self._classifier.score(subject.logits, index) for index in best)
        part.view.CopyFrom(subject.view)

    def _explaining(
        self, item: _Item, part: v1.Explanation, subject: Subject, options: v1.ExplanationOptions
    ) -> Task[object]:
        part.status.SetInParent()
        seed = item.work.request.seed
        coroutine = explain(part, self._classifier, subject, options, seed, Passes(item.limits))
        return Task(coroutine, item.limits)

    def _attacking(self, item: _Item, subject: Subject) -> Task[object]:
        part = item.result.response.robustness
        part.status.SetInParent()
        return Task(self._attack(item, part, subject), item.limits)

    async def _attack(self, item: _Item, part: v1.Robustness, subject: Subject) -> None:
        request, passes = item.work.request, Passes(item.limits)
        pictures = await measure_robustness(
            part, self._classifier, subject, request.robustness, request.seed, passes, item.work.request_id
        )
        if request.robustness.transfer:
            item.result.view_picture = view_picture(subject)
            item.result.adversarial_pictures.extend(pictures)

    def _certifying(self, item: _Item, subject: Subject) -> Task[object]:
        part = item.result.response.certified
        part.status.SetInParent()
        return Task(self._certify(item, part, subject), item.limits)

    async def _certify(self, item: _Item, part: v1.Certified, subject: Subject) -> None:
        request, smoothing, passes = item.work.request, v1.Smoothing(), Passes(item.limits)
        smoothing.CopyFrom(item.work.smoothing)
        if not await certify(part, smoothing, self._classifier, subject, request.certified, request.seed, passes):
            item.result.smoothing.CopyFrom(smoothing)

    def _flag(self, part: v1.Bias, options: v1.BiasOptions, subject: Subject) -> None:
        part.MergeFrom(not_audited(self._classifier.score(subject.logits, subject.predicted), options.attributes))


def _attempt(item: _Item, status: Status, compute: Callable[..., None], *arguments: object) -> None:
    """Computes something within the item's limits; where that goes wrong, `status` says why. It is set in any case."""
    status.SetInParent()
    started = time.perf_counter()
    try:
        item.limits.check()
        compute(*arguments)
    except Exception as error:  # noqa: BLE001 (the batch goes on without this one)
        note(status, error, item.work.request_id)
    item.result.compute_ms += 1000 * (time.perf_counter() - started)
