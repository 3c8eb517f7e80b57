"""Linear and Sparse over a tile: float GEMMs where they are exact, dense or by events.

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

from snnc.ir import Linear, Sparse, Weighted
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


ROW_IMAGES = 64
"""Images that a sparse matrix is multiplied with at once, at least: a weight is read, and its row
and column found, once for all of them."""


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
    """Bias and exponent of a weighted node, and the type that keeps its sums exact."""

    def __init__(self, node: Weighted, x_bound: int, fold: int) -> None:
        self.dtype = float_type(max(row_bound(node, x_bound), synapse_bound(node, x_bound)))
        self.up, self.down = max(node.exp, 0) + fold, max(-node.exp, 0)
        self.bias = None if node.bias is None else self.scaled(np.asarray(node.bias))

    def scaled(self, values: A) -> A:
        """Integers times 2^up, in the layer's own type."""
        whole = values if values.dtype.kind in "iub" else values.astype(np.int64)
        if self.dtype is np.int64:
            return whole.astype(np.int64) << self.up
        # A power of two changes no digit.
        result = whole.astype(self.dtype)
        return result if self.up == 0 else np.ldexp(result, self.up, out=result)

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
        self.columns = self.scaled(np.ascontiguousarray(node.weight.T))

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out) for inputs (step, sample, in)."""
        y = scratch.result((*x.shape[:-1], self.columns.shape[1]), self.dtype)
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
            full = scratch.work("dense", part.shape, self.dtype)
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


class Rows(Synapse):
    """A Sparse node: its rows times the values of some images, all of them at each weight."""

    def __init__(self, node: Sparse, x_bound: int, fold: int = 0) -> None:
        super().__init__(node, x_bound, fold)
        self.out = node.out_shape
        shape = (math.prod(node.out_shape), math.prod(node.in_shape))
        self.matrix = sparse.csr_array(
            (self.scaled(node.weight), node.indices, node.indptr), shape=shape
        )

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, *out_shape) for inputs (step, sample, *in_shape)."""
        images = x.shape[0] * x.shape[1]
        rows, columns = self.matrix.shape
        y = scratch.result((images, rows), self.dtype)
        flat = x.reshape(images, columns)
        chunk = max(ROW_IMAGES, PATCHES // max(rows, columns))
        for start in range(0, images, chunk):
            part = flat[start : start + chunk]
            turned = scratch.work("turned", (columns, len(part)), self.dtype)
            np.copyto(turned, part.T, casting="unsafe")
            np.copyto(y[start : start + chunk], (self.matrix @ turned).T)
        y = y.reshape(*x.shape[:2], *self.out)
        return self.finish(y, self.bias)
