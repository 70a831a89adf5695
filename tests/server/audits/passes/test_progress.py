"""The rate of a pass and the time that is left."""

import io

from rich.console import Console

from clocks import Clock
from whybox_server.audits.passes.journal import Record
from whybox_server.audits.passes.pool import Progress
from whybox_server.audits.passes.progress import ProgressDisplay


def records(count: int) -> list[Record]:
    return [Record(f"{number}.jpg", "", label=0, predicted=number % 2) for number in range(count)]


def test_the_rate_does_not_count_the_loading_of_the_model() -> None:
    clock, log = Clock(), io.StringIO()
    display = ProgressDisplay(Console(file=log), None, "again", clock)
    before = 20
    # Seconds that pass, pictures that are done, and the line. 20 pictures are of an earlier run.
    for seconds, done, line in (
        (0, 20, ""),
        (40, 22, "again: 22/102 pictures; so far 50.0% right"),
        (1, 24, ""),
        (29, 42, "again: 42/102 pictures, 40/min, 1.5 min left; so far 50.0% right"),
        (30, 62, "again: 62/102 pictures, 40/min, 1.0 min left; so far 50.0% right"),
    ):
        clock.turn(seconds)
        written = log.tell()
        display.show(Progress(done, 102, 20), records(done - before))
        before = done
        assert log.getvalue()[written:].strip() == line
