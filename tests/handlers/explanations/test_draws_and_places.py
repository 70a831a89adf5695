"""Where random and adaptive methods look: the coalitions that Kernel SHAP draws, the places of integrated gradients."""

from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from explaining import explained, question_of
from linear import linear, picture
from whybox_handlers.explanations.explainers.integrated_gradients import _places
from whybox_handlers.explanations.explainers.kernel_shap import _drawn

DRAWS = 4000


@pytest.mark.parametrize("pieces", [2, 3, 6, 25])
def test_sizes_of_coalitions_follow_the_shapley_kernel(pieces: int) -> None:
    """All coalitions of a size together have the weight (M - 1) / (s (M - s))."""
    coalitions = torch.stack(list(islice(_drawn(pieces, torch.Generator().manual_seed(0)), DRAWS)))
    sizes = Counter(coalitions.sum(dim=1).tolist())
    weights = {size: 1 / (size * (pieces - size)) for size in range(1, pieces)}
    assert set(sizes) <= set(weights)
    for size, weight in weights.items():
        share = weight / sum(weights.values())
        # Five standard deviations of a count.
        assert abs(sizes[size] / DRAWS - share) <= 5 * (share * (1 - share) / DRAWS) ** 0.5
    # Every piece is in half of them.
    assert float((coalitions.double().mean(dim=0) - 0.5).abs().max()) <= 5 * 0.5 / DRAWS**0.5


def test_the_first_look_is_at_equal_distances_from_the_baseline_on() -> None:
    shown = picture()
    classifier, watched = linear(0.01, shown)
    question = question_of(classifier, shown, 0)
    seen: list[Tensor] = []

    def note(pictures: Tensor, logits: Tensor) -> Tensor:
        seen.append(pictures)
        return logits

    watched.meanwhile = note
    explained(classifier, "integrated_gradients", question)
    fractions = torch.arange(4)[:, None, None, None] / 4
    torch.testing.assert_close(torch.cat(seen), fractions * shown)


@pytest.mark.parametrize(
    "objectives",
    [[0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [0, 0, 8, 8, 8], [0, 5, 0, 5, 0], [3, 3, 3, 3, -4]],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_places_share_length_and_changes_equally(objectives: list[float], count: int) -> None:
    ends = [*_places(objectives, count), 1.0]
    changes = np.abs(np.diff(objectives))
    total = changes.sum()

    def mass(place: float) -> float:
        """Half for the length up to here, half for the changes, which are even within each part."""
        parts = np.clip(place * len(changes) - np.arange(len(changes)), 0, 1)
        return place if not total else (place + float(parts @ changes) / total) / 2

    shares = [mass(right) - mass(left) for left, right in pairwise(ends)]
    assert shares == pytest.approx([1 / count] * count)
