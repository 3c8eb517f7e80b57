"""Integers as the registers of a chip hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.passes.limits import Limits

A = NDArray[Any]


def uniform(values: A) -> int | None:
    """The one value of an array, None if it holds several."""
    first = int(values.flat[0])
    return first if bool((values == first).all()) else None


def split_bias(bias: A, limits: Limits) -> tuple[A, int] | None:
    """(mantissa, exponent) with the smallest exponent, None where a population can't hold it."""
    bound = 1 << (limits.bias_mant_bits - 1)
    for exp in range(limits.bias_exp_max + 1):
        mantissa = bias >> exp
        if not (mantissa << exp == bias).all():
            return None
        if -bound <= mantissa.min() and mantissa.max() < bound:
            return np.asarray(mantissa, np.int16), exp
    return None


def bias_exponents(bias: A, limits: Limits) -> A:
    """By neuron, the smallest exponent with which its mantissa fits; the largest if none does."""
    exps = np.zeros(bias.shape, np.int64)
    bound = 1 << (limits.bias_mant_bits - 1)
    for exp in range(limits.bias_exp_max):
        mantissa = bias >> exp
        exps += (mantissa < -bound) | (mantissa >= bound)
    return exps


def split_feedback(amount: int, limits: Limits) -> tuple[tuple[int, int], ...]:
    """`amount` ≥ 0 as a sum of weights times powers of two, (weight, exponent) per synapse.

    Each weight is `limits.weight_step` times a digit of `amount`, so an exponent that starts at
    −log2 of that step gives any digit; one beyond the largest exponent is moved into the weight.
    """
    step = limits.weight_step.bit_length() - 1
    digit_bits = limits.weight_max.bit_length() - step
    pieces: list[tuple[int, int]] = []
    exp = -step
    while amount:
        amount, digit = amount >> digit_bits, amount & ((1 << digit_bits) - 1)
        if digit:
            over = max(0, exp - limits.exp_max)
            pieces.append((digit << step << over, exp - over))
        exp += digit_bits
    return tuple(pieces)


__all__ = ["bias_exponents", "split_bias", "split_feedback", "uniform"]
