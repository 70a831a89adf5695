"""Studies through the client: the same values over both transports."""

import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from PIL import Image

from clients.gateways import FakeGateway, Ports, serving
from clients.results.test_results import assert_same
from clients.served_studies import (
    CLOSED,
    INVITED,
    KEY,
    OPENED,
    PILOT,
    STATUS,
    STUDY,
    FakeStudies,
    results_json,
)
from whybox import (
    Client,
    InternalError,
    NotFoundError,
    PermissionDeniedError,
    StudyResults,
    UnauthenticatedError,
    WhyboxError,
    results,
    v1,
)
from whybox._messages.studies import read_results
from whybox_server.studies.report.subject import Count
from whybox_server.studies.results import outcome

STUDIES = FakeStudies()


@pytest.fixture(scope="module")
def all_ports() -> Iterator[Ports]:
    with serving(FakeGateway(), studies=STUDIES.api) as ports:
        yield ports


@pytest.fixture(autouse=True)
def studies() -> FakeStudies:
    STUDIES.reset()
    return STUDIES


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, timeout=10, key=KEY) as client:
        yield client


CALLS: dict[str, Callable[[Client], object]] = {
    "studies": lambda client: client.studies(request_id="call-1"),
    "study": lambda client: client.study("photos", request_id="call-1"),
    "study_results": lambda client: client.study_results("photos", request_id="call-1"),
    "invite": lambda client: client.invite("photos", request_id="call-1"),
}


def test_the_studies(client: Client) -> None:
    main, pilot = client.studies()
    assert (main.opened_at, main.closed_at, pilot.closed_at) == (OPENED, CLOSED, None)
    for message, value in ((STUDY, main), (PILOT, pilot)):
        shown = {field.name for field in message.DESCRIPTOR.fields} - {"opened_at", "closed_at"}
        assert {name: getattr(value, name) for name in shown} == {name: getattr(message, name) for name in shown}
        assert shown | {"opened_at", "closed_at"} == {field.name for field in dataclasses.fields(value)}
    assert str(main) == (
        "study photos: 40 pictures of photos, answers of lite0 1.0; opened on 2026-01-02, closed on 2026-02-01:"
        " Enough [answers]."
    )
    assert str(pilot).startswith("study photos-pilot, a pilot: ")


def test_the_status_of_a_study(client: Client, studies: FakeStudies) -> None:
    status = client.study("photos/../x y")
    assert studies.asked == ["photos/../x y"]
    assert status.study == client.studies()[0]
    for cell, message in zip(status.cells, STATUS.cells, strict=True):
        assert_same(message, cell)
    assert {field.name for field in dataclasses.fields(status)} == set(STATUS.DESCRIPTOR.fields_by_name)
    assert dict(status.annotators) == dict(STATUS.annotators)
    assert str(status).splitlines()[1:] == [
        "people: 2 invited, 30 finished, 1 withdrawn",
        "answers: 1195, of which 5 say that the picture cannot be judged",
        "gold: 4 of 30 wrong; 1 people excluded",
        "none/clean/model: 200 of 200 answers",
        "feature/clean/model: 199 of 200 answers, 1 being asked",
    ]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "raised",
    [
        UnauthenticatedError("needs a key", reason="UNKNOWN_KEY"),
        PermissionDeniedError("needs another scope"),
        NotFoundError("no such study", reason="UNKNOWN_STUDY", field="study"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_server_refuses(client: Client, studies: FakeStudies, call: str, raised: WhyboxError) -> None:
    studies.error = raised
    with pytest.raises(type(raised)) as caught:
        CALLS[call](client)
    assert (caught.value.message, caught.value.reason, caught.value.field) == (
        raised.message,
        raised.reason,
        raised.field,
    )
    assert caught.value.__notes__ == ["Request id: call-1"]
    assert KEY not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.__notes__)))


@pytest.mark.parametrize(
    ("key", "error"),
    [("", ValueError), ("a b", ValueError), ("a\n", ValueError), ("clé", ValueError), (b"whybox_x", TypeError)],
)
def test_keys_that_are_none(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="key must be") as caught:
        Client("http://x", key=key)
    assert not key or str(key) not in str(caught.value)


