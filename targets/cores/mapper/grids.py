"""Ways to cut a population into boxes of like extents, and sums over such boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.mapping import Slice

A = NDArray[Any]


def grids(shape: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """All ways to cut a box of `shape` into `count` boxes: pieces along each axis."""
    if not shape:
        if count == 1:
            yield ()
        return
    for first in range(1, min(count, shape[0]) + 1):
        if count % first == 0:
            for rest in grids(shape[1:], count // first):
                yield (first, *rest)


def cut(name: str, shape: Sequence[int], grid: Sequence[int]) -> tuple[Slice, ...]:
    """The boxes of a grid, their extents as equal as possible, last axis fastest."""
    spans = [list(pairwise(_bounds(*axis))) for axis in zip(shape, grid, strict=True)]
    boxes = (tuple(zip(*box, strict=True)) if box else ((), ()) for box in product(*spans))
    return tuple(Slice(name, start, stop) for start, stop in boxes)


def middle(name: str, shape: Sequence[int], grid: Sequence[int]) -> Slice:
    """The largest slice of a grid; of equals, one in the middle."""
    spans = []
    for extent, pieces in zip(shape, grid, strict=True):
        larger = extent % pieces or pieces
        at = -(-(larger // 2 + 1) * pieces // larger) - 1
        spans.append((at * extent // pieces, (at + 1) * extent // pieces))
    start, stop = zip(*spans, strict=True) if spans else ((), ())
    return Slice(name, start, stop)


def areas_of(values: A, shape: Sequence[int]) -> A:
    """Sums of `values` over all boxes that start at 0, by where they stop."""
    found = values.reshape(shape)
    for axis in range(found.ndim):
        found = found.cumsum(axis)
    return np.pad(found, [(1, 0)] * found.ndim)


def box_sums(areas: A, grid: Sequence[int]) -> A:
    """The sum over every box of a grid, from the `areas_of` the values."""
    for axis, pieces in enumerate(grid):
        areas = np.diff(areas.take(_bounds(areas.shape[axis] - 1, pieces), axis), axis=axis)
    return areas


def _bounds(extent: int, pieces: int) -> list[int]:
    return [i * extent // pieces for i in range(pieces + 1)]


__all__ = ["areas_of", "box_sums", "cut", "grids", "middle"]
