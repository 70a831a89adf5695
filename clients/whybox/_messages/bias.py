"""Bias: the request for what audits found, and the answer."""

from whybox import results, v1
from whybox._messages.fields import error, many, one, plain, same_named
from whybox.options import AnalyzeOptions


def ask_bias(options: AnalyzeOptions) -> v1.BiasOptions:
    """The options of bias; those that were not given stay absent; see `same_named` for errors."""
    return v1.BiasOptions(**same_named(options, ["attributes"], v1.BiasOptions))


def read_bias(message: v1.Bias, picture: bytes) -> results.Bias:  # noqa: ARG001 (as all readers)
    """The value of bias."""
    return results.Bias(
        **plain(message),
        flags=tuple(read_flag(flag) for flag in message.flags),
        prototypes=many(message.prototypes, results.Example),
        criticisms=many(message.criticisms, results.Example),
        predicted_class=one(message, "predicted_class", results.ClassScore),
        error=error(message.status),
    )


def read_flag(message: v1.BiasFlag) -> results.BiasFlag:
    """The value of one flag."""
    return results.BiasFlag(
        **plain(message),
        repeats=many(message.repeats, results.Repeat),
        notes=many(message.notes, results.Note),
        counterfactual=_check(message.counterfactual) if message.HasField("counterfactual") else None,
    )


def _check(message: v1.CounterfactualCheck) -> results.CounterfactualCheck:
    return results.CounterfactualCheck(**plain(message), shifts=many(message.shifts, results.Shift))
