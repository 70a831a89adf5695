import zlib

import numpy as np
import pytest

from whybox.v1.errors import InvalidRequestError
from whybox_handlers.explanations.maps.tensors import encode

ARRAY = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(("dtype", "numpy_dtype", "tolerance"), [("float32", "<f4", 0), ("float16", "<f2", 2e-3)])
def test_floats(dtype: str, numpy_dtype: str, tolerance: float) -> None:
    tensor = encode(ARRAY, dtype)
    decoded = np.frombuffer(tensor.data, numpy_dtype).reshape(tensor.shape)
    np.testing.assert_allclose(decoded, ARRAY, rtol=0, atol=tolerance)
    assert not tensor.HasField("scale")


@pytest.mark.parametrize("array", [ARRAY, np.zeros((2, 2), np.float32), np.full((1,), -7.5, np.float32)])
def test_bytes_with_scale_and_offset(array: np.ndarray) -> None:
    tensor = encode(array, "uint8")
    decoded = np.frombuffer(tensor.data, np.uint8).reshape(tensor.shape) * tensor.scale + tensor.offset
    np.testing.assert_allclose(decoded, array, rtol=0, atol=tensor.scale / 2 + 1e-6)
    assert len(tensor.data) == array.size


@pytest.mark.parametrize("largest", [65504.0, -65504.0, 1.0, 1e-4, 3e-5])
def test_half_precision_holds_these_as_well_as_bytes(largest: float) -> None:
    array = (ARRAY / np.abs(ARRAY).max() * largest).astype(np.float32)
    decoded = np.frombuffer(encode(array, "float16").data, "<f2").reshape(array.shape).astype(float)
    np.testing.assert_allclose(decoded, array, rtol=5e-4, atol=abs(largest) / 510)


@pytest.mark.parametrize("largest", [65520.0, -7e4, 1e30, 1e-5, -1e-9, 1e-40])
def test_half_precision_refuses_what_it_cannot_hold(largest: float) -> None:
    array = (ARRAY / np.abs(ARRAY).max() * largest).astype(np.float32)
    with pytest.raises(InvalidRequestError, match="float16 cannot hold; ask for float32 or uint8") as refusal:
        encode(array, "float16")
    assert refusal.value.field == "explanations.encodings"


def test_half_precision_holds_zeros() -> None:
    assert not any(zlib.decompress(encode(np.zeros((4, 40), np.float32), "float16").data))


@pytest.mark.parametrize("largest", [3e38, 1e-40])
def test_bytes_of_extreme_values(largest: float) -> None:
    array = np.array([-largest, 0, largest], np.float32)
    tensor = encode(array, "uint8")
    decoded = np.frombuffer(tensor.data, np.uint8) * tensor.scale + tensor.offset
    np.testing.assert_allclose(decoded, array, rtol=0, atol=tensor.scale / 2 * 1.001)
