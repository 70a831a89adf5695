"""What the rooms of the handlers share in their tests.

Whole objects come from here as fixtures, made once for all modules: the packed `classifier` (from tests/conftest.py),
`lite0`, and the real pictures as that model sees them. What a test varies is a function or a class in a helper module:

* `architectures`: small networks with random weights, and `classifier_of` any of them;
* `linear`: a linear model whose boundary is known, and `Watched`, a serving network that a test can change;
* `explaining`: `subject_of` a picture, and asking an explainer or an attack;
* `clocks`: a clock that a test turns, and networks that turn it.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from explaining import served
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.pictures.decoding import decode, preprocess


@pytest.fixture(scope="session")
def lite0(spec_path: Path) -> Classifier:
    """The default model with its real weights, without the checks of packing: torch computes its gradients."""
    return served(spec_path)


@pytest.fixture(scope="session")
def all_views(pictures: dict[Path, int]) -> Tensor:
    """[20, 3, 224, 224]: the real pictures as the default model sees them, in the order of `pictures`."""
    return torch.stack([preprocess(decode(path.read_bytes()), 256, 224)[0] for path in pictures])


@pytest.fixture(scope="session")
def view(dalmatian: bytes) -> Tensor:
    """[3, 224, 224]: the dalmatian as the default model sees it."""
    return preprocess(decode(dalmatian), 256, 224)[0]
