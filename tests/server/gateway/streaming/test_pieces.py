"""Answers in several messages: none too large, and together the answer."""

import itertools
from typing import Any

import pytest

from messages import message
from whybox import v1
from whybox_server.gateway.streaming.pieces import pieces

# Merging two messages saves the frames of what both have.
FRAMES = 16

COMMON: dict[str, Any] = {
    "request_id": "id-1",
    "model": "m",
    "version": "2",
    "receipt": {"seed": 7, "runtime": {"torch": "2.14"}},
}


def answer(**parts: Any) -> v1.AnalyzeResponse:
    names = [
        name
        for field, entries in parts.items()
        for name in ([f"{field}[{entry['index']}]" for entry in entries] if isinstance(entries, list) else [field])
    ]
    timings = {"total_ms": 9, "parts": [{"part": name, "total_ms": 5} for name in names]}
    return message(v1.AnalyzeResponse, **COMMON, timings=timings, **parts)


def explanation(index: int, size: int) -> dict[str, Any]:
    return {"index": index, "method": "saliency", "status": {}, "attribution": {"shape": [size], "data": bytes(size)}}


def distance(norm: str, size: int) -> dict[str, Any]:
    return {"norm": norm, "adversarial_picture": bytes(size), "reasons": ["a", "b"]}


# Parts of an answer, the limit, and the timings of each message that comes of it.
DIVIDED: dict[str, tuple[dict[str, Any], int, list[list[str]]]] = {
    "what fits": (
        {"explanations": [explanation(0, 100), explanation(1, 100)]},
        2000,
        [["explanations[0]", "explanations[1]"]],
    ),
    "one map each": (
        {"explanations": [explanation(index, 1500) for index in (2, 0, 5)]},
        2000,
        [["explanations[2]"], ["explanations[0]"], ["explanations[5]"]],
    ),
    "as many maps as fit": (
        {"explanations": [explanation(index, 500) for index in range(5)]},
        1500,
        [["explanations[0]", "explanations[1]"], ["explanations[2]", "explanations[3]"], ["explanations[4]"]],
    ),
    "a map that is larger alone": (
        {"explanations": [explanation(0, 100), explanation(1, 5000), explanation(2, 100)]},
        2000,
        [["explanations[0]"], ["explanations[1]"], ["explanations[2]"]],
    ),
    "distances": (
        {
            "robustness": {
                "status": {},
                "view": {"width": 3},
                "distances": [distance("linf", 1500), distance("l2", 1500)],
            }
        },
        2000,
        [[], ["robustness"]],
    ),
    "corruptions after distances": (
        {
            "robustness": {
                "view": {"width": 3},
                "distances": [distance("linf", 900)],
                "corruptions": [{"name": "fog" * 200, "levels": [{"severity": 1}]}] * 2,
            }
        },
        1200,
        [[], [], ["robustness"]],
    ),
    "classes": (
        {"prediction": {"classes": [{"index": index, "label": "x" * 100} for index in range(12)]}},
        1000,
        [[], ["prediction"]],
    ),
    "two parts": (
        {"prediction": {"status": {}, "view": {"width": 3}}, "bias": {"flags": [{"message": "x" * 900}] * 2}},
        1400,
        [["prediction"], ["bias"]],
    ),
}


@pytest.mark.parametrize(("parts", "limit", "timings"), DIVIDED.values(), ids=DIVIDED)
def test_an_answer_in_pieces(parts: dict[str, Any], limit: int, timings: list[list[str]]) -> None:
    whole = answer(**parts)
    divided = list(pieces(whole, limit))
    assert [[timing.part for timing in piece.timings.parts] for piece in divided] == timings
    merged = v1.AnalyzeResponse()
    for piece in divided:
        assert piece.ByteSize() <= limit or len(piece.explanations) == 1
        assert (piece.request_id, piece.model, piece.version) == ("id-1", "m", "2")
        assert (piece.receipt.seed, piece.receipt.runtime["torch"], piece.timings.total_ms) == (7, "2.14", 9)
        merged.MergeFrom(piece)
    assert merged == whole


@pytest.mark.parametrize("limit", range(400, 3000, 37))
def test_at_every_limit_the_pieces_are_full(limit: int) -> None:
    maps = [explanation(index, 17 * index) for index in range(16)]
    whole = answer(explanations=maps, robustness={"distances": [distance("linf", 200), distance("l2", 200)]})
    divided = list(pieces(whole, limit))
    merged = v1.AnalyzeResponse()
    for piece in divided:
        merged.MergeFrom(piece)
        assert piece.ByteSize() <= limit or len(piece.explanations) + len(piece.robustness.distances) == 1
    assert merged == whole
    for one, other in itertools.pairwise(divided):
        joined = v1.AnalyzeResponse()
        joined.CopyFrom(one)
        joined.MergeFrom(other)
        assert joined.ByteSize() > limit - FRAMES
