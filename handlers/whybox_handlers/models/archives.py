"""From a .mar file to the classifier in it."""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from whybox_handlers.models.classifier import Classifier


def load_archive(archive: Path, device: torch.device | str = "cpu") -> Classifier:
    """The classifier in a .mar file, as a worker would load it.

    Args:
        archive: The file, for example from `whybox-server pack`.
        device: Where torch computes, for example "cpu" or "cuda".

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: The file is not an archive.
        ValueError: A file in the archive is not the one that was packed.
    """
    with TemporaryDirectory() as folder, zipfile.ZipFile(archive) as content:
        content.extractall(folder)
        return Classifier.load(Path(folder), device)
