"""Rules of the tracer for functions of spikes that a threshold computes: AND, OR, max-pooling.

Each is a memoryless neuron that fires where the sum of its spikes exceeds a number: 0.5 for OR,
n − 0.5 for AND. Its own output is recorded from torch's result, so that every check covers it.
Maxima and products of other values are left to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnc.frontends.branches import aligned, summed
from snnc.frontends.constants import multiplied, offset, scale
from snnc.frontends.host import product, real_input
from snnc.frontends.maxima import adaptive_maximum, extremum, sliding_maximum
from snnc.frontends.reductions import axes_of, pooled
from snnc.frontends.values import Value
from snnc.frontends.windows import adaptive_sum, batch_then, per_axis, window_sum
from snnc.ir import Neuron

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Ints = int | Sequence[int]


def threshold(theta: float, a_v: float = 0.0) -> Neuron:
    """Fires where its input, summed over the steps if a_v = 1, exceeds θ; it never resets."""
    return Neuron(a_v=np.asarray(a_v), theta=np.asarray(theta), reset="none", compare=">")


def max_pool(
    call: Call,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """F.max_pool1d and 2d."""
    rank = 1 if "1d" in call.name else 2
    value = batch_then(call, x, real_input(call, x), rank + 1)
    kernel = per_axis(kernel_size, rank)
    given = stride is not None and (isinstance(stride, int) or len(stride) > 0)
    steps = per_axis(stride, rank) if given and stride is not None else kernel
    extents = call.result_tensor.shape[-rank:]
    pads, spread = per_axis(padding, rank), per_axis(dilation, rank)
    if not call.is_spikes(value):
        return sliding_maximum(call, value, kernel, steps, pads, spread, extents)
    total = window_sum(call, value, kernel, steps, pads, spread, extents)
    return call.emit_neuron(threshold(0.5), total, call.result_tensor, total.axes)


def adaptive_max_pool(
    call: Call, x: Tensor, output_size: Any, return_indices: bool = False
) -> Value:
    """F.adaptive_max_pool1d and 2d."""
    rank = 1 if "1d" in call.name else 2
    value = batch_then(call, x, real_input(call, x), rank + 1)
    extents = tuple(call.result_tensor.shape[-rank:])
    if not call.is_spikes(value):
        return adaptive_maximum(call, value, extents)
    total = adaptive_sum(call, value, extents)
    return call.emit_neuron(threshold(0.5), total, call.result_tensor, total.axes)


def _require_spikes(call: Call, value: Value, cause: str, fix: str) -> None:
    if not call.is_spikes(value):
        raise call.fail(cause, fix)


def either(call: Call, left: Any, right: Any) -> Value:
    """OR of two spikes: torch.maximum, logical_or, |."""
    a, b = _operands(call, left, right)
    if a.node == b.node:
        return a
    total = summed(call, (a, b), "sum")
    return call.emit_neuron(threshold(0.5), total, call.result_tensor, total.axes)


def both(call: Call, left: Any, right: Any) -> Value:
    """AND of two spikes: a product, torch.minimum, logical_and, &; of 1 − a and b, too."""
    values = _operands(call, left, right)
    if values[0].node == values[1].node:
        return values[0]
    theta, parts = 1.5, []
    for value in values:
        source = call.tracer.complements.get(value.node)
        if source is not None:
            theta -= 1
            value = multiplied(call, replace(value, node=source), -1, "not")
        parts.append(value)
    total = summed(call, parts, "sum")
    return call.emit_neuron(threshold(theta), total, call.result_tensor, total.axes)


def _operands(call: Call, left: Any, right: Any) -> list[Value]:
    if not call.is_tracked(left) or not call.is_tracked(right):
        raise call.fail("compares with a constant", "use clamp, or two values of the network")
    values = aligned(call, (left, right), linear=False)
    for value in values:
        _require_spikes(
            call,
            value,
            f"combines two values of the network, and {value.node} is no spike train: only AND"
            " and OR of spikes have a neuron",
            "combine spikes; the larger of two real values is relu(x - y) + y, on the host",
        )
    return values


def multiply(call: Call, left: Any, right: Any) -> Value:
    """A product with a constant, of two spikes, or of two values on the host."""
    if not call.is_tracked(left):
        return scale(call, right, left)
    if not call.is_tracked(right):
        return scale(call, left, right)
    if all(call.is_spikes(call.value(x)) for x in (left, right)):
        return both(call, left, right)
    return product(call, left, right)


def invert(call: Call, x: Tensor) -> Value:
    """logical_not, ~."""
    value = call.layer_input(x, linear=False)
    _require_spikes(call, value, "negates values that are no spikes", "negate spikes")
    return offset(call, value, 1.0, weight=-1)


def any_of(call: Call, x: Tensor, dim: Any = None, keepdim: bool = False) -> Value | list[Value]:
    """any, max and amax over steps or features: OR."""
    return _over(call, x, dim, keepdim, every=False)


def all_of(
    call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: object = None
) -> Value | list[Value]:
    """all, min, amin and prod over steps or features: AND."""
    return _over(call, x, dim, keepdim, every=True)


def _over(call: Call, x: Tensor, dim: Any, keepdim: bool, every: bool) -> Value | list[Value]:
    value = call.layer_input(x)
    if call.is_tracked(dim):
        return both(call, x, dim) if every else either(call, x, dim)
    if isinstance(dim, Tensor):
        raise call.fail("compares with a constant", "use clamp, or two values of the network")
    axes = axes_of(call, x, dim)
    result = call.result if isinstance(call.result, Tensor) else call.result[0]
    if not call.is_spikes(value):
        if call.name not in ("max", "amax", "min", "amin"):
            raise call.fail(
                f"takes the {call.name} of values that are no spikes",
                "apply it to spikes, or outside, to the output",
            )
        meaning = extremum(call, x, dim, keepdim, least=every)
    elif [value.axes[i] for i in axes] == ["T"]:
        meaning = _over_steps(call, x, value, axes[0], keepdim, every)
    else:
        total = pooled(call, value, axes, keepdim)
        count = int(np.prod([x.shape[i] for i in axes]))
        neuron = threshold(count - 0.5 if every else 0.5)
        meaning = call.emit_neuron(neuron, total, result, total.axes)
    if isinstance(call.result, Tensor):
        return meaning
    return [meaning, replace(meaning, broken="it holds the places of extrema, not values")]


def _over_steps(call: Call, x: Tensor, value: Value, at: int, keepdim: bool, every: bool) -> Value:
    """A neuron that counts spikes over the steps; its output at the last step is the result."""
    last = replace(value, start=value.stop - 1)
    short = value.axes if keepdim else last.without_axis(at).axes
    if value.time == "static":
        return replace(value.with_axes(short), start=0, stop=1)
    if value.start:
        raise call.fail(
            f"combines the steps from {value.start} on", "combine all steps from the first one"
        )
    theta = value.count - 0.5 if every else 0.5
    so_far = x.to(torch.float64).cumsum(at) > theta
    counted = call.emit_neuron(threshold(theta, a_v=1.0), value, so_far, value.axes)
    return replace(counted, axes=short, start=value.stop - 1)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    **dict.fromkeys(("max_pool1d", "max_pool2d"), max_pool),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), adaptive_max_pool),
    **dict.fromkeys(
        ("maximum", "fmax", "logical_or", "__or__", "bitwise_or", "__ior__"), either
    ),
    **dict.fromkeys(
        ("minimum", "fmin", "logical_and", "__and__", "bitwise_and", "__iand__"), both
    ),
    **dict.fromkeys(("mul", "multiply", "mul_"), multiply),
    **dict.fromkeys(("logical_not", "__invert__", "bitwise_not"), invert),
    **dict.fromkeys(("any", "max", "amax"), any_of),
    **dict.fromkeys(("all", "min", "amin", "prod"), all_of),
}  # fmt: skip
"""By name of the function."""
