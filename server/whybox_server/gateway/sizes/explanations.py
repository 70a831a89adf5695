"""The largest sizes of maps."""

import math
from collections.abc import Sequence

from whybox import v1
from whybox.v1.vocabulary import CHANNELS, CURVE_STEPS
from whybox_server.gateway.sizes.messages import at_most, observations, png, sentences, several
from whybox_server.gateway.sizes.served import Served

_VALUE_BYTES = {"uint8": 1, "float16": 2, "float32": 4}
# Three dimensions; lists of numbers are packed.
_SHAPE_BYTES = 3 * 5
_CURVE_BYTES = (CURVE_STEPS + 1) * 4
# The fields of a neighbour that its record lacks.
_FOUND_BYTES = 32
# One for each measurement, twice, and a few for the map itself.
_MAX_OBJECTIONS = 16
# Observations.
_OF_MAP, _OF_NEIGHBOURS = 1, 2
_RGB_BITS, _MASK_BITS = 24, 1


def explanation_sizes(request: v1.AnalyzeRequest, served: Served, others: Sequence[Served]) -> list[int]:  # noqa: ARG001
    """See `gateway.sizes`."""
    return [explanation_size(options, served) for options in request.explanations]


def explanation_size(options: v1.ExplanationOptions, served: Served) -> int:
    """The largest size of one map with all that it carries, in bytes.

    Args:
        options: With every default filled in.
        served: The explained model.
    """
    side, label = served.model.preprocessing.crop, served.label
    picture = png(side, _RGB_BITS)
    asked = options.encodings
    return at_most(
        v1.Explanation.DESCRIPTOR,
        label,
        attribution=_numbers(options, served.model),
        heat_map=picture if "heat_map" in asked else 0,
        overlay=picture if "overlay" in asked else 0,
        regions=_regions(side, label) if "regions" in asked else 0,
        quality=_quality(options.quality, label),
        examples=_examples(options, served) if options.examples else 0,
        observations=observations(_OF_NEIGHBOURS if options.examples else _OF_MAP, label),
    )


def _numbers(options: v1.ExplanationOptions, model: v1.Model) -> int:
    value_bytes = sum(_VALUE_BYTES.get(encoding, 0) for encoding in options.encodings)
    if not value_bytes:
        return 0
    [shape] = (method.map_shape for method in model.methods if method.name == options.method)
    # The manifest has no shape for a method that gives no map, nor has one that was packed before there were shapes.
    sides = list(shape) or [3, model.preprocessing.crop, model.preprocessing.crop]
    if options.channels == CHANNELS[0]:
        sides = sides[-2:]
    # Numbers are compressed only if that makes them shorter.
    return at_most(v1.Tensor.DESCRIPTOR, shape=_SHAPE_BYTES, data=value_bytes * math.prod(sides))


def _examples(options: v1.ExplanationOptions, served: Served) -> int:
    references = served.model.audit.references
    neighbour = references.largest_record + _FOUND_BYTES
    if options.thumbnails:
        neighbour += references.largest_thumbnail
    listed = several([neighbour] * options.examples)
    return at_most(v1.Examples.DESCRIPTOR, prototypes=listed, criticisms=listed, others=listed)


def _regions(side: int, label: int) -> int:
    region = at_most(v1.Region.DESCRIPTOR, label, mask=png(side, _MASK_BITS))
    return at_most(v1.Regions.DESCRIPTOR, label, sufficient=region, necessary=region)


def _quality(asked: Sequence[str], label: int) -> int:
    if not asked:
        return 0
    curve = at_most(v1.Curve.DESCRIPTOR, label, fractions=_CURVE_BYTES, probabilities=_CURVE_BYTES)
    reasons = sentences(_MAX_OBJECTIONS)
    return at_most(v1.Quality.DESCRIPTOR, label, reasons=reasons, deletion=curve, insertion=curve)
