"""Index maps: what every rule that moves features goes through.

What happens to the feature axes becomes one index map, `Gather` (or `Flatten` where it only merges
neighbours); a map of a map is one map from the first source, and the identity is no node at all.
Axes of batch and time only change their labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.values import Axes, Axis, Value
from snnc.ir import Flatten, Gather

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Index = NDArray[np.int64]


def numbered(shape: Sequence[int]) -> Index:
    """The index map that leaves a signal of this shape as it is."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def own_shape(call: Call, value: Value) -> tuple[int, ...]:
    """Extents of the feature axes of a value."""
    return call.tracer.signals[value.node].shape


def arranged(call: Call, value: Value, index: Index, axes: Axes, label: str = "") -> Value:
    """`value` with its features moved: y[i] = x.flat[index[i]], zero where index[i] = −1.

    Raises:
        TraceError: the features of a membrane move.
    """
    if _is_identity(index, own_shape(call, value)):
        return value.with_axes(axes)
    if value.port != "s":
        raise call.fail("rearranges a membrane", "return the membrane as it is")
    node, index = _through(call, value.node, index)
    source, shape = replace(value, node=node), call.tracer.signals[node].shape
    if _is_identity(index, shape):
        return source.with_axes(axes)
    return call.emit(_merging(index, shape) or Gather(index), source, axes, label)


def _is_identity(index: Index, shape: tuple[int, ...]) -> bool:
    return index.shape == shape and np.array_equal(index, numbered(shape))


def _through(call: Call, node: str, index: Index) -> tuple[str, Index]:
    """The same map from further back, behind maps that come before it."""
    tracer = call.tracer
    while isinstance(before := tracer.nodes[node], Flatten | Gather):
        if isinstance(before, Gather):
            kept = before.index.reshape(-1)[index]
            index = np.where(index < 0, np.int64(-1), kept)
        (node,) = tracer.sources[node]
    return node, index


def _merging(index: Index, shape: tuple[int, ...]) -> Flatten | None:
    """The Flatten that does the same, if one does."""
    if index.size != math.prod(shape) or index.ndim >= len(shape):
        return None
    if not np.array_equal(index.reshape(-1), np.arange(index.size)):
        return None
    count = len(shape) - index.ndim + 1
    for first in range(index.ndim):
        merged = math.prod(shape[first : first + count])
        if (*shape[:first], merged, *shape[first + count :]) == index.shape:
            return Flatten(first, first + count - 1)
    return None


def settled(call: Call, x: Tensor, value: Value) -> Value:
    """`value` with its undecided axis of extent 1, if it has one, as a feature axis."""
    at = value.undecided
    if at is None or value.time == "total":
        return value
    axes: list[Axis] = list(value.axes)
    axes[at] = "F"
    shape = list(own_shape(call, value))
    shape.insert(axes[:at].count("F"), 1)
    return arranged(call, value, numbered(shape), tuple(axes), "channel")


def by_index(
    call: Call, x: Tensor, axes: Axes | None = None, batched: bool = False, label: str = ""
) -> Value:
    """A function that moves features, followed by running it on their numbers.

    Args:
        axes: of the result, if other than those of the input.
        batched: the function wants (batch, feature…), whatever axes are merged into the batch.
    """
    value = call.value(x)
    shape = own_shape(call, value)
    numbers = torch.from_numpy(numbered(shape) + 1).to(torch.float64)
    one = [n if a == "F" else 1 for n, a in zip(x.shape, value.axes, strict=True)]
    numbers = numbers.reshape([1, *shape] if batched else one)
    moved = call.func(numbers, *call.args[1:], **call.kwargs)
    axes = value.axes if axes is None else axes
    kept = [n for n, a in zip(moved.shape, axes, strict=True) if a == "F"]
    index = moved.round().to(torch.int64).numpy().reshape(kept) - 1
    return arranged(call, value, index, axes, label)
