"""From requests to parts: the work of a TorchServe worker, an audit and a notebook alike."""

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from google.rpc.status_pb2 import Status
from torch import Tensor

from whybox import v1
from whybox.v1 import errors
from whybox_handlers.bias.flags import findings
from whybox_handlers.explanations.examples import EXAMPLE, give_examples
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.failures import note
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier, Served
from whybox_handlers.models.digests import sha256
from whybox_handlers.models.runtime import versions
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Clock, Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.prediction_sets.sets import prediction_set
from whybox_handlers.robustness.draws import Draws
from whybox_handlers.robustness.measurement import Measured, measure_robustness, view_picture
from whybox_handlers.robustness.smoothing import Piece, certify

T = TypeVar("T")


@dataclass
class _Item:
    """One unit of work on its way to its result."""

    work: v1.Work
    limits: Limits
    result: v1.WorkResult = field(default_factory=lambda: v1.WorkResult(final=True))
    image_sha256: str = ""

    @classmethod
    def of(cls, work: v1.Work, clock: Clock) -> "_Item":
        deadline, aim = (
            getattr(work, name).ToNanoseconds() / 1e9 if work.HasField(name) else None for name in ("deadline", "aim")
        )
        return cls(work, Limits(deadline, Path(work.picture_path) if work.picture_path else None, clock, aim))


@dataclass(frozen=True)
class _PartTask:
    """A part of an answer on its way: `finish` puts the task's outcome into the result, `status` takes an error."""

    task: Task[Any]
    item: _Item
    status: Status
    finish: Callable[[Any], None]

    def close(self) -> None:
        """Charges the time, and adds the part to the result; a part that failed is only a status."""
        self.item.result.compute_ms += 1000 * self.task.seconds
        if isinstance(self.task.outcome, Exception):
            note(self.status, self.task.outcome, self.item.work.request_id)
        else:
            self.finish(self.task.outcome)


