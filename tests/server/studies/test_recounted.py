"""A study that simulated people answered, recounted by hand from its export: exclusions, fast answers and foils."""

import csv
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from server.studies.conftest import Open
from server.studies.people import people
from studying import protocol
from whybox_server.studies.protocol import Answer, Cell
from whybox_server.studies.report.export import export_votes
from whybox_server.studies.results.compute import compute
from whybox_server.studies.results.reading import columns
from whybox_server.studies.state import Question
from whybox_server.studies.store import StudyStore

MODEL, FOIL = Cell(arm="none", version="clean"), Cell(arm="none", version="clean", asked="foil")
FASTEST = 300


def accepts(answers: list[str]) -> float:
    """The majority of five, averaged over all choices of five votes."""
    chosen = list(combinations(answers, 5))
    return sum(five.count("yes") >= 3 for five in chosen) / len(chosen)


async def test_exclusions_fast_answers_and_foils(store: StudyStore, opened: Open, tmp_path: Path) -> None:
    """Persons 0 and 1 fail all gold, person 2 fails one, which is allowed; foils persuade every fourth time."""
    made = protocol(6, cells=(MODEL, FOIL), gold=2, gold_failures_allowed=1, annotators_per_cell=7, fastest_ms=FASTEST)
    await opened(made)
    crowd = await people(store, 14)
    for who, person in enumerate(crowd):
        number = failures = 0
        while isinstance(question := await store.question(person.id), Question):
            number += 1
            [cell, *_] = question.item.cells
            if cell == "gold":
                fails = who < 2 or (who == 2 and not failures)
                failures += fails
                said = Answer.NO if fails else Answer.YES
            elif cell == FOIL.name:
                said = Answer.YES if who < 2 or (who + number) % 4 == 0 else Answer.NO
            else:
                said = Answer.NO if who < 2 or (who + number) % 5 == 0 else Answer.YES
            took = FASTEST - 1 if (who + number) % 3 == 0 else FASTEST
            await store.answer(person.id, question.picture_id, said, milliseconds=took, key=f"{who}-{number}")
    votes = await store.votes("dogs")
    outcome = compute(*columns(votes), seed=0, redraws=100)
    export_votes(tmp_path / "votes.csv", votes)
    with (tmp_path / "votes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    failed: dict[str, int] = defaultdict(int)
    for row in rows:
        failed[row["annotator"]] += row["kind"] == "gold" and row["answer"] != row["right"]
    excluded = {who for who, wrong in failed.items() if wrong > 1}
    assert excluded == {person.id for person in crowd[:2]}
    items = [row for row in rows if row["kind"] == "item"]
    kept = [row for row in items if row["annotator"] not in excluded]
    found = outcome.exclusions
    assert (found.annotators, found.excluded, found.answers_dropped) == (14, 2, len(items) - len(kept))
    assert found.answers_dropped > 0
    assert found.failures == tuple(list(failed.values()).count(wrong) for wrong in range(3)) == (11, 1, 2)
    # Fast answers are marked, and count.
    fast = [row for row in items if int(row["milliseconds"]) < FASTEST]
    assert fast == [row for row in items if row["fast"] == "true"]
    assert (outcome.speed.timed, outcome.speed.faster) == (len(items), len(fast))
    assert len([row for row in fast if row in kept]) > 0
    assert outcome.votes == len(kept)

    shares = {}
    for cell in (MODEL.name, FOIL.name):
        answers: dict[str, list[str]] = defaultdict(list)
        for row in kept:
            if row["cell"] == cell:
                answers[row["picture"]].append(row["answer"])
        assert all(len(of) >= 5 for of in answers.values())
        shares[cell] = sum(map(accepts, answers.values())) / len(answers)
    model, foil = outcome.cells
    assert (model.cell, foil.cell) == (MODEL.name, FOIL.name)
    assert model.accepted.estimate == pytest.approx(shares[MODEL.name])
    assert foil.accepted.estimate == pytest.approx(shares[FOIL.name])
    # Persuasion rectifies nothing, and the error is that of the model's label alone.
    assert foil.rectified is None
    assert model.rectified is not None
    assert model.rectified.estimate == pytest.approx(1 - shares[MODEL.name])
    assert shares[MODEL.name] != pytest.approx(shares[FOIL.name])
