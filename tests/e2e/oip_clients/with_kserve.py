"""Asks a server through KServe's client; runs in an environment of its own. In and out as of `with_tritonclient.py`."""

import asyncio
import base64
import io
import json
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.constants.constants import PredictorProtocol


def outputs(response):
    found = {output.name: output.as_numpy() for output in response.outputs}
    return {
        "classes": found["classes"].tolist(),
        "labels": [
            [label.decode() if isinstance(label, bytes) else str(label) for label in row] for row in found["labels"]
        ],
        "probabilities": found["probabilities"].tolist(),
    }


def requests(asked):
    pictures = [base64.b64decode(picture) for picture in asked["pictures"]]
    arrays = {name: np.load(io.BytesIO(base64.b64decode(asked[name]))) for name in ("pixels", "view")}
    for name, datatype, array in (
        ("image", "BYTES", np.array(pictures, object)),
        ("pixels", "UINT8", arrays["pixels"]),
        ("view", "FP32", arrays["view"]),
    ):
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        yield name, InferRequest(asked["model"], [tensor], request_id="mine")


async def over_rest(asked):
    client = InferenceRESTClient(RESTConfig(protocol=PredictorProtocol.REST_V2))
    url, model = f"http://{asked['rest']}", asked["model"]
    found = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, model),
    }
    for name, request in requests(asked):
        response = await client.infer(url, request, model_name=model)
        found |= {name: outputs(response), "id": response.id}
    data = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": asked["pictures"]}]}
    found["json"] = outputs(await client.infer(url, data, model_name=model))
    try:
        await client.infer(url, data, model_name="other")
    except httpx.HTTPStatusError as error:
        found["error"] = [str(error.response.status_code), str(error)]
    return found


async def over_grpc(asked):
    async with InferenceGRPCClient(asked["grpc"]) as client:
        found = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready(asked["model"]),
        }
        for name, request in requests(asked):
            response = await client.infer(request)
            found |= {name: outputs(response), "id": response.id}
        try:
            await client.infer(InferRequest("other", request.inputs))
        except grpc.RpcError as error:
            found["error"] = [error.code().name, error.details()]
    return found


async def main():
    asked = json.load(sys.stdin)
    json.dump({"rest": await over_rest(asked), "grpc": await over_grpc(asked)}, sys.stdout)


asyncio.run(main())
