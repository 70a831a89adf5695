"""What is held, in which order it leaves, and what it takes of memory."""

import hashlib
import os
import tracemalloc

import pytest

from whybox_server.gateway.cache.held import ENTRY_BYTES, Held

ROOM = 3 * (ENTRY_BYTES + 10)


def value(name):
    return name.encode() * 10


def filled(names="abc", max_bytes=ROOM):
    held = Held(max_bytes)
    for name in names:
        held.put(name.encode(), value(name))
    return held


def names_in(held):
    return "".join(name for name in "abcdefgh" if held.get(name.encode()) is not None)


@pytest.mark.parametrize(
    ("used", "put", "left"),
    [
        ("", "d", "bcd"),
        ("a", "d", "acd"),
        ("abc", "d", "bcd"),
        ("ba", "d", "abd"),
        ("", "a", "abc"),
        ("a", "de", "ade"),
    ],
)
def test_the_least_recently_used_leaves(used, put, left):
    held = filled()
    for name in used:
        assert held.get(name.encode()) == value(name)
    leaving = sum(held.put(name.encode(), value(name)) for name in put)
    assert leaving == len(set(put) - set("abc"))
    assert names_in(held) == left
    assert len(held) == 3
    assert held.bytes == ROOM


def test_a_value_larger_than_the_bound_is_not_held_and_nothing_leaves_for_it():
    held = filled()
    assert held.put(b"d", bytes(ROOM - ENTRY_BYTES + 1)) == 0
    assert names_in(held) == "abc"
    assert held.put(b"d", bytes(ROOM - ENTRY_BYTES)) == 3
    assert names_in(held) == "d"


def test_a_new_value_replaces_the_old_one_even_if_it_is_too_large_itself():
    held = filled("a")
    held.put(b"a", b"other")
    assert held.get(b"a") == b"other"
    assert held.bytes == ENTRY_BYTES + 5
    held.put(b"a", bytes(ROOM))
    assert (held.get(b"a"), held.bytes, len(held)) == (None, 0, 0)


def test_what_is_dropped_takes_nothing():
    held = filled()
    held.drop(b"b")
    held.drop(b"unknown")
    assert names_in(held) == "ac"
    assert held.bytes == 2 * (ENTRY_BYTES + 10)


@pytest.mark.parametrize(("entries", "size"), [(5_000, 20), (5_000, 700), (40, 100_000)])
@pytest.mark.parametrize("turnover", [1, 3])
def test_memory_stays_within_the_bound(entries, size, turnover):
    bound = entries * (ENTRY_BYTES + size)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = Held(bound)
        for number in range(turnover * entries):
            held.put(hashlib.sha256(str(number).encode()).digest(), os.urandom(size))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(held) == entries
    assert held.bytes == bound
    assert bound / 3 < taken <= bound
