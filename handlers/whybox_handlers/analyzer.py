"""From requests to parts: the work of a TorchServe worker, an audit and a notebook alike."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from google.rpc.status_pb2 import Status
from torch import Tensor

from whybox import v1
from whybox.v1 import errors
from whybox_handlers import pictures, tensors
from whybox_handlers.attacks import ATTACKS
from whybox_handlers.bias import not_audited
from whybox_handlers.classifier import Classifier
from whybox_handlers.explainers import EXPLAINERS
from whybox_handlers.runtime import versions

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Subject:
    """One picture with what the serving network said of it.

    Attributes:
        picture: [3, crop, crop] in [0, 1].
        view: Where that lies in the picture that was sent.
        probabilities: [classes], summing to 1; float64.
    """

    picture: Tensor
    view: v1.View
    probabilities: Tensor

    @property
    def predicted(self) -> int:
        return int(self.probabilities.argmax())


class Analyzer:
    """Answers work for one classifier."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._runtime = versions(classifier)

    def answer(self, batch: Sequence[v1.Work]) -> list[v1.WorkResult]:
        """One result per unit of work, in order.

        All pictures go through the serving network together; a picture that cannot be read, work whose deadline is past
        and a part that fails each spoil only themselves.
        """
        results = [v1.WorkResult() for _ in batch]
        for (work, result), subject in zip(
            zip(batch, results, strict=True), self._subjects(batch, results), strict=True
        ):
            if subject is not None:
                started = time.perf_counter()
                self._fill(result.response, work, subject)
                result.compute_ms += 1000 * (time.perf_counter() - started)
        return results

    def _subjects(self, batch: Sequence[v1.Work], results: Sequence[v1.WorkResult]) -> list[_Subject | None]:
        """Decodes and classifies; None where that is not possible (the result says why) or not wanted (a probe)."""
        started = time.perf_counter()
        views: dict[int, tuple[Tensor, v1.View]] = {}
        for index, (work, result) in enumerate(zip(batch, results, strict=True)):
            if work.HasField("request"):
                viewed = _attempt(work, result.status, self._view, work.request.image)
                if viewed is not None:
                    views[index] = viewed
        subjects: list[_Subject | None] = [None] * len(batch)
        if views:
            probabilities = self._classifier.probabilities(torch.stack([picture for picture, _ in views.values()]))
            for row, (index, (picture, view)) in enumerate(views.items()):
                subjects[index] = _Subject(picture, view, probabilities[row])
                # What the batch shared is charged to its members in equal parts.
                results[index].compute_ms = 1000 * (time.perf_counter() - started) / len(views)
        return subjects

    def _fill(self, response: v1.AnalyzeResponse, work: v1.Work, subject: _Subject) -> None:
        request = work.request
        response.receipt.runtime.update(self._runtime)
        if request.HasField("prediction"):
            prediction = response.prediction
            _attempt(work, prediction.status, self._predict, prediction, request.prediction, subject)
        for index, options in enumerate(request.explanations):
            explanation = response.explanations.add(index=index, method=options.method)
            _attempt(work, explanation.status, self._explain, explanation, options, subject)
        if request.HasField("robustness"):
            robustness = response.robustness
            _attempt(work, robustness.status, self._attack, robustness, request.robustness, subject)
        if request.HasField("bias"):
            _attempt(work, response.bias.status, self._flag, response.bias, request.bias, subject)

    def _view(self, image: bytes) -> tuple[Tensor, v1.View]:
        preprocessing = self._classifier.model.preprocessing
        return pictures.preprocess(pictures.decode(image), preprocessing.resize, preprocessing.crop)

    def _score(self, subject: _Subject, index: int) -> v1.ClassScore:
        return v1.ClassScore(
            index=index, label=self._classifier.label(index), probability=float(subject.probabilities[index])
        )

    def _predict(self, part: v1.Prediction, options: v1.PredictionOptions, subject: _Subject) -> None:
        best = subject.probabilities.topk(options.top_k).indices.tolist()
        part.classes.extend(self._score(subject, index) for index in best)
        part.view.CopyFrom(subject.view)

    def _explain(self, part: v1.Explanation, options: v1.ExplanationOptions, subject: _Subject) -> None:
        target = options.target_class if options.HasField("target_class") else subject.predicted
        attribution = EXPLAINERS[options.method].attribute(self._classifier.network, subject.picture, target, options)
        values = attribution.values
        if values.dim() == 3 and options.channels == "sum":
            values = values.sum(dim=0)
        part.target_class = target
        part.target_label = self._classifier.label(target)
        part.attribution.CopyFrom(tensors.encode(values.numpy(), options.dtype))
        part.units = attribution.units
        part.signed = attribution.signed
        part.baseline = attribution.baseline
        part.target_logit = attribution.target_logit
        if attribution.baseline_logit is not None and attribution.convergence_delta is not None:
            part.baseline_logit = attribution.baseline_logit
            part.convergence_delta = attribution.convergence_delta
        part.forward_evaluations = attribution.forward_evaluations
        part.gradient_evaluations = attribution.gradient_evaluations
        part.view.CopyFrom(subject.view)

    def _attack(self, part: v1.Robustness, options: v1.RobustnessOptions, subject: _Subject) -> None:
        for norm in options.norms:
            attack = ATTACKS[norm]
            found = attack.run(self._classifier, subject.picture, subject.predicted, int(options.budget))
            distance = part.distances.add(
                norm=norm,
                attack=attack.name,
                state="not_found" if found.adversarial is None else "found",
                predicted_class=self._score(subject, subject.predicted),
                gradient_evaluations=found.gradient_evaluations,
                forward_evaluations=found.forward_evaluations,
                searched_radius=found.searched_radius,
            )
            if found.adversarial is not None:
                adversarial = found.adversarial
                distance.distance = adversarial.distance
                distance.unflipped_distance = adversarial.unflipped_distance
                if found.distance_at_half_budget is not None:
                    distance.distance_at_half_budget = found.distance_at_half_budget
                rounded = torch.round(adversarial.picture * 255) / 255
                probabilities = self._classifier.probabilities(torch.stack([adversarial.picture, rounded]))
                index = int(probabilities[0].argmax())
                distance.adversarial_class.index = index
                distance.adversarial_class.label = self._classifier.label(index)
                distance.adversarial_class.probability = float(probabilities[0, index])
                distance.survives_8bit = int(probabilities[1].argmax()) != subject.predicted
        part.view.CopyFrom(subject.view)

    def _flag(self, part: v1.Bias, options: v1.BiasOptions, subject: _Subject) -> None:
        part.MergeFrom(not_audited(self._score(subject, subject.predicted), options.attributes))


def _attempt(work: v1.Work, status: Status, compute: Callable[..., Result], *arguments: object) -> Result | None:
    """Computes something; None where that goes wrong, and then `status` says why. `status` is set in any case."""
    status.SetInParent()
    try:
        if work.HasField("deadline") and work.deadline.ToNanoseconds() < time.time_ns():
            raise errors.DeadlineExceededError("the deadline passed before a worker could start; allow more time")
        return compute(*arguments)
    except errors.WhyboxError as error:
        status.CopyFrom(error.to_status())
    except Exception:  # noqa: BLE001
        # The batch goes on without this one; the cause is in the log, not in the answer.
        _log.exception("request %s failed", work.request_id)
        message = f"the model failed on this request; the server's log has the details under {work.request_id}"
        status.CopyFrom(errors.InternalError(message).to_status())
    return None
