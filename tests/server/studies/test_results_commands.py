"""The commands that read answers: import, results and export."""

import asyncio
import csv
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.studies.imports import publications
from server.studies.imports.publications import NO, YES
from studying import protocol, write
from whybox_server.cli.app import app
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import Question
from whybox_server.studies.store import StudyStore

QUESTIONS = {("a.JPEG", 3): [YES, YES, YES, NO, NO], ("b.JPEG", 3): [NO] * 5}


def run(*given: object) -> Result:
    return CliRunner().invoke(app, ["study", *map(str, given)], env={"COLUMNS": "200"})


def numbers(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "results.json").read_text())
    return found


def test_import_without_a_model_rectifies_nothing(tmp_path: Path) -> None:
    publications.real(tmp_path, QUESTIONS)
    done = run("import", "real", tmp_path, "--save", tmp_path / "save")
    assert done.exit_code == 0, done.output
    found = numbers(tmp_path / "save")
    assert (found["standard_error"], found["claims"]) == (None, {"errors": [], "adversarial": []})
    page = (tmp_path / "save" / "results.html").read_text()
    assert "no error is rectified" in page
    assert "rectified error" not in page.lower().replace("no error is rectified", "")


def test_import_with_predictions(tmp_path: Path) -> None:
    publications.real(tmp_path, QUESTIONS)
    table = tmp_path / "net.csv"
    table.write_text("file,label,predicted\na.JPEG,1,3\nb.JPEG,3,3\nc.JPEG,1,2\nd.JPEG,1,1\n")
    done = run("import", "real", tmp_path, "--predictions", table, "--save", tmp_path / "save")
    assert done.exit_code == 0, done.output
    assert "standard error 50.0%, rectified error 50.0%" in done.output
    assert "never asked about: 1 of 2 errors, 1 of 2 correct answers" in done.output
    found = numbers(tmp_path / "save")
    assert (found["model"], found["unasked_errors"], found["unasked_correct"]) == ("net", 1, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["label-errors", ".", "--predictions", "x.csv"], "error: --predictions is for real only"),
        (["salient-imagenet", ".", "--pictures", "x"], "error: --pictures is for real only"),
        (
            ["real", ".", "--pictures", "x", "--predictions", "x.csv"],
            "error: give --pictures to predict them by a packed",
        ),
        (["real", ".", "--model", "m"], "error: --model predicts pictures; give their folder as --pictures"),
        (["real", ".", "--labels", "x.csv"], "error: --labels gives the classes of pictures; give --pictures or"),
        (["real", "nowhere"], "error: nowhere is no folder"),
    ],
)
def test_imports_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("import", *given)
    assert done.exit_code == 1
    assert message in done.output
    assert not list(tmp_path.iterdir())


async def answered(url: str, folder: Path, people: int) -> None:
    """A study of two pictures, answered yes by all but one person."""
    engine = create_engine(url)
    await upgrade(engine)
    store = StudyStore(engine)
    await store.open(protocol(2, cells=protocol(1).cells[:1], practice=1), folder)
    for number, token in enumerate(await store.invite("dogs", people, timedelta(days=1))):
        person = await store.enter("dogs", token)
        await store.consent(person.id)
        while isinstance(question := await store.question(person.id), Question):
            said = Answer.YES if number else Answer.NO
            await store.answer(person.id, question.picture_id, said, milliseconds=900, key=question.picture_id)
    await engine.dispose()


def test_results_and_export_of_a_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    folder = write(protocol(2, cells=protocol(1).cells[:1], practice=1), tmp_path / "study")
    asyncio.run(answered(url, folder, people=5))
    done = run("results", "dogs", "--database", url, "--save", tmp_path / "save")
    assert done.exit_code == 0, done.output
    # Both answers are errors, and a majority accepts both.
    assert "errors accepted: 2 of 2" in done.output
    assert numbers(tmp_path / "save")["digest"] == protocol(2, cells=protocol(1).cells[:1], practice=1).digest
    done = run("export", "dogs", "--database", url, "--save", tmp_path / "votes.csv")
    assert done.exit_code == 0, done.output
    with (tmp_path / "votes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["kind"] for row in rows) == ["item"] * 10 + ["practice"] * 5
    assert [row["answer"] for row in rows if row["kind"] == "item"].count("no") == 2


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    asyncio.run(answered(url, write(protocol(2, cells=protocol(1).cells[:1], practice=1), tmp_path / "study"), 1))
    nowhere = run("export", "dogs", "--database", url, "--save", tmp_path / "no folder" / "votes.csv")
    assert nowhere.exit_code == 1
    assert "votes.csv cannot be written (No such file or directory); give another --save" in nowhere.output
    for command in ("results", "export"):
        done = run(command, "cats", "--database", url, "--save", tmp_path / "votes.csv")
        assert done.exit_code == 1
        assert "error: there is no study 'cats'" in done.output
