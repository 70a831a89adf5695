"""How alike maps are: against scikit-image, and where the answer is known."""

import math

import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from whybox_handlers.explanations.maps.similarity import map_similarity, top_overlap


def random_map(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(7, 7), (20, 30), (3, 24, 24)])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, ...]) -> None:
    maps = [random_map(*shape, seed=seed) for seed in (0, 1)]
    flat = [values.sum(dim=0) if values.dim() == 3 else values for values in maps]
    scaled = [(values / values.abs().max()).double().numpy() for values in flat]
    lowest = min(values.min() for values in scaled)
    expected = structural_similarity(*(values - lowest for values in scaled), data_range=1 - lowest)
    found = map_similarity(*maps)
    assert found.ssim == pytest.approx(expected, abs=1e-6)
    assert abs(found.ssim) < 0.5


@pytest.mark.parametrize("sides", [(1, 1), (1, 9), (2, 2), (3, 5), (6, 6), (7, 7), (8, 20)])
def test_maps_of_any_size(sides: tuple[int, int]) -> None:
    values = random_map(*sides)
    same, scaled, negated = (map_similarity(values, other) for other in (values, 3 * values, -values))
    orders = float(values.numel() > 1)
    for found in (same, scaled):
        assert found.ssim == pytest.approx(1, abs=1e-6)
        assert found.top_overlap == 1
        assert found.rank_correlation == pytest.approx(orders)
    assert negated.ssim < (0 if orders else 0.01)
    assert negated.rank_correlation == pytest.approx(-orders)


def test_cells_of_small_maps_are_repeated() -> None:
    one, other = random_map(4, 4), random_map(4, 4, seed=1)
    enlarged = [values.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1) for values in (one, other)]
    assert map_similarity(one, other).ssim == pytest.approx(map_similarity(*enlarged).ssim, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_a_map_with_one_value_orders_nothing(value: float) -> None:
    constant, other = torch.full((9, 9), value), random_map(9, 9)
    same = map_similarity(constant, constant)
    assert same.ssim == pytest.approx(1)
    assert (same.top_overlap, same.rank_correlation) == (1, 0)
    assert map_similarity(constant, other).rank_correlation == 0
    # Of equal values the first count as the largest.
    assert top_overlap(constant, torch.arange(81.0).flip(0).view(9, 9)) == 1
    assert top_overlap(constant, torch.arange(81.0).view(9, 9)) == 0


@pytest.mark.parametrize("shape", [(10, 10), (7, 9)])
def test_top_overlap_is_a_share_of_the_largest(shape: tuple[int, int]) -> None:
    one, other = random_map(*shape), random_map(*shape, seed=1)
    count = math.ceil(0.05 * one.numel())
    tops = [set(values.flatten().topk(count).indices.tolist()) for values in (one, other)]
    assert top_overlap(one, other) == len(tops[0] & tops[1]) / count
