from typing import Any

import numpy as np
import pytest

from presence import present
from whybox import Explanation, v1
from whybox._messages.models import read_model
from whybox._messages.pictures import encode
from whybox._messages.reading import read_analysis
from whybox._words import explanations as words

DOG = v1.ClassScore(index=251, label="dalmatian", probability=0.712)
POINTER = v1.ClassScore(index=178, label="pointer", probability=0.33)
MASK = encode(np.full((1, 1), 255, np.uint8))
SUFFICIENT = v1.Region(state="found", mask=MASK, segments=12, area=0.18, target=DOG, predicted=DOG)
NECESSARY = v1.Region(state="found", mask=MASK, segments=5, area=0.07, target=DOG, predicted=POINTER)
NOT_FOUND, NOT_HELD = v1.Region(state="not_found"), v1.Region(state="not_held")


def explained(**fields: Any) -> Explanation:
    # With regions, so that numbers may be absent.
    message = v1.Explanation(**{"method": "rise", "target_label": "dalmatian", "regions": v1.Regions(), **fields})
    [explanation] = read_analysis(v1.AnalyzeResponse(explanations=[message]), b"").explanations
    return explanation


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "rise: evidence for dalmatian; 0 gradients, 0 forward passes"),
        ({"signed": True}, "rise: evidence for dalmatian (and against it); 0 gradients, 0 forward passes"),
        (
            {"contrast_class": 178, "contrast_label": "pointer"},
            "rise: why dalmatian rather than pointer; 0 gradients, 0 forward passes",
        ),
        (
            {"stopped_by": "done", "forward_evaluations": 1},
            "rise: evidence for dalmatian; 0 gradients, 1 forward pass",
        ),
        (
            {"stopped_by": "evaluations", "residual": 0.071},
            "rise: evidence for dalmatian; stopped by evaluations at residual 7.1 %; 0 gradients, 0 forward passes",
        ),
        (
            {"stopped_by": "deadline"},
            "rise: evidence for dalmatian; stopped by deadline; 0 gradients, 0 forward passes",
        ),
        (
            {"stopped_by": "done", "residual": 0.5},
            "rise: evidence for dalmatian; residual 50.0 %; 0 gradients, 0 forward passes",
        ),
    ],
)
def test_explanations(fields: dict[str, Any], expected: str) -> None:
    assert words.explanation_words(explained(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reliable": True, "infidelity": 0.25}, "reliable (infidelity 0.25; 0 gradients, 0 forward passes)"),
        (
            {"reliable": True, "infidelity": 0.25, "uniform_infidelity": 0.7, "random_infidelity": 0.75},
            "reliable (infidelity 0.25 (random places 0.75); 0 gradients, 0 forward passes)",
        ),
        (
            {"reasons": ["one", "two"], "sensitivity": 0, "gradient_evaluations": 1},
            "not reliable: one; two (sensitivity 0.00; 1 gradient, 0 forward passes)",
        ),
        (
            {
                "reliable": True,
                "deletion": v1.Curve(auc=0.1, random_auc=0.4),
                "insertion": v1.Curve(auc=0.6, random_auc=0.3),
                "stability": v1.Stability(rank_correlation=0.9, top_overlap=0.75),
            },
            "reliable (deletion AUC 0.10 (random places 0.40); insertion AUC 0.60 (random places 0.30); "
            "8-bit noise: rank correlation 0.90, top overlap 75.0 %; 0 gradients, 0 forward passes)",
        ),
    ],
)
def test_quality(fields: dict[str, Any], expected: str) -> None:
    assert words.quality_words(present(explained(quality=v1.Quality(**fields)).quality)) == expected


@pytest.mark.parametrize(
    ("sufficient", "necessary", "expected"),
    [
        (
            SUFFICIENT,
            NECESSARY,
            "12 of 60 superpixels (18 % of the view) suffice: dalmatian 71.2 %; "
            "removing 5 superpixels (7 %) makes it pointer 33.0 %",
        ),
        (
            v1.Region(state="found", mask=MASK, segments=1, area=0.004, target=DOG, predicted=POINTER),
            NOT_FOUND,
            "1 of 60 superpixels (under 1 % of the view) suffices: dalmatian 71.2 %, behind pointer 33.0 %; "
            "no removal changes the answer: it holds for the baseline too",
        ),
        (
            NOT_FOUND,
            v1.Region(state="found", mask=MASK, segments=1, area=0.5, predicted=POINTER),
            "no sufficient set of superpixels was found; removing 1 superpixel (50 %) makes it pointer 33.0 %",
        ),
        (
            v1.Region(state="found", mask=MASK, target=DOG, predicted=DOG),
            NOT_FOUND,
            "no superpixel is needed: dalmatian 71.2 %; no removal changes the answer: it holds for the baseline too",
        ),
        (NOT_HELD, NOT_HELD, "no regions: the answer does not hold even for the whole picture"),
    ],
)
def test_regions(sufficient: v1.Region, necessary: v1.Region, expected: str) -> None:
    message = v1.Regions(sufficient=sufficient, necessary=necessary, segments=60)
    assert words.regions_words(present(explained(regions=message).regions)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"options": ["baseline"], "default_baseline": "black"}, ""),
        (
            {"options": ["max_evaluations"], "default_evaluations": 50, "evaluations": "gradient"},
            "up to 50 gradient evaluations",
        ),
        (
            {
                "options": ["max_evaluations", "tolerance"],
                "default_evaluations": 1000,
                "evaluations": "forward",
                "default_tolerance": 0.1,
            },
            "up to 1000 forward evaluations, tolerance 10.0 %",
        ),
    ],
)
def test_what_methods_spend(fields: dict[str, Any], expected: str) -> None:
    [method] = read_model(v1.Model(methods=[v1.Method(name="rise", **fields)])).methods
    assert words.evaluations_words(method) == expected
