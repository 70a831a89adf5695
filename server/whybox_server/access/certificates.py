"""The server's certificate for TLS, and the authorities whose clients it lets in: files that are read again.

What is new in the files holds from the next connection on. Both transports take it from here.
"""

import logging
import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from whybox_server.settings import Settings, variable

_log = logging.getLogger(__name__)

_CERTIFICATE, _KEY, _CLIENT_CA = (variable(name) for name in ("tls_certificate", "tls_key", "tls_client_ca"))
_OTHERS = 0o077
# A chain of some hundred certificates; a larger file is another one.
_MAX_BYTES = 2**20


class CertificateError(Exception):
    """The server cannot speak TLS with these files; the message names the setting and the remedy."""


@dataclass(frozen=True)
class Identity:
    """What the files held at one moment, which both transports can use.

    Attributes:
        certificate: The certificate, and those between it and its authority, as PEM.
        key: Its private key, as PEM.
        client_ca: Authorities of the certificates that clients need, as PEM; None if clients need none.
        context: The same for the module ssl: TLS 1.2 at least, and HTTP/1.1.
    """

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    client_ca: bytes | None = field(repr=False)
    context: ssl.SSLContext = field(repr=False)


class Certificates:
    """The files of the server's certificate; safe to share between threads.

    Args:
        certificate: The certificate, followed by those between it and its authority, as PEM.
        key: Its private key without a passphrase, as PEM, readable by its owner alone.
        client_ca: Authorities as PEM. With them each client needs a certificate that one of them signed.

    Raises:
        CertificateError: A file cannot be used, or they do not belong together.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._seen = self._state()
        self._identity = self._read()

    def current(self) -> Identity:
        """What the files hold now; if they have become unusable, what they held before: the log says why, once."""
        with self._lock:
            seen = self._state()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._identity = self._read()
                except CertificateError as error:
                    _log.error("the certificate that was read before stays in use: %s", error)
                else:
                    _log.info("%s and its key are read again; they hold for new connections", self._certificate)
            return self._identity

    def _state(self) -> tuple[tuple[int, ...] | None, ...]:
        """What changes when a file does."""
        return tuple(_stamp(path) for path in (self._certificate, self._key, self._client_ca) if path is not None)

    def _read(self) -> Identity:
        certificate = _content(_CERTIFICATE, self._certificate)
        key = _content(_KEY, self._key, secret=True)
        client_ca = None if self._client_ca is None else _content(_CLIENT_CA, self._client_ca)
        context = self._context()
        _check_usable(context, self._certificate, certificate)
        if client_ca is not None:
            _demand_certificates(context, f"{_CLIENT_CA}={self._client_ca}", client_ca)
        if (_content(_CERTIFICATE, self._certificate), _content(_KEY, self._key, secret=True)) != (certificate, key):
            # Only whole files are used: OpenSSL reads them by path, gRPC takes their content.
            raise CertificateError(f"{_CERTIFICATE} and {_KEY} change while they are read; try again")
        return Identity(certificate, key, client_ca, context)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])

        def passphrase() -> str:
            raise CertificateError(
                f"{_KEY}={self._key} has a passphrase, which nobody types when the server starts; take it away with:"
                f" openssl pkey -in {self._key} -out NEW"
            )

        try:
            context.load_cert_chain(self._certificate, self._key, passphrase)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise CertificateError(
                    f"{_CERTIFICATE}={self._certificate} and {_KEY}={self._key} do not belong together; give the"
                    " key with which this certificate was made, and the server's own certificate first in its file"
                ) from None
            raise CertificateError(
                f"{_CERTIFICATE}={self._certificate} or {_KEY}={self._key} is no PEM that OpenSSL can use"
                f" ({error.reason or error}); give files that begin with -----BEGIN CERTIFICATE----- and with"
                " -----BEGIN PRIVATE KEY-----"
            ) from None
        return context


def certificates_of(settings: Settings) -> Certificates | None:
    """The files that the settings name; None if there are none, and the server speaks plain text.

    Raises:
        CertificateError: A file is missing or cannot be used, or they do not belong together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        return Certificates(certificate, key, settings.tls_client_ca)
    if certificate is None and key is None and settings.tls_client_ca is None:
        return None
    given = [
        (_CERTIFICATE, "the file with the server's certificate", certificate),
        (_KEY, "the file with its private key", key),
    ]
    missing = " and ".join(f"{name} ({what})" for name, what, path in given if path is None)
    named = next(
        name for name, path in ((_CERTIFICATE, certificate), (_KEY, key), (_CLIENT_CA, settings.tls_client_ca)) if path
    )
    raise CertificateError(f"{named} is set, but TLS also needs {missing}; set all of them, or none for plain text")


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size


def _content(setting: str, path: Path, *, secret: bool = False) -> bytes:
    try:
        # The very file that is checked is read.
        with path.open("rb") as file:
            if secret and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise CertificateError(
                    f"{setting}={path}: others than its owner may use this private key; run: chmod 600 {path}"
                )
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise CertificateError(
            f"{setting}={path} cannot be read ({error.strerror}); give a PEM file that the server's user may read"
        ) from None
    if len(content) > _MAX_BYTES:
        raise CertificateError(f"{setting}={path} has more than {_MAX_BYTES:,} bytes; give the PEM file")
    return content


def _check_usable(server: ssl.SSLContext, path: Path, certificate: bytes) -> None:
    """Tries a handshake in memory with a client that trusts this very certificate: it fails as a real one would."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=certificate.decode("ascii", errors="backslashreplace"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        # One end, the other, and what the first says to the answer.
        for end in (*ends, *ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            f"{_CERTIFICATE}={path}: clients would refuse it ({error.verify_message}); renew it, or mend the clock of"
            " this machine"
        ) from None
    except ssl.SSLError as error:
        raise CertificateError(
            f"{_CERTIFICATE}={path}: no client could connect ({error.reason or error}); make a certificate with a key"
            " of RSA 2048 or ECDSA P-256"
        ) from None


def _demand_certificates(context: ssl.SSLContext, name: str, authorities: bytes) -> None:
    """Lets only clients in that one of the authorities vouches for."""
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii", errors="backslashreplace"))
    except (ssl.SSLError, ValueError):
        # Nothing at all is a ValueError.
        raise CertificateError(
            f"{name} is no PEM with certificates; give those of the authorities that sign the certificates of clients"
        ) from None
    ends = [ssl.cert_time_to_seconds(str(authority["notAfter"])) for authority in context.get_ca_certs()]
    if ends and max(ends) < time.time():
        raise CertificateError(f"{name}: every authority in it has expired, so no client could connect; renew it")
    context.verify_mode = ssl.CERT_REQUIRED
