"""Predictions: the request for one, and the answer."""

from whybox import results, v1
from whybox._messages.fields import error, many, one, plain, same_named
from whybox.options import AnalyzeOptions

PREDICTION_OPTIONS = ("top_k", "set_method", "set_alpha")
"""The options that are for the prediction alone."""


def ask_prediction(options: AnalyzeOptions) -> v1.PredictionOptions:
    """The options of the prediction; those that were not given stay absent; see `same_named` for errors."""
    return v1.PredictionOptions(**same_named(options, PREDICTION_OPTIONS, v1.PredictionOptions))


def read_prediction(message: v1.Prediction, picture: bytes) -> results.Prediction:  # noqa: ARG001 (as all readers)
    """The value of a prediction."""
    return results.Prediction(
        classes=many(message.classes, results.ClassScore),
        view=one(message, "view", results.View),
        prediction_set=_set(message.prediction_set) if message.HasField("prediction_set") else None,
        error=error(message.status),
    )


def _set(message: v1.PredictionSet) -> results.PredictionSet:
    return results.PredictionSet(**plain(message), classes=many(message.classes, results.ClassScore))
