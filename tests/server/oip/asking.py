"""One request of the protocol, asked over each transport and in each form, and its answer in one form."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np
from google.rpc import status_pb2

from whybox.v1.errors import error_from_status
from whybox_server.oip import inference_pb2 as pb

FORMS = ["rest", "rest, raw", "grpc", "grpc, raw"]
_DTYPES = {"UINT8": "u1", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
_CONTENTS = {
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class RefusedError(Exception):
    """An error of the server: its status over REST or its code over gRPC, and its message."""

    def __init__(self, status: int | str, message: str, field_: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field_


@dataclass
class Ask:
    """How a test asks.

    Attributes:
        form: One of `FORMS`.
        http: For REST.
        channel: For gRPC.
    """

    form: str
    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def over_rest(self) -> bool:
        return self.form.startswith("rest")

    async def __call__(self, name: str, values: Any, *, shape: list[int] | None = None, **more: Any) -> dict[str, Any]:
        """The outputs by name, as lists row by row, and "shape" of them.

        Args:
            name: Of the input.
            values: A list of byte strings, or an array.
            shape: If it is not that of the values.
            more: "datatype", "model", "version", "id", "parameters", "outputs" (name to parameters).
        """
        number = isinstance(values, np.ndarray)
        datatype = more.pop("datatype", None) or (
            next(kind for kind, dtype in _DTYPES.items() if np.dtype(dtype) == values.dtype) if number else "BYTES"
        )
        shape = shape if shape is not None else [*np.shape(values)] if number else [len(values)]
        send = self._rest if self.over_rest else self._grpc
        return await send(name, values, datatype, shape, **more)

    async def _rest(
        self,
        name: str,
        values: Any,
        datatype: str,
        shape: list[int],
        *,
        model: str = "efficientnet-lite0",
        version: str = "",
        id: str = "",  # noqa: A002
        parameters: dict[str, Any] | None = None,
        outputs: dict[str, dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        raw = self.form.endswith("raw")
        given: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        behind = _raw(values)
        if raw:
            given["parameters"] = {"binary_data_size": len(behind)}
        elif isinstance(values, np.ndarray):
            given["data"] = values.tolist()
        else:
            given["data"] = [base64.b64encode(value).decode() for value in values]
        body: dict[str, Any] = {"inputs": [given]} | ({"id": id} if id else {})
        body["parameters"] = (parameters or {}) | ({"binary_data_output": True} if raw else {})
        if outputs is not None:
            body["outputs"] = [{"name": name, "parameters": of_output} for name, of_output in outputs.items()]
        text = json.dumps(body).encode()
        headers = {"inference-header-content-length": str(len(text))} if raw else {"content-type": "application/json"}
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
        response = await self.http.post(path, content=text + (behind if raw else b""), headers=headers)
        if response.status_code != 200:
            assert response.headers["content-type"] == "application/json"
            assert list(response.json()) == ["error"]
            raise RefusedError(response.status_code, response.json()["error"])
        length = int(response.headers.get("inference-header-content-length", len(response.content)))
        assert (length < len(response.content)) is raw
        answer, place = json.loads(response.content[:length]), length
        found = {}
        for output in answer["outputs"]:
            if raw:
                size = output["parameters"]["binary_data_size"]
                data = response.content[place : place + size]
                found[output["name"]] = _listed(data, output["datatype"])
                place += size
            elif output["datatype"] == "BYTES":
                found[output["name"]] = [text.encode() for text in output["data"]]
            else:
                found[output["name"]] = output["data"]
        assert place in (len(response.content), length)
        return _answer(answer["model_name"], answer["model_version"], answer.get("id", ""), answer["outputs"], found)

    async def _grpc(
        self,
        name: str,
        values: Any,
        datatype: str,
        shape: list[int],
        *,
        model: str = "efficientnet-lite0",
        version: str = "",
        id: str = "",  # noqa: A002
        parameters: dict[str, Any] | None = None,
        outputs: dict[str, dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        raw = self.form.endswith("raw")
        request = pb.ModelInferRequest(model_name=model, model_version=version, id=id)
        given = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(_raw(values))
        else:
            flat: Any = values.ravel().tolist() if isinstance(values, np.ndarray) else values
            getattr(given.contents, _CONTENTS[datatype]).extend(flat)
        _fill(request.parameters, parameters or {})
        for wanted, of_output in (outputs or {}).items():
            _fill(request.outputs.add(name=wanted).parameters, of_output)
        try:
            answer = await call(self.channel, "ModelInfer", request)
        except grpc.aio.AioRpcError as error:
            details: Any = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            told = error_from_status(status_pb2.Status.FromString(details))
            raise RefusedError(told.code_name, told.message, told.field) from None
        found = {}
        for place, output in enumerate(answer.outputs):
            assert bool(answer.raw_output_contents) is raw
            if raw:
                found[output.name] = _listed(answer.raw_output_contents[place], output.datatype)
            else:
                found[output.name] = list(getattr(output.contents, _CONTENTS[output.datatype]))
        heads = [{"name": o.name, "datatype": o.datatype, "shape": list(o.shape)} for o in answer.outputs]
        return _answer(answer.model_name, answer.model_version, answer.id, heads, found)


async def call(channel: grpc.aio.Channel, method: str, request: Any, **more: Any) -> Any:
    """One call of the service."""
    kind: Any = getattr(pb, f"{method}Response")
    send: Any = channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}", type(request).SerializeToString, kind.FromString
    )
    return await send(request, timeout=more.pop("timeout", 20), **more)


def _answer(name: str, version: str, id_: str, outputs: list[dict[str, Any]], found: dict[str, Any]) -> dict[str, Any]:
    heads = {output["name"]: (output["datatype"], output["shape"]) for output in outputs}
    return {"model": (name, version, id_), "heads": heads, **found}


def _fill(parameters: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
        setattr(parameters[name], kinds[type(value)], value)


def _raw(values: Any) -> bytes:
    if isinstance(values, np.ndarray):
        return values.tobytes()
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


def _listed(data: bytes, datatype: str) -> list[Any]:
    if datatype != "BYTES":
        return list(np.frombuffer(data, _DTYPES[datatype]).tolist())
    elements = []
    while data:
        size = 4 + int.from_bytes(data[:4], "little")
        elements.append(data[4:size])
        data = data[size:]
    return elements
