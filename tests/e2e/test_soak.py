"""A minute of mixed traffic while workers and TorchServe are killed: what is answered is right, the rest may try again.

`make bench-load` goes on for half an hour, and looks at memory too.
"""

from pathlib import Path

from servers import serving
from soak import SHORT, soak
from whybox import Client

# Calls a second: below what one core does, so that a machine that is busy with other things keeps up.
_RATE = 4.0
# Grows by its caches alone; a picture kept of each call would show.
_GATEWAY_GROWS = 1.25


def test_soak(archive: Path, tmp_path: Path, dalmatian: bytes) -> None:
    picture = tmp_path / "dalmatian.jpg"
    picture.write_bytes(dalmatian)
    with serving(archive.parent, tmp_path / "logs") as server:
        seen = soak(server, picture, _RATE, SHORT)
        with Client(server.grpc) as client:
            assert client.predict(dalmatian).classes[0].index == 251
    assert seen.lost == []
    assert seen.wrong == []
    assert len(seen.asked) == SHORT.seconds * _RATE
    # TorchServe needs a while to be there again.
    assert len([each for each in seen.asked if each.digest]) > len(seen.asked) / 2
    assert seen.killed["TorchServe"] == 1
    assert seen.killed["predict"] >= 1
    assert seen.killed["analyze"] >= 1
    assert seen.end["gateway"] < _GATEWAY_GROWS * seen.warm["gateway"]
