"""No part sends anything unasked, or leaves an id in the home folder."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from whybox_handlers.models.runtimes.differentiators import runs

# A network of one node, loaded and run as a worker does it, and torch beside it.
RUN = """
import {first}
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from whybox_handlers.models.runtimes.differentiators import CompiledDifferentiator, runs
from whybox_handlers.models.runtimes.serving import OnnxServing

def value(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)

def serialized(nodes, inputs, outputs):
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

pictures = torch.ones(1, 3, 2, 2)
relu = helper.make_node("Relu", ["pictures"], ["logits"])
network = serialized([relu], [value("pictures", 1, 3, 2, 2)], [value("logits", 1, 3, 2, 2)])
sums = [float(OnnxServing(network, torch.device("cpu"))(pictures)[0].sum())]
kinds = {{"kind": TensorProto.INT64}}
gradient = serialized(
    [
        helper.make_node("Relu", ["picture"], ["gradient"]),
        helper.make_node("Add", ["label", "rival"], ["both"]),
        helper.make_node("Cast", ["both"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["weights", "cast"], ["logits"]),
    ],
    [value("picture", 1, 3, 2, 2), value("weights", 2), value("label", **kinds), value("rival", **kinds)],
    [value("logits", 2), value("gradient", 1, 3, 2, 2)],
)
for runtime in ("onnxruntime", "openvino"):
    if runs(runtime):
        one = torch.tensor([1])
        sums.append(float(CompiledDifferentiator(gradient, runtime, 2).margins(pictures, one, one)[1].sum()))
print(*sums)
"""


@pytest.mark.parametrize(
    "first", ["whybox_handlers.handler", "whybox_handlers.notebook", "whybox_server.packing.pack",
              "whybox_server.audits.passes.workers"],
)  # fmt: skip
def test_a_run_of_the_network_sends_and_leaves_nothing(first: str, tmp_path: Path) -> None:
    calls: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def note() -> None:
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return  # closed
                with connection:
                    calls.append(connection.recv(1000))

        threading.Thread(target=note, daemon=True).start()
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "MPLCONFIGDIR"))
        }
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"), url)
        done = subprocess.run(
            [sys.executable, "-c", RUN.format(first=first)],
            env=inherited | proxies | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        # Wakes the thread, which would otherwise wait in `accept`.
        proxy.shutdown(socket.SHUT_RDWR)
    assert done.stdout.split() == ["12.0", "12.0", *(["12.0"] if runs("openvino") else [])]
    assert calls == []
    # Captum imports matplotlib, which caches the list of this machine's fonts.
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "matplotlib"]
    assert left == []
