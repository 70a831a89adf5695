"""How much computing a caller may use."""

import pytest

from whybox.v1.errors import QuotaExceededError
from whybox_server.gateway.queueing.quotas import Quotas


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_quota_is_used_up_and_comes_back() -> None:
    clock = Clock()
    quotas = Quotas(6, clock)
    quotas.check("a")
    quotas.charge("a", 5)
    quotas.check("a")
    # Let in while anything is left, whatever it takes.
    quotas.charge("a", 3)
    with pytest.raises(
        QuotaExceededError, match="your quota of 6 s of computing per minute; try again in 20 s"
    ) as caught:
        quotas.check("a")
    assert (caught.value.retry_after, caught.value.code_name) == (20, "RESOURCE_EXHAUSTED")
    clock.now += 19.9
    with pytest.raises(QuotaExceededError):
        quotas.check("a")
    clock.now += 0.2
    quotas.check("a")


def test_callers_have_their_own() -> None:
    quotas = Quotas(1, Clock())
    quotas.charge("a", 5)
    quotas.check("b")


def test_no_more_than_a_minute_is_saved() -> None:
    clock = Clock()
    quotas = Quotas(1, clock)
    quotas.charge("a", 0.5)
    clock.now += 10_000
    quotas.charge("a", 1)
    with pytest.raises(QuotaExceededError):
        quotas.check("a")


def test_callers_that_owe_nothing_are_forgotten() -> None:
    clock = Clock()
    quotas = Quotas(60, clock)
    for number in range(5000):
        quotas.charge(str(number), 1)
        clock.now += 1
    assert len(quotas._left) <= 1001
