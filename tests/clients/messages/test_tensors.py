import tracemalloc
import zlib

import numpy as np
import pytest

from whybox import InternalError, v1
from whybox._messages.tensors import decode

VALUES = np.random.default_rng(0).normal(size=(3, 4, 5))


def deflated(data: bytes) -> v1.Tensor:
    """A tensor of 16 bytes, or so it says."""
    return v1.Tensor(shape=[2, 2], dtype="float32", data=data, compression="deflate")


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


@pytest.mark.parametrize("shape", [(3, 4, 5), (60,), (0, 0), (2, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_deflated_maps_are_inflated(shape: tuple[int, ...], dtype: str) -> None:
    values = VALUES.ravel()[: np.prod(shape)].reshape(shape).astype(dtype)
    plain = v1.Tensor(shape=shape, dtype=dtype, data=values.tobytes())
    deflated = v1.Tensor(shape=shape, dtype=dtype, data=zlib.compress(values.tobytes()), compression="deflate")
    np.testing.assert_array_equal(decode(deflated), decode(plain))


def test_maps_that_compress_well_are_inflated_too() -> None:
    zeros = bytes(4 * 500 * 500)
    decoded = decode(v1.Tensor(shape=[500, 500], dtype="float32", data=zlib.compress(zeros), compression="deflate"))
    assert decoded.shape == (500, 500)
    assert not decoded.any()


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    tracemalloc.start()
    try:
        for shape in ([4], [2**15, 2**15]):
            with pytest.raises(InternalError, match="shape"):
                decode(v1.Tensor(shape=shape, dtype="float32", data=bomb, compression="deflate"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


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
        (v1.Tensor(shape=[-2, -2], dtype="float32", data=b"\0" * 16), r"its shape is \[-2, -2\]"),
        (v1.Tensor(shape=[1], dtype="float32", data=b"\0" * 4, compression="zstd"), "compression is 'zstd'"),
        (deflated(b"\0" * 4), "data is no zlib stream"),
        (deflated(zlib.compress(bytes(16))[:-2]), "not one whole zlib stream"),
        (deflated(zlib.compress(bytes(16)) + b"more"), "not one whole zlib stream"),
        (deflated(b""), "not one whole zlib stream"),
        (deflated(zlib.compress(bytes(17))), "more than the 16 bytes of its shape"),
        (deflated(zlib.compress(bytes(15))), "15 bytes do not make a float32 array"),
    ],
)
def test_contradictions_are_told(tensor: v1.Tensor, words: str) -> None:
    with pytest.raises(InternalError, match=words) as caught:
        decode(tensor)
    assert caught.value.reason == "MALFORMED_ANSWER"
