"""What a study asks of people, by hand-made sums."""

import pytest

from whybox_server.studies.creation.cost import cost_of
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Policy


@pytest.mark.parametrize(
    ("items", "policy", "practice", "annotators", "answers", "people", "hours"),
    [
        # 20 pictures with 6 items of 5 answers; 600 answers by 20 pictures each are 30 people.
        ([6] * 20, Policy(), 0, None, 600, 30, 600 / 360),
        # 200 pictures: 1000 answers, 60 each.
        ([1] * 200, Policy(), 0, None, 1000, 17, 1000 / 360),
        # More people than needed: more practice.
        ([1] * 200, Policy(), 6, 100, 1000, 100, 1600 / 360),
        ([1] * 10, Policy(gold_per_annotator=2), 3, 10, 50, 10, 100 / 360),
        ([1] * 10, Policy(annotators_per_cell=7), 0, None, 70, 7, 70 / 360),
        # Merged cells ask less.
        ([1, 2], Policy(), 0, None, 15, 10, 15 / 360),
    ],
)
def test_answers_people_and_hours(
    items: list[int], policy: Policy, practice: int, annotators: int | None, answers: int, people: int, hours: float
) -> None:
    cost = cost_of(6, items, policy, practice, annotators, 10.0)
    assert (cost.pictures, cost.items, cost.answers) == (len(items), sum(items), answers)
    assert cost.annotators == people
    assert cost.hours == pytest.approx(hours)
    assert f"{answers} answers" in cost.sentence()


@pytest.mark.parametrize(
    ("items", "policy", "annotators", "words"),
    [
        ([6] * 20, Policy(), 29, "30 people are needed; find more people, or name fewer cells with --cell"),
        ([1] * 10, Policy(), 4, "5 people are needed"),
        ([1] * 200, Policy(), 16, "960 answers, and the study needs 1000; find 17 people, raise --per-annotator"),
        ([1] * 10, Policy(pictures_per_annotator=2), 24, "48 answers, and the study needs 50; find 25 people"),
    ],
)
def test_what_people_cannot_fill(items: list[int], policy: Policy, annotators: int, words: str) -> None:
    with pytest.raises(StudyError, match=f"--annotators {annotators} .*{words}"):
        cost_of(6, items, policy, 0, annotators, 8.0)
