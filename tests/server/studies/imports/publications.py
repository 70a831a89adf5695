"""Small publications in the layouts of the real ones."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

NO, MAYBE, YES = 0, 1, 2
"""Places of the answers in ReaL's tensor."""

SALIENT_COLUMNS = ("WorkerId", "Input.class_index", "Input.feature_index", "Answer.main")


def real(folder: Path, questions: Mapping[tuple[str, int], Sequence[int]], raters: int = 7) -> Path:
    """ReaL: rater number (question + place) mod `raters` gave each answer."""
    tensor = np.zeros((raters, len(questions), 3))
    for row, answers in enumerate(questions.values()):
        for place, answer in enumerate(answers):
            tensor[(row + place) % raters, row, answer] = 1
    info = np.array([[file, str(index)] for file, index in questions])
    np.savez(folder / "raters.npz", tensor=tensor, info=info)
    return folder


def label_errors(folder: Path, pictures: Sequence[tuple[int, int, int, int]], right: int = 10) -> Path:
    """Label errors: counts of given, guessed, both and neither for each picture, beside `right` correct answers.

    Class 0 is given and class 1 guessed.
    """
    entries = [
        {
            "id": number,
            "url": f"https://example.org/n1/ILSVRC2012_val_{number:08}.JPEG",
            "given_original_label": 0,
            "our_guessed_label": 1,
            "mturk": dict(zip(("given", "guessed", "both", "neither"), counts, strict=True)),
        }
        for number, counts in enumerate(pictures, 1)
    ]
    write_entries(folder, entries)
    arrays = {"original_labels": [0] * (len(pictures) + right)}
    arrays["pyx_argmax_predicted_labels"] = [1] * len(pictures) + [0] * right
    for name, values in arrays.items():
        np.save(folder / f"imagenet_val_set_{name}.npy", np.array(values, np.uint16))
    return folder


def write_entries(folder: Path, entries: Any) -> None:
    (folder / "imagenet_mturk.json").write_text(json.dumps(entries))


def salient_imagenet(folder: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str] = SALIENT_COLUMNS) -> Path:
    with (folder / "discover_spurious_features.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder
