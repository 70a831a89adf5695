"""What operators see: health, metrics, documentation, the command line, and a TorchServe that is closed to others."""

import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import jsonschema
import psutil
import pytest
from google.protobuf import json_format

from servers import Server
from whybox import Client, v1
from whybox_server.torchserve.inference_pb2 import PredictionResponse, PredictionsRequest

MODEL = "efficientnet-lite0"
BIN = Path(sys.executable).parent


def test_health_and_readiness(server: Server) -> None:
    assert httpx.get(f"{server.rest}/healthz").json() == {"status": "alive"}
    ready = httpx.get(f"{server.rest}/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "models": {MODEL: {"1.0": {"predict": "ready", "analyze": "ready"}}}}


def test_metrics_count_what_happened(server: Server, dalmatian: bytes) -> None:
    def value(name: str, **labels: str) -> float:
        for line in httpx.get(f"{server.rest}/metrics").text.splitlines():
            if line.startswith(f"{name}{{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    labels = {"transport": "grpc", "route": "Analyze", "model": MODEL}
    before = value("whybox_requests_total", **labels, code="OK")
    part = {"model": MODEL, "part": "explanation", "method": "grad_cam"}
    parts_before = value("whybox_parts_total", **part, code="OK")
    with Client(server.grpc) as client:
        client.explain(dalmatian)
    assert value("whybox_requests_total", **labels, code="OK") == before + 1
    assert value("whybox_parts_total", **part, code="OK") == parts_before + 1
    assert value("whybox_request_seconds_count", **labels) >= before + 1
    assert value("whybox_pool_ready", model=MODEL, pool="analyze") == 1


def test_openapi_describes_the_answers(server: Server, dalmatian: bytes) -> None:
    document = httpx.get(f"{server.rest}/openapi.json").json()
    for action in ("predict", "explain", "robustness", "bias", "certify?sigma=0.05&samples=100", "analyze"):
        url = f"{server.rest}/v1/models/{MODEL}:{action}"
        action = action.partition("?")[0]
        headers = {"Content-Type": "image/jpeg"}
        answer = httpx.post(url, content=dalmatian, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        operation = document["paths"][f"/v1/models/{{model}}:{action}"]["post"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
        # And it is the message of the contract, with nothing left out.
        parsed = json_format.ParseDict(answer.json(), v1.AnalyzeResponse())
        assert parsed.receipt.weights_sha256
        assert parsed.request_id == answer.headers["x-request-id"]
    docs = httpx.get(f"{server.rest}/docs").text
    assert not re.findall(r"(?:src|href)=.https?://", docs)


def test_ndjson_streams_the_parts(server: Server, dalmatian: bytes) -> None:
    url = f"{server.rest}/v1/models/{MODEL}:analyze"
    headers = {"Content-Type": "image/jpeg", "Accept": "application/x-ndjson"}
    answer = httpx.post(url, content=dalmatian, headers=headers, timeout=60)
    parts = [json_format.ParseDict(json.loads(line), v1.AnalyzeResponse()) for line in answer.text.splitlines()]
    assert parts[0].HasField("prediction")
    assert len(parts) == 3
    assert all(part.receipt.parameters and part.request_id for part in parts)


def test_the_command_draws_and_prints(server: Server, pictures: dict[Path, int], tmp_path: Path) -> None:
    picture = next(path for path, label in pictures.items() if label == 251)
    for url in (server.rest, server.grpc):
        options = ["--url", url, "--save", str(tmp_path / "out"), "--budget", "fast"]
        command = [str(BIN / "whybox"), "analyze", str(picture), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "dalmatian" in done.stdout
        assert "not audited" in done.stdout
        assert f"{picture.stem}.grad_cam.png" in done.stdout
        assert (tmp_path / "out" / f"{picture.stem}.grad_cam.png").stat().st_size > 1000


def test_torchserve_listens_to_this_machine_only(server: Server) -> None:
    """TCP on loopback only, and no prediction without the token."""
    (java,) = [process for process in server.family() if "java" in process.name()]
    listening = [each.laddr for each in java.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    refusals = 0
    for address in listening:
        with grpc.insecure_channel(f"127.0.0.1:{address.port}") as channel:
            predict = channel.unary_unary(
                "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions",
                request_serializer=PredictionsRequest.SerializeToString,
                response_deserializer=PredictionResponse.FromString,
            )
            request = PredictionsRequest(
                model_name=f"{MODEL}-predict", input={"request": v1.Work().SerializeToString()}
            )
            with pytest.raises(grpc.RpcError):
                predict(request, timeout=10)
            for method in ("ListModels", "UnregisterModel", "ScaleWorker", "RegisterModel"):
                manage: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                    f"/org.pytorch.serve.grpc.management.ManagementAPIsService/{method}"
                )
                refused = manage.future(b"", timeout=10)
                assert isinstance(refused.exception(), grpc.RpcError)
                refusals += refused.code() is not grpc.StatusCode.UNIMPLEMENTED
    assert refusals == 4


def test_the_log_has_no_lines_about_single_requests(server: Server, dalmatian: bytes) -> None:
    log = server.log_dir / "torchserve.log"
    with Client(server.grpc, timeout=60) as client:
        client.explain(dalmatian, "saliency")
        before = len(log.read_text().splitlines())
        for _ in range(20):
            client.predict(dalmatian)
            client.explain(dalmatian, "saliency")
    # A probe that comes too late leaves one.
    assert len(log.read_text().splitlines()) < before + 5
