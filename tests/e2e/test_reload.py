"""Versions side by side and an upgrade under load, on the real TorchServe."""

import base64
from pathlib import Path
from typing import Any

import httpx

from reloads import load, pack_again, reload, wait_for_version, wait_until_gone
from servers import Server, serving
from whybox import Client

MODEL = "efficientnet-lite0"
DALMATIAN = 251


def infer(server: Server, picture: bytes, version: str) -> dict[str, Any]:
    """The answer of one version in the Open Inference Protocol."""
    sent = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(picture).decode()]}
    answer = httpx.post(f"{server.rest}/v2/models/{MODEL}/versions/{version}/infer", json={"inputs": [sent]})
    assert answer.status_code == 200, answer.text
    inferred: dict[str, Any] = answer.json()
    return inferred


def test_an_upgrade_under_load_fails_no_request(archive: Path, tmp_path: Path, dalmatian: bytes) -> None:
    store = tmp_path / "store"
    store.mkdir()
    pack_again(archive, store, "1.0")
    traffic = tmp_path / "traffic"
    traffic.write_text("")
    with serving(store, tmp_path / "logs", WHYBOX_TRAFFIC=f"@{traffic}") as server:
        with load(server, dalmatian, DALMATIAN) as seen:
            wait_for_version(seen, "1.0")
            before = server.family()
            pack_again(archive, store, "1.1")
            done = reload(server)
            assert done.returncode == 0, done.stderr
            assert done.stdout == f"process {server.process.pid} serves what its store holds now\n"
            assert httpx.get(f"{server.rest}/readyz").status_code == 200
            wait_for_version(seen, "1.1")
            assert wait_until_gone(before) == []
        assert seen.failed == []
        assert seen.versions() == {"1.0", "1.1"}
        for url in (server.rest, server.grpc):
            with Client(url) as client:
                assert [(model.name, model.version) for model in client.models()] == [(MODEL, "1.1"), (MODEL, "1.0")]
                assert client.predict(dalmatian, version="1.0").classes[0].index == DALMATIAN
        for version in ("1.0", "1.1"):
            inferred = infer(server, dalmatian, version)
            assert (inferred["model_name"], inferred["model_version"]) == (MODEL, version)
            [classes] = [each for each in inferred["outputs"] if each["name"] == "classes"]
            assert classes["data"][0] == DALMATIAN
        ready = httpx.get(f"{server.rest}/v2/models/{MODEL}/versions/1.0/ready")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert httpx.get(f"{server.rest}/v2/models/{MODEL}").json()["versions"] == ["1.1", "1.0"]
        assert httpx.get(f"{server.rest}/v2/models/{MODEL}/versions/2/ready").status_code == 404

        # What cannot be served leaves what is served.
        after = server.family()
        (store / f"{MODEL}-1.2.mar").write_bytes(b"")
        failed = reload(server)
        assert failed.returncode == 1
        assert f"goes on with what it served before: {store / f'{MODEL}-1.2.mar'} was not packed" in failed.stderr
        with Client(server.grpc) as client:
            assert client.analyze(dalmatian, parts=["prediction"]).version == "1.1"
        assert {process.pid for process in server.family()} == {process.pid for process in after}
