"""Where a distance lies among those of the audited pictures of its class."""

from bisect import bisect_left
from collections.abc import Sequence

from scipy.stats import binomtest

from whybox import v1
from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.models.classifier import Classifier


def add_percentile(distance: v1.Distance, classifier: Classifier, options: v1.RobustnessOptions) -> None:
    """Fills in the percentile of a distance with its evidence, or the reason why it has none.

    Args:
        distance: All but its percentile.
        classifier: The model with the distances of its audit.
        options: `budget` is read, with its default filled in.
    """
    distance.percentile_note = _objection(distance, classifier, options)
    if distance.percentile_note:
        return
    audit, audited = classifier.model.audit, classifier.audited[distance.predicted_class.index]
    distances = reference_distances(classifier, distance)
    easier, number = bisect_left(distances, distance.distance), len(distances)
    interval = binomtest(easier, number).proportion_ci(0.95, method="wilson")
    distance.percentile = 100 * easier / number
    distance.percentile_n = number
    distance.percentile_ci_low = 100 * interval.low
    distance.percentile_ci_high = 100 * interval.high
    if audited.trained_on:
        distance.percentile_note = (
            f"the model was trained on {audited.trained_on} of the {number} audited pictures of audit {audit.id}, and"
            " may be harder to mislead on them"
        )


def reference_distances(classifier: Classifier, distance: v1.Distance) -> Sequence[float]:
    """The distances of the audited, correctly classified pictures of the predicted class, in rising order.

    Args:
        classifier: The model with the distances of its audit.
        distance: Its norm and its predicted class are read.

    Returns:
        In the same norm; infinite where no flip was found. Empty if there are no such pictures.
    """
    audited = classifier.audited.get(distance.predicted_class.index, v1.AuditedClass())
    return next((each.distances for each in audited.distances if each.norm == distance.norm), ())


def _objection(distance: v1.Distance, classifier: Classifier, options: v1.RobustnessOptions) -> str:
    """Why a distance has no percentile; "" if it has one."""
    model, predicted = classifier.model, distance.predicted_class
    if not model.HasField("audit"):
        return "the model was packed without an audit, so there are no audited pictures"
    audit = model.audit
    if audit.differences:
        return f"audit {audit.id} measured a version of the model with other {' and '.join(audit.differences)}"
    if distance.attack != audit.attack:
        return f"the audited pictures of audit {audit.id} were attacked with {audit.attack}, not {distance.attack}"
    if distance.norm not in audit.norms:
        return f"audit {audit.id} measured in {', '.join(audit.norms)}, not in {distance.norm}"
    if options.budget != str(audit.budget):
        budgets = f"the budget {audit.budget}, not {options.budget}"
        return f"the audited pictures of audit {audit.id} were attacked with {budgets}"
    if distance.stopped_by == DEADLINE:
        return "the deadline ended the search before its budget was spent"
    if not distance.HasField("distance"):
        return "no flip was found"
    if not reference_distances(classifier, distance):
        return f"audit {audit.id} has no correctly classified picture of class {predicted.label!r}"
    return ""
