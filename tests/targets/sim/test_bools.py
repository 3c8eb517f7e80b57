"""Counting bools eight at a time."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.targets.sim.bools import per_column, per_row


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 700])
@pytest.mark.parametrize("columns", [0, 1, 7, 8, 9, 2039, 2040, 2041, 2048, 4100])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_rows_and_columns_are_counted(rows: int, columns: int, share: float) -> None:
    x = np.random.default_rng(rows + columns).random((rows, columns)) < share
    np.testing.assert_array_equal(per_row(x), x.sum(1))
    np.testing.assert_array_equal(per_column(x), x.sum(0))
    assert per_row(x).dtype == per_column(x).dtype == np.int64
