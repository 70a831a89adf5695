"""Who is asked what, from the protocol alone."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from studying import CLEAN, picture, protocol
from whybox_server.studies.assignment import Candidate, Plan, latin_row, shuffled
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Cell


@pytest.mark.parametrize("cells", range(1, 9))
def test_rows_make_a_latin_square(cells: int) -> None:
    rows = [latin_row(cells, row) for row in range(cells)]
    assert all(sorted(row) == list(range(cells)) for row in rows)
    assert all(sorted(column) == list(range(cells)) for column in zip(*rows, strict=True))
    assert latin_row(cells, 0) == latin_row(cells, 2 * cells)


@pytest.mark.parametrize("cells", range(2, 9))
def test_each_cell_follows_each_other_equally_often(cells: int) -> None:
    follows = Counter(pair for row in range(2 * cells) for pair in pairwise(latin_row(cells, row)))
    assert set(follows) == {(one, other) for one in range(cells) for other in range(cells) if one != other}
    assert set(follows.values()) == {2}


def test_orders_depend_on_the_seed_alone() -> None:
    values = list(range(50))
    assert shuffled(values, 1, "a") == shuffled(reversed(values), 1, "a")
    assert shuffled(values, 1, "a") != shuffled(values, 2, "a") != shuffled(values, 2, "b")
    assert sorted(shuffled(values, 1)) == values


NAMES = [
    Cell(arm=arm, version=version) for version in ("clean", "adversarial") for arm in ("none", "feature", "example")
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("annotators", "cells", "most"), [(1, 6, 1), (5, 6, 2), (50, 6, 4), (50, 2, 6), (20, 3, 4)])
def test_people_who_answer_at_their_own_pace_fill_cells_evenly(
    annotators: int, cells: int, most: int, seed: int
) -> None:
    """At every moment no cell is ahead by more than one, and arms stay balanced within each person.

    `most` is the largest difference within a person over 20 other crowds. Without the balance within people, that of
    two or more people is 4 to 16, and fewer than half of them keep to 2.
    """
    rng = random.Random(seed)
    plan = Plan(protocol(60, cells=NAMES[:cells], annotators_per_cell=50))
    taken = [0] * cells
    seen = [[0] * cells for _ in range(annotators)]
    speed = [rng.lognormvariate(0, 0.5) for _ in range(annotators)]
    for _ in range(annotators * 40):
        person = rng.choices(range(annotators), speed)[0]
        cell = plan.cells_by_urgency(person, sum(seen[person]) + 1, taken, seen[person])[0]
        taken[cell] += 1
        seen[person][cell] += 1
        assert max(taken) - min(taken) <= 1
    apart = [max(counts) - min(counts) for counts in seen]
    assert max(apart) <= most
    assert sum(each <= 2 for each in apart) >= 0.85 * annotators


@pytest.mark.parametrize("cells", [2, 3, 6])
def test_a_person_whose_cells_are_equal_follows_a_row_of_the_square(cells: int) -> None:
    plan = Plan(protocol(60, cells=NAMES[:cells]))
    equal = [0] * cells
    for person in range(2 * cells):
        row = latin_row(cells, person)
        asked = [plan.cells_by_urgency(person, position, equal, equal)[0] for position in range(1, 2 * cells + 1)]
        assert asked == [*row, *row]


def test_cells_fill_by_shares_where_cells_are_merged() -> None:
    """Of the pictures of one, "feature" is a question of its own only for every fourth."""
    names = [cell.name for cell in CLEAN]
    plan = Plan(protocol([*(picture(f"p{n}", merged=[names]) for n in range(3)), picture("p3")]))
    assert plan.needed == [20, 5]
    order = [plan.cells_by_urgency(0, 1, taken, [0, 0])[0] for taken in ([0, 0], [1, 0], [1, 1], [4, 1], [5, 1])]
    assert order == [0, 1, 0, 0, 1] or order == [0, 1, 0, 0, 0]
    assert plan.cells_by_urgency(0, 1, [20, 4], [0, 0]) == [1]


def test_the_picture_has_the_most_room() -> None:
    plan = Plan(protocol(4))
    candidates = [Candidate("p0", 0, 2), Candidate("p1", 0, 1), Candidate("p2", 0, 1)]
    chosen = {plan.picture(ordinal, candidates).picture_id for ordinal in range(20)}
    assert chosen == {"p1", "p2"}, "ties are broken by each person's own order"


@pytest.mark.parametrize(("gold", "number"), [(0, 0), (1, 1), (3, 3)])
def test_gold_stands_at_places_of_each_persons_own(gold: int, number: int) -> None:
    plan = Plan(protocol(20, gold=gold))
    assert plan.total == 20 + number
    places = []
    for ordinal in range(10):
        at = {place: known.id for place in range(1, plan.total + 1) if (known := plan.gold_at(ordinal, place))}
        assert len(at) == len(set(at.values())) == number
        places.append(tuple(at))
    assert gold == 0 or len(set(places)) > 1


def test_fewer_gold_pictures_than_wanted_are_seen_once_each() -> None:
    plan = Plan(protocol(20, gold=2, gold_per_annotator=5))
    assert (plan.known_number, plan.total) == (2, 22)


@pytest.mark.parametrize(
    ("pictures", "cells", "message"),
    [
        ([picture("p0"), picture("p0")], CLEAN, "given twice: p0"),
        ([picture("p0")], (CLEAN[0], CLEAN[0]), "cells need different names"),
        ([picture("p0", CLEAN[:1])], CLEAN, "picture p0 must stand once in each cell"),
        ([picture("p0", merged=[["none/clean/model", "none/clean/model"]])], CLEAN[:1], "must stand once"),
        ([picture("p0", merged=[["pets"]])], CLEAN[:1], "must stand once"),
    ],
)
def test_what_cannot_be_assigned_is_refused(pictures: list[object], cells: tuple[Cell, ...], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Plan(protocol(pictures, cells=cells))  # type: ignore[arg-type]
