"""Bias flags of the predicted class."""

from collections.abc import Sequence

from whybox import v1

ADVERSARIAL_CRITICISM = "adversarial_criticism"


def not_audited(predicted: v1.ClassScore, attributes: Sequence[str]) -> v1.Bias:
    """The flags of a model without an audit: for each attribute that was asked about, nothing is known.

    Args:
        predicted: The class that the flags speak about.
        attributes: Names of annotated attributes; empty means all attributes of an audit.
    """
    message = f"This model version was not audited for bias in class {predicted.label!r}: nothing is known."
    flags = [
        v1.BiasFlag(
            kind=ADVERSARIAL_CRITICISM,
            state="not_audited",
            attribute=attribute,
            class_index=predicted.index,
            class_label=predicted.label,
            message=message,
        )
        for attribute in attributes or [""]
    ]
    return v1.Bias(flags=flags, predicted_class=predicted)
