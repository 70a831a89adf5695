"""TLS of the client: whom it trusts, and the certificate that it shows."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Trust:
    """The files for TLS on either transport; they are read when the client is made.

    Attributes:
        ca: PEM file with the authorities that may vouch for the server; None for the usual public ones.
        certificate: PEM files of the client's own certificate and of its key without a passphrase; None for none.
    """

    ca: Path | None = None
    certificate: tuple[Path, Path] | None = None

    @classmethod
    def read(cls, ca: object, certificate: object) -> "Trust":
        """What the caller passed as `ca` and `certificate`.

        Raises:
            TypeError: It is no path, and no pair of paths.
        """
        if ca is not None and not isinstance(ca, (str, os.PathLike)):
            raise TypeError(f"ca must be the path of a PEM file, not {type(ca).__name__}")
        if certificate is None:
            return cls(None if ca is None else Path(ca))
        match certificate:
            case (str() | os.PathLike() as own, str() | os.PathLike() as key):
                return cls(None if ca is None else Path(ca), (Path(own), Path(key)))
        raise TypeError("certificate must be a pair of paths: the PEM file of the certificate, and that of its key")

    def __bool__(self) -> bool:
        return self.ca is not None or self.certificate is not None

    def context(self) -> ssl.SSLContext:
        """What httpx takes; SSL_CERT_FILE and SSL_CERT_DIR can name other usual authorities.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds something else.
        """
        if self.ca is None:
            context = httpx.create_ssl_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            _authorities(context, self.ca)
        if self.certificate is not None:
            _own(context, *self.certificate)
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes.

        Raises:
            OSError, ValueError: See `context`; gRPC would find both with the first call alone.
        """
        checked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ca = certificate = key = None
        if self.ca is not None:
            _authorities(checked, self.ca)
            ca = self.ca.read_bytes()
        if self.certificate is not None:
            _own(checked, *self.certificate)
            certificate, key = (path.read_bytes() for path in self.certificate)
        return grpc.ssl_channel_credentials(ca, key, certificate)


def _authorities(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(cadata=ca.read_bytes().decode("ascii", errors="backslashreplace"))
    except (ssl.SSLError, ValueError):
        # Nothing at all is a ValueError.
        raise ValueError(f"ca: {ca} is no PEM file with certificates") from None


def _own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def passphrase() -> str:
        raise ValueError(
            f"certificate: the key {key} has a passphrase; take it away with: openssl pkey -in {key} -out NEW"
        )

    for path in (certificate, key):
        # OpenSSL does not say which of the files is missing.
        path.open("rb").close()
    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            f"certificate: {certificate} and {key} are no PEM files of a certificate and its key"
            f" ({error.reason or error})"
        ) from None
