"""Which transport an address asks for, and whether it may carry a key."""

from urllib.parse import SplitResult, urlsplit

from whybox._transports.grpc import GrpcTransport
from whybox._transports.proxies import is_loopback
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Transport
from whybox._transports.trust import Trust
from whybox.arguments import text

_GRPC_PORT = 8001
_WANTED = "grpc://host:port, grpcs://host:port, http://host:port or https://host:port"
# What speaks plain text, and what does the same over TLS.
_ENCRYPTED = {"grpc": "grpcs", "http": "https"}
_SCHEMES = {*_ENCRYPTED, *_ENCRYPTED.values()}


def connect(url: str, trust: Trust | None = None, *, secret: bool = False) -> Transport:
    """The transport to the server at an address; it connects with the first call.

    Args:
        url: "grpc://host:port" or "http://host:port", or with TLS "grpcs://host:port" or "https://host:port"; those of
            HTTP may have a path.
        trust: Files for TLS.
        secret: Whether nobody on the way may read what is sent.

    Raises:
        TypeError: `url` is no str.
        ValueError: `url` has another scheme, no host, no valid port, or for gRPC a path; without TLS, `trust` has
            files, or what is `secret` would leave this machine; a file of `trust` holds something else.
        OSError: A file of `trust` cannot be read.
    """
    parts = _split(text("url", url, what=_WANTED))
    if parts.scheme not in _SCHEMES or not parts.hostname or (_is_grpc(parts) and parts.path.strip("/")):
        raise ValueError(f"url must be {_WANTED}, not {url!r}")
    if parts.scheme in _ENCRYPTED:
        _check_plain_text(url, parts, trust, secret=secret)
    if not _is_grpc(parts):
        return RestTransport(url, trust=trust)
    target = parts.netloc if parts.port else f"{parts.netloc}:{_GRPC_PORT}"
    return GrpcTransport(url, target, (trust or Trust()) if parts.scheme == "grpcs" else None)


def _is_grpc(parts: SplitResult) -> bool:
    return parts.scheme in ("grpc", "grpcs")


def _check_plain_text(url: str, parts: SplitResult, trust: Trust | None, *, secret: bool) -> None:
    encrypted = f"{_ENCRYPTED[parts.scheme]}://"
    if trust:
        raise ValueError(f"ca and certificate are for TLS; begin url with {encrypted}, not as {url!r}")
    if secret and not is_loopback(parts.hostname or ""):
        raise ValueError(
            f"the key would go to {url!r} in plain text, and others on the way could read it; begin url with"
            f" {encrypted}, or say insecure=True (--insecure, WHYBOX_INSECURE=true) if you trust the network"
        )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read, and checked, on access
    except ValueError as error:
        raise ValueError(f"url {url!r} is no address: {error}") from None
    return parts
