"""Independent work on all cores that torch may use, with the same bits whatever their number."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def one_thread() -> Iterator[int]:
    """Torch, and what takes its number of threads from it, computes each operation in one thread.

    Yields:
        The number of threads before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def side_by_side(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`call` of each item, in the order of the items; as many at once as torch has threads.

    The cores are shared between calls rather than inside operations, which several threads round differently and
    which are too small to keep them busy.

    Raises:
        Exception: That of the first item whose call failed. Calls that have not begun by then are left out.
    """
    with one_thread() as cores:
        pool = ThreadPoolExecutor(cores, thread_name_prefix="pack")
        try:
            return list(pool.map(call, items))
        finally:
            pool.shutdown(cancel_futures=True)
