"""Which transport an address asks for."""

from urllib.parse import urlsplit

from whybox._transports.grpc import GrpcTransport
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Transport

_GRPC_PORT = 8001


def connect(url: str) -> Transport:
    """The transport to the server at an address; it connects with the first call.

    Args:
        url: "grpc://host:port", "http://host:port" or "https://host:port"; the two of HTTP may have a path.

    Raises:
        ValueError: `url` has another scheme, no host, or for gRPC a path.
    """
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.hostname and not parts.path.strip("/"):
        return GrpcTransport(url, parts.netloc if parts.port else f"{parts.netloc}:{_GRPC_PORT}")
    if parts.scheme in ("http", "https") and parts.hostname:
        return RestTransport(url)
    raise ValueError(f"url must be grpc://host:port, http://host:port or https://host:port, not {url!r}")
