"""What the processes that make the pictures of a study are asked for, and what they answer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whybox_server.studies.creation.sampling import Candidate
from whybox_server.studies.protocol import Cell

Show = Literal["whole", "view"]
"""People see the whole picture, or the part of it that the model sees."""

Folder = Literal["pictures", "maps", "examples"]


@dataclass(frozen=True)
class Making:
    """What is the same for all pictures of a study.

    Attributes:
        archive: Path of the packed model.
        device: "cpu" or "cuda".
        folder: Folder of the data set.
        view: Whether the pictures of the data set are the model's views themselves.
        cells: The cells.
        show: What people see of a picture.
        explanation: Method of the arm `feature`.
        examples: Number of examples of the arm `example`.
        attack: `v1.RobustnessOptions` with every default filled in, serialized; `b""` without adversarial twins.
        seed: Of attacks and maps that draw at random.
        known: Digests and perceptual hashes of the pictures of the study, which are no examples.
        others: Paths below the folder of pictures of the study that were not predicted; they are no examples, either.
    """

    archive: Path
    device: str
    folder: Path
    view: bool
    cells: tuple[Cell, ...]
    show: Show
    explanation: str
    examples: int
    attack: bytes
    seed: int
    known: frozenset[tuple[str, str]]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """A picture whose right answer is known, to be made.

    Attributes:
        file: Path of the picture below the folder of the data set, or an absolute one.
        label: Index of the class that is asked about; None for an unrelated one.
        number: Its place among the known pictures, from 0.
    """

    file: str
    label: int | None
    number: int


Wanted = Candidate | Known


@dataclass(frozen=True)
class Encoded:
    """A file that people see.

    Attributes:
        folder: Below that of the study.
        content: WebP or JPEG.
        ending: Of its name, with the point.
        width: In pixels.
        height: In pixels.
    """

    folder: Folder
    content: bytes
    ending: str
    width: int
    height: int


@dataclass(frozen=True)
class MadeExample:
    """An example.

    Attributes:
        thumbnail: Its picture.
        label: Index of its class.
    """

    thumbnail: Encoded
    label: int


@dataclass(frozen=True)
class MadeCell:
    """What a cell shows of a picture; the fields are those of `cells.Shown`."""

    cell: str
    label: int
    picture: Encoded
    explanation: Encoded | None = None
    examples: tuple[MadeExample, ...] = ()


@dataclass(frozen=True)
class Made:
    """All that is shown of a picture.

    Attributes:
        wanted: The picture.
        cells: What each cell shows, in the order of the cells; one for a known picture; empty after a fault.
        fault: Why the picture cannot be shown so, with the remedy; "" if it can.
    """

    wanted: Wanted
    cells: tuple[MadeCell, ...] = ()
    fault: str = ""
