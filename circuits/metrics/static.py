"""Static metrics: transition levels, DNL, INL, missing codes, monotonicity, the histogram test.

DNL and INL take transition levels of an ADC or output levels of a DAC alike: both are rows of
voltages that should be one LSB apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.circuits.dac import FloatArray, as_reals, check_bits, check_positive
from snnc.errors import InputError, OptionError


def transition_levels(levels: ArrayLike) -> FloatArray:
    """Transition levels of a noiseless SAR on a DAC with these levels.

    T[k] is the lowest input that converts to at least k. In the binary search k is tried after
    its ancestors a; reaching k or more needs v ≥ level(k), and past a lower ancestor also
    v ≥ level(a), while v ≥ level(a) of a higher one is enough. So T[k] is level(k), clamped by
    its ancestors from the nearest to the first.

    Args:
        levels: V, (instance, 2^bits).

    Returns:
        T[1] … T[2^bits − 1], V, (instance, 2^bits − 1).

    Raises:
        InputError: levels of another shape, or not finite.
    """
    table = _rows(levels, "levels", least=2)
    size = table.shape[1]
    if size & (size - 1):
        raise InputError("levels", f"{size} is no power of 2", "give a level for every code")
    transitions = table.copy()
    codes = np.arange(size)
    for k in range(1, size.bit_length() - 1):
        # What was on trial at bit k; a code whose last set bit is k or above came before it.
        ancestor = codes >> k + 1 << k + 1 | 1 << k
        above = codes > ancestor
        under = (codes < ancestor) & (codes & (1 << k) - 1 > 0)
        transitions[:, above] = np.maximum(transitions[:, above], table[:, ancestor[above]])
        transitions[:, under] = np.minimum(transitions[:, under], table[:, ancestor[under]])
    return transitions[:, 1:]


def endpoint_lsb(levels: ArrayLike) -> FloatArray:
    """Mean step from the first level to the last, V, (instance, 1).

    Raises:
        InputError: fewer than two levels, not finite, or the last not above the first.
    """
    table = _rows(levels, "levels", least=2)
    step = (table[:, -1:] - table[:, :1]) / (table.shape[1] - 1)
    if not (step > 0).all():
        raise InputError("levels", "the last isn't above the first", "check the converter's range")
    return step


def dnl(levels: ArrayLike, lsb: float | None = None) -> FloatArray:
    """Differential non-linearity (T[k+1] − T[k])/LSB − 1, in LSB, (instance, levels − 1).

    Args:
        levels: V, (instance, levels): transitions of an ADC or outputs of a DAC.
        lsb: step to compare with, V; None takes each instance's endpoint step (no gain error).

    Raises:
        InputError: fewer than two levels, not finite, or no step between the end points.
        OptionError: lsb not finite and positive.
    """
    table = _rows(levels, "levels", least=2)
    step = endpoint_lsb(table) if lsb is None else check_positive(lsb, "lsb")
    return np.diff(table) / step - 1


def inl_endpoint(levels: ArrayLike) -> FloatArray:
    """Distance from the line through the first and the last level, in its LSB.

    Args and errors are those of `dnl`; (instance, levels).
    """
    table = _rows(levels, "levels", least=2)
    return (table - table[:, :1]) / endpoint_lsb(table) - np.arange(table.shape[1])


def inl_best_fit(levels: ArrayLike) -> FloatArray:
    """Distance from the least-squares line, in that line's LSB, (instance, levels).

    Raises:
        InputError: fewer than two levels, not finite, or a line that doesn't rise.
    """
    table = _rows(levels, "levels", least=2)
    steps = np.arange(table.shape[1]) - (table.shape[1] - 1) / 2
    slope = (table @ steps / (steps @ steps))[:, None]
    if not (slope > 0).all():
        raise InputError("levels", "their best line doesn't rise", "check the converter's range")
    return (table - table.mean(1, keepdims=True)) / slope - steps


def missing_codes(transitions: ArrayLike, v_ref: float = 1.0) -> NDArray[np.bool_]:
    """Codes that no input from 0 to v_ref converts to, (instance, transitions + 1).

    Code k needs T[k] ≤ v < T[k+1], with T[0] = 0; the last one reaches up to v_ref, included.

    Raises:
        InputError: transitions not (instance, transitions), or not finite.
        OptionError: v_ref not finite and positive.
    """
    inner = _rows(transitions, "transitions", least=1)
    column = np.zeros((len(inner), 1))
    top = np.nextafter(check_positive(v_ref, "v_ref"), np.inf)
    edges = np.hstack([column, inner.clip(0, top), column + top])
    return np.diff(edges) <= 0


def monotonic(levels: ArrayLike) -> NDArray[np.bool_]:
    """Whether no level lies below the one before it, (instance,).

    Raises:
        InputError: levels not (instance, levels), or not finite.
    """
    return np.asarray((np.diff(_rows(levels, "levels", least=2)) >= 0).all(1))


def histogram_transitions(
    codes: ArrayLike, bits: int, amplitude: float, offset: float
) -> FloatArray:
    """Transition levels from a sine record: T[k] = C − A·cos(π·H[k−1]/M) (IEEE 1241).

    H[k−1] counts the samples at or below code k − 1. The sine overdrives the converter a little,
    else the outermost transitions can't be told.

    Args:
        codes: samples of a sine of whole periods, (instance, sample).
        bits: of the converter.
        amplitude, offset: A and C of the sine, V.

    Returns:
        V, (instance, 2^bits − 1).

    Raises:
        InputError: codes of another shape or type, out of range, or without both end codes.
        OptionError: bits outside 1 to 16; amplitude not positive; offset not finite.
    """
    size = 2 ** check_bits(bits)
    check_positive(amplitude, "amplitude")
    if not np.isfinite(offset):
        raise OptionError("offset", f"is {offset!r}", "give a finite voltage")
    record = _check_codes(codes, size)
    shifted = record + np.arange(len(record))[:, None] * size
    counts = np.bincount(shifted.ravel(), minlength=len(record) * size).reshape(-1, size)
    if not (counts[:, 0].all() and counts[:, -1].all()):
        fix = "overdrive the converter by a little"
        raise InputError("codes", "the sine doesn't reach both end codes", fix)
    below = counts.cumsum(1)[:, :-1]
    return offset - amplitude * np.cos(np.pi * below / record.shape[1])


def _check_codes(codes: ArrayLike, size: int) -> NDArray[np.int64]:
    record = np.atleast_2d(np.asarray(codes))
    if record.ndim != 2 or not np.issubdtype(record.dtype, np.integer):
        cause = f"are {record.dtype} of shape {np.shape(codes)}"
        raise InputError("codes", cause, "give integers, (instance, sample)")
    if not record.size or record.min() < 0 or record.max() >= size:
        raise InputError("codes", f"are empty or outside 0 to {size - 1}", "check the bits")
    return record.astype(np.int64)


def _rows(values: ArrayLike, where: str, least: int) -> FloatArray:
    table = np.atleast_2d(as_reals(values, where))
    if table.ndim != 2 or table.shape[1] < least:
        fix = f"give (instance, values), at least {least} of them"
        raise InputError(where, f"has shape {np.shape(values)}", fix)
    if not np.isfinite(table).all():
        raise InputError(where, "isn't finite", "give voltages")
    return table
