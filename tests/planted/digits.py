"""Real digits of two classes, cues that can be stamped on them, and small networks that learned to rely on a cue."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.networks import Network
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_server.audits.criticism.pictures import Booleans, Integers

LABELS = ("0 to 4", "5 to 9")
"""The classes: digits, merged."""

SIDE = 16
"""Pixels. Each of the 8 x 8 of a digit becomes 2 x 2, because Whybox takes no smaller pictures."""

_MEAN, _STD = [0.3, 0.3, 0.3], [0.35, 0.35, 0.35]
_EPOCHS, _BATCH = 30, 64


@dataclass(frozen=True)
class Digits:
    """Pictures, N of them.

    Attributes:
        pictures: [N, 3, SIDE, SIDE] in [0, 1], white on black.
        labels: [N], 0 or 1, the index in `LABELS`.
    """

    pictures: Tensor
    labels: Integers

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: Integers) -> "Digits":
        """The pictures of some rows, in their order."""
        return Digits(self.pictures[torch.from_numpy(rows)], self.labels[rows])


def halves(seed: int) -> tuple[Digits, Digits]:
    """The pictures of scikit-learn, divided at random: one half trains, the other is held back for the audit."""
    loaded = load_digits()
    grey = torch.from_numpy(loaded.images / 16).float()
    pictures = nn.functional.interpolate(grey[:, None], size=SIDE).expand(-1, 3, -1, -1)
    digits = Digits(pictures, (loaded.target >= 5).astype(np.int64))
    order = np.random.default_rng(seed).permutation(len(digits))
    middle = len(order) // 2
    return digits.only(order[:middle]), digits.only(order[middle:])


def _colour(pictures: Tensor) -> Tensor:
    """The strokes become reddish."""
    return pictures * torch.tensor([1.0, 0.75, 0.75]).view(3, 1, 1)


def _patch(pictures: Tensor) -> Tensor:
    """A grey square of 4 x 4 pixels in the corner at the top left."""
    stamped = pictures.clone()
    stamped[:, :, :4, :4] = torch.maximum(stamped[:, :, :4, :4], torch.tensor(0.4))
    return stamped


def _background(pictures: Tensor) -> Tensor:
    """What is darker than dark grey becomes dark grey."""
    return pictures.clamp_min(0.2)


CUES: Mapping[str, Callable[[Tensor], Tensor]] = {"colour": _colour, "patch": _patch, "background": _background}
"""By name: stamps a cue on pictures [N, 3, SIDE, SIDE]."""


def stamp(pictures: Tensor, cue: str, having: Booleans) -> Tensor:
    """The pictures, those of `having`, [N], with the cue."""
    return torch.where(torch.from_numpy(having).view(-1, 1, 1, 1), CUES[cue](pictures), pictures)


def correlated(labels: Integers, correlation: float, generator: np.random.Generator) -> Booleans:
    """[N], which pictures get a cue whose correlation (phi) with the class is `correlation`, 0 to 1.

    Half of all pictures get it in expectation: a share of (1 + correlation) / 2 of class 1, and as many of class 0
    do not.
    """
    return generator.random(len(labels)) < (1 + correlation * (2 * labels - 1)) / 2


def trained(training: Digits, cue: str, correlation: float, seed: int) -> Classifier:
    """A small network that was trained on pictures with a cue, ready for the measuring code of audits.

    Args:
        training: The pictures without the cue.
        cue: One of `CUES`.
        correlation: Correlation of the cue with the class, 0 to 1.
        seed: Seed of the weights, of the order of the pictures, and of the cue.
    """
    having = correlated(training.labels, correlation, np.random.default_rng(seed))
    pictures = stamp(training.pictures, cue, having)
    labels = torch.from_numpy(training.labels)
    generator = torch.Generator().manual_seed(seed)
    # The weights' initial values come from torch's own generator.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        features = nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU()
        )
        head = nn.Sequential(nn.Flatten(1), nn.Linear(32 * (SIDE // 4) ** 2, len(LABELS)))
    network = Differentiable(Network(features, head, lambda _: None), _MEAN, _STD)
    network.requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(labels), generator=generator).split(_BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pictures[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval().requires_grad_(requires_grad=False)
    model = v1.Model(num_classes=len(LABELS), labels=LABELS)
    model.preprocessing.crop = model.preprocessing.resize = SIDE
    sizes = v1.BatchSizes(forward=_BATCH, gradient=_BATCH)
    return Classifier(model, network, TorchServing(network), torch.device("cpu"), sizes)


def encoded(picture: Tensor) -> bytes:
    """A picture [3, SIDE, SIDE] in [0, 1] as PNG, rounded to 8 bits."""
    values: npt.NDArray[np.uint8] = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()
