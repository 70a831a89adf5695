"""Examples in words: which known pictures are like the picture, and whether they agree with the answer."""

from collections.abc import Iterator

from whybox._words.robustness import size_words
from whybox._words.shared import Line, Tone, class_words
from whybox.results import Examples, Explanation, Neighbour

KINDS = {"prototypes": "nearest prototypes", "criticisms": "nearest criticisms", "others": "nearest of other classes"}
"""What the lists are called, by their names in `Examples`."""


def example_lines(explanation: Explanation, examples: Examples) -> Iterator[Line]:
    """How many of the nearest pictures show the target, then the nearest of each kind."""
    tone: Tone = "plain" if examples.agreement >= 0.5 else "doubtful"
    yield Line(f"{explanation.method}: {agreement_words(explanation, examples)}", tone)
    for kind, neighbours in examples.by_kind.items():
        if neighbours:
            shown = ", ".join(neighbour_words(neighbour, examples.norm) for neighbour in neighbours)
            yield Line(f"{KINDS[kind]}: {shown}", depth=1)


def agreement_words(explanation: Explanation, examples: Examples) -> str:
    """For example "9 of the 10 nearest pictures show dalmatian; audit a1b2, 1500 pictures"."""
    agreeing = round(examples.agreement * examples.nearest)
    show = f"{agreeing} of the {examples.nearest} nearest pictures show {explanation.target_label}"
    return f"{show}; audit {examples.audit_id}, {examples.pictures} pictures"


def neighbour_words(neighbour: Neighbour, norm: str) -> str:
    """For example "a.jpg (pointer, similarity 0.91, 0.2 grey levels of 255)"; a wrong prediction is named."""
    words = [neighbour.class_label, f"similarity {neighbour.similarity:.2f}"]
    if neighbour.distance is not None:
        words.append(size_words(neighbour.distance, norm))
    if neighbour.predicted is not None and not neighbour.right:
        words.append(f"predicted {class_words(neighbour.predicted)}")
    return f"{neighbour.id} ({', '.join(words)})"
