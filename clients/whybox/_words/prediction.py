"""Predictions in words."""

from collections.abc import Iterator

from whybox._words.shared import Line, class_words
from whybox.results import Prediction, PredictionSet

_SHOWN = 10


def prediction_lines(prediction: Prediction) -> Iterator[Line]:
    """One line for each class, most probable first, then the prediction set."""
    for score in prediction.classes:
        yield Line(class_words(score))
    if prediction.prediction_set is not None:
        yield from set_lines(prediction.prediction_set)


def set_lines(chosen: PredictionSet) -> Iterator[Line]:
    """The classes of a prediction set, or its state, and below them its message."""
    what = f"prediction set ({chosen.method}, alpha {chosen.alpha:g})"
    if chosen.state == "ok":
        number = len(chosen.classes)
        shown = [class_words(score) for score in chosen.classes[:_SHOWN]]
        more = f" and {number - _SHOWN} more" if number > _SHOWN else ""
        yield Line(f"{what}, {number} class{'' if number == 1 else 'es'}: {', '.join(shown)}{more}")
    else:
        yield Line(f"{what}: {chosen.state.replace('_', ' ')}", "doubtful")
    yield Line(chosen.message, "minor", 1)
