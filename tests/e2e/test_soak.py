"""A minute of mixed traffic while workers and TorchServe are killed: what is answered is right, the rest may try again.

`make bench-load` goes on for half an hour, and looks at memory too.
"""

import time
from pathlib import Path

import httpx

from servers import serving
from soak import SHORT, soak

# Calls a second: below what one core does, so that a machine that is busy with other things keeps up.
_RATE = 2.0
_RECOVERY_SECONDS = 120
# Grows by its caches alone; a picture kept of each call would show.
_GATEWAY_GROWS = 1.25


def test_soak(archive: Path, tmp_path: Path, dalmatian: bytes) -> None:
    picture = tmp_path / "dalmatian.jpg"
    picture.write_bytes(dalmatian)
    with serving(archive.parent, tmp_path / "logs") as server:
        seen = soak(server, picture, _RATE, SHORT)
        deadline = time.monotonic() + _RECOVERY_SECONDS
        while httpx.get(f"{server.rest}/readyz").status_code != 200:
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(0.5)
    assert seen.lost == []
    assert seen.wrong == []
    assert len(seen.asked) == SHORT.seconds * _RATE
    assert any(each.digest for each in seen.asked)
    assert seen.killed["TorchServe"] == 1
    assert seen.killed["predict"] >= 1
    assert seen.killed["analyze"] >= 1
    assert seen.end["gateway"] < _GATEWAY_GROWS * seen.warm["gateway"]
