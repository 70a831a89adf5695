"""Three small studies counted in plain Python, from the definitions, without any code of the module."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, permutations
from typing import Any

import pytest

from server.studies.answers import raw, vote
from studying import picture, protocol
from whybox_server.studies.protocol import Answer, Cell, Picture, Protocol
from whybox_server.studies.results.compute import compute
from whybox_server.studies.results.outcome import CellOutcome, Outcome
from whybox_server.studies.results.reading import columns
from whybox_server.studies.state import RawVote

NONE = Cell(arm="none", version="clean")
GIVEN = Cell(arm="none", version="clean", asked="given")
FEATURE = Cell(arm="feature", version="clean")
ANSWERS = {"y": Answer.YES, "n": Answer.NO, "m": Answer.MAYBE, "-": Answer.CANNOT_JUDGE}

Answers = dict[tuple[str, tuple[str, ...]], str]
"""What people said of a picture in the cells of an item, a letter each: the first is that of person 0."""


def drawn(name: str, stratum: str, chance: float, items: Sequence[Sequence[Cell]]) -> Picture:
    merged = [[cell.name for cell in cells] for cells in items]
    return picture(name, merged=merged).model_copy(update={"stratum": stratum, "inclusion_probability": chance})


def study(pictures: Sequence[Picture], cells: Sequence[Cell], errors: int, correct: int, **policy: Any) -> Protocol:
    made = protocol(pictures, cells=cells, **policy)
    return made.model_copy(update={"source": made.source.model_copy(update={"errors": errors, "correct": correct})})


def items_of(answers: Answers) -> list[RawVote]:
    """Blanks are people who did not see the item."""
    return [
        vote(f"person{person}", name, *cells, answer=ANSWERS[letter], milliseconds=100 if letter == "n" else 1000)
        for (name, cells), letters in answers.items()
        for person, letter in enumerate(letters)
        if letter != " "
    ]


def fresh(letters: str, yes: str) -> float:
    """The majority of five, averaged over all choices of five votes."""
    chosen = list(combinations([letter in yes for letter in letters if letter in "ymn"], 5))
    return sum(sum(five) >= 3 for five in chosen) / len(chosen)


def weighted(pairs: Iterable[tuple[float, float]]) -> float:
    pairs = list(pairs)
    return sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)


def alpha(units: Iterable[str]) -> float:
    """Disagreement among pairs of a unit, over that among pairs of all values (Krippendorff 2011)."""
    units = [unit for unit in units if len(unit) >= 2]
    values = "".join(units)
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / len(values)
    expected = sum(a != b for a, b in permutations(values, 2)) / (len(values) * (len(values) - 1))
    return 1 - observed / expected


def cells_of(outcome: Outcome) -> dict[str, CellOutcome]:
    return {cell.cell: cell for cell in outcome.cells}


def test_merged_cells_weights_and_maybe() -> None:
    """The model's and the data set's label of a correct picture are one item, which counts in both cells."""
    apart, together = ((NONE,), (GIVEN,), (FEATURE,)), ((NONE, GIVEN), (FEATURE,))
    chances = {"e0": 1.0, "e1": 0.5, "c0": 0.25, "c1": 0.1}
    pictures = [drawn(name, "error", chances[name], apart) for name in ("e0", "e1")]
    pictures += [drawn(name, "correct", chances[name], together) for name in ("c0", "c1")]
    none, given, feature = NONE.name, GIVEN.name, FEATURE.name
    answers: Answers = {
        ("e0", (none,)): "yymnnn",
        ("e0", (given,)): "yyyyn ",
        ("e0", (feature,)): "yyynn ",
        ("e1", (none,)): "nnnny ",
        ("e1", (given,)): "ymmny ",
        ("e1", (feature,)): "ynynm ",
        ("c0", (none, given)): "yyyyy ",
        ("c0", (feature,)): "yyyyyn",
        ("c1", (none, given)): "nnmmn ",
        ("c1", (feature,)): "nyynyn",
    }
    contrasts = ((feature, none), (given, none))
    made = study(pictures, (NONE, GIVEN, FEATURE), 3, 9, contrasts=contrasts, answers=("yes", "no", "maybe"))
    votes, design = columns(raw(made, *items_of(answers)))
    outcome = compute(votes, design, seed=1, redraws=200)

    accepted: dict[str, dict[str, float]] = defaultdict(dict)
    for cell in (none, given, feature):
        of = {name: (1 / chances[name], fresh(said, "ym")) for (name, cells), said in answers.items() if cell in cells}
        accepted[cell] = {kind: weighted(pair for name, pair in of.items() if name[0] == kind) for kind in "ec"}
        found = cells_of(outcome)[cell]
        assert found.accepted_of_errors is not None
        assert found.rejected_of_correct is not None
        assert found.accepted_of_errors.estimate == pytest.approx(accepted[cell]["e"])
        assert found.rejected_of_correct.estimate == pytest.approx(1 - accepted[cell]["c"])
        assert found.accepted.estimate == pytest.approx((3 * accepted[cell]["e"] + 9 * accepted[cell]["c"]) / 12)
    rectified = cells_of(outcome)[none].rectified
    assert rectified is not None
    assert rectified.estimate == pytest.approx((3 * (1 - accepted[none]["e"]) + 9 * (1 - accepted[none]["c"])) / 12)

    # One vote is one vote, however many cells its item has.
    said = ["".join(letters.split()) for letters in answers.values()]
    overall = outcome.agreement[0]
    assert outcome.votes == overall.votes == sum(map(len, said))
    assert overall.alpha == pytest.approx(alpha(said))
    assert overall.alpha_no_against_rest == pytest.approx(alpha(one.replace("m", "y") for one in said))
    assert (outcome.speed.timed, outcome.speed.faster) == (sum(map(len, said)), sum(one.count("n") for one in said))
    of_given = [one for (_, cells), one in zip(answers, said, strict=True) if given in cells]
    assert next(row for row in outcome.agreement if row.cell == given).alpha == pytest.approx(alpha(of_given))

    registered = [one for one in outcome.contrasts if one.registered]
    assert [(one.plus[0], one.minus[0]) for one in registered] == list(contrasts)
    for one, (plus, minus) in zip(registered, contrasts, strict=True):
        difference = {kind: accepted[plus][kind] - accepted[minus][kind] for kind in "ec"}
        assert one.difference.estimate == pytest.approx((3 * difference["e"] + 9 * difference["c"]) / 12)
    # Holm: the smallest of two p-values counts twice, and the other is not below it.
    small, large = sorted(registered, key=lambda one: one.p)
    assert small.p_holm == pytest.approx(min(1, 2 * small.p))
    assert large.p_holm == pytest.approx(max(min(1, 2 * small.p), large.p))


def test_the_votes_of_merged_cells_count_once_in_the_hidden_classes() -> None:
    """Dawid and Skene see the same votes, whether or not a second cell repeats some of them."""
    said = {"c0": "yynyy", "c1": "nnyny", "c2": "ynyyn", "c3": "nynnn"}
    outcomes = []
    for cells in ((NONE,), (NONE, GIVEN)):
        pictures = [drawn(name, "correct", 1.0, (cells,)) for name in said]
        answers = {(name, tuple(cell.name for cell in cells)): letters for name, letters in said.items()}
        outcomes.append(compute(*columns(raw(study(pictures, cells, 0, 4), *items_of(answers))), seed=1, redraws=100))
    single, both = (outcome.dawid_skene for outcome in outcomes)
    assert single is not None
    assert both is not None
    assert both.iterations == single.iterations
    assert [cell.accepted for cell in both.cells] == [cell.accepted for cell in single.cells] * 2


def test_gold_exclusions() -> None:
    """Person 0 fails two gold pictures of the one allowed; without that person, the majority turns."""
    pictures = [drawn(name, "error", 1.0, ((NONE,),)) for name in ("e0", "e1")]
    pictures += [drawn(name, "correct", 1.0, ((NONE,),)) for name in ("c0", "c1")]
    answers: Answers = {(name, (NONE.name,)): said for name, said in zip(("e0", "e1", "c0", "c1"), _SAID, strict=True)}
    gold = [vote(f"person{who}", f"gold{number}", "gold", answer=Answer.NO) for who, number in ((0, 0), (0, 1), (1, 0))]
    made = study(pictures, (NONE,), 20, 80, gold=2, gold_failures_allowed=1)
    outcome = compute(*columns(raw(made, *items_of(answers), gold=gold)), seed=1, redraws=200)
    kept = [said[1:] for said in _SAID]
    share = [fresh(said, "y") for said in kept]
    (cell,) = outcome.cells
    assert cell.rectified is not None
    assert cell.rectified.estimate == pytest.approx(
        0.2 * (1 - (share[0] + share[1]) / 2) + 0.8 * (1 - sum(share[2:]) / 2)
    )
    assert (cell.majority_accepted_errors, cell.majority_rejected_correct) == (1, 1)
    assert (outcome.exclusions.annotators, outcome.exclusions.excluded, outcome.exclusions.answers_dropped) == (6, 1, 4)
    assert outcome.exclusions.failures == (4, 1, 1)
    assert outcome.agreement[0].alpha == pytest.approx(alpha(kept))


_SAID = ("nyyynn", "ynnyny", "yyyyyy", "nnnyyn")


def test_pictures_that_people_cannot_judge_and_a_stratum_that_nobody_was_asked_about() -> None:
    """No correct picture was drawn: in the clean cell all 60 count as accepted, and both bounds speak of them."""
    twin = Cell(arm="none", version="adversarial")
    pictures = [drawn(name, "error", 0.5, ((NONE,), (twin,))) for name in ("e0", "e1", "e2")]
    answers: Answers = {
        ("e0", (NONE.name,)): "-yyynn",
        ("e1", (NONE.name,)): "n-nynn",
        ("e2", (NONE.name,)): "-----",
        ("e0", (twin.name,)): "nnnnn",
        ("e1", (twin.name,)): "ynynyn",
        ("e2", (twin.name,)): "yyyyn-yy",
    }
    outcome = compute(*columns(raw(study(pictures, (NONE, twin), 40, 60), *items_of(answers))), seed=1, redraws=200)
    clean, adversarial = outcome.cells
    share = [fresh(answers[name, (NONE.name,)], "y") for name in ("e0", "e1")]
    assert clean.rectified is not None
    assert clean.rectified.estimate == pytest.approx(0.4 * (1 - sum(share) / 2))
    assert (1 - clean.accepted_at_most, 1 - clean.accepted_at_least) == pytest.approx(
        (clean.rectified.estimate, clean.rectified.estimate + 0.6)
    )
    assert (clean.questions, clean.without_votes, clean.cannot_judge, clean.votes) == (2, 1, 7, 10)
    # Nothing says what an unasked adversarial answer counts as: the share is of the errors that people saw attacked.
    shares = [fresh(said, "y") for (_, cells), said in answers.items() if cells == (twin.name,)]
    assert adversarial.accepted.estimate == pytest.approx(sum(shares) / 3)
    assert adversarial.accepted_at_least == adversarial.accepted_at_most == adversarial.accepted.estimate
    votes = ["".join(letter for letter in said if letter != "-") for said in answers.values()]
    assert outcome.agreement[0].alpha == pytest.approx(alpha(votes))
    assert outcome.votes == sum(map(len, votes))
