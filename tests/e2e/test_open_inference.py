"""The Open Inference Protocol on the real server, through the clients of others: the same numbers as our own give."""

import base64
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from environments import apart, python_with
from servers import Server
from whybox import Client, Prediction
from whybox_handlers.models.classifier import Classifier

SCRIPTS = Path(__file__).parent / "oip_clients"
MODEL = "efficientnet-lite0"
# Both need an older protobuf than Whybox has.
CLIENTS = {"tritonclient": ["tritonclient[grpc,http]==2.73.0"], "kserve": ["kserve==0.21.0"]}


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(array: Any) -> str:
    file = io.BytesIO()
    np.save(file, array)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def photographs(pictures: dict[Path, int]) -> list[bytes]:
    return [path.read_bytes() for path in list(pictures)[:2]]


@pytest.fixture(scope="module")
def pixels(photographs: list[bytes]) -> Any:
    """Two pictures of one size, decoded: [2, 240, 320, 3]."""
    return np.stack(
        [np.asarray(Image.open(io.BytesIO(each)).convert("RGB").resize((320, 240))) for each in photographs]
    )


@pytest.fixture(scope="module")
def views(photographs: list[bytes], classifier: Classifier) -> Any:
    """The pictures in the size of the view, 8 bits: [2, crop, crop, 3]."""
    side = classifier.model.preprocessing.crop
    return np.stack(
        [np.asarray(Image.open(io.BytesIO(each)).convert("RGB").resize((side, side))) for each in photographs]
    )


@pytest.fixture(scope="module", params=CLIENTS)
def answers(
    request: pytest.FixtureRequest, server: Server, photographs: list[bytes], pixels: Any, views: Any
) -> dict[str, dict[str, Any]]:
    """What a client gets, by transport and question."""
    python = python_with(*CLIENTS[request.param])
    asked = {
        "rest": server.rest.partition("//")[2],
        "grpc": server.grpc.partition("//")[2],
        "model": MODEL,
        "pictures": [base64.b64encode(each).decode() for each in photographs],
        "pixels": npy(pixels),
        "view": npy((views.transpose(0, 3, 1, 2) / 255).astype(np.float32)),
    }
    command = [python, SCRIPTS / f"with_{request.param}.py"]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, timeout=120, env=apart(), check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def told(predictions: list[Prediction]) -> dict[str, Any]:
    return {
        "classes": [[score.index for score in each.classes] for each in predictions],
        "labels": [[score.label for score in each.classes] for each in predictions],
        "probabilities": [[score.probability for score in each.classes] for each in predictions],
    }


def test_other_clients_get_our_predictions(
    server: Server, answers: dict[str, dict[str, Any]], photographs: list[bytes], pixels: Any, views: Any
) -> None:
    with Client(server.grpc) as client:
        expected = {
            "image": told([client.predict(each) for each in photographs]),
            "pixels": told([client.predict(png(each)) for each in pixels]),
            "view": told([client.predict(png(each), view=True) for each in views]),
        }
    assert expected["image"] != expected["pixels"]
    for transport, found in answers.items():
        for name, ours in expected.items():
            assert found[name] == ours, (transport, name)
        if "json" in found:
            assert found["json"] == expected["image"]
        if "top 2" in found:
            assert found["top 2"] == [row[:2] for row in expected["image"]["classes"]]
            for row, classes in zip(found["classification"], expected["image"]["classes"], strict=True):
                assert [int(text.split(":")[1]) for text in row] == classes[:3]


def test_other_clients_learn_of_the_server(answers: dict[str, dict[str, Any]]) -> None:
    for transport, found in answers.items():
        assert [found[name] for name in ("live", "ready", "model ready")] == [True, True, True]
        assert found["id"] == "mine"
        if "server" in found:
            assert found["server"] == ["whybox", ["binary_tensor_data", "classification"]]
            assert found["metadata"] == [MODEL, ["image", "pixels", "view"]]
        status, message = found["error"]
        assert status in (("404",) if transport.startswith("rest") else ("NOT_FOUND", "StatusCode.NOT_FOUND"))
        assert "there is no model 'other' here" in message


def test_compressed_answers_over_http_1_1(server: Server) -> None:
    for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
        response = httpx.get(f"{server.rest}/v1/models/{MODEL}", headers={"Accept-Encoding": accepted})
        assert (response.http_version, response.headers.get("content-encoding")) == ("HTTP/1.1", encoding)
        assert response.headers["vary"] == "Accept-Encoding"
        assert len(response.json()["labels"]) == 1000
