"""The files of the server's certificate: what is refused at the start, and what happens when they change."""

import logging
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority, Pair
from whybox_server.access.certificates import CertificateError, Certificates, certificates_of
from whybox_server.settings import Settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> dict[str, Pair]:
    return {
        "good": authority.issue("good"),
        "other": authority.issue("other"),
        "expired": authority.issue("expired", start="20200101000000Z", end="20200102000000Z"),
        "future": authority.issue("future", start="20980101000000Z"),
        "protected": authority.issue("protected", passphrase="of a test"),  # noqa: S106
    }


@pytest.fixture
def pair(tmp_path: Path, issued: dict[str, Pair]) -> Pair:
    """A copy of the good certificate, to be changed."""
    files = [Path(shutil.copy2(path, tmp_path)) for path in issued["good"].files]
    return Pair(*files)


def handshake(server: ssl.SSLContext, authority: Authority, own: Pair | None = None) -> ssl.SSLObject:
    """The server's end after a handshake, and a byte from the client, in memory."""
    client = ssl.create_default_context(cafile=authority.certificate)
    if own is not None:
        client.load_cert_chain(*own.files)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs, ours, theirs):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    ours.write(b"x")
    assert theirs.read(1) == b"x"
    return ours


def common_name(end: ssl.SSLObject) -> str:
    certificate: Any = end.getpeercert()
    return str(dict(named for [named] in certificate["subject"])["commonName"])


def test_by_default_there_is_none() -> None:
    assert certificates_of(Settings()) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["tls_certificate"], r"^WHYBOX_TLS_CERTIFICATE is set, but TLS also needs WHYBOX_TLS_KEY \("),
        (["tls_key"], r"^WHYBOX_TLS_KEY is set, but TLS also needs WHYBOX_TLS_CERTIFICATE \("),
        (["tls_client_ca"], r"^WHYBOX_TLS_CLIENT_CA is set, but .* WHYBOX_TLS_CERTIFICATE \(.*WHYBOX_TLS_KEY \("),
        (["tls_client_ca", "tls_key"], r"^WHYBOX_TLS_KEY is set, but TLS also needs WHYBOX_TLS_CERTIFICATE \("),
    ],
)
def test_settings_that_are_not_complete(pair: Pair, given: list[str], said: str) -> None:
    files = {"tls_certificate": pair.certificate, "tls_key": pair.key, "tls_client_ca": pair.certificate}
    settings = Settings().model_copy(update={name: files[name] for name in given})
    with pytest.raises(CertificateError, match=said):
        certificates_of(settings)


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("certificate", Path.unlink, r"^WHYBOX_TLS_CERTIFICATE=.* cannot be read \(No such file"),
        ("key", Path.unlink, r"^WHYBOX_TLS_KEY=.* cannot be read \(No such file"),
        ("client_ca", Path.unlink, r"^WHYBOX_TLS_CLIENT_CA=.* cannot be read \(No such file"),
        ("key", lambda path: path.chmod(0o640), r"^WHYBOX_TLS_KEY=.*others than its owner.* run: chmod 600 "),
        ("certificate", _write(b""), r"WHYBOX_TLS_CERTIFICATE=.* is no PEM .*BEGIN CERTIFICATE"),
        ("certificate", _write(b"\xff\x00"), r"WHYBOX_TLS_CERTIFICATE=.* is no PEM .*BEGIN CERTIFICATE"),
        ("key", _write(b"-----BEGIN PRIVATE KEY-----\nAAAA\n"), r"WHYBOX_TLS_KEY=.* is no PEM .*BEGIN PRIVATE KEY"),
        ("key", _write(b"x" * (2**20 + 1)), r"WHYBOX_TLS_KEY=.* has more than 1,048,576 bytes"),
        *(
            ("client_ca", _write(content), r"^WHYBOX_TLS_CLIENT_CA=.* is no PEM with certificates")
            for content in (b"", b"no PEM", b"\xff\x00")
        ),
    ],
)
def test_files_that_cannot_be_used(
    pair: Pair, authority: Authority, tmp_path: Path, which: str, change: Callable[[Path], object], said: str
) -> None:
    client_ca = Path(shutil.copy(authority.certificate, tmp_path))
    change({"certificate": pair.certificate, "key": pair.key, "client_ca": client_ca}[which])
    with pytest.raises(CertificateError, match=said):
        Certificates(*pair.files, client_ca)


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("good", "other", r"WHYBOX_TLS_CERTIFICATE=.*good.pem and WHYBOX_TLS_KEY=.*other.key do not belong together"),
        ("expired", "expired", r"WHYBOX_TLS_CERTIFICATE=.*: .*\(certificate has expired\); renew it"),
        ("future", "future", r"WHYBOX_TLS_CERTIFICATE=.*: .*\(certificate is not yet valid\).* clock"),
        ("protected", "protected", r"WHYBOX_TLS_KEY=.* has a passphrase.* openssl pkey -in .*protected.key"),
    ],
)
def test_certificates_that_no_client_would_take(issued: dict[str, Pair], certificate: str, key: str, said: str) -> None:
    with pytest.raises(CertificateError, match=said):
        Certificates(issued[certificate].certificate, issued[key].key)


