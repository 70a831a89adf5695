"""Operations of torch, by their effect on a difference of their inputs.

Torch has several functions for one operation: `torch.relu`, `Tensor.relu_`, `nn.functional.relu(..., inplace=True)`.
A `Call` knows them all. An operation that is not listed here has no role, so that it is never taken for linear.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import resolve_name

Function = Callable[..., Any]


class Role(Enum):
    """The effect of an operation on its inputs."""

    METADATA = "tells shape, type or place, not values"
    LINEAR = "linear, up to a constant, in its first argument; the others are constants"
    SUM = "linear, up to a constant, in all its arguments together"
    PRODUCT = "linear, up to a constant, in each of two arguments while the other is held"
    QUOTIENT = "its first argument divided by its second"
    ELEMENTWISE = "each element of the first argument becomes one of the result; the other arguments are constants"
    MAX_POOLING = "the largest element of each window"
    LAYER_NORM = "layer normalisation"


class Call:
    """One call of torch by a network.

    Args:
        function: As torch hands it to a `TorchFunctionMode`.
        args: Its arguments by position.
        kwargs: Its arguments by name; None for none.

    Attributes:
        name: The operation's name, without the marks of its variants; empty for an unknown operation.
        args: The arguments by position, `input` among them.
        role: What the operation does with these arguments; None for an unknown operation.
        activations: The arguments that hold activations, by position or name. An activation is a tensor that depends on
            the network's input, and so requires a gradient; the network's own parameters must not require one.
    """

    def __init__(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> None:
        self._function, self.args, self._kwargs = function, tuple(args), dict(kwargs or {})
        if not self.args and "input" in self._kwargs:
            self.args = (self._kwargs.pop("input"),)
        places = [*enumerate(self.args), *self._kwargs.items()]
        self.activations = frozenset(place for place, argument in places if _holds_activation(argument))
        operation = _OPERATIONS.get(function)
        self._operation = operation
        self.name = operation.name if operation else ""
        self.role = operation.role if operation and self._keeps_role(operation.name) else None

    @property
    def title(self) -> str:
        """The function's name for people."""
        return str(resolve_name(self._function) or self._function)

    def plain(self) -> Any:
        """The call as torch makes it."""
        return self._function(*self.args, **self._kwargs)

    def of_first(self, count: int, function: Function | None = None) -> Function:
        """The operation as a function of its first arguments; it changes none of them, and keeps none of this call.

        Args:
            count: Number of these arguments.
            function: Computes the result; None for the operation itself.
        """
        called = function or (self._operation.out_of_place if self._operation else self._function)
        rest, kwargs = self.args[count:], dict(self._kwargs)
        if "inplace" in kwargs:
            kwargs["inplace"] = False
        return lambda *inputs: called(*inputs, *rest, **kwargs)

    def written(self, result: Tensor) -> Tensor:
        """The tensor that the network gets: the result; for a call in place, the first argument, which now holds it."""
        if self._kwargs.get("inplace") or (self._operation and self._operation.in_place):
            written: Tensor = self.args[0].copy_(result)
            return written
        return result

    def _keeps_role(self, name: str) -> bool:
        if name in _TRAINING:
            place, default = _TRAINING[name]
            return not (self.args[place] if len(self.args) > place else self._kwargs.get("training", default))
        return not self._kwargs.get("rounding_mode")


def slope(function: Function, z: Tensor) -> Tensor:
    """The derivative of an elementwise function at each element."""
    with torch.enable_grad():
        inputs = z.detach().requires_grad_()
        (found,) = torch.autograd.grad(function(inputs).sum(), inputs)
    return found


def _holds_activation(argument: Any) -> bool:
    members = argument if isinstance(argument, list | tuple) else (argument,)
    return any(isinstance(member, Tensor) and member.requires_grad for member in members)


class _Operation(NamedTuple):
    name: str
    role: Role
    out_of_place: Function
    in_place: bool


_NAMES: Mapping[Role, str] = {
    Role.METADATA: "dim ndimension size numel stride is_contiguous is_floating_point is_complex get_device __len__",
    Role.LINEAR: """
        batch_norm dropout dropout1d dropout2d dropout3d
        pad avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        interpolate upsample pixel_shuffle pixel_unshuffle channel_shuffle unfold fold
        flatten unflatten reshape view view_as reshape_as permute transpose swapaxes movedim squeeze unsqueeze ravel t
        expand expand_as repeat tile roll flip narrow select chunk split tensor_split unbind __getitem__ __iter__
        contiguous clone to float double type_as neg negative __neg__ positive __pos__ sum mean
    """,
    Role.SUM: "add sub subtract rsub __add__ __radd__ __sub__ __rsub__ cat concat concatenate stack hstack vstack",
    Role.PRODUCT: """
        mul multiply __mul__ __rmul__ matmul __matmul__ __rmatmul__ mm bmm linear
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    Role.QUOTIENT: "div divide true_divide __truediv__ __div__",
    Role.ELEMENTWISE: """
        relu relu6 hardtanh leaky_relu elu selu celu threshold silu hardswish gelu mish softplus
        sigmoid hardsigmoid logsigmoid tanh softsign tanhshrink hardshrink softshrink
        exp expm1 log log1p sqrt rsqrt square abs __abs__ reciprocal pow __pow__ __rpow__ __rtruediv__ __rdiv__
        clamp clamp_min clamp_max clip
    """,
    Role.MAX_POOLING: "max_pool2d adaptive_max_pool2d",
    Role.LAYER_NORM: "layer_norm",
}
_ATTRIBUTES: Mapping[Role, str] = {
    Role.METADATA: "shape ndim dtype device layout is_cuda is_nested is_sparse is_quantized requires_grad",
    Role.LINEAR: "T mT",
}
# A function of the same name means the same in each of these, and takes the same arguments in the same order.
_HOLDERS = (functional, torch, Tensor)
# This one has another order of arguments.
_STRANGER = torch.batch_norm
# Linear only outside training: the position of the argument that says so, and its default.
_TRAINING = {"batch_norm": (5, False)} | dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d"), (2, True))


def _functions(name: str) -> list[Function]:
    # Some holders have something else under a name, for example the type torch.float.
    held = [getattr(holder, name, None) for holder in _HOLDERS]
    return [function for function in held if callable(function) and function is not _STRANGER]


def _operations() -> dict[Function, _Operation]:
    found: dict[Function, _Operation] = {}
    for role, names in _NAMES.items():
        for name in names.split():
            functions = _functions(name)
            for function in functions:
                found[function] = _Operation(name.strip("_"), role, function, in_place=False)
            for function in () if name.endswith("_") else _functions(name + "_"):
                found[function] = _Operation(name, role, functions[0], in_place=True)
    for role, names in _ATTRIBUTES.items():
        for name in names.split():
            getter = getattr(Tensor, name).__get__
            found[getter] = _Operation(name, role, getter, in_place=False)
    return found


_OPERATIONS = _operations()
