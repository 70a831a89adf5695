"""Many people at once, in several processes, one of which is killed."""

import asyncio
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import crowd
from server.studies.conftest import Open
from server.studies.people import people
from server.waiting import until
from studying import UtcClock, protocol
from whybox_server.studies.protocol import Cell
from whybox_server.studies.store import StudyStore

CELLS = tuple(Cell(arm=arm, version="clean") for arm in ("none", "feature", "example"))
FOREVER = 600.0


async def test_people_who_answer_at_once_lose_nothing(
    store: StudyStore, opened: Open, engine: AsyncEngine, tmp_path: Path
) -> None:
    """All quotas fill; every answer is stored once, in the arm that the person saw."""
    await opened(protocol(10, cells=CELLS, gold=1))
    # 15 votes a picture; the others make up for answers that a picture cannot be judged.
    annotators = await people(store, 25)
    log = tmp_path / "log"
    stores = [StudyStore(engine), StudyStore(engine)]
    async with asyncio.timeout(FOREVER):
        status = await store.status("dogs")
        for visit in count():
            await asyncio.gather(
                *(
                    crowd.take_part(stores[place % 2], annotator.id, crowd.Log(log), 100 * visit + place, float("inf"))
                    for place, annotator in enumerate(annotators)
                )
            )
            before, status = status, await store.status("dogs")
            # Who found nothing left comes back: another person may have taken back the last answer since then.
            if status.full or status.answers == before.answers:
                break
    assert status.full
    assert status.answers - status.cannot_judge == 150
    verdict = crowd.judge([log], await store.votes("dogs"))
    assert verdict == crowd.Verdict(acknowledged=verdict.acknowledged, lost=0, doubled=0, misassigned=0)
    assert verdict.acknowledged >= 150
    assert await crowd.miscounted(engine, "dogs") == 0


async def test_a_process_that_is_killed_loses_no_answer_that_was_acknowledged(
    database_url: str, store: StudyStore, opened: Open, engine: AsyncEngine, clock: UtcClock, tmp_path: Path
) -> None:
    study = await opened(protocol(600, cells=CELLS, pictures_per_annotator=600))
    names = [annotator.id for annotator in await people(store, 6)]
    logs = [tmp_path / "killed", tmp_path / "alive"]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, crowd.__file__, database_url, str(log), "0", str(FOREVER), *names[3 * place : 3 * place + 3]
        )
        for place, log in enumerate(logs)
    ]
    try:
        await until(lambda: all(log.exists() and log.read_text().count("answered") >= 20 for log in logs), 120)
        processes[0].kill()
        assert await processes[0].wait() == -9
        # The other people go on.
        before = logs[1].read_text().count("answered")
        await until(lambda: logs[1].read_text().count("answered") >= before + 10 or processes[1].returncode == 0, 120)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    votes = await store.votes("dogs")
    verdict = crowd.judge(logs, votes)
    assert (verdict.lost, verdict.doubled, verdict.misassigned) == (0, 0, 0)
    assert verdict.acknowledged >= 40
    assert await crowd.miscounted(engine, "dogs") == 0
    assert (await crowd.evenness(engine, study)).by_lease == 1
    # At most what was on its way when the processes ended is stored without a word.
    assert len(votes.items) <= verdict.acknowledged + len(names)
    # They come back where they were.
    clock.now = max(vote.at for vote in votes.items)
    assert await store.question(names[0])


@pytest.mark.parametrize("fault", ["lost", "doubled", "misassigned"])
async def test_the_judge_finds_faults(store: StudyStore, opened: Open, tmp_path: Path, fault: str) -> None:
    await opened(protocol(4, cells=CELLS))
    (annotator,) = await people(store, 1)
    log = tmp_path / "log"
    await crowd.take_part(store, annotator.id, crowd.Log(log), 0, float("inf"))
    votes = await store.votes("dogs")
    first = votes.items[0]
    changed = {
        "lost": votes.items[1:],
        "doubled": (*votes.items, first),
        "misassigned": (replace(first, cells=("other",)), *votes.items[1:]),
    }[fault]
    verdict = crowd.judge([log], replace(votes, items=changed))
    assert {name: getattr(verdict, name) for name in ("lost", "doubled", "misassigned")} == {
        **dict.fromkeys(("lost", "doubled", "misassigned"), 0),
        fault: 1,
    }
