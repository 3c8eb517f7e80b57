"""Rules of the tracer for maxima of real values: windows that only a host compares.

`MaxPool` is torch's plain window. Windows that it can't say (`ceil_mode`, adaptive ones of unequal
size) are gathered one behind the other first; a short one holds its first value several times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.constants import multiplied
from snnc.frontends.norms import along
from snnc.frontends.values import Value, feature_axes
from snnc.ir import MaxPool

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Taps = NDArray[np.int64]
"""(window, tap) along one axis: positions in the image, −1 outside."""


def sliding_maximum(
    call: Call,
    value: Value,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    extents: Sequence[int],
) -> Value:
    """Maxima over windows of which there are `extents`; what lies outside the image never wins.

    Raises:
        TraceError: a window lies outside the image altogether.
    """
    sizes = own_shape(call, value)[1:]
    axes = [
        _sliding(n, m, k, s, p, d)
        for n, m, k, s, p, d in zip(sizes, extents, kernel, stride, padding, dilation, strict=True)
    ]
    _require_values(call, axes)
    regular = all(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 == m
        for n, m, k, s, p, d in zip(sizes, extents, kernel, stride, padding, dilation, strict=True)
    )
    if regular:
        return call.emit(MaxPool(kernel, stride, padding, dilation), value)
    return _gathered(call, value, axes)


def _sliding(n: int, m: int, k: int, s: int, p: int, d: int) -> Taps:
    at = np.arange(m)[:, None] * s - p + d * np.arange(k)
    return np.where((at >= 0) & (at < n), at, -1)


def adaptive_maximum(call: Call, value: Value, extents: Sequence[int]) -> Value:
    """Maxima over the windows of an adaptive pool: i covers ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉."""
    sizes = own_shape(call, value)[1:]
    if 0 in extents:
        raise call.fail("pools to nothing", "give an output size of at least 1")
    if all(n % m == 0 for n, m in zip(sizes, extents, strict=True)):
        kernel = tuple(n // m for n, m in zip(sizes, extents, strict=True))
        rank = len(kernel)
        return call.emit(MaxPool(kernel, kernel, (0,) * rank, (1,) * rank), value)
    return _gathered(call, value, [_adaptive(n, m) for n, m in zip(sizes, extents, strict=True)])


def _adaptive(n: int, m: int) -> Taps:
    i = np.arange(m)[:, None]
    start, stop = i * n // m, -(-(i + 1) * n // m)
    at = start + np.arange(int((stop - start).max()))
    return np.where(at < stop, at, -1)


def _require_values(call: Call, axes: Sequence[Taps]) -> None:
    if any(bool((taps < 0).all(1).any()) for taps in axes):
        raise call.fail(
            "a window lies in the padding altogether, so that its maximum is −∞",
            "use smaller padding or dilation",
        )


def _gathered(call: Call, value: Value, axes: Sequence[Taps]) -> Value:
    shape = own_shape(call, value)
    index = np.zeros((1, 1), np.int64)
    for n, taps in zip(shape[1:], axes, strict=True):
        rows, columns = index[:, None, :, None], taps[None, :, None, :]
        both = np.where((rows >= 0) & (columns >= 0), rows * n + columns, -1)
        index = both.reshape(len(index) * len(taps), -1)
    first = np.take_along_axis(index, (index >= 0).argmax(1)[:, None], 1)
    index = np.where(index < 0, first, index)
    images = np.arange(shape[0])[:, None, None] * math.prod(shape[1:]) + index
    windows = arranged(call, value, images, (*_lead(value), *feature_axes(3)), "windows")
    size = index.shape[1]
    found = call.emit(MaxPool((1, size), (1, size), (0, 0), (1, 1)), windows)
    extents = (shape[0], *(len(taps) for taps in axes))
    return arranged(call, found, numbered(extents), value.axes, "shape")


def _lead(value: Value) -> tuple[Any, ...]:
    return tuple(axis for axis in value.axes if axis != "F")


def extremum(call: Call, x: Tensor, dim: Any, keepdim: bool, least: bool) -> Value:
    """max, amax, min and amin over features."""
    value, positions = along(call, x, dim)
    shape = own_shape(call, value)
    gone = [value.features.index(i) for i in positions]
    kept = [i for i in range(len(shape)) if i not in gone]
    count = math.prod(shape[i] for i in gone)
    if least:
        value = multiplied(call, value, -1, "neg")
    index = numbered(shape).transpose([*kept, *gone]).reshape(-1, count)
    rows = arranged(call, value, index, (*_lead(value), *feature_axes(2)), "rows")
    found = call.emit(MaxPool((count,), (count,), (0,), (1,)), rows, label="max" if least else "")
    if least:
        found = multiplied(call, found, -1)
    extents = [1 if i in gone else n for i, n in enumerate(shape)]
    axes = value.axes
    if not keepdim:
        extents = [shape[i] for i in kept]
        axes = tuple(a for i, a in enumerate(axes) if i not in positions)
    return arranged(call, found, numbered(extents), axes, "shape")
