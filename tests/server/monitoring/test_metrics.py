"""Counters, durations and gauges, and their bounded labels."""

import asyncio
from contextlib import nullcontext

import pytest

from whybox import v1
from whybox.v1.errors import NotFoundError

MODEL = "efficientnet-lite0"


def labels(**pairs):
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(pairs.items())) + "}"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, "OK"),
        (NotFoundError("no"), "NOT_FOUND"),
        (asyncio.CancelledError(), "CANCELLED"),
        (ZeroDivisionError(), "INTERNAL"),
    ],
)
def test_the_end_of_a_call_sets_its_code(metrics, samples, raised, code):
    with pytest.raises(type(raised)) if raised else nullcontext(), metrics.request("grpc", "Analyze"):
        assert samples("whybox_requests_in_flight") == {labels(transport="grpc"): 1}
        if raised:
            raise raised
    assert samples("whybox_requests_in_flight") == {labels(transport="grpc"): 0}
    assert samples("whybox_requests_total") == {labels(transport="grpc", route="Analyze", model="", code=code): 1}
    assert samples("whybox_request_seconds_count") == {labels(transport="grpc", route="Analyze", model=""): 1}


@pytest.mark.parametrize(("sent", "label"), [(MODEL, MODEL), ("", ""), ("made-up", "unknown")])
def test_model_labels_are_bounded(metrics, samples, sent, label):
    with metrics.request("rest", "/v1/models/{model}") as call:
        call.model = sent
    assert samples("whybox_requests_total") == {
        labels(transport="rest", route="/v1/models/{model}", model=label, code="OK"): 1
    }


SERVED = v1.Model(name=MODEL, version="1.1")


def test_parts_are_counted_and_timed(metrics, samples):
    metrics.part(SERVED, "explanation", "grad_cam", "OK", 0.03)
    metrics.part(SERVED, "explanation", "grad_cam", "UNAVAILABLE", 200)
    buckets = samples("whybox_part_seconds_bucket")
    where = {"model": MODEL, "version": "1.1", "part": "explanation", "method": "grad_cam"}
    assert buckets[labels(le="0.025", **where)] == 0
    assert buckets[labels(le="0.05", **where)] == 1
    assert buckets[labels(le="120.0", **where)] == 1
    assert buckets[labels(le="+Inf", **where)] == 2
    assert samples("whybox_parts_total")[labels(code="UNAVAILABLE", **where)] == 1


def test_pools_are_asked_at_each_scrape(gateway, metrics, samples):
    pool = labels(model=MODEL, version="1", pool="analyze")
    assert samples("whybox_pool_ready")[pool] == 1
    gateway.pools = {MODEL: {"1": {"analyze": "starting"}}}
    metrics.watch_pools(gateway.readiness)
    assert samples("whybox_pool_ready") == {pool: 0}


def test_restarts_are_counted(metrics, samples):
    assert samples("whybox_torchserve_restarts_total") == {"": 0}
    metrics.torchserve_restarted()
    assert samples("whybox_torchserve_restarts_total") == {"": 1}
