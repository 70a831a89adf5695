import numpy as np
import pytest
from PIL import Image

from presence import present
from whybox import Explanation, Regions, v1
from whybox._messages.reading import read_analysis


def explained(answer: v1.AnalyzeResponse, picture: bytes) -> tuple[Explanation, Regions]:
    explanation = read_analysis(answer, picture).explanations[1]
    return explanation, present(explanation.regions)


def test_the_box_is_that_of_the_mask(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    region = present(explained(answer, picture)[1].sufficient)
    assert region.found
    assert Image.fromarray(region.mask).getbbox() == region.box
    assert region.mask.mean() == region.area


@pytest.mark.parametrize("state", ["not_found", "not_held"])
def test_what_was_not_found_is_empty(answer: v1.AnalyzeResponse, picture: bytes, state: str) -> None:
    answer.explanations[1].regions.necessary.state = state
    explanation, regions = explained(answer, picture)
    region = present(regions.necessary)
    assert not region.found
    assert region.mask.shape == (0, 0)
    assert (region.target, region.predicted) == (None, None)
    with pytest.raises(ValueError, match=state):
        explanation.spotlight(region)


def test_the_spotlight_lies_over_the_view(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    explanation, regions = explained(answer, picture)
    region = present(regions.sufficient)
    assert explanation.spotlight(region).size == (43, 43)
    colours = np.ptp(np.asarray(explanation.spotlight(region, 120), int), axis=-1)
    assert colours[60:, :60].mean() > 20
    assert colours[:60].max() == colours[:, 60:].max() == 0
