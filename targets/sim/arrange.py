"""Values put elsewhere, and products of two signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Gather, MatMul
from snnc.targets.sim import synapse
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.synapse import float_type

A = NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """Indices that grow by the same amount along each axis: start + Σ step·i."""

    start: int
    steps: tuple[int, ...]

    @classmethod
    def of(cls, index: A) -> Grid | None:
        """The grid that the indices form, or None."""
        start = int(index.ravel()[0])
        firsts = [index[(0,) * a + (slice(0, 2),) + (0,) * (index.ndim - a - 1)]
                  for a in range(index.ndim)]  # fmt: skip
        steps = tuple(int(pair[-1]) - int(pair[0]) for pair in firsts)
        places = np.ogrid[tuple(slice(n) for n in index.shape)]
        formed = start + sum(s * i for s, i in zip(steps, places, strict=True))
        return cls(start, steps) if np.array_equal(index, formed) else None

    def view(self, flat: A, shape: tuple[int, ...]) -> A:
        """The values (step, sample, *shape) of (step, sample, value), without a copy."""
        item = flat.strides[2]
        return np.lib.stride_tricks.as_strided(
            flat[:, :, self.start :],
            (*flat.shape[:2], *shape),
            (*flat.strides[:2], *(item * s for s in self.steps)),
            writeable=False,
        )


class Gathered:
    """A Gather node: a view where the indices form a grid (a permutation, a crop), a grid between
    zeros where they do so inside a box, else a choice by index."""

    def __init__(self, node: Gather) -> None:
        self.index, self.shape = node.index, node.index.shape
        self.missing = self.index < 0
        self.box = _box(~self.missing)
        inside = self.index[self.box]
        self.grid = Grid.of(inside) if inside.size and inside.min() >= 0 else None

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Values (step, sample, *index.shape) of (step, sample, …)."""
        flat = x.reshape(*x.shape[:2], -1)
        if self.grid is None:
            return self._chosen(flat, scratch)
        if not self.missing.any():
            return self.grid.view(flat, self.shape)
        return self._between_zeros(self.grid, flat, scratch)

    def _between_zeros(self, grid: Grid, flat: A, scratch: Scratch) -> A:
        y = scratch.take(f"zeros{flat.dtype}", (*flat.shape[:2], *self.shape), flat.dtype)
        inside = y[(slice(None), slice(None), *self.box)]
        np.copyto(inside, grid.view(flat, inside.shape[2:]))
        return y

    def _chosen(self, flat: A, scratch: Scratch) -> A:
        y = scratch.result((*flat.shape[:2], *self.shape), flat.dtype)
        # The last value for −1, which a zero then replaces.
        np.take(flat, self.index, axis=2, out=y, mode="wrap")
        if self.missing.any():
            y[:, :, self.missing] = 0
        return y


def _box(present: A) -> tuple[slice, ...]:
    """The smallest box that holds all that is true."""
    if not present.any():
        return tuple(slice(0, 0) for _ in present.shape)
    box: list[slice] = []
    for axis in range(present.ndim):
        others = tuple(a for a in range(present.ndim) if a != axis)
        (where,) = np.nonzero(present.any(axis=others))
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(box)


class Product:
    """A MatMul node: a GEMM per image and head."""

    def __init__(self, node: MatMul, x_bound: int, bound: int) -> None:
        self.dtype, self.split = float_type(max(x_bound, bound)), node.sizes[0]
        self.left = (node.heads, node.rows, node.inner)
        self.right = (node.heads, node.inner, node.columns)
        self.out = (node.heads, node.rows, node.columns)

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Products (step, sample, head, row, column) of operands (step, sample, value)."""
        images = x.shape[0] * x.shape[1]
        y = scratch.result((images, *self.out), self.dtype)
        flat = x.reshape(images, -1)
        chunk = max(1, synapse.PATCHES // flat.shape[1])
        for start in range(0, images, chunk):
            part = flat[start : start + chunk]
            left = self._operand("left", part[:, : self.split], self.left, scratch)
            right = self._operand("right", part[:, self.split :], self.right, scratch)
            np.matmul(left, right, out=y[start : start + chunk])
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def _operand(self, name: str, values: A, shape: tuple[int, ...], scratch: Scratch) -> A:
        matrices = scratch.work(name, (len(values), *shape), self.dtype)
        np.copyto(matrices.reshape(values.shape), values, casting="unsafe")
        return matrices
