"""From requests to parts: the work of a TorchServe worker, an audit and a notebook alike."""

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

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
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.digests import sha256
from whybox_handlers.models.runtime import versions
from whybox_handlers.models.runtimes.serving import Served
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Clock, Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.prediction_sets.sets import prediction_set
from whybox_handlers.robustness.draws import Draws
from whybox_handlers.robustness.measurement import Measured, measure_robustness, view_picture
from whybox_handlers.robustness.smoothing import Piece, certify

T = TypeVar("T")

# Pictures that a worker keeps in mind, each with less than a MiB: the units of one request come soon after each other.
_SIGHTS = 4


@dataclass
class Unit:
    """One unit of work on its way to its result.

    Attributes:
        work: What is asked.
        limits: When it must stop.
        result: As far as it is known.
        image_sha256: Of the picture, if a part needs it.
        parts: What still has to be computed after the first look.
    """

    work: v1.Work
    limits: Limits
    result: v1.WorkResult = field(default_factory=lambda: v1.WorkResult(final=True))
    image_sha256: str = ""
    parts: "list[_PartTask]" = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all its parts have ended."""
        return all(part.task.ended for part in self.parts)

    @property
    def compute_ms(self) -> float:
        """Milliseconds that it has taken so far."""
        return self.result.compute_ms + sum(1000 * part.task.seconds for part in self.parts)

    def answer(self) -> v1.WorkResult:
        """The result; all parts have ended."""
        for part in self.parts:
            part.close()
        self.result.cut_short = self.limits.cut_short
        return self.result

    def drop(self) -> None:
        """Gives it up."""
        for part in self.parts:
            part.task.coroutine.close()

    @classmethod
    def of(cls, work: v1.Work, clock: Clock) -> "Unit":
        """Work that has not begun."""
        deadline, aim = (
            getattr(work, name).ToNanoseconds() / 1e9 if work.HasField(name) else None for name in ("deadline", "aim")
        )
        return cls(work, Limits(deadline, Path(work.picture_path) if work.picture_path else None, clock, aim))


@dataclass(frozen=True)
class _PartTask:
    """A part of an answer on its way: `finish` puts the task's outcome into the result, `status` takes an error."""

    task: Task[Any]
    unit: Unit
    status: Status
    finish: Callable[[Any], None]

    def close(self) -> None:
        """Charges the time, and adds the part to the result; a part that failed is only a status."""
        self.unit.result.compute_ms += 1000 * self.task.seconds
        if isinstance(self.task.outcome, Exception):
            note(self.status, self.task.outcome, self.unit.work.request_id)
        else:
            self.finish(self.task.outcome)


