"""The private folder with its sockets, and the folder for logs."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from whybox_server.torchserve import folders
from whybox_server.torchserve.folders import FolderError, check_log_folder, private_folder

# The longest folder for temporary files below which every socket has room.
LONGEST = 107 - len("/whybox-12345678/management.sock")


def folder_of(length: int, root: Path, letter: str = "x") -> Path:
    """A folder whose path has the given number of bytes."""
    here = root / "a"
    here = here.with_name(letter * ((length - len(os.fsencode(root)) - 1) // len(letter.encode())))
    here.mkdir()
    return here


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path as short as they come."""
    root = Path("/tmp/w")  # noqa: S108
    root.mkdir(exist_ok=True)
    yield root
    shutil.rmtree(root)


@pytest.mark.parametrize("letter", ["x", "ö"])
@pytest.mark.parametrize("over", [-1, 0, 2, 60])
def test_every_socket_has_room(short: Path, monkeypatch: pytest.MonkeyPatch, over: int, letter: str) -> None:
    usual = folder_of(LONGEST + over, short, letter)
    monkeypatch.setattr("tempfile.tempdir", str(usual))
    folder = private_folder()
    try:
        assert (folder.parent == usual) == (len(os.fsencode(usual)) <= LONGEST)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("management.sock", ".ts.sock.9000"):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(folder / name))
    finally:
        shutil.rmtree(folder)


def test_without_any_room_the_error_says_what_helps(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = folder_of(LONGEST + 1, short)
    monkeypatch.setattr("tempfile.tempdir", str(usual))
    monkeypatch.setattr(folders, "_OTHERS", ("/no/such/folder",))
    with pytest.raises(FolderError, match=rf"{usual}, /no/such/folder .*longer than {LONGEST} bytes; set TMPDIR"):
        private_folder()


def test_logs_are_kept(tmp_path: Path) -> None:
    (tmp_path / "torchserve.log").write_text("before")
    check_log_folder(tmp_path)
    assert (tmp_path / "torchserve.log").read_text() == "before"
    check_log_folder(tmp_path / "new" / "logs")
    assert (tmp_path / "new" / "logs").is_dir()


@pytest.mark.skipif(not Path("/proc/self/fdinfo").is_dir(), reason="no folder here is closed even to root")
def test_a_folder_that_is_there_but_cannot_be_written() -> None:
    with pytest.raises(FolderError, match=r"cannot write logs in the folder /proc/self/fdinfo: .*--log-dir"):
        check_log_folder(Path("/proc/self/fdinfo"))
