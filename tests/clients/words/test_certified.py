import pytest

from whybox import Certified, v1
from whybox._messages.reading import read_analysis
from whybox._words.certified import certified_words

BASIS = "the smoothed classifier (noise 0.25, 1000 samples, 99.9 % confidence)"


def certified(**fields) -> Certified:
    common = {"class_label": "dalmatian", "sigma": 0.25, "alpha": 0.001, "samples": 1000, "wanted_samples": 1000}
    message = v1.AnalyzeResponse(certified=v1.Certified(**common | fields))
    part = read_analysis(message, b"").certified
    assert part is not None
    return part


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"state": "certified", "radius": 0.124, "count": 750},
            f"within an L2 change of 0.124 (31.6 in grey levels) {BASIS} answers dalmatian; it is not the model itself",
        ),
        (
            {"state": "certified", "radius": 0.5, "count": 300, "samples": 312, "stopped_by": "deadline"},
            "within an L2 change of 0.5 (128 in grey levels) the smoothed classifier (noise 0.25, 312 samples, 99.9 % "
            "confidence) answers dalmatian; it is not the model itself; the deadline ended it before its 1000 samples",
        ),
        (
            {"state": "abstained", "count": 480},
            f"nothing is certified: {BASIS} abstains, for no class has surely more than half of the answers "
            "(dalmatian: 480 of 1000); less noise may help",
        ),
        (
            {"state": "abstained", "samples": 0, "stopped_by": "deadline"},
            "nothing is certified: the smoothed classifier (noise 0.25, 0 samples, 99.9 % confidence) abstains, for no "
            "class has surely more than half of the answers; less noise may help; the deadline ended it before its "
            "1000 samples",
        ),
        ({"state": "running", "samples": 312}, "under way: 312 of 1000 samples"),
        (
            {"state": "certified", "radius": 0.01, "alpha": 1e-6, "sigma": 0.0333333},
            "within an L2 change of 0.01 (2.55 in grey levels) the smoothed classifier (noise 0.0333, 1000 samples, "
            "99.9999 % confidence) answers dalmatian; it is not the model itself",
        ),
    ],
)
def test_certificates(fields: dict, expected: str) -> None:
    assert certified_words(certified(**fields)) == expected
