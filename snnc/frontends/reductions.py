"""Rules of the tracer for sums and means, over the steps and over features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.constants import multiplied
from snnc.frontends.values import Axes, Axis, Value, feature_axes
from snnc.ir import Pool

if TYPE_CHECKING:
    from snnc.frontends.call import Call


def total(call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: object) -> Value:
    """sum over steps or features."""
    return _reduced(call, x, dim, keepdim, mean=False)


def mean(call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: object) -> Value:
    """mean over steps or features."""
    return _reduced(call, x, dim, keepdim, mean=True)


def axes_of(call: Call, x: Tensor, dim: Any) -> list[int]:
    """Positions of the axes that are reduced, in order.

    Raises:
        TraceError: samples are among them.
    """
    value = call.value(x)
    asked = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    positions = sorted({int(d) % x.dim() for d in asked} or range(x.dim()))
    if any(value.axes[i] not in ("F", "T") for i in positions):
        raise call.fail(
            f"reduces {call.describe(value)} over dim={dim}, which mixes samples",
            "reduce over the axes of features or steps only",
        )
    return positions


def _reduced(call: Call, x: Tensor, dim: Any, keepdim: bool, mean: bool) -> Value:
    positions, value = axes_of(call, x, dim), call.value(x)
    features = [i for i in positions if value.axes[i] == "F"]
    if features:
        value = pooled(call, call.layer_input(x), features, keepdim, mean)
    if len(features) == len(positions):
        return value
    return _over_steps(call, value, keepdim, mean)


def _over_steps(call: Call, value: Value, keepdim: bool, mean: bool) -> Value:
    count = value.count
    if keepdim and count > 1 and value.time != "static":
        raise call.fail("keeps the time axis of a sum over steps", "reduce without keepdim")
    if value.time == "static" or count == 1:
        one = replace(value, stop=value.start + 1)
        one = one if keepdim else one.without_axis(value.axes.index("T"))
        return one if mean or count == 1 else multiplied(call, one, count)
    summed = replace(value.without_axis(value.axes.index("T")), time="total")
    return replace(summed, divisor=float(count)) if mean else summed


def pooled(
    call: Call, value: Value, positions: Sequence[int], keepdim: bool, mean: bool = False
) -> Value:
    """Sum or mean over feature axes, as a pool over one window."""
    shape = own_shape(call, value)
    gone = [value.features.index(i) for i in positions]
    kept = [i for i in range(len(shape)) if i not in gone]
    left = [1 if i in gone else n for i, n in enumerate(shape)]
    axes: Axes = value.axes
    if not keepdim:
        left = [shape[i] for i in kept]
        axes = tuple(a for i, a in enumerate(value.axes) if i not in positions)
    count = math.prod(shape[i] for i in gone)
    if count > 1:
        value = _window(call, value, kept, gone, count, mean)
    return arranged(call, value, numbered(left), axes, "shape")


def _window(
    call: Call, value: Value, kept: list[int], gone: list[int], count: int, mean: bool
) -> Value:
    shape, label = own_shape(call, value), "" if mean else "sum"
    how: Any = "avg" if mean else "sum"
    lead: list[Axis] = [axis for axis in value.axes if axis != "F"]
    if kept == [0] and len(shape) in (2, 3):
        axes = (*lead, *feature_axes(len(shape)))
        value = value.with_axes(axes)
        return call.emit(Pool(shape[1:], shape[1:], (0,) * len(gone), how), value, label=label)
    index = numbered(shape).transpose([*kept, *gone]).reshape(-1, count)
    rows = arranged(call, value, index, (*lead, "F", "F"), "rows")
    return call.emit(Pool((count,), (count,), (0,), how), rows, label=label)


RULES: dict[str, Callable[..., Value | list[Value]]] = {"sum": total, "mean": mean}
"""By name of the function."""
