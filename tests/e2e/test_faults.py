"""Processes die; answers stay honest, the service comes back by itself, and nothing is left behind."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from servers import Server, serving
from whybox import Client
from whybox.v1.errors import DeadlineExceededError, FailedPreconditionError, UnavailableError

_RECOVERY_SECONDS = 60


@pytest.fixture
def mortal(archive: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of its own for a test that breaks it, with a worker of each kind."""
    workers = {"WHYBOX_PREDICT_WORKERS": "1", "WHYBOX_ANALYZE_WORKERS": "1"}
    with serving(archive.parent, tmp_path / "logs", **workers) as server:
        yield server


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while (answer := httpx.get(f"{server.rest}/readyz")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


def explain_slowly(url: str, image: bytes, evaluations: int = 500) -> None:
    with Client(url) as client:
        client.explain(image, "rise", max_evaluations=evaluations, tolerance=0)


def predict_often(url: str, image: bytes) -> None:
    with Client(url) as client:
        for _ in range(100):
            client.predict(image)


def certify_through_a_death(server: Server, image: bytes) -> None:
    """What was drawn by the worker that is killed is not lost: the next one goes on."""
    killed: list[psutil.Process] = []

    def kill_once(*_: int) -> None:
        if not killed:
            killed.extend(server.workers("analyze"))
            killed[0].kill()

    with Client(server.grpc, timeout=_RECOVERY_SECONDS) as client:
        certified = client.certify(image, sigma=0.05, samples=200, progress=kill_once)
    assert killed
    assert (certified.state, certified.samples, certified.stopped_by) == ("certified", 200, "")


def test_kill_workers_then_torchserve(mortal: Server, dalmatian: bytes) -> None:
    """kill -9 on a worker during a request, then on TorchServe itself, then SIGINT to the server."""
    with ThreadPoolExecutor(1) as caller:
        for kind, ask, url in (("analyze", explain_slowly, mortal.grpc), ("predict", predict_often, mortal.rest)):
            asking = caller.submit(ask, url, dalmatian)
            time.sleep(0.7)
            (worker,) = mortal.workers(kind)
            assert not asking.done()
            worker.kill()
            # The next worker does it once more.
            assert asking.exception(_RECOVERY_SECONDS) is None
            wait_until_ready(mortal)
            with Client(url) as client:
                assert client.predict(dalmatian).classes[0].index == 251
                assert client.explain(dalmatian)[0].target_class == 251

    certify_through_a_death(mortal, dalmatian)
    wait_until_ready(mortal)

    (java,) = [process for process in mortal.family() if "java" in process.name()]
    java.kill()
    psutil.wait_procs([java])
    time.sleep(0.5)
    not_ready = httpx.get(f"{mortal.rest}/readyz")
    assert not_ready.status_code == 503
    assert not not_ready.json()["ready"]
    with Client(mortal.grpc) as client, pytest.raises(UnavailableError) as raised:
        client.predict(dalmatian)
    assert (raised.value.reason, raised.value.retry_after is not None) == ("UNAVAILABLE", True)
    wait_until_ready(mortal)
    assert "whybox_torchserve_restarts_total 1.0" in httpx.get(f"{mortal.rest}/metrics").text
    with Client(mortal.rest) as client:
        assert client.predict(dalmatian).classes[0].index == 251

    family = mortal.family()
    assert len(family) >= 3
    mortal.process.send_signal(signal.SIGINT)
    assert mortal.process.wait(30) == 0
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_what_ends_two_workers_is_refused_and_all_else_goes_on(mortal: Server, dalmatian: bytes) -> None:
    with ThreadPoolExecutor(1) as caller:
        # More than any worker does before it is killed.
        asking = caller.submit(explain_slowly, mortal.grpc, dalmatian, 5000)
        for _ in range(2):
            wait_until_ready(mortal)
            time.sleep(2)
            assert not asking.done()
            (worker,) = mortal.workers("analyze")
            worker.kill()
            psutil.wait_procs([worker])
            time.sleep(0.5)
        error = asking.exception(_RECOVERY_SECONDS)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "KILLED_WORKERS"
    wait_until_ready(mortal)
    with pytest.raises(FailedPreconditionError, match="refused for 10 more minutes"):
        explain_slowly(mortal.rest, dalmatian, 5000)
    with Client(mortal.rest) as client:
        assert client.explain(dalmatian)[0].target_class == 251


def test_a_worker_that_hangs_is_replaced(mortal: Server, dalmatian: bytes) -> None:
    (hangs,) = mortal.workers("predict")
    hangs.suspend()
    with Client(mortal.rest) as client:
        with pytest.raises(DeadlineExceededError):
            client.predict(dalmatian, timeout=1)
        # It hangs by definition 30 s after the deadline of what it holds.
        psutil.wait_procs([hangs], timeout=_RECOVERY_SECONDS)
        assert not hangs.is_running()
        wait_until_ready(mortal)
        assert client.predict(dalmatian).classes[0].index == 251
    (other,) = mortal.workers("predict")
    assert other.pid != hangs.pid


def test_kill_the_server_itself(mortal: Server) -> None:
    """Even then TorchServe and its workers go."""
    family = mortal.family()
    assert len(family) >= 3
    mortal.process.kill()
    mortal.process.wait(30)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
