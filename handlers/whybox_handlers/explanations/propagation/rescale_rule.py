"""The rescale rule of DeepLIFT, operation by operation; see `rules.rescaled_multipliers`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.propagation.operations import (
    Call,
    Function,
    Role,
    slope,
)

# Elementwise operations that only choose between values: their results are as exact as their inputs.
_CHOICES = frozenset({"relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "clip", "threshold"})


class _Differences(TorchFunctionMode, ABC):
    """Shared by recording and rescaling: the rule of each operation."""

    @abstractmethod
    def by_rule(self, rule: type["_Rule"], function: Function, *inputs: Tensor) -> Tensor:
        """function(*inputs), or the first of its results, by a rule for differences of the inputs."""

    def __torch_function__(
        self, func: Function, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        call = Call(func, args, kwargs)
        if not call.activations or call.role is Role.METADATA:
            return call.plain()
        if not torch.is_grad_enabled():
            # In torch.no_grad, or in an autograd function of the network's own, whose backward pass has no rule here.
            raise _no_rule(f"{call.title} where the network keeps gradients from it")
        if _is_linear(call):
            return call.plain()
        return call.written(self._nonlinear(call))

    def _nonlinear(self, call: Call) -> Any:
        one, two = call.activations == {0}, call.activations == {0, 1}
        if call.role is Role.ELEMENTWISE and one:
            rule = _Choice if call.name in _CHOICES else _Elementwise
            return self.by_rule(rule, call.of_first(1), call.args[0])
        if call.role is Role.PRODUCT and two:
            return self.by_rule(_Product, call.of_first(2), *call.args[:2])
        if call.role is Role.QUOTIENT and len(call.args) == 2:
            reciprocal = self.by_rule(_Elementwise, torch.reciprocal, call.args[1])
            return self.by_rule(_Product, torch.mul, call.args[0], reciprocal) if two else call.args[0] * reciprocal
        if call.role is Role.MAX_POOLING and one:
            with_places = getattr(functional, f"{call.name}_with_indices")
            return self.by_rule(_MaxPooling, call.of_first(1, with_places), call.args[0])
        if call.role is Role.LAYER_NORM and one:
            return call.of_first(1, self._layer_norm)(call.args[0])
        raise _no_rule(call.title)

    def _layer_norm(
        self,
        z: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        dims = tuple(range(-len(normalized_shape), 0))
        centred = z - z.mean(dims, keepdim=True)
        variance = self.by_rule(_Product, torch.mul, centred, centred).mean(dims, keepdim=True)
        normalised = self.by_rule(_Product, torch.mul, centred, self.by_rule(_Elementwise, torch.rsqrt, variance + eps))
        scaled = normalised if weight is None else normalised * weight
        return scaled if bias is None else scaled + bias


def _is_linear(call: Call) -> bool:
    """Whether differences go through this call as gradients do, given which of its arguments are constants."""
    if call.role is Role.PRODUCT:
        return len(call.activations) == 1
    return call.role is Role.SUM or (call.role in (Role.LINEAR, Role.QUOTIENT) and call.activations == {0})


class Recording(_Differences):
    """The baseline's pass: keeps the inputs that each rule compares with, in the order of the network's calls.

    Args:
        recorded: The inputs are appended here.
    """

    def __init__(self, recorded: list[tuple[Tensor, ...]]) -> None:
        super().__init__()
        self._recorded = recorded

    def by_rule(self, rule: type["_Rule"], function: Function, *inputs: Tensor) -> Tensor:
        """See `_Differences.by_rule`; the rule is not applied yet."""
        # Copies: the network may write over them.
        self._recorded.append(tuple(each.detach().clone() for each in inputs))
        result: Tensor = _NoWayBack.apply(rule, function, *inputs)
        return result


class Rescaling(_Differences):
    """The picture's pass.

    Args:
        recorded: From the baseline's pass.
    """

    def __init__(self, recorded: Sequence[tuple[Tensor, ...]]) -> None:
        super().__init__()
        self._recorded = iter(recorded)

    def by_rule(self, rule: type["_Rule"], function: Function, *inputs: Tensor) -> Tensor:
        """See `_Differences.by_rule`."""
        of_baseline = next(self._recorded, ())
        if [each.shape for each in of_baseline] != [each.shape for each in inputs]:
            raise _no_rule("an order of operations that depends on the picture")
        result: Tensor = rule.apply(function, *inputs, *of_baseline)
        return result


def _no_rule(operation: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"DeepLIFT has no rule for {operation}, which this network uses; use integrated_gradients",
        reason="METHOD_UNAVAILABLE",
    )


class _Rule(torch.autograd.Function):
    """The way back through function(*inputs), with multipliers in place of gradients.

    Takes the function, its inputs for the picture, and its inputs for the baseline.
    """

    @staticmethod
    def value(result: Any) -> Tensor:
        """The part of the function's result that the network gets."""
        value: Tensor = result
        return value


