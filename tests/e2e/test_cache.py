"""A server with a cache: the second call gets the evidence of the first, without its cost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest

from servers import Server, serving
from whybox import Analysis, Client, v1

ASKED: dict[str, Any] = {"methods": "grad_cam", "norms": "linf"}


@pytest.fixture(scope="module")
def server(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(archive.parent, tmp_path_factory.mktemp("logs"), WHYBOX_CACHE_BYTES="64000000") as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    with Client(getattr(server, request.param), timeout=120) as connected:
        yield connected


def cached(analysis: Analysis) -> dict[str, bool]:
    assert analysis.timings is not None
    return {part.part: part.cached for part in analysis.timings.parts}


def compute_ms(analysis: Analysis) -> float:
    assert analysis.timings is not None
    return sum(part.compute_ms for part in analysis.timings.parts)


def evidence(analysis: Analysis) -> v1.AnalyzeResponse:
    """All but what belongs to the call."""
    message = v1.AnalyzeResponse()
    message.CopyFrom(analysis.message)
    for field in ("request_id", "timings"):
        message.ClearField(field)
    return message


def seed_of(request: pytest.FixtureRequest) -> int:
    """A seed for each test and transport: all share the cache."""
    return crc32(request.node.name.encode())


def other(picture: bytes) -> bytes:
    """The same pixels in another file."""
    return picture + b"\0"


def test_a_second_call_is_cached(client: Client, dalmatian: bytes, request: pytest.FixtureRequest) -> None:
    seed = seed_of(request)
    first = client.analyze(dalmatian, seed=seed, **ASKED)
    second = client.analyze(dalmatian, seed=seed, **ASKED)
    assert not any(cached(first).values())
    assert cached(second) == dict.fromkeys(cached(first), True)
    assert compute_ms(first) > 0
    assert compute_ms(second) == 0
    assert evidence(second) == evidence(first)
    assert first.request_id != second.request_id


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"seed": 1}, {"prediction", "explanations[0]", "robustness", "bias"}),
        ({"image": other}, {"prediction", "explanations[0]", "robustness", "bias"}),
        ({"top_k": 3}, {"prediction"}),
        ({"norms": "l2"}, {"robustness"}),
        ({"methods": ["saliency", "grad_cam"]}, {"explanations[0]"}),
    ],
    ids=["seed", "picture", "top_k", "norm", "another map"],
)
def test_whatever_differs_is_computed(
    client: Client, dalmatian: bytes, changed: dict[str, Any], missed: set[str], request: pytest.FixtureRequest
) -> None:
    seed = seed_of(request)
    client.analyze(dalmatian, **{"seed": seed, **ASKED})
    image = other(dalmatian) if "image" in changed else dalmatian
    rest = {name: value for name, value in changed.items() if name not in ("image", "seed")}
    answer = client.analyze(image, **{"seed": seed ^ changed.get("seed", 0), **ASKED, **rest})
    assert {name for name, known in cached(answer).items() if not known} == missed


def test_transports_share_what_they_know_and_metrics_count_it(server: Server, dalmatian: bytes) -> None:
    def counted(name: str) -> float:
        lines = httpx.get(f"{server.rest}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    with Client(server.grpc) as grpc, Client(server.rest) as rest:
        first = grpc.analyze(dalmatian, parts="prediction", seed=5000)
        hits = counted('whybox_cache_lookups_total{model="efficientnet-lite0",outcome="hit"')
        second = rest.analyze(dalmatian, parts="prediction", seed=5000)
    assert counted('whybox_cache_lookups_total{model="efficientnet-lite0",outcome="hit"') == hits + 1
    assert cached(second) == {"prediction": True}
    assert evidence(second) == evidence(first)
    assert 0 < counted("whybox_cache_bytes") <= 64_000_000
