"""Weights as torch saves them: state dicts, alone or inside a checkpoint. Nothing in a file is ever executed."""

import re
import zipfile
from collections.abc import Mapping
from mmap import mmap
from pathlib import Path
from typing import IO, TypeGuard, cast

import torch
from torch import Tensor

from whybox_handlers.models.spec import SpecError

_SAVE = "save the weights alone, with torch.save(model.state_dict(), FILE)"
_AGAIN = "copy or download the file again"
# Beginnings of files that are often taken for weights, what they are, and what to do.
_OTHER_FORMATS = (
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    (b"\x89HDF", "an HDF5 file, as Keras writes", _SAVE),
    (b"\x93NUMPY", "a NumPy array", _SAVE),
    (b"\x1f\x8b", "compressed with gzip", "unpack it"),
)
# Wrappers put these before the names of all layers: DataParallel, torch.compile, and modules that hold the network.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
# What torch.optim.swa_utils.AveragedModel counts beside the network.
_COUNT = "n_averaged"


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file saved by torch, or from the checkpoint in it.

    A checkpoint is unpacked if exactly one of its entries is a state dict, of the model or of its moving average (EMA).
    Prefixes such as "module." are removed if all names have them.

    Args:
        path: The file.

    Raises:
        SpecError: The file is no such file; says what it is and what to do.
    """
    try:
        kind = _other_kind(path)
    except OSError as error:
        raise SpecError(f"weights: {path} cannot be read ({error.strerror}); correct weights.file") from error
    if kind is not None:
        what, remedy = kind
        raise SpecError(f"weights: {path} is {what}; {remedy}")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises more kinds of exceptions than it documents
        what, remedy = _unreadable(path, str(error))
        raise SpecError(f"weights: {path} {what}; {remedy}") from error
    try:
        return _without_prefixes(_state_dict(loaded))
    except ValueError as error:
        raise SpecError(f"weights: {path} holds {error}") from None


def weights_in(content: mmap) -> dict[str, Tensor]:
    """The state dict in a file that `read_weights` could read."""
    # A mapped file has all that torch asks of a file, also its place, which is at the end once it has been read.
    content.seek(0)
    loaded = torch.load(cast("IO[bytes]", content), map_location="cpu", weights_only=True)
    return _without_prefixes(_state_dict(loaded))


def _other_kind(path: Path) -> tuple[str, str] | None:
    """What a file is that torch did not save as weights, and what to do; None for a file that torch may read."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty", _AGAIN
    for signature, what, remedy in _OTHER_FORMATS:
        if start.startswith(signature):
            return what, remedy
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "an HTML or XML page", "download the file itself"
    # The length of the header in 8 bytes, then the header in JSON.
    if start[8:9] == b"{":
        return "a safetensors file", "save its tensors with torch.save(safetensors.torch.load_file(FILE), NEW_FILE)"
    if start.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return "truncated or damaged", _AGAIN
        return _other_archive(path)
    return None


def _other_archive(path: Path) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as content:
            names = [name.partition("/")[2] for name in content.namelist()]
    except zipfile.BadZipFile:
        return "truncated or damaged", _AGAIN
    if "constants.pkl" in names:
        return "a TorchScript model", _SAVE
    if "data.pkl" not in names:
        return "a zip file that torch.save did not write", _SAVE
    return None


def _unreadable(path: Path, words: str) -> tuple[str, str]:
    """What to say of a file that torch cannot load, by what torch says."""
    unsafe = re.search(r"GLOBAL ([\w.]*\w) (?:was not an allowed|whose module)", words)
    if unsafe:
        return f"holds Python objects ({unsafe[1]}), a whole pickled model perhaps, and none is unpickled", _SAVE
    if zipfile.is_zipfile(path):
        return "is damaged", _AGAIN
    return "is truncated or damaged, or torch.save did not write it", f"{_AGAIN}, or {_SAVE}"


def _state_dict(loaded: object) -> Mapping[str, Tensor]:
    """The one state dict in what torch loaded.

    Raises:
        ValueError: There is none, or several; says what there is and what to do.
    """
    if _is_state_dict(loaded):
        return loaded
    if not isinstance(loaded, Mapping):
        kinds = {Tensor: "a tensor", list: "a list", tuple: "a tuple", dict: "a dictionary"}
        what = next((words for kind, words in kinds.items() if isinstance(loaded, kind)), type(loaded).__name__)
        raise ValueError(f"{what} in place of a state dict; {_SAVE}")
    found = {str(name): entry for name, entry in loaded.items() if _is_state_dict(entry)}
    if len(found) == 1:
        [weights] = found.values()
        return weights
    if found:
        raise ValueError(
            f"several state dicts ({', '.join(found)}); save the right one alone, for example with "
            f"torch.save(torch.load(FILE)[{min(found)!r}], NEW_FILE)"
        )
    names = ", ".join(str(name) for name in list(loaded)[:5])
    raise ValueError(f"a dictionary without a state dict (its entries: {names or 'none'}); {_SAVE}")


def _is_state_dict(loaded: object) -> TypeGuard[Mapping[str, Tensor]]:
    if not isinstance(loaded, Mapping) or not loaded:
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items())


def _without_prefixes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = dict(weights)
    while True:
        named = [name for name in plain if name != _COUNT]
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in named)), "")
        if not prefix or not named:
            return plain
        plain = {name.removeprefix(prefix): plain[name] for name in named}
