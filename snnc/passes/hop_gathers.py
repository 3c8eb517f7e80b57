"""Exact rules that take a Gather into the weights before or after it.

A Gather that picks channels and shifts the map (slices, splits, channel shuffles, zero padding,
small crops) selects rows or columns of a kernel and moves its taps; one in front of a dense layer
selects its columns. Any other Gather is left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, ConvTranspose, Flatten, Gather, Linear, Node, Place, Pool

A = NDArray[Any]
Shape = tuple[int, ...]

MORE_TAPS = 4
"""Most taps of weight 0 that an axis of a kernel grows by to stand for a shift."""


@dataclass(frozen=True, eq=False)
class Moves:
    """A Gather that treats every axis on its own.

    Attributes:
        channels: input channel of each output channel, −1 for none.
        before, after: zeros added along each further axis; negative where values are cut off.
    """

    channels: A
    before: Shape
    after: Shape

    @property
    def in_place(self) -> bool:
        """Whether it only picks channels."""
        return not any(self.before) and not any(self.after)


def moves(node: Gather, shape: Shape) -> Moves | None:
    """`node` on signals of `shape` as moves of whole channels and maps; None if it is more."""
    index = node.index
    if index.ndim != len(shape) or not bool((index >= 0).any()):
        return None
    met = index >= 0
    places = np.unravel_index(np.where(met, index, 0), shape)
    maps = []
    for axis, place in enumerate(places):
        others = tuple(i for i in range(index.ndim) if i != axis)
        maps.append(np.max(np.where(met, place, -1), axis=others))
    grid = np.meshgrid(*maps, indexing="ij")
    inside = np.logical_and.reduce([m >= 0 for m in grid])
    rebuilt = np.ravel_multi_index([np.maximum(m, 0) for m in grid], shape)
    if not np.array_equal(np.where(inside, rebuilt, -1), index):
        return None
    shifts = [_shift(m, extent) for m, extent in zip(maps[1:], shape[1:], strict=True)]
    if any(shift is None for shift in shifts):
        return None
    before = tuple(shift for shift in shifts if shift is not None)
    after = tuple(
        new - old - left for new, old, left in zip(index.shape[1:], shape[1:], before, strict=True)
    )
    return Moves(maps[0], before, after)


def _shift(axis: A, extent: int) -> int | None:
    """How far an axis is moved as a whole, None if it is reordered."""
    place = int(np.argmax(axis >= 0))
    shift = place - int(axis[place])
    moved = np.arange(len(axis)) - shift
    inside = (moved >= 0) & (moved < extent)
    return shift if np.array_equal(np.where(inside, moved, -1), axis) else None


def columns(node: Gather, linear: Linear, shape: Shape) -> list[Node] | None:
    """A dense layer behind a Gather reads the values where they are, if most of them are used."""
    size = math.prod(shape)
    if node.index.ndim != 1 or 2 * node.index.size < size:
        return None
    weight = np.zeros((size, len(linear.weight)), linear.weight.dtype)
    used = node.index >= 0
    np.add.at(weight, node.index[used], linear.weight.T[used])
    merged = replace(linear, weight=np.ascontiguousarray(weight.T))
    return [merged] if len(shape) == 1 else [Flatten(), merged]


def rows(node: Linear | Conv | ConvTranspose, gather: Gather, between: Shape) -> Node | None:
    """Weights whose output channels are picked behind them; `node` has one group."""
    found = moves(gather, between)
    if found is None or not found.in_place:
        return None
    picked = node.weight[np.maximum(found.channels, 0)]
    kept = (found.channels >= 0).reshape(-1, *(1,) * (picked.ndim - 1))
    return replace(node, weight=np.where(kept, picked, 0))


def placed(node: Gather, place: Place) -> Gather:
    """A part of a concatenation, gathered."""
    index = np.full((place.extent, *node.index.shape[1:]), -1, node.index.dtype)
    index[place.start : place.start + len(node.index)] = node.index
    return Gather(index)


def behind_pool(node: Gather, pool: Pool, shape: Shape, between: Shape) -> Gather | None:
    """Channels picked behind the pool instead of in front of it."""
    found = moves(node, shape)
    if found is None or not found.in_place:
        return None
    window = zip(between[1:], pool.kernel, pool.stride, pool.padding, strict=True)
    pooled = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in window)
    inner = math.prod(pooled)
    flat = found.channels[:, None] * inner + np.arange(inner)
    return Gather(np.where(found.channels[:, None] < 0, -1, flat).reshape(-1, *pooled))


def inputs(node: Gather, kernel: Conv | ConvTranspose, shape: Shape) -> Conv | ConvTranspose | None:
    """A kernel of one group behind a Gather reads the channels where they are, shifted."""
    found = moves(node, shape)
    if found is None:
        return None
    moved = kernel if found.in_place else _shifted(kernel, found)
    if moved is None:
        return None
    weight = np.zeros((shape[0], len(moved.weight), *moved.kernel), moved.weight.dtype)
    used = found.channels >= 0
    np.add.at(weight, found.channels[used], moved.weight.swapaxes(0, 1)[used])
    return replace(moved, weight=np.ascontiguousarray(weight.swapaxes(0, 1)))


def padded(node: Gather, kernel: Conv, shape: Shape) -> Conv | None:
    """A kernel behind zero padding (or a crop) of all channels, its groups as they are."""
    found = moves(node, shape)
    every = found is not None and np.array_equal(found.channels, np.arange(shape[0]))
    moved = _shifted(kernel, found) if found is not None and every else None
    return moved if isinstance(moved, Conv) else None


def _shifted(kernel: Conv | ConvTranspose, found: Moves) -> Conv | None:
    """Zero padding as the kernel's own: where its sides differ, taps of weight 0 make them equal.

    With P the larger side, P − before taps in front and P − after behind keep every position.
    """
    if isinstance(kernel, ConvTranspose):
        return None
    padding, more = [], []
    for before, after, own, step in zip(
        found.before, found.after, kernel.padding, kernel.dilation, strict=True
    ):
        if own and min(before, after) < 0:
            return None
        side = max(before, after, 0)
        taps = (side - before, side - after)
        if any(t % step for t in taps) or sum(taps) > MORE_TAPS * step:
            return None
        padding.append(own + side)
        more.append((taps[0] // step, taps[1] // step))
    weight = np.pad(kernel.weight, ((0, 0), (0, 0), *more))
    return replace(kernel, weight=weight, padding=tuple(padding))
