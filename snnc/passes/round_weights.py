"""Rounding of weights that looks at what the layer's inputs have in common.

Rounding each weight to nearest minimises the error of the weights. What matters is the error of
the sum W·x on real inputs, and inputs are correlated: neighbouring pixels, neurons that fire
together. So the weights of a row are rounded one after the other, and the error of each is passed
on to those that are still to be rounded, in the proportion that keeps E[(ΔW·x)²] smallest. This is
the optimal brain quantiser in the order-by-column form of GPTQ (Frantar, Ashkboos, Hoefler,
Alistarh, ICLR 2023, eq. 2-4 and algorithm 1), on an integer grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

A = NDArray[Any]

FAN_IN_MAX = 2048
"""Above this fan-in weights are rounded to nearest: the moments grow with its square, and the
errors of thousands of weights average out."""

DAMPING = 0.01
"""Share of the mean power added to every input, so that inputs that never fire stay defined."""

BLOCK = 128
"""Columns whose errors are passed on within the block at once and beyond it in one product."""


def round_to_grid(weight: A, low: int, high: int, step: int, moment: A | None) -> A:
    """Weights in units of the chip as integers of its grid.

    Args:
        weight: (out, in / groups, …), real, in units of the chip's weights.
        low, high, step: the grid.
        moment: (groups, f, f), E[x·xᵀ] of the f inputs of a row; None rounds to nearest.

    Returns:
        int16, the shape of `weight`.
    """
    rows = weight.reshape(len(weight), -1)
    if moment is None or rows.shape[1] > FAN_IN_MAX:
        return _nearest(weight, low, high, step)
    share = len(rows) // len(moment)
    parts = [
        _row_group(rows[g * share : (g + 1) * share], low, high, step, moment[g])
        for g in range(len(moment))
    ]
    return np.concatenate(parts).reshape(weight.shape)


def _nearest(values: A, low: int, high: int, step: int) -> A:
    return np.clip(np.rint(values / step) * step, low, high).astype(np.int16)


def _row_group(rows: A, low: int, high: int, step: int, moment: A) -> A:
    power = float(np.trace(moment)) / len(moment)
    if power == 0:
        return _nearest(rows, low, high, step)
    order = np.argsort(-np.diag(moment), kind="stable")
    damped = moment[np.ix_(order, order)] + DAMPING * power * np.eye(len(moment))
    upper = _factor_of_inverse(damped)
    left = rows[:, order].astype(np.float64)
    rounded = np.empty(left.shape, np.int16)
    for start in range(0, left.shape[1], BLOCK):
        stop = min(start + BLOCK, left.shape[1])
        errors = np.empty((len(left), stop - start))
        for i in range(start, stop):
            rounded[:, i] = _nearest(left[:, i], low, high, step)
            errors[:, i - start] = (left[:, i] - rounded[:, i]) / upper[i, i]
            left[:, i + 1 : stop] -= np.outer(errors[:, i - start], upper[i, i + 1 : stop])
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result


def _factor_of_inverse(matrix: A) -> A:
    """The upper U with matrix⁻¹ = Uᵀ·U.

    With J the reversal of the order and J·matrix·J = L·Lᵀ, U = J·L⁻¹·J: a factor and a
    triangular inverse, a quarter of the work of inverting first.
    """
    lower, failed = lapack.dpotrf(matrix[::-1, ::-1], lower=1)
    inverse, singular = lapack.dtrtri(lower, lower=1)
    if failed or singular:
        raise np.linalg.LinAlgError("the damped moment is not positive definite")
    return np.ascontiguousarray(inverse[::-1, ::-1])
