"""Answers beyond 4 MB, asked for with gRPC's own stub and limits, from the real server."""

import grpc
import pytest

from messages import message
from servers import Server
from whybox import Client, v1
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub

LIMIT = 4_000_000
MAPS = [
    {"method": method, "target_class": target, "encodings": ["float32"], "channels": "none"}
    for method in ("saliency", "input_x_gradient")
    for target in range(251, 256)
]


def request(image: bytes) -> v1.AnalyzeRequest:
    return message(v1.AnalyzeRequest, model="efficientnet-lite0", image=image, prediction={}, explanations=MAPS)


def test_a_client_with_default_limits_loses_nothing(server: Server, dalmatian: bytes) -> None:
    asked = request(dalmatian)
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
        stub = AnalysisServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="call StreamAnalysis") as caught:
            stub.Analyze(asked, timeout=60)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        merged = v1.AnalyzeResponse()
        for part in stub.StreamAnalysis(asked, timeout=60):
            assert part.ByteSize() <= LIMIT
            merged.MergeFrom(part)
    assert merged.ByteSize() > LIMIT
    merged.explanations.sort(key=lambda explanation: explanation.index)

    larger = 16 * 2**20
    metadata = (("x-whybox-max-response-bytes", str(larger)),)
    options = [("grpc.max_receive_message_length", larger)]
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://"), options=options) as channel:
        whole = AnalysisServiceStub(channel).Analyze(asked, timeout=60, metadata=metadata)
    assert merged.explanations == whole.explanations
    assert merged.prediction == whole.prediction


def test_the_python_client_takes_large_answers(server: Server, dalmatian: bytes) -> None:
    targets = list(range(251, 256))
    with Client(server.grpc, timeout=60) as client:
        found = client.explain(
            dalmatian, ["saliency", "input_x_gradient"], target=targets, encodings="float32", channels="none"
        )
    assert [explanation.attribution.shape for explanation in found] == [(3, 224, 224)] * len(MAPS)
