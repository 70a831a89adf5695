"""Explanations: the request for maps, and the maps of the answer."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whybox import results, v1
from whybox._messages.fields import error, many, one, plain, same_named
from whybox._messages.masks import EMPTY_MASK, decode_mask
from whybox._messages.pictures import encode
from whybox._messages.tensors import EMPTY_MAP, decode
from whybox.arguments import class_of, classes, names, text
from whybox.options import AnalyzeOptions, MapOptions
from whybox.v1.vocabulary import ALL, DEFAULT_METHOD, MEASUREMENTS


def ask_explanations(options: AnalyzeOptions) -> list[v1.ExplanationOptions]:
    """The options of the maps, one entry per method and target; the maps of one method stand together.

    Options that were not given stay absent.

    Raises:
        TypeError, ValueError: See `same_named`, `class_of` and, for `baseline`, `encode`; or `methods` or `target` is
            empty.
        OSError: The picture in `baseline` cannot be read.
    """
    given = options.get("methods")
    methods = (DEFAULT_METHOD,) if given is None else names("methods", given)
    if not methods:
        raise ValueError("methods must name at least one method; leave explanations out of parts for none")
    target = options.get("target")
    targets = [{}] if target is None else [_class("target", chosen) for chosen in classes("target", target)]
    if not targets:
        raise ValueError("target must name at least one class; leave it out for the predicted class")
    same = same_named(options, MapOptions.__annotations__, v1.ExplanationOptions, but=["baseline"])
    if ALL in same.get("quality", ()):
        same["quality"] = MEASUREMENTS
    common = v1.ExplanationOptions(**same | _contrast(options) | _baseline(options))
    maps = [v1.ExplanationOptions(method=method, **chosen) for method in methods for chosen in targets]
    for one_map in maps:
        one_map.MergeFrom(common)
    return maps


def read_explanation(message: v1.Explanation, picture: bytes) -> results.Explanation:
    """The value of one map.

    Raises:
        InternalError: The map or a mask cannot be decoded.
    """
    values = plain(message)
    failure = error(message.status)
    return results.Explanation(
        # Named for what they are, beside the drawings that the client makes itself. On the wire, a picture without
        # bytes is none.
        heat_map_png=values.pop("heat_map") or None,
        overlay_png=values.pop("overlay") or None,
        **values,
        attribution=_attribution(message) if failure is None else EMPTY_MAP,
        regions=_regions(message.regions) if message.HasField("regions") else None,
        quality=_quality(message.quality) if message.HasField("quality") else None,
        view=one(message, "view", results.View),
        examples=_examples(message.examples) if message.HasField("examples") else None,
        observations=many(message.observations, results.Observation),
        picture=picture,
        error=failure,
    )


def _class(option: str, chosen: int | str) -> dict[str, Any]:
    """The field that names a class, by its index or by its label."""
    return {f"{option}_label" if isinstance(chosen, str) else f"{option}_class": chosen}


def _contrast(options: MapOptions) -> dict[str, Any]:
    contrast = options.get("contrast")
    return {} if contrast is None else _class("contrast", class_of("contrast", contrast))


def _baseline(options: MapOptions) -> dict[str, Any]:
    baseline = options.get("baseline")
    if baseline is None:
        return {}
    if isinstance(baseline, str):
        return {"baseline": text("baseline", baseline)}
    return {"baseline_image": encode(baseline, "baseline")}


def _attribution(message: v1.Explanation) -> NDArray[np.float32]:
    pictures_only = message.heat_map or message.overlay or message.HasField("regions")
    if (pictures_only or message.HasField("examples")) and not message.HasField("attribution"):
        return EMPTY_MAP
    return decode(message.attribution)


def _examples(message: v1.Examples) -> results.Examples:
    return results.Examples(
        **plain(message),
        prototypes=_neighbours(message.prototypes),
        criticisms=_neighbours(message.criticisms),
        others=_neighbours(message.others),
    )


def _neighbours(messages: Iterable[v1.Neighbour]) -> tuple[results.Neighbour, ...]:
    found = []
    for message in messages:
        values = plain(message)
        thumbnail = values.pop("thumbnail") or None
        predicted = one(message, "predicted", results.ClassScore)
        found.append(results.Neighbour(**values, predicted=predicted, thumbnail_jpeg=thumbnail))
    return tuple(found)


def _regions(message: v1.Regions) -> results.Regions:
    return results.Regions(
        **plain(message),
        sufficient=_region(message.sufficient) if message.HasField("sufficient") else None,
        necessary=_region(message.necessary) if message.HasField("necessary") else None,
    )


def _region(message: v1.Region) -> results.Region:
    return results.Region(
        **plain(message) | {"mask": decode_mask(message.mask) if message.state == "found" else EMPTY_MASK},
        target=one(message, "target", results.ClassScore),
        predicted=one(message, "predicted", results.ClassScore),
    )


def _quality(message: v1.Quality) -> results.Quality:
    return results.Quality(
        **plain(message),
        deletion=one(message, "deletion", results.Curve),
        insertion=one(message, "insertion", results.Curve),
        stability=one(message, "stability", results.Stability),
    )
