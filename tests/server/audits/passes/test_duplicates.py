"""Copies and near-duplicates, against a brute force over all pairs."""

import itertools
import random
from pathlib import Path

import pytest

from whybox_server.audits.data.reading import read_data_set
from whybox_server.audits.passes.duplicates import NEAR, Copies, grouped
from whybox_server.audits.passes.journal import Journal, Record


def brute_force(digests: list[str], hashes: list[str]) -> list[int]:
    groups = list(range(len(digests)))
    for one, other in itertools.combinations(range(len(digests)), 2):
        same = digests[one] and digests[one] == digests[other]
        near = hashes[one] and hashes[other] and (int(hashes[one], 16) ^ int(hashes[other], 16)).bit_count() <= NEAR
        if same or near:
            first, second = sorted((groups[one], groups[other]))
            groups = [first if group == second else group for group in groups]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return [numbers[group] for group in groups]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_all_pairs(seed: int) -> None:
    draw = random.Random(seed)
    bases = [draw.getrandbits(64) for _ in range(12)]

    def flipped(base: int, bits: int) -> str:
        return f"{base ^ sum(1 << place for place in draw.sample(range(64), bits)):016x}"

    hashes = [flipped(draw.choice(bases), draw.randrange(6)) if draw.random() < 0.9 else "" for _ in range(80)]
    digests = [str(draw.randrange(60)) if draw.random() < 0.9 else "" for _ in hashes]
    found = grouped(digests, hashes).tolist()
    assert found == brute_force(digests, hashes)
    assert 5 < len(set(found)) < 60


def test_nothing_is_like_nothing() -> None:
    assert grouped(["", "", "a"], ["", "", ""]).tolist() == [0, 1, 2]


def test_a_file_counts_once_in_its_class(tmp_path: Path) -> None:
    told = {
        "0/a.jpg": ("x", 0),
        "0/b.jpg": ("x", 0),
        "0/c.jpg": ("y", 1),
        "0/d.jpg": ("z", 2**40 - 1),
        "1/e.jpg": ("x", 0),
        "1/f.jpg": None,
    }
    for file in told:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    with Journal(tmp_path / "j", {}) as journal, read_data_set(tmp_path, ["cat", "dog"]) as data:
        for file, known in told.items():
            label = int(file[0])
            if known is None:
                journal.append([Record(file, "w", label, None, error="damaged")])
            else:
                journal.append([Record(file, known[0], label, label, perceptual_hash=f"{known[1]:016x}")])
        copies = Copies(data, journal)
        measured = [file for file in told if told[file]]
        assert [copies.counted(file) for file in measured] == [True, False, True, True, True]
        assert [copies.group(file) for file in measured] == [0, 0, 0, 1, 2]
        # b is the same file as a, c is like a, and e is a again, in another class.
        assert (copies.same, copies.near, copies.contradictory) == (1, 1, 3)
