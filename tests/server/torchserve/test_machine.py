"""Cores and memory that control groups leave to the server, and how many workers they make."""

import os
from pathlib import Path

import psutil
import pytest

from whybox_server.settings import Settings
from whybox_server.torchserve.machine import cores, memory_bytes
from whybox_server.torchserve.numbers import filled_in

GIB = 2**30
AFFINITY = len(os.sched_getaffinity(0))
MEMORY = psutil.virtual_memory().total


def machine(root: Path, group: str, limits: dict[str, str]) -> Path:
    """A root with a process in a control group, and limits by the place of their file."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:name=systemd:/other\n0::{group}\n")
    for place, limit in limits.items():
        file = root / "sys/fs/cgroup" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("/", {}, AFFINITY),
        ("/", {"cpu.max": "max 100000"}, AFFINITY),
        ("/", {"cpu.max": "100000 100000"}, 1),
        ("/", {"cpu.max": "190000 100000"}, 1),
        ("/", {"cpu.max": "50000 100000"}, 1),
        ("/", {"cpu.max": "100000000 100000"}, AFFINITY),
        ("/a/b", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("/a/b", {"c/cpu.max": "100000 100000"}, AFFINITY),
    ],
)
def test_cores(tmp_path: Path, group: str, limits: dict[str, str], expected: int) -> None:
    assert cores(machine(tmp_path, group, limits)) == expected


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("/", {}, MEMORY),
        ("/", {"memory.max": "max"}, MEMORY),
        ("/a/b", {"a/memory.max": str(GIB), "a/b/memory.max": str(2 * GIB)}, GIB),
        ("/a", {"a/memory.max": str(2**60)}, MEMORY),
    ],
)
def test_memory(tmp_path: Path, group: str, limits: dict[str, str], expected: int) -> None:
    assert memory_bytes(machine(tmp_path, group, limits)) == expected


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert (cores(tmp_path), memory_bytes(tmp_path)) == (AFFINITY, MEMORY)


@pytest.mark.parametrize(
    ("given", "models", "cores", "gib", "predict", "analyze"),
    [
        ({}, 1, 1, 8, 1, 1),
        ({}, 1, 2, 8, 2, 2),
        ({}, 1, 8, 64, 8, 8),
        ({}, 2, 8, 64, 4, 4),
        ({}, 3, 8, 64, 3, 3),
        ({}, 8, 2, 64, 1, 1),
        ({}, 1, 8, 4, 2, 2),
        ({}, 1, 8, 0.5, 1, 1),
        ({"worker_threads": 4}, 1, 8, 64, 2, 2),
        ({"predict_workers": 3}, 1, 2, 8, 3, 2),
        ({"analyze_workers": 3}, 1, 2, 8, 2, 3),
    ],
)
def test_workers(given: dict[str, int], models: int, cores: int, gib: float, predict: int, analyze: int) -> None:
    settings = filled_in(Settings(**given), models, cores, int(gib * GIB))  # type: ignore[arg-type]
    assert (settings.predict_workers, settings.analyze_workers) == (predict, analyze)
    assert {name: getattr(settings, name) for name in given} == given
