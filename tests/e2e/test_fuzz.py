"""Requests that no person would write, hundreds of them by a fixed seed: only declared answers, and nothing is left."""

import asyncio
import base64
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from PIL import Image

from environments import apart, python_with
from grpc_fuzz import Found, ask, calls, inference
from messages import message
from servers import Server
from whybox import Client, v1

MODEL = "efficientnet-lite0"
SEED = 16
SCHEMATHESIS = "schemathesis==4.32.5"
SCRIPT = Path(__file__).parent / "fuzzers" / "with_schemathesis.py"
CALLS = 600
CASES, COSTLY_CASES = 4, 2
SECONDS = 180
LEFT_BYTES = 2**27
GOOD = 0.8

ANALYSIS = "/whybox.v1.AnalysisService"


def gateway_of(server: Server) -> psutil.Process:
    return psutil.Process(server.process.pid)


def check_nothing_is_left(server: Server, pids: set[int], memory: int, good: bytes) -> None:
    """The same processes live, the gateway has not grown by much, and a plain prediction is answered at once."""
    assert {process.pid for process in server.family()} == pids
    assert gateway_of(server).memory_info().rss < memory + LEFT_BYTES
    for address in (server.grpc, server.rest):
        with Client(address, timeout=30) as client:
            assert client.predict(good).classes[0].label == "dalmatian"


@pytest.fixture
def before(server: Server) -> tuple[set[int], int]:
    return {process.pid for process in server.family()}, gateway_of(server).memory_info().rss


def test_calls_over_grpc(server: Server, before: tuple[set[int], int], dalmatian: bytes) -> None:
    asked = message(v1.AnalyzeRequest, model=MODEL, image=dalmatian, prediction={"top_k": 3}, bias={})
    explained = message(v1.AnalyzeRequest, model=MODEL, image=dalmatian, explanations=[{"method": "grad_cam"}])
    valid = [
        (f"{ANALYSIS}/Analyze", asked),
        (f"{ANALYSIS}/StreamAnalysis", asked),
        (f"{ANALYSIS}/StreamAnalysis", explained),
        (f"{ANALYSIS}/GetModel", v1.GetModelRequest(model=MODEL)),
        (f"{ANALYSIS}/ListModels", v1.ListModelsRequest()),
        ("/inference.GRPCInferenceService/ModelInfer", inference(MODEL, dalmatian)),
    ]

    async def all_of_them() -> Found:
        async with grpc.aio.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
            return await ask(channel, calls(valid, CALLS, SEED), at_once=4)

    found = asyncio.run(all_of_them())
    assert found.undeclared == []
    assert found.valid["OK"] >= GOOD * found.valid.total()
    check_nothing_is_left(server, *before, dalmatian)


def test_requests_by_the_openapi_document(server: Server, before: tuple[set[int], int], dalmatian: bytes) -> None:
    python = python_with(SCHEMATHESIS)
    model: dict[str, Any] = httpx.get(f"{server.rest}/v1/models/{MODEL}").json()
    side = model["preprocessing"]["crop"]
    view = io.BytesIO()
    Image.open(io.BytesIO(dalmatian)).convert("RGB").resize((side, side)).save(view, "PNG")
    asked = {
        "url": server.rest,
        "model": model,
        "picture": base64.b64encode(view.getvalue()).decode(),
        "examples": CASES,
        "costly_examples": COSTLY_CASES,
        "seed": SEED,
    }
    done = subprocess.run(
        [python, SCRIPT],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=apart(),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["wrong"] == []
    statuses = [(int(status), count) for each in found["valid"].values() for status, count in each.items()]
    good = sum(count for status, count in statuses if 200 <= status < 300)
    assert good >= GOOD * sum(count for _, count in statuses), found["refused"]
    described = httpx.get(f"{server.rest}/openapi.json").json()["paths"]
    assert len(found["invalid"]) == sum(len(operations) for operations in described.values())
    check_nothing_is_left(server, *before, dalmatian)
