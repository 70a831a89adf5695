"""`whybox-server keys`: a key is shown once, and works until it is revoked."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whybox_server.access.keys import PREFIX, KeyFile, digest
from whybox_server.cli.app import app


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHYBOX_KEY_FILE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["keys", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("option", "setting", "file"),
    [(None, None, "whybox-keys.json"), (None, "set.json", "set.json"), ("given.json", "set.json", "given.json")],
)
def test_a_key_goes_where_option_setting_or_default_say(
    here: Path, monkeypatch: pytest.MonkeyPatch, option: str | None, setting: str | None, file: str
) -> None:
    if setting:
        monkeypatch.setenv("WHYBOX_KEY_FILE", setting)
    where = ["--file", option] if option else []
    code, out, err = run("add", "--name", "Ada's", "--scope", "studies:read", "--scope", "studies:invite", *where)
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith(PREFIX)
    assert f'{file} has the hash of "Ada\'s" (studies:read, studies:invite; never expires)' in err
    assert out.strip() not in err
    [key] = KeyFile(here / file).read()
    assert key.sha256 == digest(out.strip())


def test_the_list_and_what_is_revoked() -> None:
    run("add", "--name", "[red]ada", "--scope", "admin")
    run("add", "--name", "bob", "--scope", "studies:read", "--expires", "3")
    _, out, _ = run("list")
    header, ada, bob = out.splitlines()
    assert header.split() == ["name", "scopes", "made", "expires"]
    assert re.fullmatch(r"\[red\]ada +admin +\d{4}-\d\d-\d\d +never expires *", ada)
    assert re.fullmatch(r"bob +studies:read +\d{4}-\d\d-\d\d +expires \d{4}-\d\d-\d\d", bob)
    assert run("revoke", "[red]ada")[:2] == (0, "revoked '[red]ada' in whybox-keys.json\n")
    [left] = run("list")[1].splitlines()[1:]
    assert left.split() == bob.split()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list"], 1, "there is no such file of keys"),
        (["revoke", "ada"], 1, "there is no such file of keys"),
        (["add", "--name", "a\nb", "--scope", "admin"], 1, "printable characters"),
        (["add", "--name", "a", "--scope", "root"], 2, "root"),
        (["add", "--name", "a", "--scope", "admin", "--expires", "0"], 2, "0"),
        (["add", "--name", "a"], 2, "--scope"),
        (["add", "--scope", "admin"], 2, "--name"),
    ],
)
def test_what_is_wrong_is_said(here: Path, arguments: list[str], code: int, said: str) -> None:
    ended, out, err = run(*arguments)
    assert (ended, out) == (code, "")
    assert said in err
    assert list(here.iterdir()) == []
