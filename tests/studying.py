"""Small studies for tests: protocols, and folders with files that people see."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from whybox_server.studies.protocol import (
    Answer,
    Cell,
    File,
    Item,
    KnownPicture,
    Label,
    Picture,
    Policy,
    Protocol,
    Source,
)

SPANIEL, COLLIE = Label(index=0, text="spaniel"), Label(index=1, text="collie")
CLEAN = (Cell(arm="none", version="clean"), Cell(arm="feature", version="clean"))


class UtcClock:
    """A clock that tests turn; it tells a moment in UTC."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **time: float) -> None:
        """Lets time pass."""
        self.now += timedelta(**time)


def shown(name: str) -> File:
    """A file whose bytes are its name."""
    return File(path=f"pictures/{name}", sha256=hashlib.sha256(name.encode()).hexdigest(), width=8, height=8)


def picture(name: str, cells: Sequence[Cell] = CLEAN, merged: Sequence[Sequence[str]] | None = None) -> Picture:
    """A picture with an item for each cell, or for each group of names of cells."""
    groups = [[cell.name] for cell in cells] if merged is None else merged
    items = [Item(cells=tuple(group), label=SPANIEL, picture=shown(name)) for group in groups]
    return Picture(
        id=name,
        source=f"{name}.jpg",
        stratum="error",
        inclusion_probability=1.0,
        given=COLLIE,
        predicted=SPANIEL,
        items=tuple(items),
    )


def known(name: str, kind: str, right: Answer = Answer.YES, why: str = "") -> KnownPicture:
    return KnownPicture(id=name, item=Item(cells=(kind,), label=SPANIEL, picture=shown(name)), right=right, why=why)


def protocol(
    pictures: int | Sequence[Picture] = 4,
    *,
    name: str = "dogs",
    seed: int = 0,
    cells: Sequence[Cell] = CLEAN,
    practice: int = 0,
    gold: int = 0,
    **policy: Any,
) -> Protocol:
    """A protocol; the right answer of practice and gold is yes."""
    if isinstance(pictures, int):
        pictures = [picture(f"p{number}", cells) for number in range(pictures)]
    return Protocol(
        id=name,
        seed=seed,
        policy=Policy(**{"gold_per_annotator": gold, **policy}),
        source=Source(model="m", version="1", digest="d", data="x", errors=len(pictures), correct=0),
        cells=tuple(cells),
        pictures=tuple(pictures),
        practice=tuple(known(f"practice{number}", "practice", why="a spaniel") for number in range(practice)),
        gold=tuple(known(f"gold{number}", "gold") for number in range(gold)),
    )


def write(study: Protocol, folder: Path) -> Path:
    """The folder of a study, as `study create` makes it."""
    for path in study.files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(Path(path).name.encode())
    (folder / "protocol.json").write_text(study.model_dump_json(indent=1))
    return folder
