"""Rules of the tracer for average pooling, and the window sums that max-pooling shares.

`Pool` is torch's plain window. What it can't say is put around it exactly: a zero border that only
one side has (`ceil_mode`) is a `Gather`, a divisor that differs between positions is a `Scale`,
windows of unequal size are the rows of a `Sparse` matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape, settled
from snnc.frontends.values import Value, describe
from snnc.ir import Conv, Pool, Scale, Sparse

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Ints = int | Sequence[int]
F64 = NDArray[np.float64]

LARGEST_MAP = 1 << 26
"""Entries of a dense matrix between two images that the tracer is willing to look through."""


def per_axis(value: Ints, rank: int) -> tuple[int, ...]:
    """One integer per axis."""
    if isinstance(value, int):
        return (value,) * rank
    values = tuple(int(item) for item in value)
    return values * rank if len(values) == 1 else values


def image(call: Call, x: Tensor, rank: int, linear: bool = True) -> Value:
    """The input of a layer that takes (batch, channel, `rank` axes); time may be merged into the
    batch.

    Raises:
        TraceError: its axes are others.
    """
    return batch_then(call, x, call.layer_input(x, linear), rank + 1)


def batch_then(call: Call, x: Tensor, value: Value, features: int) -> Value:
    """`value` with the axes (batch, feature…).

    Raises:
        TraceError: its axes are others.
    """
    if "T" in value.axes[1:]:
        value = settled(call, x, value)
    if value.axes[0] not in ("B", "TB", "BT") or value.axes[1:] != ("F",) * features:
        raise call.fail(
            f"it takes (batch, {features} feature axes), but the axes of its input are"
            f" {describe(value)}",
            "give the example with its batch axis; pass time_axis= if an axis is time",
        )
    return value


def window_sum(
    call: Call,
    value: Value,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    extents: Sequence[int],
) -> Value:
    """Sums over windows of which there are `extents`, zero outside the image."""
    shape = own_shape(call, value)
    value, padding = _reaching(call, value, kernel, stride, padding, dilation, extents)
    if all(d == 1 for d in dilation):
        return call.emit(Pool(kernel, stride, padding, "sum"), value, label="sum")
    ones = np.ones((shape[0], 1, *kernel))
    return call.emit(Conv(ones, None, stride, padding, dilation, shape[0]), value, label="sum")


def _reaching(
    call: Call,
    value: Value,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    extents: Sequence[int],
) -> tuple[Value, tuple[int, ...]]:
    """The image and the padding under which plain windows number exactly `extents`."""
    shape = own_shape(call, value)
    reach = [
        (m - 1) * s + d * (k - 1) + 1 - n - 2 * p
        for m, s, d, k, n, p in zip(
            extents, stride, dilation, kernel, shape[1:], padding, strict=True
        )
    ]
    if all(extra <= 0 for extra in reach):
        return value, padding
    pads = [(0, 0), *((p, max(0, p + extra)) for p, extra in zip(padding, reach, strict=True))]
    index = np.pad(numbered(shape), pads, constant_values=-1)
    return arranged(call, value, index, value.axes, "border"), (0,) * len(padding)


def avg_pool(
    call: Call,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """F.avg_pool1d and 2d; with `divisor_override=1` it is a sum."""
    rank = 1 if "1d" in call.name else 2
    value = image(call, x, rank)
    kernel = per_axis(kernel_size, rank)
    given = stride is not None and (isinstance(stride, int) or len(stride) > 0)
    steps = per_axis(stride, rank) if given and stride is not None else kernel
    pads, extents = per_axis(padding, rank), tuple(call.result_tensor.shape[-rank:])
    shape = own_shape(call, value)[1:]
    ones = torch.ones((1, 1, *shape), dtype=torch.float64)
    averages = call.func(ones, *call.args[1:], **call.kwargs)[0, 0].numpy()
    factors = averages / _counts(shape, kernel, steps, pads, extents)
    window = int(np.prod(kernel))
    if np.allclose(factors, 1 / window, rtol=1e-12):
        value, pads = _reaching(call, value, kernel, steps, pads, (1,) * rank, extents)
        return call.emit(Pool(kernel, steps, pads), value)
    total = window_sum(call, value, kernel, steps, pads, (1,) * rank, extents)
    channels = own_shape(call, total)[0]
    if np.ptp(factors) == 0:
        weight = np.full(channels, factors.flat[0])
    else:
        weight = np.broadcast_to(factors, (channels, *factors.shape)).copy()
    return total if bool((weight == 1).all()) else call.emit(Scale(weight), total)


def _counts(
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    extents: Sequence[int],
) -> NDArray[np.int64]:
    """Values inside the image, of each window."""
    counts = np.ones((), np.int64)
    for n, k, s, p, m in zip(shape, kernel, stride, padding, extents, strict=True):
        first = np.arange(m) * s - p
        counts = np.multiply.outer(counts, np.minimum(first + k, n) - np.maximum(first, 0))
    return counts


def adaptive_avg_pool(call: Call, x: Tensor, output_size: Any) -> Value:
    """F.adaptive_avg_pool1d and 2d."""
    rank = 1 if "1d" in call.name else 2
    value = image(call, x, rank)
    return _adaptive(call, value, call.result_tensor.shape[-rank:], mean=True)


def adaptive_sum(call: Call, value: Value, extents: Sequence[int]) -> Value:
    """Sums over the windows of an adaptive pool."""
    return _adaptive(call, value, extents, mean=False)


def _adaptive(call: Call, value: Value, extents: Sequence[int], mean: bool) -> Value:
    shape = own_shape(call, value)[1:]
    if 0 in extents:
        raise call.fail("pools to nothing", "give an output size of at least 1")
    if all(n % m == 0 for n, m in zip(shape, extents, strict=True)):
        kernel = tuple(n // m for n, m in zip(shape, extents, strict=True))
        pool = Pool(kernel, kernel, (0,) * len(kernel), "avg" if mean else "sum")
        return call.emit(pool, value, label="" if mean else "sum")
    matrix = np.ones((1, 1))
    for n, m in zip(shape, extents, strict=True):
        axis = _adaptive_windows(n, m)
        matrix = np.kron(matrix, axis / axis.sum(1, keepdims=True) if mean else axis)
    return mapped(call, value, matrix, extents)


def _adaptive_windows(n: int, m: int) -> F64:
    """(m, n): window i covers floor(i·n/m) to ceil((i + 1)·n/m) (torch, AdaptiveAveragePooling)."""
    i, at = np.arange(m)[:, None], np.arange(n)[None]
    return ((at >= i * n // m) & (at < -(-(i + 1) * n // m))).astype(np.float64)


def mapped(call: Call, value: Value, matrix: F64, extents: Sequence[int]) -> Value:
    """Every channel's image multiplied by a matrix (positions of the output, of the input).

    One that only copies positions is a Gather.
    """
    shape = own_shape(call, value)
    channels, size = shape[0], matrix.shape[1]
    rows, columns = np.nonzero(matrix)
    weights = matrix[rows, columns]
    counts = np.bincount(rows, minlength=len(matrix))
    steps = np.arange(channels, dtype=np.int64)[:, None] * size
    if bool((counts == 1).all()) and bool((weights == 1).all()):
        index = (steps + columns).reshape(channels, *extents)
        return arranged(call, value, index, value.axes)
    node = Sparse(
        np.tile(weights, channels),
        (steps + columns).reshape(-1),
        np.concatenate(([0], np.tile(counts, channels).cumsum())).astype(np.int64),
        shape,
        (channels, *extents),
    )
    return call.emit(node, value)


def probed(call: Call, x: Tensor, value: Value) -> Value:
    """A linear function of images, channel by channel, as the matrix that it applies.

    Raises:
        TraceError: the matrix is too large to look through.
    """
    shape = own_shape(call, value)[1:]
    size, extents = int(np.prod(shape)), tuple(call.result_tensor.shape[-len(shape) :])
    if size * int(np.prod(extents)) > LARGEST_MAP:
        raise call.fail(
            f"maps {size} positions to {int(np.prod(extents))}, which is too large to trace",
            "use mode='nearest'",
        )
    basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, *shape)
    images = call.func(basis, *call.args[1:], **call.kwargs)
    return mapped(call, value, images.reshape(size, -1).numpy().T, extents)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), avg_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), adaptive_avg_pool),
}
"""By name of the function."""
