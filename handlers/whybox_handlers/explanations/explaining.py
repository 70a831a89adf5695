"""One explanation of an answer: from its options to the question, and from the attribution to the wire."""

import math

import torch

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError
from whybox_handlers.explanations.baselines import baselines
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.explanations.maps import drawing, tensors
from whybox_handlers.explanations.quality import measure
from whybox_handlers.explanations.regions import find_regions
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes

# Of the time until the deadline: what the map may take where it shall be measured or told in regions too.
_SHARE = 0.5
# The pass that gave the subject its logits and feature maps.
_FIRST_LOOK = 1
_PICTURES = ("heat_map", "overlay", "regions")


async def explain(
    part: v1.Explanation,
    classifier: Classifier,
    subject: Subject,
    options: v1.ExplanationOptions,
    seed: int,
    passes: Passes,
) -> Attribution:
    """Makes one map, fills in its part of the answer, and returns the map.

    Args:
        part: What is filled in.
        classifier: The model.
        subject: The picture.
        options: With every default filled in.
        seed: Of the request.
        passes: Its limits hold; its account is left alone.

    Raises:
        WhyboxError: The options do not fit the picture, or time is over.
    """
    row = EXPLAINERS[options.method]
    _check_available(classifier, options.method)
    question = _question(part, classifier, subject, options, seed)
    share = _SHARE if options.quality or "regions" in options.encodings else 1.0
    own = passes.with_budget(options.max_evaluations or None, row.evaluations, share)
    attribution = await row.explain(own, question)
    part.units, part.signed = attribution.units, attribution.signed
    part.stopped_by = attribution.stopped_by
    if attribution.residual is not None:
        part.residual = attribution.residual
    if attribution.baseline_value is not None:
        part.baseline_logit = attribution.baseline_value
        if attribution.complete:
            part.convergence_delta = _delta(attribution, question)
    part.forward_evaluations = _FIRST_LOOK + own.forward_evaluations
    part.gradient_evaluations = own.gradient_evaluations
    part.view.CopyFrom(subject.view)
    if options.quality:
        await measure(part.quality, row, question, attribution, options, passes)
    if "regions" in options.encodings:
        await find_regions(part.regions, classifier, question, attribution, options, passes)
    _encode(part, attribution, subject, options)
    return attribution


def _check_available(classifier: Classifier, method: str) -> None:
    """The model's manifest says what it can be explained with.

    Raises:
        FailedPreconditionError: Not with this method; says why and what to do instead.
    """
    for offered in classifier.model.methods:
        if offered.name == method and offered.unavailable:
            raise FailedPreconditionError(f"{method}: {offered.unavailable}", reason="METHOD_UNAVAILABLE")


def _question(
    part: v1.Explanation, classifier: Classifier, subject: Subject, options: v1.ExplanationOptions, seed: int
) -> Question:
    """What the options ask of this picture; fills in what the part says of it."""
    part.target_class = options.target_class if options.HasField("target_class") else subject.predicted
    part.target_label = classifier.label(part.target_class)
    objective = torch.zeros(classifier.model.num_classes)
    objective[part.target_class] = 1
    if options.HasField("contrast_class"):
        part.contrast_class = options.contrast_class
        part.contrast_label = classifier.label(options.contrast_class)
        if options.contrast_class == part.target_class:
            raise InvalidRequestError(
                f"class {part.target_class} ({part.target_label}) is what the model predicts; contrast it with another",
                field="explanations.contrast_class",
            )
        objective[options.contrast_class] = -1
    part.baseline = "image" if options.baseline_image else options.baseline
    question = Question(
        subject.picture,
        objective,
        subject.logits,
        subject.maps,
        baselines(options, subject.picture),
        options.tolerance,
        seed,
    )
    part.target_logit = question.value
    return question


def _delta(attribution: Attribution, question: Question) -> float:
    """Completeness gap in logits; 0 is exact."""
    return float(attribution.values.double().sum()) - (question.value - (attribution.baseline_value or math.nan))


def _encode(part: v1.Explanation, attribution: Attribution, subject: Subject, options: v1.ExplanationOptions) -> None:
    values = attribution.values
    if values.dim() == 3 and options.channels == "sum":
        values = values.sum(dim=0)
    for encoding in options.encodings:
        if encoding not in _PICTURES:
            part.attribution.CopyFrom(tensors.encode(values.numpy(), encoding))
    if "heat_map" in options.encodings:
        part.heat_map = drawing.heat_map(attribution, subject.picture)
    if "overlay" in options.encodings:
        part.overlay = drawing.overlay(attribution, subject.picture)
