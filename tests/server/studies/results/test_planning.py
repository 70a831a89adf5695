import dataclasses

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from whybox_server.studies.commands.planning import plan as plan_command
from whybox_server.studies.creation.cells import DEFAULT, registered
from whybox_server.studies.creation.cost import SECONDS
from whybox_server.studies.results.compute import Design, compute
from whybox_server.studies.results.planning import REAL, Components, Workload, components, plan
from whybox_server.studies.results.votes import CORRECT, ERROR, NO, YES, Questions, Votes


def crowd(pictures: int, people: int, leaning_sd: float, seed: int) -> Votes:
    """Pictures of all clarities; five of the people answer each. Leanings add to the chance of yes."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 1.0, pictures)
    leaning = rng.normal(0, leaning_sd, people)
    question = np.repeat(np.arange(pictures), 5)
    annotator = np.concatenate([rng.permutation(people)[:5] for _ in range(pictures)])
    value = np.where(rng.random(len(question)) < p[question] + leaning[annotator], YES, NO).astype(np.int8)
    return Votes(
        question,
        annotator,
        value,
        Questions(
            np.arange(pictures),
            np.zeros(pictures, np.int64),
            np.zeros(pictures, np.int8),
            np.ones(pictures),
            tuple(map(str, range(pictures))),
            ("none/clean/model",),
        ),
    )


def test_the_planned_width_is_the_width_that_comes() -> None:
    """Components of one study plan another: its pictures are half errors, half correct."""
    of = components(crowd(4000, 40, 0.1, 1), "accepted")
    planned = plan(0.5, half_width=0.04, workload=Workload(pictures_per_annotator=50), of=of)
    votes = crowd(planned.pictures, planned.annotators, 0.1, 2)
    stratum = np.where(np.arange(planned.pictures) < planned.errors, ERROR, CORRECT).astype(np.int8)
    votes = dataclasses.replace(votes, questions=dataclasses.replace(votes.questions, stratum=stratum))
    rectified = compute(votes, Design(1, 1), seed=1, redraws=2000).cells[0].rectified
    assert rectified is not None
    assert (rectified.high - rectified.low) / 2 == pytest.approx(planned.half_width, rel=0.15)
    assert planned.half_width <= 0.04


def test_components_are_those_of_the_crowd() -> None:
    """All variance of a majority of five is between pictures or between votes; leanings make annotators differ."""
    equal, unequal = (components(crowd(4000, 40, sd, 3), "accepted") for sd in (0.0, 0.15))
    assert equal.annotator < 0.2 * unequal.annotator
    votes = crowd(4000, 40, 0.0, 3)
    mean = (np.bincount(votes.question, votes.value == YES) >= 3).mean()
    assert equal.picture + equal.votes == pytest.approx(mean * (1 - mean), rel=0.01)


@pytest.mark.parametrize(
    "asked",
    [
        {"half_width": 0.05},
        {"difference": 0.1},
        {"half_width": 0.05, "difference": 0.05, "contrasts": 9},
    ],
)
def test_it_is_the_smallest_study_that_suffices(asked: dict[str, float]) -> None:
    workload = Workload(cells=6)
    found = plan(0.3, **asked, workload=workload)  # type: ignore[arg-type]
    assert found.half_width <= asked.get("half_width", 1)
    assert found.detectable is not None
    assert found.detectable <= asked.get("difference", 1)
    assert found.errors + found.correct == found.pictures
    assert found.answers == found.pictures * 30
    assert found.annotators >= max(30, found.answers / 60)
    assert found.hours == pytest.approx(found.answers * 6 / 3600 + found.annotators * 3 / 60)
    tighter = plan(0.3, **{key: value * (0.98 if value < 1 else 1) for key, value in asked.items()}, workload=workload)  # type: ignore[arg-type]
    assert tighter.pictures > found.pictures


def test_a_difference_has_its_closed_form() -> None:
    """Equal arms that share nothing, and a crowd of equals: two independent means of the strata's halves."""
    found = plan(0.5, difference=0.1, alike=0.0, power=0.8, workload=Workload(cells=2), of=Components(0.15, 0.05, 0.0))
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * np.sqrt(2 * 0.2 / found.pictures), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half_width": None}, "give half_width, difference, or both"),
        ({"half_width": 0.0}, "half_width is not above 0"),
        ({"half_width": 1e-9}, "1,000,000 pictures do not suffice"),
        ({"error": 1.0}, "error is not between 0 and 1"),
        ({"share_errors": 0.0}, "share_errors is not between 0 and 1"),
        ({"power": 1.0}, "power is not between 0 and 1"),
        ({"alike": 1.5}, "alike is not from 0 to 1"),
        ({"contrasts": 0}, "contrasts is below 1"),
        ({"difference": 0.1}, "needs two cells or more"),
        ({"difference": float("nan")}, "difference is not above 0"),
    ],
)
def test_bad_numbers_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**{"error": 0.3, "half_width": 0.05, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "workload", [{"cells": 0}, {"votes": 4}, {"pictures_per_annotator": 0}, {"seconds": 0.0}, {"minutes": -1.0}]
)
def test_work_has_its_bounds(workload: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(workload))):
        Workload(**workload)  # type: ignore[arg-type]


def test_the_command() -> None:
    app = typer.Typer()
    app.command()(plan_command)
    result = CliRunner().invoke(app, ["--error", "0.3", "--half-width", "0.04", "--difference", "0.1"])
    # The default study registers the difference between both versions of each pair of arms, too.
    contrasts = len(registered(DEFAULT)) * 3 // 2
    workload = Workload(cells=len(DEFAULT), seconds=SECONDS)
    found = plan(0.3, half_width=0.04, difference=0.1, contrasts=contrasts, workload=workload, of=REAL)
    assert result.exit_code == 0
    for shown in (f"{found.pictures:,} (", f"{found.annotators:,}", f"{found.answers:,}", f"{found.hours:,.1f}"):
        assert shown in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --half-width, --difference, or both"),
        (["--difference", "0"], "--difference is not above 0"),
        (["--half-width", "0.1", "--per-cell", "3"], "--per-cell is below 5"),
        (["--half-width", "0.1", "--per-annotator", "0"], "--per-annotator is below 1"),
        (["--half-width", "0.1", "--share-errors", "1"], "--share-errors is not between 0 and 1"),
        (["--half-width", "0.1", "--seconds", "nan"], "--seconds is not above 0"),
        (["--difference", "0.1", "--cells", "1"], "a difference between arms needs two cells or more"),
    ],
)
def test_the_command_names_its_options(options: list[str], message: str) -> None:
    app = typer.Typer()
    app.command()(plan_command)
    wrong = CliRunner().invoke(app, ["--error", "0.3", *options])
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith(f"error: {message}")
