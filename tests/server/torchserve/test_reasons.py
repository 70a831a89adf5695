"""What the logs of a TorchServe that failed say."""

import os
import time
from pathlib import Path

import pytest

from whybox_server.torchserve.reasons import failure_reason

WORKER = "2026-11-25T23:13:40,875 INFO  W-9000-m-predict_1.0-stdout - "
TRACEBACK = f"""{WORKER}Traceback (most recent call last):
{WORKER}  File "worker.py", line 249, in run_server
{WORKER}OSError: AF_UNIX path too long
{WORKER}Bye, no Error here: none
2026-11-25T23:13:41,982 ERROR W-9000-m-predict_1.0 - Backend worker error
org.pytorch.serve.wlm.WorkerInitializationException: Backend stream closed.
\tat org.pytorch.serve.wlm.WorkerLifeCycle.startWorkerPython(WorkerLifeCycle.java:204) ~[model-server.jar:?]
"""
NOT_FOUND = """2026-11-25T23:13:12,983 WARN  main - Failed to load model: m.mar
org.pytorch.serve.archive.model.ModelNotFoundException: Model not found at: m.mar
\tat org.pytorch.serve.ModelServer.main(ModelServer.java:105) [model-server.jar:?]
"""
NO_HEAP = """Picked up JAVA_TOOL_OPTIONS: -Xmx1m
Error occurred during initialization of VM
Too small maximum heap
"""
CHATTER = """WARNING: sun.reflect.Reflection.getCallerClass is not supported. This will impact performance.
nvidia-smi not available or failed: Cannot run program "nvidia-smi": Exec failed, error: 2 (No such file)
Model server started.
"""
BEGINNING = "2026-11-25T23:13:12,000 INFO  main - \nTorchserve version: 0.12.0\n"


@pytest.mark.parametrize(
    ("log", "output", "reason"),
    [
        (TRACEBACK, CHATTER, "OSError: AF_UNIX path too long"),
        (NOT_FOUND, CHATTER, "org.pytorch.serve.archive.model.ModelNotFoundException: Model not found at: m.mar"),
        (NOT_FOUND + TRACEBACK, CHATTER, "OSError: AF_UNIX path too long"),
        (TRACEBACK + BEGINNING + NOT_FOUND, "", "ModelNotFoundException: Model not found at: m.mar"),
        (TRACEBACK + BEGINNING, CHATTER, ""),
        (f"{WORKER}MODEL_LOG - ModuleNotFoundError: No module named 'yaml'\n", "", "No module named 'yaml'"),
        (None, NO_HEAP, "Error occurred during initialization of VM Too small maximum heap"),
        (None, "Error: Could not find or load main class X\n", "Error: Could not find or load main class X"),
        ("x" * 10**6 + "\n" + TRACEBACK, "", "OSError: AF_UNIX path too long"),
        (None, None, ""),
    ],
)
def test_the_cause_comes_before_what_follows_from_it(
    tmp_path: Path, log: str | None, output: str | None, reason: str
) -> None:
    for name, text in (("torchserve.log", log), ("torchserve.out", output)):
        if text is not None:
            (tmp_path / name).write_text(text)
    found = failure_reason(tmp_path, time.time())
    assert found.endswith(reason)
    assert bool(found) == bool(reason)
    assert "\n" not in found


def test_a_log_of_an_earlier_run_gives_no_reason(tmp_path: Path) -> None:
    (tmp_path / "torchserve.log").write_text(TRACEBACK)
    os.utime(tmp_path / "torchserve.log", (1000, 1000))
    (tmp_path / "torchserve.out").write_text(NO_HEAP)
    assert failure_reason(tmp_path, time.time()).endswith("Too small maximum heap")
