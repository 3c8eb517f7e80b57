"""Composition: pools, flattens and weights of a hop as the weights of one synapse, exactly."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Conv, Delay, Flatten, Graph, Linear, Node, Pool
from snnc.ir.ops import window_extents
from snnc.passes.limits import Limits
from snnc.targets.loihi.hops import Hop

A = NDArray[Any]
MATRIX_MAX = 1 << 24
"""Most synapses that a hop may have where it must be written out as a matrix."""

Plane = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """A convolution over (C, H, W) of a population's messages."""

    node: Conv
    in_shape: Plane


@dataclass(frozen=True)
class Composed:
    """The weights of one synapse: (W·x)·2^exp floored, W as a window, dense or in rows."""

    weights: Window | A | sparse.csr_array
    exp: int


def compose(graph: Graph, hop: Hop) -> Composed:
    """The hop as one linear map with one exponent; its Delay nodes are left to the synapse.

    Raises:
        RefusedError: a map that has to be written out and has more than `MATRIX_MAX` synapses.
    """
    steps = [(graph.nodes[name], graph.input_signal(name).shape) for name in hop.path]
    steps = [(node, shape) for node, shape in steps if not isinstance(node, Flatten | Delay)]
    if not steps:
        size = graph.signals[hop.source].size
        return Composed(sparse.eye_array(size, dtype=np.int64, format="csr"), 0)
    window = _as_window(hop.label, steps)
    if window is not None:
        return Composed(replace(window, node=replace(window.node, exp=0)), window.node.exp)
    exps = [node.exp for node, _ in steps if isinstance(node, Linear | Conv)]
    return Composed(_product(hop.label, steps), sum(exps))


def _as_window(name: str, steps: list[tuple[Node, tuple[int, ...]]]) -> Window | None:
    """The steps as one convolution, or None where that isn't exact."""
    *pools, (last, shape) = steps
    if not isinstance(last, Conv):
        return None
    conv, plane = in_plane(last, shape)
    for node, before in reversed(pools):
        if not isinstance(node, Pool):
            return None
        merged = _through_pool(name, conv, plane, node, before)
        if merged is None:
            return None
        conv, plane = merged
    return Window(conv, plane)


def in_plane(node: Conv, shape: tuple[int, ...]) -> tuple[Conv, Plane]:
    """A convolution over one or two axes as one over (C, H, W)."""
    if len(shape) == 3:
        return node, (shape[0], shape[1], shape[2])
    flat = replace(
        node,
        weight=node.weight[:, :, None, :],
        stride=(1, *node.stride),
        padding=(0, *node.padding),
        dilation=(1, *node.dilation),
    )
    return flat, (shape[0], 1, shape[1])


def _through_pool(
    name: str, conv: Conv, pooled: Plane, pool: Pool, before: tuple[int, ...]
) -> tuple[Conv, Plane] | None:
    """conv(pool(x)) as one convolution of x.

    With pool (K, S, P) and conv (k, s, p, d), output o meets x at
    S·(s·o − p + d·i) − P + j = S·s·o − (S·p + P) + (S·d·i + j): a kernel of extent
    S·d·(k − 1) + K that holds the weight i at S·d·i … S·d·i + K − 1. That is exact where
    the conv's zeros beyond the pooled map meet no input.
    """
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
    return (merged, plane) if wanted == found else None


def _product(name: str, steps: list[tuple[Node, tuple[int, ...]]]) -> A | sparse.csr_array:
    """The product of the steps' matrices, without their exponents."""
    *others, (last, shape) = steps
    total = matrix(name, last, shape)
    for node, before in reversed(others):
        right = matrix(name, node, before)
        if isinstance(total, np.ndarray) and not isinstance(right, np.ndarray):
            total = np.ascontiguousarray((right.T @ total.T).T)
        else:
            total = total @ right
    if isinstance(total, np.ndarray) and len(steps) > 1:
        refuse_large(name, total.size)
    return total


def matrix(name: str, node: Node, shape: tuple[int, ...]) -> A | sparse.csr_array:
    """A stateless node as a matrix (out, in) over flat arrays, last axis fastest."""
    if isinstance(node, Linear):
        return node.weight
    if isinstance(node, Pool):
        ones = np.ones((shape[0], 1, *node.kernel), np.int64)
        node = Conv(ones, None, node.stride, node.padding, (1,) * len(node.kernel), shape[0])
    assert isinstance(node, Conv)
    return window_matrix(name, Window(*in_plane(node, shape)))


def window_matrix(name: str, window: Window) -> sparse.csr_array:
    """A convolution as a matrix over flat (C, H, W) arrays, padding left out.

    Raises:
        RefusedError: more than `MATRIX_MAX` synapses.
    """
    conv, (channels, height, width) = window.node, window.in_shape
    out, per_group = conv.weight.shape[:2]
    extents = window_extents(
        name, (height, width), conv.kernel, conv.stride, conv.padding, conv.dilation
    )
    positions, taps = math.prod(extents), per_group * math.prod(conv.kernel)
    refuse_large(name, out * positions * taps)
    index = np.pad(
        np.arange(channels * height * width).reshape(channels, height, width),
        [(0, 0), *((p, p) for p in conv.padding)],
        constant_values=-1,
    )
    at = [
        s * np.arange(n)[:, None] + d * np.arange(k)
        for s, n, d, k in zip(conv.stride, extents, conv.dilation, conv.kernel, strict=True)
    ]
    met = index[:, at[0][:, None, :, None], at[1][None, :, None, :]]
    met = met.reshape(conv.groups, per_group, positions, -1).transpose(0, 2, 1, 3)
    shape = (conv.groups, out // conv.groups, positions, taps)
    columns = np.broadcast_to(met.reshape(conv.groups, 1, positions, taps), shape)
    values = np.broadcast_to(conv.weight.reshape(*shape[:2], 1, taps), shape)
    rows = np.broadcast_to(np.arange(out * positions).reshape(*shape[:3], 1), shape)
    kept = (columns >= 0) & (values != 0)
    entries = (values[kept].astype(np.int64), (rows[kept], columns[kept]))
    return sparse.csr_array(entries, shape=(out * positions, channels * height * width))


def refuse_large(name: str, synapses: int) -> None:
    """Refuses a hop that has to be written out and is too large for it."""
    if synapses > MATRIX_MAX:
        raise RefusedError(
            name,
            f"has to be written out as {synapses:,} synapses, more than {MATRIX_MAX:,}",
            "use a kernel exponent of 0, a pool that divides its input, or no delay here",
        )


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


__all__ = ["Composed", "Window", "compose", "fit_weights", "window_matrix"]