class Analyzer:
    """Answers work for one classifier.

    Args:
        classifier: The model.
        clock: Tells when deadlines have passed; seconds since the epoch.
    """

    def __init__(self, classifier: Classifier, clock: Clock = time.time) -> None:
        self._classifier = classifier
        self._clock = clock
        self._runtime = versions(classifier)

    def answer(self, batch: Sequence[v1.Work]) -> list[v1.WorkResult]:
        """One result per unit of work, in order.

        All pictures go through the serving network together, and explanations and attacks share their passes. A picture
        that cannot be read, work whose deadline has passed or whose caller is gone, and a part that fails do not affect
        the others.
        """
        items = [_Item.of(work, self._clock) for work in batch]
        tasks = [task for item, subject in self._subjects(items) for task in self._begun(item, subject)]
        run(self._classifier, [each.task for each in tasks])
        for each in tasks:
            each.close()
        for item in items:
            item.result.cut_short = item.limits.cut_short
        return [item.result for item in items]

    def _subjects(self, items: Sequence[_Item]) -> list[tuple[_Item, Subject]]:
        """Decodes and classifies; leaves out pictures that fail (the result says why) and probes."""
        subjects: list[tuple[_Item, Subject]] = []

        def add(item: _Item, picture: Tensor, view: v1.View, served: Served) -> None:
            subjects.append((item, Subject(picture, view, *served)))

        seen: list[tuple[_Item, Tensor, v1.View]] = []
        for item in items:
            if item.work.HasField("request"):
                _attempt(item, item.result.status, self._see, item, seen)
        if not seen:
            return []
        started = time.perf_counter()
        served = self._classifier.look(torch.stack([picture for _, picture, _ in seen]))
        for item, _, _ in seen:
            # The members of the batch are charged equal parts of what they share.
            item.result.compute_ms += 1000 * (time.perf_counter() - started) / len(seen)
        for row, (item, picture, view) in enumerate(seen):
            _attempt(item, item.result.status, add, item, picture, view, served.row(row))
        return subjects

    def _see(self, item: _Item, seen: list[tuple[_Item, Tensor, v1.View]]) -> None:
        try:
            path = item.limits.lease
            image = path.read_bytes() if path is not None else item.work.request.image
        except FileNotFoundError:
            raise errors.CancelledError("the caller went away before the work began") from None
        if any(options.method == EXAMPLE for options in item.work.request.explanations):
            item.image_sha256 = sha256(image)
        seen.append((item, *self._classifier.see(image, view=item.work.request.view)))

    def _begun(self, item: _Item, subject: Subject) -> Iterator[_PartTask]:
        """Answers the parts that need only the first look, and begins the others."""
        request, result, response = item.work.request, item.result, item.result.response
        response.receipt.runtime.update(self._runtime)
        if request.HasField("prediction"):
            prediction = response.prediction
            _attempt(item, prediction.status, self._predict, prediction, request.prediction, subject)
        if request.HasField("bias"):
            bias = response.bias
            _attempt(item, bias.status, self._flag, bias, request.bias, subject)
        case = Case(self._classifier, subject, request.seed, item.work.request_id, item.image_sha256)

        def begun(work: Coroutine[Any, Any, T], status: Status, finish: Callable[[T], None]) -> _PartTask:
            return _PartTask(Task(work, item.limits), item, status, finish)

        for index, options in enumerate(request.explanations):
            part = response.explanations.add(index=index, method=options.method)
            yield begun(_explained(case, options, Passes(item.limits)), part.status, part.MergeFrom)
        if request.HasField("robustness"):
            twin = item.work.twin if item.work.HasField("twin") else None
            yield begun(
                measure_robustness(case, request.robustness, Passes(item.limits), twin),
                response.robustness.status,
                partial(_add_robustness, item, subject),
            )
        if request.HasField("certified"):
            draws = Draws.from_bytes(item.work.resume)
            yield begun(
                certify(case, request.certified, Passes(item.limits), draws),
                response.certified.status,
                partial(_add_piece, result),
            )

    def _predict(self, part: v1.Prediction, options: v1.PredictionOptions, subject: Subject) -> None:
        best = subject.order[: options.top_k]
        part.classes.extend(self._classifier.score(subject.logits, index) for index in best)
        part.view.CopyFrom(subject.view)
        if options.set_method:
            part.prediction_set.CopyFrom(prediction_set(self._classifier, subject, options))

    def _flag(self, part: v1.Bias, options: v1.BiasOptions, subject: Subject) -> None:
        predicted = self._classifier.score(subject.logits, subject.predicted)
        part.MergeFrom(findings(self._classifier, predicted, options.attributes))


async def _explained(case: Case, options: v1.ExplanationOptions, passes: Passes) -> v1.Explanation:
    if options.method == EXAMPLE:
        return give_examples(case, options)
    return (await explain(case, options, passes)).part


def _add_robustness(item: _Item, subject: Subject, measured: Measured) -> None:
    item.result.response.robustness.CopyFrom(measured.part)
    if item.work.request.robustness.transfer:
        item.result.view_picture = view_picture(subject)
        item.result.adversarial_pictures.extend(measured.pictures)


def _add_piece(result: v1.WorkResult, piece: Piece) -> None:
    result.response.certified.CopyFrom(piece.part)
    result.final = piece.final
    if not piece.final:
        result.resume = piece.draws.to_bytes()
    if piece.so_far is not None:
        result.so_far.CopyFrom(result.response)
        result.so_far.certified.CopyFrom(piece.so_far)


def _attempt(item: _Item, status: Status, compute: Callable[..., None], *arguments: object) -> None:
    """Computes something within the item's limits; if that fails, `status` says why. It is set in any case."""
    status.SetInParent()
    started = time.perf_counter()
    try:
        item.limits.check()
        compute(*arguments)
    except Exception as error:  # noqa: BLE001 (the batch goes on without this one)
        note(status, error, item.work.request_id)
    item.result.compute_ms += 1000 * (time.perf_counter() - started)
