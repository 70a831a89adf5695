"""The commands of studies: their help, and what they refuse before they compute anything."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf import json_format
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_group
from typer.testing import CliRunner, Result

from whybox import v1
from whybox_server.cli.app import app
from whybox_server.settings import Settings
from whybox_server.studies.creation.cost import SECONDS
from whybox_server.studies.creation.folder import write_protocol
from whybox_server.studies.protocol import Cell, File, Item, Label, Picture, Protocol, Source, Wording

STUDY = get_group(app).commands["study"]
assert isinstance(STUDY, TyperGroup)
COMMANDS = STUDY.commands


@pytest.fixture(autouse=True)
def _wide_and_plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in Settings.model_fields:
        monkeypatch.delenv(f"WHYBOX_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["study", *map(str, arguments)])


def told(outcome: Result) -> str:
    """The one line that a failed command prints."""
    assert outcome.exit_code == 1, outcome.output
    assert isinstance(outcome.exception, SystemExit)
    [line] = outcome.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def model(**fields: object) -> v1.Model:
    found = v1.Model(
        name="m", version="1", labels=["cat", "dog", "cow", "hen"], num_classes=4, norms=["linf"], default_attack="fmn"
    )
    if "labels" in fields:
        found.labels[:] = str(fields["labels"]).split()
        found.num_classes = len(found.labels)
    found.methods.add(name="grad_cam", options=[])
    found.methods.add(name="rise", unavailable="it is too slow")
    found.methods.add(name="example", gives_examples=True, unavailable=str(fields.get("no_bank", "")))
    found.attacks.add(name="fmn", norms=["linf", "l2"], evaluations="gradient")
    found.audit.references.thumbnails = int(str(fields.get("thumbnails", 1)))
    return found


def store(folder: Path, packed: v1.Model) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(packed))
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_explains_every_option(name: str) -> None:
    outcome = run(name, "--help")
    assert outcome.exit_code == 0
    text = " ".join(outcome.output.split())
    for parameter in COMMANDS[name].params:
        assert isinstance(parameter, TyperArgument | TyperOption)
        assert parameter.help
        assert parameter.help in text
    assert len(COMMANDS[name].help or "") > 30


def test_the_seconds_of_an_answer_have_one_default() -> None:
    [option] = [each for each in COMMANDS["create"].params if each.name == "seconds"]
    assert option.default == SECONDS


@pytest.mark.parametrize(
    ("options", "packed", "words"),
    [
        (["--model", "n"], model(), "holds no n; it holds m"),
        ([], model(no_bank="packed without an audit"), "no pictures for the arm example (packed without an audit)"),
        ([], model(thumbnails=0), "is packed without thumbnails"),
        (["--explanation", "gradcam"], model(), "--explanation gradcam: m offers grad_cam"),
        (["--explanation", "rise"], model(), "--explanation rise: it is too slow"),
        # The arm example has its own cells.
        (["--explanation", "example"], model(), "--explanation example: m offers grad_cam"),
        (["--show", "whole"], model(), "take --show view"),
        (["--cell", "map/clean"], model(), "--cell 'map/clean' is no cell"),
        (["--id", "A study"], model(), "--id 'A study' is no name"),
        (["--id", "a-pilot"], model(), "no -pilot or -preview"),
        (["--cell", "none/clean"], model(), "have no label"),
        (["--cell", "none/clean", "--attack", "none"], model(), "--attack"),
        ([], model(labels="cat dog"), "m has 2 labels, and these cells need 3"),
        (["--foil"], model(labels="cat dog crane crane"), "m has 3 labels, and these cells need 4"),
        (["--cell", "none/clean", "--foil"], model(labels="cat dog"), "leave --foil out"),
        (["--cell", "none/clean"], model(labels="cat dog"), "have no label"),
        (["--wording", "w.json"], model(), "question"),
        (["--wording", "german.json"], model(), "is in 'de' and lacks question, yes, no, maybe, cannot_judge and"),
        (["--id-parameter", "a b"], model(), "--id-parameter 'a b': give at most 64 letters"),
        (["--return-address", "https://x"], model(), "--return-address needs --id-parameter"),
        (["--id-parameter", "a", "--return-address", "http://x"], model(), "begins with https://"),
    ],
)
def test_what_create_refuses(options: list[str], packed: v1.Model, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    (tmp_path / "w.json").write_text('{"question": "Is it?"}')
    (tmp_path / "german.json").write_text('{"language": "de", "title": "Bilder"}')
    line = told(run("create", folder, "--model-store", store(tmp_path / "store", packed), *options))
    assert words in line
    assert not (tmp_path / "study-study" / "protocol.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"question": "Is it?"}',
            "question: String should match pattern '\\{label\\}'; write a question with {label}",
        ),
        ('{"language": "de_DE"}', "write a code such as en or pt-BR"),
        ('{"yes": " "}', "yes: String should match pattern"),
        ('{"no": 1}', "no: Input should be a valid string; write a text"),
        ('{"instructions": "Look."}', "write a list of paragraphs"),
        ('{"consent": []}', "write a list of paragraphs, at least one"),
        ('{"consent": ["I agree.", ""]}', "consent.1: "),
        ('{"thank": "Thanks."}', "thank: there is no such text; whybox-server study wording prints all of them"),
        ("[]", "the file: "),
        ("{", 'write one object of texts, such as {"title"'),
        ("", "the file: Invalid JSON"),
    ],
)
def test_texts_that_are_wrong(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(text)
    options = ["--model-store", store(tmp_path / "store", model()), "--wording", "w.json"]
    line = told(run("create", tmp_path, *options))
    assert line.startswith("error: --wording w.json: ")
    assert words in line


def test_texts_that_are_not_there(tmp_path: Path) -> None:
    line = told(run("create", tmp_path, "--wording", "w.json"))
    assert "--wording w.json cannot be read (No such file or directory)" in line


def protocol(digest: str = "0" * 64) -> Protocol:
    file = File(path="pictures/a.webp", sha256=digest, width=1, height=1)
    cat = Label(index=0, text="cat")
    item = Item(cells=("none/clean/model",), label=cat, picture=file)
    picture = Picture(
        id="p", source="a.jpg", stratum="error", inclusion_probability=1, given=cat, predicted=cat, items=(item,)
    )
    source = Source(model="m", version="1", digest="", data="d", errors=1, correct=0)
    return Protocol(id="s", source=source, cells=(Cell(arm="none", version="clean"),), pictures=(picture,))


def test_create_does_not_overwrite_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "study-study"
    folder.mkdir()
    write_protocol(folder, protocol())
    before = (folder / "protocol.json").read_bytes()
    options = ["--model-store", store(tmp_path / "store", model()), "--cell", "none/clean"]
    assert "holds a study; give another --save, or --fresh" in told(run("create", tmp_path, *options))
    assert (folder / "protocol.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: None, "pictures/a.webp cannot be read"),
        (lambda folder: (folder / "protocol.json").unlink(), "holds no study"),
        (lambda folder: (folder / "protocol.json").write_text("{}"), "is no protocol of this version"),
        (
            lambda folder: ((folder / "pictures").mkdir(), (folder / "pictures" / "a.webp").write_bytes(b"x")),
            "differs from the protocol's",
        ),
    ],
)
def test_open_refuses_a_folder_that_is_not_whole(change: object, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    write_protocol(folder, protocol())
    assert callable(change)
    change(folder)
    assert words in told(run("open", folder, "--database", f"sqlite:///{tmp_path / 's.db'}"))


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["status", "s"], ["invite", "s"], ["close", "s", "--reason", "r"], ["forget", "a"]],
    ids=lambda arguments: arguments[0],
)
def test_a_database_that_is_not_there_is_not_made(arguments: list[str], tmp_path: Path) -> None:
    assert "SQLite database whybox-studies.db does not exist; open a study first" in told(run(*arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_study_from_opening_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a.webp").write_bytes(b"picture")
    made = protocol(sha256(b"picture").hexdigest())
    write_protocol(folder, made)
    assert run("open", folder).output == f"opened s, protocol {made.digest}\n"
    assert run("open", folder, "--pilot").output == f"opened s-pilot, protocol {made.digest}\n"
    assert "exclude each other" in told(run("open", folder, "--pilot", "--preview"))
    links = run("invite", "s", "--number", "3", "--url", "https://x.example/").output.splitlines()
    assert len(set(links)) == 3
    assert all(link.startswith("https://x.example/studies/s?invitation=") for link in links)
    status = run("status", "s").output
    assert "annotators: 3 invited" in status
    assert "none/clean/model  0/5" in status
    assert {line.split(":")[0] for line in run("list").output.splitlines()} == {"s", "s-pilot"}
    assert run("close", "s", "--reason", "enough").output == "closed s\n"
    assert "s: closed (enough)" in run("list").output
    assert "closed" in told(run("close", "s", "--reason", "again"))
    assert "nothing is stored about annotator x" in told(run("forget", "x"))


def test_wording_prints_what_create_reads() -> None:
    outcome = run("wording")
    assert Wording.model_validate_json(outcome.output).missing() == []
