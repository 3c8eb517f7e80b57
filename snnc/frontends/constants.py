"""Rules of the tracer for constants: factors and offsets, per channel or per value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.neurons import is_constant
from snnc.frontends.values import Value
from snnc.ir import Scale

if TYPE_CHECKING:
    from snnc.frontends.call import Call

F64 = NDArray[np.float64]


def offset(call: Call, value: Value, constant: Any, factor: float = 1, weight: float = 1) -> Value:
    """weight·value + factor·constant."""
    if weight == 1 and is_constant(constant, 0.0):
        return _widened(call, value)
    wide = _widened(call, _fed(call, value))
    bias = np.asarray(factor * _per_value(call, wide, constant))
    result = call.emit(Scale(np.full(_channels(call, wide), float(weight)), bias), wide)
    if weight == -1 and bool((bias == 1).all()) and call.is_spikes(wide):
        call.tracer.complements[result.node] = wide.node
        call.tracer.binary.add(result.node)
    return result


def _fed(call: Call, value: Value) -> Value:
    if value.port != "s":
        raise call.fail(f"changes the state {value.port} of {value.node}", "use its spikes")
    return value


def multiplied(call: Call, value: Value, factor: float, label: str = "") -> Value:
    """value·factor, for a number."""
    if factor == 1:
        return value
    weight = np.full(_channels(call, value), float(factor))
    return call.emit(Scale(weight), value, label=label)


def scale(call: Call, x: Tensor, constant: Any, invert: bool = False) -> Value:
    """x·constant or x/constant."""
    value = call.value(x)
    if value.time == "total" and _number(constant) is not None:
        divided = _divisor(value, float(_number(constant) or 0), invert)
        if divided is not None:
            return divided
    if is_constant(constant, 1.0) and call.result_tensor.shape == x.shape:
        return value
    wide = _widened(call, _fed(call, value))
    factor = _per_value(call, wide, constant)
    if invert and not factor.all():
        raise call.fail("divides by 0", "divide by something else")
    return call.emit(Scale(np.asarray(1 / factor) if invert else factor), wide)


def _number(constant: Any) -> float | None:
    if isinstance(constant, Tensor):
        return float(constant) if constant.dim() == 0 else None
    return float(constant) if isinstance(constant, int | float) else None


def _divisor(value: Value, number: float, invert: bool) -> Value | None:
    """A sum over steps divided by a number; by its reciprocal where that gives an integer."""
    if number == 0:
        return None
    divisor = value.divisor * number if invert else value.divisor / number
    whole = float(round(divisor))
    if not invert and (whole < 1 or abs(divisor - whole) > 1e-12 * whole):
        return None
    return replace(value, divisor=divisor if invert else whole)


def _widened(call: Call, value: Value) -> Value:
    """`value` broadcast to the shape of the result."""
    shape = tuple(call.result_tensor.shape)
    if len(shape) != len(value.axes):
        raise call.fail(
            f"broadcasts {call.describe(value)} to the shape {shape}",
            "give the constant no more axes than the values have",
        )
    extents = [n for n, axis in zip(shape, value.axes, strict=True) if axis == "F"]
    index = np.broadcast_to(numbered(own_shape(call, value)), extents).copy()
    return arranged(call, value, index, value.axes, "broadcast")


def _channels(call: Call, value: Value) -> tuple[int, ...]:
    return own_shape(call, value)[:1]


def _per_value(call: Call, value: Value, constant: Any) -> F64:
    """A constant as one number per channel if that is enough, else per value.

    Raises:
        TraceError: it differs between samples or steps.
    """
    shape = own_shape(call, value)
    if not isinstance(constant, Tensor):
        number = np.asarray(constant, np.float64)
        if number.ndim:
            raise call.fail("calculates with a numpy array", "use a torch tensor")
        return np.full(shape[:1], number)
    array = np.asarray(call.constant("constant", constant), np.float64)
    array = array.reshape((1,) * (len(value.axes) - array.ndim) + array.shape)
    for position, axis in enumerate(value.axes):
        first = np.take(array, [0], position)
        if axis == "F":
            continue
        if array.shape[position] > 1 and not bool((array == first).all()):
            raise call.fail(
                "calculates with a constant that differs between samples or steps",
                "make it an input of the module, or the same for all",
            )
        array = first
    array = array.reshape([array.shape[i] for i in value.features])
    if all(n == 1 for n in array.shape[1:]):
        return np.broadcast_to(array.reshape(array.shape[:1]), shape[:1]).copy()
    return np.broadcast_to(array, shape).copy()


def negate(call: Call, x: Tensor) -> Value:
    """−x."""
    return multiplied(call, call.layer_input(x), -1)


def divide(call: Call, x: Any, other: Any, rounding_mode: str | None = None) -> Value:
    """x / constant."""
    if not call.is_tracked(x) or call.is_tracked(other):
        raise call.fail("divides by a value of the network", "divide by constants only")
    if rounding_mode is not None or is_constant(other, 0.0):
        raise call.fail("rounds the quotient or divides by 0", "divide by the number of steps")
    return scale(call, x, other, invert=True)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "neg": negate,
    "negative": negate,
    "neg_": negate,
    "div": divide,
    "divide": divide,
    "true_divide": divide,
    "div_": divide,
}
"""By name of the function."""
