"""Real pictures through the real server: the same numbers over REST, over gRPC and without the server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, LayerGradCam, Saliency
from google.protobuf import json_format

from presence import present
from servers import Server
from whybox import Client, v1
from whybox_handlers import replay
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.pictures import decoding


def view(image: bytes, classifier: Classifier) -> torch.Tensor:
    preprocessing = classifier.model.preprocessing
    return decoding.preprocess(decoding.decode(image), preprocessing.resize, preprocessing.crop)[0]


def test_accuracy_and_equality(server: Server, classifier: Classifier, pictures: dict[Path, int]) -> None:
    top_1 = top_5 = 0
    with Client(server.grpc) as over_grpc, Client(server.rest) as over_rest:
        for path, label in pictures.items():
            grpc, rest = (client.predict(path, top_k=5) for client in (over_grpc, over_rest))
            probabilities = classifier.probabilities(view(path.read_bytes(), classifier)[None])[0]
            best = probabilities.topk(5).indices.tolist()
            for prediction in (grpc, rest):
                assert [score.index for score in prediction.classes] == best
                served = [score.probability for score in prediction.classes]
                assert served == pytest.approx(probabilities[best].tolist(), abs=1e-6)
            top_1 += best[0] == label
            top_5 += label in best
    assert top_1 >= 18
    assert top_5 >= 19


def test_explanations_equal_captum(client: Client, classifier: Classifier, dalmatian: bytes) -> None:
    methods = ["grad_cam", "saliency", "input_x_gradient"]
    explanations = client.explain(dalmatian, methods, encodings="float32", channels="none")
    picture = view(dalmatian, classifier)[None]
    picture.requires_grad_()
    network = classifier.network
    captum = {
        "grad_cam": LayerGradCam(network, network.features).attribute(picture, 251, relu_attributions=True)[0, 0],
        "saliency": Saliency(network).attribute(picture, 251)[0],
        "input_x_gradient": InputXGradient(network).attribute(picture, 251)[0],
    }
    for explanation in explanations:
        expected = captum[explanation.method].detach().numpy()
        assert explanation.attribution.shape == expected.shape
        differences = np.abs(explanation.attribution - expected) / np.ptp(expected)
        # A unit that rounding puts on the other side of a kink of ReLU6 changes its receptive field a little. Torch's
        # own float32 differs from float64 as much, and as often.
        assert np.mean(differences > 1e-4) < 0.1, explanation.method
        assert differences.max() < 0.02, explanation.method
        assert np.corrcoef(explanation.attribution.ravel(), expected.ravel())[0, 1] > 1 - 1e-4, explanation.method


def test_the_adversarial_picture_comes_back_from_the_receipt(
    client: Client, classifier: Classifier, pictures: dict[Path, int]
) -> None:
    for path in list(pictures)[3::8]:
        image = path.read_bytes()
        analysis = client.analyze(image, parts=["prediction", "robustness"], budget="fast")
        (distance,) = present(analysis.robustness).distances
        receipt = json_format.ParseDict(json_format.MessageToDict(analysis.message.receipt), v1.Receipt())
        found = present(replay.attack(replay.request(receipt, image, classifier), "linf", classifier).adversarial)
        assert found.distance == distance.distance
        picture = view(image, classifier)
        predicted = present(analysis.prediction).classes[0].index
        change = found.picture - picture
        below = picture + change * (found.unflipped_distance / found.distance)
        classes = classifier.probabilities(torch.stack([picture, found.picture, below])).argmax(dim=1).tolist()
        assert classes[:2] == [predicted, present(distance.adversarial_class).index]
        # The two sizes are one if the float32 of a pixel value holds nothing between them.
        assert classes[2] == predicted or found.unflipped_distance == found.distance < 1e-4


def test_rest_and_grpc_give_the_same_analysis(server: Server, dalmatian: bytes) -> None:
    methods = ["integrated_gradients", "grad_cam"]
    with Client(server.grpc) as over_grpc, Client(server.rest) as over_rest:
        one, two = (
            client.analyze(dalmatian, methods=methods, budget=3, attributes=["age"], request_id="same")
            for client in (over_grpc, over_rest)
        )
    for analysis in (one, two):
        analysis.message.ClearField("timings")
    assert [each.method for each in one.explanations] == methods
    assert one.message == two.message


def test_the_stream_begins_with_the_prediction(client: Client, dalmatian: bytes) -> None:
    parts = list(client.stream(dalmatian, methods=["integrated_gradients", "grad_cam"], budget="fast"))
    assert parts[0].prediction is not None
    assert len(parts) == 4
    assert sorted(each.method for part in parts for each in part.explanations) == ["grad_cam", "integrated_gradients"]
    assert sum(part.robustness is not None for part in parts) == 1
    assert len({part.request_id for part in parts}) == 1


def test_a_prediction_does_not_wait_for_an_explanation(client: Client, dalmatian: bytes) -> None:
    with ThreadPoolExecutor(1) as other:
        explaining = other.submit(client.explain, dalmatian, "integrated_gradients", tolerance=0)
        for _ in range(3):
            assert client.predict(dalmatian).classes[0].index == 251
        # Behind it, the predictions would have come after it.
        assert not explaining.done()
        assert explaining.result()[0].method == "integrated_gradients"


def test_models(client: Client) -> None:
    (listed,) = client.models()
    model = client.model("efficientnet-lite0")
    assert listed.name == model.name == "efficientnet-lite0"
    assert not listed.labels
    assert model.labels[251] == "dalmatian"
    assert {method.name for method in model.methods} == {*EXPLAINERS, "example"}
    for method in model.methods:
        # What is off because it fails was tested too; what makes no map could not be.
        tested = method.randomisation_test
        if tested is None:
            assert method.name == "example"
        else:
            assert tested.passed == (tested.similarity < tested.threshold) == (method.name != "guided_grad_cam")
