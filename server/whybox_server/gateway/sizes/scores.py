"""The largest sizes of the parts that carry neither maps nor pictures."""

from collections.abc import Sequence

from whybox import v1
from whybox_server.gateway.sizes.messages import at_most, sentences
from whybox_server.gateway.sizes.served import Served

# Between the names in a list.
_SEPARATOR_BYTES = 2


def prediction_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:  # noqa: ARG001
    """See `gateway.sizes`."""
    score = at_most(v1.ClassScore.DESCRIPTOR)
    classes = [score + label for label in served.labels[: request.prediction.top_k]]
    return [at_most(v1.Prediction.DESCRIPTOR, served.label, classes=0), *classes]


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
