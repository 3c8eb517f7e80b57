"""Rules of the tracer for functions of real values that only a host computes, value by value.

`Map` and `Multiply` nodes: the compiler puts them into the stem or the head, or says why it can't.
A function of spikes is none of them: it has two values, so it is affine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnc.frontends import branches, constants
from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.neurons import is_constant
from snnc.frontends.same_node import same_node
from snnc.frontends.values import Value, feature_axes
from snnc.ir import Map, Multiply, Neuron, Place, Scale
from snnc.ir.ops import Function
from snnc.reference.host import FUNCTIONS

if TYPE_CHECKING:
    from snnc.frontends.call import Call

SELU = 1.0507009873554805, 1.6732632423543772
"""Scale and α of selu (torch, aten/src/ATen/native/Activation.cpp)."""

OPEN = float(np.finfo(np.float64).max)
"""A bound that clips no finite number."""

POWERS: dict[float, tuple[Function, ...]] = {
    -2.0: ("square", "reciprocal"),
    -1.0: ("reciprocal",),
    -0.5: ("sqrt", "reciprocal"),
    0.5: ("sqrt",),
    1.0: (),
    2.0: ("square",),
    4.0: ("square", "square"),
}
"""Powers as functions one after the other."""


def real_input(call: Call, x: object) -> Value:
    """The meaning of an argument of a function that is not linear.

    A sum over the steps becomes a neuron that never spikes and adds up its input; its last step
    is the sum.

    Raises:
        TraceError: the argument is a state, a sum of some steps, or not in floating point.
    """
    value = call.layer_input(x)
    real = isinstance(x, Tensor) and x.dtype.is_floating_point
    if not real and not call.is_spikes(value):
        raise call.fail("calculates in integers", "convert to float before: x.float()")
    if value.time != "total":
        return value
    if value.start:
        raise call.fail(
            f"combines the steps from {value.start} on", "combine all steps from the first one"
        )
    name = _known_counter(call, value) or call.emit(_counter(value), value, label="total").node
    return replace(value, node=name, time="steps", start=value.stop - 1, divisor=1.0)


def _counter(value: Value) -> Neuron:
    return Neuron(
        a_v=np.asarray(1.0),
        theta=np.asarray(0.0),
        g=np.asarray(1 / value.divisor),
        reset="none",
        compare="never",
    )


def _known_counter(call: Call, value: Value) -> str | None:
    """A neuron that adds up the same values already, for whatever function."""
    tracer = call.tracer
    for name, sources in tracer.sources.items():
        node = tracer.nodes[name]
        adds = isinstance(node, Neuron) and node.compare == "never" and sources == (value.node,)
        if adds and same_node(node, _counter(value)):
            return name
    return None


def stand_in(call: Call, x: Tensor, value: Value | None = None) -> Tensor:
    """A tensor that means `value`, or what a function that is not linear takes of `x`.

    `x` itself keeps its meaning: it may be a running sum that goes on.
    """
    value = real_input(call, x) if value is None else value
    other = x.detach()
    call.tracer.track(other, value)
    return other


def at_last_step(call: Call, tensors: Sequence[Any]) -> list[Any]:
    """Sums over the steps as their counters where they meet a value of the last of these steps."""
    values = [call.value(x) if call.is_tracked(x) else None for x in tensors]
    ends = {v.stop for v in values if v is not None and v.time == "steps" and v.count == 1}
    return [
        stand_in(call, x) if v is not None and v.time == "total" and v.stop in ends else x
        for x, v in zip(tensors, values, strict=True)
    ]


def _meeting(rule: Callable[..., Value]) -> Callable[..., Value]:
    """A rule of two operands, of which one may be a sum and the other a function of a sum."""

    def met(call: Call, left: Any, right: Any, alpha: float = 1) -> Value:
        left, right = at_last_step(call, (left, right))
        return rule(call, left, right, alpha)

    return met


def concatenated(call: Call, tensors: Sequence[Any], dim: int = 0) -> Value:
    """cat, of which a part may be a function of a sum over the steps."""
    return branches.cat(call, at_last_step(call, tensors), dim)


def mapped(
    call: Call, x: Tensor, function: Function, low: float = 0.0, high: float = 0.0, label: str = ""
) -> Value:
    """`function` of every value, also where torch changes `x` in place.

    Raises:
        TraceError: the result is rounded to another type.
    """
    value = real_input(call, x)
    dtype = call.result_tensor.dtype
    if torch.promote_types(x.dtype, dtype) != dtype:
        raise call.fail(f"rounds {x.dtype} to {dtype}", f"calculate in {x.dtype}")
    result = applied(call, value, function, low, high, label)
    if call.result is x:
        call.tracer.forget_aliases(x)
    return result


def applied(
    call: Call,
    value: Value,
    function: Function,
    low: float = 0.0,
    high: float = 0.0,
    label: str = "",
) -> Value:
    """`function` of every value, as a node; of spikes as a factor and an offset."""
    if call.is_spikes(value):
        with np.errstate(all="ignore"):
            rest, spike = (float(FUNCTIONS[function](np.asarray(s), low, high)) for s in (0.0, 1.0))
        if (rest, spike) == (0, 1):
            return value
        if np.isfinite((rest, spike)).all():
            channels = own_shape(call, value)[:1]
            affine = Scale(np.full(channels, spike - rest), np.full(channels, rest))
            return call.emit(affine, value, label=label)
    return call.emit(Map(function, float(low), float(high)), value, label=label)


def scaled(call: Call, value: Value, weight: float, bias: float, label: str = "") -> Value:
    """weight·value + bias, for numbers."""
    channels = own_shape(call, value)[:1]
    return call.emit(Scale(np.full(channels, weight), np.full(channels, bias)), value, label=label)


def plain(function: Function, low: float = 0.0, high: float = 0.0) -> Callable[..., Value]:
    """The rule of a function without parameters of its own."""

    def rule(call: Call, x: Tensor, inplace: bool = False) -> Value:
        return mapped(call, x, function, low, high)

    return rule


def leaky_relu(call: Call, x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    """leaky_relu."""
    return mapped(call, x, "leaky_relu", negative_slope)


def elu(call: Call, x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Value:
    """elu."""
    return mapped(call, x, "elu", alpha)


def selu(call: Call, x: Tensor, inplace: bool = False) -> Value:
    """selu: elu with a factor."""
    scale, alpha = SELU
    return scaled(call, mapped(call, x, "elu", alpha, label="elu"), scale, 0.0)


def hardsigmoid(call: Call, x: Tensor, inplace: bool = False) -> Value:
    """hardsigmoid: x/6 + 1/2, clipped to 0..1."""
    linear = scaled(call, real_input(call, x), 1 / 6, 0.5, "linear")
    result = applied(call, linear, "clip", 0.0, 1.0)
    if call.result is x:
        call.tracer.forget_aliases(x)
    return result


def gelu(call: Call, x: Tensor, approximate: str = "none") -> Value:
    """gelu, and its approximation by tanh."""
    return mapped(call, x, "gelu" if approximate == "none" else "gelu_tanh")


def softplus(call: Call, x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """softplus, which is x itself above the threshold."""
    return mapped(call, x, "softplus", beta, threshold)


def clamp(call: Call, x: Tensor, min: Any = None, max: Any = None) -> Value:  # noqa: A002
    """clamp and clip by numbers."""
    return mapped(call, x, "clip", _bound(call, min, -OPEN), _bound(call, max, OPEN))


def clamp_max(call: Call, x: Tensor, max: Any) -> Value:  # noqa: A002
    """clamp_max."""
    return clamp(call, x, max=max)


def hardtanh(
    call: Call, x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Value:
    """hardtanh, relu6 as nn.ReLU6 calls it."""
    return mapped(call, x, "clip", min_val, max_val)


def _bound(call: Call, bound: Any, missing: float) -> float:
    if bound is None:
        return missing
    if isinstance(bound, Tensor):
        values = call.constant("bound", bound)
        if values.size != 1:
            raise call.fail("clips by bounds that differ between values", "clip by two numbers")
        return float(values.reshape(()))
    return float(bound)


def power(call: Call, x: Any, exponent: Any) -> Value:
    """x**n for the n of POWERS."""
    if not call.is_tracked(x) or call.is_tracked(exponent):
        raise call.fail("raises to powers that depend on the input", "use exp, or constant powers")
    number = _bound(call, exponent, 1.0)
    if number not in POWERS:
        known = ", ".join(f"{n:g}" for n in POWERS)
        raise call.fail(
            f"raises to the power {number:g}", f"one of {known}, or multiply: x * x * x"
        )
    value = real_input(call, x)
    functions = POWERS[number]
    for i, function in enumerate(functions, 1):
        value = applied(call, value, function, label="" if i == len(functions) else f"power{i}")
    return value


def rsqrt(call: Call, x: Tensor) -> Value:
    """1/√x."""
    return power(call, x, -0.5)


def product(call: Call, left: Tensor, right: Tensor) -> Value:
    """left·right of two traced values, as torch broadcasts them."""
    a, b = branches.aligned(call, [stand_in(call, x) for x in (left, right)], linear=False)
    if a.node == b.node:
        return call.emit(Map("square"), a)
    shape, axes = own_shape(call, a), a.axes
    if not shape:
        axes = (*a.axes, *feature_axes(1))
        a, b = (arranged(call, x, numbered((1,)), axes, "flat") for x in (a, b))
    count = own_shape(call, a)[0]
    parts: Sequence[Value] = [
        call.emit(Place(i * count, 2 * count), x, label=label)
        for i, (label, x) in enumerate((("a", a), ("b", b)))
    ]
    result = call.emit(Multiply(), parts)
    return result if shape else arranged(call, result, numbered(()), axes[:-1], "shape")


def divide(call: Call, x: Any, other: Any, rounding_mode: str | None = None) -> Value:
    """x / other: by a constant, or x·(1/other), which may differ in the last place."""
    if not call.is_tracked(other):
        return constants.divide(call, x, other, rounding_mode)
    if rounding_mode is not None:
        raise call.fail("rounds the quotient", "divide without rounding_mode")
    inverse = applied(call, real_input(call, other), "reciprocal", label="reciprocal")
    tensor = stand_in(call, other, inverse)
    if call.is_tracked(x):
        return product(call, x, tensor)
    return inverse if is_constant(x, 1.0) else constants.scale(call, tensor, x)


def reverse_divide(call: Call, x: Tensor, other: Any) -> Value:
    """other / x."""
    return divide(call, other, x)


def _in_place(names: dict[str, Callable[..., Value]]) -> dict[str, Callable[..., Value]]:
    """The functions and those that end in `_` and change their argument."""
    return {**names, **{f"{name}_": rule for name, rule in names.items()}}


_BOTH: dict[str, Callable[..., Value]] = _in_place({
    "relu": plain("relu"),
    "relu6": plain("clip", 0.0, 6.0),
    "sigmoid": plain("sigmoid"),
    "tanh": plain("tanh"),
    "silu": plain("silu"),
    "abs": plain("abs"),
    "absolute": plain("abs"),
    "exp": plain("exp"),
    "log": plain("log"),
    "sqrt": plain("sqrt"),
    "square": plain("square"),
    "reciprocal": plain("reciprocal"),
    "rsqrt": rsqrt,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "hardsigmoid": hardsigmoid,
    "hardtanh": hardtanh,
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": clamp,
    "clamp_max": clamp_max,
    "pow": power,
    "div": divide,
    "divide": divide,
    "true_divide": divide,
})  # fmt: skip

IN_PLACE = frozenset(name for name in _BOTH if name.endswith("_"))
"""Those that change their first argument."""

RULES: dict[str, Callable[..., Value | list[Value]]] = {
    **_BOTH,
    **dict.fromkeys(("add", "add_"), _meeting(branches.add)),
    **dict.fromkeys(("sub", "subtract", "sub_"), _meeting(branches.subtract)),
    **dict.fromkeys(("rsub", "__rsub__"), _meeting(branches.reverse_subtract)),
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenated),
    "special_expit": plain("sigmoid"),
    "__abs__": plain("abs"),
    "__pow__": power,
    "__rdiv__": reverse_divide,
    "__rtruediv__": reverse_divide,
    "gelu": gelu,
    "softplus": softplus,
}
"""By name of the function."""
