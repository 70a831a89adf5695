"""What is particular to gRPC: probes, metadata, where values stand, reflection and health."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from messages import message
from server.conftest import MODEL, FakeGateway
from server.oip.asking import call
from server.oip.test_rest import TENSORS
from whybox_server.oip import inference_pb2 as pb
from whybox_server.oip.rpc import SERVICE


async def test_probes(channel: grpc.aio.Channel, gateway: FakeGateway) -> None:
    async def told() -> list[bool]:
        live = (await call(channel, "ServerLive", pb.ServerLiveRequest())).live
        ready = (await call(channel, "ServerReady", pb.ServerReadyRequest())).ready
        return [live, ready, (await call(channel, "ModelReady", pb.ModelReadyRequest(name=MODEL))).ready]

    assert await told() == [True, True, True]
    gateway.pools["other"] = {"1": {"predict": "loading"}}
    assert await told() == [True, False, True]
    gateway.pools[MODEL]["1"]["predict"] = "loading"
    assert await told() == [True, False, False]


async def test_metadata(channel: grpc.aio.Channel) -> None:
    server = await call(channel, "ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, list(server.extensions)) == ("whybox", ["binary_tensor_data", "classification"])
    model = await call(channel, "ModelMetadata", pb.ModelMetadataRequest(name=MODEL, version="1"))
    assert (model.name, list(model.versions), model.platform) == (MODEL, ["1"], "whybox")
    for field, tensors in TENSORS.items():
        given = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(model, field)]
        assert given == tensors


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
async def test_an_unknown_model(channel: grpc.aio.Channel, method: str) -> None:
    request: Any = getattr(pb, f"{method}Request")(name="other")
    with pytest.raises(grpc.aio.AioRpcError, match="There is no model 'other'") as error:
        await call(channel, method, request)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def asked(**more: Any) -> pb.ModelInferRequest:
    fields = {"model_name": MODEL, "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]} | more
    return message(pb.ModelInferRequest, **fields)


CONTENTS = {"name": "image", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"one"]}}
NUMBERS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3]}
RAW = b"\3\0\0\0one"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, r"image has 0 elements, but its shape \[1\] takes 1"),
        ({"inputs": []}, "exactly one of the inputs image, pixels, view, not 0"),
        ({"inputs": [CONTENTS, CONTENTS]}, "exactly one"),
        ({"inputs": [CONTENTS], "raw_input_contents": [RAW]}, "contents are empty then"),
        ({"raw_input_contents": [RAW, RAW]}, "one entry for each input"),
        ({"raw_input_contents": [RAW[:-1]]}, "end within an element"),
        ({"raw_input_contents": [RAW + b"\0"]}, "end within an element"),
        ({"inputs": [CONTENTS | {"contents": {"int_contents": [1]}}]}, "the values of image stand in bytes_contents"),
        ({"inputs": [NUMBERS | {"contents": {"uint_contents": [1, 2, 256]}}]}, "no numbers of UINT8"),
        ({"inputs": [NUMBERS | {"contents": {"int_contents": [1, 2, 3]}}]}, "stand in uint_contents"),
        ({"inputs": [CONTENTS | {"parameters": {"a": {"int64_param": 1}}}]}, r"'a' in inputs\[0\].parameters"),
        (
            {
                "inputs": [
                    {"name": "image", "datatype": "BYTES", "shape": [1]}
                    | {"parameters": {"binary_data_size": {"int64_param": 3}}}
                ],
                "raw_input_contents": [RAW],
            },
            "differs from the 7 bytes",
        ),
        ({"inputs": [CONTENTS], "parameters": {"top_k": {"double_param": 2.5}}}, "top_k must be an integer"),
        ({"inputs": [CONTENTS], "parameters": {"top_k": {"string_param": "many"}}}, "top_k must be an integer"),
    ],
)
async def test_what_is_wrong(channel: grpc.aio.Channel, gateway: FakeGateway, more: dict[str, Any], words: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=words) as error:
        await call(channel, "ModelInfer", asked(**more))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert gateway.requests == []


async def test_id_and_time_of_a_call(channel: grpc.aio.Channel, gateway: FakeGateway) -> None:
    metadata = (("x-request-id", "mine-1"), ("x-whybox-timeout", "7"))
    await call(channel, "ModelInfer", asked(inputs=[CONTENTS]), metadata=metadata)
    assert gateway.request_ids == ["mine-1"]
    assert 6 < gateway.timeouts[0] <= 7


async def test_the_service_is_told_of(channel: grpc.aio.Channel, gateway: FakeGateway) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([symbol]))]
    assert answers[0].file_descriptor_response.file_descriptor_proto[0] == pb.DESCRIPTOR.serialized_pb
    health: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    gateway.pools[MODEL]["1"]["predict"] = "loading"
    assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
