"""Packing: what the archive holds, when it is built anew, and that a wrong export is refused."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from google.protobuf import json_format
from numpy.typing import NDArray
from torch import Tensor

from whybox import v1
from whybox_handlers.classifier import Classifier, Differentiable
from whybox_handlers.replay import load_archive
from whybox_server import pack as pack_module
from whybox_server.archives import read_manifest
from whybox_server.pack import PackError, pack


def test_the_archive_holds_what_was_promised(archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        assert sorted(content.namelist()) == [
            "MAR-INF/MANIFEST.json",
            "manifest.json",
            "network.onnx",
            "weights.pth",
            "whybox_entry.py",
        ]
        model = json_format.Parse(content.read("manifest.json"), v1.Model())
        for name, digest in (
            ("network.onnx", model.digests.onnx_sha256),
            ("weights.pth", model.digests.weights_sha256),
        ):
            assert hashlib.sha256(content.read(name)).hexdigest() == digest
    assert (model.name, model.num_classes, len(model.labels)) == ("efficientnet-lite0", 1000, 1000)
    assert {method.name for method in model.methods} >= {"grad_cam", "integrated_gradients"}
    assert list(model.norms) == ["linf"]
    assert model.packing_check.pictures == 20
    assert 0 < model.packing_check.max_logit_difference < 1e-3


def test_packing_again_does_nothing(archive: Path, spec_path: Path) -> None:
    before = archive.stat()
    said: list[str] = []
    packed = pack(spec_path, archive.parent, said.append)
    assert not packed.fresh
    assert not said
    assert packed.model == read_manifest(archive)
    assert (archive.stat().st_mtime_ns, archive.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda logits: logits + 2e-3, "a logit differs by 0.002"),
        (lambda logits: logits * np.float32(np.nan), "a logit differs by nan"),
        # Less than the tolerance, but it exchanges two classes that are closer still.
        (
            lambda logits: np.where(logits == np.sort(logits)[:, [-2]], np.sort(logits)[:, [-1]] + 1e-4, logits),
            "differ",
        ),
    ],
)
def test_a_wrong_export_is_refused(
    spoil: object, words: str, spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    with zipfile.ZipFile(archive) as content:
        onnx = content.read("network.onnx")
    monkeypatch.setattr(pack_module, "_export", lambda *_: onnx)
    serve = Classifier.serve
    monkeypatch.setattr(Classifier, "serve", lambda self, pictures: spoil(serve(self, pictures)))  # type: ignore[operator]
    with pytest.raises(PackError, match=words):
        pack(spec_path, tmp_path, lambda _: None)
    assert not list(tmp_path.iterdir())


def test_a_change_of_the_spec_packs_again(
    archive: Path, spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(archive) as content:
        onnx = content.read("network.onnx")
    monkeypatch.setattr(pack_module, "_export", lambda *_: onnx)
    entries = yaml.safe_load(spec_path.read_text())
    path = tmp_path / "model.yaml"
    for title, fresh in (("one", True), ("one", False), ("two", True)):
        path.write_text(yaml.safe_dump(entries | {"title": title}))
        packed = pack(path, tmp_path, lambda _: None)
        assert (packed.fresh, packed.model.title) == (fresh, title)


def test_a_damaged_archive_is_not_loaded(archive: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mar"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\0" if name == "weights.pth" else b""))
    with pytest.raises(ValueError, match=r"weights.pth is not the file that was packed"):
        load_archive(damaged)


def test_another_order_of_classes_is_refused(
    spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    """Two leading classes closer to each other than the tolerance of logits must still not change places."""
    with zipfile.ZipFile(archive) as content:
        onnx = content.read("network.onnx")
    forward = Differentiable.forward

    def tied(network: Differentiable, pictures: Tensor) -> Tensor:
        logits = forward(network, pictures)
        best = logits.topk(2).indices
        return logits.scatter(1, best[:, 1:], logits.max(dim=1, keepdim=True).values - 1e-4)

    def swapped(classifier: Classifier, pictures: Tensor) -> NDArray[np.float32]:
        logits = classifier.network(pictures).numpy()
        (order,) = np.argsort(-logits)
        logits[:, order[:2]] = logits[:, order[1::-1]]
        return logits

    monkeypatch.setattr(pack_module, "_export", lambda *_: onnx)
    monkeypatch.setattr(Differentiable, "forward", tied)
    monkeypatch.setattr(Classifier, "serve", torch.no_grad()(swapped))
    with pytest.raises(PackError, match="most probable classes differ"):
        pack(spec_path, tmp_path, lambda _: None)
