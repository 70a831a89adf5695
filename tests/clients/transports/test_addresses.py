import pytest

from whybox._transports.addresses import connect


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8001",
        "localhost:8001",
        "ftp://host",
        "grpc://",
        "grpc://host/path",
        "grpcs://host/path",
        "grpcs://",
        "",
        "http://",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must be grpc://host:port, grpcs://host:port, http://host:port or https"):
        connect(url)
