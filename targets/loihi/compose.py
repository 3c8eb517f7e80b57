"""Composition: pools, index maps and weights of a hop as the weights of one synapse, exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Conv, Delay, Flatten, Gather, Graph, Node, Place, Pool, Sum, Weighted
from snnc.ir.ops import window_extents
from snnc.passes.limits import Limits
from snnc.targets.loihi.hops import Hop, Path
from snnc.targets.loihi.matrices import (
    Matrix,
    Window,
    in_plane,
    index_map,
    matrix,
    refuse_large,
)

A = NDArray[Any]
Step = tuple[Node, tuple[int, ...]]
"""A node with the shape of its input."""


@dataclass(frozen=True)
class Composed:
    """The weights of one synapse: (W·x)·2^exp floored, W as a window, dense or in rows."""

    weights: Window | Matrix
    exp: int


def compose(graph: Graph, hop: Hop) -> Composed:
    """The hop as one linear map with one exponent; its Delay nodes are left to the synapse.

    Raises:
        RefusedError: a map that has to be written out and has too many synapses.
    """
    paths = [_steps(graph, path) for path in hop.paths]
    exps = [sum(node.exp for node, _ in steps if isinstance(node, Weighted)) for steps in paths]
    if len(paths) == 1:
        window = _as_window(hop.label, paths[0])
        if window is not None:
            return Composed(replace(window, node=replace(window.node, exp=0)), exps[0])
    size, least = graph.signals[hop.source].size, min(exps)
    total = _product(hop.label, paths[0], size)
    total = total * (1 << (exps[0] - least)) if exps[0] > least else total
    for steps, exp in zip(paths[1:], exps[1:], strict=True):
        total = total + _product(hop.label, steps, size) * (1 << (exp - least))
    return Composed(total, least)


def _steps(graph: Graph, path: Path) -> list[Step]:
    steps = [(graph.nodes[name], graph.input_signal(name).shape) for name in path]
    return [(node, shape) for node, shape in steps if not isinstance(node, Flatten | Delay | Sum)]


def _as_window(name: str, steps: Sequence[Step]) -> Window | None:
    """The steps as one convolution, or None where that isn't exact."""
    if not steps or not isinstance(steps[-1][0], Conv):
        return None
    window: Window | None = in_plane(steps[-1][0], steps[-1][1])
    for node, before in reversed(steps[:-1]):
        if window is None:
            return None
        match node:
            case Pool():
                window = _through_pool(name, window, node, before)
            case Place() | Gather():
                window = _through_channels(window, node, before)
            case _:
                return None
    return window


def _through_channels(
    window: Window, node: Place | Gather, before: tuple[int, ...]
) -> Window | None:
    """conv(map(x)) as one convolution of x, where the map moves whole channels.

    Each channel of the kernel then moves with the channel that it would meet.
    """
    conv, (channels, height, width) = window.node, window.in_shape
    inner = height * width
    if conv.groups > 1 or len(before) < 2 or math.prod(before[1:]) != inner:
        return None
    if isinstance(node, Gather) and node.index.shape[1:] != before[1:]:
        return None
    index = index_map(node, before).reshape(channels, inner)
    source = index[:, 0] // inner
    moved = np.where(source[:, None] < 0, -1, source[:, None] * inner + np.arange(inner))
    if not np.array_equal(index, moved):
        return None
    weight = np.zeros((len(conv.weight), before[0], *conv.kernel), np.int64)
    for channel in np.flatnonzero(source >= 0):
        weight[:, source[channel]] += conv.weight[:, channel]
    return Window(replace(conv, weight=weight), (before[0], height, width))


