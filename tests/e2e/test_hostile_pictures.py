"""The hostile pictures on the real server: over both transports the outcome of the table, by the same live worker."""

from collections.abc import Callable
from typing import Any

import grpc
import httpx
from google.rpc import code_pb2
from grpc_status import rpc_status

from hostile_pictures import HOSTILE
from messages import message
from presence import present
from servers import Server, memory
from whybox import v1
from whybox.v1 import analysis_pb2_grpc, errors

MODEL = "efficientnet-lite0"
# A worker that has served for a while has 0.7 GB; the largest picture with 16 bits a sample takes 1 GB for a moment.
PEAK_BYTES = 5 * 2**29
LEFT_BYTES = 2**29
LARGEST_MESSAGE = 64 * 2**20

Outcome = tuple[str, str, str] | list[tuple[int, float]]
"""Code, reason and field of a refusal, or the classes with their probabilities."""
Ask = Callable[[bytes], Outcome]


def over_grpc(stub: analysis_pb2_grpc.AnalysisServiceStub, image: bytes) -> Outcome:
    try:
        answer = stub.Analyze(message(v1.AnalyzeRequest, model=MODEL, image=image, prediction={}), timeout=60)
    except grpc.RpcError as raised:
        call: Any = raised  # its types do not say that it is also the call
        error = errors.error_from_status(present(rpc_status.from_call(call)))
        return error.code_name, error.reason, error.field or ""
    assert answer.prediction.status.code == code_pb2.OK
    return [(score.index, score.probability) for score in answer.prediction.classes]


def over_rest(http: httpx.Client, image: bytes) -> Outcome:
    """Whatever it is, it is called a PNG."""
    answer = http.post(f"/v1/models/{MODEL}:predict", content=image, headers={"Content-Type": "image/png"})
    body = answer.json()
    if answer.is_success:
        return [(score["index"], score["probability"]) for score in body["prediction"]["classes"]]
    assert answer.status_code == (413 if body["reason"] == "PICTURE_TOO_LARGE" else 400), body
    [violation] = body["errors"]
    return body["code"], body["reason"], violation["field"]


def test_hostile_pictures(server: Server) -> None:
    workers = server.workers("predict")
    assert workers
    with (
        grpc.insecure_channel(
            server.grpc.removeprefix("grpc://"), [("grpc.max_send_message_length", LARGEST_MESSAGE)]
        ) as channel,
        httpx.Client(base_url=server.rest, timeout=60) as http,
    ):
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
        asks: dict[str, Ask] = {
            "gRPC": lambda image: over_grpc(stub, image),
            "REST": lambda image: over_rest(http, image),
        }
        plain = {case.looks: over_grpc(stub, case.looks) for case in HOSTILE.values() if case.looks}
        before = {worker.pid: memory(worker.pid, "VmRSS") for worker in workers}
        for name, case in HOSTILE.items():
            sent = case.make()
            found = {transport: ask(sent) for transport, ask in asks.items()}
            expected = ("INVALID_ARGUMENT", case.reason, "image") if case.reason else plain.get(case.looks)
            # The probabilities of a picture that need not look like another are its own, but those on both sides.
            wanted = found["gRPC"] if expected is None else expected
            assert found == dict.fromkeys(asks, wanted), name
            assert isinstance(found["gRPC"], list) is not bool(case.reason), name
    assert {process.pid for process in server.workers("predict")} == before.keys()
    for worker in workers:
        assert worker.is_running()
        assert memory(worker.pid, "VmHWM") < PEAK_BYTES
        assert memory(worker.pid, "VmRSS") < before[worker.pid] + LEFT_BYTES
