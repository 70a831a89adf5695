"""Operations on the real TorchServe: from start to end, and through the death of the server."""

import signal
from pathlib import Path

import psutil
import pytest

from servers import serving
from whybox import Client, NotFoundError


@pytest.mark.parametrize("scheme", ["grpc", "rest"])
def test_from_start_to_end(archive: Path, tmp_path: Path, dalmatian: bytes, scheme: str) -> None:
    settings = {"WHYBOX_DATABASE": f"sqlite:///{tmp_path}/whybox.db"}
    store, logs = archive.parent, tmp_path / "logs"
    with serving(store, logs, **settings) as server, Client(getattr(server, scheme), timeout=60) as client:
        operation = client.start_analysis(dalmatian, parts=("prediction", "explanations"))
        analysis = operation.result(timeout=120)
        [explanation] = analysis.explanations
        assert explanation.error is None
        assert analysis.prediction is not None
        assert analysis.prediction.classes[0].label == "dalmatian"
        assert client.operation(operation.name).state == "succeeded"
        operation.delete()
        with pytest.raises(NotFoundError):
            client.operation(operation.name)
    assert [path.name for path in (tmp_path / "whybox.db.operations").iterdir()] == ["server"]


def test_it_survives_the_death_of_the_server(archive: Path, tmp_path: Path, dalmatian: bytes) -> None:
    settings = {"WHYBOX_DATABASE": f"sqlite:///{tmp_path}/whybox.db"}
    folder = tmp_path / "whybox.db.operations"
    with serving(archive.parent, tmp_path / "logs", **settings) as server:
        with Client(server.grpc, timeout=60) as client:
            # A certificate from this many samples takes longer than the server lives.
            operation = client.start_analysis(dalmatian, parts=("prediction", "certified"), sigma=0.25, samples=300)
            while operation.state == "waiting":
                operation.done()
            assert operation.state == "running"
            assert len(list(folder.iterdir())) == 2
        family = server.family()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for process in family:
            if process.is_running():
                process.kill()
        psutil.wait_procs(family, timeout=30)
    with serving(archive.parent, tmp_path / "logs", **settings) as server, Client(server.rest, timeout=60) as client:
        analysis = client.operation(operation.name).result(timeout=300)
        assert analysis.certified is not None
        assert analysis.certified.error is None
        assert analysis.prediction is not None
        assert analysis.prediction.classes[0].label == "dalmatian"
    assert [path.name for path in folder.iterdir()] == ["server"]
