"""A server with TLS, keys and studies: both clients, the command, curl, and the links of invitations."""

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from certificates import Authority, Pair
from server.studies.folders import write_folder
from servers import Server, serving
from whybox import Client, UnauthenticatedError, UnavailableError

BIN = Path(sys.executable).parent
STUDY = "shapes"


@dataclass(frozen=True)
class Encrypted:
    """A server that clients reach with a certificate and a key alone.

    Attributes:
        server: The server.
        authority: Of its certificate, and of those of clients.
        pair: The server's certificate.
        client: The certificate of a client.
        key: A key that allows everything.
    """

    server: Server
    authority: Authority
    pair: Pair
    client: Pair
    key: str

    @property
    def context(self) -> ssl.SSLContext:
        """What a client of the standard library connects with."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.load_cert_chain(*self.client.files)
        return context


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def encrypted(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "authority")
    pair, client = authority.issue("server"), authority.issue("client")
    key_file, database = folder / "keys.json", f"sqlite:///{folder}/studies.db"
    key = run(BIN / "whybox-server", "keys", "add", "--name", "a", "--scope", "admin", "--file", key_file).split()[-1]
    write_folder(folder / STUDY, study=STUDY, pictures=2, practice=1)
    run(BIN / "whybox-server", "study", "open", folder / STUDY, "--database", database)
    settings = {
        "WHYBOX_KEY_FILE": key_file,
        "WHYBOX_DATABASE": database,
        "WHYBOX_TLS_CERTIFICATE": pair.certificate,
        "WHYBOX_TLS_KEY": pair.key,
        "WHYBOX_TLS_CLIENT_CA": authority.certificate,
        # Beyond loopback, without --insecure.
        "WHYBOX_REST_HOST": "0.0.0.0",  # noqa: S104
        "WHYBOX_GRPC_HOST": "0.0.0.0",  # noqa: S104
    }
    with serving(archive.parent, folder / "logs", **{name: str(value) for name, value in settings.items()}) as server:
        yield Encrypted(server, authority, pair, client, key)


def address(server: Server, transport: str) -> str:
    return str(getattr(server, transport)).replace("0.0.0.0", "127.0.0.1")  # noqa: S104


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_both_clients(encrypted: Encrypted, dalmatian: bytes, transport: str) -> None:
    url, ca, own = address(encrypted.server, transport), encrypted.authority.certificate, encrypted.client.files
    with Client(url, key=encrypted.key, ca=ca, certificate=own, timeout=120) as client:
        answer = client.analyze(dalmatian, parts=["prediction", "explanations"])
        assert answer.prediction is not None
        assert answer.prediction.classes[0].label == "dalmatian"
        parts = list(client.stream(dalmatian, parts=["prediction", "explanations"]))
        assert len(parts) > 1
    with Client(url, ca=ca, certificate=own) as client, pytest.raises(UnauthenticatedError):
        client.predict(dalmatian)
    with Client(url, key=encrypted.key, ca=ca) as client, pytest.raises(UnavailableError):
        client.predict(dalmatian)


def test_curl_and_its_large_upload(encrypted: Encrypted, dalmatian: bytes) -> None:
    url = f"{address(encrypted.server, 'rest')}/v1/models/efficientnet-lite0:predict"
    files: list[str | Path] = ["--cacert", encrypted.authority.certificate, "--cert", encrypted.client.certificate]
    files += ["--key", encrypted.client.key]
    headers = ["-H", "Content-Type: image/jpeg", "-H", f"Authorization: Bearer {encrypted.key}"]
    told = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--data-binary", "@-"]
    command: list[str | Path] = ["curl", *told, *files, *headers, url]
    answer = subprocess.run(command, input=dalmatian, check=True, capture_output=True)
    assert answer.stdout == b"200 1.1"


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_invitations_lead_to_pages_over_https(encrypted: Encrypted, transport: str) -> None:
    url, ca, own = address(encrypted.server, transport), encrypted.authority.certificate, encrypted.client.files
    with Client(url, key=encrypted.key, ca=ca, certificate=own) as client:
        [link] = client.invite(STUDY).links
    assert link.startswith(f"{encrypted.server.rest}/studies/{STUDY}?")
    assert link.startswith("https://")
    with httpx.Client(verify=encrypted.context) as http:
        answer = http.get(link.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_renewed_certificate(encrypted: Encrypted, tmp_path: Path, transport: str) -> None:
    url, own = address(encrypted.server, transport), encrypted.client.files
    new = Authority(tmp_path / "new")
    old = Pair(*(Path(shutil.copy2(path, tmp_path)) for path in encrypted.pair.files))
    encrypted.pair.replace(new.issue("server"))
    try:
        with Client(url, key=encrypted.key, ca=new.certificate, certificate=own) as client:
            assert client.models()
    finally:
        encrypted.pair.replace(old)


def test_pages_by_themselves(encrypted: Encrypted, tmp_path: Path) -> None:
    """`study serve` takes the same certificate."""
    command: list[str | Path] = [BIN / "whybox-server", "study", "serve", "--port", "0"]
    command += ["--database", f"sqlite:///{tmp_path}/studies.db"]
    files = {"WHYBOX_TLS_CERTIFICATE": encrypted.pair.certificate, "WHYBOX_TLS_KEY": encrypted.pair.key}
    environment = os.environ | {name: str(path) for name, path in files.items()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("studies on https://127.0.0.1:")
            answer = httpx.get(line.split()[2].rstrip(";"), verify=encrypted.context)
            assert answer.headers["location"].startswith("https://")
        finally:
            process.terminate()
    broken = subprocess.run(
        command, env=environment | {"WHYBOX_TLS_KEY": str(tmp_path)}, check=False, capture_output=True, text=True
    )
    assert broken.returncode == 1
    assert "WHYBOX_TLS_KEY=" in broken.stderr
