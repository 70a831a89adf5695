import numpy as np
import pytest

from whybox import InternalError, v1
from whybox._tensors import decode

VALUES = np.random.default_rng(0).normal(size=(3, 4, 5))


@pytest.mark.parametrize(("dtype", "tolerance"), [("<f4", 1e-6), ("<f2", 1e-2)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (12, 5), (60,), (1, 60)])
def test_floats_come_back_as_float32(dtype: str, tolerance: float, shape: tuple[int, ...]) -> None:
    values = VALUES.reshape(shape).astype(dtype)
    decoded = decode(v1.Tensor(shape=shape, dtype=np.dtype(dtype).name, data=values.tobytes()))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, values.astype(np.float32))
    np.testing.assert_allclose(decoded, VALUES.reshape(shape), atol=tolerance)


def test_bytes_are_scaled_and_shifted() -> None:
    scale, offset = np.ptp(VALUES) / 255, VALUES.min()
    quantised = np.rint((VALUES - offset) / scale).astype(np.uint8)
    tensor = v1.Tensor(shape=VALUES.shape, dtype="uint8", data=quantised.tobytes(), scale=scale, offset=offset)
    decoded = decode(tensor)
    assert decoded.dtype == np.float32
    assert np.abs(decoded - VALUES).max() <= scale / 2 + 1e-6


def test_maps_cannot_be_changed() -> None:
    decoded = decode(v1.Tensor(shape=[1], dtype="float16", data=b"\0\0"))
    with pytest.raises(ValueError, match="read-only"):
        decoded[0] = 1


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (v1.Tensor(shape=[2, 2], dtype="float32", data=b"\0" * 15), "15 bytes do not make a float32 array"),
        (v1.Tensor(shape=[2, 2], dtype="float64", data=b"\0" * 32), "dtype is 'float64'"),
        (v1.Tensor(), "dtype is ''"),
        (v1.Tensor(shape=[1], dtype="uint8", data=b"\0", scale=1), "without scale and offset"),
    ],
)
def test_contradictions_are_told(tensor: v1.Tensor, words: str) -> None:
    with pytest.raises(InternalError, match=words) as caught:
        decode(tensor)
    assert caught.value.reason == "MALFORMED_ANSWER"
