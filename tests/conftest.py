"""What several rooms' tests share: real pictures, and the default model packed once."""

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from presence import present
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.classifier import Classifier
from whybox_server.packing.pack import pack_model

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in a worker: sums over another number of threads round differently.

    On a busy machine several threads also wait for each other most of the time, and packing takes minutes.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pictures() -> dict[Path, int]:
    """The 20 real ImageNet pictures of the foolbox package, and the class that ImageNet gives each."""
    origin = present(present(importlib.util.find_spec("foolbox")).origin)
    paths = sorted(Path(origin).parent.glob("data/imagenet_*.jpg"))
    assert len(paths) == 20
    return {path: int(path.stem.split("_")[2]) for path in paths}


@pytest.fixture(scope="session")
def dalmatian(pictures: dict[Path, int]) -> bytes:
    """One of them, encoded; class 251."""
    return next(path for path, label in pictures.items() if label == 251).read_bytes()


@pytest.fixture(scope="session")
def spec_path() -> Path:
    return REPOSITORY / "model_store" / "efficientnet-lite0.yaml"


@pytest.fixture(scope="session")
def archive(spec_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, packed once, also if several processes run the tests."""
    temporary = tmp_path_factory.getbasetemp()
    # The folder of a process of pytest-xdist lies in the folder of the run.
    of_this_run = temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary
    with FileLock(of_this_run / "packing.lock"):
        return pack_model(spec_path, of_this_run / "packed", lambda _: None).archive


@pytest.fixture(scope="session")
def classifier(archive: Path) -> Classifier:
    return load_archive(archive)
