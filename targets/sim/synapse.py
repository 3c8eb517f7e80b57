"""Linear, Conv and Pool over a tile: float GEMMs where they are exact, dense or by events.

Dense: one GEMM over all rows (step, sample) of the tile.
By axon: input columns that are silent in the whole tile, or in one sample over the whole tile, are
left out; the rows of weights behind the others are gathered. An image that is rate coded drives
the same few pixels at every step, so this is what a core does that skips silent axons.
By event: a sparse (row, axon) matrix times the weights, one row of weights added per spike.
`choose` compares the three by the costs below, for the activity that the tile really has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.ir import Conv, Linear, Pool
from snnc.ir.ops import window_extents
from snnc.targets.sim.plan import EXACT32, EXACT64, row_bound, synapse_bound
from snnc.targets.sim.scratch import Scratch

A = NDArray[Any]

GEMM = 1 / 75e9
"""Seconds per multiply-add of a float32 GEMM on one core (measured for 784×256)."""
GATHER = 0.6e-9
"""Seconds per input value picked by index and turned into a float."""
GATHER_ROW = 0.11e-9
"""Seconds per weight of the rows that are picked by index."""
FIND = 0.4e-9
"""Seconds per element searched for events."""
EVENT = 15e-9
"""Seconds per event found, in the building of the sparse matrix."""
ADD = 0.17e-9
"""Seconds per weight added by `scipy.sparse`. With FIND and EVENT, events pay below an activity
of 3 to 4 percent."""
CALL = 8e-6
"""Seconds for the calls that one more GEMM and its gathers take."""

PATCHES = 1 << 18
"""Elements of a GEMM's operand that are laid out at once: 1 MB of float32, half of an L2 cache."""


def float_type(bound: int) -> type[np.float32] | type[np.float64] | type[np.int64]:
    """The narrowest type in which integers up to `bound` are exact in sums and products."""
    if bound <= EXACT32:
        return np.float32
    return np.float64 if bound <= EXACT64 else np.int64


@dataclass(frozen=True)
class Cost:
    """Seconds that the ways of a Linear would take on a tile."""

    dense: float
    by_axon: float
    by_event: float

    @property
    def best(self) -> str:
        """Name of the cheapest way; dense unless another saves a fifth."""
        way = min(("by_axon", "by_event"), key=lambda name: float(getattr(self, name)))
        return way if getattr(self, way) < 0.8 * self.dense else "dense"


class Synapse:
    """Weights, bias and exponent of a Linear or Conv in the type that keeps its sums exact."""

    def __init__(self, node: Linear | Conv, x_bound: int, fold: int) -> None:
        self.dtype = float_type(max(row_bound(node, x_bound), synapse_bound(node, x_bound)))
        weight = node.weight.astype(np.int64)
        bias = None if node.bias is None else np.asarray(node.bias).astype(np.int64)
        up = max(node.exp, 0) + fold
        self.down = max(-node.exp, 0)
        if self.dtype is np.int64:
            self.weight, self.bias = weight << up, None if bias is None else bias << up
        else:
            self.weight = np.ldexp(weight.astype(self.dtype), up)
            self.bias = None if bias is None else np.ldexp(bias.astype(self.dtype), up)

    def finish(self, y: A, bias: A | None) -> A:
        """Adds the bias and applies a negative exponent, floored, in place."""
        if bias is not None:
            np.add(y, bias, out=y)
        if self.down and self.dtype is np.int64:
            np.right_shift(y, self.down, out=y)
        elif self.down:
            np.multiply(y, self.dtype(2.0**-self.down), out=y)
            np.floor(y, out=y)
        return y


