"""TLS between the client, or the command, and both transports of the server."""

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner, Result

from certificates import Authority, Pair
from clients.gateways import FakeGateway, Ports, serving
from whybox import Client, UnavailableError
from whybox.cli import app
from whybox_server.access.certificates import Certificates

TRANSPORTS = pytest.mark.parametrize("transport", ["grpc", "rest"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture(scope="module")
def encrypted(issued: Pair) -> Iterator[Ports]:
    with serving(FakeGateway(), certificates=Certificates(*issued.files)) as ports:
        yield ports


@pytest.fixture(scope="module")
def mutual(issued: Pair, authority: Authority) -> Iterator[Ports]:
    with serving(FakeGateway(), certificates=Certificates(*issued.files, authority.certificate)) as ports:
        yield ports


def names(url: str, **options: object) -> list[str]:
    with Client(url, timeout=10, **options) as client:  # type: ignore[arg-type] # a table of them
        return [model.name for model in client.models()]


def test_the_addresses_say_so(encrypted: Ports) -> None:
    assert [urlsplit(url).scheme for url in (encrypted.rest, encrypted.grpc)] == ["https", "grpcs"]


@TRANSPORTS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_that_knows_the_authority(encrypted: Ports, authority: Authority, transport: str, host: str) -> None:
    url = getattr(encrypted, transport).replace("127.0.0.1", host)
    assert names(url, ca=authority.certificate) == names(url, ca=str(authority.certificate)) == ["lite0", "lite2"]


@TRANSPORTS
def test_a_client_that_does_not(encrypted: Ports, stranger: Authority, transport: str) -> None:
    url = getattr(encrypted, transport)
    for ca in (None, stranger.certificate):
        with pytest.raises(UnavailableError, match=r"(?i)certificate.?verify.?failed"):
            names(url, ca=ca)


@TRANSPORTS
def test_a_certificate_of_another_host(authority: Authority, transport: str) -> None:
    other = authority.issue("elsewhere", names="DNS:whybox.example.org")
    with (
        serving(FakeGateway(), certificates=Certificates(*other.files)) as ports,
        pytest.raises(UnavailableError, match=r"(?i)certificate|hostname verification"),
    ):
        names(getattr(ports, transport), ca=authority.certificate)


@TRANSPORTS
def test_clients_that_show_a_certificate(
    mutual: Ports, authority: Authority, stranger: Authority, transport: str
) -> None:
    url = getattr(mutual, transport)
    known = authority.issue("client")
    assert names(url, ca=authority.certificate, certificate=known.files)
    expired = authority.issue("old", start="20200101000000Z", end="20200102000000Z")
    for refused in (None, stranger.issue("unknown").files, expired.files):
        with pytest.raises(UnavailableError):
            names(url, ca=authority.certificate, certificate=refused)


@TRANSPORTS
def test_plain_text_to_a_port_of_tls(encrypted: Ports, authority: Authority, transport: str) -> None:
    plain = getattr(encrypted, transport).replace("grpcs", "grpc").replace("https", "http")
    with pytest.raises(UnavailableError):
        names(plain)
    # The server goes on.
    assert names(getattr(encrypted, transport), ca=authority.certificate)


@TRANSPORTS
def test_tls_to_a_port_of_plain_text(authority: Authority, transport: str) -> None:
    with serving(FakeGateway()) as ports:
        url = getattr(ports, transport).replace("grpc:", "grpcs:").replace("http:", "https:")
        with pytest.raises(UnavailableError):
            names(url, ca=authority.certificate)


def test_probes(encrypted: Ports, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    assert httpx.get(f"{encrypted.rest}/healthz", verify=context).status_code == 200
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    with grpc.secure_channel(urlsplit(encrypted.grpc).netloc, credentials) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    # The gateway of these tests has no workers.
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def tls(url: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    parts = urlsplit(url)
    with (
        socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        yield encrypted


@pytest.mark.parametrize(("transport", "spoken"), [("rest", "http/1.1"), ("grpc", "h2")])
def test_what_is_negotiated(encrypted: Ports, authority: Authority, transport: str, spoken: str) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with tls(getattr(encrypted, transport), context) as connection:
        assert (connection.selected_alpn_protocol(), connection.version()) == (spoken, "TLSv1.3")


@TRANSPORTS
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(("version", "taken"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)])
def test_old_versions(
    encrypted: Ports, authority: Authority, transport: str, version: ssl.TLSVersion, *, taken: bool
) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.minimum_version = context.maximum_version = version
    # OpenSSL itself would not even ask for the older one.
    context.set_ciphers("ALL:@SECLEVEL=0")
    url = getattr(encrypted, transport)
    if taken:
        with tls(url, context) as connection:
            assert connection.version() == "TLSv1.2"
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)), tls(url, context):
            pass


@TRANSPORTS
def test_a_new_certificate_while_the_server_runs(
    authority: Authority, stranger: Authority, issued: Pair, tmp_path: Path, transport: str
) -> None:
    pair = Pair(*(Path(shutil.copy2(path, tmp_path)) for path in issued.files))
    with serving(FakeGateway(), certificates=Certificates(*pair.files)) as ports:
        url = getattr(ports, transport)
        with Client(url, timeout=10, ca=authority.certificate) as before:
            assert before.models()
            pair.replace(stranger.issue("new"))
            assert names(url, ca=stranger.certificate)
            with pytest.raises(UnavailableError):
                names(url, ca=authority.certificate)
            # Its connection began with the old one.
            assert before.models()
        pair.key.write_text("broken")
        assert names(url, ca=stranger.certificate)


@TRANSPORTS
def test_new_authorities_of_clients_while_the_server_runs(
    authority: Authority, stranger: Authority, issued: Pair, tmp_path: Path, transport: str
) -> None:
    client_ca = Path(shutil.copy(authority.certificate, tmp_path))
    known, unknown = authority.issue("known").files, stranger.issue("unknown").files
    with serving(FakeGateway(), certificates=Certificates(*issued.files, client_ca)) as ports:
        url = getattr(ports, transport)
        assert names(url, ca=authority.certificate, certificate=known)
        client_ca.write_bytes(stranger.certificate.read_bytes())
        assert names(url, ca=authority.certificate, certificate=unknown)
        with pytest.raises(UnavailableError):
            names(url, ca=authority.certificate, certificate=known)


SECURE = ["grpcs://whybox.example.org:8001", "https://whybox.example.org"]
LOCAL = ["grpc://127.0.0.1:8001", "grpc://[::1]", "http://localhost:8000", "http://127.9.9.9"]
PLAIN = ["grpc://whybox.example.org", "grpc://10.0.0.1:8001", "http://192.0.2.1", "http://[2001:db8::1]:8000"]


@pytest.mark.parametrize(
    ("url", "options", "allowed"),
    [
        *((url, {"key": "k"}, True) for url in (*SECURE, *LOCAL)),
        *((url, {}, True) for url in PLAIN),
        *((url, {"key": "k"}, False) for url in PLAIN),
        *((url, {"key": "k", "insecure": True}, True) for url in PLAIN),
    ],
)
def test_a_key_leaves_the_machine_over_tls_alone(url: str, options: dict[str, object], *, allowed: bool) -> None:
    if allowed:
        Client(url, **options).close()  # type: ignore[arg-type] # a table of them
        return
    with pytest.raises(ValueError, match=r"plain text.* begin url with (grpcs|https)://.*insecure=True") as caught:
        Client(url, **options)  # type: ignore[arg-type]
    assert "'k'" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_files_for_tls_need_an_address_with_it(issued: Pair, scheme: str) -> None:
    for options in ({"ca": issued.certificate}, {"certificate": issued.files}):
        with pytest.raises(ValueError, match=rf"ca and certificate are for TLS; begin url with {scheme}s://"):
            Client(f"{scheme}://127.0.0.1", **options)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_files_that_are_wrong(issued: Pair, authority: Authority, tmp_path: Path, scheme: str) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.touch()
    binary = tmp_path / "binary.pem"
    binary.write_bytes(bytes(range(256)))
    protected = authority.issue("protected", passphrase="of a test")  # noqa: S106
    cases: list[tuple[dict[str, object], type[Exception], str]] = [
        ({"ca": missing}, FileNotFoundError, "missing.pem"),
        ({"ca": empty}, ValueError, "ca: .*empty.pem is no PEM"),
        ({"ca": binary}, ValueError, "ca: .*binary.pem is no PEM"),
        ({"ca": b"pem"}, TypeError, "ca must be the path"),
        ({"certificate": (missing, issued.key)}, FileNotFoundError, "missing.pem"),
        ({"certificate": (issued.certificate, missing)}, FileNotFoundError, "missing.pem"),
        ({"certificate": (issued.certificate, protected.key)}, ValueError, "passphrase"),
        ({"certificate": (issued.certificate, authority.pair.key)}, ValueError, "certificate: .*MISMATCH"),
        ({"certificate": issued.certificate}, TypeError, "certificate must be a pair of paths"),
        ({"certificate": (issued.certificate,)}, TypeError, "certificate must be a pair of paths"),
    ]
    for options, kind, said in cases:
        with pytest.raises(kind, match=said):
            Client(f"{scheme}://127.0.0.1", **options)  # type: ignore[arg-type]


def whybox(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@TRANSPORTS
def test_the_command(
    mutual: Ports, authority: Authority, issued: Pair, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = getattr(mutual, transport)
    files: list[str | Path] = [
        "--ca",
        authority.certificate,
        "--certificate",
        issued.certificate,
        "--certificate-key",
        issued.key,
    ]
    told = whybox(*files, "models", "--url", url)
    assert (told.exit_code, "lite0" in told.output) == (0, True)
    assert whybox("models", "--url", url).exit_code == 1
    alone = whybox(*files[:4], "models", "--url", url)
    assert (alone.exit_code, "go together" in alone.output) == (2, True)
    monkeypatch.setenv("WHYBOX_CA", str(authority.certificate))
    monkeypatch.setenv("WHYBOX_CERTIFICATE", str(issued.certificate))
    monkeypatch.setenv("WHYBOX_CERTIFICATE_KEY", str(issued.key))
    assert whybox("models", "--url", url).exit_code == 0


def test_the_command_keeps_a_key_to_itself(monkeypatch: pytest.MonkeyPatch, unused_address: str) -> None:
    monkeypatch.setenv("WHYBOX_KEY", "k")
    refused = whybox("models", "--url", "http://192.0.2.1")
    assert refused.exit_code == 2
    assert "--insecure" in refused.output
    # Nobody answers, but the key may go.
    assert whybox("--insecure", "models", "--url", f"http://{unused_address}").exit_code == 1
