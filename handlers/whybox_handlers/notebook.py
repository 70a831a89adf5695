"""One call for one attack or one map, in a notebook or a script.

The answers are those of the service: the same picture, options and seed give the same bits, on one machine with one
number of threads.

    from whybox_handlers import notebook

    classifier = notebook.load("model_store/efficientnet-lite0.mar")
    found = notebook.attack(classifier, "dalmatian.jpg", norm="l2")
    attribution = notebook.explain(classifier, "dalmatian.jpg", "integrated_gradients", target="dalmatian")
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError, PictureError
from whybox_handlers.explanations.baselines import BASELINES
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Explainer
from whybox_handlers.explanations.explaining import question_of
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, Found

Picture = bytes | str | Path | Tensor
"""A whole JPEG, PNG, WebP or GIF file, the path of one, or the model's input: [3, crop, crop] in [0, 1]."""


def load(archive: Path | str, device: torch.device | str = "cpu") -> Classifier:
    """The classifier in a .mar file.

    Args:
        archive: The file, for example from `whybox-server pack`.
        device: Where torch computes, for example "cpu" or "cuda".

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: The file is not an archive.
        ValueError: A file in the archive is not the one that was packed.

    Example:
        >>> classifier = load("model_store/efficientnet-lite0.mar")
        >>> classifier.model.title
        'EfficientNet-Lite0, ImageNet-1k'
    """
    return load_archive(Path(archive), device)


def attack(
    classifier: Classifier, picture: Picture, norm: str = "linf", budget: int = 12, attack: str = "fmn", seed: int = 0
) -> Found:
    """Searches the smallest change of a picture that changes the predicted class.

    Args:
        classifier: The model, for example from `load`.
        picture: See `Picture`.
        norm: What is minimised: "linf" or "l2", for values in [0, 1]. Some attacks know only one of them.
        budget: At most this many gradient evaluations, at least 1. An attack without gradients makes ten forward
            evaluations in place of each.
        attack: Name of the attack, a key of `ATTACKS`.
        seed: Seed of attacks that draw random numbers.

    Returns:
        The outcome. `adversarial` has the changed picture and its distance, an upper bound on the smallest one; it is
        None if no flip was found.

    Raises:
        InvalidRequestError: An argument is wrong; the message says what would be right.
        PictureError: The picture cannot be decoded, or does not fit the model.
        OSError: The file of the picture cannot be read.
        FailedPreconditionError: The model's output is not finite for this picture.

    Example:
        >>> found = attack(classifier, "dalmatian.jpg", norm="linf", budget=12)
        >>> found.adversarial.distance * 255  # grey levels
        0.109...
        >>> classifier.label(found.adversarial.predicted)
        'African hunting dog'
    """
    _check_known("attack", attack, ATTACKS)
    chosen = ATTACKS[attack]
    _check_known("norm", norm, chosen.norms, f" for {attack}")
    if budget < 1:
        raise InvalidRequestError(f"budget is {budget}; give at least 1 evaluation", field="budget")
    subject = _subject(classifier, picture)
    return run_one(classifier, chosen.run(Passes(Limits()), subject, norm, budget, seed=seed))


