"""The votes behind labelerrors.com: five workers chose between the given label and a network's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.published import Published, find_file, read_array
from whybox_server.studies.report.subject import Count, Subject
from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.votes import ERROR, NO, YES, Questions, Votes

CHOICES = ("given", "guessed", "both", "neither")
"""What a worker could choose."""

CELL = "none/clean/model"

_PUBLISHER = "cleanlab/label-errors"
_VOTES, _GIVEN, _GUESSED = (
    "imagenet_mturk.json",
    "imagenet_val_set_original_labels.npy",
    "imagenet_val_set_pyx_argmax_predicted_labels.npy",
)
_WORKERS = 5
_MAJORITY = 3
# The choices that accept the given label, and the network's.
_GIVEN_TOO, _GUESSED_TOO = ["given", "both"], ["guessed", "both"]


def read_label_errors(folder: Path) -> Published:
    """Reads the votes on suspected label errors of ImageNet's validation pictures.

    "guessed" and "both" accept the network's label, "given" and "neither" reject it.

    Args:
        folder: Folder with the votes (JSON) and the given and predicted labels of all pictures (.npy, [N]).

    Raises:
        StudyError: A file is missing, is damaged or has another layout.
    """
    path = find_file(folder, _VOTES, _PUBLISHER)
    given, guessed = (read_array(find_file(folder, name, _PUBLISHER)) for name in (_GIVEN, _GUESSED))
    if given.ndim != 1 or given.shape != guessed.shape or not {given.dtype.kind, guessed.dtype.kind} <= set("iu"):
        raise StudyError(f"{folder}: {_GIVEN} and {_GUESSED} must hold a class for each of the same pictures")
    names, pairs, counts = _read(path)
    _check_pairs(path, pairs, given, guessed)
    errors = int((given != guessed).sum())
    whole = len(names)
    return Published(
        subject=Subject(
            study="label-errors",
            digest="",
            title="Label errors: votes on suspected errors of ImageNet's validation labels",
            source="Northcutt, Athalye and Mueller, “Pervasive Label Errors in Test Sets Destabilize Machine Learning"
            " Benchmarks”, 2021 (arXiv 2103.14749)",
            asked="Five workers saw a picture with the given label and the one that a network guessed, each with"
            " pictures of its class, and chose: given, guessed, both or neither. “Guessed” and “both” are a yes to the"
            " network's label, “given” and “neither” a no.",
            model="the network behind confident learning",
            data="ImageNet, validation pictures",
            counts=_counts(counts),
            limits=(
                "The publication has counts and no ids of workers.",
                f"Only {whole:,} of the {errors:,} errors were asked about: those that confident learning suspects"
                " to be label errors. They are no random draw, so people may accept other errors more rarely.",
                "Workers chose between two labels; asked about one label alone, they may answer otherwise.",
            ),
        ),
        votes=_votes(names, counts),
        design=Design(
            errors=errors,
            correct=len(given) - errors,
            unasked_errors=errors - whole,
            unasked_correct=len(given) - errors,
        ),
    )


def _read(path: Path) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Names [Q], given and guessed class [Q, 2], and how often each of `CHOICES` was made [Q, 4]."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as JSON ({error}); download it again") from error
    if not isinstance(entries, list) or not entries:
        raise StudyError(f"{path} has another layout: it must be a list of pictures")
    names, pairs, counts = [], [], []
    for place, entry in enumerate(entries):
        try:
            counted = [_whole(entry["mturk"][choice]) for choice in CHOICES]
            pair = [_whole(entry["given_original_label"]), _whole(entry["our_guessed_label"])]
            name = str(entry["url"]).rpartition("/")[2]
        except (KeyError, TypeError) as error:
            raise StudyError(f"{path} has another layout: picture {place} lacks {error}") from error
        if set(entry["mturk"]) != set(CHOICES) or sum(counted) != _WORKERS:
            raise StudyError(f"{path}: picture {place} has {_told(entry['mturk'])}, and must have {_WORKERS} votes")
        names.append(name)
        pairs.append(pair)
        counts.append(counted)
    if len(set(names)) != len(names):
        raise StudyError(f"{path}: a picture is listed twice")
    return names, np.array(pairs), np.array(counts)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"a whole number, and has {value!r}")
    return value


def _told(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def _check_pairs(path: Path, pairs: NDArray[np.int64], given: NDArray[Any], guessed: NDArray[Any]) -> None:
    """The pictures must be errors of the network whose labels the arrays hold.

    Their order is that of the training folders, which no file names, so pairs of labels are counted.
    """
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise StudyError(f"{path}: a picture's guessed label is its given one; the file is another publication's")
    there, available = np.unique(np.stack([given, guessed], axis=1).astype(np.int64), axis=0, return_counts=True)
    room = {tuple(pair): number for pair, number in zip(there.tolist(), available.tolist(), strict=True)}
    asked, wanted = np.unique(pairs, axis=0, return_counts=True)
    if any(room.get(tuple(pair), 0) < number for pair, number in zip(asked.tolist(), wanted.tolist(), strict=True)):
        raise StudyError(f"{path} and {_GUESSED} are about other predictions; download both again")


def _counts(counts: NDArray[np.int64]) -> tuple[Count, ...]:
    majority = np.where((counts >= _MAJORITY).any(axis=1), counts.argmax(axis=1), len(CHOICES))
    found = {
        f"pictures with a majority for {name}": majority == place
        for place, name in enumerate((*CHOICES, "none of the four"))
    }
    for label, choices in (("the given label", _GIVEN_TOO), ("the network's label", _GUESSED_TOO)):
        accepting = counts[:, [CHOICES.index(choice) for choice in choices]].sum(axis=1)
        found[f"pictures with a majority that accepts {label} ({' or '.join(choices)})"] = accepting >= _MAJORITY
    return tuple(Count(what, int(rows.sum()), len(counts)) for what, rows in found.items())


def _votes(names: list[str], counts: NDArray[np.int64]) -> Votes:
    number = len(names)
    chosen = np.repeat(np.tile(np.arange(len(CHOICES)), number), counts.ravel())
    accepts = np.isin(chosen, [CHOICES.index(choice) for choice in _GUESSED_TOO])
    return Votes(
        question=np.repeat(np.arange(number), _WORKERS),
        annotator=None,
        value=np.where(accepts, YES, NO).astype(np.int8),
        questions=Questions(
            picture=np.arange(number),
            cell=np.zeros(number, np.int64),
            stratum=np.full(number, ERROR, np.int8),
            weight=np.ones(number),
            names=tuple(names),
            cells=(CELL,),
        ),
    )
