"""Who is asked what: arms by a Latin square, even quotas, and gold at seeded places. Nothing here touches a database.

The next item of a person is found in two steps. Its cell is the least filled; of several, it is the one that the person
saw least, and then the next of the person's row in a balanced Latin square. Its picture is the one with the most room
in this cell among those that the person has not seen; of several, it is the first of an order that is the person's own.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeVar

from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Item, KnownPicture, Picture, Protocol

T = TypeVar("T")

_PEOPLE_AT_ONCE = 256
"""People whose orders are kept in memory, because each question needs them."""


def latin_row(cells: int, row: int) -> tuple[int, ...]:
    """A row of a balanced Latin square (Williams, 1949).

    Over `cells` rows each cell stands once in each column; over `cells` rows, or twice as many if `cells` is odd, each
    cell follows each other equally often.

    Args:
        cells: Number of cells.
        row: From 0; rows come back.
    """
    zigzag = [(column + 1) // 2 if column % 2 else (cells - column // 2) % cells for column in range(cells)]
    period = cells if cells % 2 == 0 else 2 * cells
    turned = row % period
    shifted = tuple((cell + turned) % cells for cell in zigzag)
    return shifted if turned < cells else shifted[::-1]


def shuffled(values: Iterable[T], *seed: object) -> list[T]:
    """The values in an order that depends on the seed alone, and is the same with every version of Python."""

    def place(value: T) -> bytes:
        return hashlib.sha256("/".join(map(str, (*seed, value))).encode()).digest()

    return sorted(values, key=place)


class Candidate(NamedTuple):
    """An item with room that the person may be asked about.

    Attributes:
        picture_id: Of the picture.
        item: Index into its items.
        taken: Answers that it has or waits for.
    """

    picture_id: str
    item: int
    taken: int


class Plan:
    """What follows from a protocol alone.

    Args:
        protocol: The protocol.

    Raises:
        StudyError: Names are given twice, or a picture does not stand in each cell once.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.pictures: Mapping[str, Picture] = {picture.id: picture for picture in protocol.pictures}
        self.practice: Mapping[str, KnownPicture] = {known.id: known for known in protocol.practice}
        self.gold: Mapping[str, KnownPicture] = {known.id: known for known in protocol.gold}
        self.cells = {cell.name: index for index, cell in enumerate(protocol.cells)}
        known = (*protocol.practice, *protocol.gold)
        names = [*(picture.id for picture in protocol.pictures), *(each.id for each in known)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise StudyError(f"{protocol.id}: pictures need different names; given twice: {', '.join(twice)}")
        if len(self.cells) < len(protocol.cells):
            raise StudyError(f"{protocol.id}: cells need different names; leave out those that are given twice")
        for picture in protocol.pictures:
            if sorted(name for item in picture.items for name in item.cells) != sorted(self.cells):
                raise StudyError(
                    f"{protocol.id}: picture {picture.id} must stand once in each cell ({', '.join(self.cells)})"
                )

        self._places = lru_cache(_PEOPLE_AT_ONCE)(self._gold_by_place)
        self._ranks = lru_cache(_PEOPLE_AT_ONCE)(self._ranks_of_pictures)

    def cell_of(self, item: Item) -> int:
        """The cell under which an item is counted when it is assigned: the first of those that it stands for."""
        return min(self.cells[name] for name in item.cells)

    @cached_property
    def needed(self) -> Sequence[int]:
        """Answers that each cell needs, merged items counted under their first cell alone."""
        needed = [0] * len(self.cells)
        for picture in self.protocol.pictures:
            for item in picture.items:
                needed[self.cell_of(item)] += self.protocol.policy.annotators_per_cell
        return needed

    @property
    def known_number(self) -> int:
        """Gold pictures that each person sees."""
        return min(self.protocol.policy.gold_per_annotator, len(self.gold))

    @property
    def total(self) -> int:
        """The most items and gold pictures that a person is asked about."""
        return min(self.protocol.policy.pictures_per_annotator, len(self.pictures)) + self.known_number

    def gold_at(self, ordinal: int, position: int) -> KnownPicture | None:
        """The gold picture at a position of a person's questions, from 1; None where an item stands."""
        return self._places(ordinal).get(position)

    def _gold_by_place(self, ordinal: int) -> Mapping[int, KnownPicture]:
        seed = self.protocol.seed
        places = sorted(shuffled(range(1, self.total + 1), seed, "places", ordinal)[: self.known_number])
        return {
            place: self.gold[name]
            for place, name in zip(places, shuffled(self.gold, seed, "gold", ordinal), strict=False)
        }

    def cells_by_urgency(self, ordinal: int, position: int, taken: Sequence[int], seen: Sequence[int]) -> list[int]:
        """The cells that a person may be asked in, the best first.

        Args:
            ordinal: Row of the person.
            position: Of the question, from 1.
            taken: Answers that each cell has or waits for, counted as in `needed`.
            seen: Questions of each cell that the person has seen.
        """
        row = latin_row(len(self.cells), ordinal)
        begin = (position - 1) % len(row)
        rank = {cell: place for place, cell in enumerate((*row[begin:], *row[:begin]))}

        def urgency(cell: int) -> tuple[Fraction, Fraction, int]:
            # Shares, not counts: a cell that is merged with another for some pictures needs fewer answers.
            needed = self.needed[cell]
            return Fraction(taken[cell], needed), Fraction(seen[cell], needed), rank[cell]

        return sorted((cell for cell in rank if taken[cell] < self.needed[cell]), key=urgency)

    def picture(self, ordinal: int, candidates: Sequence[Candidate]) -> Candidate:
        """The candidate with the most room; of several, the first in the person's own order."""
        fewest = min(each.taken for each in candidates)
        ranks = self._ranks(ordinal)
        return min((each for each in candidates if each.taken == fewest), key=lambda each: ranks[each.picture_id])

    def _ranks_of_pictures(self, ordinal: int) -> Mapping[str, int]:
        return {
            name: rank for rank, name in enumerate(shuffled(self.pictures, self.protocol.seed, "pictures", ordinal))
        }
