"""The draw: its numbers, its probabilities, and what a seed keeps."""

import pytest

from whybox_server.studies.creation.sampling import Candidate, Sample, draw
from whybox_server.studies.errors import StudyError

WRONG, RIGHT = 20, 50


def candidate(number: int, *, wrong: bool) -> Candidate:
    return Candidate(f"{'w' if wrong else 'r'}{number:03}.jpg", "0" * 64, 1, 2 if wrong else 1, 0.5, "0" * 16)


CANDIDATES = [candidate(n, wrong=True) for n in range(WRONG)] + [candidate(n, wrong=False) for n in range(RIGHT)]


def files(sample: Sample, stratum: str) -> set[str]:
    return {each.candidate.file for each in sample.drawn if each.candidate.stratum == stratum}


@pytest.mark.parametrize(
    ("errors", "correct", "wrong", "right"),
    [
        (None, 0.0, 20, 0),
        (None, 1.0, 20, 50),
        (5, 0.1, 5, 5),
        # At least one of a share that is not 0.
        (1, 0.001, 1, 1),
        (20, 0.5, 20, 25),
    ],
)
def test_numbers_and_probabilities(errors: int | None, correct: float, wrong: int, right: int) -> None:
    sample = draw(CANDIDATES, errors, correct, 3)
    assert (sample.errors, sample.correct) == (WRONG, RIGHT)
    assert (len(files(sample, "error")), len(files(sample, "correct"))) == (wrong, right)
    probabilities = {"error": wrong / WRONG, "correct": right / RIGHT}
    for each in sample.drawn:
        assert each.inclusion_probability == probabilities[each.candidate.stratum]
    # The drawn pictures stand for all: their weights add up to the numbers of the strata.
    for stratum, number in (("error", WRONG), ("correct", RIGHT)):
        weights = [1 / each.inclusion_probability for each in sample.drawn if each.candidate.stratum == stratum]
        assert not weights or sum(weights) == pytest.approx(number)


def test_a_seed_draws_the_same_whatever_the_order_and_a_larger_draw_keeps_a_smaller_one() -> None:
    small, large = draw(CANDIDATES, 5, 0.1, 7), draw(CANDIDATES[::-1], 9, 0.3, 7)
    assert small == draw(CANDIDATES[::-1], 5, 0.1, 7)
    for stratum in ("error", "correct"):
        assert files(small, stratum) < files(large, stratum)
    assert files(small, "error") != files(draw(CANDIDATES, 5, 0.1, 8), "error")


def test_each_picture_is_drawn_as_often_as_its_probability_says() -> None:
    draws = 2000
    times = dict.fromkeys((each.file for each in CANDIDATES), 0)
    for seed in range(draws):
        for each in draw(CANDIDATES, 5, 0.2, seed).drawn:
            times[each.candidate.file] += 1
    for picture in CANDIDATES:
        probability = 5 / WRONG if picture.stratum == "error" else 0.2
        # Five standard deviations of a binomial.
        assert abs(times[picture.file] - draws * probability) < 5 * (draws * probability * (1 - probability)) ** 0.5


@pytest.mark.parametrize(
    ("candidates", "errors", "words"),
    [
        (CANDIDATES[WRONG:], None, "the model answers all 50 pictures rightly"),
        (CANDIDATES, 21, "--errors 21 are more than the 20 misclassified pictures"),
    ],
)
def test_what_cannot_be_drawn(candidates: list[Candidate], errors: int | None, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        draw(candidates, errors, 0.1, 0)
