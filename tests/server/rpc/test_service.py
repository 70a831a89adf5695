"""The gRPC service: answers, errors, deadlines, cancellation, health and reflection."""

import asyncio
import re
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from messages import message
from presence import present
from whybox import v1
from whybox.v1 import errors
from whybox_server.rpc import reflection_pb2 as reflection_v1_pb2

MODEL = "efficientnet-lite0"
REQUEST = message(v1.AnalyzeRequest, model=MODEL, image=b"picture", prediction={})


def told(call_error):
    """The error that travelled in the status details."""
    status = status_pb2.Status.FromString(call_error.trailing_metadata()["grpc-status-details-bin"])
    return errors.error_from_status(status)


async def test_analyze_hands_the_request_on(stub, gateway):
    answer = await stub.Analyze(REQUEST)
    # Serialized, because NaN is not equal to itself.
    assert answer.SerializeToString(deterministic=True) == gateway.answer.SerializeToString(deterministic=True)
    assert gateway.requests == [REQUEST]


async def test_stream_hands_the_parts_on(stub, gateway):
    gateway.parts = 3
    assert [part.request_id async for part in stub.StreamAnalysis(REQUEST)] == ["id-1"] * 3
    assert gateway.requests == [REQUEST]


async def test_models(stub):
    assert [model.name for model in (await stub.ListModels(v1.ListModelsRequest())).models] == [MODEL]
    assert (await stub.GetModel(v1.GetModelRequest(model=MODEL))).labels == ["tench"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetModel(v1.GetModelRequest(model=MODEL, version="2"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert told(caught.value).field == "model"


ERRORS = [
    errors.InvalidRequestError("m", field="explanations[0].method"),
    errors.PictureError("m", field="image"),
    errors.PictureTooLargeError("m", field="image"),
    errors.NotFoundError("m", field="model"),
    errors.FailedPreconditionError("m"),
    errors.QuotaExceededError("m", retry_after=60),
    errors.UnavailableError("m", retry_after=0.3),
    errors.OverloadedError("m", retry_after=1.0),
    errors.DeadlineExceededError("m"),
    errors.CancelledError("m"),
    errors.InternalError("m"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("parts", [None, 0, 2], ids=["unary", "stream", "begun stream"])
async def test_every_error_of_the_gateway(stub, gateway, samples, error, parts):
    gateway.error, gateway.parts = error, parts or 0
    received = 0

    async def call():
        nonlocal received
        if parts is None:
            await stub.Analyze(REQUEST)
        async for _ in stub.StreamAnalysis(REQUEST):
            received += 1

    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)) as caught:
        await call()
    assert received == (parts or 0)
    # grpc.aio may raise a CANCELLED status as a cancellation.
    assert isinstance(caught.value, grpc.aio.AioRpcError) or isinstance(error, errors.CancelledError)
    if isinstance(caught.value, grpc.aio.AioRpcError):
        assert caught.value.code().name == error.code_name
        assert caught.value.details() == "m"
        assert type(told(caught.value)) is type(error)
        assert vars(told(caught.value)) == vars(error)
    [labels] = samples("whybox_requests_total")
    assert f'code="{error.code_name}"' in labels
    assert f'route="{"Analyze" if parts is None else "StreamAnalysis"}"' in labels
    assert f'model="{MODEL}"' in labels


async def test_a_bug_is_logged_and_not_told(stub, gateway, caplog):
    gateway.error = ZeroDivisionError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(REQUEST, metadata=(("x-request-id", "bug-1"),))
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in present(caught.value.details())
    assert told(caught.value).reason == "INTERNAL"
    [record] = [record for record in caplog.records if record.name.startswith("whybox")]
    assert "bug-1" in record.getMessage()
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_Z", True), ("x" * 128, True), ("x" * 129, False), ("two words", False), (None, False)]
)
async def test_request_ids(stub, gateway, sent, kept):
    call = stub.Analyze(REQUEST, metadata=(("x-request-id", sent),) if sent else ())
    await call
    used = (await call.trailing_metadata())["x-request-id"]
    assert gateway.request_ids == [used]
    assert (used == sent) if kept else re.fullmatch("[0-9a-f]{32}", used)


@pytest.mark.parametrize(("deadline", "seconds"), [(None, 30), (1000, 120)])
async def test_the_deadline_has_a_default_and_a_limit(stub, gateway, deadline, seconds):
    await stub.Analyze(REQUEST, timeout=deadline)
    assert gateway.timeouts == [seconds]


async def test_between_them_the_deadline_is_the_callers(stub, gateway):
    await stub.Analyze(REQUEST, timeout=100)
    [seconds] = gateway.timeouts
    # The call takes some of it; gRPC may round a deadline of this length up to whole seconds.
    assert 30 < seconds < 102


@pytest.mark.parametrize(
    ("sent", "deadline", "seconds"),
    [("5", None, 5), ("5", 100, 5), ("0.25", 100, 0.25), ("1e2", None, 100), ("500", None, 120), ("500", 1000, 120)],
)
async def test_a_caller_may_say_how_long_it_waits(stub, gateway, sent, deadline, seconds):
    """Its own deadline then allows for the way of the answer as well."""
    await stub.Analyze(REQUEST, timeout=deadline, metadata=(("x-whybox-timeout", sent),))
    assert gateway.timeouts == [seconds]


async def test_a_caller_cannot_wait_beyond_its_deadline(stub, gateway):
    await stub.Analyze(REQUEST, timeout=50, metadata=(("x-whybox-timeout", "60"),))
    [seconds] = gateway.timeouts
    assert 30 < seconds < 50.1


@pytest.mark.parametrize("sent", ["", "0", "-1", "nan", "inf", "soon", "5s"])
async def test_a_time_that_is_none(stub, gateway, sent):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(REQUEST, metadata=(("x-whybox-timeout", sent),))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "x-whybox-timeout must be a number of seconds above 0" in present(caught.value.details())
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("sent", "taken"), [(None, 4_000_000), ("1", 1), ("33554432", 33554432), ("5000000.0", 5_000_000)]
)
async def test_a_caller_may_say_how_much_it_takes(stub, gateway, sent, taken):
    metadata = (("x-whybox-max-response-bytes", sent),) if sent else ()
    await stub.Analyze(REQUEST, metadata=metadata)
    assert [part async for part in stub.StreamAnalysis(REQUEST, metadata=metadata)] == []
    assert gateway.max_message_bytes == [taken, taken]


@pytest.mark.parametrize("sent", ["", "0", "-1", "1.5", "1e6", "4 MB", "2147483648", "inf"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_size_that_is_none(stub, gateway, sent, streamed):
    metadata = (("x-whybox-max-response-bytes", sent),)
    answer = (
        stub.StreamAnalysis(REQUEST, metadata=metadata).read if streamed else stub.Analyze(REQUEST, metadata=metadata)
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (answer() if streamed else answer)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert told(caught.value).field == "x-whybox-max-response-bytes"
    assert "x-whybox-max-response-bytes must be an integer from 1 to 2147483647" in present(caught.value.details())
    assert gateway.requests == []


@pytest.mark.parametrize("parts", [None, 0, 2], ids=["unary", "stream", "begun stream"])
async def test_cancelling_the_call_cancels_the_work(stub, gateway, samples, parts):
    gateway.waits, gateway.parts = True, parts or 0
    call = stub.Analyze(REQUEST) if parts is None else stub.StreamAnalysis(REQUEST)
    await asyncio.wait_for(gateway.started.wait(), 5)
    for _ in range(parts or 0):
        await call.read()
    call.cancel()
    await asyncio.wait_for(gateway.cancelled.wait(), 5)
    await asyncio.sleep(0)
    [labels] = samples("whybox_requests_total")
    assert 'code="CANCELLED"' in labels
    assert list(samples("whybox_requests_in_flight").values()) == [0]


async def test_a_passed_deadline_cancels_the_work(stub, gateway):
    # The time of the second call goes to the work, and not to the connection.
    await stub.Analyze(REQUEST)
    gateway.waits = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(REQUEST, timeout=1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(gateway.cancelled.wait(), 5)


@pytest.mark.parametrize(("size", "code"), [(150_000, "INVALID_ARGUMENT"), (250_000, "RESOURCE_EXHAUSTED")])
async def test_a_request_that_is_too_large_is_refused(stub, gateway, samples, size, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(v1.AnalyzeRequest(image=bytes(size)))
    assert caught.value.code().name == code
    assert gateway.requests == []
    if code == "INVALID_ARGUMENT":
        assert told(caught.value).reason == "PICTURE_TOO_LARGE"
        [labels] = samples("whybox_requests_total")
        assert 'code="INVALID_ARGUMENT"' in labels


async def test_an_unknown_model_is_no_label(stub, samples):
    await stub.Analyze(v1.AnalyzeRequest(model="made-up"))
    [labels] = samples("whybox_requests_total")
    assert 'model="unknown"' in labels


def health_stub(channel: grpc.aio.Channel) -> Any:
    """The methods of a stub are no class attributes, and the types of the package know none."""
    return health_pb2_grpc.HealthStub(channel)


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", "whybox.v1.AnalysisService"])
async def test_health_follows_readiness(channel, gateway, service):
    health = health_stub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    watched = health.Watch(request)
    assert (await health.Check(request)).status == SERVING
    assert (await watched.read()).status == SERVING
    gateway.pools[MODEL]["1"]["analyze"] = "starting"
    assert (await health.Check(request)).status == NOT_SERVING
    assert (await watched.read()).status == NOT_SERVING
    watched.cancel()


@pytest.mark.parametrize("service", ["", "whybox.v1.AnalysisService", "other"])
async def test_a_watch_ends_with_the_server(channel, gateway, service):
    watched = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
    await watched.read()
    gateway.pools[MODEL]["1"] = dict.fromkeys(gateway.pools[MODEL]["1"], "stopping")
    told = []
    while (answer := await watched.read()) is not grpc.aio.EOF:
        told.append(answer.status)
    assert told == ([] if service == "other" else [NOT_SERVING])
    assert await watched.code() == grpc.StatusCode.OK


async def test_health_knows_its_services(channel):
    health = health_stub(channel)
    request = health_pb2.HealthCheckRequest(service="other")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(request)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    watched = health.Watch(request)
    assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()


REFLECTION = {"v1alpha": reflection_pb2, "v1": reflection_v1_pb2}


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_lists_the_services_and_describes_them(channel, version):
    messages: Any = REFLECTION[version]
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=messages.ServerReflectionRequest.SerializeToString,
        response_deserializer=messages.ServerReflectionResponse.FromString,
    )()
    await call.write(messages.ServerReflectionRequest(list_services=""))
    listed = {service.name for service in (await call.read()).list_services_response.service}
    assert listed == {
        "whybox.v1.AnalysisService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for name in listed:
        await call.write(messages.ServerReflectionRequest(file_containing_symbol=name))
        answer = await call.read()
        assert answer.original_request.file_containing_symbol == name
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        assert name in {f"{file.package}.{service.name}" for file in files for service in file.service}
    await call.write(messages.ServerReflectionRequest(file_containing_symbol="no.Such"))
    assert (await call.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


def test_both_versions_of_reflection_are_the_same_on_the_wire() -> None:
    for name, message_v1 in reflection_v1_pb2.DESCRIPTOR.message_types_by_name.items():
        fields = [(field.number, field.name, field.type) for field in message_v1.fields]
        alpha = reflection_pb2.DESCRIPTOR.message_types_by_name[name]
        assert fields == [(field.number, field.name, field.type) for field in alpha.fields]
