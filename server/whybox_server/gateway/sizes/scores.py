"""The largest sizes of the parts that carry neither maps nor pictures."""

from collections.abc import Sequence

from whybox import v1
from whybox_server.gateway.sizes.messages import at_most, sentences, several
from whybox_server.gateway.sizes.served import Served

# Between the names in a list.
_SEPARATOR_BYTES = 2
# The promise of a set, its coverage, and what is special about it.
_SET_SENTENCES = 5


def prediction_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:  # noqa: ARG001
    """See `gateway.sizes`."""
    score = at_most(v1.ClassScore.DESCRIPTOR)
    classes = [score + label for label in served.labels[: request.prediction.top_k]]
    chosen = _set(served) if request.prediction.set_method else 0
    return [at_most(v1.Prediction.DESCRIPTOR, served.label, classes=0, prediction_set=chosen), *classes]


def _set(served: Served) -> int:
    """A set can have all classes."""
    score = at_most(v1.ClassScore.DESCRIPTOR)
    audit, name = served.model.audit, len(served.model.name.encode()) + len(served.model.version.encode())
    data_set = len(audit.calibration.data_set.encode())
    return at_most(
        v1.PredictionSet.DESCRIPTOR,
        classes=several(score + label for label in served.labels),
        data_set=data_set,
        message=sentences(_SET_SENTENCES) + _SET_SENTENCES * (data_set + name),
    )


def bias_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:  # noqa: ARG001
    """See `gateway.sizes`. The longest findings of the audit come whole, beside what they do not have."""
    audit = served.model.audit
    listed = sum(_SEPARATOR_BYTES + len(name.encode()) for name in audit.attributes)
    missing = [
        at_most(
            v1.BiasFlag.DESCRIPTOR,
            served.label,
            attribute=len(attribute.encode()),
            message=sentences(1) + len(audit.data_set.encode()) + 2 * len(attribute.encode()) + served.label + listed,
            audit_id=0,
            confounders=0,
            repeats=0,
            notes=0,
            reasons=0,
            counterfactual=0,
        )
        for attribute in request.bias.attributes or [""]
    ]
    frame = at_most(v1.Bias.DESCRIPTOR, served.label, flags=0, prototypes=0, criticisms=0)
    return [frame, audit.largest_findings, *missing]


def certified_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:  # noqa: ARG001
    """See `gateway.sizes`."""
    return [at_most(v1.Certified.DESCRIPTOR, served.label)]