class _NoWayBack(torch.autograd.Function):
    """For a pass without a way back: it tells activations from constants, and keeps nothing.

    An operation of torch's own would keep its input. If the result is then written over that input, the two would keep
    each other in memory for ever.
    """

    @staticmethod
    def forward(_ctx: Any, rule: type[_Rule], function: Function, *inputs: Tensor) -> Tensor:
        return rule.value(function(*inputs))


class _Elementwise(_Rule):
    """D(y) / D(z), in double precision, because the quotient of two small differences keeps few digits."""

    @staticmethod
    def forward(ctx: Any, function: Function, z: Tensor, z0: Tensor) -> Tensor:
        precise = z.double()
        ctx.save_for_backward(_quotient(function, precise, function(precise), z0.double()).to(z.dtype))
        value: Tensor = function(z)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        (multiplier,) = ctx.saved_tensors
        return None, gradient * multiplier, None


class _Choice(_Elementwise):
    """As `_Elementwise`, three times as fast, for operations that do not round."""

    @staticmethod
    def forward(ctx: Any, function: Function, z: Tensor, z0: Tensor) -> Tensor:
        value: Tensor = function(z)
        ctx.save_for_backward(_quotient(function, z, value, z0))
        return value


def _quotient(function: Function, z: Tensor, y: Tensor, z0: Tensor) -> Tensor:
    change = z - z0
    quotient = (y - function(z0)) / change
    same = change == 0
    return torch.where(same, slope(function, z), quotient) if same.any() else quotient


class _Product(_Rule):
    """The gradient half-way between baseline and picture."""

    @staticmethod
    def forward(ctx: Any, function: Function, a: Tensor, b: Tensor, a0: Tensor, b0: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward((a + a0) / 2, (b + b0) / 2)
        value: Tensor = function(a, b)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None, None]:
        a, b = (middle.detach().requires_grad_() for middle in ctx.saved_tensors)
        with torch.enable_grad():
            value = ctx.function(a, b)
        of_a, of_b = torch.autograd.grad(value, (a, b), gradient)
        return None, of_a, of_b, None, None


class _MaxPooling(_Rule):
    """D(y) is assigned to the place of the picture's maximum if y grew, and to that of the baseline's if it fell.

    The function gives the largest elements of [..., h, w], and their places in h * w.
    """

    @staticmethod
    def value(result: Any) -> Tensor:
        """The largest elements, without their places."""
        value: Tensor = result[0]
        return value

    @staticmethod
    def forward(ctx: Any, function: Function, z: Tensor, z0: Tensor) -> Tensor:
        y: Tensor
        (y, place), (y0, place0) = function(z), function(z0)
        place = torch.where(y >= y0, place, place0).flatten(-2)
        # y grew: by no more than z at its own maximum. It fell: by no more than z at the baseline's.
        change = (z - z0).flatten(-2).gather(-1, place)
        multiplier = torch.where(change == 0, 1, (y - y0).flatten(-2) / change)
        ctx.save_for_backward(multiplier, place)
        ctx.shape = z.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        multiplier, place = ctx.saved_tensors
        through = gradient.new_zeros(ctx.shape).flatten(-2)
        through.scatter_add_(-1, place, gradient.flatten(-2) * multiplier)
        return None, through.view(ctx.shape), None
