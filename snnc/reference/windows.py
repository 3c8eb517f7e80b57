"""Sliding windows, tap by tap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir.ops import window_extents

A = NDArray[Any]


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
