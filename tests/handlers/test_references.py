"""The files of a bank: what is nearest against brute force, and that the same pictures give the same bytes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from whybox import v1
from whybox_handlers import references
from whybox_handlers.references import CRITICISM, ORDINARY, PROTOTYPE, References, ReferenceWriter

N, DIMENSIONS, CLASSES = 3000, 32, 5


def draw(number: int, seed: int) -> NDArray[np.float32]:
    """Around 40 centres, of very different lengths."""
    drawn = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, DIMENSIONS))
    points = centres[drawn.integers(0, 40, number)] + 0.3 * drawn.normal(size=(number, DIMENSIONS))
    return (points * 10 ** drawn.uniform(-3, 6, (number, 1))).astype(np.float32)


FEATURES = draw(N, 1)
LABELS = np.random.default_rng(2).integers(0, CLASSES, N)
KINDS = np.random.default_rng(3).choice([ORDINARY, PROTOTYPE, CRITICISM], N)


def write(folder: Path, rows: Sequence[int] = range(N)) -> ReferenceWriter:
    folder.mkdir(exist_ok=True)
    writer = ReferenceWriter(folder, DIMENSIONS)
    for start in range(0, len(rows), 700):
        some = rows[start : start + 700]
        pictures = [
            v1.Neighbour(id=f"{row}.jpg", class_index=int(LABELS[row]), thumbnail=b"j" * (row % 9)) for row in some
        ]
        writer.add(FEATURES[some], pictures, [int(KINDS[row]) for row in some])
    assert writer.finish() == len(rows)
    return writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    write(folder)
    return folder


@pytest.fixture(params=["compared", "searched"])
def bank(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> References:
    """As a small bank, whose pictures are all compared, and as a large one, whose index is searched."""
    monkeypatch.setattr(references, "_EXACT", N if request.param == "compared" else 0)
    return References(folder)


def similarities(query: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = FEATURES.astype(np.float64) @ query.astype(np.float64)
    lengths = np.linalg.norm(FEATURES.astype(np.float64), axis=1) * np.linalg.norm(query.astype(np.float64))
    return np.asarray(exact / lengths, dtype=np.float64)


QUERIES = draw(50, 4)


def test_the_nearest_are_those_of_brute_force(bank: References) -> None:
    shared = []
    for query in QUERIES:
        exact = similarities(query)
        found = bank.nearest(query, 10)
        shared.append(len({match.key for match in found} & set(np.argsort(-exact)[:10].tolist())))
        for match in found:
            assert match.similarity == pytest.approx(exact[match.key], abs=2e-3)
        assert [match.similarity for match in found] == sorted((match.similarity for match in found), reverse=True)
    # Half precision may exchange pictures that are equally far.
    assert np.mean(shared) >= 9.8


def test_the_nearest_of_a_kind_and_of_other_classes(bank: References) -> None:
    for query, label in zip(QUERIES, LABELS, strict=False):
        exact = similarities(query)
        for kind in (PROTOTYPE, CRITICISM):
            rows = np.flatnonzero((label == LABELS) & (kind == KINDS))
            best = np.sort(exact[rows])[::-1][:5]
            found = bank.nearest_of(query, int(label), kind, 5)
            assert {match.key for match in found} <= set(rows.tolist())
            assert [match.similarity for match in found] == pytest.approx(best.tolist(), abs=2e-3)
        found = bank.nearest_outside(query, int(label), 5)
        assert all(LABELS[match.key] != label for match in found)
        best = np.sort(exact[label != LABELS])[::-1][:5]
        assert [match.similarity for match in found] == pytest.approx(best.tolist(), abs=2e-3)


def test_other_classes_are_found_behind_a_crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on beyond the class of the picture, and ends where there is no other class."""
    monkeypatch.setattr(references, "_EXACT", 0)
    own = np.flatnonzero(LABELS == 0).tolist()
    [other] = np.flatnonzero(LABELS == 1)[:1].tolist()
    for rows, expected in (([*own, other], [len(own)]), (own, [])):
        folder = tmp_path / str(len(rows))
        write(folder, rows)
        bank = References(folder)
        assert [match.key for match in bank.nearest_outside(-FEATURES[other], 0, 3)] == expected
        assert bank.nearest_of(FEATURES[other], 4, PROTOTYPE, 3) == []
        assert len(bank.nearest(FEATURES[other], 10_000)) == len(bank) == len(rows)


def test_records_are_read_after_the_files_are_gone(tmp_path: Path) -> None:
    written = write(tmp_path)
    bank = References(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    for key in (0, 1, N - 1):
        assert bank.record(key) == v1.Neighbour(
            id=f"{key}.jpg", class_index=int(LABELS[key]), thumbnail=b"j" * (key % 9)
        )
    assert [match.key for match in bank.nearest(FEATURES[7], 1)] == [7]
    records = [bank.record(key) for key in range(N)]
    assert written.largest_thumbnail == 8
    assert written.largest_record == max(record.ByteSize() - len(record.thumbnail) for record in records)


def test_the_same_pictures_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
        for place in (folder, tmp_path)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3
