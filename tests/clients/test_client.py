import copy
import dataclasses
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image

from whybox import Client, FailedPreconditionError, InternalError, PictureTooLargeError, v1
from whybox.v1.errors import OverloadedError

EVERYTHING = {"prediction": {}, "explanations": [{"method": "grad_cam"}], "robustness": {}, "bias": {}}


def sent(service) -> v1.AnalyzeRequest:
    [request] = service.requests
    return request


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, EVERYTHING),
        ({"parts": None, "methods": None, "top_k": None, "target": None, "seed": None, "budget": None}, EVERYTHING),
        ({"parts": ["robustness", "bias"]}, {"robustness": {}, "bias": {}}),
        ({"parts": "prediction", "top_k": 3, "seed": 7}, {"prediction": {"top_k": 3}, "seed": 7}),
        (
            {"parts": "prediction", "version": "2.0", "model": "lite2"},
            {"prediction": {}, "version": "2.0", "model": "lite2"},
        ),
        (
            {"parts": "robustness", "norms": ["l2", "linf"], "budget": 30},
            {"robustness": {"norms": ["l2", "linf"], "budget": "30"}},
        ),
        (
            {
                "parts": "robustness",
                "attack": "ddn",
                "pictures": "change",
                "transfer": True,
                "twin": "grad_cam",
                "corruptions": ("noise", "fog"),
                "budget": "deadline",
            },
            {
                "robustness": {
                    "attack": "ddn",
                    "encodings": ["change"],
                    "transfer": True,
                    "twin": "grad_cam",
                    "corruptions": ["noise", "fog"],
                    "budget": "deadline",
                }
            },
        ),
        (
            {
                "parts": "robustness",
                "attack": None,
                "pictures": None,
                "transfer": None,
                "twin": None,
                "corruptions": None,
            },
            {"robustness": {}},
        ),
        ({"parts": "bias", "attributes": ["indoors"]}, {"bias": {"attributes": ["indoors"]}}),
        ({"sigma": None, "samples": None, "alpha": None}, EVERYTHING),
        ({"sigma": 0.25}, EVERYTHING | {"certified": {"sigma": 0.25}}),
        (
            {"parts": ["prediction", "certified"], "sigma": 0.25, "samples": 200, "alpha": 0.01},
            {"prediction": {}, "certified": {"sigma": 0.25, "samples": 200, "alpha": 0.01}},
        ),
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


QUALITY = ["deletion", "insertion", "infidelity", "sensitivity", "stability"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target": 0}, [{"target_class": 0}]),
        ({"target": np.int64(3)}, [{"target_class": 3}]),
        ({"target": "tabby"}, [{"target_label": "tabby"}]),
        ({"target": [0, "tabby"]}, [{"target_class": 0}, {"target_label": "tabby"}]),
        ({"target": np.array([5, 2])}, [{"target_class": 5}, {"target_class": 2}]),
        ({"target": iter((5, 2))}, [{"target_class": 5}, {"target_class": 2}]),
        ({"contrast": 0}, [{"contrast_class": 0}]),
        ({"target": 1, "contrast": "tabby"}, [{"target_class": 1, "contrast_label": "tabby"}]),
        ({"baseline": "blur"}, [{"baseline": "blur"}]),
        ({"max_evaluations": 0, "tolerance": 0}, [{"max_evaluations": 0, "tolerance": 0.0}]),
        ({"encodings": "float32"}, [{"encodings": ["float32"]}]),
        ({"encodings": ("uint8", "regions")}, [{"encodings": ["uint8", "regions"]}]),
        ({"channels": "none"}, [{"channels": "none"}]),
        ({"quality": "deletion"}, [{"quality": ["deletion"]}]),
        ({"quality": ["stability", "infidelity"]}, [{"quality": ["stability", "infidelity"]}]),
        ({"quality": "all"}, [{"quality": QUALITY}]),
        ({"quality": "gut feeling"}, [{"quality": ["gut feeling"]}]),
    ],
)
@pytest.mark.parametrize("ask", ["analyze", "explain"])
def test_options_go_to_every_map_of_every_method(client: Client, service, picture, ask, options, expected) -> None:
    options = {name: copy.copy(value) for name, value in options.items()}
    parts = {"parts": "explanations"} if ask == "analyze" else {}
    getattr(client, ask)(picture, methods=("grad_cam", "rise"), **parts, **options)
    maps = [{"method": method, **one} for method in ("grad_cam", "rise") for one in expected]
    request = ParseDict({"model": "lite0", "explanations": maps}, v1.AnalyzeRequest())
    request.image = picture
    assert sent(service) == request


@pytest.mark.parametrize("kind", [bytes, Path, Image.open, lambda path: np.asarray(Image.open(path))])
def test_a_baseline_of_ones_own_is_sent(client: Client, service, picture: bytes, tmp_path: Path, kind) -> None:
    path = tmp_path / "blur"
    path.write_bytes(picture)
    client.explain(picture, "rise", baseline=picture if kind is bytes else kind(path))
    [options] = sent(service).explanations
    assert options.baseline == ""
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(options.baseline_image))), np.asarray(Image.open(io.BytesIO(picture)))
    )


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda client, picture: client.predict(picture, top_k=2), {"prediction": {"top_k": 2}}),
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
    assert client.certify(picture, sigma=0.05).radius == 0.124


def test_a_failed_part_raises_where_it_was_the_question(client: Client, service, picture: bytes, overloaded) -> None:
    service.answers = [v1.AnalyzeResponse(robustness=v1.Robustness(status=overloaded.to_status()))]
    with pytest.raises(OverloadedError):
        client.robustness(picture)
    with pytest.raises(InternalError, match="lacks the part"):
        client.bias(picture)


