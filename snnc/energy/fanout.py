"""How many outputs a value of a layer's input reaches, exactly, borders and strides included.

Per axis, input i reaches tap k of output (i + p − d·k) / s where that is a whole number inside the
output; a transposed convolution reaches s·i − p + d·k. A channel reaches the out / groups channels
of its group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, ConvTranspose, Linear, Sparse, Weighted

A = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FanOut:
    """Fan-out of the inputs of a layer.

    Attributes:
        all: int64, broadcasts against the input's shape: products that an input value makes.
        nonzero: the same without the products with weights that are 0; the same array where no
            weight is.
        dense: products of one evaluation by the formula, padding included.
        size: number of input values.
    """

    all: A
    nonzero: A
    dense: int
    size: int

    @property
    def taps(self) -> int:
        """Products of one evaluation whose input lies inside the frame."""
        return int(self.all.sum()) * (self.size // self.all.size)


def fan_out(node: Weighted, shape: Shape) -> FanOut:
    """Fan-out of a weighted node for inputs of `shape` (without the sample axis); convolutions may
    have any number of axes."""
    match node:
        case Linear():
            every, kept = _linear(node)
        case Sparse():
            every, kept = _sparse(node)
        case Conv() | ConvTranspose():
            every, kept = _windows(node, shape)
    return FanOut(every, kept, _dense(node, shape), math.prod(shape))


def _linear(node: Linear) -> tuple[A, A]:
    every = np.full(1, len(node.weight), np.int64)
    kept = np.count_nonzero(node.weight, axis=0)
    return every, every if (kept == len(node.weight)).all() else kept.astype(np.int64)


def _sparse(node: Sparse) -> tuple[A, A]:
    size = math.prod(node.in_shape)
    every = np.bincount(node.indices, minlength=size)
    kept = np.bincount(node.indices[node.weight != 0], minlength=size)
    return every.reshape(node.in_shape), kept.reshape(node.in_shape)


def reached(node: Conv | ConvTranspose, extents: Shape) -> list[A]:
    """By axis, (input, tap) bool: whether that tap takes the input to an output that exists."""
    if isinstance(node, ConvTranspose):
        out = node.extents(extents)
    else:
        out = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                extents, node.padding, node.dilation, node.kernel, node.stride, strict=True
            )
        )
    tables = []
    for axis, (n, m, k) in enumerate(zip(extents, out, node.kernel, strict=True)):
        i, tap = np.arange(n)[:, None], np.arange(k)[None, :]
        s, p, d = node.stride[axis], node.padding[axis], node.dilation[axis]
        if isinstance(node, ConvTranspose):
            to, whole = s * i - p + d * tap, np.True_
        else:
            to, whole = (i + p - d * tap) // s, (i + p - d * tap) % s == 0
        tables.append((to >= 0) & (to < m) & whole)
    return tables


def _windows(node: Conv | ConvTranspose, shape: Shape) -> tuple[A, A]:
    tables = reached(node, shape[1:])
    out, groups = len(node.weight) // node.groups, node.groups
    every = np.full((1,) * len(shape), out, np.int64)
    for axis, table in enumerate(tables):
        count = table.sum(1, dtype=np.int64)
        every = every * count.reshape(-1, *(1,) * (len(tables) - axis - 1))
    if np.all(node.weight):
        return every, every
    # Zero weights by input channel and tap, then over the taps that reach an output.
    zeros, row = np.flatnonzero(node.weight == 0), node.weight[0].size
    lost = np.bincount(zeros // (row * out) * row + zeros % row, minlength=groups * row)
    lost = lost.reshape(shape[0], *node.kernel)
    for table in tables:
        # The first tap axis becomes the last input axis; after all axes the order is right again.
        lost = np.tensordot(lost, table.astype(np.int64), ([1], [1]))
    return every, every - lost


def _dense(node: Weighted, shape: Shape) -> int:
    match node:
        case Linear():
            return int(node.weight.size)
        case Sparse():
            return int(node.weight.size)
        case ConvTranspose():
            # Every input is multiplied with the whole kernel; what is cropped counts.
            return int(node.weight.size) * math.prod(shape[1:])
        case Conv():
            extents = (
                (n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, p, d, k, s in zip(
                    shape[1:], node.padding, node.dilation, node.kernel, node.stride, strict=True
                )
            )
            return int(node.weight.size) * math.prod(extents)


__all__ = ["FanOut", "fan_out", "reached"]
