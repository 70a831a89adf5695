"""Whether an answer flips as easily as those of the easiest pictures of its class: a criticism-like picture."""

from bisect import bisect_left

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.robustness.percentiles import reference_distances

CRITICISM_LIKE = "criticism_like"

MIN_PICTURES = 50
"""Fewer pictures do not tell what the easiest tenth is: five of them are a tenth of 50."""

# One in this number of pictures.
_ONE_IN = 10
_GREY_LEVELS = 255


def criticism_like(distance: v1.Distance, classifier: Classifier) -> v1.Observation:
    """Compares a distance with that of the easiest tenth of the audited pictures of the predicted class.

    The answer for a picture like these has the note with a probability of at most one in ten: the threshold is the k-th
    smallest of n distances, and k / (n + 1) is below k / n. If pictures share a distance, the threshold is the largest
    one that at most a tenth of them do not exceed.

    Args:
        distance: With its percentile, or the reason why it has none, which then is the reason here.
        classifier: The model with the distances of its audit.
    """
    if not distance.HasField("percentile"):
        return _not_measured(distance.percentile_note)
    audit, label = classifier.model.audit, distance.predicted_class.label
    distances = reference_distances(classifier, distance)
    number, pictures = len(distances), f"correctly classified pictures of class {label!r} in audit {audit.id}"
    if number < MIN_PICTURES:
        return _not_measured(f"{number} {pictures} are too few to tell the easiest tenth; it takes {MIN_PICTURES}")
    easiest = bisect_left(distances, distances[number // _ONE_IN])
    if not easiest:
        return _not_measured(f"more than a tenth of the {number} {pictures} share the smallest distance")
    threshold = distances[easiest - 1]
    noted = distance.distance <= threshold
    small = "the answer flips as easily as that of" if noted else "the answer does not flip as easily as that of"
    than = "at most" if noted else "more than"
    compared = f"its distance is {than} {_size(threshold, distance.norm)}, within which {easiest} of the {number} flip"
    warning = f" ({distance.percentile_note})" if distance.percentile_note else ""
    return v1.Observation(
        kind=CRITICISM_LIKE,
        state="noted" if noted else "not_noted",
        message=f"{small} one in ten pictures of class {label!r}: {compared}{warning}",
        value=distance.distance,
        threshold=threshold,
        n=number,
        audit_id=audit.id,
    )


def _not_measured(why: str) -> v1.Observation:
    return v1.Observation(kind=CRITICISM_LIKE, state="not_measured", message=why)


def _size(size: float, norm: str) -> str:
    return f"{_GREY_LEVELS * size:.3g} grey levels" if norm == "linf" else f"{size:.3g} in {norm}"