@dataclass(eq=False)
class _Sight:
    """A decoded picture, and what the serving network made of it as soon as it has."""

    picture: Tensor
    view: v1.View
    served: Served | None = None

    @property
    def answer(self) -> Served:
        """What the serving network made of it, which is known by now."""
        return cast("Served", self.served)


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
        # By file and whether it is the view itself, the latest last.
        self._sights: dict[tuple[Path, bool], _Sight] = {}

    def answer(self, batch: Sequence[v1.Work]) -> list[v1.WorkResult]:
        """One result per unit of work, in order.

        All pictures go through the serving network together, and explanations and attacks share their passes. A picture
        that cannot be read, work whose deadline has passed or whose caller is gone, and a part that fails do not affect
        the others.
        """
        units = self.begin(batch)
        self.proceed(units)
        return [unit.answer() for unit in units]

    def begin(self, batch: Sequence[v1.Work]) -> list[Unit]:
        """Looks at the pictures, and makes ready what is to be computed; errors as in `answer`."""
        units = [Unit.of(work, self._clock) for work in batch]
        for unit, subject in self._subjects(units):
            unit.parts.extend(self._begun(unit, subject))
        return units

    def proceed(self, units: Sequence[Unit], pauses: Callable[[], bool] = lambda: False) -> None:
        """Computes until all units are done, or until `pauses`, asked after each pass, says so."""
        run(self._classifier, [part.task for unit in units for part in unit.parts], pauses=pauses)

    def _subjects(self, units: Sequence[Unit]) -> list[tuple[Unit, Subject]]:
        """Decodes and classifies; leaves out pictures that fail (the result says why) and probes.

        The units of one request, which name the same file, share one look at it.
        """
        subjects: list[tuple[Unit, Subject]] = []

        def add(unit: Unit, picture: Tensor, view: v1.View, served: Served) -> None:
            subjects.append((unit, Subject(picture, view, *served)))

        seen: list[tuple[Unit, _Sight]] = []
        for unit in units:
            if unit.work.HasField("request"):
                _attempt(unit, unit.result.status, self._see, unit, seen)
        unserved = list(dict.fromkeys(sight for _, sight in seen if sight.served is None))
        if unserved:
            started = time.perf_counter()
            served = self._classifier.look(torch.stack([sight.picture for sight in unserved]))
            for row, sight in enumerate(unserved):
                sight.served = served.row(row)
            for unit, _ in seen:
                # The members of the batch are charged equal parts of what they share.
                unit.result.compute_ms += 1000 * (time.perf_counter() - started) / len(seen)
        for unit, sight in seen:
            _attempt(unit, unit.result.status, add, unit, sight.picture, sight.view, sight.answer)
        return subjects

    def _see(self, unit: Unit, seen: list[tuple[Unit, _Sight]]) -> None:
        path, view = unit.limits.lease, unit.work.request.view
        known = self._sights.get((path, view)) if path is not None else None
        exampled = any(options.method == EXAMPLE for options in unit.work.request.explanations)
        if known is None or exampled:
            try:
                image = path.read_bytes() if path is not None else unit.work.request.image
            except FileNotFoundError:
                raise errors.CancelledError("the caller went away before the work began") from None
            if exampled:
                unit.image_sha256 = sha256(image)
            known = known or _Sight(*self._classifier.see(image, view=view))
        if path is not None:
            self._remember((path, view), known)
        seen.append((unit, known))

    def _remember(self, key: tuple[Path, bool], sight: _Sight) -> None:
        self._sights.pop(key, None)
        self._sights[key] = sight
        if len(self._sights) > _SIGHTS:
            self._sights.pop(next(iter(self._sights)), None)

    def _begun(self, unit: Unit, subject: Subject) -> Iterator[_PartTask]:
        """Answers the parts that need only the first look, and begins the others."""
        request, result, response = unit.work.request, unit.result, unit.result.response
        response.receipt.runtime.update(self._runtime)
        if request.HasField("prediction"):
            prediction = response.prediction
            _attempt(unit, prediction.status, self._predict, prediction, request.prediction, subject)
        if request.HasField("bias"):
            bias = response.bias
            _attempt(unit, bias.status, self._flag, bias, request.bias, subject)
        case = Case(self._classifier, subject, request.seed, unit.work.request_id, unit.image_sha256)

        def begun(work: Coroutine[Any, Any, T], status: Status, finish: Callable[[T], None]) -> _PartTask:
            return _PartTask(Task(work, unit.limits), unit, status, finish)

        for index, options in enumerate(request.explanations):
            part = response.explanations.add(index=index, method=options.method)
            yield begun(_explained(case, options, Passes(unit.limits)), part.status, part.MergeFrom)
        if request.HasField("robustness"):
            twin = unit.work.twin if unit.work.HasField("twin") else None
            yield begun(
                measure_robustness(case, request.robustness, Passes(unit.limits), twin),
                response.robustness.status,
                partial(_add_robustness, unit, subject),
            )
        if request.HasField("certified"):
            draws = Draws.from_bytes(unit.work.resume)
            yield begun(
                certify(case, request.certified, Passes(unit.limits), draws),
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


def _add_robustness(unit: Unit, subject: Subject, measured: Measured) -> None:
    unit.result.response.robustness.CopyFrom(measured.part)
    if unit.work.request.robustness.transfer:
        unit.result.view_picture = view_picture(subject)
        unit.result.adversarial_pictures.extend(measured.pictures)


def _add_piece(result: v1.WorkResult, piece: Piece) -> None:
    result.response.certified.CopyFrom(piece.part)
    result.final = piece.final
    if not piece.final:
        result.resume = piece.draws.to_bytes()
    if piece.so_far is not None:
        result.so_far.CopyFrom(result.response)
        result.so_far.certified.CopyFrom(piece.so_far)


def _attempt(unit: Unit, status: Status, compute: Callable[..., None], *arguments: object) -> None:
    """Computes something within the unit's limits; if that fails, `status` says why. It is set in any case."""
    status.SetInParent()
    started = time.perf_counter()
    try:
        unit.limits.check()
        compute(*arguments)
    except Exception as error:  # noqa: BLE001 (the batch goes on without this one)
        note(status, error, unit.work.request_id)
    unit.result.compute_ms += 1000 * (time.perf_counter() - started)
