"""Published votes: what they say, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.studies.imports import publications
from server.studies.imports.publications import MAYBE, NO, YES
from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.label_errors import read_label_errors
from whybox_server.studies.imports.published import Published
from whybox_server.studies.imports.real import read_real
from whybox_server.studies.imports.salient_imagenet import read_salient_imagenet
from whybox_server.studies.results.tally import counts

DATA = Path(os.environ.get("WHYBOX_DATA", ""))
needs_data = pytest.mark.skipif("WHYBOX_DATA" not in os.environ, reason="needs the published votes at WHYBOX_DATA")

QUESTIONS = {
    ("a.JPEG", 3): [YES, YES, YES, NO, NO],
    ("a.JPEG", 4): [YES, YES, MAYBE, NO, NO],
    ("b.JPEG", 3): [NO, NO, NO, NO, MAYBE],
}
MAIN = [[worker, 0, 7, "main_object"] for worker in range(3)]
ROWS = [*MAIN, [3, 0, 7, "background"], [4, 0, 7, "separate_object"], *([w, 430, 1, "background"] for w in range(5))]


def counted(published: Published) -> dict[str, tuple[int, int]]:
    return {count.what: (count.number, count.of) for count in published.subject.counts}


def test_real(tmp_path: Path) -> None:
    published = read_real(publications.real(tmp_path, QUESTIONS))
    assert counts(published.votes).tolist() == [[2, 0, 3], [2, 1, 2], [4, 1, 0]]
    assert published.votes.questions.names == ("a.JPEG/3", "a.JPEG/4", "b.JPEG/3")
    assert published.votes.questions.picture.tolist() == [0, 0, 1]
    assert published.votes.annotator is not None
    # The rater of each vote is kept.
    first = published.votes.question == 0
    assert sorted(published.votes.annotator[first].tolist()) == [0, 1, 2, 3, 4]
    assert list(counted(published).values()) == [(2, 3), (1, 3)]


def test_real_beside_the_published_scores(tmp_path: Path) -> None:
    publications.real(tmp_path, QUESTIONS)
    with np.load(tmp_path / "raters.npz") as arrays:
        info = arrays["info"]
    np.savez(tmp_path / "scores.npz", tensor=np.array([0.9, 0.1, 0.1]), info=info)
    assert list(counted(read_real(tmp_path)).values())[-1] == (2, 3)
    np.savez(tmp_path / "scores.npz", tensor=np.array([0.9, 0.1, 0.1]), info=info[::-1])
    with pytest.raises(StudyError, match="are about other questions"):
        read_real(tmp_path)


def test_label_errors(tmp_path: Path) -> None:
    pictures = [(5, 0, 0, 0), (0, 3, 2, 0), (1, 2, 1, 1), (0, 0, 0, 5), (1, 1, 3, 0)]
    published = read_label_errors(publications.label_errors(tmp_path, pictures, right=15))
    assert [number for number, _ in counted(published).values()] == [1, 1, 1, 1, 1, 2, 3]
    assert counts(published.votes)[:, 2].tolist() == [0, 5, 3, 0, 4]  # guessed or both
    assert published.votes.annotator is None
    assert (published.design.errors, published.design.correct) == (5, 15)
    assert (published.design.unasked_errors, published.design.unasked_correct) == (0, 15)


def test_salient_imagenet(tmp_path: Path) -> None:
    published = read_salient_imagenet(publications.salient_imagenet(tmp_path, ROWS))
    assert counts(published.votes).tolist() == [[2, 0, 3], [5, 0, 0]]
    assert list(counted(published).values()) == [(1, 2), (1, 1), (1, 2)]


def tensor(folder: Path, change: Callable[[Any], Any]) -> None:
    """Changes ReaL's tensor."""
    with np.load(folder / "raters.npz") as arrays:
        whole = dict(arrays)
    np.savez(folder / "raters.npz", tensor=change(whole["tensor"]), info=whole["info"])


