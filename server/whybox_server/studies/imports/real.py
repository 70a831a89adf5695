"""The votes behind ReaL: five of 85 raters said of each picture and label whether the label is relevant."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.published import Published, find_file, read_arrays
from whybox_server.studies.report.subject import Count, Subject
from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.outcome import Decision
from whybox_server.studies.results.tally import counts, tally
from whybox_server.studies.results.votes import CORRECT, MAYBE, NO, YES, Questions, Votes

RATERS, SCORES = "raters.npz", "scores.npz"
CELL = "none/clean/proposed"

_PUBLISHER = "google-research/reassessed-imagenet"
# A score above this means that the label is relevant, as published.
_RELEVANT = 0.5
# The last axis of the published tensor, in its order.
_VALUES = np.array([NO, MAYBE, YES], np.int8)


def read_real(folder: Path, maybe: Decision = "accepted") -> Published:
    """Reads the votes behind ReaL.

    Args:
        folder: Folder with `raters.npz` (tensor [raters, questions, 3] of 0 and 1; info [questions, 2]: file, class)
            and perhaps `scores.npz` (tensor [questions], the published scores; info as above).
        maybe: What "maybe" counts as.

    Raises:
        StudyError: A file is missing, is damaged or has another layout.
    """
    path = find_file(folder, RATERS, _PUBLISHER)
    tensor, info = read_arrays(path, "tensor", "info")
    if tensor.shape[2:] != _VALUES.shape or tensor.dtype.kind not in "bif" or not tensor.size:
        raise StudyError(
            f"{path} has another layout: tensor is {_shape(tensor)}, and must be raters x questions x {len(_VALUES)}"
        )
    if info.shape != (tensor.shape[1], 2):
        raise StudyError(
            f"{path} has another layout: info is {_shape(info)}, and must be a file and a class for each of"
            f" {tensor.shape[1]} questions"
        )
    annotator, question, answer = np.nonzero(tensor)
    if not (tensor[annotator, question, answer] == 1).all():
        raise StudyError(f"{path}: tensor holds other values than 0 and 1")
    if len(np.unique(annotator * tensor.shape[1] + question)) != len(question):
        raise StudyError(f"{path}: a rater gave two answers to one question")
    if len(np.unique(question)) != tensor.shape[1]:
        raise StudyError(f"{path}: a question has no answer")
    classes = _classes(path, info)
    files, picture = np.unique(info[:, 0], return_inverse=True)
    questions = Questions(
        picture=picture.astype(np.int64),
        cell=np.zeros(len(picture), np.int64),
        stratum=np.full(len(picture), CORRECT, np.int8),
        weight=np.ones(len(picture)),
        names=tuple(f"{files[place]}/{index}" for place, index in zip(picture, classes, strict=True)),
        cells=(CELL,),
    )
    votes = Votes(question, annotator, _VALUES[answer], questions)
    counted = _counts(votes)
    if (folder / SCORES).is_file():
        counted += (_agreement_with_scores(folder / SCORES, info, votes),)
    return Published(
        subject=Subject(
            study="real",
            digest="",
            title="ReaL: votes on ImageNet's validation pictures",
            source="Beyer, Hénaff, Kolesnikov, Zhai and van den Oord, “Are we done with ImageNet?”, 2020 (arXiv"
            " 2006.07159)",
            asked="Raters saw a picture with up to eight labels that networks proposed, and said of each label whether"
            " it is in the picture: yes, maybe or no.",
            model="",
            data="ImageNet, validation pictures",
            counts=counted,
            limits=(
                "The labels come from several networks. No single model gave them, so these votes alone rectify no"
                " error; give --pictures or --predictions.",
                "Pictures on which all networks agreed with ImageNet were never shown to raters.",
            ),
        ),
        votes=votes,
        design=Design(errors=0, correct=len(classes), maybe=maybe),
    )


def question_of(votes: Votes) -> dict[tuple[str, int], int]:
    """The place of each question by its file and its class."""
    split = (name.rpartition("/") for name in votes.questions.names)
    return {(file, int(index)): place for place, (file, _, index) in enumerate(split)}


def _classes(path: Path, info: NDArray[np.str_]) -> NDArray[np.int64]:
    try:
        return info[:, 1].astype(np.int64)
    except ValueError as error:
        raise StudyError(f"{path} has another layout: info names a class that is no whole number") from error


def _counts(votes: Votes) -> tuple[Count, ...]:
    counted, number = counts(votes), len(votes.questions.names)
    return (
        Count(
            "labels that a majority calls relevant (yes or maybe)",
            int(tally(counted, "accepted").majority("rejected").sum()),
            number,
        ),
        Count(
            "labels that a majority calls relevant (yes only)",
            int(tally(counted, "rejected").majority("rejected").sum()),
            number,
        ),
    )


def _agreement_with_scores(path: Path, info: NDArray[np.str_], votes: Votes) -> Count:
    scores, same_info = read_arrays(path, "tensor", "info")
    if scores.shape != (len(info),) or not np.array_equal(info, same_info):
        raise StudyError(f"{path} and {RATERS} are about other questions; download both again")
    accepted = tally(counts(votes), "accepted").majority("rejected")
    agreed = (scores > _RELEVANT) == accepted
    return Count(
        "majorities (yes or maybe) on the same side as the published score of 0.5", int(agreed.sum()), len(info)
    )


def _shape(array: NDArray[np.generic]) -> str:
    return " x ".join(map(str, array.shape)) or "a single value"
