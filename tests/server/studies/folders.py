"""Folders of small studies: pictures, maps and examples as files, and the protocol that names them."""

import colorsys
import hashlib
import io
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from whybox_server.studies.protocol import (
    Answer,
    Cell,
    Example,
    File,
    Item,
    KnownPicture,
    Label,
    Picture,
    Policy,
    Protocol,
    Source,
)

LABELS = ("triangle", "square", "pentagon", "hexagon", "heptagon", "octagon")
CELLS = tuple(
    Cell.model_validate({"arm": arm, "version": version})
    for version, arm in product(("clean", "adversarial"), ("none", "feature", "example"))
)
"""The six cells that a study has by default."""


class _Drawn(NamedTuple):
    png: bytes
    width: int
    height: int


def write_folder(
    folder: Path,
    *,
    study: str = "shapes",
    pictures: int = 6,
    practice: int = 2,
    gold: int = 0,
    cells: Sequence[Cell] = CELLS,
    labels: Sequence[str] = LABELS,
    photos: Sequence[Path] = (),
    policy: Policy | None = None,
    why: str = "It has the number of corners that the label says.",
    **fields: Any,
) -> Protocol:
    """Writes the folder of a study, with its `protocol.json`.

    Args:
        folder: Where to.
        study: Id of the study.
        pictures: Number of pictures; a third of them are errors.
        practice: Number of practice pictures.
        gold: Number of gold pictures.
        cells: The cells; each picture has an item in each of them.
        labels: Texts of the labels; the label asked about walks through them.
        photos: Pictures to show; without them polygons are drawn.
        why: What is said after a practice answer.
        policy: Of the study; by default five annotators a cell.
        fields: Further fields of the protocol.
    """

    def photo(number: int) -> Path | None:
        return photos[number % len(photos)] if photos else None

    every = [_picture(folder, number, cells, labels, photo(number)) for number in range(pictures)]
    known = [
        KnownPicture(
            id=f"k{number:04}",
            item=Item(
                cells=("practice" if number < practice else "gold",),
                label=Label(index=number % len(labels), text=labels[number % len(labels)]),
                picture=_write(folder, "pictures", _drawn("pictures", "clean", 100 + number, photo(100 + number))),
            ),
            right=Answer.YES if number % 2 == 0 else Answer.NO,
            why=why if number < practice else "",
        )
        for number in range(practice + gold)
    ]
    protocol = Protocol(
        id=study,
        policy=policy or Policy(pictures_per_annotator=pictures, gold_per_annotator=gold),
        source=Source(
            model="shapes", version="1", digest="0" * 64, data="shapes", errors=20 * pictures, correct=80 * pictures
        ),
        cells=tuple(cells),
        pictures=tuple(every),
        practice=tuple(known[:practice]),
        gold=tuple(known[practice:]),
        **fields,
    )
    (folder / "protocol.json").write_text(protocol.model_dump_json(indent=1))
    return protocol


def _picture(folder: Path, number: int, cells: Sequence[Cell], labels: Sequence[str], photo: Path | None) -> Picture:
    given, predicted = (
        Label(index=index, text=labels[index]) for index in (number % len(labels), (number + number % 3) % len(labels))
    )
    items = [
        Item(
            cells=(cell.name,),
            label=given if cell.asked == "given" else predicted,
            picture=_write(folder, "pictures", _drawn("pictures", cell.version, number, photo)),
            explanation=(
                _write(folder, "maps", _drawn("maps", cell.version, number, photo)) if cell.arm == "feature" else None
            ),
            examples=_examples(folder, number, labels) if cell.arm == "example" else (),
        )
        for cell in cells
    ]
    return Picture(
        id=f"p{number:04}",
        source=f"{given.text}/{number}.png",
        stratum="correct" if given == predicted else "error",
        inclusion_probability=0.5,
        given=given,
        predicted=predicted,
        items=tuple(items),
    )


def _examples(folder: Path, number: int, labels: Sequence[str]) -> tuple[Example, ...]:
    return tuple(
        Example(
            file=_write(folder, "examples", _drawn("examples", "clean", 7 * number + rank + 1000, None)),
            label=Label(index=rank % len(labels), text=labels[rank % len(labels)]),
        )
        for rank in range(6)
    )


def _write(folder: Path, kind: str, drawn: _Drawn) -> File:
    digest = hashlib.sha256(drawn.png).hexdigest()
    path = f"{kind}/{digest[:32]}.png"
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(drawn.png)
    return File(path=path, sha256=digest, width=drawn.width, height=drawn.height)


@cache
def _drawn(kind: Literal["pictures", "maps", "examples"], version: str, number: int, photo: Path | None) -> _Drawn:
    """Drawn once for all tests of a process."""
    image = _photograph(photo) if photo else _polygon(number)
    if version == "adversarial":
        image = _disturbed(image, number)
    if kind == "maps":
        image = _map(image, number)
    elif kind == "examples":
        image = image.resize((112, 112))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return _Drawn(buffer.getvalue(), image.width, image.height)


def _polygon(number: int) -> Image.Image:
    """A polygon of 3 to 8 corners in a colour and place of its own, 224 x 224."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", (224, 224), _colour(random.random(), 0.18, 0.95))
    x, y = random.integers(90, 134, 2).tolist()
    ImageDraw.Draw(image).regular_polygon(
        (x, y, int(random.integers(45, 80))),
        3 + number % len(LABELS),
        rotation=int(random.integers(360)),
        fill=_colour(random.random(), 0.7, 0.6),
    )
    return image


def _photograph(path: Path) -> Image.Image:
    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((480, 480))
    return shown


def _disturbed(image: Image.Image, number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(-6, 7, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image, np.int16) + noise, 0, 255).astype(np.uint8))


def _map(image: Image.Image, number: int) -> Image.Image:
    """The picture, bright around one place and dim elsewhere."""
    x, y = np.random.default_rng(number).uniform(0.35, 0.65, 2)
    rows, columns = np.mgrid[0 : 1 : image.height * 1j, 0 : 1 : image.width * 1j]
    light = 0.25 + 0.75 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.04)
    return Image.fromarray((np.asarray(image) * light[..., None]).astype(np.uint8))


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = (int(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
