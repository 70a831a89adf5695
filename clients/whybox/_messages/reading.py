"""From the messages of `whybox.v1` to the values of `whybox.results`."""

import dataclasses
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from numpy.typing import NDArray

from whybox import results, v1
from whybox._messages.masks import EMPTY_MASK, decode_mask
from whybox._messages.tensors import EMPTY_MAP, decode
from whybox.v1.errors import WhyboxError, error_from_status

_ValueT = TypeVar("_ValueT")


def read_analysis(message: v1.AnalyzeResponse, picture: bytes) -> results.Analysis:
    """The values of one answer about the encoded `picture`.

    Raises:
        InternalError: A map or a mask of the answer cannot be decoded.
    """
    return results.Analysis(
        **_plain(message),
        prediction=_prediction(message.prediction) if message.HasField("prediction") else None,
        explanations=tuple(_explanation(explanation, picture) for explanation in message.explanations),
        robustness=_robustness(message.robustness, picture) if message.HasField("robustness") else None,
        bias=_bias(message.bias) if message.HasField("bias") else None,
        certified=_certified(message.certified) if message.HasField("certified") else None,
        timings=_timings(message.timings) if message.HasField("timings") else None,
        receipt=_one(message, "receipt", results.Receipt),
        picture=picture,
        message=message,
    )


def read_model(message: v1.Model) -> results.ModelInfo:
    """The values of one model."""
    return results.ModelInfo(
        **_plain(message),
        methods=tuple(_method(method) for method in message.methods),
        preprocessing=_one(message, "preprocessing", results.Preprocessing),
        digests=_one(message, "digests", results.Digests),
        packing_check=_one(message, "packing_check", results.PackingCheck),
        attacks=tuple(results.Attack(**_plain(attack)) for attack in message.attacks),
        attack_check=_one(message, "attack_check", results.AttackCheck),
        corruptions=tuple(results.CorruptionKind(**_plain(kind)) for kind in message.corruptions),
    )


def _method(message: v1.Method) -> results.Method:
    return results.Method(
        **_plain(message), randomisation_test=_one(message, "randomisation_test", results.RandomisationTest)
    )


def _plain(message: Message) -> dict[str, Any]:
    """The fields of a message that are not messages themselves, by name.

    The values of this package bear the names of the contract, so that neither can gain a field without the other. An
    absent optional field is None, a repeated one a tuple, a map a dict.
    """
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                values[field.name] = dict(value)
        elif field.is_repeated:
            values[field.name] = tuple(value)
        else:
            values[field.name] = None if field.has_presence and not message.HasField(field.name) else value
    return values


def _error(status: Status) -> WhyboxError | None:
    return error_from_status(status) if status.code else None


def _one(message: Message, field: str, kind: type[_ValueT]) -> _ValueT | None:
    """The message in a field, which holds no message itself, or None where it is absent."""
    return kind(**_plain(getattr(message, field))) if message.HasField(field) else None


def _prediction(message: v1.Prediction) -> results.Prediction:
    return results.Prediction(
        classes=tuple(results.ClassScore(**_plain(score)) for score in message.classes),
        view=_one(message, "view", results.View),
        error=_error(message.status),
    )


def _explanation(message: v1.Explanation, picture: bytes) -> results.Explanation:
    plain = _plain(message)
    error = _error(message.status)
    return results.Explanation(
        # Named for what they are, beside the drawings that the client makes itself. No picture has no bytes.
        heat_map_png=plain.pop("heat_map") or None,
        overlay_png=plain.pop("overlay") or None,
        **plain,
        attribution=_attribution(message) if error is None else EMPTY_MAP,
        regions=_regions(message.regions) if message.HasField("regions") else None,
        quality=_quality(message.quality) if message.HasField("quality") else None,
        view=_one(message, "view", results.View),
        picture=picture,
        error=error,
    )


def _attribution(message: v1.Explanation) -> NDArray[np.float32]:
    pictures_only = message.heat_map or message.overlay or message.HasField("regions")
    if pictures_only and not message.HasField("attribution"):
        return EMPTY_MAP
    return decode(message.attribution)


