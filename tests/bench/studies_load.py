"""Do 50 people who answer at once, without a pause, lose answers or fill quotas unevenly?

    python tests/bench/studies_load.py --seconds 120 --kill

Runs on SQLite and on a PostgreSQL of its own. The people are spread over several processes; with `--kill` one of these
is killed with SIGKILL at half time. Besides, each takes back answers, pauses, and sends some answers twice.
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

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
import crowd
import postgres
from studying import protocol, write
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.studies.protocol import Cell
from whybox_server.studies.store import StudyStore

CELLS = tuple(Cell(arm=arm, version=ver) for ver in ("clean", "adversarial") for arm in ("none", "feature", "example"))
PICTURES, QUOTA = 1000, 10


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


async def run(url: str, folder: Path, options: argparse.Namespace) -> tuple[object, ...]:
    """A row of the table."""
    engine = create_engine(url)
    await upgrade(engine)
    store = StudyStore(engine)
    study = protocol(PICTURES, cells=CELLS, annotators_per_cell=QUOTA, pictures_per_annotator=PICTURES)
    await store.open(study, write(study, folder / "study"))
    tokens = await store.invite(study.id, options.annotators, timedelta(days=1))
    names = [(await store.enter(study.id, token)).id for token in tokens]
    for name in names:
        await store.consent(name)
    logs = [folder / f"log{place}" for place in range(options.processes)]
    command = (sys.executable, crowd.__file__, url)
    processes = [
        await asyncio.create_subprocess_exec(
            *command, str(log), str(place), str(options.seconds), *names[place :: options.processes]
        )
        for place, log in enumerate(logs)
    ]
    began, ahead = time.monotonic(), []
    try:
        while any(process.returncode is None for process in processes):
            ahead.append(await crowd.spread(engine, study.id))
            if options.kill and time.monotonic() - began > options.seconds / 2 and processes[0].returncode is None:
                processes[0].kill()
            await asyncio.sleep(0.2)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    ended = [process.returncode for process in processes]
    votes = await store.votes(study.id)
    verdict = crowd.judge(logs, votes)
    wrong = await crowd.miscounted(engine, study.id)
    await engine.dispose()
    return (
        len(votes.items),
        f"{len(votes.items) / options.seconds:.0f}",
        verdict.lost,
        verdict.doubled,
        verdict.misassigned,
        wrong,
        max(ahead),
        ahead[-1],
        " ".join(map(str, ended)),
    )


def main() -> None:
    """Prints a row for each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    options = parser.parse_args()
    table = Table(
        *("database", "answers", "a second", "lost", "doubled", "misassigned", "miscounted items"),
        *("furthest ahead", "ahead at the end", "exit codes"),
    )
    for kind in options.databases:
        with tempfile.TemporaryDirectory() as folder, database(kind, Path(folder)) as url:
            row = asyncio.run(run(url, Path(folder), options))
        table.add_row(kind, *map(str, row))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
