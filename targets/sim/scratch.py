"""Arrays that are used again from tile to tile, so that no page is mapped and cleared twice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

A = NDArray[Any]


class Scratch:
    """Named working memory: an array taken twice under one name is the same memory."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, np.dtype[Any]], A] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> A:
        """A C-contiguous array; its values are those that its last user left, at first zeros."""
        kind, size = np.dtype(dtype), math.prod(shape)
        pool = self._pools.get((name, kind))
        if pool is None or pool.size < size:
            pool = self._pools[name, kind] = np.zeros(size, kind)
        return pool[:size].reshape(shape)
