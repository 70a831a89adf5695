"""Notes on an answer in words: those that were noted, below the part that they rest on."""

from typing import Any

import pytest

from presence import present
from whybox import Observation, v1
from whybox._messages.reading import read_analysis
from whybox._words.explanations import explanation_lines
from whybox._words.robustness import robustness_lines

NOTED = v1.Observation(
    kind="criticism_like", state="noted", message="it flips easily", value=0.5, threshold=0.6, n=50, audit_id="a1"
)
OTHERS = [
    v1.Observation(kind="decides_by_border", state="not_noted", message="5 %", value=0.05, threshold=0.7),
    v1.Observation(kind="label_ambiguous", state="not_measured", message="too few pictures"),
]
PARTS: dict[str, dict[str, Any]] = {
    "a map": {"explanations": [v1.Explanation(heat_map=b"PNG", observations=[NOTED, *OTHERS])]},
    "examples": {"explanations": [v1.Explanation(examples=v1.Examples(), observations=[*OTHERS, NOTED])]},
    "a distance": {"robustness": v1.Robustness(distances=[v1.Distance(observations=[NOTED, *OTHERS])])},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_what_was_noted_is_said_below_its_part(parts: dict[str, Any]) -> None:
    analysis = read_analysis(v1.AnalyzeResponse(**parts), b"")
    if analysis.explanations:
        _, line = explanation_lines(analysis.explanations[0])
    else:
        _, line = robustness_lines(present(analysis.robustness))
    assert (line.text, line.tone, line.depth) == ("criticism like: it flips easily", "doubtful", 1)


def test_the_values_have_all_of_them() -> None:
    [explanation] = read_analysis(v1.AnalyzeResponse(**PARTS["a map"]), b"").explanations
    noted, calm, unknown = explanation.observations
    assert noted == Observation("criticism_like", "noted", "it flips easily", 0.5, 0.6, 50, "a1")
    assert calm == Observation("decides_by_border", "not_noted", "5 %", 0.05, 0.7, None, "")
    assert unknown == Observation("label_ambiguous", "not_measured", "too few pictures", None, None, None, "")
