"""Rules of the tracer for branches that meet: sums, differences, concatenations, stacks.

Every function of several traced operands goes through `aligned`, which brings them to the same
steps, axes and features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape, settled
from snnc.frontends.constants import multiplied, offset
from snnc.frontends.recurrence import delayed, unified
from snnc.frontends.values import Axes, Axis, Value, joined
from snnc.ir import Place, Sum

if TYPE_CHECKING:
    from snnc.frontends.call import Call


def aligned(call: Call, tensors: Sequence[Tensor], linear: bool = True) -> list[Value]:
    """Operands with the same steps, axes and feature shape, as torch broadcasts them.

    Raises:
        TraceError: they belong to different steps, or their axes don't mean the same.
    """
    values = [call.layer_input(x, linear) for x in tensors]
    values = common_steps(call, values)
    if not _common_axes(values):
        values = [settled(call, x, value) for x, value in zip(tensors, values, strict=True)]
    axes = _common_axes(values)
    if not axes:
        shown = " with ".join(call.describe(value) for value in values)
        raise call.fail(
            f"joins {shown}, whose axes don't mean the same",
            "bring both to the same axes, (batch, features) or (step, batch, features)",
        )
    shape = np.broadcast_shapes(*(x.shape for x in tensors))
    extents = [n for n, axis in zip(shape, axes, strict=True) if axis == "F"]
    return [_broadcast(call, value, axes, extents) for value in values]


def common_steps(call: Call, values: Sequence[Value]) -> list[Value]:
    """Operands over the same steps; one that is the same at every step takes those of the others,
    and an earlier one is delayed.

    Raises:
        TraceError: some are summed over the steps, or hold other numbers of them.
    """
    moving = [value for value in values if value.time != "static"]
    if not moving:
        count = max(value.count for value in values)
        return [replace(value, start=0, stop=count) for value in values]
    first = max(moving, key=lambda value: value.start)
    for value in values:
        if first.time == "total" and value.has_time_axis:
            raise call.fail(
                f"joins a sum over steps of {first.node} with steps of {value.node}",
                "join them at every step, or both after the sum",
            )
    for value in moving:
        if value.time != first.time:
            raise call.fail(
                f"joins steps of {first.node} with a sum over steps of {value.node}",
                "join them at every step, or both after the sum",
            )
        if value.count != first.count or (value.time == "total" and value.start != first.start):
            raise call.fail(
                f"joins {_steps(first)} with {_steps(value)}", "join as many steps of both"
            )
    late = [value.time == "steps" and value.start < first.start for value in values]
    values = [
        delayed(call, value, first.start) if behind else value
        for value, behind in zip(values, late, strict=True)
    ]
    return [_at_steps(call, value, first) for value in values]


def _steps(value: Value) -> str:
    many = value.count > 1
    return f"step{'s' if many else ''} {value.start}{f'..{value.stop - 1}' if many else ''}" + (
        f" of {value.node}"
    )


def _at_steps(call: Call, value: Value, other: Value) -> Value:
    """`value` over the steps of `other`, and summed over them and divided as that is."""
    if other.time != "total":
        return replace(value, time=other.time, start=other.start, stop=other.stop)
    mine = value.divisor if value.time == "total" else float(other.count)
    same = replace(value, time="total", start=other.start, stop=other.stop, divisor=mine)
    factor = other.divisor / (mine if value.time == "total" else other.count)
    if factor == 1:
        return replace(same, divisor=other.divisor)
    return replace(multiplied(call, same, factor, "scale"), divisor=other.divisor)


def _common_axes(values: Sequence[Value]) -> Axes:
    """Axes of the values where they agree, aligned at the last one; () where they don't."""
    axes: list[Axis] = []
    for position in range(-max(len(value.axes) for value in values), 0):
        labels = {value.axes[position] for value in values if len(value.axes) >= -position}
        if len(labels) > 1:
            return ()
        axes.append(labels.pop())
    return tuple(axes)


def _broadcast(call: Call, value: Value, axes: Axes, extents: Sequence[int]) -> Value:
    shape = own_shape(call, value)
    index = numbered(shape).reshape((1,) * (len(extents) - len(shape)) + shape)
    return arranged(call, value, np.broadcast_to(index, extents).copy(), axes, "broadcast")


def summed(call: Call, values: Sequence[Value], label: str = "") -> Value:
    """The sum of aligned values; the same node twice takes a way round, through another one."""
    parts: list[Value] = []
    for value in values:
        again = any(value.node == part.node for part in parts)
        parts.append(call.emit(Sum(), value, label=f"again{len(parts)}") if again else value)
    return parts[0] if len(parts) == 1 else call.emit(Sum(), parts, label=label)


def add(call: Call, left: Any, right: Any, alpha: float = 1) -> Value:
    """left + alpha·right: a running sum over steps, a constant, or two branches."""
    _require_room(call)
    if not call.is_tracked(left):
        return offset(call, call.value(right), left, weight=alpha)
    if not call.is_tracked(right):
        return offset(call, call.value(left), right, alpha)
    running = _running_sum(call, call.value(left), call.value(right)) if alpha == 1 else None
    if running is not None:
        return running
    first, second = aligned(call, (left, right))
    return summed(call, (first, multiplied(call, second, alpha, "scale")))


