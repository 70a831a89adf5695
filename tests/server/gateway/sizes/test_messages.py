"""The bound of one message: it holds for the largest contents, and it cannot forget a field."""

from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from PIL import Image

from whybox import v1
from whybox_handlers.pictures.png import mask
from whybox_handlers.pictures.png import png as encoded
from whybox_server.gateway.sizes.messages import at_most, png, sentences, several

LABEL = "ä" * 40


def fill(message: Message) -> None:
    """Writes the longest number, name and label into every field, but for lists and bytes."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated or field.type == FieldDescriptor.TYPE_BYTES:
            continue
        if field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name))
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, LABEL if field.name.endswith("label") else "integrated_gradients")
        elif field.cpp_type == FieldDescriptor.CPPTYPE_INT32:
            setattr(message, field.name, -1)
        else:
            setattr(message, field.name, 1)


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (v1.ClassScore, {}),
        (v1.View, {}),
        (v1.Certified, {}),
        (v1.MapSimilarity, {}),
        (v1.CorruptionLevel, {}),
        (v1.Prediction, {"classes": 0, "prediction_set": 0}),
        (v1.PredictionSet, {"classes": 0}),
        (v1.Region, {"mask": 0}),
        (v1.Tensor, {"shape": 0, "data": 0}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_number_and_name_counts(kind: Any, known: dict[str, int]) -> None:
    message = kind()
    fill(message)
    assert message.ByteSize() <= at_most(kind.DESCRIPTOR, len(LABEL.encode()), **known)


@pytest.mark.parametrize(("kind", "known"), [(v1.Tensor, {"shape": 9}), (v1.Prediction, {}), (v1.Twin, {})])
def test_a_field_without_a_bound_is_no_oversight(kind: Any, known: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="needs a bound of its size"):
        at_most(kind.DESCRIPTOR, **known)


def test_a_bound_of_no_field_is_no_oversight() -> None:
    with pytest.raises(TypeError, match="ClassScore has no field labels"):
        at_most(v1.ClassScore.DESCRIPTOR, labels=3)


def test_lists_count_each_entry_and_its_frame() -> None:
    quality = v1.Quality(reasons=["x" * 500] * 16)
    assert quality.ByteSize() <= sentences(16)
    prediction = v1.Prediction(classes=[v1.ClassScore(index=3, label=LABEL, probability=1)] * 1000)
    assert prediction.ByteSize() <= several([score.ByteSize() for score in prediction.classes])


@pytest.mark.parametrize("side", [1, 7, 16, 224, 260, 700])
def test_no_png_is_larger_than_noise(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    size = len(encoded(Image.fromarray(noise)))
    assert size <= png(side, 24) <= 1.05 * size + 1500
    size = len(mask(torch.from_numpy(noise[..., 0] < 128)))
    assert size <= png(side, 1) <= 1.05 * size + 1500
