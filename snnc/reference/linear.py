"""The stateless operations, written as their definitions say; shared by both executors.

Everything here keeps the dtype of its input (float64 or int64) and takes arrays of shape
(sample, …). Kernels are walked tap by tap: slow, and easy to check against the equations.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Flatten,
    Gather,
    Linear,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Node,
    Normalise,
    Place,
    Pool,
    Scale,
    Sparse,
    Sum,
    Weighted,
)
from snnc.reference.host import apply_host
from snnc.reference.windows import tap, taps

A = NDArray[Any]


def apply(name: str, node: Node, x: A) -> A:
    """Output of a stateless node for the summed input `x`."""
    if isinstance(node, Weighted):
        return _shifted(_biased(_product(name, node, x), node.bias), node.exp)
    match node:
        case Pool():
            total = sum(view for _, view in taps(name, x, node.kernel, node.stride, node.padding))
            return np.asarray(total) / node.window if node.mode == "avg" else np.asarray(total)
        case Flatten() | Place() | Gather() | Sum():
            return _arranged(node, x)
        case Scale():
            return _biased(x * _channels(node.weight, x), node.bias)
        case MatMul():
            return _matmul(node, x)
        case Map() | MaxPool() | Normalise() | Multiply():
            return apply_host(name, node, x)
        case _:
            raise GraphError(name, f"{type(node).__name__} is not a stateless operation")


def _product(name: str, node: Weighted, x: A) -> A:
    match node:
        case Linear():
            return x @ node.weight.astype(x.dtype).T
        case Conv():
            return _convolve(name, node, x)
        case ConvTranspose():
            return _spread(node, x)
        case Sparse():
            return _by_entries(node, x)


def _arranged(node: Flatten | Place | Gather | Sum, x: A) -> A:
    match node:
        case Flatten():
            rank = x.ndim - 1
            first, last = 1 + node.start % rank, 1 + node.end % rank
            return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])
        case Place():
            y = np.zeros((len(x), node.extent, *x.shape[2:]), x.dtype)
            y[:, node.start : node.start + x.shape[1]] = x
            return y
        case Gather():
            kept = x.reshape(len(x), -1)[:, node.index]
            return np.where(node.index < 0, x.dtype.type(0), kept)
        case Sum():
            return x


def _channels(values: A, x: A) -> A:
    """`values` per channel or per value, shaped to broadcast against (sample, channel, …)."""
    values = values.astype(x.dtype)
    return values if values.ndim == x.ndim - 1 else values.reshape(-1, *(1,) * (x.ndim - 2))


def _biased(x: A, bias: A | None) -> A:
    return x if bias is None else x + _channels(bias, x)


def _shifted(x: A, exp: int) -> A:
    if exp == 0:
        return x
    return x << exp if exp > 0 else x >> -exp


def _grouped(node: Conv | ConvTranspose, dtype: Any) -> A:
    """Weights as (*kernel, group, out, in), the channels counted within the group."""
    out, per_group = node.weight.shape[:2]
    shape = (node.groups, out // node.groups, per_group, *node.kernel)
    weight: A = node.weight.astype(dtype).reshape(shape)
    return np.moveaxis(weight, (0, 1, 2), (-3, -2, -1))


def _convolve(name: str, node: Conv, x: A) -> A:
    weight = _grouped(node, x.dtype)
    total: A = np.zeros((), x.dtype)
    for k, met in taps(name, x, node.kernel, node.stride, node.padding, node.dilation):
        extents = met.shape[2:]
        inputs = met.reshape(len(x), node.groups, weight.shape[-1], -1)
        total = total + weight[k] @ inputs
    return total.reshape(len(x), len(node.weight), *extents)


def _spread(node: ConvTranspose, x: A) -> A:
    """Adds W[o, c, k]·x[c, p] at s·p + d·k of a frame of which the padding is then cut off."""
    weight = _grouped(node, x.dtype)
    extents, small = node.extents(x.shape[2:]), x.shape[2:]
    frame = [
        max(n + 2 * p, s * (m - 1) + d * (k - 1) + 1)
        for n, p, s, m, d, k in zip(
            extents, node.padding, node.stride, small, node.dilation, node.kernel, strict=True
        )
    ]
    inputs = x.reshape(len(x), node.groups, weight.shape[-1], -1)
    total = np.zeros((len(x), len(node.weight), *frame), x.dtype)
    for k in itertools.product(*map(range, node.kernel)):
        where = tuple(
            slice(d * i, d * i + s * (m - 1) + 1, s)
            for i, d, s, m in zip(k, node.dilation, node.stride, small, strict=True)
        )
        products = weight[k] @ inputs
        total[tap(where)] += products.reshape(len(x), len(node.weight), *small)
    inside = tuple(slice(p, p + n) for p, n in zip(node.padding, extents, strict=True))
    return np.ascontiguousarray(total[tap(inside)])


def _by_entries(node: Sparse, x: A) -> A:
    """Every weight times its input, added up row by row."""
    flat = x.reshape(len(x), -1)
    rows = np.repeat(np.arange(len(node.indptr) - 1), np.diff(node.indptr))
    total = np.zeros((len(node.indptr) - 1, len(x)), x.dtype)
    np.add.at(total, rows, (flat[:, node.indices] * node.weight.astype(x.dtype)).T)
    return np.ascontiguousarray(total.T).reshape(len(x), *node.out_shape)


def _matmul(node: MatMul, x: A) -> A:
    split = node.sizes[0]
    left = x[:, :split].reshape(len(x), node.heads, node.rows, node.inner)
    right = x[:, split:].reshape(len(x), node.heads, node.inner, node.columns)
    return left @ right