def explain(
    classifier: Classifier,
    picture: Picture,
    method: str,
    target: int | str | None = None,
    contrast: int | str | None = None,
    baseline: str | Tensor | None = None,
    max_evaluations: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> Attribution:
    """Makes one map of what in the picture spoke for a class.

    Args:
        classifier: The model, for example from `load`.
        picture: See `Picture`.
        method: Name of the method, a key of `EXPLAINERS`.
        target: The class to explain, by index or label; None for the predicted class.
        contrast: Another class, by index or label: the map then explains why the target rather than this one.
        baseline: "black", "grey", "blur", "mean" (the mean of the maps for these three), or a picture [3, crop, crop]
            in [0, 1]; None for the method's default.
        max_evaluations: At most this many evaluations, of the kind that the method spends; None for its default.
        tolerance: The method may stop when its residual is at most this, from 0 to 1; None for its default.
        seed: Seed of methods that draw random numbers.

    Returns:
        The map, its units, and why the method stopped.

    Raises:
        InvalidRequestError: An argument is wrong, or the method does not take it; the message says what would be right.
        PictureError: The picture cannot be decoded, or it or the baseline does not fit the model.
        OSError: The file of the picture cannot be read.
        FailedPreconditionError: The model cannot be explained by this method, or its output is not finite.

    Example:
        >>> attribution = explain(classifier, "dalmatian.jpg", "integrated_gradients", contrast="Great Dane")
        >>> attribution.values.shape, attribution.units
        (torch.Size([3, 224, 224]), 'logit')
    """
    _check_known("method", method, EXPLAINERS)
    row = EXPLAINERS[method]
    _check_available(classifier, row, method)
    given = {"baseline": baseline, "max_evaluations": max_evaluations, "tolerance": tolerance}
    options = {name: value for name, value in given.items() if value is not None}
    _check_options(row, method, options)
    subject = _subject(classifier, picture)
    classes = _classes(classifier, subject, target, contrast)
    named = {name: value for name, value in options.items() if not isinstance(value, Tensor)}
    filled = row.defaults(method, **named, **classes)
    question = question_of(Case(classifier, subject, seed), filled)
    if isinstance(baseline, Tensor):
        question = replace(question, baselines=(_checked("baseline", baseline, subject.picture.shape[-1]),))
    passes = Passes(Limits(), filled.max_evaluations or None, row.evaluations)
    return run_one(classifier, row.explain(passes, question))


def _check_known(field: str, name: str, known: Iterable[str], of: str = "") -> None:
    if name not in known:
        raise InvalidRequestError(f"{field} {name!r} is unknown{of}; use one of {', '.join(known)}", field=field)


def _check_available(classifier: Classifier, row: Explainer, method: str) -> None:
    """What the manifest says; a network that is not packed has none, and then its structure decides."""
    said = {offered.name: offered.unavailable for offered in classifier.model.methods}
    reason = said[method] if method in said else row.unavailable_for(classifier.network, [method], method)
    if reason:
        raise FailedPreconditionError(f"{method}: {reason}", reason="METHOD_UNAVAILABLE")


def _check_options(row: Explainer, method: str, options: Mapping[str, Any]) -> None:
    """Options that are given: the method takes them, and they are in range."""
    for name in options:
        if name not in row.options:
            raise InvalidRequestError(f"{method} takes no {name}; leave it out", field=name)
    if options.get("max_evaluations", row.min_evaluations) < row.min_evaluations:
        message = f"max_evaluations is {options['max_evaluations']}; {method} needs at least {row.min_evaluations}"
        raise InvalidRequestError(message, field="max_evaluations")
    if not 0 <= options.get("tolerance", 0) <= 1:
        raise InvalidRequestError(f"tolerance is {options['tolerance']}; give a number from 0 to 1", field="tolerance")
    baseline = options.get("baseline")
    if isinstance(baseline, str):
        _check_known("baseline", baseline, BASELINES)


def _subject(classifier: Classifier, picture: Picture) -> Subject:
    if isinstance(picture, Tensor):
        view = _checked("picture", picture, classifier.model.preprocessing.crop)
        _, height, width = view.shape
        box = v1.View(picture_width=width, picture_height=height, width=width, height=height)
        return Subject(view, box, *classifier.look(view[None]).row(0))
    return Subject.of(classifier, picture if isinstance(picture, bytes) else Path(picture).read_bytes())


def _checked(field: str, picture: Tensor, side: int) -> Tensor:
    """The picture as float32 on the CPU; a network that is not packed has no `side` of its own, given as 0."""
    height, width = picture.shape[-2:] if picture.dim() >= 2 else (0, 0)
    wanted = (3, side or height, side or width)
    if tuple(picture.shape) != wanted:
        raise PictureError(
            f"{field} has the shape {list(picture.shape)}; give [3, {side or 'height'}, {side or 'width'}]", field=field
        )
    if not picture.is_floating_point():
        raise PictureError(f"{field} holds {picture.dtype}; give floating-point values in [0, 1]", field=field)
    if not bool(((picture >= 0) & (picture <= 1)).all()):
        raise PictureError(f"{field} has values outside [0, 1]; scale or clamp it", field=field)
    return picture.detach().to("cpu", torch.float32).contiguous()


def _classes(
    classifier: Classifier, subject: Subject, target: int | str | None, contrast: int | str | None
) -> dict[str, int]:
    """The options that name classes, by index."""
    labels, count = list(classifier.model.labels), len(subject.logits)
    explained = subject.predicted if target is None else _class("target", target, labels, count)
    if contrast is None:
        return {"target_class": explained}
    other = _class("contrast", contrast, labels, count)
    if other == explained:
        raise InvalidRequestError(f"contrast is the target itself, class {other}; name another", field="contrast")
    return {"target_class": explained, "contrast_class": other}


def _class(field: str, chosen: int | str, labels: list[str], classes: int) -> int:
    """The index of a class, given by index or label."""
    if not isinstance(chosen, str):
        if not 0 <= chosen < classes:
            raise InvalidRequestError(f"{field} is {chosen}; give 0 to {classes - 1}", field=field)
        return chosen
    found = [index for index, label in enumerate(labels) if label == chosen]
    if len(found) > 1:
        indices = " and ".join(map(str, found))
        raise InvalidRequestError(f"{field} {chosen!r} names the classes {indices}; give the index", field=field)
    if not found:
        near = difflib.get_close_matches(chosen, labels)
        remedy = f"did you mean {', '.join(map(repr, near))}?" if near else "classifier.model.labels lists the labels"
        raise InvalidRequestError(f"{field}: no class has the label {chosen!r}; {remedy}", field=field)
    return found[0]
