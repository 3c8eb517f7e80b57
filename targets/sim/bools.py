"""Counts of set bools along rows and columns: numpy widens each bool to eight bytes for that; eight
of them are added at once in the bytes of an integer here, as long as none can overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

A = NDArray[Any]
MOST = 255
"""Bools that a byte can count."""


def per_row(x: A) -> A:
    """int64 (row,): set bools of each row of a C-contiguous (row, column) array."""
    rows, columns = x.shape
    found = np.zeros(rows, np.int64)
    whole = columns - columns % 8
    if whole == columns:
        words = x.view(np.uint64)
        for first in range(0, words.shape[1], MOST):
            sums = np.add.reduce(words[:, first : first + MOST], axis=1)
            found += sums.view(np.uint8).reshape(rows, 8).sum(1, dtype=np.int64)
        return found
    padded = np.zeros((rows, whole + 8), bool)
    padded[:, :columns] = x
    return per_row(padded)


def per_column(x: A) -> A:
    """int64 (column,): set bools of each column of a (row, column) array."""
    found = np.zeros(x.shape[1], np.int64)
    for first in range(0, len(x), MOST):
        found += np.add.reduce(x[first : first + MOST].view(np.uint8), axis=0, dtype=np.uint8)
    return found


__all__ = ["per_column", "per_row"]
