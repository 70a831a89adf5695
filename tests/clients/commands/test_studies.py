"""`whybox study`: what each command shows and writes, and where its key comes from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from clients.gateways import FakeGateway, Ports, serving
from clients.served_studies import AUTHORIZATION, INVITED, KEY, STATUS, FakeStudies, results_json
from whybox import NotFoundError, UnauthenticatedError, v1

STUDIES = FakeStudies()
COMMANDS = (["list"], ["status", "photos"], ["results", "photos"], ["invite", "photos"])


@pytest.fixture(scope="module")
def all_ports() -> Iterator[Ports]:
    with serving(FakeGateway(), studies=STUDIES.api) as ports:
        yield ports


@pytest.fixture
def studies() -> FakeStudies:
    STUDIES.reset()
    return STUDIES


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, studies: FakeStudies) -> None:  # noqa: ARG001 (reset before each test)
    monkeypatch.setenv("WHYBOX_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "160")


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_the_list(run: Callable[..., Result]) -> None:
    told = words(run("study", "list"))
    assert "study title state model pictures opened" in told
    assert "photos Which labels fit? closed lite0 40 2026-01-02" in told
    assert "photos-pilot Try open, pilot" in told
    main, pilot = json.loads(run("study", "list", "--json").stdout)
    assert (main["id"], main["opened_at"], pilot["closed_at"]) == ("photos", "2026-01-02T03:04:05.600000+00:00", None)


def test_the_status(run: Callable[..., Result], studies: FakeStudies) -> None:
    told = words(run("study", "status", "photos"))
    assert "closed on 2026-02-01: Enough [answers]." in told
    assert "people: 2 invited, 30 finished, 1 withdrawn" in told
    assert "feature/clean/model 199 of 200" in told
    assert "gold: 4 of 30 wrong; 1 people excluded" in told
    assert studies.asked == ["photos"]
    cells = json.loads(run("study", "status", "photos", "--json").stdout)["cells"]
    assert [cell["answered"] for cell in cells] == [cell.answered for cell in STATUS.cells]


@pytest.mark.parametrize("json_too", [False, True])
def test_the_results_are_shown_and_saved(run: Callable[..., Result], folder: Path, json_too: bool) -> None:
    result = run("study", "results", "photos", "--save", "new/results", *(["--json"] if json_too else []))
    written = ["wrote new/results/results.json", "wrote new/results/results.png"]
    if json_too:
        assert result.stdout.encode() == results_json()
        assert result.stderr.splitlines() == written
    else:
        assert "rectified error" in words(result)
        assert "The estimand is what a fresh majority" in words(result)
        assert result.stdout.splitlines()[-2:] == written
    assert (folder / "new/results/results.json").read_bytes() == results_json()
    assert (folder / "new/results/results.png").read_bytes().startswith(b"\x89PNG")


def test_invitations(run: Callable[..., Result], studies: FakeStudies, folder: Path) -> None:
    result = run("study", "invite", "photos", "--number", "2", "--days", "3")
    assert result.stdout.splitlines() == list(INVITED.links)
    assert studies.asked == [v1.InviteAnnotatorsRequest(study="photos", number=2, days=3)]
    assert json.loads(run("study", "invite", "photos", "--json").stdout)["links"] == list(INVITED.links)
    (folder / "links.txt").touch(0o644)
    saved = run("study", "invite", "photos", "--save", "links.txt")
    assert saved.stdout == "wrote links.txt\n"
    assert (folder / "links.txt").read_text().splitlines() == list(INVITED.links)
    assert (folder / "links.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("file", "variable", "expected"),
    [
        (None, KEY, AUTHORIZATION),
        (None, f" {KEY}\n", AUTHORIZATION),
        (None, "", None),
        (f"{KEY}\n", "whybox_other", AUTHORIZATION),
        (f"{KEY}\r\nfrom Ada\n", "", AUTHORIZATION),
    ],
)
def test_where_the_key_comes_from(
    run: Callable[..., Result],
    gateway: FakeGateway,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    file: str | None,
    variable: str,
    expected: str | None,
) -> None:
    monkeypatch.setenv("WHYBOX_KEY", variable)
    if file is not None:
        (folder / "key.txt").write_text(file)
    result = run("study", *command, *(["--key-file", "key.txt"] if file is not None else []))
    assert result.exit_code == 0, result.output
    assert gateway.authorizations == [expected]
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [(None, 1, "key.txt"), ("", 2, "key must be one word"), ("two words", 2, "key must be one word")],
)
def test_key_files_that_hold_none(
    run: Callable[..., Result], gateway: FakeGateway, folder: Path, content: str | None, code: int, said: str
) -> None:
    if content is not None:
        (folder / "key.txt").write_text(content)
    result = run("study", "list", "--key-file", "key.txt")
    assert result.exit_code == code
    assert said in result.stderr
    assert "two words" not in result.output
    assert gateway.authorizations == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "error", [UnauthenticatedError("needs a key"), NotFoundError("no such study", reason="UNKNOWN_STUDY")]
)
def test_errors_are_one_line(
    run: Callable[..., Result], studies: FakeStudies, command: list[str], error: NotFoundError
) -> None:
    studies.error = error
    result = run("study", *command)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Error: {error.message} [{error.reason}]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "STUDY"),
        (["invite", "photos", "--number", "0"], "--number"),
        (["invite", "photos", "--number", "1001"], "--number"),
        (["invite", "photos", "--days", "0"], "--days"),
        (["list", "--key", KEY], "No such option"),
    ],
)
def test_usage(run: Callable[..., Result], studies: FakeStudies, arguments: list[str], said: str) -> None:
    result = run("study", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert studies.asked == []
