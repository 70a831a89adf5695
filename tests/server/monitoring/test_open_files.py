"""The share of each transport in the limit on open files."""

import resource

import pytest

from whybox_server.monitoring.open_files import Shares, connection_shares


@pytest.mark.parametrize(
    ("limit", "shares"),
    [
        (1, Shares(1, 1)),
        (256, Shares(128, 64)),
        (1024, Shares(512, 256)),
        (10**9, Shares(32_768, 16_384)),
        (resource.RLIM_INFINITY, Shares(32_768, 16_384)),
    ],
)
def test_shares(monkeypatch: pytest.MonkeyPatch, limit: int, shares: Shares) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert connection_shares() == shares
