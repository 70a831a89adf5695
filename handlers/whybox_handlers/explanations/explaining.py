"""One explanation of an answer: from its options to the question, and from the attribution to the wire."""

from typing import NamedTuple

import torch

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import MAP_PICTURES
from whybox_handlers.explanations.baselines import baselines_of
from whybox_handlers.explanations.borders import decides_by_border
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.explanations.maps import drawing, tensors
from whybox_handlers.explanations.maps.pixels import channels_summed
from whybox_handlers.explanations.quality import measure_quality
from whybox_handlers.explanations.regions import find_regions
from whybox_handlers.models.case import Case
from whybox_handlers.models.subject import check_finite
from whybox_handlers.passes.account import Passes

# Share of the time until the deadline for the map itself when quality or regions follow.
_SHARE = 0.5
# The pass that gave the subject its logits and feature maps.
_FIRST_LOOK = 1


class Explained(NamedTuple):
    """One explanation: its part of the answer, and the map at full precision."""

    part: v1.Explanation
    attribution: Attribution


async def explain(case: Case, options: v1.ExplanationOptions, passes: Passes) -> Explained:
    """Makes one map.

    Args:
        case: Model, picture and seed.
        options: With every default filled in, on a method that the model offers.
        passes: Its limits hold; its account is left alone.

    Raises:
        WhyboxError: The options do not fit the picture, or time is over.
    """
    row = EXPLAINERS[options.method]
    question = question_of(case, options)
    share = _SHARE if options.quality or "regions" in options.encodings else 1.0
    own = passes.with_budget(options.max_evaluations or None, row.evaluations, share)
    attribution = await row.explain(own, question)
    _check(options.method, attribution)
    part = _answer(case, options, question, attribution)
    part.forward_evaluations = _FIRST_LOOK + own.forward_evaluations
    part.gradient_evaluations = own.gradient_evaluations
    if options.quality:
        part.quality.CopyFrom(await measure_quality(row, question, attribution, passes))
    if "regions" in options.encodings:
        part.regions.CopyFrom(await find_regions(case, question, attribution, passes))
    part.observations.append(decides_by_border(part, question, attribution, case.subject.predicted))
    _encode(part, case, options, attribution)
    return Explained(part, attribution)


def _check(method: str, attribution: Attribution) -> None:
    """Raises if a number of the map is not finite, summed over channels or not."""
    told = [attribution.baseline_value or 0.0, attribution.residual or 0.0]
    for numbers in (attribution.values, channels_summed(attribution.values), torch.tensor(told, dtype=torch.float64)):
        check_finite(numbers, f"the model's output, or its gradient, for an input that {method} tries")


def question_of(case: Case, options: v1.ExplanationOptions) -> Question:
    """The question that the options ask about a picture.

    Args:
        case: Model, picture and seed.
        options: With every default filled in; without a target class, the question is about the predicted class.

    Raises:
        InvalidRequestError: The contrast class is the target class.
        PictureError: The caller's own baseline cannot be read, or has another size than the view.
    """
    subject, target = case.subject, target_of(case, options)
    objective = torch.zeros(len(subject.logits))
    objective[target] = 1
    if options.HasField("contrast_class"):
        if options.contrast_class == target:
            label = case.classifier.label(target)
            raise InvalidRequestError(
                f"class {target} ({label}) is the one to be explained; contrast it with another class",
                field="explanations.contrast_class",
            )
        objective[options.contrast_class] = -1
    return Question(
        subject.picture,
        objective,
        subject.logits,
        subject.maps,
        baselines_of(options, subject.picture),
        options,
        case.seed,
    )


def target_of(case: Case, options: v1.ExplanationOptions) -> int:
    """The class that the options ask about: the predicted one unless they name another."""
    return options.target_class if options.HasField("target_class") else case.subject.predicted


def _answer(case: Case, options: v1.ExplanationOptions, question: Question, attribution: Attribution) -> v1.Explanation:
    """What is known of the map without further passes."""
    target = target_of(case, options)
    part = v1.Explanation(
        status={},
        method=options.method,
        target_class=target,
        target_label=case.classifier.label(target),
        target_logit=question.value,
        baseline="image" if options.baseline_image else options.baseline,
        units=attribution.units,
        signed=attribution.signed,
        stopped_by=attribution.stopped_by,
        residual=attribution.residual,
        baseline_logit=attribution.baseline_value,
        view=case.subject.view,
        segmentation=attribution.segmentation or "",
    )
    if options.HasField("contrast_class"):
        part.contrast_class = options.contrast_class
        part.contrast_label = case.classifier.label(options.contrast_class)
    if attribution.complete and attribution.baseline_value is not None:
        change = question.value - attribution.baseline_value
        part.convergence_delta = float(attribution.values.double().sum()) - change
    return part


def _encode(part: v1.Explanation, case: Case, options: v1.ExplanationOptions, attribution: Attribution) -> None:
    """Adds the map in each of the encodings that the options name."""
    values = channels_summed(attribution.values) if options.channels == "sum" else attribution.values
    for encoding in options.encodings:
        if encoding not in MAP_PICTURES:
            part.attribution.CopyFrom(tensors.encode(values.numpy(), encoding))
    if "heat_map" in options.encodings:
        part.heat_map = drawing.heat_map(attribution, case.subject.picture)
    if "overlay" in options.encodings:
        part.overlay = drawing.overlay(attribution, case.subject.picture)
