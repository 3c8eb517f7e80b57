"""Rules of the tracer for functions that pick steps or features: indexing, splitting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.reshape import with_new_axis
from snnc.frontends.values import Value, feature_axes

if TYPE_CHECKING:
    from snnc.frontends.call import Call


def getitem(call: Call, x: Tensor, index: Any) -> Value:
    """x[…] with a step, a range of steps, or any choice of features."""
    value = call.value(x)
    new = 0
    items = list(_explicit(call, index, x.dim()))
    if sum(not isinstance(item, int | slice | None) for item in items) > 1:
        raise call.fail("is indexed by several lists at once", "index one axis at a time")
    for item in items:
        if item is None:
            value = with_new_axis(call, value, new)
            new += 1
            continue
        before = len(value.axes)
        value = _picked(call, value, new, item)
        new += 1 + len(value.axes) - before
    return value


def _explicit(call: Call, index: Any, rank: int) -> Iterator[Any]:
    """The items of an index with `...` written out; lists and tensors as numpy arrays."""
    items = index if isinstance(index, tuple) else (index,)
    items = tuple(_item(call, item) for item in items)
    used = sum(item is not None and item is not Ellipsis for item in items)
    for item in items:
        if item is Ellipsis:
            yield from [slice(None)] * (rank - used)
        else:
            yield item


def _item(call: Call, item: Any) -> Any:
    if item is None or item is Ellipsis or type(item) in (int, slice):
        return item
    if isinstance(item, Tensor) and call.is_tracked(item):
        raise call.fail("is indexed by values of the network", "a graph can't depend on values")
    array = item.cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
    if array.dtype == bool and array.ndim == 1:
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        raise call.fail("is indexed by a mask of several axes", "index by numbers")
    return int(array) if array.ndim == 0 else array


def _picked(call: Call, value: Value, position: int, item: Any) -> Value:
    label = value.axes[position]
    if isinstance(item, slice) and item in (slice(None), slice(None, None, 1)):
        return value
    if label == "F":
        return _features(call, value, position, item)
    if label == "T" and isinstance(item, int | slice):
        return _steps(call, value, position, item)
    extent = {"B": call.batch, "T": value.count}.get(label, call.batch * value.count)
    if isinstance(item, slice) and item.indices(extent) == (0, extent, 1):
        return value
    what = {"B": "the batch axis", "T": "the steps"}.get(label, "merged steps and samples")
    raise call.fail(
        f"indexes {what} with {item}",
        "only features and steps can be picked; pass time_axis= if this axis is time",
    )


def _steps(call: Call, value: Value, position: int, item: int | slice) -> Value:
    extent = value.count
    call.tracer.picked_steps |= position == 0 and value.undecided is None
    if isinstance(item, slice):
        start, stop, stride = item.indices(extent)
        if stride != 1 or stop <= start:
            raise call.fail(f"picks every {stride}th step", "use every step")
        return value.steps(start, stop)
    step = item % extent
    return value.steps(step, step + 1).without_axis(position)


def _features(call: Call, value: Value, position: int, item: int | slice | NDArray[Any]) -> Value:
    before = value.axes[:position].count("F")
    index = numbered(own_shape(call, value))[(*[slice(None)] * before, item)]
    if index.size == 0:
        raise call.fail("picks no features at all", "pick at least one")
    count = index.ndim - len(value.features) + 1
    axes = (*value.axes[:position], *feature_axes(count), *value.axes[position + 1 :])
    return arranged(call, value, index, axes)


def select(call: Call, x: Tensor, dim: int, index: int) -> Value:
    """x.select(dim, index)."""
    return _picked(call, call.value(x), dim % x.dim(), index)


def index_select(call: Call, x: Tensor, dim: int, index: Tensor) -> Value:
    """x.index_select(dim, index)."""
    return _picked(call, call.value(x), dim % x.dim(), _item(call, index))


def narrow(call: Call, x: Tensor, dim: int, start: int, length: int) -> Value:
    """x.narrow(dim, start, length)."""
    start = int(start) % x.shape[dim]
    return _picked(call, call.value(x), dim % x.dim(), slice(start, start + length))


def unbind(call: Call, x: Tensor, dim: int = 0) -> list[Value]:
    """unbind, and so iterating over a tensor."""
    position = dim % x.dim()
    value = call.value(x)
    return [_picked(call, value, position, i) for i in range(x.shape[position])]


def split(call: Call, x: Tensor, *args: Any, dim: int = 0, **kwargs: object) -> list[Value]:
    """split, chunk and tensor_split, by the sizes that they gave."""
    position = (int(args[1]) if len(args) > 1 else dim) % x.dim()
    value = call.value(x)
    parts, start = [], 0
    for part in call.result:
        stop = start + part.shape[position]
        parts.append(_picked(call, value, position, slice(start, stop)))
        start = stop
    return parts


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "__getitem__": getitem,
    "select": select,
    "index_select": index_select,
    "narrow": narrow,
    "unbind": unbind,
    "split": split,
    "split_with_sizes": split,
    "chunk": split,
    "tensor_split": split,
}
"""By name of the function."""