def _through_pool(name: str, window: Window, pool: Pool, before: tuple[int, ...]) -> Window | None:
    """conv(pool(x)) as one convolution of x.

    With pool (K, S, P) and conv (k, s, p, d), output o meets x at
    S·(s·o − p + d·i) − P + j = S·s·o − (S·p + P) + (S·d·i + j): a kernel of extent
    S·d·(k − 1) + K that holds the weight i at S·d·i … S·d·i + K − 1. That is exact where
    the conv's zeros beyond the pooled map meet no input.
    """
    conv, pooled = window.node, window.in_shape
    axes = len(before) - 1
    if axes == 1:
        pool = Pool((1, *pool.kernel), (1, *pool.stride), (0, *pool.padding), "sum")
        before = (before[0], 1, before[1])
    if axes not in (1, 2) or len(pool.kernel) != 2:
        return None
    rows = zip(
        before[1:], pooled[1:], pool.kernel, pool.stride, pool.padding, conv.padding, strict=True
    )
    for n, m, width, step, pad, conv_pad in rows:
        if conv_pad and (width > step + pad or step * m - pad < n):
            return None
    spread = tuple(step * d for step, d in zip(pool.stride, conv.dilation, strict=True))
    extent = tuple(
        g * (k - 1) + width for g, k, width in zip(spread, conv.kernel, pool.kernel, strict=True)
    )
    weight = np.zeros((*conv.weight.shape[:2], *extent), np.int64)
    for j in itertools.product(*map(range, pool.kernel)):
        slices = tuple(
            slice(start, start + g * (k - 1) + 1, g)
            for start, g, k in zip(j, spread, conv.kernel, strict=True)
        )
        weight[:, :, *slices] += conv.weight
    merged = Conv(
        weight,
        None,
        tuple(a * b for a, b in zip(pool.stride, conv.stride, strict=True)),
        tuple(
            step * p + pad
            for step, p, pad in zip(pool.stride, conv.padding, pool.padding, strict=True)
        ),
        (1, 1),
        conv.groups,
        conv.exp,
    )
    plane = (before[0], before[1], before[2])
    wanted = window_extents(
        name, pooled[1:], conv.kernel, conv.stride, conv.padding, conv.dilation
    )  # fmt: skip
    found = window_extents(
        name, plane[1:], merged.kernel, merged.stride, merged.padding, merged.dilation
    )
    return Window(merged, plane) if wanted == found else None


def _product(name: str, steps: Sequence[Step], size: int) -> Matrix:
    """The product of the steps' matrices, without their exponents."""
    if not steps:
        return sparse.eye_array(size, dtype=np.int64, format="csr")
    *others, (last, shape) = steps
    total = matrix(name, last, shape)
    for node, before in reversed(others):
        right = matrix(name, node, before)
        if isinstance(total, np.ndarray):
            total = _dense_times(total, right)
        elif isinstance(right, np.ndarray) and (np.diff(total.indptr) == 0).any():
            total = (total @ sparse.csr_array(right.astype(np.int64))).tocsr()
        else:
            total = total @ right
    if isinstance(total, np.ndarray) and others:
        refuse_large(name, total.size)
    return total


def _dense_times(left: A, right: Matrix) -> A:
    if isinstance(right, np.ndarray):
        return left.astype(np.int64) @ right
    return np.ascontiguousarray((right.T @ left.T.astype(np.int64)).T)


def fit_weights(name: str, values: A, exp: int, limits: Limits) -> tuple[A, int]:
    """Weights and exponent moved into the chip's ranges: w·2^exp = w'·2^exp', so nothing changes.

    Raises:
        RefusedError: no exponent of the chip makes the weights representable.
    """
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low == high == 0:
        return values, min(max(exp, limits.exp_min), limits.exp_max)
    values = values.astype(np.int64)
    common = int(np.bitwise_or.reduce(np.abs(values).ravel()))
    twos = (common & -common).bit_length() - 1
    needed = limits.weight_step.bit_length() - 1
    shifts = [
        shift
        for shift in range(limits.exp_min - exp, limits.exp_max - exp + 1)
        if shift <= twos - needed
        and _scaled(low, shift) >= limits.weight_min
        and _scaled(high, shift) <= limits.weight_max
    ]
    if not shifts:
        raise RefusedError(
            name,
            f"weights {low}…{high} in steps of {1 << twos}, times 2^{exp}, don't fit into"
            f" {limits.weight_min}…{limits.weight_max} in steps of {limits.weight_step}, times"
            f" 2^{limits.exp_min}…2^{limits.exp_max}",
            "quantise to fewer bits; overlapping pools before a layer add up its weights",
        )
    shift = min(shifts, key=abs)
    return _scaled(values, shift), exp + shift


def _scaled(value: Any, shift: int) -> Any:
    """value / 2^shift, where that is an integer."""
    return value >> shift if shift >= 0 else value << -shift


__all__ = ["Composed", "compose", "fit_weights"]
