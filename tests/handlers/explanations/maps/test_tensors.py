import numpy as np
import pytest

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
