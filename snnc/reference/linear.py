"""The stateless operations, written as their definitions say; shared by both executors.

Everything here keeps the dtype of its input (float64 or int64) and takes arrays of shape
(sample, …). Kernels are walked tap by tap: slow, and easy to check against the equations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import Conv, Flatten, Linear, Node, Pool, Scale
from snnc.ir.ops import window_extents

A = NDArray[Any]


def apply(name: str, node: Node, x: A) -> A:
    """Output of a stateless node for the summed input `x`."""
    match node:
        case Linear():
            return _shifted(_biased(x @ node.weight.astype(x.dtype).T, node.bias), node.exp)
        case Conv():
            return _shifted(_biased(_convolve(name, node, x), node.bias), node.exp)
        case Pool():
            total = sum(view for _, view in taps(name, x, node.kernel, node.stride, node.padding))
            return np.asarray(total) / node.window if node.mode == "avg" else np.asarray(total)
        case Flatten():
            rank = x.ndim - 1
            first, last = 1 + node.start % rank, 1 + node.end % rank
            return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])
        case Scale():
            return _biased(x * _channels(node.weight, x), node.bias)
        case _:
            raise GraphError(name, f"{type(node).__name__} is not a stateless operation")


def _channels(values: A, x: A) -> A:
    """`values` per channel, shaped to broadcast against (sample, channel, …)."""
    return values.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


def _biased(x: A, bias: A | None) -> A:
    return x if bias is None else x + _channels(bias, x)


def _shifted(x: A, exp: int) -> A:
    if exp == 0:
        return x
    return x << exp if exp > 0 else x >> -exp


def _convolve(name: str, node: Conv, x: A) -> A:
    out, per_group = node.weight.shape[:2]
    weight: A = node.weight.astype(x.dtype)
    share = out // node.groups
    parts: list[A] = []
    for group in range(node.groups):
        channels = x[:, group * per_group : (group + 1) * per_group]
        rows = weight[group * share : (group + 1) * share]
        windows = taps(name, channels, node.kernel, node.stride, node.padding, node.dilation)
        total = sum(
            np.einsum("oc,nc...->no...", rows[tap(k)], view, optimize=True) for k, view in windows
        )
        parts.append(np.asarray(total))
    return np.concatenate(parts, axis=1)


def tap(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Index of a kernel tap in (out, in, *kernel), or of a window in (sample, channel, …)."""
    return (slice(None), slice(None), *index)


def taps(
    name: str,
    x: A,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] | None = None,
) -> Iterator[tuple[tuple[int, ...], A]]:
    """For each tap k of the kernel: (k, the input value that it meets at every position)."""
    dilation = dilation or (1,) * len(kernel)
    extents = window_extents(name, x.shape[2:], kernel, stride, padding, dilation)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    for k in itertools.product(*map(range, kernel)):
        slices = tuple(
            slice(d * i, d * i + s * (n - 1) + 1, s)
            for i, d, s, n in zip(k, dilation, stride, extents, strict=True)
        )
        yield k, padded[tap(slices)]
