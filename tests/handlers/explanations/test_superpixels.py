"""Superpixels: connected, numbered, and enough of them on pictures of every kind and size."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.measure import label
from torch import Tensor

from architectures import classifier_of, network_of
from explaining import explained, question_of
from whybox_handlers.explanations import superpixels
from whybox_handlers.explanations.superpixels import segments_of
from whybox_handlers.pictures.decoding import decode, preprocess

SIDES = (16, 32, 64, 224)
PIECES = (2, 6, 25, 60)


def noise(side: int, *, binary: bool = False) -> Tensor:
    drawn = torch.rand(3, side, side, generator=torch.Generator().manual_seed(side))
    return (drawn[:1] > 0.5).float().expand(3, -1, -1) if binary else drawn


def stripes(side: int) -> Tensor:
    return (torch.arange(side) % 2).float().expand(3, side, side)


def gradient(side: int) -> Tensor:
    return torch.linspace(0, 1, side).expand(3, side, side)


def dot(side: int) -> Tensor:
    picture = torch.zeros(3, side, side)
    picture[:, side // 2, side // 2] = 1
    return picture


SYNTHETIC = {
    "black": lambda side: torch.zeros(3, side, side),
    "dark": lambda side: torch.full((3, side, side), 1e-3),
    "a dot": dot,
    "a gradient": gradient,
    "stripes of a pixel": stripes,
    "noise": noise,
    "black and white noise": lambda side: noise(side, binary=True),
}


def check(picture: Tensor, pieces: int) -> None:
    """The pieces are numbered without gaps, connected, at most as many as asked for, and at least half as many."""
    found = segments_of(picture, pieces)
    labels = found.labels
    assert labels.shape == picture.shape[1:]
    assert labels.unique().tolist() == list(range(found.count))
    assert pieces / 2 <= found.count <= pieces
    assert label(labels.numpy() + 1, connectivity=1).max() == found.count


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", SYNTHETIC)
def test_no_picture_defeats_them(name: str, side: int) -> None:
    for pieces in PIECES:
        check(SYNTHETIC[name](side), pieces)


@pytest.mark.parametrize("side", SIDES)
def test_real_pictures(pictures: dict[Path, int], side: int) -> None:
    for path in pictures:
        seen, _ = preprocess(decode(path.read_bytes()), side, side)
        for pieces in (25, 60):
            check(seen, pieces)
            if side >= 64:
                assert segments_of(seen, pieces).method == "slic"


@pytest.mark.parametrize("side", [32, 64, 224])
def test_pictures_of_many_kinds(side: int) -> None:
    if not (data := os.environ.get("WHYBOX_DATA")):
        pytest.skip("WHYBOX_DATA does not name the folder with the pictures")
    paths = sorted((Path(data) / "cc-by").iterdir())
    for path in paths[:: len(paths) // 50][:50]:
        seen, _ = preprocess(decode(path.read_bytes()), side, side)
        for pieces in (25, 60) if side < 224 else (25,):
            check(seen, pieces)


@pytest.mark.parametrize("size", [(16, 16), (7, 30), (64, 48), (1, 9), (2, 2)])
@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 25, 60])
def test_a_grid_where_slic_finds_one_piece(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], pieces: int) -> None:
    monkeypatch.setattr(superpixels, "slic", lambda image, **_: np.zeros(image.shape[:2], int))
    found = segments_of(torch.rand(3, *size), pieces)
    wanted = min(pieces, size[0] * size[1])
    assert wanted / 2 <= found.count <= wanted
    assert found.labels.unique().tolist() == list(range(found.count))
    assert found.method == ("slic" if pieces <= 2 else "grid")
    areas = found.labels.flatten().bincount()
    assert areas.max() <= 4 * areas.min()


def test_pieces_too_many_are_merged_by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen squares of four colours, one in each corner."""
    places = torch.arange(16) // 4
    squares = places[:, None] * 4 + places
    corners = places[:, None] // 2 * 2 + places // 2
    monkeypatch.setattr(superpixels, "slic", lambda *_, **__: squares.numpy())
    found = segments_of((corners / 3).expand(3, -1, -1), 4)
    assert found.method == "slic"
    assert torch.equal(found.labels, corners)


def test_kernel_shap_is_never_flat_by_its_pieces(pictures: dict[Path, int]) -> None:
    """It tells the halves of a picture apart, and says how it cut the picture."""
    torch.manual_seed(0)
    classifier = classifier_of(network_of(torch.nn.Flatten(1), torch.nn.Linear(3 * 64 * 64, 4)))
    real = preprocess(decode(next(iter(pictures)).read_bytes()), 64, 64)[0]
    for picture, segmentation in ((real, "slic"), (noise(64), "grid")):
        for evaluations in (64, 1000):
            found = explained(classifier, "kernel_shap", question_of(classifier, picture, 1), evaluations)
            assert len(found.values.unique()) >= 3
            assert found.segmentation == segmentation
