"""The files of audits: found by the id alone, read from the archive piece by piece, a bounded number at once."""

import asyncio
import zipfile
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from server.audited import AUDIT, BARE, CONTENTS, MODEL, packed, serving
from server.waiting import settle
from whybox import v1
from whybox.v1.errors import DeadlineExceededError, InvalidRequestError, NotFoundError, OverloadedError
from whybox_server.gateway.audits import MAX_DOWNLOADS, PIECE_BYTES, AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.spool import Spool

pytestmark = pytest.mark.usefixtures("_nothing_leaks")

AUDITED = v1.Model(name=MODEL, version="1")


@pytest.fixture
def archives(tmp_path: Path) -> dict[Path, v1.Model]:
    return packed(tmp_path)


@pytest.fixture
def audits(archives: dict[Path, v1.Model]) -> Iterator[AuditFiles]:
    with AuditFiles(archives) as audits:
        yield audits


@pytest.fixture
def gateway(archives: dict[Path, v1.Model], audits: AuditFiles, spool: Spool) -> Gateway:
    return serving(archives, audits, spool)


def test_a_model_lists_its_audits(gateway: Gateway, archives: dict[Path, v1.Model]) -> None:
    [audited, _] = archives.values()
    assert gateway.list_audits(MODEL) == gateway.list_audits(MODEL, "1") == [audited.audit]
    assert gateway.list_audits(BARE) == []
    for name, version, reason in (("other", "", "UNKNOWN_MODEL"), (MODEL, "2", "UNKNOWN_VERSION")):
        with pytest.raises(NotFoundError) as caught:
            gateway.list_audits(name, version)
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("format_", "piece_bytes"), [("json", PIECE_BYTES), ("json", 7), ("html", PIECE_BYTES), ("html", 2_000_000)]
)
async def test_the_pieces_are_the_file(gateway: Gateway, format_: str, piece_bytes: int) -> None:
    asked = v1.GetAuditRequest(model=MODEL, audit=AUDIT, format=format_)
    file = gateway.get_audit(asked)
    assert (file.format, file.size) == (format_, len(CONTENTS[format_]))
    pieces = [piece async for piece in gateway.read_audit(asked, file, 60, piece_bytes)]
    assert b"".join(pieces) == CONTENTS[format_]
    assert {len(piece) for piece in pieces[:-1]} <= {piece_bytes}
    assert 0 < len(pieces[-1]) <= piece_bytes


def test_json_is_the_default(gateway: Gateway) -> None:
    assert gateway.get_audit(v1.GetAuditRequest(model=MODEL, audit=AUDIT)).format == "json"
    with pytest.raises(InvalidRequestError, match="format must be one of json, html") as caught:
        gateway.get_audit(v1.GetAuditRequest(model=MODEL, audit=AUDIT, format="pdf"))
    assert caught.value.field == "format"


@pytest.mark.parametrize("audit", ["", "other", "..", "../manifest", "/etc/passwd", AUDIT.upper(), "x" * 300])
def test_an_id_is_compared_and_never_a_path(gateway: Gateway, audit: str) -> None:
    with pytest.raises(NotFoundError, match=f"{MODEL} has no audit '.*'; it has {AUDIT}$") as caught:
        gateway.get_audit(v1.GetAuditRequest(model=MODEL, audit=audit))
    assert (caught.value.reason, caught.value.field) == ("UNKNOWN_AUDIT", "audit")
    assert len(caught.value.message) < 200


def test_a_model_without_an_audit_says_how_to_pack_one(gateway: Gateway) -> None:
    with pytest.raises(NotFoundError, match="whybox-server pack SPEC --bank AUDIT"):
        gateway.get_audit(v1.GetAuditRequest(model=BARE, audit=AUDIT))


