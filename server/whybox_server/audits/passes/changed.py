"""Pictures that are measured without a region."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from whybox_server.audits.data.dataset import Labelled

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the upright picture; the right and lower edges are excluded."""


@dataclass(frozen=True)
class Changed(Labelled):
    """A picture that loses a region before the model sees it.

    Attributes:
        region: The rectangles of the region.
        seen: The part of the picture that the model sees.
        removal: "blur" or "fill".
        norm: The norm of the distance.
    """

    region: tuple[Rectangle, ...]
    seen: Rectangle
    removal: str
    norm: str

    @property
    def key(self) -> str:
        """The name of its record: the picture, and all that is done to it."""
        return json.dumps([self.file, self.removal, self.region, self.norm], ensure_ascii=False)


class ChangedPictures:
    """Changed pictures, each once, sorted by their keys, as a pass takes them.

    Args:
        changed: Any number of them.
    """

    def __init__(self, changed: Sequence[Changed]) -> None:
        self._changed = sorted({each.key: each for each in changed}.items())

    def __len__(self) -> int:
        return len(self._changed)

    def pictures(self) -> Iterator[Changed]:
        """The pictures."""
        return (each for _, each in self._changed)