def growing(answer: v1.AnalyzeResponse, *samples: int) -> list[v1.AnalyzeResponse]:
    """What is streamed of a certificate that takes so many samples, and then is complete."""
    parts = []
    for drawn in samples:
        part = v1.AnalyzeResponse(certified=answer.certified)
        part.certified.state, part.certified.samples, part.certified.probability_lower_bound = "running", drawn, 0
        part.certified.ClearField("radius")
        parts.append(part)
    return [*parts, v1.AnalyzeResponse(certified=answer.certified)]


def test_a_certificate_is_seen_growing(client: Client, service, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    service.answers = growing(answer, 0, 50, 500)
    seen: list[tuple[int, int]] = []
    certified = client.certify(picture, sigma=0.05, progress=lambda *numbers: seen.append(numbers))
    assert (certified.state, certified.radius, certified.running) == ("certified", 0.124, False)
    assert seen == [(0, 1000), (50, 1000), (500, 1000), (1000, 1000)]
    parts = [analysis.certified for analysis in client.stream(picture, parts="certified", sigma=0.05)]
    assert [(part.running, part.radius) for part in parts] == [(True, None)] * 3 + [(False, 0.124)]


def test_a_certificate_that_stays_incomplete_is_none(client: Client, service, answer, picture) -> None:
    service.answers = growing(answer, 50)[:1]
    with pytest.raises(InternalError, match="lacks the part"):
        client.certify(picture, sigma=0.05)
    service.answers = []
    with pytest.raises(InternalError, match="lacks the part"):
        client.certify(picture, sigma=0.05)


def test_a_certificate_that_fails_raises(client: Client, service, answer, picture, overloaded) -> None:
    seen: list[tuple[int, int]] = []
    service.answers = [*growing(answer, 50)[:1], v1.AnalyzeResponse(certified={"status": overloaded.to_status()})]
    with pytest.raises(OverloadedError):
        client.certify(picture, sigma=0.05, progress=lambda *numbers: seen.append(numbers))
    assert seen == [(50, 1000)]


def test_whoever_interrupts_the_progress_ends_the_call(client: Client, service, answer, picture) -> None:
    service.answers = growing(answer, 50, 100)

    def impatient(_done: int, _wanted: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.certify(picture, sigma=0.05, progress=impatient)
    assert client.certify(picture, sigma=0.05).radius == 0.124


@pytest.mark.usefixtures("service")
def test_both_transports_give_equal_results(ports, answer: v1.AnalyzeResponse, picture: bytes) -> None:
    analyses = []
    for url in ports.urls.values():
        with Client(url, model="lite0") as client:
            analyses.append(client.analyze(picture, request_id="same"))
    over_grpc, over_rest = analyses
    assert over_rest.message == over_grpc.message == answer
    assert over_rest.prediction == over_grpc.prediction
    assert over_rest.robustness.corruptions == over_grpc.robustness.corruptions
    # Maps and errors are equal to nothing but themselves.
    one, other = (
        [dataclasses.replace(distance, twin=None, transfers=()) for distance in analysis.robustness.distances]
        for analysis in analyses
    )
    assert one == other
    assert over_rest.bias == over_grpc.bias
    assert over_rest.certified == over_grpc.certified
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
        ({"steps": 9}, TypeError, "steps"),
        ({"methods": ()}, ValueError, "at least one method"),
        ({"target": ()}, ValueError, "at least one class"),
        ({"target": 3.5}, TypeError, "target must be a class's index or label, not 3.5"),
        ({"target": ["tabby", ""]}, ValueError, "target must be a class's index or label, not an empty label"),
        ({"contrast": [1]}, TypeError, "contrast must be a class's index or label"),
        ({"target": 2**31}, ValueError, "out of range"),
        ({"baseline": 7}, TypeError, "baseline must be a path"),
        ({"baseline": Path("no/such.png")}, OSError, r"no/such\.png"),
        ({"parts": "bias", "target": 3}, ValueError, "target is for explanations"),
        ({"parts": ["prediction", "bias"], "budget": "fast"}, ValueError, "budget is for robustness"),
        ({"parts": "prediction", "transfer": True}, ValueError, "transfer is for robustness"),
        ({"parts": "prediction", "corruptions": "all"}, ValueError, "corruptions is for robustness"),
        ({"parts": "prediction", "sigma": 1}, ValueError, "sigma is for certified"),
        ({"parts": "certified"}, ValueError, "certified needs sigma"),
        ({"samples": 100}, ValueError, "certified needs sigma"),
        ({"alpha": 0.01}, ValueError, "certified needs sigma"),
        ({"sigma": 1, "samples": 2**31}, ValueError, "out of range"),
    ):
        with pytest.raises(error, match=words):
            ask(picture, **wrong)
    with pytest.raises(PictureTooLargeError, match=r"at most 32 MiB") as caught:
        ask(bytes(33 * 2**20))
    assert caught.value.field == "image"
    assert service.requests == []


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("predict", "methods"),
        ("explain", "top_k"),
        ("explain", "parts"),
        ("robustness", "quality"),
        ("robustness", "parts"),
        ("robustness", "encodings"),
        ("explain", "pictures"),
        ("bias", "norms"),
        ("analyze", "method"),
        ("stream", "method"),
    ],
)
def test_questions_take_no_options_of_others(client: Client, service, picture: bytes, method, option) -> None:
    with pytest.raises(TypeError, match=option):
        getattr(client, method)(picture, **{option: "prediction"})
    assert service.requests == []


def test_baselines_count_as_bytes_of_the_request(client: Client, service, picture: bytes) -> None:
    with pytest.raises(PictureTooLargeError, match=r"at most 32 MiB"):
        client.explain(picture, "rise", target=range(5), baseline=bytes(8 * 2**20))
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