def test_the_key_stands_in_no_repr(client: Client) -> None:
    call = client._call(None, None)
    assert call.key == KEY
    assert KEY not in repr(client) + repr(call) + repr(client._transport)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (((), {}), {"number": 1}),
        (((30,), {"days": 2}), {"number": 30, "days": 2.0}),
        (((), {"number": 7.0, "days": 0.5}), {"number": 7, "days": 0.5}),
    ],
)
def test_invitations(
    client: Client, studies: FakeStudies, arguments: tuple[Any, dict[str, Any]], expected: dict[str, Any]
) -> None:
    positional, named = arguments
    invitations = client.invite("photos", *positional, **named)
    assert studies.asked == [v1.InviteAnnotatorsRequest(study="photos", **expected)]
    assert (invitations.links, invitations.expires) == (tuple(INVITED.links), CLOSED)
    assert str(invitations).splitlines() == list(INVITED.links)
    assert INVITED.links[0] not in repr(invitations)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"number": "3"}, TypeError),
        ({"number": -1}, ValueError),
        ({"days": "2"}, TypeError),
        ({"days": float("nan")}, ValueError),
        ({"id": ""}, ValueError),
    ],
)
def test_arguments_that_are_wrong(client: Client, studies: FakeStudies, fields: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.invite(**({"id": "photos"} | fields))
    assert studies.asked == []


def test_results_are_the_file_and_its_values(client: Client, studies: FakeStudies) -> None:
    found = client.study_results("photos", timeout=7)
    assert studies.timeouts == [pytest.approx(7, abs=0.1)]
    assert found.json.encode() == results_json()
    told = json.loads(found.json)
    values = dataclasses.asdict(found)
    del values["json"]
    # Tuples are lists in JSON.
    assert json.loads(json.dumps(values)) == {name: told[name] for name in values}
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 (its own)


@pytest.mark.parametrize(
    "name",
    [
        "Estimate",
        "CellOutcome",
        "Contrast",
        "Sensitivity",
        "Agreement",
        "LatentCell",
        "Latent",
        "Exclusions",
        "Speed",
        "Outcome",
        "Count",
    ],
)
def test_the_values_are_those_that_the_server_computes(name: str) -> None:
    """Field by field, so that neither can gain one without the other."""
    actual = StudyResults if name == "Outcome" else getattr(results, name)
    expected = Count if name == "Count" else getattr(outcome, name)
    fields = {field.name for field in dataclasses.fields(expected)}
    assert fields <= {field.name for field in dataclasses.fields(actual)}
    if name != "Outcome":
        assert fields == set(get_type_hints(actual))
        assert actual.__doc__ == expected.__doc__


def later(told: dict[str, Any]) -> None:
    told["later"] = told["cells"][0]["later"] = {"x": 1}


def test_a_later_server_may_say_more(studies: FakeStudies) -> None:
    told = json.loads(results_json())
    later(told)
    assert read_results(json.dumps(told).encode()) == read_results(studies.results)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.update(layout=2), "of layout 2"),
        (lambda told: told.pop("layout"), "layout"),
        (lambda told: told.pop("cells"), "results.json has no cells"),
        (lambda told: told.update(cells={}), "results.json.cells is no list"),
        (lambda told: told["cells"][0].update(votes="3"), r"cells\[0\].votes is no int"),
        (lambda told: told["cells"][1]["accepted"].pop("low"), r"cells\[1\].accepted has no low"),
        (lambda told: told.update(seed=True), "seed is no int"),
        (lambda told: told.update(speed=[]), "speed is no object"),
    ],
)
def test_results_that_cannot_be_read(change: Callable[[dict[str, Any]], object], words: str) -> None:
    told = json.loads(results_json())
    change(told)
    with pytest.raises(InternalError, match=words):
        read_results(json.dumps(told).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"3"])
def test_results_that_are_no_file(content: bytes) -> None:
    with pytest.raises(InternalError, match=r"is no results\.json"):
        read_results(content)


def test_results_in_words(client: Client) -> None:
    found = client.study_results("photos")
    lines = str(found).splitlines()
    # What is estimated is said before the first interval.
    assert lines[:2] == [found.title, found.estimand]
    [cell] = (cell for cell in found.cells if cell.cell == "feature/clean/model")
    assert cell.rectified is not None
    place = lines.index("where the model looked, clean pictures: 40 questions, 200 votes")
    assert lines[place + 1] == (
        f"  standard error 30.4 %, rectified error {100 * cell.rectified.estimate:.1f} %"
        f" ({100 * cell.rectified.low:.1f} % to {100 * cell.rectified.high:.1f} %)"
    )
    assert lines[place + 2] == (
        f"  errors accepted: {cell.majority_accepted_errors} of 24;"
        f" correct answers rejected: {cell.majority_rejected_correct} of 16"
    )
    [registered, *_] = (contrast for contrast in found.contrasts if contrast.registered)
    assert any(
        line.startswith(f"feature - none, clean pictures: {100 * registered.difference.estimate:+.1f} points")
        for line in lines
    )
    assert any(line.startswith("nearest pictures, adversarial pictures: ") for line in lines)


def test_results_draw_and_save_themselves(client: Client, tmp_path: Path) -> None:
    found = client.study_results("photos")
    plots = found.plot(), found.plot_errors(640), found.plot_contrasts(registered_alone=True)
    assert [plot.width for plot in plots] == [960, 640, 960]
    assert plots[0].height > plots[1].height + 100
    assert all(len(plot.getcolors(1 << 20) or ()) > 100 for plot in plots)
    saved = found.save(tmp_path / "new" / "folder")
    assert [path.name for path in saved] == ["results.json", "results.png"]
    assert saved[0].read_bytes() == results_json()
    with Image.open(saved[1]) as image:
        assert image.size == plots[0].size
    for size, error in ((100, ValueError), ("wide", TypeError)):
        with pytest.raises(error, match="pixels"):
            found.plot(size)  # type: ignore[arg-type]