def test_an_authority_of_clients_that_has_expired(
    issued: dict[str, Pair], authority: Authority, tmp_path: Path
) -> None:
    old = authority.issue("old-ca", extensions="authority", start="20200101000000Z", end="20200102000000Z")
    with pytest.raises(CertificateError, match=r"^WHYBOX_TLS_CLIENT_CA=.*has expired"):
        Certificates(*issued["good"].files, old.certificate)
    both = tmp_path / "both.pem"
    both.write_bytes(old.certificate.read_bytes() + authority.certificate.read_bytes())
    context = Certificates(*issued["good"].files, both).current().context
    assert handshake(context, authority, issued["other"]).version() == "TLSv1.3"


def test_what_a_client_meets(pair: Pair, authority: Authority) -> None:
    context = Certificates(*pair.files).current().context
    assert handshake(context, authority).version() == "TLSv1.3"
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_new_files_hold_for_new_connections(
    pair: Pair, issued: dict[str, Pair], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    certificates = Certificates(*pair.files)
    assert common_name(handshake(certificates.current().context, authority)) == "good"
    assert certificates.current() is certificates.current()
    pair.replace(issued["other"])
    assert common_name(handshake(certificates.current().context, authority)) == "other"
    assert certificates.current().key == issued["other"].key.read_bytes()
    assert [record.levelname for record in caplog.records] == ["INFO"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pair, _: pair.key.write_text("no key"),
        lambda pair, _: pair.key.unlink(),
        lambda pair, _: pair.key.chmod(0o644),
        lambda pair, issued: shutil.copy(issued["other"].certificate, pair.certificate),
        lambda pair, issued: pair.replace(issued["expired"]),
    ],
)
def test_broken_files_change_nothing_and_are_told_once(
    pair: Pair,
    issued: dict[str, Pair],
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Pair, dict[str, Pair]], object],
) -> None:
    certificates = Certificates(*pair.files)
    spoil(pair, issued)
    for _ in range(3):
        assert common_name(handshake(certificates.current().context, authority)) == "good"
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "WHYBOX_TLS_" in record.getMessage()
    pair.replace(issued["other"])
    assert common_name(handshake(certificates.current().context, authority)) == "other"
    assert len(caplog.records) == 1


def test_an_authority_can_be_taken_away(
    pair: Pair, issued: dict[str, Pair], authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(authority.certificate.read_bytes() + stranger.certificate.read_bytes())
    certificates = Certificates(*pair.files, client_ca)
    theirs = stranger.issue("client")
    for own in (theirs, issued["other"]):
        handshake(certificates.current().context, authority, own)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(certificates.current().context, authority)
    client_ca.write_bytes(authority.certificate.read_bytes())
    handshake(certificates.current().context, authority, issued["other"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(certificates.current().context, authority, theirs)


def test_no_key_is_printed(pair: Pair) -> None:
    identity = Certificates(*pair.files).current()
    assert "PRIVATE" not in repr(identity)
