"""Kernels laid over axes: which values each tap meets, without any padding; and sum pools."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, ConvTranspose, Pool
from snnc.ir.ops import window_extents
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.synapse import float_type

A = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """The settings of a kernel. A prepared layer keeps these and not its node, so that the node,
    and the layer with it, is freed when its graph is."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, node: Conv | ConvTranspose | Pool) -> Window:
        """The settings of a node."""
        dilation = (1,) * len(node.kernel) if isinstance(node, Pool) else node.dilation
        return cls(node.kernel, node.stride, node.padding, dilation)

    @property
    def size(self) -> int:
        """Number of taps."""
        return math.prod(self.kernel)


@dataclass(frozen=True)
class Tap:
    """One tap of a kernel and the positions at which it lies on a value.

    Attributes:
        index: of the tap, per axis.
        short: slices of the axes with one position per laid kernel: the output of a window, the
            input of a transposed one. long: where those lie on the other side.
    """

    index: tuple[int, ...]
    short: tuple[slice, ...]
    long: tuple[slice, ...]


def taps(
    window: Window, short: Sequence[int], long: Sequence[int], first: int = 0
) -> Iterator[Tap]:
    """The taps that meet anything.

    Args:
        window: the kernel.
        short: extents of the axes with one position per laid kernel. long: those of the others.
        first: position at which the first of the short axes begins.
    """
    starts = [first, *[0] * (len(short) - 1)]
    for index in product(*map(range, window.kernel)):
        offsets = [
            s * start + d * k - p
            for s, start, d, k, p in zip(
                window.stride, starts, window.dilation, index, window.padding, strict=True
            )
        ]
        axes = zip(short, long, window.stride, offsets, strict=True)
        pairs = [_meeting(*axis) for axis in axes]
        if all(at.stop > at.start for at, _ in pairs):
            yield Tap(index, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def _meeting(short: int, long: int, stride: int, offset: int) -> tuple[slice, slice]:
    """Positions p with 0 ≤ stride·p + offset < long, and where they lie on the long axis."""
    first = max(0, -(offset // stride))
    stop = max(first, min(short, (long - 1 - offset) // stride + 1))
    start = stride * first + offset
    return slice(first, stop), slice(start, start + stride * (stop - first - 1) + 1, stride)


def at(slices: Sequence[slice]) -> tuple[Any, ...]:
    """Index of slices along the last axes."""
    return (..., *slices)


def covers(slices: Sequence[slice], extents: Sequence[int]) -> bool:
    """Whether slices hold whole axes."""
    return all(len(range(n)[s]) == n for s, n in zip(slices, extents, strict=True))


class SumPool:
    """A Pool node that sums."""

    def __init__(self, node: Pool, shape: tuple[int, ...], bound: int) -> None:
        self.window, self.bound = Window.of(node), bound
        self.out = window_extents(
            "pool", shape[1:], node.kernel, node.stride, node.padding, (1,) * len(node.kernel)
        )
        self.taps = list(taps(self.window, self.out, shape[1:]))
        self.tiles = (
            node.kernel == node.stride
            and not any(node.padding)
            and all(n == o * k for n, o, k in zip(shape[1:], self.out, node.kernel, strict=True))
        )

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, channel, …) over the windows of (step, sample, channel, …)."""
        dtype = self._dtype(x.dtype)
        x = x.view(dtype) if np.dtype(dtype).itemsize == 1 else x
        return self._by_tiles(x, dtype, scratch) if self.tiles else self._by_taps(x, dtype, scratch)

    def _dtype(self, given: np.dtype[Any]) -> Any:
        """One byte where the sums fit into it and the values are bytes already."""
        if given.itemsize == 1 and self.bound < 128:
            return np.int8
        if given in (np.bool_, np.uint8) and self.bound < 256:
            return np.uint8
        return float_type(self.bound)

    def _by_tiles(self, x: A, dtype: Any, scratch: Scratch) -> A:
        """Windows that tile the image, one axis after the other, the first one first: its
        neighbours are whole rows."""
        shape = list(x.shape)
        total = np.ascontiguousarray(x)
        for axis, k in enumerate(self.window.kernel, start=3):
            inner = math.prod(shape[axis + 1 :])
            shape[axis] //= k
            parts = total.reshape(math.prod(shape[: axis + 1]), k, inner)
            last = axis == len(shape) - 1
            size = tuple(shape)
            total = (
                scratch.result(size, dtype) if last else scratch.work(f"pool{axis}", size, dtype)
            )
            flat = total.reshape(-1, inner)
            if k == 1:
                np.copyto(flat, parts[:, 0], casting="unsafe")
                continue
            np.add(parts[:, 0], parts[:, 1], out=flat, dtype=dtype, casting="unsafe")
            for i in range(2, k):
                np.add(flat, parts[:, i], out=flat, dtype=dtype, casting="unsafe")
        return total

    def _by_taps(self, x: A, dtype: Any, scratch: Scratch) -> A:
        total = scratch.result((*x.shape[:3], *self.out), dtype)
        total[...] = 0
        for tap in self.taps:
            where, there = total[at(tap.short)], x[at(tap.long)]
            np.add(where, there, out=where, dtype=dtype, casting="unsafe")
        return total
