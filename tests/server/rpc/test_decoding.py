"""Calls whose message or metadata cannot be read."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from whybox import v1
from whybox.v1 import errors

SERVICE = "whybox.v1.AnalysisService"
# `model` with a byte that is not UTF-8, as in shared/cases/grpc_analyze_model_with_bad_utf8.bin.
BAD_UTF8 = b"\x0a\x02\xff\xfe"
UNREADABLE = {
    "bad UTF-8": BAD_UTF8,
    "a field that ends early": b"\x1a\x7f123",
    "no field": b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "a wrong wire type": b"\x0f",
    "a picture": b"\x89PNG\r\n\x1a\n",
}
# Unary, streamed, and those of other services.
METHODS = [
    (SERVICE, "Analyze"),
    (SERVICE, "StreamAnalysis"),
    (SERVICE, "GetModel"),
    (SERVICE, "ListAudits"),
    (SERVICE, "GetAudit"),
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
]


async def refusal(address, service, method, sent, metadata=()):
    """The error of a call with such bytes, and the id under which it was answered.

    The call is made in a thread, so that callers of each kind are one code.
    """

    def refused() -> tuple[grpc.RpcError, dict[str, Any]]:
        call: Any
        path = f"/{service}/{method}"
        with grpc.insecure_channel(address) as channel:
            if method == "ServerReflectionInfo":
                call = channel.stream_stream(path)(iter([sent]), metadata=metadata)
            elif method in {"StreamAnalysis", "GetAudit", "Watch"}:
                call = channel.unary_stream(path)(sent, metadata=metadata)
            else:
                call = channel.unary_unary(path).future(sent, metadata=metadata)
            with pytest.raises(grpc.RpcError) as caught:
                call.result()
            return caught.value, dict(call.trailing_metadata())

    raised, trailing = await asyncio.to_thread(refused)
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    return raised, errors.error_from_status(status), trailing["x-request-id"]


@pytest.mark.parametrize(("service", "method"), METHODS)
@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_message_that_cannot_be_decoded(grpc_address, gateway, samples, caplog, service, method, case):
    metadata = (("x-request-id", "id-7"),)
    raised, error, request_id = await refusal(grpc_address, service, method, UNREADABLE[case], metadata)
    assert raised.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "UNREADABLE_MESSAGE"
    assert "cannot be decoded" in error.message
    assert request_id == "id-7"
    [labels] = samples("whybox_requests_total")
    assert 'code="INVALID_ARGUMENT"' in labels
    assert f'route="{method}"' in labels
    assert gateway.requests == []
    assert caplog.messages == []


@pytest.mark.parametrize("method", ["Analyze", "StreamAnalysis", "GetModel", "ListAudits", "GetAudit"])
async def test_metadata_that_is_too_long(grpc_address, gateway, samples, method):
    sent = v1.GetModelRequest(model="efficientnet-lite0").SerializeToString()
    raised, error, _ = await refusal(grpc_address, SERVICE, method, sent, (("x-long", "x" * 20_000),))
    assert raised.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "METADATA_TOO_LARGE"
    assert "8192 at most" in error.message
    [labels] = samples("whybox_requests_total")
    assert 'code="INVALID_ARGUMENT"' in labels
    assert gateway.requests == []


async def test_metadata_of_a_usual_length_passes(stub, gateway):
    await stub.Analyze(v1.AnalyzeRequest(model="m"), metadata=(("x-trace", "x" * 7_000),))
    assert len(gateway.requests) == 1
