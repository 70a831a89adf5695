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
from whybox_server.database.tables import AssignmentRow, ItemRow
from whybox_server.studies.errors import LeaseExpiredError
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import RawVotes, Wait
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


async def spread(engine: AsyncEngine, study_id: str) -> int:
    """By how many answers and leases the fullest cell is ahead of the emptiest."""
    async with reading(engine) as session:
        rows = await session.execute(
            select(func.sum(ItemRow.taken)).where(ItemRow.study_id == study_id).group_by(ItemRow.cell)
        )
        taken = [int(number) for (number,) in rows]
    return max(taken) - min(taken)


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
