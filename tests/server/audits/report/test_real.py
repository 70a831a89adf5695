"""The real command on real pictures: killed and resumed, it finds the same."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from server.audits.stopping import kept

COMMAND = Path(sys.executable).with_name("whybox-server")
PICTURES = 6


@pytest.fixture(scope="module")
def data(pictures: dict[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real pictures, two of a class by the class of the first; the last one twice; and a damaged one."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["file,imagenet1k_index,odd"]
    chosen = list(pictures.items())[:PICTURES]
    for number, (path, _) in enumerate([*chosen, chosen[-1]]):
        shutil.copy(path, folder / f"{number}.jpg")
        _, label = chosen[min(number, PICTURES - 1) // 2 * 2]
        lines.append(f"{number}.jpg,{label},{number % 2}")
    (folder / "damaged.jpg").write_bytes((folder / "0.jpg").read_bytes()[:2000])
    lines.append("damaged.jpg,0,0")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder


def command(data: Path, archive: Path, save: Path, *more: str) -> list[str]:
    given = [data, "--labels", data / "table.csv", "--model-store", archive.parent, "--budget", 2, "--save", save]
    return [str(COMMAND), "audit", *map(str, given), "--workers", "1", *more]


def test_killed_and_resumed_it_finds_the_same(data: Path, archive: Path, tmp_path: Path) -> None:
    once, resumed = tmp_path / "once", tmp_path / "resumed"
    done = subprocess.run(
        command(data, archive, once, "--attribute", "odd", "--attribute", "brightness"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "pictures that cannot be decoded (listed in audit.json): 1\n" in done.stdout
    assert "files that are the same as another one of their class, counted once: 1\n" in done.stdout
    manifest = json.loads((once / "audit.json").read_text())
    assert [each["file"] for each in manifest["data"]["unreadable"]] == ["damaged.jpg"]
    assert (manifest["data"]["measured"], manifest["data"]["counted"]) == (PICTURES + 1, PICTURES)
    rows = parquet.read_table(once / "audit.parquet").to_pylist()
    assert [row["counted"] for row in rows] == [True] * PICTURES + [False]
    assert rows[-1]["group"] == rows[-2]["group"]

    arguments = command(data, archive, resumed, "--attribute", "odd", "--attribute", "brightness")
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while kept(resumed) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pictures were measured by an earlier run" in done.stderr
    for name in ("audit.json", "audit.parquet"):
        assert (resumed / name).read_bytes() == (once / name).read_bytes()