def doubled(values: Any) -> Any:
    values[0, 0] = 1
    return values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "raters.npz").unlink(), r"has no raters\.npz; give the folder with the files that"),
        (lambda folder: (folder / "raters.npz").write_bytes(b"PK\3\4no"), "cannot be read as an .npz file"),
        (lambda folder: np.savez(folder / "raters.npz", votes=np.zeros(3)), "another layout: it holds no tensor"),
        (lambda folder: tensor(folder, lambda t: t[:, :, :2]), "tensor is 7 x 3 x 2, and must be raters x questions"),
        (
            lambda folder: tensor(folder, lambda t: t[:, :2]),
            "info is 3 x 2, and must be a file and a class for each of 2",
        ),
        (lambda folder: tensor(folder, lambda t: t / 2), "other values than 0 and 1"),
        (lambda folder: tensor(folder, lambda t: t * np.nan), "other values than 0 and 1"),
        (lambda folder: tensor(folder, doubled), "a rater gave two answers to one question"),
        (lambda folder: tensor(folder, lambda t: t * [[[1], [1], [0]]]), "a question has no answer"),
    ],
)
def test_damaged_real(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(publications.real(tmp_path, QUESTIONS))
    with pytest.raises(StudyError, match=message):
        read_real(tmp_path)


def entry(**changes: Any) -> Callable[[Path], None]:
    """Changes the first picture."""

    def change(folder: Path) -> None:
        entries = json.loads((folder / "imagenet_mturk.json").read_text())
        publications.write_entries(folder, [entries[0] | changes, *entries[1:]])

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "imagenet_mturk.json").unlink(), "has no imagenet_mturk.json"),
        (lambda folder: (folder / "imagenet_mturk.json").write_text("[1"), "cannot be read as JSON"),
        (lambda folder: publications.write_entries(folder, {}), "must be a list of pictures"),
        (entry(mturk={"given": 5}), "picture 0 lacks 'guessed'"),
        (entry(mturk={"given": 5, "guessed": 0, "both": 0, "neither": 1}), "neither 1, and must have 5 votes"),
        (entry(mturk={"given": -1, "guessed": 6, "both": 0, "neither": 0}), "a whole number, and has -1"),
        (entry(url="https://example.org/ILSVRC2012_val_00000002.JPEG"), "a picture is listed twice"),
        (entry(our_guessed_label=0), "guessed label is its given one"),
        (entry(our_guessed_label=7), "are about other predictions"),
        (
            lambda folder: np.save(folder / "imagenet_val_set_original_labels.npy", np.zeros(2, np.uint16)),
            "must hold a class for each of the same pictures",
        ),
        (
            lambda folder: (folder / "imagenet_val_set_original_labels.npy").write_bytes(b"no"),
            "cannot be read as an .npy file",
        ),
    ],
)
def test_damaged_label_errors(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(publications.label_errors(tmp_path, [(5, 0, 0, 0), (0, 5, 0, 0)]))
    with pytest.raises(StudyError, match=message):
        read_label_errors(tmp_path)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, ("WorkerId", "class", "feature", "Answer.main"), "no column Input.class_index and Input.feature_index"),
        ([], publications.SALIENT_COLUMNS, "has no answers"),
        ([[0, 0, 7, "sky"]], publications.SALIENT_COLUMNS, "line 2: Answer.main is 'sky'"),
        (
            [[0, "cat", 7, "background"]],
            publications.SALIENT_COLUMNS,
            "line 2: class and feature must be whole numbers",
        ),
        ([*ROWS, MAIN[0]], publications.SALIENT_COLUMNS, "a worker answered about one feature twice"),
    ],
)
def test_damaged_salient_imagenet(tmp_path: Path, rows: list[Any], columns: tuple[str, ...], message: str) -> None:
    publications.salient_imagenet(tmp_path, rows, columns)
    with pytest.raises(StudyError, match=message):
        read_salient_imagenet(tmp_path)


@pytest.mark.parametrize("read", [read_real, read_label_errors, read_salient_imagenet])
def test_no_folder(tmp_path: Path, read: Callable[[Path], Published]) -> None:
    with pytest.raises(StudyError, match="is no folder; give the folder with the files that"):
        read(tmp_path / "none")


@needs_data
@pytest.mark.parametrize(
    ("read", "folder", "expected"),
    [
        # The majority of yes or maybe agrees with the score on 96.7 %.
        (read_real, "real-labels", {"on the same side as the published score": (178_783, 184_962)}),
        (
            read_label_errors,
            "label-errors",
            {
                "for given": (2524, 5440),
                "for guessed": (1428, 5440),
                "for both": (597, 5440),
                "for neither": (293, 5440),
                "for none of the four": (598, 5440),
            },
        ),
        (read_salient_imagenet, "salient-imagenet", {"fewer than 3": (630, 5000), "of basketball": (4, 5)}),
    ],
)
def test_published_numbers(
    read: Callable[[Path], Published], folder: str, expected: dict[str, tuple[int, int]]
) -> None:
    found = counted(read(DATA / folder))
    for what, numbers in expected.items():
        assert [value for name, value in found.items() if what in name] == [numbers], what
