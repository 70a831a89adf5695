"""The file of keys: what it holds, who may read it, and what is made of one that is wrong."""

import hmac
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from whybox_server.access import keys
from whybox_server.access.keys import PREFIX, KeyFile, KeyFileError, Scope, digest, find

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_random_and_only_its_hash_is_kept(path: Path) -> None:
    secrets = [KeyFile(path).add(f"n{number}", [Scope.STUDIES_READ], now=NOW)[1] for number in range(20)]
    assert len(set(secrets)) == 20
    # 256 bits in 43 characters.
    assert all(re.fullmatch(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", secret) for secret in secrets)
    text = path.read_text()
    assert not any(secret.removeprefix(PREFIX) in text for secret in secrets)
    assert [key.sha256 for key in KeyFile(path).read()] == [digest(secret) for secret in secrets]
    assert "sha256" not in repr(KeyFile(path).read()[0])


def test_a_key_comes_back_as_it_was_made(path: Path) -> None:
    expires = NOW + timedelta(days=2)
    made, _ = KeyFile(path).add("Ada's notebook", [Scope.STUDIES_INVITE, Scope.ADMIN], now=NOW, expires=expires)
    assert KeyFile(path).read() == (made,)
    assert (made.name, made.scopes, made.created, made.expires) == (
        "Ada's notebook",
        (Scope.STUDIES_INVITE, Scope.ADMIN),
        NOW,
        expires,
    )
    assert not made.expired(expires - timedelta(seconds=1))
    assert made.expired(expires)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_file_is_for_its_owner_alone_and_comes_in_one_piece(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        for name in ("a", "b"):
            KeyFile(path).add(name, [Scope.ADMIN], now=NOW)
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o610, 0o644])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int) -> None:
    KeyFile(path).add("a", [Scope.ADMIN], now=NOW)
    path.chmod(mode)
    for use in (KeyFile(path).read, lambda: KeyFile(path).revoke("a")):
        with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
            use()
    path.chmod(0o600)
    assert len(KeyFile(path).read()) == 1


GOOD = {"name": "a", "sha256": "0" * 64, "scopes": ["admin"], "created": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not JSON"),
        ("whybox_secret", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "the file"),
        ({"keys": [GOOD], "layout": 2}, "its layout is 2, not 1"),
        ({"keys": [GOOD, GOOD]}, "two keys have the same name"),
        ({"keys": [GOOD | {"sha256": "whybox_secret"}]}, r"keys\.0\.sha256"),
        ({"keys": [GOOD | {"scopes": []}]}, r"keys\.0\.scopes"),
        ({"keys": [GOOD | {"scopes": ["everything"]}]}, r"keys\.0\.scopes\.0"),
        ({"keys": [GOOD | {"created": "2026-01-01T00:00:00"}]}, r"keys\.0\.created"),
        ({"keys": [GOOD | {"expires": "soon"}]}, r"keys\.0\.expires"),
        ({"keys": [GOOD | {"name": "a\nb"}]}, "printable"),
        ({"keys": [GOOD | {"key": "whybox_secret"}]}, r"keys\.0\.key"),
    ],
)
def test_a_malformed_file_is_refused_and_stays_as_it_is(path: Path, content: object, why: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    path.chmod(0o600)
    for use in (KeyFile(path).read, lambda: KeyFile(path).add("b", [Scope.ADMIN], now=NOW)):
        with pytest.raises(KeyFileError, match=why) as caught:
            use()
        assert "whybox_secret" not in str(caught.value)
    assert path.read_text() == text


def test_what_cannot_be_used_says_what_to_do(path: Path) -> None:
    with pytest.raises(KeyFileError, match="whybox-server keys add"):
        KeyFile(path).read()
    with pytest.raises(KeyFileError, match="whybox-server keys add"):
        KeyFile(path).revoke("a")
    with pytest.raises(KeyFileError, match="cannot be written"):
        KeyFile(path.parent / "missing" / "keys.json").add("a", [Scope.ADMIN], now=NOW)
    path.mkdir(0o700)
    with pytest.raises(KeyFileError, match="cannot be read"):
        KeyFile(path).read()


@pytest.mark.parametrize(("name", "scopes"), [("", ["admin"]), (" a", ["admin"]), ("a\x1b[1m", ["admin"]), ("a", [])])
def test_a_key_has_a_name_of_one_line_and_a_scope(path: Path, name: str, scopes: list[str]) -> None:
    with pytest.raises(KeyFileError, match="printable characters"):
        KeyFile(path).add(name, map(Scope, scopes), now=NOW)
    assert not path.exists()


def test_names_are_taken_once_and_free_after_revocation(path: Path) -> None:
    file = KeyFile(path)
    _, first = file.add("a", [Scope.ADMIN], now=NOW)
    with pytest.raises(KeyFileError, match="has a key named a"):
        file.add("a", [Scope.ADMIN], now=NOW)
    file.revoke("a")
    assert file.read() == ()
    with pytest.raises(KeyFileError, match="no key named 'a'"):
        file.revoke("a")
    _, second = file.add("a", [Scope.ADMIN], now=NOW)
    assert find(file.read(), first) is None
    assert find(file.read(), second) == file.read()[0]


def test_the_file_is_read_again_when_it_changes_and_only_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyFile(path).add("a", [Scope.ADMIN], now=NOW)
    file = KeyFile(path)
    reads: list[bytes] = []
    parsed = file._parsed

    def parse(content: bytes) -> tuple[keys.Key, ...]:
        reads.append(content)
        return parsed(content)

    monkeypatch.setattr(file, "_parsed", parse)
    assert [len(file.read()) for _ in range(3)] == [1, 1, 1]
    assert len(reads) == 1
    KeyFile(path).add("b", [Scope.ADMIN], now=NOW)
    assert [len(file.read()) for _ in range(3)] == [2, 2, 2]
    assert len(reads) == 2


def test_every_key_is_compared_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the right one was found: the time of an answer tells neither place nor likeness."""
    secrets = [KeyFile(path).add(name, [Scope.ADMIN], now=NOW)[1] for name in "abc"]
    compared: list[tuple[str, str]] = []
    actual = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return actual(one, other)

    monkeypatch.setattr("whybox_server.access.keys.hmac.compare_digest", compare)
    for presented in (*secrets, "whybox_other", "", "é", "\ud800"):
        compared.clear()
        find(KeyFile(path).read(), presented)
        assert compared == [(digest(secret), digest(presented)) for secret in secrets]


ALLOWED: dict[str, set[str]] = {
    "predict": {"predict"},
    "analyze": {"predict", "analyze"},
    "studies:read": {"studies:read"},
    "studies:invite": {"studies:invite"},
    "metrics": {"metrics"},
    "admin": set(Scope),
}


@pytest.mark.parametrize("wanted", Scope)
@pytest.mark.parametrize("own", Scope)
def test_scopes(own: Scope, wanted: Scope) -> None:
    assert own.allows(wanted) is (wanted in ALLOWED[own])
