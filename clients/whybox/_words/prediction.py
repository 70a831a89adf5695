"""Predictions in words."""

from collections.abc import Iterator

from whybox._words.shared import Line, class_words
from whybox.results import Prediction


def prediction_lines(prediction: Prediction) -> Iterator[Line]:
    """One line for each class, most probable first."""
    for score in prediction.classes:
        yield Line(class_words(score))
