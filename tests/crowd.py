"""Many people who answer a study at once, and whether the database holds what they were told it does.

As a program it is a process of people that a test may kill: `python tests/crowd.py URL LOG SEED SECONDS NAME...`.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from whybox_server.database.engine import create_engine, reading
from whybox_server.database.tables import AssignmentRow, EventRow, ItemRow
from whybox_server.studies.assignment import Plan
from whybox_server.studies.errors import LeaseExpiredError
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import RawVotes, Study, Wait
from whybox_server.studies.store import StudyStore

UNDO, PAUSE, TWICE, UNJUDGED = 0.03, 0.03, 0.1, 0.05
"""How often a person takes back an answer, pauses, sends an answer twice at the same time, or cannot judge."""


class Log:
    """What people were told, one line each, written before they go on; it outlives the process.

    Args:
        path: Is appended to.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, what: str, *values: object) -> None:
        os.write(self._file, (json.dumps([what, *values]) + "\n").encode())


async def take_part(store: StudyStore, name: str, log: Log, seed: int, until: float) -> None:
    """Answers until nothing is left or the monotonic clock shows `until`."""
    rng = random.Random(f"{seed}/{name}")
    number = 0
    while time.monotonic() < until:
        question = await store.question(name)
        if question is None:
            return
        if isinstance(question, Wait):
            await asyncio.sleep(0.05)
            continue
        log("shown", name, question.picture_id, question.item.cells)
        chance = rng.random()
        if chance < PAUSE:
            await store.pause(name)
            continue
        number += 1
        answer = Answer.CANNOT_JUDGE if rng.random() < UNJUDGED else rng.choice((Answer.YES, Answer.NO))
        key = f"{seed}-{number}-{rng.getrandbits(64)}"
        sent = [
            store.answer(name, question.picture_id, answer, milliseconds=number, key=key)
            for _ in range(2 if rng.random() < TWICE else 1)
        ]
        try:
            outcomes = await asyncio.gather(*sent)
        except LeaseExpiredError:
            continue
        assert all(outcome == outcomes[0] for outcome in outcomes)
        log("answered", name, question.picture_id, answer)
        if rng.random() < UNDO:
            log("undoing", name, question.picture_id)
            try:
                undone = await store.undo(name)
            except LeaseExpiredError:
                log("answered", name, question.picture_id, answer)
                continue
            assert undone
            assert undone.picture_id == question.picture_id
            log("undone", name, question.picture_id)


async def crowd(url: str, log: Path, seed: int, seconds: float, names: Iterable[str]) -> None:
    """People of one process."""
    engine = create_engine(url)
    store, until = StudyStore(engine), time.monotonic() + seconds
    try:
        await asyncio.gather(*(take_part(store, name, Log(log), seed, until) for name in names))
    finally:
        await engine.dispose()


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a database, by what people were told.

    Attributes:
        acknowledged: Answers that people were told are stored, and did not take back.
        lost: Those among them that are not stored, or otherwise.
        doubled: Answers of a person about a picture beside the first, and votes beyond a quota.
        misassigned: Answers in another arm than the person saw, or about what the person never saw.
    """

    acknowledged: int
    lost: int
    doubled: int
    misassigned: int


def judge(logs: Sequence[Path], votes: RawVotes) -> Verdict:
    """Compares what is stored with what people were told."""
    shown: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    told: dict[tuple[str, str], str] = {}
    for log in logs:
        for line in log.read_text().splitlines():
            what, name, picture, *rest = json.loads(line)
            if what == "shown":
                shown[name, picture].add(tuple(rest[0]))
            elif what == "answered":
                told[name, picture] = rest[0]
            elif what == "undoing":
                # Stored or not, until the person is told.
                told.pop((name, picture))
    answers = (*votes.items, *votes.gold, *votes.practice)
    stored = {(vote.annotator_id, vote.picture_id): vote for vote in answers}
    quota = votes.study.protocol.policy.annotators_per_cell
    items = Counter((vote.picture_id, vote.cells) for vote in votes.items if vote.answer != Answer.CANNOT_JUDGE)
    return Verdict(
        acknowledged=len(told),
        lost=sum(key not in stored or stored[key].answer != answer for key, answer in told.items()),
        doubled=len(answers) - len(stored) + sum(max(0, number - quota) for number in items.values()),
        misassigned=sum(shown[key] != {vote.cells} for key, vote in stored.items()),
    )


@dataclass(frozen=True)
class Evenness:
    """How evenly cells filled, by the events of a study.

    Attributes:
        by_lease: The most by which a cell was ahead of another just after it was leased. One, if each lease went to a
            cell that no other was behind.
        ever: The most by which a cell was ahead at any time. Each item that is given back, and each answer that is no
            vote, sets its cell back by one at once, until the next lease goes there.
    """

    by_lease: int
    ever: int


async def evenness(engine: AsyncEngine, study: Study) -> Evenness:
    """Replays what happened. No cell may be full, and nobody may have withdrawn."""
    plan = Plan(study.protocol)
    async with reading(engine) as session:
        row = AssignmentRow
        places = await session.execute(
            select(row.annotator_id, row.picture_id, row.item).where(row.study_id == study.id, row.kind == "item")
        )
        cells = {(who, picture): plan.cell_of(plan.pictures[picture].items[item or 0]) for who, picture, item in places}
        events = await session.execute(
            select(EventRow.annotator_id, EventRow.picture_id, EventRow.what, EventRow.answer)
            .where(EventRow.study_id == study.id)
            .order_by(EventRow.id)
        )
    taken = [0] * len(plan.cells)
    counted: set[tuple[str, str]] = set()
    by_lease = ever = 0
    for who, picture, what, answer in events:
        key = (who, picture)
        if key not in cells:
            continue
        counts = what in {"lease", "undo"} or (what == "answer" and answer != Answer.CANNOT_JUDGE)
        taken[cells[key]] += counts - (key in counted)
        (counted.add if counts else counted.discard)(key)
        ever = max(ever, max(taken) - min(taken))
        if what == "lease":
            by_lease = max(by_lease, taken[cells[key]] - min(taken))
    return Evenness(by_lease, ever)


async def miscounted(engine: AsyncEngine, study_id: str) -> int:
    """Items whose count is not that of their leases and answers."""
    async with reading(engine) as session:
        rows = await session.execute(
            select(AssignmentRow.picture_id, AssignmentRow.item, AssignmentRow.answer, func.count())
            .where(AssignmentRow.study_id == study_id, AssignmentRow.state != "released", AssignmentRow.kind == "item")
            .group_by(AssignmentRow.picture_id, AssignmentRow.item, AssignmentRow.answer)
        )
        held: Counter[tuple[str, int | None, bool]] = Counter()
        for picture, place, answer, number in rows:
            held[picture, place, answer == Answer.CANNOT_JUDGE] += number
        items = await session.execute(
            select(ItemRow.picture_id, ItemRow.item, ItemRow.taken, ItemRow.unjudged).where(
                ItemRow.study_id == study_id
            )
        )
        return sum(
            (held[picture, item, False], held[picture, item, True]) != (taken, unjudged)
            for picture, item, taken, unjudged in items
        )


if __name__ == "__main__":
    _, URL, LOG, SEED, SECONDS, *NAMES = sys.argv
    asyncio.run(crowd(URL, Path(LOG), int(SEED), float(SECONDS), NAMES))
