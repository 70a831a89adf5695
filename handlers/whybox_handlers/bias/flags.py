"""Bias flags of the predicted class: what the audit that is packed with the model found."""

from collections.abc import Iterable, Sequence

from whybox import v1
from whybox_handlers.models.classifier import Classifier

ADVERSARIAL_CRITICISM = "adversarial_criticism"

# The most attributes that a sentence lists.
_LISTED = 10


def findings(classifier: Classifier, predicted: v1.ClassScore, attributes: Sequence[str]) -> v1.Bias:
    """What is known about the predicted class.

    Args:
        classifier: The model with the findings of its audit.
        predicted: The class that the flags speak about.
        attributes: Names of annotated attributes, for which alone flags are returned; empty means all attributes of the
            audit. An attribute without a finding in this class is "not_audited".
    """
    bias = v1.Bias()
    if (audited := classifier.audited.get(predicted.index)) is not None:
        bias.CopyFrom(audited.findings)
        mark_stale(bias.flags, classifier.model.audit)
    found = list(bias.flags)
    if attributes:
        del bias.flags[:]
        bias.flags.extend(flag for flag in found if flag.attribute in attributes)
    known = {flag.attribute for flag in found}
    unknown = [name for name in attributes if name not in known] if attributes or found else [""]
    bias.flags.extend(_not_audited(classifier.model, audited is not None, predicted, name) for name in unknown)
    bias.predicted_class.CopyFrom(predicted)
    return bias


def mark_stale(flags: Iterable[v1.BiasFlag], audit: v1.Audit) -> None:
    """Calls flags stale if the audited version of the model differs from the one that answers; see `Audit`."""
    if not audit.differences:
        return
    why = f"the audited version of the model had other {' and '.join(audit.differences)}"
    for flag in flags:
        flag.message = f"This finding is stale, because {why}; it was {flag.state}: {flag.message}"
        flag.state = "stale"
        flag.reasons.append(why)


def _not_audited(model: v1.Model, audited: bool, predicted: v1.ClassScore, attribute: str) -> v1.BiasFlag:
    return v1.BiasFlag(
        kind=ADVERSARIAL_CRITICISM,
        state="not_audited",
        attribute=attribute,
        class_index=predicted.index,
        class_label=predicted.label,
        message=_reason(model, audited, predicted.label, attribute),
    )


def _reason(model: v1.Model, audited: bool, label: str, attribute: str) -> str:
    if not model.HasField("audit"):
        return f"This model version has not been audited for bias in class {label!r}: nothing is known."
    audit = model.audit
    if not audited:
        return f"Audit {audit.id} of {audit.data_set} has no picture of class {label!r}: nothing is known."
    if not attribute:
        return f"Audit {audit.id} of {audit.data_set} tested no attribute in class {label!r}: nothing is known."
    if attribute in audit.attributes:
        return f"Audit {audit.id} of {audit.data_set} did not test attribute {attribute!r} in class {label!r}."
    return f"Audit {audit.id} of {audit.data_set} has no attribute {attribute!r}; it has {_listed(audit)}."


def _listed(audit: v1.Audit) -> str:
    more = len(audit.attributes) - _LISTED
    return ", ".join(audit.attributes[:_LISTED]) + (f" and {more} more" if more > 0 else "") or "none"
