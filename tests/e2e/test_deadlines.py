"""A caller with a deadline gets what there is before it, over raw transports that know nothing of Whybox."""

import base64
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from messages import message
from servers import Server
from whybox import v1
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub

Ask = Callable[[Server, bytes, float], v1.AnalyzeResponse]

MODEL = "efficientnet-lite0"
# All of this takes minutes.
SLOW_PARTS: dict[str, Any] = {
    "prediction": {},
    "explanations": [
        {"method": "occlusion", "quality": ["all"]},
        {"method": "kernel_shap", "quality": ["all"], "max_evaluations": 10_000, "tolerance": 0},
    ],
    "robustness": {"norms": ["l2"], "budget": "thorough", "twin": "grad_cam", "corruptions": ["all"]},
    "bias": {},
    "certified": {"sigma": 0.05, "samples": 100_000},
}


def by_grpc(server: Server, image: bytes, seconds: float) -> v1.AnalyzeResponse:
    request = message(v1.AnalyzeRequest, model=MODEL, **SLOW_PARTS)
    request.image = image
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
        answer: v1.AnalyzeResponse = AnalysisServiceStub(channel).Analyze(request, timeout=seconds)
        return answer


def by_grpc_stream(server: Server, image: bytes, seconds: float) -> v1.AnalyzeResponse:
    request = message(v1.AnalyzeRequest, model=MODEL, **SLOW_PARTS)
    request.image = image
    whole = v1.AnalyzeResponse()
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
        for part in AnalysisServiceStub(channel).StreamAnalysis(request, timeout=seconds):
            if part.certified.state != "running":
                whole.MergeFrom(part)
    return whole


def by_rest(server: Server, image: bytes, seconds: float) -> v1.AnalyzeResponse:
    request = {**SLOW_PARTS, "image": base64.b64encode(image).decode()}
    url = f"{server.rest}/v1/models/{MODEL}:analyze"
    # The client hangs up at the very time that it names.
    response = httpx.post(url, json=request, params={"timeout": seconds}, timeout=seconds)
    assert response.status_code == 200, response.text
    return json_format.ParseDict(response.json(), v1.AnalyzeResponse())


@pytest.mark.parametrize("seconds", [1, 5, 20])
@pytest.mark.parametrize("ask", [by_grpc, by_grpc_stream, by_rest])
def test_the_prediction_arrives_and_late_parts_say_so(
    server: Server, dalmatian: bytes, ask: Ask, seconds: float
) -> None:
    answer = ask(server, dalmatian, seconds)
    assert answer.prediction.status.code == code_pb2.OK
    assert answer.prediction.classes[0].index == 251
    assert answer.bias.status.code == code_pb2.OK
    parts: list[Any] = [*answer.explanations, answer.robustness, answer.certified]
    for part in parts:
        assert part.status.code in (code_pb2.OK, code_pb2.DEADLINE_EXCEEDED), part.status
    assert answer.HasField("robustness")
    assert answer.HasField("certified")
    assert {explanation.method for explanation in answer.explanations} == {"occlusion", "kernel_shap"}
