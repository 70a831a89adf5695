"""A server with keys: who gets in over both transports, from the moment a key is made until it is revoked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from servers import Server, serving
from whybox import Client, PermissionDeniedError, UnauthenticatedError

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


def run(key_file: Path, *arguments: str) -> str:
    command: list[str | Path] = [BIN / "whybox-server", "keys", *arguments, "--file", key_file]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return str(ended.stdout).strip()


@pytest.fixture(scope="module")
def keys(key_file: Path) -> dict[str, str]:
    """A key for each scope that the tests need."""
    return {
        scope: run(key_file, "add", "--name", scope, "--scope", scope) for scope in ("predict", "analyze", "metrics")
    }


@pytest.fixture(scope="module")
def guarded(
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    key_file: Path,
    keys: dict[str, str],  # noqa: ARG001 (in the file)
) -> Iterator[Server]:
    logs = tmp_path_factory.mktemp("logs")
    with serving(archive.parent, logs, WHYBOX_KEY_FILE=str(key_file), WHYBOX_CACHE_BYTES="64000000") as server:
        yield server


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_cache_tells_no_caller_what_another_asked(
    guarded: Server, keys: dict[str, str], dalmatian: bytes, transport: str
) -> None:
    # Another picture file for each transport: both share the cache.
    picture = dalmatian + transport.encode()

    def cached(scope: str) -> bool:
        with Client(getattr(guarded, transport), key=keys[scope], timeout=120) as client:
            timings = client.analyze(picture, parts="prediction").timings
            assert timings is not None
            return timings.parts[0].cached

    assert [cached(scope) for scope in ("predict", "analyze", "predict", "analyze")] == [False, False, True, True]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_scopes_of_the_models(guarded: Server, keys: dict[str, str], dalmatian: bytes, transport: str) -> None:
    url = getattr(guarded, transport)
    with Client(url, key=keys["predict"], timeout=120) as client:
        assert client.predict(dalmatian).classes[0].label == "dalmatian"
        for refused in (client.explain, client.robustness, client.analyze):
            with pytest.raises(PermissionDeniedError, match="the scope analyze"):
                refused(dalmatian)
    with Client(url, key=keys["analyze"], timeout=120) as client:
        [explanation] = client.explain(dalmatian)
        assert explanation.error is None
        assert client.models()
    for key in (None, "whybox_other"):
        with Client(url, key=key) as client, pytest.raises(UnauthenticatedError):
            client.predict(dalmatian)
    with Client(url, key=keys["metrics"]) as client, pytest.raises(PermissionDeniedError, match="the scope predict"):
        client.predict(dalmatian)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_key_is_revoked_while_the_server_runs(
    guarded: Server, key_file: Path, dalmatian: bytes, transport: str
) -> None:
    key = run(key_file, "add", "--name", f"short {transport}", "--scope", "predict")
    with Client(getattr(guarded, transport), key=key) as client:
        client.predict(dalmatian)
        run(key_file, "revoke", f"short {transport}")
        with pytest.raises(UnauthenticatedError, match="unknown or revoked"):
            client.predict(dalmatian)


def test_a_refused_upload_is_not_read(guarded: Server, dalmatian: bytes) -> None:
    """curl waits for 100 Continue before it sends a picture; it gets 401 instead."""
    url = f"{guarded.rest}/v1/models/efficientnet-lite0:predict"
    told = "%{http_code} %{size_upload}"
    command = ["curl", "-s", "-o", "/dev/null", "-w", told, "--data-binary", "@-", url]
    headers = ["-H", "Content-Type: image/jpeg", "-H", "Expect: 100-continue"]
    answer = subprocess.run([*command, *headers], input=dalmatian, check=True, capture_output=True)
    assert answer.stdout == b"401 0"


def test_what_operators_and_browsers_see(guarded: Server, keys: dict[str, str]) -> None:
    with httpx.Client(base_url=guarded.rest) as http:
        assert [http.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        assert [http.get(path).status_code for path in ("/docs", "/openapi.json", "/metrics", "/x")] == [401] * 4
        metrics = http.get("/metrics", headers={"Authorization": f"Bearer {keys['metrics']}"})
        assert 'code="UNAUTHENTICATED"' in metrics.text
        assert not [key for key in keys.values() if key in metrics.text]
        for path in ("/docs", "/docs/assets/swagger-ui.css", "/openapi.json"):
            assert http.get(path, auth=("", keys["predict"])).status_code == 200
