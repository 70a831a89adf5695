"""Bias: the request for what audits found, and the answer."""

from whybox import results, v1
from whybox._messages.fields import error, many, names, one
from whybox.options import AnalyzeOptions


def ask_bias(options: AnalyzeOptions) -> v1.BiasOptions:
    """The options of bias; those that were not given stay absent."""
    return v1.BiasOptions(attributes=names(options.get("attributes")))


def read_bias(message: v1.Bias, picture: bytes) -> results.Bias:  # noqa: ARG001 (as all readers)
    """The value of bias."""
    return results.Bias(
        flags=many(message.flags, results.BiasFlag),
        prototypes=many(message.prototypes, results.Example),
        criticisms=many(message.criticisms, results.Example),
        predicted_class=one(message, "predicted_class", results.ClassScore),
        error=error(message.status),
    )
