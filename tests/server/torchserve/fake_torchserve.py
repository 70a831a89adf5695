"""TorchServe's gRPC inference interface, with workers that do what a test tells them to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from whybox import v1
from whybox_server.torchserve.inference_pb2 import PredictionResponse, PredictionsRequest

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[v1.Work, Context], Awaitable[bytes]]

RESULT = v1.WorkResult(response=v1.AnalyzeResponse(model="m"), compute_ms=7)


async def answers(_work: v1.Work, _context: Context) -> bytes:
    return RESULT.SerializeToString()


async def hangs(_work: v1.Work, _context: Context) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def dies(_work: v1.Work, context: Context) -> bytes:
    """What TorchServe says of a worker that died, of a full queue, and of a model that it does not know."""
    await context.abort(grpc.StatusCode.INTERNAL, "InternalServerException\nWorker died.")


async def dies_exhausted(_work: v1.Work, context: Context) -> bytes:
    """What it says of one that died in the middle of its answer."""
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Worker died.\nInternalServerException")


async def babbles(_work: v1.Work, _context: Context) -> bytes:
    """What TorchServe says, as if all were well, where a handler has set an error status."""
    return b'{"code": 500, "message": "Prediction failed"}'


class FakeTorchServe(grpc.GenericRpcHandler):
    """Answers by `behaviour`; probes, which ask for nothing, by `probes`.

    Attributes:
        address: "host:port" while it runs.
        calls: Registered name, work and metadata of each call that was no probe.
        cancelled: Calls that their caller gave up.
    """

    def __init__(self) -> None:
        self.address = ""
        self.behaviour: Behaviour = answers
        self.probes: Behaviour = answers
        self.probed: list[dict[str, str]] = []
        self.calls: list[tuple[str, v1.Work, dict[str, str]]] = []
        self.cancelled = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._predictions,
            request_deserializer=PredictionsRequest.FromString,
            response_serializer=PredictionResponse.SerializeToString,
        )

    async def _predictions(self, request: PredictionsRequest, context: Context) -> PredictionResponse:
        work = v1.Work.FromString(request.input["request"])
        metadata = {str(name): str(value) for name, value in context.invocation_metadata() or ()}
        is_probe = not work.HasField("request")
        if is_probe:
            self.probed.append(metadata)
        else:
            self.calls.append((request.model_name, work, metadata))
        try:
            return PredictionResponse(prediction=await (self.probes if is_probe else self.behaviour)(work, context))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)
