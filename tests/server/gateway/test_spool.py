"""Files of pictures that live as long as they are lent."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from whybox_server.gateway.spool import Spool, folder_in_memory

pytestmark = pytest.mark.usefixtures("temporary")


class Error(Exception):
    """What may go wrong while a picture is lent."""


def test_a_picture_is_there_while_it_is_lent():
    with Spool() as spool:
        with spool.lent(b"picture") as path:
            assert path.is_absolute()
            assert path.read_bytes() == b"picture"
        assert not path.exists()


@pytest.mark.parametrize("error", [Error, KeyboardInterrupt, GeneratorExit])
def test_it_is_gone_after_an_error(error):
    with Spool() as spool:
        with pytest.raises(error), spool.lent(b"picture") as path:
            raise error
        assert not path.exists()


def test_each_has_a_file_of_its_own():
    pictures = [b"one", b"another", b"one"]
    with Spool() as spool, spool.lent(pictures[0]) as one, spool.lent(pictures[1]) as two, spool.lent(b"one") as three:
        assert len({one, two, three}) == 3
        assert [path.read_bytes() for path in (one, two, three)] == pictures


def test_another_program_may_have_removed_it():
    with Spool() as spool, spool.lent(b"picture") as path:
        path.unlink()


def test_no_other_user_can_read_them():
    with Spool() as spool, spool.lent(b"picture") as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IRWXU


@pytest.mark.parametrize("error", [None, Error])
def test_nothing_is_left_behind(temporary, error):
    try:
        with Spool() as spool:
            # Still lent when the server stops.
            lent = [spool.lent(b"picture") for _ in range(3)]
            paths = [each.__enter__() for each in lent]
            assert [path.parent for path in paths] == list(temporary.iterdir()) * 3
            if error:
                raise error
    except Error:
        pass
    assert list(temporary.iterdir()) == []


def test_a_folder_that_was_tidied_away_is_made_again(temporary):
    with Spool() as spool:
        with spool.lent(b"one") as path:
            pass
        shutil.rmtree(path.parent)
        with spool.lent(b"two") as path:
            assert path.read_bytes() == b"two"
            assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IRWXU
    assert list(temporary.iterdir()) == []


KILLED = """
import os
from whybox_server.gateway.spool import Spool
with Spool() as spool, spool.lent(b"picture"):
    os._exit(9)
"""


def test_what_a_killed_server_left_is_removed_at_the_next_start(temporary):
    environment = os.environ | {"TMPDIR": str(temporary)}
    assert subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False).returncode == 9
    [left] = temporary.iterdir()
    (temporary / "whybox-pictures-is-a-file").touch()
    with Spool() as one, one.lent(b"one") as path, Spool() as two, two.lent(b"two"):
        assert not left.exists()
        # Not what is in use.
        assert path.read_bytes() == b"one"
    assert [path.name for path in temporary.iterdir()] == ["whybox-pictures-is-a-file"]


def test_a_picture_that_cannot_be_written(temporary, monkeypatch):
    def full(path, _):
        path.touch()
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with Spool() as spool, pytest.raises(OSError, match="no space"), spool.lent(b"picture"):
        pass
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("room", "there"), [(0, True), (2**60, False)])
def test_it_lies_in_memory_where_there_is_room(tmp_path, room, there):
    folder = folder_in_memory(room, tmp_path)
    assert folder == (tmp_path if there else None)
    with Spool(folder) as spool, spool.lent(b"picture") as path:
        assert (path.parent.parent == tmp_path) is there


def test_not_every_machine_has_a_place_in_memory(tmp_path):
    assert folder_in_memory(0, tmp_path / "shm") is None
