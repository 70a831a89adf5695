"""A model that is only a manifest, and a stand-in for measuring."""

import zipfile
from pathlib import Path

import pytest
from google.protobuf import json_format

from server.audits import quick_audits
from whybox import v1


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in this process, which is quicker than starting others."""

    monkeypatch.setattr("whybox_server.audits.passes.pool._measured", quick_audits.measured_here)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attacks = [v1.Attack(name=name, norms=["linf"]) for name in ("fmn", "i_fgsm")]
    model = v1.Model(name="m", version="1", num_classes=2, labels=["cat", "dog"], norms=["linf"], attacks=attacks)
    model.default_attack = "fmn"
    store = tmp_path_factory.mktemp("store")
    with zipfile.ZipFile(store / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(model))
    return store
