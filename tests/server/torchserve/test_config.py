"""The configuration that TorchServe is started with."""

import json
import re
from pathlib import Path

import pytest

from whybox import v1
from whybox_server.gateway.pools import PoolKind
from whybox_server.settings import Settings
from whybox_server.torchserve.config import (
    Ports,
    max_message_bytes,
    properties,
    registered,
)

FOLDER = Path("/tmp/whybox-x")  # noqa: S108 (named, not used)
SETTINGS = Settings(
    predict_workers=2,
    analyze_workers=3,
    predict_batch=4,
    analyze_batch=5,
    predict_delay_ms=6,
    max_timeout=90,
)


def java_properties(text):
    """The entries as `java.util.Properties` reads them: Latin-1, a backslash escapes."""
    content = text.encode().decode("latin-1")
    entries = dict(line.split("=", 1) for line in content.splitlines())

    def unescaped(match):
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(code, code)

    return {name: re.sub(r"\\(u[0-9a-fA-F]{4}|.)", unescaped, value) for name, value in entries.items()}


def configured(store=Path("/store"), settings=SETTINGS, names=("a", "b")):
    archives = {store / f"{name}-1.5.mar": v1.Model(name=name, version="1.5") for name in names}
    return java_properties(properties(archives, FOLDER, Ports(inference=7070, management=7071), settings))


def test_only_this_machine_is_listened_to():
    entries = configured()
    for name in ("inference", "management", "metrics"):
        assert entries[f"{name}_address"].startswith(f"unix:{FOLDER}/")
    for name, port in (("inference", "7070"), ("management", "7071")):
        assert (entries[f"grpc_{name}_address"], entries[f"grpc_{name}_port"]) == ("127.0.0.1", port)
    for name in ("enable_model_api", "enable_metrics_api", "enable_envvars_config", "disable_token_authorization"):
        assert entries[name] == "false"


def test_every_model_has_two_pools_of_its_own():
    entries = configured()
    names = [f"{model}-1.5-{end}" for model in "ab" for end in ("predict", "analyze-1", "analyze-2", "analyze-3")]
    assert entries["load_models"] == ",".join(f"{name}={name[0]}-1.5.mar" for name in names)
    common = {"defaultVersion": True, "maxBatchDelay": 6, "responseTimeout": 180}
    predict = {"minWorkers": 2, "maxWorkers": 2, "batchSize": 4, **common}
    # The gateway chooses the worker of an analysis.
    analyze = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 5, **common}
    assert json.loads(entries["models"]) == {
        name: {"1.5": {"marName": f"{name[0]}-1.5.mar", **(predict if "predict" in name else analyze)}}
        for name in names
    }


@pytest.mark.parametrize("folder", ["models", "my models", "модели", "größe", "图像", "🖼", "back\\slash", "a=b#c!d:e"])
def test_any_folder_survives_java(folder, tmp_path):
    entries = configured(store=tmp_path / folder, names=("größe",))
    assert entries["model_store"].encode("utf-16", "surrogatepass").decode("utf-16") == str(tmp_path / folder)
    assert json.loads(entries["models"])["größe-1.5-predict"]["1.5"]["marName"] == "größe-1.5.mar"


def test_the_store_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert configured(store=Path("store"))["model_store"] == str(tmp_path / "store")


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (4, 8), (64, 64)])
def test_the_queue_of_torchserve_is_never_full(workers, batch):
    settings = Settings(predict_workers=workers, predict_batch=batch, analyze_batch=batch)
    places = max(
        each.places for kind in PoolKind for each in registered(v1.Model(name="m", version="1"), kind, settings)
    )
    assert places == 2 * workers * batch
    # Probes wait in the same queue.
    assert int(configured(settings=settings)["job_queue_size"]) > places + 1


@pytest.mark.parametrize("limit", [1024, 20 * 2**20, 2**30])
def test_the_largest_picture_and_the_largest_map_fit(limit):
    settings = Settings(max_image_bytes=limit)
    entries = configured(settings=settings)
    assert entries["max_request_size"] == entries["max_response_size"] == str(max_message_bytes(settings))
    largest_map = v1.Tensor(shape=[3, 1024, 1024], dtype="float32", data=bytes(3 * 4 * 2**20))
    assert max_message_bytes(settings) > max(limit, largest_map.ByteSize())


@pytest.mark.parametrize("longest", [0.001, 0.5, 1, 600, 86_400])
def test_a_worker_is_killed_only_long_after_every_deadline(longest):
    entries = configured(settings=Settings(max_timeout=longest))
    for pool in json.loads(entries["models"]).values():
        seconds = pool["1.5"]["responseTimeout"]
        assert isinstance(seconds, int)
        assert seconds >= max(1, 2 * longest)
