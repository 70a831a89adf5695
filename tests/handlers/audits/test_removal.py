"""Pictures without a region, as the model sees them."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from whybox_handlers.audits.removal import Rectangle, Removal
from whybox_handlers.pictures.decoding import decode

WIDTH, HEIGHT = 40, 24
WHOLE = (0, 0, WIDTH, HEIGHT)
EDGES: list[tuple[Rectangle, ...]] = [
    ((8, 4, 16, 12),),
    ((0, 0, 4, 4),),
    ((36, 20, 40, 24),),
    ((39, 23, 40, 24),),
    ((2, 2, 10, 10), (6, 6, 14, 12)),
]


def noise(kind: torch.dtype = torch.uint8) -> Tensor:
    levels = torch.randint(256, (3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
    return levels.byte() if kind == torch.uint8 else levels.float() / 255


def inside(region: tuple[Rectangle, ...]) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for left, top, right, bottom in region:
        mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("how", ["blur", "fill"])
@pytest.mark.parametrize("region", [*EDGES, (WHOLE,)])
def test_the_region_alone_changes(region: tuple[Rectangle, ...], how: str, kind: torch.dtype) -> None:
    picture = noise(kind)
    before = picture.clone()
    changed = Removal(region, WHOLE, how)(picture)
    assert torch.equal(picture, before)
    assert (changed.dtype, changed.shape) == (picture.dtype, picture.shape)
    mask = inside(region)
    assert torch.equal(changed[:, ~mask], picture[:, ~mask])
    assert (changed[:, mask] != picture[:, mask]).any()
    if kind != torch.uint8:
        assert 0 <= changed.min() <= changed.max() <= 1


@pytest.mark.parametrize("region", EDGES)
def test_fill_is_the_mean_of_what_is_seen_beside_it(region: tuple[Rectangle, ...]) -> None:
    picture, seen = noise(), (4, 0, 36, 24)
    mask = inside(region)
    beside = inside((seen,)) & ~mask
    expected = picture[:, beside].double().mean(dim=1).round().byte()
    changed = Removal(region, seen, "fill")(picture)
    assert torch.equal(changed[:, mask], expected[:, None].expand(-1, int(mask.sum())))


def test_blur_takes_a_patch_away() -> None:
    """What is left of a white patch on black is at most the share of the Gaussian that lies in it: (2 x 0.19) ** 2."""
    picture = torch.zeros(3, 100, 100, dtype=torch.uint8)
    picture[:, 40:50, 40:50] = 255
    changed = Removal(((40, 40, 50, 50),), (0, 0, 100, 100), "blur")(picture)
    assert changed.max() < 0.17 * 255
    assert changed[:, 40:50, 40:50].min() > 0.08 * 255


def test_blur_keeps_one_colour() -> None:
    picture = torch.full((3, 30, 30), 77, dtype=torch.uint8)
    assert torch.equal(Removal(((0, 0, 12, 30),), (0, 0, 30, 30), "blur")(picture), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_picture(orientation: int) -> None:
    """A red patch at a known place of the upright picture is gone, however the file stores it."""
    upright = Image.new("RGB", (48, 32), "blue")
    upright.paste("red", (4, 2, 16, 10))
    # The inverse of what a viewer does with each orientation.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    stored.save(file, "PNG", exif=exif)
    picture = decode(file.getvalue())
    assert picture.shape == (3, 32, 48)
    changed = Removal(((4, 2, 16, 10),), (0, 0, 48, 32), "fill")(picture)
    assert torch.equal(changed, torch.tensor([0, 0, 255], dtype=torch.uint8)[:, None, None].expand(3, 32, 48))
    assert np.array(upright)[2, 4].tolist() == [255, 0, 0]
