"""Answers that might not fit into a message: refused before any queue, with what the caller can do."""

from typing import Any

import pytest

from messages import message
from server.gateway.calls import MODEL, Stream, Whole, analyze, request
from server.gateway.jobs import Releasing
from server.waiting import settle
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics

pytestmark = pytest.mark.usefixtures("_nothing_leaks")

SIDE = 200
LARGE = v1.Model()
LARGE.CopyFrom(MODEL)
LARGE.preprocessing.crop = SIDE
LARGE.methods.add(name="saliency", map_shape=[3, SIDE, SIDE])
LARGE.methods.add(name="rise", map_shape=[SIDE, SIDE])
LARGE.methods.add(name="hires_cam", map_shape=[7, 7])

MAP = SIDE**2
FLOATS = {"encodings": ["float32"], "channels": "none"}


@pytest.fixture
def gateway(backend: Releasing, metrics: Metrics, spool: Spool) -> Gateway:
    return Gateway(Deployment([LARGE], backend, AuditFiles({})), metrics, spool, max_image_bytes=1000)


def maps(method: str, number: int, **options: Any) -> dict[str, Any]:
    return {"explanations": [{"method": method, "target_class": index, **options} for index in range(number)]}


# What is asked for, and bytes that its maps and pictures have at most.
DATA: dict[str, tuple[dict[str, Any], int]] = {
    "bytes of pixels": (maps("saliency", 4), 4 * MAP),
    "float16 of pixels": (maps("saliency", 2, encodings=["float16"]), 2 * 2 * MAP),
    "float32 of channels": (maps("saliency", 1, **FLOATS), 4 * 3 * MAP),
    "channels of a method with one value per pixel": (maps("rise", 1, **FLOATS), 4 * MAP),
    "channels of a method that is packed without shapes": (maps("grad_cam", 1, **FLOATS), 4 * 3 * MAP),
    "cells": (maps("hires_cam", 10, **FLOATS), 4 * 49 * 10),
    "a picture instead of numbers": (maps("saliency", 1, encodings=["heat_map"]), 3 * MAP),
    "pictures beside numbers": (maps("saliency", 1, encodings=["float32", "heat_map", "overlay"]), 10 * MAP),
    "masks": (maps("saliency", 1, encodings=["regions"]), 2 * MAP // 8),
    "adversarial pictures": ({"robustness": {"encodings": ["adversarial"]}}, 3 * MAP),
    "both pictures of a change": ({"robustness": {"encodings": ["adversarial", "change"]}}, 6 * MAP),
    "a twin": ({"robustness": {"twin": "saliency"}}, 2 * MAP),
    "a prediction": ({"prediction": {}}, 0),
    "two parts": ({"prediction": {}, **maps("saliency", 1), "robustness": {"twin": "saliency"}}, 3 * MAP),
}


@pytest.mark.parametrize(("parts", "data"), DATA.values(), ids=DATA)
async def test_the_bound_is_that_of_the_maps_and_pictures(gateway, parts, data):
    with pytest.raises(errors.InvalidRequestError, match=r"up to ([\d,]+) bytes") as caught:
        await gateway.analyze(request(**parts), request_id="id-1", timeout=30, max_message_bytes=1)
    bound = int(caught.value.message.split(" bytes")[0].rpartition(" ")[2].replace(",", ""))
    # Numbers, words and receipt take a few kB for each map; a distance more, for its reasons.
    assert data <= bound <= 1.02 * data + 40_000 + 5_000 * len(parts.get("explanations", ()))


ASKED = maps("saliency", 8, **FLOATS)
ONE, ALL = 4 * 3 * MAP, 8 * 4 * 3 * MAP
SPARE = 60_000


@pytest.mark.parametrize(
    ("call", "limit", "remedies"),
    [
        (Whole, ALL + SPARE, None),
        (Whole, ALL, ["call StreamAnalysis", "uint8 or float16", "metadata x-whybox-max-response-bytes"]),
        (Whole, ONE + SPARE, ["call StreamAnalysis"]),
        (Whole, ONE, ["fewer maps and pictures"]),
        (Stream, ALL, None),
        (Stream, ONE + SPARE, None),
        (Stream, ONE, ["a single map", "fewer of its pictures", "metadata x-whybox-max-response-bytes"]),
    ],
)
async def test_what_may_be_too_large_is_refused_before_any_queue(gateway, backend, call, limit, remedies):
    calling = call(gateway, request(**ASKED), max_message_bytes=limit)
    await settle()
    if remedies is None:
        assert len(backend.asked) == 1
        backend.release("explanations[0]")
        await calling.task
        return
    with pytest.raises(errors.InvalidRequestError) as caught:
        await calling.task
    assert (caught.value.reason, caught.value.field) == ("ANSWER_TOO_LARGE", "x-whybox-max-response-bytes")
    for words in (*remedies, f"messages of {limit:,}"):
        assert words in caught.value.message
    if call is Stream or limit == ONE:
        assert "StreamAnalysis" not in caught.value.message
    assert backend.asked == []


async def test_a_stream_is_divided_as_its_caller_wants(gateway, backend):
    answer = v1.AnalyzeResponse()
    for index in range(8):
        tensor = {"shape": [3, SIDE, SIDE], "dtype": "float32", "data": bytes(ONE)}
        answer.explanations.append(message(v1.Explanation, method="saliency", target_class=index, attribution=tensor))
    backend.outcomes["explanations[0]"] = v1.WorkResult(response=answer, final=True)
    backend.release("explanations[0]")
    limit = 3 * ONE + SPARE
    stream = Stream(gateway, request(**ASKED), max_message_bytes=limit)
    await stream.task
    assert [[each.index for each in part.explanations] for part in stream.messages] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert all(part.ByteSize() <= limit for part in stream.messages)
    assert stream.names == [f"explanations[{index}]" for index in range(8)]
    whole = await analyze(gateway, request(**ASKED))
    merged = v1.AnalyzeResponse()
    for part in stream.messages:
        merged.MergeFrom(part)
    assert merged.explanations == whole.explanations
    assert merged.receipt == whole.receipt
