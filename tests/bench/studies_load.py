"""Do 50 people who answer at once lose answers, or fill quotas unevenly?

    python tests/bench/studies_load.py [--seconds 120] [--annotators 50] [--think 1.5]

Runs on SQLite and on a PostgreSQL of its own, which wait for the disk at each commit. Once through the pages:
`whybox-server study serve` is killed with SIGKILL at half time and started again, while people in browsers without
scripts think, answer, look at pictures, and send what met no server again. Once through the store alone, without a
pause: the people are spread over two processes, one of which is killed at half time. In both, people take back answers,
pause, cannot judge, and send some answers twice at the same time.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

sys.path.insert(0, str(Path(__file__).parents[1]))
import crowd
import postgres
import web_crowd
from studying import protocol
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.studies.api.serving import PREFIX
from whybox_server.studies.protocol import Cell
from whybox_server.studies.state import Study
from whybox_server.studies.store import StudyStore

CELLS = tuple(Cell(arm=arm, version=ver) for ver in ("clean", "adversarial") for arm in ("none", "feature", "example"))
PICTURES, QUOTA = 600, 10
_out = Console(highlight=False, soft_wrap=True)


class Invited(NamedTuple):
    """People, by name and token, in a study."""

    url: str
    engine: AsyncEngine
    store: StudyStore
    study: Study
    tokens: dict[str, str]
    folder: Path


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'studies.db'}"
        return
    binaries = postgres.binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.started(binaries, durable=True) as server:
        yield server.fresh("studies")


async def invite(url: str, folder: Path, annotators: int) -> Invited:
    """A study that is open, and people who have not come yet."""
    engine = create_engine(url)
    await upgrade(engine)
    store = StudyStore(engine)
    pictures = [web_crowd.written(folder / "study", f"p{number}", CELLS) for number in range(PICTURES)]
    plan = protocol(pictures, cells=CELLS, annotators_per_cell=QUOTA, pictures_per_annotator=PICTURES)
    (folder / "study" / "protocol.json").write_text(plan.model_dump_json())
    study = await store.open(plan, folder / "study")
    tokens = await store.invite(study.id, annotators, timedelta(days=1))
    return Invited(
        url, engine, store, study, {(await store.enter(study.id, token)).id: token for token in tokens}, folder
    )


async def through_pages(invited: Invited, options: argparse.Namespace) -> web_crowd.Measured:
    """A server that is killed once, and people in browsers."""
    server = web_crowd.Server(invited.url, invited.folder / "server.log")
    await server.start()
    items, measured = web_crowd.items_by_files(invited.study.protocol), web_crowd.Measured()
    log = crowd.Log(invited.folder / "log0")
    until = time.monotonic() + options.seconds
    people = [
        web_crowd.Person(
            name,
            f"{server.address}{PREFIX}/{invited.study.id}/?invitation={token}",
            items,
            log,
            measured,
            options.think,
        )
        for name, token in invited.tokens.items()
    ]

    async def kill() -> None:
        await asyncio.sleep(options.seconds / 2)
        await server.kill()
        await server.start()

    try:
        await asyncio.gather(kill(), *(person.take_part(until) for person in people))
    finally:
        await server.kill()
    return measured


async def through_store(invited: Invited, options: argparse.Namespace) -> web_crowd.Measured:
    """Two processes of people, one of which is killed."""
    for name in invited.tokens:
        await invited.store.consent(name)
    names = list(invited.tokens)
    command = (sys.executable, crowd.__file__, invited.url)
    processes = [
        await asyncio.create_subprocess_exec(
            *command, str(invited.folder / f"log{place}"), str(place), str(options.seconds), *names[place::2]
        )
        for place in range(2)
    ]
    try:
        await asyncio.sleep(options.seconds / 2)
        processes[0].kill()
        await processes[0].wait()
        if await processes[1].wait() != 0:
            raise RuntimeError("the people who were not killed ended with an error")
    finally:
        if processes[1].returncode is None:
            processes[1].kill()
            await processes[1].wait()
    return web_crowd.Measured()


async def run(how: str, url: str, folder: Path, options: argparse.Namespace) -> list[object]:
    """The figures of a row."""
    invited = await invite(url, folder, options.annotators)
    through, logs = (through_pages, 1) if how == "pages" else (through_store, 2)
    measured = await through(invited, options)
    votes = await invited.store.votes(invited.study.id)
    verdict = crowd.judge([folder / f"log{place}" for place in range(logs)], votes)
    wrong = await crowd.miscounted(invited.engine, invited.study.id)
    even = await crowd.evenness(invited.engine, invited.study)
    await invited.engine.dispose()
    waits = (
        " / ".join(f"{1000 * wait:.0f}" for wait in np.percentile(measured.answers, [50, 95]))
        if measured.answers
        else "-"
    )
    for problem in measured.problems[:5]:
        _out.print(problem)
    return [
        *(len(votes.items), f"{len(votes.items) / options.seconds:.1f}", waits, measured.failures),
        *(len(measured.problems), verdict.acknowledged, verdict.lost, verdict.doubled, verdict.misassigned, wrong),
        *(even.by_lease, even.ever),
    ]


def main() -> None:
    """Prints a row for each database and each way to it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--think", type=float, default=1.5, help="mean seconds from a page to its answer")
    parser.add_argument("--through", nargs="+", choices=["pages", "store"], default=["pages", "store"])
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    options = parser.parse_args()
    table = Table(
        *("through", "database", "answers", "a second", "p50 / p95 ms", "met no server", "problems"),
        *("acknowledged", "lost", "doubled", "misassigned", "miscounted items", "ahead by a lease", "ever ahead"),
    )
    for how in options.through:
        for kind in options.databases:
            with tempfile.TemporaryDirectory() as folder, database(kind, Path(folder)) as url:
                table.add_row(how, kind, *map(str, asyncio.run(run(how, url, Path(folder), options))))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
