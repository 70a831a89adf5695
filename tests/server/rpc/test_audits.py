"""Audits over gRPC: the list, and files in pieces that every caller takes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from server.audited import AUDIT, BARE, CONTENTS, MODEL, packed, serving
from whybox import v1
from whybox.v1 import errors
from whybox.v1.vocabulary import RESPONSE_BYTES_KEY
from whybox_server.gateway.audits import PIECE_BYTES, AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.spool import Spool


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    archives = packed(tmp_path)
    with AuditFiles(archives) as audits, Spool() as spool:
        yield serving(archives, audits, spool)


async def test_a_model_lists_its_audits(stub: Any, gateway: Gateway) -> None:
    answer = await stub.ListAudits(v1.ListAuditsRequest(model=MODEL, version="1"))
    assert list(answer.audits) == gateway.list_audits(MODEL)
    assert list((await stub.ListAudits(v1.ListAuditsRequest(model=BARE))).audits) == []


@pytest.mark.parametrize(
    ("format_", "limit", "largest"),
    [("", None, PIECE_BYTES), ("html", None, PIECE_BYTES), ("html", 2_000, 2_000), ("html", 2**25, PIECE_BYTES)],
)
async def test_a_file_comes_in_pieces(stub: Any, format_: str, limit: int | None, largest: int) -> None:
    """The channel has gRPC's own limits."""
    metadata = () if limit is None else ((RESPONSE_BYTES_KEY, str(limit)),)
    request = v1.GetAuditRequest(model=MODEL, audit=AUDIT, format=format_)
    pieces = [piece async for piece in stub.GetAudit(request, metadata=metadata)]
    assert b"".join(piece.data for piece in pieces) == CONTENTS[format_ or "json"]
    assert max(len(piece.data) for piece in pieces) <= largest
    if limit is not None:
        assert max(piece.ByteSize() for piece in pieces) <= limit


@pytest.mark.parametrize(
    ("asked", "metadata", "reason", "field"),
    [
        ({"model": "other"}, (), "UNKNOWN_MODEL", "model"),
        ({"version": "2"}, (), "UNKNOWN_VERSION", "version"),
        ({"audit": "../manifest.json"}, (), "UNKNOWN_AUDIT", "audit"),
        ({"audit": "x" * 300}, (), "UNKNOWN_AUDIT", "audit"),
        ({"model": BARE}, (), "UNKNOWN_AUDIT", "audit"),
        ({"format": "pdf"}, (), "INVALID_REQUEST", "format"),
        ({}, ((RESPONSE_BYTES_KEY, "1000"),), "ANSWER_TOO_LARGE", RESPONSE_BYTES_KEY),
        ({}, ((RESPONSE_BYTES_KEY, "many"),), "INVALID_REQUEST", RESPONSE_BYTES_KEY),
    ],
)
async def test_what_is_refused_says_why(
    stub: Any,
    samples: Callable[[str], dict[str, float]],
    asked: dict[str, str],
    metadata: tuple[Any, ...],
    reason: str,
    field: str,
) -> None:
    request = v1.GetAuditRequest(**({"model": MODEL, "audit": AUDIT} | asked))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetAudit(request, metadata=metadata).read()
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    error = errors.error_from_status(status)
    assert (error.reason, error.field) == (reason, field)
    [labels] = samples("whybox_requests_total")
    assert 'route="GetAudit"' in labels


async def test_a_caller_who_leaves_makes_room(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whybox_server.gateway.audits.MAX_DOWNLOADS", 1)
    for _ in range(3):
        call = stub.GetAudit(v1.GetAuditRequest(model=MODEL, audit=AUDIT, format="html"))
        assert len((await call.read()).data) == PIECE_BYTES
        call.cancel()
        content = b""
        while not content:
            next_call = stub.GetAudit(v1.GetAuditRequest(model=MODEL, audit=AUDIT))
            try:
                content = b"".join([piece.data async for piece in next_call])
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 (the server may not know yet)
        assert content == CONTENTS["json"]
