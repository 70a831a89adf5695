"""Which work is refused, and for how long."""

from pathlib import Path

import pytest

from messages import message
from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_server.gateway.queueing.suspects import Suspects


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def work(**given: object) -> v1.Work:
    return message(v1.Work, **{"request": {"model": "m", "seed": 3}, **given})


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refuses(suspects: Suspects, one: v1.Work) -> str:
    """Why; empty if it passes."""
    try:
        suspects.check(one)
    except FailedPreconditionError as error:
        return error.message
    return ""


def test_two_deaths_within_ten_minutes(clock: Clock) -> None:
    suspects = Suspects(clock)
    suspects.accuse(work())
    assert not refuses(suspects, work())
    clock.seconds = 599
    suspects.accuse(work())
    assert "refused for 10 more minutes" in refuses(suspects, work())
    clock.seconds += 541
    assert "refused for 1 more minutes" in refuses(suspects, work())
    clock.seconds += 59
    assert not refuses(suspects, work())


def test_a_death_is_forgotten(clock: Clock) -> None:
    suspects = Suspects(clock)
    suspects.accuse(work())
    clock.seconds = 600
    suspects.check(work())
    suspects.accuse(work())
    assert not refuses(suspects, work())


def test_what_was_done_is_acquitted(clock: Clock) -> None:
    suspects = Suspects(clock)
    for _ in range(3):
        suspects.accuse(work())
        suspects.acquit(work())
    assert not refuses(suspects, work())


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"request_id": "another"}, True),
        ({"deadline": {"seconds": 9}, "aim": {"seconds": 8}}, True),
        ({"resume": b"state"}, True),
        ({"request": {"model": "m", "seed": 4}}, False),
        ({"request": {"model": "m", "seed": 3, "image": b"x"}}, False),
        ({"twin": {"method": "grad_cam"}}, False),
    ],
)
def test_the_same_work_is_known(changed: dict[str, object], same: bool, clock: Clock) -> None:
    suspects = Suspects(clock)
    for _ in range(2):
        suspects.accuse(work())
    assert bool(refuses(suspects, work(**changed))) == same


def test_a_picture_is_known_by_its_content(tmp_path: Path, clock: Clock) -> None:
    suspects = Suspects(clock)
    places = {name: tmp_path / name for name in ("one", "same", "other")}
    for name, content in (("one", b"p"), ("same", b"p"), ("other", b"q")):
        places[name].write_bytes(content)
    works = {name: work(picture_path=str(path)) for name, path in places.items()}
    for _ in range(2):
        suspects.accuse(works["one"])
    assert [bool(refuses(suspects, works[name])) for name in places] == [True, True, False]