def _running_sum(call: Call, left: Value, right: Value) -> Value | None:
    if left.stop != right.start or left.has_time_axis:
        return None
    sooner, later = unified(call.tracer, (left, right))
    return sooner.sum_with(later)


def subtract(call: Call, left: Any, right: Any, alpha: float = 1) -> Value:
    """left − alpha·right."""
    return add(call, left, right, -alpha)


def reverse_subtract(call: Call, left: Any, right: Any, alpha: float = 1) -> Value:
    """right − alpha·left: `1 - x` and torch.rsub."""
    return add(call, right, left, -alpha)


def _require_room(call: Call) -> None:
    """Refuses arithmetic that wraps around or saturates."""
    dtype = call.result_tensor.dtype
    if not dtype.is_floating_point and dtype not in (torch.int32, torch.int64):
        raise call.fail(f"calculates in {dtype}", "convert to float before: x.float()")


def cat(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    """torch.cat of consecutive ranges of steps, or of features."""
    tensors = [x for x in tensors if call.is_tracked(x) or x.numel()]
    tracked = [x for x in tensors if call.is_tracked(x)]
    values = unified(call.tracer, [call.value(x) for x in tracked])
    whole = joined(values) if len(tracked) == len(tensors) else None
    if whole is not None and whole.axes[dim] == "T":
        return whole
    sizes = [x.shape[dim] for x in tensors]
    at = dim % call.result_tensor.dim()
    return _concatenated(call, tensors, at, np.cumsum([0, *sizes]))


def stack(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    """torch.stack of the steps of one value, in order, or of values of the same step."""
    values = [settled(call, x, call.value(x)) for x in tensors]
    whole = joined(unified(call.tracer, values))
    at = dim % call.result_tensor.dim()
    if whole is not None and not whole.has_time_axis:
        return whole.with_axis(at, "T")
    other = next((v for v in values if v.start != values[0].start and v.time == "steps"), None)
    if other is not None:
        raise call.fail(
            f"stacks {_steps(values[0])} with {_steps(other)}",
            "stack the steps of one value in order, or values of the same step",
        )
    parts = _with_unit_axis(call, tensors, at)
    return _joined_parts(call, parts, parts[0].axes[:at].count("F"), range(len(parts) + 1))


def _with_unit_axis(call: Call, tensors: Sequence[Tensor], at: int) -> list[Value]:
    parts = []
    for value in aligned(call, tensors):
        shape = list(own_shape(call, value))
        shape.insert(value.axes[:at].count("F"), 1)
        parts.append(arranged(call, value, numbered(shape), value.with_axis(at, "F").axes, "part"))
    return parts


def _concatenated(call: Call, tensors: Sequence[Any], at: int, starts: NDArray[Any]) -> Value:
    tracked = [x for x in tensors if call.is_tracked(x)]
    values = common_steps(call, [call.layer_input(x) for x in tracked])
    if any(value.axes[at] != "F" for value in values):
        values = [settled(call, x, value) for x, value in zip(tracked, values, strict=True)]
    axes = values[0].axes
    if any(value.axes != axes for value in values) or axes[at] != "F":
        shown = " with ".join(call.describe(value) for value in values)
        raise call.fail(
            f"concatenates {shown} along axis {at}",
            "concatenate features, or one layer's consecutive steps along time",
        )
    feature = axes[:at].count("F")
    places = [i for i, x in enumerate(tensors) if call.is_tracked(x)]
    whole = _joined_parts(call, values, feature, starts, places)
    if len(tracked) == len(tensors):
        return whole
    rest = [torch.zeros_like(x) if call.is_tracked(x) else x for x in tensors]
    return offset(call, whole, torch.cat(rest, at))


def _joined_parts(
    call: Call,
    values: Sequence[Value],
    feature: int,
    starts: Sequence[int] | NDArray[Any],
    places: Sequence[int] | None = None,
) -> Value:
    """The sum of parts, each put to its place along one of the feature axes."""
    places = range(len(values)) if places is None else places
    parts = [
        _placed(call, value, feature, int(starts[i]), int(starts[-1]))
        for i, value in zip(places, values, strict=True)
    ]
    binary = all(call.is_spikes(value) for value in values)
    whole = summed(call, parts)
    if binary:
        call.tracer.binary.add(whole.node)
    return whole


def _placed(call: Call, value: Value, feature: int, start: int, extent: int) -> Value:
    if feature == 0:
        return call.emit(Place(start, extent), value, label=f"part_{start}")
    shape = list(own_shape(call, value))
    after = extent - start - shape[feature]
    pads = [(start, after) if i == feature else (0, 0) for i in range(len(shape))]
    index = np.pad(numbered(shape), pads, constant_values=-1)
    return arranged(call, value, index, value.axes, f"part_{start}")


def hstack(call: Call, tensors: Sequence[Tensor]) -> Value:
    """hstack: cat along the second axis, or the first of vectors."""
    return cat(call, tensors, min(1, tensors[0].dim() - 1))


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "add": add,
    "add_": add,
    "sub": subtract,
    "subtract": subtract,
    "sub_": subtract,
    "rsub": reverse_subtract,
    "__rsub__": reverse_subtract,
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
    "hstack": hstack,
    "stack": stack,
}
"""By name of the function."""
