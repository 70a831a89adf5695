from typing import Any

import pytest

from presence import present
from whybox import Certified, v1
from whybox._messages.reading import read_analysis
from whybox._words.certified import certified_words

BASIS = "the smoothed classifier (noise 0.25, 1000 samples, 99.9 % confidence)"
NOT_THE_MODEL = "the certificate is not about the model itself"


def certified(**fields: Any) -> Certified:
    common: dict[str, Any] = {
        "class_label": "dalmatian",
        "sigma": 0.25,
        "alpha": 0.001,
        "samples": 1000,
        "wanted_samples": 1000,
    }
    message = v1.AnalyzeResponse(certified=v1.Certified(**common | fields))
    return present(read_analysis(message, b"").certified)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"state": "certified", "radius": 0.124, "count": 750},
            f"{BASIS} answers dalmatian within an L2 change of 0.124 (31.6 in grey levels); {NOT_THE_MODEL}",
        ),
        (
            {"state": "certified", "radius": 0.5, "count": 300, "samples": 312, "stopped_by": "deadline"},
            "the smoothed classifier (noise 0.25, 312 samples, 99.9 % confidence) answers dalmatian within an L2 "
            f"change of 0.5 (128 in grey levels); {NOT_THE_MODEL}; "
            "the deadline came before all 1000 samples were drawn",
        ),
        (
            {"state": "abstained", "count": 480},
            f"{BASIS} abstains: no class was shown to win more than half of the votes (dalmatian: 480 of 1000); "
            "less noise may help",
        ),
        (
            {"state": "abstained", "samples": 0, "stopped_by": "deadline"},
            "the smoothed classifier (noise 0.25, 0 samples, 99.9 % confidence) abstains: no class was shown to win "
            "more than half of the votes; less noise may help; the deadline came before all 1000 samples were drawn",
        ),
        ({"state": "running", "samples": 312}, "under way: 312 of 1000 samples"),
        (
            {"state": "certified", "radius": 0.01, "alpha": 1e-6, "sigma": 0.0333333},
            "the smoothed classifier (noise 0.0333, 1000 samples, 99.9999 % confidence) answers dalmatian within an L2 "
            f"change of 0.01 (2.55 in grey levels); {NOT_THE_MODEL}",
        ),
    ],
)
def test_certificates(fields: dict[str, Any], expected: str) -> None:
    assert certified_words(certified(**fields)) == expected
