"""Arrays that are used again from tile to tile, so that no page is mapped and cleared twice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

A = NDArray[Any]


class Memory:
    """Named blocks of bytes that only ever grow."""

    def __init__(self) -> None:
        self._blocks: dict[str, A] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> A:
        """A C-contiguous array; its values are what the last user left there, at first zeros."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        block = self._blocks.get(name)
        if block is None or block.size < size:
            block = self._blocks[name] = np.zeros(size, np.uint8)
        return block[:size].view(kind).reshape(shape)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(block.size for block in self._blocks.values())


class Scratch:
    """The memory of one node: its own, that of its output, and what all nodes work in.

    Args:
        result: memory of the output, which other outputs may lie in when this one is done with.
        work: memory that every node may use while it runs.
    """

    def __init__(self, result: Memory | None = None, work: Memory | None = None) -> None:
        self.own, self._result, self._work = Memory(), result or Memory(), work or Memory()

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> A:
        """An array that nothing else writes to; see `Memory.take`."""
        return self.own.take(name, shape, dtype)

    def result(self, shape: tuple[int, ...], dtype: DTypeLike, name: str = "output") -> A:
        """An array that lasts as long as the node's output does; its values are arbitrary."""
        return self._result.take(name, shape, dtype)

    def work(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> A:
        """An array whose values are arbitrary, and are lost when the node is done."""
        return self._work.take(name, shape, dtype)
