"""Which transport an address asks for."""

from urllib.parse import SplitResult, urlsplit

from whybox._transports.grpc import GrpcTransport
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Transport
from whybox.arguments import text

_GRPC_PORT = 8001
_WANTED = "grpc://host:port, http://host:port or https://host:port"


def connect(url: str) -> Transport:
    """The transport to the server at an address; it connects with the first call.

    Args:
        url: "grpc://host:port", "http://host:port" or "https://host:port"; the two of HTTP may have a path.

    Raises:
        TypeError: `url` is no str.
        ValueError: `url` has another scheme, no host, no valid port, or for gRPC a path.
    """
    parts = _split(text("url", url, what=_WANTED))
    if parts.scheme == "grpc" and parts.hostname and not parts.path.strip("/"):
        return GrpcTransport(url, parts.netloc if parts.port else f"{parts.netloc}:{_GRPC_PORT}")
    if parts.scheme in ("http", "https") and parts.hostname:
        return RestTransport(url)
    raise ValueError(f"url must be {_WANTED}, not {url!r}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read, and checked, on access
    except ValueError as error:
        raise ValueError(f"url {url!r} is no address: {error}") from None
    return parts
