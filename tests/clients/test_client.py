import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict

from whybox import Client, FailedPreconditionError, InternalError, PictureTooLargeError, v1
from whybox.v1.errors import OverloadedError

ROBUSTNESS = {"norms": ["linf"], "budget": "standard"}
PARTS = {"prediction": {"top_k": 5}, "robustness": ROBUSTNESS, "bias": {}}
MAP = {"dtype": "float32", "channels": "sum"}
CAM = [{"method": "grad_cam", **MAP}]


def sent(service) -> v1.AnalyzeRequest:
    [request] = service.requests
    return request


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {**PARTS, "explanations": CAM}),
        ({"parts": ["robustness", "bias"]}, {"robustness": ROBUSTNESS, "bias": {}}),
        ({"parts": "prediction", "top_k": 3, "seed": 7}, {"prediction": {"top_k": 3}, "seed": 7}),
        (
            {"parts": "prediction", "version": "2.0", "model": "lite2"},
            {"prediction": {"top_k": 5}, "version": "2.0", "model": "lite2"},
        ),
        ({"parts": "explanations", "methods": "occlusion"}, {"explanations": [{"method": "occlusion", **MAP}]}),
        (
            {
                "parts": "explanations",
                "methods": ("grad_cam", "integrated_gradients"),
                "target_class": 0,
                "steps": 24,
                "dtype": "uint8",
                "channels": "none",
            },
            {
                "explanations": [
                    {"method": "grad_cam", "target_class": 0, "dtype": "uint8", "channels": "none"},
                    {
                        "method": "integrated_gradients",
                        "target_class": 0,
                        "steps": 24,
                        "dtype": "uint8",
                        "channels": "none",
                    },
                ]
            },
        ),
        (
            {"parts": "robustness", "norms": ["l2", "linf"], "budget": 30},
            {"robustness": {"norms": ["l2", "linf"], "budget": "30"}},
        ),
        ({"parts": "bias", "attributes": ["indoors"]}, {"bias": {"attributes": ["indoors"]}}),
    ],
)
@pytest.mark.parametrize("method", ["analyze", "stream"])
def test_options_become_the_request(client: Client, service, picture: bytes, method, options, expected) -> None:
    answer = getattr(client, method)(picture, **options)
    if method == "stream":
        list(answer)
    request = ParseDict({"model": "lite0", **expected}, v1.AnalyzeRequest())
    request.image = picture
    assert sent(service) == request


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda client, picture: client.predict(picture, top_k=2), {"prediction": {"top_k": 2}}),
        (lambda client, picture: client.explain(picture), {"explanations": CAM}),
        (
            lambda client, picture: client.explain(picture, "rise", seed=4),
            {"explanations": [{"method": "rise", **MAP}], "seed": 4},
        ),
        (
            lambda client, picture: client.robustness(picture, budget="fast"),
            {"robustness": {"norms": ["linf"], "budget": "fast"}},
        ),
        (lambda client, picture: client.bias(picture, attributes="indoors"), {"bias": {"attributes": ["indoors"]}}),
    ],
)
def test_each_question_asks_for_its_part_alone(client: Client, service, picture: bytes, ask, expected) -> None:
    ask(client, picture)
    request = ParseDict({"model": "lite0", **expected}, v1.AnalyzeRequest())
    request.image = picture
    assert sent(service) == request


def test_each_question_answers_with_its_part(client: Client, picture: bytes) -> None:
    assert client.predict(picture).classes[0].label == "golden retriever"
    assert [explanation.method for explanation in client.explain(picture)][:1] == ["grad_cam"]
    assert client.robustness(picture).distances[0].norm == "linf"
    assert client.bias(picture).flags[0].state == "flagged"


def test_a_failed_part_raises_where_it_was_the_question(client: Client, service, picture: bytes, overloaded) -> None:
    service.answers = [v1.AnalyzeResponse(robustness=v1.Robustness(status=overloaded.to_status()))]
    with pytest.raises(OverloadedError):
        client.robustness(picture)
    with pytest.raises(InternalError, match="lacks the part"):
        client.bias(picture)


