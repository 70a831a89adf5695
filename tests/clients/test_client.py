import dataclasses
import math
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict

from clients.gateways import FakeGateway, Ports
from presence import present
from whybox import Client, FailedPreconditionError, InternalError, v1
from whybox.options import MAX_MESSAGE_BYTES
from whybox.v1.errors import OverloadedError


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda client, picture: client.predict(picture, top_k=2), {"prediction": {"top_k": 2}}),
        # A model may have fewer classes than any default of the client.
        (lambda client, picture: client.predict(picture), {"prediction": {}}),
        (lambda client, picture: client.explain(picture), {"explanations": [{"method": "grad_cam"}]}),
        (
            lambda client, picture: client.explain(picture, "rise", seed=4),
            {"explanations": [{"method": "rise"}], "seed": 4},
        ),
        (
            lambda client, picture: client.robustness(picture, budget="fast"),
            {"robustness": {"budget": "fast"}},
        ),
        (
            lambda client, picture: client.robustness(picture, norms="l2", pictures=["adversarial"], seed=4),
            {"robustness": {"norms": ["l2"], "encodings": ["adversarial"]}, "seed": 4},
        ),
        (lambda client, picture: client.bias(picture, attributes="indoors"), {"bias": {"attributes": ["indoors"]}}),
        (lambda client, picture: client.certify(picture, sigma=0.25), {"certified": {"sigma": 0.25}}),
        (
            lambda client, picture: client.certify(picture, sigma=1, samples=200, alpha=0.01, seed=4),
            {"certified": {"sigma": 1, "samples": 200, "alpha": 0.01}, "seed": 4},
        ),
    ],
)
def test_each_question_asks_for_its_part_alone(
    client: Client, gateway: FakeGateway, picture: bytes, ask: Any, expected: Any
) -> None:
    ask(client, picture)
    request = ParseDict({"model": "lite0", **expected}, v1.AnalyzeRequest())
    request.image = picture
    assert gateway.sent == request


def test_each_question_answers_with_its_part(client: Client, picture: bytes) -> None:
    assert client.predict(picture).classes[0].label == "golden retriever"
    assert [explanation.method for explanation in client.explain(picture)][:1] == ["grad_cam"]
    assert client.robustness(picture).distances[0].norm == "linf"
    assert client.bias(picture).flags[0].state == "flagged"
    assert client.certify(picture, sigma=0.05).radius == 0.124


def test_a_failed_part_raises_where_it_was_the_question(
    client: Client, gateway: FakeGateway, picture: bytes, overloaded: OverloadedError
) -> None:
    gateway.answers = [v1.AnalyzeResponse(robustness=v1.Robustness(status=overloaded.to_status()))]
    with pytest.raises(OverloadedError):
        client.robustness(picture)
    with pytest.raises(InternalError, match="lacks the part"):
        client.bias(picture)


def growing(answer: v1.AnalyzeResponse, *samples: int) -> list[v1.AnalyzeResponse]:
    """The stream of a certificate: one message for each number of samples, and then the complete certificate."""
    parts = []
    for drawn in samples:
        part = v1.AnalyzeResponse(certified=answer.certified)
        part.certified.state, part.certified.samples, part.certified.probability_lower_bound = "running", drawn, 0
        part.certified.ClearField("radius")
        parts.append(part)
    return [*parts, v1.AnalyzeResponse(certified=answer.certified)]


def test_a_certificate_is_seen_growing(
    client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes
) -> None:
    gateway.answers = growing(answer, 0, 50, 500)
    seen: list[tuple[int, int]] = []
    certified = client.certify(picture, sigma=0.05, progress=lambda *numbers: seen.append(numbers))
    assert (certified.state, certified.radius, certified.running) == ("certified", 0.124, False)
    assert seen == [(0, 1000), (50, 1000), (500, 1000), (1000, 1000)]
    parts = [present(analysis.certified) for analysis in client.stream(picture, parts="certified", sigma=0.05)]
    assert [(part.running, part.radius) for part in parts] == [(True, None)] * 3 + [(False, 0.124)]


def test_a_certificate_that_stays_incomplete_is_none(
    client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes
) -> None:
    gateway.answers = growing(answer, 50)[:1]
    with pytest.raises(InternalError, match="lacks the part"):
        client.certify(picture, sigma=0.05)
    gateway.answers = [v1.AnalyzeResponse(model="lite0")]
    with pytest.raises(InternalError, match="lacks the part"):
        client.certify(picture, sigma=0.05)


def test_a_certificate_that_fails_raises(
    client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes, overloaded: OverloadedError
) -> None:
    seen: list[tuple[int, int]] = []
    gateway.answers = [
        *growing(answer, 50)[:1],
        v1.AnalyzeResponse(certified=v1.Certified(status=overloaded.to_status())),
    ]
    with pytest.raises(OverloadedError):
        client.certify(picture, sigma=0.05, progress=lambda *numbers: seen.append(numbers))
    assert seen == [(50, 1000)]


