"""`inference.GRPCInferenceService`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import grpc
import numpy as np

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.gateway.core import Gateway
from whybox_server.monitoring.readiness import is_ready
from whybox_server.oip import inference_pb2 as pb
from whybox_server.oip.inference import (
    EXTENSIONS,
    ONE_INPUT,
    SERVER,
    TOP_K,
    Metadata,
    Question,
    check_known,
    infer,
    inputs_of,
    is_model_ready,
    number_of_classes,
    outputs_of,
    server_version,
    wanted,
)
from whybox_server.oip.tensors import BYTES, RAW_SIZE, InputHead, Tensor, raw
from whybox_server.rpc.access import caller_of
from whybox_server.rpc.calls import Calls, Context, Service

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

# Where the values of a datatype are.
_CONTENTS = {
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


class InferenceService:
    """Hands calls to the gateway. A cancelled call cancels the work: its `CancelledError` is never caught here."""

    def __init__(self, gateway: Gateway, calls: Calls) -> None:
        self._gateway, self._calls = gateway, calls

    async def ServerLive(self, _: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:  # noqa: N802
        """Alive, as it answers."""
        async with self._calls.answering("ServerLive", "", context):
            return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:  # noqa: N802
        """Whether every model can answer."""
        async with self._calls.answering("ServerReady", "", context):
            return pb.ServerReadyResponse(ready=is_ready(self._gateway.readiness()))

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether one model can answer."""
        async with self._calls.answering("ModelReady", request.name, context):
            return pb.ModelReadyResponse(ready=is_model_ready(self._gateway, request.name, request.version))

    async def ServerMetadata(  # noqa: N802
        self, _: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """What the server is."""
        async with self._calls.answering("ServerMetadata", "", context):
            return pb.ServerMetadataResponse(name=SERVER, version=server_version(), extensions=EXTENSIONS)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """What a model takes and gives."""
        async with self._calls.answering("ModelMetadata", request.name, context):
            model = self._gateway.get_model(request.name, request.version)
            return pb.ModelMetadataResponse(
                name=model.name,
                versions=self._gateway.versions(model.name),
                platform=SERVER,
                inputs=_described(inputs_of(model)),
                outputs=_described(outputs_of()),
            )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:  # noqa: N802
        """Predicts the classes of pictures."""
        async with self._calls.answering("ModelInfer", request.model_name, context) as call_id:
            with self._gateway.chosen(request.model_name, request.model_version) as choice:
                outputs = await infer(
                    self._gateway,
                    choice,
                    _question(request, choice.model),
                    request_id=call_id,
                    timeout=self._calls.timeout(context),
                    caller=caller_of(context),
                )
                return _response(request, choice.model, outputs)


def service(gateway: Gateway) -> Service:
    """The service, for the server."""

    def add(server: grpc.aio.Server, calls: Calls) -> None:
        answers = InferenceService(gateway, calls)
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(
                getattr(answers, method.name),
                request_deserializer=_class_of(method.input_type).FromString,
                response_serializer=_class_of(method.output_type).SerializeToString,
            )
            for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    return Service(SERVICE, add)


def _class_of(message: Any) -> Any:
    return getattr(pb, message.name)


def _described(tensors: Iterable[Metadata]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    kind: Callable[..., Any] = pb.ModelMetadataResponse.TensorMetadata
    return [kind(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape) for tensor in tensors]


def _question(request: pb.ModelInferRequest, model: v1.Model) -> Question:
    parameters = _values(request.parameters)
    check_known(parameters, (TOP_K,), "parameters")
    return Question(
        _input(request),
        [wanted(output.name, _values(output.parameters), model) for output in request.outputs],
        number_of_classes(TOP_K, parameters.get(TOP_K), model),
    )


def _values(parameters: Mapping[str, pb.InferParameter]) -> dict[str, object]:
    return {
        name: None if (kind := value.WhichOneof("parameter_choice")) is None else getattr(value, kind)
        for name, value in parameters.items()
    }


def _input(request: pb.ModelInferRequest) -> Tensor:
    if len(request.inputs) != 1:
        raise InvalidRequestError(f"{ONE_INPUT}, not {len(request.inputs)}", field="inputs")
    [given] = request.inputs
    head = InputHead.checked(given.name, given.datatype, list(given.shape))
    parameters = _values(given.parameters)
    check_known(parameters, (RAW_SIZE,), "inputs[0].parameters")
    filled = [field.name for field, _ in given.contents.ListFields()]
    if not request.raw_input_contents:
        place = _CONTENTS[head.datatype]
        if any(name != place for name in filled):
            message = f"the values of {head.name} stand in {place}, or in raw_input_contents"
            raise InvalidRequestError(message, field=head.name)
        contents: Sequence[Any] = getattr(given.contents, place)
        return head.of_elements(list(contents)) if head.datatype == BYTES else head.of_numbers(contents)
    if filled or len(request.raw_input_contents) != 1:
        message = "raw_input_contents has one entry for each input, and contents are empty then"
        raise InvalidRequestError(message, field="raw_input_contents")
    [values] = request.raw_input_contents
    # KServe's client says it here too.
    if parameters.get(RAW_SIZE, len(values)) != len(values):
        message = f"{RAW_SIZE} of {head.name} differs from the {len(values)} bytes of its raw contents"
        raise InvalidRequestError(message, field=head.name)
    return head.of_raw(values)


def _response(request: pb.ModelInferRequest, model: v1.Model, outputs: Iterable[Tensor]) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    for tensor in outputs:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(raw(tensor))
        else:
            values = tensor.values.ravel().tolist() if isinstance(tensor.values, np.ndarray) else tensor.values
            getattr(output.contents, _CONTENTS[tensor.datatype]).extend(cast("Sequence[Any]", values))
    return response
