"""Asks a server through tritonclient; runs in an environment of its own.

From stdin {"rest", "grpc": "host:port", "model", "pictures": [base64], "pixels", "view": .npy in base64}; to stdout the
answers, by transport and question.
"""

import base64
import io
import json
import sys

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_rest
from tritonclient.utils import InferenceServerException


def outputs(result):
    classes, labels, probabilities = (result.as_numpy(name) for name in ("classes", "labels", "probabilities"))
    return {
        "classes": classes.tolist(),
        "labels": [[label.decode() for label in row] for row in labels],
        "probabilities": probabilities.tolist(),
    }


def ask(package, url, asked, **more):
    model, arrays = asked["model"], tensors(asked)
    with package.InferenceServerClient(url) as client:
        metadata = client.get_model_metadata(model)
        server = client.get_server_metadata()
        if package is over_grpc:
            metadata = {"name": metadata.name, "inputs": [{"name": each.name} for each in metadata.inputs]}
            server = {"name": server.name, "extensions": list(server.extensions)}
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready(model),
            "server": [server["name"], list(server["extensions"])],
            "metadata": [metadata["name"], [each["name"] for each in metadata["inputs"]]],
        }

        def infer(name, **given):
            datatype, array = arrays[name]
            tensor = package.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            return client.infer(model, [tensor], **given)

        for name in arrays:
            found[name] = outputs(infer(name, **more))
        chosen = package.InferRequestedOutput("probabilities", class_count=3)
        texts = infer("image", outputs=[chosen], request_id="mine")
        found["classification"] = [[text.decode() for text in row] for row in texts.as_numpy("probabilities")]
        found["top 2"] = infer("image", parameters={"top_k": 2}).as_numpy("classes").tolist()
        response = texts.get_response()
        found["id"] = response["id"] if package is over_rest else response.id
        try:
            client.infer("other", [package.InferInput("image", [1], "BYTES")])
        except InferenceServerException as error:
            found["error"] = [error.status(), error.message()]
    return found


def tensors(asked):
    pictures = [base64.b64decode(picture) for picture in asked["pictures"]]
    arrays = {name: np.load(io.BytesIO(base64.b64decode(asked[name]))) for name in ("pixels", "view")}
    return {
        "image": ("BYTES", np.array(pictures, object)),
        "pixels": ("UINT8", arrays["pixels"]),
        "view": ("FP32", arrays["view"]),
    }


asked = json.load(sys.stdin)
answers = {
    "rest": ask(over_rest, asked["rest"], asked),
    "rest, compressed": ask(
        over_rest, asked["rest"], asked, request_compression_algorithm="gzip", response_compression_algorithm="gzip"
    ),
    "grpc": ask(over_grpc, asked["grpc"], asked),
    "grpc, compressed": ask(over_grpc, asked["grpc"], asked, compression_algorithm="gzip"),
}
json.dump(answers, sys.stdout)