@pytest.mark.usefixtures("service")
def test_both_transports_give_equal_results(ports, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    analyses = []
    for url in ports.urls.values():
        with Client(url, model="lite0") as client:
            analyses.append(client.analyze(picture, request_id="same"))
    over_grpc, over_rest = analyses
    assert over_rest.message == over_grpc.message == answer
    assert over_rest.prediction == over_grpc.prediction
    assert over_rest.robustness == over_grpc.robustness
    assert over_rest.bias == over_grpc.bias
    assert over_rest.receipt == over_grpc.receipt
    for one, other in zip(over_grpc.explanations, over_rest.explanations, strict=True):
        np.testing.assert_array_equal(one.attribution, other.attribution)
    assert list(over_rest.errors) == list(over_grpc.errors) == ["explanations[2]"]


def test_parts_are_streamed_as_they_come(client: Client, service, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    first, second = v1.AnalyzeResponse(prediction=answer.prediction), v1.AnalyzeResponse(bias=answer.bias)
    service.answers = [first, second]
    analyses = list(client.stream(picture, parts=["prediction", "bias"]))
    assert [(a.prediction is not None, a.bias is not None) for a in analyses] == [(True, False), (False, True)]
    assert all(analysis.picture == picture for analysis in analyses)


def test_an_error_inside_a_stream_comes_after_what_was_ready(client: Client, service, picture, overloaded) -> None:
    service.error = overloaded
    stream = client.stream(picture)
    assert next(stream).prediction is not None
    with pytest.raises(OverloadedError):
        next(stream)


def test_a_stream_can_be_left(client: Client, service, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    service.answers = [answer] * 3
    stream = client.stream(picture)
    next(stream)
    stream.close()
    assert client.predict(picture).classes


@pytest.mark.parametrize("method", ["analyze", "stream"])
def test_arguments_are_checked_before_anything_is_sent(client: Client, service, picture: bytes, method: str) -> None:
    ask = getattr(client, method)
    for wrong, error, words in (
        ({"parts": ()}, ValueError, "parts must be some of prediction, explanations, robustness, bias"),
        ({"parts": ["saliency"]}, ValueError, "saliency"),
        ({"timeout": 0}, ValueError, "timeout must be a positive"),
        ({"timeout": float("inf")}, ValueError, "timeout must be a positive"),
        ({"request_id": "two words"}, ValueError, "request_id must be"),
        ({"request_id": ""}, ValueError, "request_id must be"),
        ({"seed": -1}, ValueError, "out of range"),
        ({"sede": 1}, TypeError, "sede"),
    ):
        with pytest.raises(error, match=words):
            ask(picture, **wrong)
    with pytest.raises(PictureTooLargeError, match=r"at most 32 MiB") as caught:
        ask(bytes(33 * 2**20))
    assert caught.value.field == "image"
    assert service.requests == []


def test_large_messages_pass(client: Client, service, picture: bytes) -> None:
    big = np.zeros((1600, 1600), "<f4")
    tensor = v1.Tensor(shape=big.shape, dtype="float32", data=big.tobytes())
    service.answers = [v1.AnalyzeResponse(explanations=[v1.Explanation(attribution=tensor)])]
    [explanation] = client.explain(picture + bytes(10 * 2**20))
    assert explanation.attribution.shape == (1600, 1600)
    assert len(sent(service).image) > 10 * 2**20


@pytest.mark.parametrize("given", [None, "order-66.a_b"])
def test_request_ids(client: Client, service, picture: bytes, given: str | None) -> None:
    analysis = client.analyze(picture, request_id=given)
    assert service.request_ids == [analysis.request_id]
    assert re.fullmatch(given or "[0-9a-f]{32}", analysis.request_id)


def test_without_a_model_the_first_is_asked(url: str, service, picture: bytes) -> None:
    with Client(url) as client:
        client.analyze(picture)
        assert client.model().name == "lite0"
        client.analyze(picture, model="lite2")
    assert [request.model for request in service.requests] == ["lite0", "lite2"]


def test_without_any_model_nothing_can_be_asked(url: str, service, picture: bytes) -> None:
    service.models = []
    with Client(url) as client, pytest.raises(FailedPreconditionError, match="no model"):
        client.analyze(picture)


def test_models(client: Client) -> None:
    assert [model.name for model in client.models()] == ["lite0", "lite2"]
    assert client.model("lite2").version == "1.0"


def test_model_names_are_escaped(client: Client, service, picture: bytes) -> None:
    client.predict(picture, model="a/b c?d")
    assert sent(service).model == "a/b c?d"


def test_threads_share_a_client(client: Client, picture: bytes) -> None:
    def ask(name: str) -> str:
        return client.analyze(picture, request_id=name).request_id

    names = [f"call-{number}" for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, names)) == sorted(names)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "localhost:8001", "ftp://host", "grpc://", "grpc://host/path", "", "http://"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must be grpc://host:port, http://host:port or https://host:port"):
        Client(url)
