"""Fixed connections in the words that NIR has: matrices, convolutions of one tap, and masks.

NIR can neither reorder nor reshape values, and it has no transposed convolution; its Linear takes
and gives a flat signal. What these can't say exactly is refused.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir.ops import Array, Conv, ConvTranspose, Gather, Linear, Place, Scale, Sparse
from snnc.ir.signals import Signal

DENSE_MAX = 1 << 20
"""Most weights that a connection without weights of its own may take in a NIR file."""

ELSEWHERE = "write a .pt file instead of a .nir file; snnc reads it back exactly"


def wired(name: str, node: Place | Gather, x: Signal) -> Scale | Conv | Linear:
    """The same map of an input of type `x` as a mask, as a convolution that moves channels and
    pads, crops or thins out the axes, or else as a matrix between flattened signals.

    Raises:
        GraphError: the output is not flat and the map is none of the first two; too many weights.
    """
    index = _index(node, x)
    mask = index >= 0
    if index.shape == x.shape and np.array_equal(index[mask], np.flatnonzero(mask)):
        return Scale(mask.astype(np.float64))
    conv = _one_tap(name, index, x.shape)
    if conv is not None:
        return conv
    if index.ndim != 1:
        raise GraphError(
            name,
            f"NIR has no node that arranges values of shape {x.shape} as {index.shape}",
            ELSEWHERE,
        )
    weight = _zeros(name, (index.size, x.size), np.dtype(np.float64))
    weight[np.flatnonzero(mask), index[mask]] = 1
    return Linear(weight)


def dense(name: str, node: Sparse) -> Linear:
    """The same weights as a matrix between flattened signals.

    Raises:
        GraphError: the output isn't flat, or the matrix is too large.
    """
    if len(node.out_shape) != 1:
        raise GraphError(
            name,
            f"NIR has no sparse connection to a signal of shape {node.out_shape}; its Linear gives"
            " a flat one",
            ELSEWHERE,
        )
    rows = np.repeat(np.arange(node.out_shape[0]), np.diff(node.indptr.astype(np.int64)))
    columns = math.prod(node.in_shape)
    places = rows * columns + node.indices
    single = np.unique(places).size == places.size
    dtype = node.weight.dtype if single else np.dtype(np.float64)
    weight = _zeros(name, (node.out_shape[0], columns), dtype)
    np.add.at(weight.reshape(-1), places, node.weight)
    return Linear(weight, node.bias)


def as_conv(name: str, node: ConvTranspose, x: Signal) -> Conv:
    """The convolution that equals a transposed one of stride 1: its kernel turned round.

    Raises:
        GraphError: NIR has no equal node.
    """
    wide = [s > 1 and n > 1 for s, n in zip(node.stride, x.shape[1:], strict=True)]
    padding = tuple(
        d * (k - 1) - p for d, k, p in zip(node.dilation, node.kernel, node.padding, strict=True)
    )
    if any(wide) or any(node.output_padding) or min(padding) < 0:
        raise GraphError(
            name,
            f"NIR has no transposed convolution; only one of stride 1 equals a convolution, this"
            f" has stride {node.stride}, padding {node.padding} and output padding"
            f" {node.output_padding}",
            ELSEWHERE,
        )
    rank = len(node.kernel)
    turned = np.ascontiguousarray(np.flip(node.weight, tuple(range(2, 2 + rank))))
    return Conv(turned, node.bias, (1,) * rank, padding, node.dilation, node.groups)


def _index(node: Place | Gather, x: Signal) -> NDArray[np.int64]:
    if isinstance(node, Gather):
        return node.index.astype(np.int64)
    index = np.full((node.extent, *x.shape[1:]), -1, np.int64)
    index[node.start : node.start + x.shape[0]] = np.arange(x.size).reshape(x.shape)
    return index


def _zeros(name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    if math.prod(shape) > DENSE_MAX:
        raise GraphError(
            name,
            f"in NIR it takes {math.prod(shape):,} weights, one for each input and output; the"
            f" limit is {DENSE_MAX:,}",
            ELSEWHERE,
        )
    return np.zeros(shape, dtype)


def _one_tap(name: str, index: NDArray[np.int64], shape: tuple[int, ...]) -> Conv | None:
    """The convolution that gives y[c, i] = x[channel[c], stride·i + offset], 0 outside; None where
    `index` is no such map."""
    kept = index >= 0
    if index.ndim != len(shape) or index.ndim not in (2, 3) or not kept.any():
        return None
    first, *coordinates = np.unravel_index(np.where(kept, index, 0), shape)
    channel = np.where(kept, first, -1).max(axis=tuple(range(1, index.ndim)))
    lines = [_line(np.where(kept, c, -1), axis, shape) for axis, c in enumerate(coordinates, 1)]
    if not np.array_equal(index, _rebuilt(channel, lines, index.shape[1:], shape)):
        return None
    windows = [
        _window(n, m, *line) for n, m, line in zip(shape[1:], index.shape[1:], lines, strict=True)
    ]
    kernel, padding, tap = zip(*windows, strict=True)
    weight = _zeros(name, (index.shape[0], shape[0], *kernel), np.dtype(np.float64))
    out = np.flatnonzero(channel >= 0)
    weight[..., *tap][out, channel[out]] = 1
    stride = tuple(stride for stride, _ in lines)
    return Conv(weight, None, stride, padding, (1,) * len(stride))


def _line(coordinate: NDArray[np.int64], axis: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """(stride, offset) of the source coordinate along `axis`, −1 where there is none.

    A single coordinate has the stride that leads out of the input on both sides.
    """
    others = tuple(a for a in range(coordinate.ndim) if a != axis)
    line = coordinate.max(axis=others)
    at = np.flatnonzero(line >= 0)
    first, last = int(at[0]), int(at[-1])
    alone = first == last
    rise = shape[axis] if len(line) > 1 else 1
    stride = rise if alone else max(1, int(line[last] - line[first]) // (last - first))
    return stride, int(line[first]) - stride * first


def _rebuilt(
    channel: NDArray[np.int64],
    lines: list[tuple[int, int]],
    extents: tuple[int, ...],
    shape: tuple[int, ...],
) -> NDArray[np.int64]:
    places = [s * np.arange(m) + o for m, (s, o) in zip(extents, lines, strict=True)]
    grid = np.ix_(channel, *places)
    inside = np.ones((), bool)
    for place, n in zip(grid, shape, strict=True):
        inside = inside & (place >= 0) & (place < n)
    flat = np.zeros((), np.int64)
    for place, n in zip(grid, shape, strict=True):
        flat = flat * n + place
    return np.where(inside, flat, -1)


def _window(n: int, m: int, stride: int, offset: int) -> tuple[int, int, int]:
    """(kernel, padding, tap) with which m windows of stride `stride` over n values start at
    `offset` at their tap: the smallest padding, then the smallest kernel."""
    reach = stride * (m - 1)
    padding = max(0, -offset, reach + offset + 1 - n)
    tap = offset + padding
    return max(tap + 1, n + 2 * padding - reach - (stride - 1)), padding, tap


__all__ = ["DENSE_MAX", "ELSEWHERE", "as_conv", "dense", "wired"]
