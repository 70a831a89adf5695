"""One call for one attack or one map, in a notebook or a script.

The answers are those of the service: the same picture, options and seed give the same bits, on one machine with one
number of threads.

    from whybox_handlers import notebook

    classifier = notebook.load("model_store/efficientnet-lite0-1.0.mar")
    found = notebook.attack(classifier, "dalmatian.jpg", norm="l2")
    attribution = notebook.explain(classifier, "dalmatian.jpg", "integrated_gradients", target="dalmatian")
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from whybox import v1
from whybox.arguments import MAX_INT32, MAX_UINT32, class_of, flag, integer, number, text
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

Picture = bytes | bytearray | memoryview | str | PathLike[str] | Tensor
"""A whole JPEG, PNG, WebP or GIF file, the path of one, or the model's input: [3, crop, crop] in [0, 1].

A file is resized and cropped to the model's input, unless `view` says that it is that already.
"""

_T = TypeVar("_T")


def load(archive: Path | str, device: torch.device | str = "cpu") -> Classifier:
    """The classifier in a .mar file.

    Args:
        archive: The file, for example from `whybox-server pack`.
        device: Where torch computes, for example "cpu" or "cuda".

    Raises:
        InvalidRequestError: torch knows no such device.
        OSError: The file cannot be read.
        zipfile.BadZipFile: The file is not an archive.
        ValueError: A file in the archive is not the one that was packed.

    Example:
        >>> classifier = load("model_store/efficientnet-lite0-1.0.mar")
        >>> classifier.model.title
        'EfficientNet-Lite0, ImageNet-1k'
    """
    try:
        where = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidRequestError(f"device {device!r} is unknown to torch: {error}", field="device") from None
    return load_archive(Path(archive), where)


def attack(
    classifier: Classifier,
    picture: Picture,
    norm: str = "linf",
    budget: int = 12,
    attack: str = "fmn",
    seed: int = 0,
    *,
    view: bool = False,
) -> Found:
    """Searches the smallest change of a picture that changes the predicted class.

    Args:
        classifier: The model, for example from `load`.
        picture: See `Picture`.
        norm: What is minimised: "linf" or "l2", for values in [0, 1]. Some attacks know only one of them.
        budget: At most this many gradient evaluations, at least 1. An attack without gradients makes ten forward
            evaluations in place of each.
        attack: Name of the attack, a key of `ATTACKS`.
        seed: Seed of attacks that draw random numbers, 0 to 2**32 - 1.
        view: Whether a file is the model's view itself: crop x crop pixels, which are neither resized nor cropped. A
            tensor always is.

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
    spent = _read(partial(integer, low=1), "budget", budget)
    drawn = _read(_SEED, "seed", seed)
    subject = _subject(classifier, picture, view)
    return run_one(classifier, chosen.run(Passes(Limits()), subject, norm, spent, seed=drawn))


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
    *,
    view: bool = False,
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
        seed: Seed of methods that draw random numbers, 0 to 2**32 - 1.
        view: See `attack`.

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
    options = _options(row, method, {name: value for name, value in given.items() if value is not None})
    drawn = _read(_SEED, "seed", seed)
    subject = _subject(classifier, picture, view)
    classes = _classes(classifier, subject, target, contrast)
    named = {name: value for name, value in options.items() if not isinstance(value, Tensor)}
    filled = row.defaults(method, **named, **classes)
    question = question_of(Case(classifier, subject, drawn), filled)
    if isinstance(baseline, Tensor):
        question = replace(question, baselines=(_checked("baseline", baseline, subject.picture.shape[-1]),))
    passes = Passes(Limits(), filled.max_evaluations or None, row.evaluations)
    return run_one(classifier, row.explain(passes, question))


_SEED: Callable[[str, object], int] = partial(integer, low=0, high=MAX_UINT32)


def _read(reader: Callable[[str, object], _T], field: str, given: object) -> _T:
    """The argument as `whybox.arguments` reads it; what is wrong is said as the service says it."""
    try:
        return reader(field, given)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(str(error), field=field) from None


def _check_known(field: str, name: str, known: Iterable[str], of: str = "") -> None:
    if _read(text, field, name) not in known:
        raise InvalidRequestError(f"{field} {name!r} is unknown{of}; use one of {', '.join(known)}", field=field)


def _check_available(classifier: Classifier, row: Explainer, method: str) -> None:
    """What the manifest says; a network that is not packed has none, and then its structure decides."""
    said = {offered.name: offered.unavailable for offered in classifier.model.methods}
    reason = said[method] if method in said else row.unavailable_for(classifier.network, [method], method)
    if reason:
        raise FailedPreconditionError(f"{method}: {reason}", reason="METHOD_UNAVAILABLE")


def _options(row: Explainer, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are given, read: the method takes them, and they are in range."""
    for name in given:
        if name not in row.options:
            raise InvalidRequestError(f"{method} takes no {name}; leave it out", field=name)
    readers: dict[str, Callable[[str, object], Any]] = {
        "max_evaluations": partial(
            integer, what=f"an integer from {row.min_evaluations}, which {method} needs, to {MAX_INT32}",
            low=row.min_evaluations,
        ),
        "tolerance": _share,
        "baseline": _baseline,
    }  # fmt: skip
    return {name: _read(readers[name], name, value) for name, value in given.items()}


def _share(name: str, given: object) -> float:
    share = number(name, given, what="a number from 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, not {share}")
    return share


def _baseline(name: str, given: object) -> str | Tensor:
    if isinstance(given, Tensor):
        return given
    if not isinstance(given, str):
        raise TypeError(f"{name} must be one of {', '.join(BASELINES)} or a tensor, not {type(given).__qualname__}")
    _check_known(name, given, BASELINES)
    return given


def _subject(classifier: Classifier, picture: Picture, view: bool) -> Subject:
    is_view = _read(flag, "view", view)
    if isinstance(picture, Tensor):
        seen = _checked("picture", picture, classifier.model.preprocessing.crop)
        _, height, width = seen.shape
        box = v1.View(picture_width=width, picture_height=height, width=width, height=height)
        return Subject(seen, box, *classifier.look(seen[None]).row(0))
    return Subject.of(classifier, _encoded(picture), view=is_view)


def _encoded(picture: bytes | bytearray | memoryview | str | PathLike[str]) -> bytes:
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    try:
        return Path(picture).read_bytes()
    except (TypeError, ValueError) as error:  # a value of another type, or a null character
        message = f"picture must be an encoded picture, the path of one or a tensor, not {type(picture).__qualname__}"
        raise PictureError(f"{message} ({error})", field="picture") from None


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
    chosen = _read(partial(class_of, high=classes - 1), field, chosen)
    if not isinstance(chosen, str):
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
