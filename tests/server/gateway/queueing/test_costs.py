"""What work is expected to cost."""

from typing import Any

import pytest

from messages import message
from whybox import v1
from whybox_server.gateway.queueing.costs import Costs


def work(**request: Any) -> v1.Work:
    return message(v1.Work, request={"model": "m", **request})


SEARCH = {"robustness": {"budget": "fast", "norms": ["linf"]}}
IG = {"explanations": [{"method": "integrated_gradients", "max_evaluations": 50}]}


@pytest.mark.parametrize("asked", [{"prediction": {"top_k": 3}}, IG, SEARCH])
def test_what_never_ran(asked: dict[str, Any]) -> None:
    assert Costs(0.7).expected(work(**asked)) == 0.7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 3.0),
        # What does not change the cost.
        ({"seed": 9}, 3.0),
        ({"image": b"another"}, 3.0),
        # Other options of the same methods.
        ({"explanations": [{"method": "integrated_gradients", "max_evaluations": 99}]}, 3.0),
        ({"explanations": [{"method": "grad_cam"}]}, 1.0),
        ({"explanations": [], **SEARCH}, 1.0),
    ],
)
def test_like_what_ran(change: dict[str, Any], expected: float) -> None:
    costs = Costs(1)
    costs.learn(work(**IG), 3)
    assert costs.expected(work(**(IG | change))) == expected


def test_the_newest_counts_most_and_the_same_options_more_than_the_method() -> None:
    costs = Costs(1)
    for seconds in [1.0] * 5 + [3.0] * 20:
        costs.learn(work(**IG), seconds)
    costs.learn(work(explanations=[{"method": "integrated_gradients", "max_evaluations": 500}]), 30)
    assert costs.expected(work(**IG)) == pytest.approx(3, rel=0.01)
    assert 3 < costs.expected(work(explanations=[{"method": "integrated_gradients", "max_evaluations": 7}])) < 30


def test_the_memory_is_bounded() -> None:
    costs = Costs(1)
    for number in range(5000):
        costs.learn(work(explanations=[{"method": "rise", "max_evaluations": number}]), 2)
    assert len(costs._seconds) <= 2048
    assert costs.expected(work(explanations=[{"method": "rise", "max_evaluations": 4999}])) == 2
