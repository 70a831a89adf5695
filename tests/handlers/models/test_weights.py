"""Weights: what is read out of which file, what every other file is called, and that nothing in a file is executed."""

import contextlib
import gzip
import io
import os
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from whybox_handlers.models.spec import SpecError
from whybox_handlers.models.weights import read_weights

WEIGHTS = {"conv.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
OTHER = {name: tensor + 1 for name, tensor in WEIGHTS.items()}
OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    "saved",
    [
        WEIGHTS,
        OrderedDict(WEIGHTS),
        {"state_dict": WEIGHTS},
        {"model": WEIGHTS, "optimizer": OPTIMIZER, "epoch": 3, "best_acc1": torch.tensor(0.7)},
        {"model_state_dict": WEIGHTS, "loss": 0.1},
        {"epoch": 3, "state_dict_ema": WEIGHTS},
        {"ema": prefixed("module."), "updates": 4},
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 0.1}, "callbacks": {}},
        {"state_dict": prefixed("module.model.")},
        prefixed("module.") | {"n_averaged": torch.tensor(3)},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_read(saved: object, zipped: bool, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    read = read_weights(tmp_path / "weights.pth")
    assert read.keys() == WEIGHTS.keys()
    for name, tensor in read.items():
        assert tensor.equal(WEIGHTS[name])


def test_a_prefix_that_only_some_names_have_stays(tmp_path: Path) -> None:
    torch.save({"model.weight": torch.ones(2), "fc.weight": torch.ones(2)}, tmp_path / "weights.pth")
    assert list(read_weights(tmp_path / "weights.pth")) == ["model.weight", "fc.weight"]


def saved(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            content.writestr(f"model/{name}", b"")
    return file.getvalue()


def other_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("readme.txt", b"")
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


SAVE = r"save the weights alone, with torch\.save\(model\.state_dict\(\), FILE\)"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; copy or download the file again"),
        (b"<!DOCTYPE html><html>", "is an HTML or XML page; download the file itself"),
        (b"\n  <html>", "is an HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS; fetch the file itself"),
        (b"\x10\0\0\0\0\0\0\0{}" + b" " * 14, "is a safetensors file; save its tensors with torch.save"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras writes; save"),
        (array(), "is a NumPy array; save"),
        (gzip.compress(saved(WEIGHTS)), "is compressed with gzip; unpack it"),
        (b"not found", "is truncated or damaged, or torch.save did not write it; copy"),
        (
            np.random.default_rng(0).bytes(3000),
            f"is truncated or damaged, or torch.save did not write it; copy .*, or {SAVE}",
        ),
        (b"\0" * 3000, f"is truncated or damaged, or torch.save did not write it; copy .*, or {SAVE}"),
        (b"PK\x03\x04", "is truncated or damaged; copy or download"),
        (saved(WEIGHTS)[:700], "is truncated or damaged; copy or download"),
        (saved(WEIGHTS)[:-1], "is truncated or damaged; copy or download"),
        (
            saved(WEIGHTS, zipped=False)[:20],
            f"is truncated or damaged, or torch.save did not write it; copy .*, or {SAVE}",
        ),
        (
            saved(WEIGHTS, zipped=False)[:300],
            f"is truncated or damaged, or torch.save did not write it; copy .*, or {SAVE}",
        ),
        (saved(WEIGHTS, zipped=False)[:-8], "is truncated or damaged, or"),
        (other_zip(), f"is a zip file that torch.save did not write; {SAVE}"),
        (scripted(), f"is a TorchScript model; {SAVE}"),
        (saved(nn.Linear(2, 2)), rf"holds Python objects \(torch\.nn\.modules\.linear\.Linear\), a whole .*; {SAVE}"),
        (saved(nn.Linear(2, 2), zipped=False), r"holds Python objects \(torch\.nn\.modules\.linear\.Linear\)"),
        (saved({"args": Namespace(lr=1), "model": WEIGHTS}), r"holds Python objects \(argparse\.Namespace\)"),
        (saved({"model": nn.Linear(2, 2)}), r"holds Python objects \(torch\.nn\.modules\.linear\.Linear\)"),
        (pickle.dumps(WEIGHTS), f"is truncated or damaged, or torch.save did not write it; .*{SAVE}"),
        (saved(torch.ones(3)), f"holds a tensor in place of a state dict; {SAVE}"),
        (saved(nn.Parameter(torch.ones(3))), "holds a tensor in place of a state dict"),
        (saved([torch.ones(3)]), "holds a list in place of a state dict"),
        (saved((1, 2)), "holds a tuple in place of a state dict"),
        (saved("weights"), "holds str in place of a state dict"),
        (saved(None), "holds NoneType in place of a state dict"),
        (saved({}), r"holds a dictionary without a state dict \(its entries: none\)"),
        (saved({"epoch": 3, "lr": 0.1}), r"holds a dictionary without a state dict \(its entries: epoch, lr\)"),
        (saved({0: torch.ones(2)}), r"holds a dictionary without a state dict \(its entries: 0\)"),
        (saved({"optimizer": OPTIMIZER}), r"holds a dictionary without a state dict \(its entries: optimizer\)"),
        (
            saved({"model": WEIGHTS, "model_ema": OTHER}),
            r"holds several state dicts \(model, model_ema\); save the right one alone, .*\['model'\]",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_every_other_file_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=rf"^weights: {path} {says}") as raised:
        read_weights(path)
    assert "\n" not in str(raised.value)


def test_real_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.warns(FutureWarning, match="torch.jit"):
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(SpecError, match=f"is a TorchScript model; {SAVE}"):
        read_weights(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(SpecError, match=rf"^weights: {path} cannot be read \(.*\); correct weights\.file"):
            read_weights(path)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize(
    "write",
    [
        lambda malicious, path: path.write_bytes(pickle.dumps(malicious)),
        lambda malicious, path: path.write_bytes(pickle.dumps(malicious, protocol=0)),
        lambda malicious, path: torch.save(malicious, path),
        lambda malicious, path: torch.save(malicious, path, _use_new_zipfile_serialization=False),
        lambda malicious, path: torch.save({"state_dict": WEIGHTS, "extra": malicious}, path),
        lambda malicious, path: torch.save(WEIGHTS | {"fc.bias": malicious}, path),
    ],
)
# Users set this for other programs; it must not open a door here.
@pytest.mark.parametrize("forced", ["0", "1"])
def test_nothing_is_ever_unpickled(
    write: Callable[[Malicious, Path], object], forced: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    path, sign = tmp_path / "weights.pth", tmp_path / "executed"
    write(Malicious(sign), path)
    with pytest.raises(SpecError, match=f"^weights: {path} (holds Python objects|is truncated or damaged, or)"):
        read_weights(path)
    assert not sign.exists()
    # The file would indeed do harm.
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert sign.exists()
