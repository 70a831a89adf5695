"""Studies of a model of one's own and of odd pictures: each is shown or named, and a kill loses nothing."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from server.studies.creation import killed, odd
from whybox_server.cli.app import app
from whybox_server.studies.creation.folder import read_protocol
from whybox_server.studies.creation.predictions import LEFT_OUT, WORK

CELLS = ("--cell", "none/clean", "--cell", "feature/clean", "--given")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures`, their tables and the packed `model`."""
    folder = tmp_path_factory.mktemp("odd")
    names = sorted(path.name for path in odd.write_pictures(folder / "pictures").iterdir())
    # Whatever the network answers, both strata have pictures.
    _table(
        folder / "labels.csv", ("file", "label"), [(name, odd.LABELS[place % 2]) for place, name in enumerate(names)]
    )
    odd.pack(folder / "model")
    return folder


def _table(path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def arguments(place: Path, save: Path, *options: object) -> list[str]:
    given = ("study", "create", place / "pictures", "--labels", place / "labels.csv", "--save", save)
    store = ("--model-store", place / "model" / "store")
    return list(map(str, (*given, *store, *CELLS, "--correct", 1, "--practice-pictures", 0, "--workers", 1, *options)))


def run(*given: str) -> Result:
    return CliRunner().invoke(app, given, env={"COLUMNS": "400", "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def made(place: Path) -> tuple[Path, Result]:
    """The study, made without interruption."""
    outcome = run(*arguments(place, place / "made"))
    assert outcome.exit_code == 0, outcome.output
    return place / "made", outcome


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a study but the database of predictions, whose pages tell how often it was opened."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("audit.sqlite")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", odd.SHOWN)
def test_odd_pictures_are_shown(made: tuple[Path, Result], name: str) -> None:
    folder, _ = made
    [picture] = [each for each in read_protocol(folder).pictures if each.source == name]
    assert {picture.given.text, picture.predicted.text} <= set(odd.LABELS)
    assert sorted(cell for item in picture.items for cell in item.cells) == sorted(
        f"{arm}/clean/{asked}" for arm in ("none", "feature") for asked in ("model", "given")
    )
    for file in (file for item in picture.items for file in item.files()):
        content = (folder / file.path).read_bytes()
        assert sha256(content).hexdigest() == file.sha256
        with Image.open(folder / file.path) as image:
            image.load()
            assert image.size == (file.width, file.height)


def test_what_cannot_be_decoded_is_named(made: tuple[Path, Result]) -> None:
    folder, outcome = made
    assert {each.source for each in read_protocol(folder).pictures} == set(odd.SHOWN)
    listed = json.loads((folder / WORK / LEFT_OUT).read_text())
    assert listed["failed"] == []
    faults = {fault["file"]: fault["error"] for fault in listed["unreadable"]}
    assert faults.keys() == odd.LEFT_OUT.keys()
    for name, (_, words) in odd.LEFT_OUT.items():
        assert faults[name].startswith(words)
    told, *named, more = outcome.stderr.splitlines()
    assert told == f"pictures that cannot be decoded (listed in {folder / WORK / LEFT_OUT}): {len(odd.LEFT_OUT)}"
    assert [line.split(":")[0].strip() for line in named] == sorted(odd.LEFT_OUT)[:3]
    assert more == f"  and {len(odd.LEFT_OUT) - 3} more"


@pytest.mark.parametrize(
    ("table", "rows", "words"),
    [
        ("practice", [("text\u202e.png", "0", "yes")], "text\\u202e.png: this looks like text; send one"),
        ("gold", [("1 x 1.png", "0", "yes")], "1 x 1.png: the picture has 1 x 1 pixels; send one with at least 16"),
        ("gold", [("no\nsuch.png", "0", "yes")], "no\\nsuch.png does not exist; add the picture, or remove the row"),
        ("gold", [("constant.png", "0", "yes")], "constant.png is a practice or gold picture, and constant.png"),
        ("gold", [("constant.png", "cat", "yes")], "'cat' is neither the index nor the label of a class"),
    ],
)
def test_known_pictures_that_are_wrong(
    place: Path, made: tuple[Path, Result], tmp_path: Path, table: str, rows: list[tuple[str, ...]], words: str
) -> None:
    shutil.copytree(made[0] / WORK, tmp_path / "save" / WORK)
    _table(tmp_path / "known.csv", ("file", "label", "right"), rows)
    outcome = run(*arguments(place, tmp_path / "save", f"--{table}", tmp_path / "known.csv"))
    assert outcome.exit_code == 1
    line = outcome.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert words in line
    assert not (tmp_path / "save" / "protocol.json").exists()


def kill(place: Path, save: Path, number: int) -> None:
    """A run that ends as soon as it has made a number of pictures."""
    command = [sys.executable, killed.__file__, str(number), *arguments(place, save)]
    # No pipes: processes that outlive it for a moment would hold them.
    nowhere = subprocess.DEVNULL
    ended = subprocess.run(command, stdout=nowhere, stderr=nowhere, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (save / "protocol.json").exists()
    assert len(list((save / WORK / "made").glob("*.json"))) == number


def cut_a_file(save: Path) -> None:
    path = min((save / "pictures").iterdir())
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize(("spoil", "kept"), [(lambda _: None, 5), (cut_a_file, 4)], ids=["as it was", "cut file"])
def test_a_killed_run_goes_on(
    place: Path, made: tuple[Path, Result], tmp_path: Path, spoil: Callable[[Path], None], kept: int
) -> None:
    save = tmp_path / "save"
    kill(place, save, 5)
    spoil(save)
    outcome = run(*arguments(place, save))
    assert outcome.exit_code == 0, outcome.output
    told = f"making pictures: {kept} of {len(odd.SHOWN)} pictures were made by an earlier run"
    assert told in outcome.stderr.splitlines()
    assert contents(save) == contents(made[0])


def test_a_gpu_that_is_not_there_is_named(place: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    outcome = run(*arguments(place, tmp_path / "save", "--device", "cuda"))
    assert outcome.exit_code == 1
    assert outcome.stderr == "error: torch finds no CUDA device; use --device cpu\n"