def _regions(message: v1.Regions) -> results.Regions:
    return results.Regions(
        **_plain(message),
        sufficient=_region(message.sufficient) if message.HasField("sufficient") else None,
        necessary=_region(message.necessary) if message.HasField("necessary") else None,
    )


def _region(message: v1.Region) -> results.Region:
    return results.Region(
        **_plain(message) | {"mask": decode_mask(message.mask) if message.state == "found" else EMPTY_MASK},
        target=_one(message, "target", results.ClassScore),
        predicted=_one(message, "predicted", results.ClassScore),
    )


def _quality(message: v1.Quality) -> results.Quality:
    return results.Quality(
        **_plain(message),
        deletion=_one(message, "deletion", results.Curve),
        insertion=_one(message, "insertion", results.Curve),
        stability=_one(message, "stability", results.Stability),
    )


def _robustness(message: v1.Robustness, picture: bytes) -> results.Robustness:
    return results.Robustness(
        distances=tuple(_distance(distance, picture) for distance in message.distances),
        view=_one(message, "view", results.View),
        corruptions=tuple(_corruption(corruption) for corruption in message.corruptions),
        error=_error(message.status),
    )


def _distance(message: v1.Distance, picture: bytes) -> results.Distance:
    plain = _plain(message)
    adversarial = plain.pop("adversarial_picture") or None
    return results.Distance(
        # Named as the drawings of maps are. No picture has no bytes.
        adversarial_png=adversarial,
        change_png=plain.pop("change_picture") or None,
        **plain,
        predicted_class=_one(message, "predicted_class", results.ClassScore),
        adversarial_class=_one(message, "adversarial_class", results.ClassScore),
        runner_up_class=_one(message, "runner_up_class", results.ClassScore),
        transfers=tuple(_transfer(transfer) for transfer in message.transfers),
        twin=_twin(message.twin, picture, adversarial) if message.HasField("twin") else None,
    )


def _transfer(message: v1.Transfer) -> results.Transfer:
    return results.Transfer(
        **_plain(message),
        predicted_class=_one(message, "predicted_class", results.ClassScore),
        adversarial_class=_one(message, "adversarial_class", results.ClassScore),
        error=_error(message.status),
    )


def _twin(message: v1.Twin, picture: bytes, adversarial: bytes | None) -> results.Twin:
    after = _explanation(message.after, picture) if message.HasField("after") else None
    if after is not None and adversarial is not None:
        # That picture is the view itself: the map lies over all of it.
        after = dataclasses.replace(after, picture=adversarial, view=None)
    return results.Twin(
        before=_explanation(message.before, picture) if message.HasField("before") else None,
        after=after,
        same_class=_one(message, "same_class", results.MapSimilarity),
        new_class=_one(message, "new_class", results.MapSimilarity),
        error=_error(message.status),
    )


def _corruption(message: v1.Corruption) -> results.Corruption:
    levels = tuple(
        results.CorruptionLevel(**_plain(level), predicted_class=_one(level, "predicted_class", results.ClassScore))
        for level in message.levels
    )
    return results.Corruption(**_plain(message), levels=levels, error=_error(message.status))


def _bias(message: v1.Bias) -> results.Bias:
    return results.Bias(
        flags=tuple(results.BiasFlag(**_plain(flag)) for flag in message.flags),
        prototypes=tuple(results.Example(**_plain(example)) for example in message.prototypes),
        criticisms=tuple(results.Example(**_plain(example)) for example in message.criticisms),
        predicted_class=_one(message, "predicted_class", results.ClassScore),
        error=_error(message.status),
    )


def _certified(message: v1.Certified) -> results.Certified:
    return results.Certified(**_plain(message), error=_error(message.status))


def _timings(message: v1.Timings) -> results.Timings:
    return results.Timings(
        **_plain(message),
        parts=tuple(results.PartTiming(**_plain(part)) for part in message.parts),
    )
