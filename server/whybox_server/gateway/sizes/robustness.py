"""The largest sizes of distances and corruptions."""

from collections.abc import Iterator, Sequence

from whybox import v1
from whybox_server.gateway.sizes.explanations import explanation_size
from whybox_server.gateway.sizes.messages import at_most, observations, png, sentences, several
from whybox_server.gateway.sizes.served import Served
from whybox_server.validation.explanations import fill_explanation

# What the check at packing may say, and the search itself.
_MAX_OBJECTIONS = 16
_RGB_BITS = 24


def robustness_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:
    """See `gateway.sizes`."""
    options = request.robustness
    frame = at_most(v1.Robustness.DESCRIPTOR, served.label, distances=0, corruptions=0)
    distances = [_distance(options, served, others)] * len(options.norms)
    return [frame, *distances, *_corruptions(options, served)]


def _distance(options: v1.RobustnessOptions, served: Served, others: Sequence[Served]) -> int:
    picture = png(served.model.preprocessing.crop, _RGB_BITS)
    return at_most(
        v1.Distance.DESCRIPTOR,
        served.label,
        adversarial_picture=picture if "adversarial" in options.encodings else 0,
        change_picture=picture if "change" in options.encodings else 0,
        transfers=several(map(_transfer, others)) if options.transfer else 0,
        twin=_twin(options.twin, served) if options.twin else 0,
        reasons=sentences(_MAX_OBJECTIONS),
        percentile_note=sentences(1) + served.label,
        observations=observations(1, served.label),
    )


def _transfer(other: Served) -> int:
    name, version = len(other.model.name.encode()), len(other.model.version.encode())
    return at_most(v1.Transfer.DESCRIPTOR, other.label, model=name, version=version)


def _twin(method: str, served: Served) -> int:
    options = v1.ExplanationOptions(method=method)
    fill_explanation(options, served.model, "robustness.twin")
    explanation = explanation_size(options, served)
    return at_most(v1.Twin.DESCRIPTOR, served.label, before=explanation, after=explanation)


def _corruptions(options: v1.RobustnessOptions, served: Served) -> Iterator[int]:
    level = at_most(v1.CorruptionLevel.DESCRIPTOR, served.label)
    for kind in served.model.corruptions:
        if kind.name in options.corruptions:
            yield at_most(v1.Corruption.DESCRIPTOR, served.label, levels=several([level] * kind.severities))
