"""Known pictures in words."""

from whybox import Analysis
from whybox._words.explanations import explanation_lines


def test_known_pictures(analysis: Analysis) -> None:
    lines = list(explanation_lines(analysis.explanations[3]))
    assert [(line.text, line.tone, line.depth) for line in lines[:1]] == [
        (
            "example: 4 of the 10 nearest pictures show golden retriever; audit audit-1, 1500 pictures",
            "doubtful",
            0,
        )
    ]
    prototype = "a.jpg (golden retriever, similarity 0.91, 0.5 grey levels of 255)"
    assert [line.text for line in lines[1:]] == [
        f"nearest prototypes: {', '.join([prototype] * 3)}",
        "nearest of other classes: b.jpg (tabby, similarity 0.50, predicted golden retriever 75.0 %)",
        "neighbours disagree: 6 of the 10 nearest pictures have other labels",
    ]
