"""Tensors of the Open Inference Protocol: their names here, their datatypes, and their bytes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whybox.v1.errors import InvalidRequestError
from whybox_server.validation.checks import quoted

Array = npt.NDArray[Any]
Values = Array | Sequence[bytes]

BYTES = "BYTES"
DTYPES: Mapping[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The datatypes of numbers that are taken or given, as they lie in raw bytes."""

INPUTS: Mapping[str, str] = {"image": BYTES, "pixels": "UINT8", "view": "FP32"}
"""The tensors that a request may have, and their datatypes: encoded pictures, decoded ones, and views of the model."""
OUTPUTS: Mapping[str, str] = {"classes": "INT64", "labels": BYTES, "probabilities": "FP64"}
"""The tensors that an answer may have, and their datatypes."""

RAW_SIZE = "binary_data_size"
"""Parameter of a tensor whose values are raw bytes: how many."""

# An element of BYTES stands after its length.
_LENGTH_BYTES = 4
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 2**40


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        name: A name of `INPUTS` or `OUTPUTS`.
        datatype: "BYTES" or one of `DTYPES`.
        shape: Size of each dimension.
        values: Numbers of this shape, or the elements of "BYTES" row by row.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


@dataclass(frozen=True)
class InputHead:
    """What a request says of a tensor beside its values.

    Attributes:
        name: A name of `INPUTS`.
        datatype: Its datatype.
        shape: Size of each dimension.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def checked(cls, name: str, datatype: str, shape: Sequence[object]) -> "InputHead":
        """The head, if a tensor may have it.

        Raises:
            InvalidRequestError: There is no such input, it has another datatype, or the shape is none.
        """
        if name not in INPUTS:
            takes = ", ".join(INPUTS)
            raise InvalidRequestError(f"there is no input {quoted(name)}; the inputs are {takes}", field="inputs")
        if datatype != INPUTS[name]:
            raise InvalidRequestError(f"{name} has the datatype {INPUTS[name]}, not {quoted(datatype)}", field=name)
        sizes = tuple(size for size in shape if isinstance(size, int) and not isinstance(size, bool) and size >= 0)
        if len(sizes) < len(shape) or len(sizes) > _MOST_DIMENSIONS or math.prod(sizes) > _MOST_ELEMENTS:
            raise InvalidRequestError(f"the shape of {name} is no list of the sizes of its dimensions", field=name)
        return cls(name, datatype, sizes)

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def of_raw(self, raw: bytes | memoryview) -> Tensor:
        """The tensor from the bytes of its values.

        Raises:
            InvalidRequestError: There are more or fewer values than the shape says.
        """
        if self.datatype == BYTES:
            return self.of_elements(_elements(self.name, raw))
        dtype = DTYPES[self.datatype]
        if len(raw) != self.elements * dtype.itemsize:
            raise self._wrong_number(f"{len(raw)} bytes", f"{self.elements * dtype.itemsize} bytes")
        return self._tensor(np.frombuffer(raw, dtype))

    def of_elements(self, elements: Sequence[bytes]) -> Tensor:
        """The tensor from its byte strings.

        Raises:
            InvalidRequestError: There are more or fewer than the shape says.
        """
        if len(elements) != self.elements:
            raise self._wrong_number(f"{len(elements)} elements", str(self.elements))
        return Tensor(self.name, self.datatype, self.shape, elements)

    def of_numbers(self, numbers: object) -> Tensor:
        """The tensor from numbers row by row, flat or nested.

        Raises:
            InvalidRequestError: They are no numbers of this datatype, or not as many as the shape says.
        """
        dtype = DTYPES[self.datatype]
        try:
            given = np.asarray(numbers)
        except (ValueError, OverflowError):
            given = np.empty(0, object)
        right = "iu" if dtype.kind == "u" else "iuf"
        if given.dtype.kind not in right or (dtype.kind == "u" and not _fits(given, dtype)):
            raise InvalidRequestError(f"the data of {self.name} are no numbers of {self.datatype}", field=self.name)
        if given.size != self.elements:
            raise self._wrong_number(f"{given.size} values", str(self.elements))
        with np.errstate(over="ignore"):
            return self._tensor(given.astype(dtype))

    def _tensor(self, values: Array) -> Tensor:
        return Tensor(self.name, self.datatype, self.shape, values.reshape(self.shape))

    def _wrong_number(self, given: str, right: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"{self.name} has {given}, but its shape {list(self.shape)} takes {right}", field=self.name
        )


def _fits(given: Array, dtype: np.dtype[Any]) -> bool:
    return given.size == 0 or bool(given.min() >= 0 and given.max() <= np.iinfo(dtype).max)


def _elements(name: str, raw: bytes | memoryview) -> list[bytes]:
    elements, place = [], 0
    while place < len(raw):
        begin = place + _LENGTH_BYTES
        place = begin + int.from_bytes(raw[place:begin], "little")
        if begin > len(raw) or place > len(raw):
            message = f"the bytes of {name} end within an element; each element stands after its length in 4 bytes"
            raise InvalidRequestError(message, field=name)
        elements.append(bytes(raw[begin:place]))
    return elements


def raw(tensor: Tensor) -> bytes:
    """The values of a tensor as bytes, as `InputHead.of_raw` reads them."""
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.tobytes()
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in tensor.values)
