"""A stream that ends in an error after its first part says which parts are missing, on both transports."""

import json

import grpc
import pytest
from google.rpc import status_pb2

from messages import message
from server.conftest import MODEL
from whybox import v1
from whybox.v1.errors import InternalError, UnavailableError, error_from_status
from whybox.v1.streams import Owed

REQUEST = message(
    v1.AnalyzeRequest, model=MODEL, image=b"picture", seed=1, prediction={}, explanations=[{}, {}], certified={}
)
MISSING = ("explanations[1]", "certified")


def test_what_is_owed():
    owed = Owed(REQUEST)
    early = UnavailableError("m")
    assert owed.told(early) is early
    for part in ("prediction", "explanations[0]"):
        owed.note(message(v1.AnalyzeResponse, timings={"parts": [{"part": part}]}))
    # A part that grows is not complete.
    owed.note(message(v1.AnalyzeResponse, certified={"state": "running"}))
    told = owed.told(UnavailableError("m", reason="R", field="image", retry_after=2))
    assert isinstance(told, UnavailableError)
    assert told.message == "m; the stream ended without explanations[1], certified"
    assert (told.missing, told.reason, told.field, told.retry_after) == (MISSING, "R", "image", 2)
    assert owed.told(told) is told
    for part in MISSING:
        owed.note(message(v1.AnalyzeResponse, timings={"parts": [{"part": part}]}))
    assert owed.told(early) is early


async def test_both_transports_tell(stub, http, gateway):
    gateway.parts, gateway.error = 1, InternalError("m", missing=MISSING)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [_ async for _ in stub.StreamAnalysis(REQUEST)]
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    assert error_from_status(status).missing == MISSING
    headers = {"content-type": "image/png", "accept": "application/x-ndjson"}
    answer = await http.post(f"/v1/models/{MODEL}:analyze", content=b"picture", headers=headers)
    assert json.loads(answer.text.splitlines()[-1])["error"]["missing"] == list(MISSING)
