"""What an interrupted run made is found again if all that it depends on is the same, and its files are whole."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from studying import SPANIEL
from whybox_server.studies.creation.asked import Known, Making, Wanted
from whybox_server.studies.creation.cells import chosen_cells
from whybox_server.studies.creation.kept import Kept, forget
from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.protocol import File, Item

ITEM = Item(
    cells=("none/clean/model",),
    label=SPANIEL,
    picture=File(path="pictures/a.webp", sha256=sha256(b"shown").hexdigest(), width=8, height=8),
    explanation=File(path="maps/a.webp", sha256=sha256(b"map").hexdigest(), width=8, height=8),
)
DRAWN = Candidate("a.png", sha256(b"a").hexdigest(), 0, 1, 0.5, "0" * 16)
GOLD = Known("a.png", 0, 0)


@pytest.fixture
def making(tmp_path: Path) -> Making:
    (tmp_path / "m.mar").write_bytes(b"model")
    (tmp_path / "a.png").write_bytes(b"a")
    for file, content in zip(ITEM.files(), (b"shown", b"map"), strict=True):
        (tmp_path / file.path).parent.mkdir()
        (tmp_path / file.path).write_bytes(content)
    cells = chosen_cells(["none/clean", "feature/clean"])
    return Making(tmp_path / "m.mar", "cpu", tmp_path, False, cells, "whole", "grad_cam", 3, b"", 0, frozenset())


@pytest.mark.parametrize("wanted", [DRAWN, GOLD])
def test_what_is_kept_is_found_by_the_next_run(making: Making, wanted: Wanted) -> None:
    assert Kept(making.folder, making).items(wanted) is None
    Kept(making.folder, making).keep(wanted, (ITEM,))
    assert Kept(making.folder, making).items(wanted) == (ITEM,)
    other = GOLD if wanted is DRAWN else DRAWN
    assert Kept(making.folder, making).items(other) is None
    forget(making.folder)
    assert Kept(making.folder, making).items(wanted) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "m.mar").write_bytes(b"other model"),
        lambda folder: (folder / "a.png").write_bytes(b"other picture"),
        lambda folder: (folder / "maps/a.webp").write_bytes(b"ma"),
        lambda folder: (folder / "pictures/a.webp").unlink(),
        lambda folder: next(folder.glob("work/made/*.json")).write_text('[{"cells": '),
        lambda folder: next(folder.glob("work/made/*.json")).unlink(),
    ],
    ids=["another model", "another picture", "cut file", "no file", "cut record", "no record"],
)
def test_what_has_changed_is_made_again(making: Making, spoil: Callable[[Path], object]) -> None:
    Kept(making.folder, making).keep(DRAWN, (ITEM,))
    spoil(making.folder)
    assert Kept(making.folder, making).items(DRAWN) is None


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda"},
        {"view": True},
        {"cells": chosen_cells(["none/clean"])},
        {"show": "view"},
        {"explanation": "saliency"},
        {"examples": 4},
        {"attack": b"attack"},
        {"seed": 1},
        {"known": frozenset({("ab", "cd")})},
        {"others": ("a.png",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_options_make_all_anew(making: Making, change: dict[str, object]) -> None:
    Kept(making.folder, making).keep(DRAWN, (ITEM,))
    assert Kept(making.folder, replace(making, **change)).items(DRAWN) is None  # type: ignore[arg-type]