def test_an_archive_with_findings_alone_says_how_to_pack_the_files(tmp_path: Path, spool: Spool) -> None:
    archives = packed(tmp_path, {})
    with AuditFiles(archives) as audits, pytest.raises(NotFoundError, match="pack the folder of the audit again"):
        serving(archives, audits, spool).get_audit(v1.GetAuditRequest(model=MODEL, audit=AUDIT))


async def test_an_archive_that_is_packed_again_changes_nothing(audits: AuditFiles, tmp_path: Path) -> None:
    """Packing puts another file in its place."""
    (tmp_path / "new").mkdir()
    [path, _] = packed(tmp_path / "new", {"json": b"{}", "html": b"other"})
    path.replace(tmp_path / path.name)
    assert b"".join([piece async for piece in audits.read(AUDITED, "html", 60)]) == CONTENTS["html"]


async def test_a_bounded_number_is_on_its_way(audits: AuditFiles) -> None:
    held = [audits.read(AUDITED, "html", 60) for _ in range(MAX_DOWNLOADS)]
    for pieces in held:
        assert len(await anext(pieces)) == PIECE_BYTES
    with pytest.raises(OverloadedError, match=rf"{MAX_DOWNLOADS} files of audits are on their way") as caught:
        await anext(audits.read(AUDITED, "json", 60))
    assert caught.value.retry_after == 1
    # Those on their way go on, and one that is given up makes room.
    assert len(await anext(held[1])) == PIECE_BYTES
    await held[0].aclose()
    assert [piece async for piece in audits.read(AUDITED, "json", 60)] == [CONTENTS["json"]]
    for pieces in held:
        await pieces.aclose()


async def test_a_caller_who_hangs_up_makes_room(audits: AuditFiles) -> None:
    async def read() -> None:
        async with aclosing(audits.read(AUDITED, "html", 60)) as pieces:
            async for _ in pieces:
                await asyncio.Event().wait()

    for _ in range(2):
        reading = [asyncio.create_task(read()) for _ in range(MAX_DOWNLOADS)]
        await settle()
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    assert [piece async for piece in audits.read(AUDITED, "json", 60)] == [CONTENTS["json"]]


async def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    archives = packed(tmp_path)
    [path, _] = archives
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("audit.json").header_offset
    content = bytearray(path.read_bytes())
    content[content.index(b"flagged", place)] ^= 1
    path.write_bytes(content)
    with AuditFiles(archives) as audits, pytest.raises(zipfile.BadZipFile, match="Bad CRC"):
        _ = [piece async for piece in audits.read(AUDITED, "json", 60)]


async def test_a_reader_whose_time_is_over_makes_room_at_once(
    audits: AuditFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it is busy with a piece: a reader that has stopped reading comes back late, or never."""
    loop = asyncio.get_running_loop()
    timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(seconds: float, end: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append((seconds, end))
        return loop.call_at(loop.time() + seconds, end)

    monkeypatch.setattr(loop, "call_later", call_later)
    held = [audits.read(AUDITED, "html", 60) for _ in range(MAX_DOWNLOADS)]
    for pieces in held:
        await anext(pieces)
    assert [seconds for seconds, _ in timers] == [60] * MAX_DOWNLOADS
    timers[0][1]()
    assert [piece async for piece in audits.read(AUDITED, "json", 60)] == [CONTENTS["json"]]
    with pytest.raises(DeadlineExceededError, match="the file was not taken within 60 s"):
        await anext(held[0])
    for pieces in held:
        await pieces.aclose()
    # No room was made twice.
    held = [audits.read(AUDITED, "html", 60) for _ in range(MAX_DOWNLOADS)]
    for pieces in held:
        await anext(pieces)
    with pytest.raises(OverloadedError):
        await anext(audits.read(AUDITED, "html", 60))
    for pieces in held:
        await pieces.aclose()


async def test_without_time_nothing_is_sent(audits: AuditFiles) -> None:
    with pytest.raises(DeadlineExceededError):
        await anext(audits.read(AUDITED, "json", 0))