class Dense(Synapse):
    """A Linear node."""

    def __init__(self, node: Linear, x_bound: int, fold: int = 0) -> None:
        super().__init__(node, x_bound, fold)
        self.columns = np.ascontiguousarray(self.weight.T)

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out) for inputs (step, sample, in)."""
        y = scratch.take("y", (*x.shape[:-1], self.columns.shape[1]), self.dtype)
        way, active = self._choose(x)
        if way == "by_axon" and active is not None:
            self._by_axon(x, active, y)
        elif way == "by_event":
            self._by_event(x, y)
        else:
            self._densely(x, y, scratch)
        return self.finish(y, self.bias)

    def _densely(self, x: A, y: A, scratch: Scratch) -> None:
        """One GEMM per some steps of all samples, so that its operand is still in the cache."""
        fan_in, out = self.columns.shape
        chunk = max(1, PATCHES // (x.shape[1] * fan_in))
        for start in range(0, len(x), chunk):
            part = x[start : start + chunk]
            full = scratch.take("dense", part.shape, self.dtype)
            np.copyto(full, part, casting="unsafe")
            rows = y[start : start + chunk].reshape(-1, out)
            np.matmul(full.reshape(-1, fan_in), self.columns, out=rows)

    def _choose(self, x: A) -> tuple[str, A | None]:
        """The cheapest way, and the axons (sample, in) that are active in the tile."""
        fan_in, out = self.columns.shape
        steps, samples = x.shape[:2]
        dense = GEMM * steps * samples * fan_in * out
        # Few outputs: looking at an input costs more than multiplying it.
        narrow = GEMM * out < FIND
        if narrow or x.dtype.itemsize > 1 or dense < 10 * CALL or self.dtype is not np.float32:
            return "dense", None
        active = np.bitwise_or.reduce(x.view(np.uint8), axis=0) != 0
        axons = np.count_nonzero(active)
        by_axon = samples * CALL + axons * (steps * (GATHER + GEMM * out) + out * GATHER_ROW)
        return self._cost(x, dense, by_axon).best, active

    def _cost(self, x: A, dense: float, by_axon: float) -> Cost:
        fan_in, out = self.columns.shape
        rows = x.shape[0] * x.shape[1]
        find = FIND * rows * fan_in
        if find > min(dense, by_axon):
            return Cost(dense, by_axon, math.inf)
        # One step is enough to choose by, and a hundredth of the work.
        events = x.shape[0] * np.count_nonzero(x[len(x) // 2])
        return Cost(dense, by_axon, find + CALL + events * (EVENT + ADD * out))

    def _by_axon(self, x: A, active: A, y: A) -> None:
        for sample, axons in enumerate(active):
            index = np.flatnonzero(axons)
            rows = x[:, sample][:, index].astype(self.dtype)
            np.matmul(rows, self.columns.take(index, axis=0), out=y[:, sample])

    def _by_event(self, x: A, y: A) -> None:
        fan_in, out = self.columns.shape
        flat = np.ascontiguousarray(x).reshape(-1, fan_in)
        where = np.flatnonzero(flat != 0)
        starts = np.searchsorted(where, np.arange(len(flat) + 1) * fan_in)
        values = flat.reshape(-1)[where].astype(self.dtype)
        events = sparse.csr_array((values, where % fan_in, starts), shape=flat.shape)
        y.reshape(-1, out)[...] = events @ self.columns


class Convolution(Synapse):
    """A Conv node: im2col, a few images at a time, and one GEMM per image and group.

    With stride 1 the columns are whole runs of the padded image, row ends included: the copies are
    longer and the few sums across row ends are thrown away afterwards.
    """

    def __init__(self, node: Conv, shape: tuple[int, ...], x_bound: int, fold: int = 0) -> None:
        super().__init__(node, x_bound, fold)
        self.node, self.channels = node, shape[0]
        self.out: tuple[int, ...] = window_extents(
            "conv", shape[1:], node.kernel, node.stride, node.padding, node.dilation
        )
        self.padded = tuple(n + 2 * p for n, p in zip(shape[1:], node.padding, strict=True))
        share = len(self.weight) // node.groups
        self.rows = np.ascontiguousarray(self.weight.reshape(node.groups, share, -1))
        self.by_runs = max(node.stride) == 1
        self.positions = self._positions()
        self.computed = math.prod(self.positions)

    def _positions(self) -> tuple[int, ...]:
        """Positions at which the kernel is laid: per axis, or one run over all rows."""
        if not self.by_runs:
            return self.out
        return (self.out[0], *self.padded[1:])

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out, …) for inputs (step, sample, in, …)."""
        images, out = math.prod(x.shape[:2]), len(self.weight)
        y = scratch.take("y", (images, out, *self.out), self.dtype)
        chunk = max(1, PATCHES // (self.rows.shape[-1] * self.node.groups * self.computed))
        flat = self._padded(min(chunk, images), scratch)
        x_flat = x.reshape(images, *x.shape[2:])
        for start in range(0, images, chunk):
            part = x_flat[start : start + chunk]
            self._fill(flat, part)
            sums = self._multiply(flat, len(part), scratch)
            np.copyto(y[start : start + chunk], sums)
        channels = (-1, *(1,) * len(self.out))
        self.finish(y, None if self.bias is None else self.bias.reshape(channels))
        return y.reshape(*x.shape[:2], out, *self.out)

    def _padded(self, images: int, scratch: Scratch) -> A:
        """Memory for a few images and the zeros around them, which nothing else writes to."""
        # A run may read past the last image; what it computes from there is thrown away.
        slack = math.prod(self.node.kernel) * max(self.node.dilation) * 2 + self.padded[-1]
        size = images * self.channels * math.prod(self.padded) + slack
        return scratch.take("padded", (size,), self.dtype)

    def _fill(self, flat: A, x: A) -> None:
        """Images (image, channel, …) between zeros."""
        size = len(x) * self.channels * math.prod(self.padded)
        image = flat[:size].reshape(len(x), self.channels, *self.padded)
        inner = [slice(p, n - p) for p, n in zip(self.node.padding, self.padded, strict=True)]
        where: tuple[Any, ...] = (..., *inner)
        np.copyto(image[where], x, casting="unsafe")

    def _multiply(self, flat: A, images: int, scratch: Scratch) -> A:
        """Sums (image, out, …) of the images that lie in `flat`."""
        node, kernel, out = self.node, self.node.kernel, len(self.weight)
        plane, item = math.prod(self.padded), flat.itemsize
        axes = [item * math.prod(self.padded[i + 1 :]) for i in range(len(self.padded))]
        taps = [d * a for d, a in zip(node.dilation, axes, strict=True)]
        positions, steps = self.out, [s * a for s, a in zip(node.stride, axes, strict=True)]
        if self.by_runs:
            positions, steps = (self.computed,), [item]
        # Not `as_strided`, which takes 30 µs a call.
        view: A = np.ndarray(
            (images, self.channels, *kernel, *positions),
            self.dtype,
            flat,
            strides=(self.channels * plane * item, plane * item, *taps, *steps),
        )
        columns = scratch.take("columns", view.shape, self.dtype)
        np.copyto(columns, view)
        columns = columns.reshape(images, node.groups, -1, self.computed)
        share = out // node.groups
        sums = scratch.take("sums", (images, node.groups, share, self.computed), self.dtype)
        np.matmul(self.rows, columns, out=sums)
        valid: tuple[Any, ...] = (..., *(slice(n) for n in self.out))
        return sums.reshape(images, out, *self.positions)[valid]


class SumPool:
    """A Pool node that sums."""

    def __init__(self, node: Pool, shape: tuple[int, ...], bound: int) -> None:
        self.node = node
        self.out = window_extents(
            "pool", shape[1:], node.kernel, node.stride, node.padding, (1,) * len(node.kernel)
        )
        self.bound = bound
        self.tiles = (
            node.kernel == node.stride
            and not any(node.padding)
            and all(n == o * k for n, o, k in zip(shape[1:], self.out, node.kernel, strict=True))
        )

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, channel, …) over the windows of (step, sample, channel, …)."""
        small = x.dtype in (np.bool_, np.uint8) and self.bound < 256
        x = x.view(np.uint8) if x.dtype == np.bool_ and small else x
        dtype = np.uint8 if small else float_type(self.bound)
        return self._by_tiles(x, dtype, scratch) if self.tiles else self._by_taps(x, dtype, scratch)

    def _by_tiles(self, x: A, dtype: Any, scratch: Scratch) -> A:
        """Windows that tile the image, one axis after the other, the first one first: its
        neighbours are whole rows."""
        shape = list(x.shape)
        total = np.ascontiguousarray(x)
        for axis, k in enumerate(self.node.kernel, start=3):
            inner = math.prod(shape[axis + 1 :])
            shape[axis] //= k
            parts = total.reshape(math.prod(shape[: axis + 1]), k, inner)
            total = scratch.take(f"pool{axis}", tuple(shape), dtype)
            flat = total.reshape(-1, inner)
            if k == 1:
                np.copyto(flat, parts[:, 0], casting="unsafe")
                continue
            np.add(parts[:, 0], parts[:, 1], out=flat, dtype=dtype, casting="unsafe")
            for i in range(2, k):
                np.add(flat, parts[:, i], out=flat, dtype=dtype, casting="unsafe")
        return total

    def _by_taps(self, x: A, dtype: Any, scratch: Scratch) -> A:
        node = self.node
        edges = [(0, 0)] * 3 + [(p, p) for p in node.padding]
        padded = np.pad(x, edges) if any(node.padding) else x
        total = scratch.take("pool", (*x.shape[:3], *self.out), dtype)
        total[...] = 0
        for k in np.ndindex(*node.kernel):
            taps = zip(k, node.stride, self.out, strict=True)
            where: tuple[Any, ...] = (..., *(slice(i, i + s * (n - 1) + 1, s) for i, s, n in taps))
            np.add(total, padded[where], out=total, dtype=dtype, casting="unsafe")
        return total
