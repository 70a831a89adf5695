"""Predictions: the request for one, and the answer."""

from whybox import results, v1
from whybox._messages.fields import error, many, one, same_named
from whybox.options import AnalyzeOptions


def ask_prediction(options: AnalyzeOptions) -> v1.PredictionOptions:
    """The options of the prediction; those that were not given stay absent; see `same_named` for errors."""
    return v1.PredictionOptions(**same_named(options, ["top_k"], v1.PredictionOptions))


def read_prediction(message: v1.Prediction, picture: bytes) -> results.Prediction:  # noqa: ARG001 (as all readers)
    """The value of a prediction."""
    return results.Prediction(
        classes=many(message.classes, results.ClassScore),
        view=one(message, "view", results.View),
        error=error(message.status),
    )
