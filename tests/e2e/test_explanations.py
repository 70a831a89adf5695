"""Every way to explain, through the real server."""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from presence import present
from servers import Server, serving
from whybox import Client, DeadlineExceededError, FailedPreconditionError, InvalidRequestError, v1
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub
from whybox_handlers.explanations.explainers import EXPLAINERS

OFFERED = [name for name, row in EXPLAINERS.items() if not row.off_by_default]
MODEL = "efficientnet-lite0"


def test_every_method_answers(client: Client, dalmatian: bytes) -> None:
    for explanation in client.explain(dalmatian, OFFERED, timeout=120):
        assert explanation.error is None, (explanation.method, explanation.error)
        assert explanation.target_label == "dalmatian"
        assert np.isfinite(explanation.attribution).all()
        assert np.ptp(explanation.attribution) > 0
        assert explanation.stopped_by in ("done", "tolerance", "evaluations")
        assert explanation.forward_evaluations + explanation.gradient_evaluations > 0 or explanation.method in (
            "grad_cam",
            "hires_cam",
        )


def test_a_default_answer_is_small(server: Server, dalmatian: bytes) -> None:
    for method in ("grad_cam", "integrated_gradients", "smooth_grad", "rise"):
        answer = httpx.post(
            f"{server.rest}/v1/models/{MODEL}:explain",
            params={"method": method},
            content=dalmatian,
            headers={"Content-Type": "image/jpeg"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 60_000, method


def test_classes_by_name_several_at_once_and_against_each_other(client: Client, dalmatian: bytes) -> None:
    one, other = client.explain(dalmatian, "input_x_gradient", target=["dalmatian", 211], encodings="float32")
    assert (one.target_class, other.target_class) == (251, 211)
    (contrast,) = client.explain(dalmatian, "input_x_gradient", contrast=211, encodings="float32")
    assert (contrast.target_label, contrast.contrast_class) == ("dalmatian", 211)
    assert contrast.target_logit == pytest.approx(one.target_logit - other.target_logit, abs=1e-4)
    difference = one.attribution - other.attribution
    assert np.abs(contrast.attribution - difference).max() <= 1e-4 * np.ptp(difference)


def test_quality_and_regions(client: Client, dalmatian: bytes) -> None:
    (explanation,) = client.explain(dalmatian, "grad_cam", quality="all", encodings=["uint8", "regions"], timeout=120)
    quality, regions = present(explanation.quality), present(explanation.regions)
    assert quality.deletion is not None
    assert quality.insertion is not None
    assert quality.reliable == (not quality.reasons)
    sufficient, necessary = present(regions.sufficient), present(regions.necessary)
    assert (sufficient.state, necessary.state) == ("found", "found")
    # The proof: with the one alone the model still says so, without the other it does not.
    assert present(sufficient.predicted).label == "dalmatian"
    assert present(necessary.predicted).label != "dalmatian"
    assert 0 < present(sufficient.area) < 1


@pytest.mark.parametrize("name", ["overlay", "heat_map"])
def test_a_map_as_a_picture(server: Server, dalmatian: bytes, name: str) -> None:
    answer = httpx.post(
        f"{server.rest}/v1/models/{MODEL}:explain",
        params={"encoding": name},
        content=dalmatian,
        headers={"Content-Type": "image/jpeg", "Accept": "image/png"},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (224, 224)


def test_what_there_is_before_the_deadline(client: Client, dalmatian: bytes) -> None:
    (explanation,) = client.explain(dalmatian, "rise", max_evaluations=10_000, tolerance=0, timeout=3)
    assert explanation.stopped_by == "deadline"
    assert 0 < explanation.forward_evaluations < 10_000
    assert present(explanation.residual) > 0


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_worker_is_free_soon_after_its_caller_has_gone(server: Server, dalmatian: bytes, transport: str) -> None:
    """The abandoned map would take the only worker more than a minute."""
    options = v1.ExplanationOptions(method="rise", max_evaluations=10_000, tolerance=0)
    if transport == "grpc":
        with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
            request = v1.AnalyzeRequest(model=MODEL, image=dalmatian, explanations=[options])
            call = AnalysisServiceStub(channel).Analyze.future(request)
            time.sleep(1)
            call.cancel()
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.rest}/v1/models/{MODEL}:explain",
                params={"method": "rise", "max_evaluations": 10_000, "tolerance": 0},
                content=dalmatian,
                headers={"Content-Type": "image/jpeg"},
                timeout=1,
            )
    with Client(server.grpc) as client:
        assert client.explain(dalmatian, timeout=30)[0].target_class == 251


def test_work_that_cannot_end_early_ends_at_the_deadline(server: Server, dalmatian: bytes) -> None:
    with Client(server.grpc) as client:
        with pytest.raises(DeadlineExceededError):
            # Its first windows would cover the picture after about a quarter of all.
            client.explain(dalmatian, "occlusion", max_evaluations=10_000, timeout=1)
        [soon] = client.explain(dalmatian, timeout=20)
    assert soon.target_class == 251


def test_requests_that_share_their_passes_get_the_maps_they_would_get_alone(
    server: Server, archive: Path, tmp_path: Path, pictures: dict[Path, int]
) -> None:
    """TorchServe hands the worker up to eight requests at once, of several methods."""
    methods = [name for name in OFFERED if name not in ("rise", "kernel_shap", "occlusion")][:8]
    images = [path.read_bytes() for path in list(pictures)[: len(methods)]]

    def explained(url: str, image: bytes, method: str) -> NDArray[np.float32]:
        with Client(url, timeout=120) as client:
            return client.explain(image, method, encodings="float32", seed=3)[0].attribution

    alone = [explained(server.grpc, image, method) for image, method in zip(images, methods, strict=True)]
    batching = {"WHYBOX_ANALYZE_BATCH": "8", "WHYBOX_PREDICT_DELAY_MS": "300"}
    with serving(archive.parent, tmp_path / "logs", **batching) as shared, ThreadPoolExecutor(8) as callers:
        together = list(callers.map(explained, [shared.grpc] * len(methods), images, methods))
    for method, one, other in zip(methods, alone, together, strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.ptp(one), method


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"methods": "lime"}, InvalidRequestError, ["lime", "grad_cam", "kernel_shap"]),
        ({"methods": "grad_cam", "target": 1000}, InvalidRequestError, ["target_class", "0 to 999"]),
        ({"methods": "grad_cam", "target": "dalmation"}, InvalidRequestError, ["dalmation", "'dalmatian'"]),
        ({"methods": "grad_cam", "contrast": "dalmatian"}, InvalidRequestError, ["contrast", "another"]),
        ({"methods": "rise", "max_evaluations": 0}, InvalidRequestError, ["max_evaluations is 0", "10000"]),
        ({"methods": "saliency", "max_evaluations": 3}, InvalidRequestError, ["saliency", "leave it out"]),
        ({"methods": "grad_cam", "baseline": "grey"}, InvalidRequestError, ["no baseline", "leave it out"]),
        ({"methods": "occlusion", "baseline": "white"}, InvalidRequestError, ["white", "black, grey, blur, mean"]),
        (
            {"methods": "integrated_gradients", "baseline": np.zeros((100, 80, 3), np.uint8)},
            InvalidRequestError,
            ["80 x 100", "224 x 224"],
        ),
        ({"methods": "grad_cam", "encodings": "jpeg"}, InvalidRequestError, ["jpeg", "overlay"]),
        ({"methods": "grad_cam", "encodings": ["uint8", "float16"]}, InvalidRequestError, ["choose one"]),
        ({"methods": "grad_cam", "quality": "beauty"}, InvalidRequestError, ["beauty", "deletion"]),
        ({"methods": "grad_cam", "tolerance": 0.1}, InvalidRequestError, ["tolerance", "leave it out"]),
        ({"methods": "rise", "tolerance": 2.0}, InvalidRequestError, ["tolerance", "0 to 1"]),
        ({"methods": "example"}, FailedPreconditionError, ["packed without", "--bank"]),
        ({"methods": "example", "quality": "all"}, InvalidRequestError, ["example takes no quality", "leave it out"]),
        ({"methods": "guided_grad_cam"}, FailedPreconditionError, ["enable"]),
    ],
)
def test_bad_options_say_what_to_do_instead(
    client: Client, dalmatian: bytes, options: dict[str, Any], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as raised:
        client.explain(dalmatian, **options)
    for word in words:
        assert word in str(raised.value)
