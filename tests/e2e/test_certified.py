"""Certificates by the real server: seen growing, the same everywhere, ended by a deadline."""

import time
from statistics import NormalDist
from typing import Any

import pytest

from messages import message
from presence import present
from servers import Server
from whybox import Client, InvalidRequestError, v1
from whybox.results import Certified
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.work.analyzer import Analyzer

OPTIONS: dict[str, Any] = {"sigma": 0.05, "samples": 100, "alpha": 0.01}


def in_process(classifier: Classifier, image: bytes, seed: int = 0) -> v1.Certified:
    """Without a server: piece after piece until nothing more is to be drawn."""
    work = message(v1.Work, request={"image": image, "certified": OPTIONS, "seed": seed})
    while True:
        (result,) = Analyzer(classifier).answer([work])
        if result.final:
            return result.response.certified
        work.resume = result.resume


def test_a_certificate_is_seen_growing_and_equals_that_without_the_server(
    client: Client, classifier: Classifier, dalmatian: bytes
) -> None:
    seen: list[tuple[int, int]] = []
    certified = client.certify(dalmatian, **OPTIONS, seed=7, progress=lambda *numbers: seen.append(numbers))
    assert (certified.state, certified.class_label, certified.stopped_by) == ("certified", "dalmatian", "")
    # What 100 samples can prove at most.
    assert 0 < present(certified.radius) <= 0.05 * NormalDist().inv_cdf(0.01**0.01) * (1 + 1e-9)
    # 200 forward passes take more than the second of a piece.
    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)
    expected = in_process(classifier, dalmatian, seed=7)
    for name in Certified.__dataclass_fields__.keys() - {"error"}:
        assert getattr(certified, name) == getattr(expected, name), name


def test_rest_and_grpc_give_the_same_certificate(server: Server, dalmatian: bytes) -> None:
    answers = []
    for url in (server.grpc, server.rest):
        with Client(url) as client:
            parts = list(client.stream(dalmatian, parts=["prediction", "certified"], **OPTIONS))
            assert parts[0].prediction is not None
            assert [part.certified.running for part in parts[1:] if part.certified] == [True] * (len(parts) - 2) + [
                False
            ]
            analysis = client.analyze(dalmatian, parts=["prediction", "certified"], **OPTIONS)
            assert analysis.certified == parts[-1].certified
            timings = {timing.part: timing for timing in present(analysis.timings).parts}
            assert list(timings) == ["prediction", "certified"]
            assert 0 < timings["certified"].compute_ms <= timings["certified"].total_ms
            answers.append(analysis.certified)
    assert answers[0] == answers[1]


def test_a_deadline_ends_a_certificate_in_time(client: Client, dalmatian: bytes) -> None:
    timeout = 15.0
    started = time.monotonic()
    certified = client.certify(dalmatian, sigma=0.05, samples=100_000, timeout=timeout)
    # The margin is for a busy machine; all samples would take half an hour.
    assert time.monotonic() - started < 2 * timeout
    assert (certified.state, certified.stopped_by) == ("certified", "deadline")
    assert 100 < certified.samples < certified.wanted_samples


def test_others_get_their_turn_between_the_pieces(client: Client, dalmatian: bytes) -> None:
    stream = client.stream(dalmatian, parts="certified", sigma=0.05, samples=100_000)
    assert next(stream).certified is not None
    # Behind the whole certificate it would wait for half an hour.
    [explanation] = client.explain(dalmatian, timeout=60)
    assert explanation.error is None
    stream.close()


def test_what_is_refused(client: Client, dalmatian: bytes) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sigma": 3.0}, "certified.sigma"),
        ({"sigma": 0.1, "samples": 99}, "certified.samples"),
        ({"sigma": 0.1, "alpha": 0.5}, "certified.alpha"),
    ]
    for wrong, field in cases:
        with pytest.raises(InvalidRequestError) as caught:
            client.certify(dalmatian, **wrong)
        assert caught.value.field == field
