"""Stateless nodes as matrices (out, in) over flat arrays, last axis fastest; nothing dense that
the graph doesn't hold as a dense matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Conv, ConvTranspose, Gather, Linear, Node, Place, Pool, Sparse
from snnc.ir.ops import window_extents

A = NDArray[Any]
Matrix: TypeAlias = Any
"""A dense array, or rows as a scipy csr_array (which has no types of its own)."""
MATRIX_MAX = 1 << 24
"""Most synapses that a hop may have where it must be written out as a matrix."""

Plane = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """A convolution over (C, H, W) of a population's messages."""

    node: Conv
    in_shape: Plane


def in_plane(node: Conv, shape: tuple[int, ...]) -> Window:
    """A convolution over one or two axes as one over (C, H, W)."""
    if len(shape) == 3:
        return Window(node, (shape[0], shape[1], shape[2]))
    flat = replace(
        node,
        weight=node.weight[:, :, None, :],
        stride=(1, *node.stride),
        padding=(0, *node.padding),
        dilation=(1, *node.dilation),
    )
    return Window(flat, (shape[0], 1, shape[1]))


def matrix(name: str, node: Node, shape: tuple[int, ...]) -> Matrix:
    """A stateless node on an input of `shape`, without its exponent.

    Raises:
        RefusedError: more than `MATRIX_MAX` synapses.
    """
    match node:
        case Linear():
            return node.weight
        case Sparse():
            rows, columns = math.prod(node.out_shape), math.prod(node.in_shape)
            entries = (node.weight.astype(np.int64), node.indices, node.indptr)
            found = sparse.csr_array(entries, shape=(rows, columns), copy=True)
            found.sum_duplicates()
            return found
        case Conv():
            return window_matrix(name, in_plane(node, shape))
        case ConvTranspose():
            return _transposed(name, node, shape)
        case Place() | Gather():
            return _index_matrix(index_map(node, shape), math.prod(shape))
        case _:
            assert isinstance(node, Pool)
            ones = np.ones((shape[0], 1, *node.kernel), np.int64)
            taps = Conv(ones, None, node.stride, node.padding, (1,) * len(node.kernel), shape[0])
            return window_matrix(name, in_plane(taps, shape))


def index_map(node: Place | Gather, shape: tuple[int, ...]) -> A:
    """For every value of the flat output the value of the flat input that it is, −1 for zero."""
    if isinstance(node, Gather):
        return node.index.reshape(-1)
    inner = math.prod(shape[1:])
    found = np.full(node.extent * inner, -1, np.int64)
    found[node.start * inner : (node.start + shape[0]) * inner] = np.arange(shape[0] * inner)
    return found


def _index_matrix(index: A, size: int) -> sparse.csr_array:
    kept = index >= 0
    starts = np.concatenate(([0], np.cumsum(kept)))
    return sparse.csr_array(
        (np.ones(int(starts[-1]), np.int64), index[kept], starts), shape=(len(index), size)
    )


def _transposed(name: str, node: ConvTranspose, shape: tuple[int, ...]) -> sparse.csr_array:
    """The transpose of the matrix of the convolution of which `node` is the adjoint.

    That convolution maps the output's plane to the input's: where `node` adds
    W[o, c, k]·x[c, p] to y[o, s·p − pad + d·k], it adds W[o, c, k]·y[o, s·p − pad + d·k] to
    x[c, p], so its kernel is W with the channels of every group swapped.
    """
    out, per_group = node.weight.shape[:2]
    grouped = node.weight.reshape(node.groups, out // node.groups, per_group, *node.kernel)
    swapped = grouped.swapaxes(1, 2).reshape(node.groups * per_group, -1, *node.kernel)
    adjoint = Conv(swapped, None, node.stride, node.padding, node.dilation, node.groups)
    window = in_plane(adjoint, (out, *node.extents(shape[1:])))
    extents = shape[1:] if len(shape) == 3 else (1, *shape[1:])
    return window_matrix(name, window, extents).T.tocsr()


def window_matrix(
    name: str, window: Window, extents: Sequence[int] | None = None
) -> sparse.csr_array:
    """A convolution as a matrix over flat (C, H, W) arrays; padding and zero weights left out.

    Args:
        extents: positions along each axis, where they are not all that fit.

    Raises:
        RefusedError: more than `MATRIX_MAX` synapses.
    """
    conv, (channels, height, width) = window.node, window.in_shape
    out, per_group = conv.weight.shape[:2]
    extents = extents or window_extents(
        name, (height, width), conv.kernel, conv.stride, conv.padding, conv.dilation
    )
    positions, taps = math.prod(extents), per_group * math.prod(conv.kernel)
    refuse_large(name, out * positions * taps)
    index = np.pad(
        np.arange(channels * height * width, dtype=np.int32).reshape(channels, height, width),
        [(0, 0), *((p, p) for p in conv.padding)],
        constant_values=-1,
    )
    at = [
        s * np.arange(n)[:, None] + d * np.arange(k)
        for s, n, d, k in zip(conv.stride, extents, conv.dilation, conv.kernel, strict=True)
    ]
    met = index[:, at[0][:, None, :, None], at[1][None, :, None, :]]
    met = met.reshape(conv.groups, per_group, positions, -1).transpose(0, 2, 1, 3)
    met = met.reshape(conv.groups, positions, taps)
    share = out // conv.groups
    weights = conv.weight.reshape(conv.groups, share, taps)
    values, columns, counts = [], [], []
    for group, inside in enumerate(met >= 0):
        values.append(weights[group][:, np.nonzero(inside)[1]].astype(np.int64).ravel())
        columns.append(np.tile(met[group][inside], share))
        counts.append(np.tile(inside.sum(1), share))
    starts = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
    found = sparse.csr_array(
        (np.concatenate(values), np.concatenate(columns), starts),
        shape=(out * positions, channels * height * width),
    )
    found.eliminate_zeros()
    return found


def refuse_large(name: str, synapses: int) -> None:
    """Refuses a hop that has to be written out and is too large for it."""
    if synapses > MATRIX_MAX:
        raise RefusedError(
            name,
            f"has to be written out as {synapses:,} synapses, more than {MATRIX_MAX:,}",
            "use fewer channels or a smaller map here, a kernel exponent of 0, or a pool that"
            " divides its input",
        )


__all__ = [
    "Matrix",
    "Plane",
    "Window",
    "in_plane",
    "index_map",
    "matrix",
    "refuse_large",
    "window_matrix",
]
