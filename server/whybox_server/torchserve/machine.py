"""What of this machine the server may use: cores and memory, as control groups and affinity leave them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/")


def cores(root: Path = _ROOT) -> int:
    """Cores that this process may use, at least 1: those of its affinity, or as many as its quota of time is worth.

    Args:
        root: Where /proc and /sys lie.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [int(quota) / int(period) for quota, period in _limits(root, "cpu.max") if quota != "max"]
    # Half a core more is no core for a worker.
    return max(min(allowed, *map(math.floor, quotas)), 1) if quotas else allowed


def memory_bytes(root: Path = _ROOT) -> int:
    """Memory that this process may use with all that it starts.

    Args:
        root: Where /proc and /sys lie.
    """
    limits = [int(limit) for (limit,) in _limits(root, "memory.max") if limit != "max"]
    return min(psutil.virtual_memory().total, *limits) if limits else psutil.virtual_memory().total


def _limits(root: Path, name: str) -> Iterator[list[str]]:
    """A limit of the control group (version 2) of this process and of those that it lies in, in words."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        # Not on Linux.
        return
    top = root / "sys/fs/cgroup"
    for group in groups:
        number, _, path = group.split(":", 2)
        if number != "0":
            continue
        within = top / path.strip("/")
        for folder in (within, *within.parents):
            if (folder / name).is_file():
                yield (folder / name).read_text().split()
            if folder == top:
                break
