"""A GPU gives the evidence that a processor gives: `make test-gpu`, on a machine with an NVIDIA GPU."""

import logging
import zipfile
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from google.rpc import code_pb2
from torch import Tensor

from architectures import random_classifier, random_pictures, side_of
from explaining import explained, question_of
from whybox import v1
from whybox_handlers.audits.measuring import Measured, measure
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.handler import Handler
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.arithmetic import gpu_options
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.passes.computations import differentiate, differentiate_margin

GPU = torch.device("cuda")
needs_gpu = pytest.mark.gpu
FAMILIES = (
    "resnet18",
    "densenet121",
    "mobilenet_v3_small",
    "convnext_tiny",
    "vit_b_32",
    "swin_t",
    "shufflenet_v2_x0_5",
)
# TensorFloat-32 moves the gradients of the convolutional families by 0.1 and more.
CLOSE = 1e-3
# Lite0's kinks (ReLU6) make some gradients jump: up to 0.016 on an H100.
KINKS = 0.05


@pytest.fixture(scope="module")
def on_gpu(archive: Path) -> Classifier:
    return load_archive(archive, GPU)


def apart(one: Tensor, other: Tensor) -> float:
    """Norm of the difference, in norms of the other."""
    return float((one.double() - other.double()).norm() / other.double().norm())


def test_options_of_the_provider() -> None:
    assert gpu_options(GPU)["use_tf32"] == "0"
    assert "device_id" not in gpu_options(torch.device("cuda:0"))
    assert gpu_options(torch.device("cuda:1"))["device_id"] == "1"


@needs_gpu
def test_predictions(classifier: Classifier, on_gpu: Classifier, all_views: Tensor) -> None:
    assert on_gpu.serving.provider == "CUDAExecutionProvider"
    expected, answered = classifier.look(all_views), on_gpu.look(all_views)
    assert float((answered.logits - expected.logits).abs().max()) < 1e-4
    assert answered.maps is not None
    assert expected.maps is not None
    assert apart(answered.maps, expected.maps) < CLOSE
    assert torch.equal(on_gpu.look(all_views).logits, answered.logits)


@needs_gpu
def test_gradients(classifier: Classifier, on_gpu: Classifier, all_views: Tensor, pictures: dict[Path, int]) -> None:
    labels = torch.tensor(list(pictures.values()))
    objectives = torch.eye(1000)[labels]
    values, gradients = differentiate(on_gpu, all_views, objectives)
    for row in range(len(labels)):
        value, gradient = differentiate(classifier, all_views[row : row + 1], objectives[row : row + 1])
        assert float(values[row]) == pytest.approx(float(value), abs=1e-4)
        assert apart(gradients[row], gradient[0]) < KINKS
    again = differentiate(on_gpu, all_views, objectives)
    assert torch.equal(again[1], gradients)
    rivals = torch.full_like(labels, -1)
    logits, margins = differentiate_margin(on_gpu, all_views, labels, rivals)
    assert torch.equal(differentiate_margin(on_gpu, all_views, labels, rivals)[1], margins)
    assert float((logits - classifier.serve(all_views)).abs().max()) < 1e-3


@needs_gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_each_family(family: str) -> None:
    architecture = f"torchvision/{family}"
    classifier = random_classifier(architecture)
    views, objectives = random_pictures(3, side_of(architecture)), torch.eye(7)[:3]
    expected = torch.cat([differentiate(classifier, views[row : row + 1], objectives[row : row + 1])[1]
                          for row in range(3)])  # fmt: skip
    network = deepcopy(classifier.network).to(GPU)
    on_gpu = Classifier(v1.Model(), network, TorchServing(network), GPU)
    gradients = differentiate(on_gpu, views, objectives)[1]
    assert apart(gradients, expected) < CLOSE
    assert torch.equal(differentiate(on_gpu, views, objectives)[1], gradients)


@needs_gpu
@pytest.mark.parametrize("method", sorted(EXPLAINERS.keys() - {"example"}))
def test_each_explanation(method: str, classifier: Classifier, on_gpu: Classifier, view: Tensor) -> None:
    limits = {"lime": 100, "kernel_shap": 100, "rise": 100, "occlusion": 100, "score_cam": 50}
    one, other = (
        explained(each, method, question_of(each, view, 251, tolerance=0.03), limits.get(method))
        for each in (on_gpu, classifier)
    )
    assert one.values.device.type == "cpu"
    assert apart(one.values, other.values) < KINKS


@needs_gpu
def test_distances(classifier: Classifier, on_gpu: Classifier, pictures: dict[Path, int]) -> None:
    options = v1.RobustnessOptions(norms=["linf", "l2"], budget="6", attack="fmn")
    images, labels = [path.read_bytes() for path in pictures], list(pictures.values())
    ours, expected = (measure(each, images, labels, options, seed=0) for each in (on_gpu, classifier))
    for one, other in zip(ours, expected, strict=True):
        assert isinstance(one, Measured)
        assert isinstance(other, Measured)
        assert one.predicted == other.predicted
        for found, known in zip(one.distances, other.distances, strict=True):
            assert found.state == known.state == "found"
            # Rounding sends a search along another path; it ends at about the same boundary.
            assert found.distance == pytest.approx(known.distance, rel=0.2)
            assert found.unflipped_distance <= found.distance


@needs_gpu
def test_a_worker_answers_on_the_gpu_that_it_was_given(
    archive: Path, dalmatian: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path)
    handler = Handler()
    with caplog.at_level(logging.WARNING):
        handler.initialize(
            SimpleNamespace(model_name="m-predict", system_properties={"gpu_id": 0, "model_dir": str(tmp_path)})
        )
    assert not caplog.records
    request = v1.AnalyzeRequest(
        image=dalmatian,
        prediction=v1.PredictionOptions(top_k=1),
        explanations=[v1.ExplanationOptions(method="grad_cam", channels="sum", encodings=["float32"])],
        robustness=v1.RobustnessOptions(norms=["linf"], budget="6", attack="fmn"),
    )
    [answer] = handler.handle([{"request": v1.Work(request=request).SerializeToString()}], None)
    response = v1.WorkResult.FromString(answer).response
    statuses = [response.prediction.status, response.explanations[0].status, response.robustness.status]
    assert [status.code for status in statuses] == [code_pb2.OK] * 3
    assert response.prediction.classes[0].label == "dalmatian"
    assert response.receipt.runtime["device"] == torch.cuda.get_device_name(0)
    assert response.receipt.runtime["provider"] == "CUDAExecutionProvider"
