"""The table of errors in the README: what a caller is told for each of its rows, over both transports."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from google.rpc import code_pb2, status_pb2

from messages import message
from server.conftest import MODEL, FakeGateway
from whybox import v1
from whybox.v1.errors import WhyboxError, error_for, error_from_status
from whybox_server.rest import problems

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"\| (?P<reasons>`[A-Z_`, ]+) \| (?P<code>[A-Z_]+), (?P<status>\d{3}|gRPC(?: and operations)? only)")


class Row(NamedTuple):
    """One reason of the table; `status` is None for what only gRPC tells."""

    reason: str
    code: str
    status: int | None


ROWS = [
    Row(reason, row["code"], int(row["status"]) if row["status"].isdigit() else None)
    for row in ROW.finditer(README.read_text())
    for reason in re.findall("[A-Z_]+", row["reasons"])
]
OF_REST: dict[str, type[WhyboxError]] = {
    kind.default_reason: kind for kind in problems.STATUSES if kind.__module__ == problems.__name__
} | {problems.UnsupportedEncodingError.default_reason: problems.UnsupportedEncodingError}


def test_the_table_was_found() -> None:
    assert len(ROWS) > 40
    assert len({row.reason for row in ROWS}) == len(ROWS)


def error_of(row: Row) -> WhyboxError:
    kind = OF_REST.get(row.reason) or error_for(code_pb2.Code.Value(row.code), row.reason)
    return kind("it is so", reason=row.reason, retry_after=1.5 if row.code == "UNAVAILABLE" else None)


@pytest.mark.parametrize("row", [row for row in ROWS if row.status], ids=lambda row: row.reason)
async def test_a_row_over_rest(http: httpx.AsyncClient, gateway: FakeGateway, row: Row) -> None:
    gateway.error = error_of(row)
    answer = await http.post(f"/v1/models/{MODEL}:predict", content=b"picture", headers={"Content-Type": "image/png"})
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"], told["reason"]) == (
        row.status,
        row.status,
        row.code,
        row.reason,
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("2" if row.code == "UNAVAILABLE" else None)


@pytest.mark.parametrize("row", [row for row in ROWS if row.code != "CANCELLED"], ids=lambda row: row.reason)
@pytest.mark.parametrize("method", ["Analyze", "StreamAnalysis"])
async def test_a_row_over_grpc(stub: Any, gateway: FakeGateway, row: Row, method: str) -> None:
    gateway.error = error_of(row)
    call = getattr(stub, method)(message(v1.AnalyzeRequest, model=MODEL, image=b"picture", prediction={}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if method == "Analyze" else call.read())
    details: Any = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    error = error_from_status(status_pb2.Status.FromString(details))
    assert (caught.value.code().name, error.reason) == (row.code, row.reason)
    assert error.retry_after == (1.5 if row.code == "UNAVAILABLE" else None)
