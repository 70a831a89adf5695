"""A minute of mixed traffic while workers and TorchServe are killed: what is answered is right, the rest may try again.

`make bench-load` goes on for half an hour, and looks at memory too.
"""

from pathlib import Path

from servers import serving
from soak import SHORT, soak

# Calls a second: below what one core does, so that a machine that is busy with other things keeps up.
_RATE = 2.0
# Grows by its caches alone; a picture kept of each call would show.
_GATEWAY_GROWS = 1.25


def test_soak(archive: Path, tmp_path: Path, dalmatian: bytes) -> None:
    picture = tmp_path / "dalmatian.jpg"
    picture.write_bytes(dalmatian)
    with serving(archive.parent, tmp_path / "logs") as server:
        seen = soak(server, picture, _RATE, SHORT)
    assert seen.lost == []
    assert seen.wrong == []
    assert len(seen.asked) == SHORT.seconds * _RATE
    began = seen.asked[0].due
    assert any(each.digest and each.due > began + SHORT.torchserve_at for each in seen.asked), "it did not come back"
    assert seen.killed["TorchServe"] == 1
    assert seen.killed["predict"] >= 1
    assert seen.killed["analyze"] >= 1
    assert seen.end["gateway"] < _GATEWAY_GROWS * seen.warm["gateway"]
