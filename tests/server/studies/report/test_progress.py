"""How far results are: told to a terminal alone."""

import io

import numpy as np
import pytest
from rich.console import Console

from crowds import study
from whybox_server.studies.report.progress import ResultsProgress
from whybox_server.studies.results.compute import compute
from whybox_server.studies.results.progress import FITTING, REDRAWING


def test_reports_grow_to_all_that_there_is() -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    votes, design = study(15, np.random.default_rng(0))
    compute(votes, design, seed=0, redraws=100, report=lambda what, *far: told.setdefault(what, []).append(far))
    assert list(told) == [REDRAWING, FITTING]
    assert told[REDRAWING] == [(100, 100)]
    for far in told.values():
        assert [done for done, _ in far] == sorted(done for done, _ in far)
        assert far[-1][0] == far[-1][1]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_alone_shows_bars(terminal: bool) -> None:
    written = io.StringIO()
    with ResultsProgress(Console(file=written, force_terminal=terminal, width=120)) as progress:
        progress.show(REDRAWING, 50, 200)
        progress.show(FITTING, 1, 500)
    shown = written.getvalue()
    if terminal:
        assert REDRAWING in shown
        assert FITTING in shown
        assert "25%" in shown
        assert "-:--:--" in shown
    else:
        assert shown == ""