def test_an_exception_in_the_progress_ends_the_call(
    client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes
) -> None:
    gateway.answers = growing(answer, 50, 100)

    def impatient(_done: int, _wanted: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.certify(picture, sigma=0.05, progress=impatient)
    assert client.certify(picture, sigma=0.05).radius == 0.124


@pytest.mark.usefixtures("gateway")
def test_both_transports_give_equal_results(ports: Ports, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    analyses = []
    for url in (ports.grpc, ports.rest):
        with Client(url, model="lite0") as client:
            analyses.append(client.analyze(picture, request_id="same"))
    over_grpc, over_rest = analyses
    assert over_rest.message == over_grpc.message == answer
    assert over_rest.prediction == over_grpc.prediction
    assert present(over_rest.robustness).corruptions == present(over_grpc.robustness).corruptions
    # Maps and errors are equal to nothing but themselves.
    distances, other_distances = (
        [dataclasses.replace(distance, twin=None, transfers=()) for distance in present(analysis.robustness).distances]
        for analysis in analyses
    )
    assert distances == other_distances
    assert over_rest.bias == over_grpc.bias
    assert over_rest.certified == over_grpc.certified
    assert over_rest.receipt == over_grpc.receipt
    for one, other in zip(over_grpc.explanations, over_rest.explanations, strict=True):
        np.testing.assert_array_equal(one.attribution, other.attribution)
    assert list(over_rest.errors) == list(over_grpc.errors) == ["explanations[2]"]


def test_parts_are_streamed_as_they_come(
    client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes
) -> None:
    first, second = v1.AnalyzeResponse(prediction=answer.prediction), v1.AnalyzeResponse(bias=answer.bias)
    gateway.answers = [first, second]
    analyses = list(client.stream(picture, parts=["prediction", "bias"]))
    assert [(a.prediction is not None, a.bias is not None) for a in analyses] == [(True, False), (False, True)]
    assert all(analysis.picture == picture for analysis in analyses)


def test_an_error_inside_a_stream_comes_after_what_was_ready(
    client: Client, gateway: FakeGateway, picture: bytes, overloaded: OverloadedError
) -> None:
    gateway.error = overloaded
    stream = client.stream(picture)
    assert next(stream).prediction is not None
    with pytest.raises(OverloadedError):
        next(stream)


def test_a_stream_can_be_left(client: Client, gateway: FakeGateway, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    gateway.answers = [answer] * 3
    stream = client.stream(picture)
    next(stream)
    stream.close()
    assert client.predict(picture).classes


def test_large_messages_pass(client: Client, gateway: FakeGateway, picture: bytes) -> None:
    big = np.zeros((1600, 1600), "<f4")
    tensor = v1.Tensor(shape=big.shape, dtype="float32", data=big.tobytes())
    gateway.answers = [v1.AnalyzeResponse(explanations=[v1.Explanation(attribution=tensor)])]
    [explanation] = client.explain(picture + bytes(10 * 2**20))
    assert explanation.attribution.shape == (1600, 1600)
    assert len(gateway.sent.image) > 10 * 2**20


@pytest.mark.parametrize("given", [None, "order-66.a_b"])
def test_request_ids(client: Client, gateway: FakeGateway, picture: bytes, given: str | None) -> None:
    analysis = client.analyze(picture, request_id=given)
    assert gateway.request_ids == [analysis.request_id]
    assert re.fullmatch(given or "[0-9a-f]{32}", analysis.request_id)


def test_the_server_knows_how_long_the_caller_waits(client: Client, gateway: FakeGateway, picture: bytes) -> None:
    client.predict(picture, timeout=7)
    # gRPC sends what is left of the time, rounded up; without it the server would take its own default of 30 s.
    [seconds] = gateway.timeouts
    assert 0 < seconds < 8


def test_the_server_knows_how_much_the_caller_takes(ports: Ports, gateway: FakeGateway, picture: bytes) -> None:
    for url in (ports.grpc, ports.rest):
        with Client(url, model="lite0") as client:
            client.predict(picture)
            list(client.stream(picture))
    assert gateway.max_message_bytes == [MAX_MESSAGE_BYTES] * 2 + [math.inf] * 2


def test_without_a_model_the_first_is_asked(url: str, gateway: FakeGateway, picture: bytes) -> None:
    with Client(url) as client:
        client.analyze(picture)
        assert client.model().name == "lite0"
        client.analyze(picture, model="lite2")
    assert [request.model for request in gateway.requests] == ["lite0", "lite2"]


def test_without_any_model_nothing_can_be_asked(url: str, gateway: FakeGateway, picture: bytes) -> None:
    gateway.models = []
    with Client(url) as client, pytest.raises(FailedPreconditionError, match="no model"):
        client.analyze(picture)


def test_models(client: Client) -> None:
    assert [model.name for model in client.models()] == ["lite0", "lite2"]
    assert client.model("lite2").version == "1.0"


def test_model_names_are_escaped(client: Client, gateway: FakeGateway, picture: bytes) -> None:
    gateway.models = [v1.Model(name="b c?d%20")]
    client.predict(picture, model="b c?d%20")
    assert gateway.sent.model == "b c?d%20"


def test_threads_share_a_client(client: Client, picture: bytes) -> None:
    def ask(name: str) -> str:
        return client.analyze(picture, request_id=name).request_id

    names = [f"call-{number}" for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, names)) == sorted(names)
