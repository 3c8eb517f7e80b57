"""Fan-out against its definition: what a layer of ones makes of one value at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnc.energy.fanout import fan_out
from snnc.errors import GraphError
from snnc.ir import Conv, ConvTranspose, Kind, Linear, Signal, Sparse, Weighted
from snnc.reference.linear import apply

ints = st.integers


@st.composite
def weighted(draw: Any) -> tuple[Weighted, tuple[int, ...]]:
    """A layer with weights −1, 0 and 1, and the shape of its input."""
    rng = np.random.default_rng(draw(ints(0, 2**32)))
    kind = draw(st.sampled_from(["linear", "sparse", "conv", "transposed"]))
    if kind == "linear":
        fan_in = draw(ints(1, 6))
        return Linear(rng.integers(-1, 2, (draw(ints(1, 5)), fan_in))), (fan_in,)
    if kind == "sparse":
        shape, out = (draw(ints(1, 3)), draw(ints(1, 4))), (draw(ints(1, 5)),)
        rows = [rng.integers(0, math.prod(shape), draw(ints(0, 5))) for _ in range(out[0])]
        indices = np.concatenate([*rows, [0]]).astype(np.int64)
        ptr = np.cumsum([0, *map(len, rows)])
        ptr[-1] += 1
        return Sparse(rng.integers(-1, 2, len(indices)), indices, ptr, shape, out), shape
    rank, groups = draw(ints(1, 2)), draw(ints(1, 2))
    axes = {
        label: tuple(draw(ints(low, high)) for _ in range(rank))
        for label, low, high in (("stride", 1, 3), ("padding", 0, 2), ("dilation", 1, 3))
    }
    kernel = tuple(draw(ints(1, 3)) for _ in range(rank))
    channels = groups * draw(ints(1, 2))
    weight = rng.integers(-1, 2, (groups * draw(ints(1, 2)), channels // groups, *kernel))
    shape = (channels, *(draw(ints(1, 6)) for _ in range(rank)))
    if kind == "conv":
        return Conv(weight, None, **axes, groups=groups), shape
    extra = tuple(draw(ints(0, stride - 1)) for stride in axes["stride"])
    return ConvTranspose(weight, None, **axes, output_padding=extra, groups=groups), shape


def one_at_a_time(node: Weighted, shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape)
    alone = np.eye(size, dtype=np.int64).reshape(size, *shape)
    return apply("node", node, alone).reshape(size, -1).sum(1).reshape(shape)


@settings(max_examples=200, deadline=None)
@given(weighted())
def test_fan_out_is_what_one_value_makes_of_ones(case: tuple[Weighted, tuple[int, ...]]) -> None:
    node, shape = case
    try:
        node.infer("node", Signal(Kind.SPIKE, shape))
    except GraphError:
        assume(False)
    reach = fan_out(node, shape)
    every = one_at_a_time(replace(node, weight=np.ones_like(node.weight)), shape)
    kept = one_at_a_time(replace(node, weight=(node.weight != 0).astype(np.int64)), shape)
    np.testing.assert_array_equal(np.broadcast_to(reach.all, shape), every)
    np.testing.assert_array_equal(np.broadcast_to(reach.nonzero, shape), kept)
    assert reach.taps == every.sum()
    assert reach.dense >= reach.taps


def test_borders_of_a_3_by_3_kernel() -> None:
    """(3n − 2)² taps a pair of channels, where the formula has 9n²."""
    for n in (2, 7, 14, 28):
        reach = fan_out(Conv(np.ones((1, 1, 3, 3)), None, (1, 1), (1, 1)), (1, n, n))
        assert (reach.taps, reach.dense) == ((3 * n - 2) ** 2, 9 * n * n)


def test_three_axes() -> None:
    """Convolutions of time, height and width have no node, but the same rule: 2 of 3 taps in a
    frame of 2, on each axis."""
    node = Conv(np.ones((5, 4, 3, 3, 3)), None, (1,) * 3, (1,) * 3, (1,) * 3)
    reach = fan_out(node, (4, 2, 2, 2))
    assert (reach.all == 5 * 8).all()
    assert reach.taps == 4 * 8 * 40
