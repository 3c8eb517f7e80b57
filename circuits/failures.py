"""Where the model of a converter first fails, beside the closed form of where it has to.

To fail means: a mid-bin input (x + ½)·LSB converts to another code than x. One impairment acts at
a time, on an otherwise ideal converter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from snnc.circuits.dac import CapacitorDac, FloatArray, LadderDac, lsb, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.impairments import (
    Impairments,
    first_failing_droop,
    first_failing_gain,
    first_failing_offset,
    first_failing_settling,
)
from snnc.circuits.sar import SarAdc
from snnc.circuits.yields import Share

TOLERANCE = 1e-9  # relative; the bisection ends at 3e-11, 16 bits of a double round at 2e-11
_HALVINGS = 36
_SIGMA = 0.25  # LSB rms of the noise whose error rate is counted
_CONVERSIONS = 1 << 18
_CONFIDENCE = 0.9999


@dataclass(frozen=True)
class FirstFailure:
    """One impairment's limit.

    Attributes:
        name: of the impairment.
        unit: of both values.
        found: by bisection on the model; NaN if it doesn't fail between half and twice `expected`.
        expected: the closed form.
        tolerance: relative.
    """

    name: str
    unit: str
    found: float
    expected: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether both agree within the tolerance."""
        return abs(self.found - self.expected) <= self.tolerance * abs(self.expected)


@dataclass(frozen=True)
class ErrorRate:
    """How often noise moves a pixel to another code.

    Attributes:
        name: of the noise.
        sigma: its rms, LSB.
        share: of wrong codes, with the interval that `expected` has to lie in.
        expected: the closed form.
    """

    name: str
    sigma: float
    share: Share
    expected: float

    @property
    def passed(self) -> bool:
        """Whether the closed form lies within the interval."""
        low, high = self.share.interval
        return low <= self.expected <= high


def first_failures(design: Design) -> tuple[FirstFailure, ...]:
    """The limits of offset, gain, droop, slope, settling, metastability and the MSB's element.

    Args:
        design: its bits, DAC, slot and reference are used; mismatch and impairments are not.
    """
    return tuple(_search(*case) for case in _cases(design))


def error_rates(design: Design, seed: int = 0) -> tuple[ErrorRate, ...]:
    """Errors of all pixel codes under noise of ¼ LSB, for each kind of noise on its own.

    With q = ½·erfc(½ LSB/(σ√2)), the chance to fall on the wrong side of one threshold: noise
    that is sampled once errs in 2q of the codes with two thresholds and in q of the two ends;
    noise in every decision in 1 − (1 − q)². Noise of the reference scales with the level, so q
    differs from threshold to threshold. Thresholds farther away count for less than 1e-8.

    Args:
        design: its bits, DAC and reference are used; mismatch and impairments are not.
        seed: of the noise.
    """
    codes = np.arange(2**design.bits)
    thresholds = np.arange(1, codes.size)
    sigma = np.full(thresholds.size, _SIGMA)
    lower, upper = _wrong_side(sigma)
    falling = _wrong_side(sigma * thresholds / codes.size)
    volts = _SIGMA * lsb(design.ideal().dac)
    cases = (
        ("sampling noise", Impairments(sampling_noise=volts), lower + upper),
        ("comparator noise", Impairments(comparator_noise=volts), _either(lower, upper)),
        ("reference noise", Impairments(reference_noise=volts), _either(*falling)),
    )
    repeats = max(1, _CONVERSIONS >> design.bits)
    inputs = np.tile(mid_bins(design.bits, design.v_ref), (repeats, 1))
    rates = []
    for name, impairments, errors in cases:
        found = design.ideal(impairments).convert(inputs, np.random.default_rng(seed))
        share = Share(int((found != codes).sum()), found.size, _CONFIDENCE)
        rates.append(ErrorRate(name, _SIGMA, share, float(errors.mean())))
    return tuple(rates)


Fails = Callable[[float], bool]


def _cases(design: Design) -> Iterator[tuple[str, str, float, Fails]]:
    half = first_failing_offset(design.bits, design.v_ref)
    low, high = first_failing_gain(design.bits)
    droop = first_failing_droop(design.bits, design.slot, design.v_ref)
    yield "offset up", "V", half, lambda v: _errs(design.ideal(Impairments(offset=v)))
    yield "offset down", "V", -half, lambda v: _errs(design.ideal(Impairments(offset=v)))
    yield "gain up", "relative", high, lambda g: _errs(design.ideal(Impairments(gain=g)))
    yield "gain down", "relative", low, lambda g: _errs(design.ideal(Impairments(gain=g)))
    yield "droop", "V/s", droop, lambda r: _errs(design.ideal(Impairments(droop=r)))
    yield "rise while held", "V/s", -droop, lambda r: _errs(design.ideal(Impairments(droop=r)))
    yield "slope up, not held", "V/s", droop, lambda r: _errs(design.ideal(held=False), r)
    yield "slope down, not held", "V/s", -droop, lambda r: _errs(design.ideal(held=False), r)
    tau = design.slot / first_failing_settling(design.bits)
    yield "settling time constant", "s", tau, lambda t: _errs(design.ideal(Impairments(tau=t)))
    yield (
        "metastable window",
        "V",
        half,
        lambda v: _errs(design.ideal(Impairments(metastable_window=v))),
    )
    yield from _element_cases(design)


def _element_cases(design: Design) -> Iterator[tuple[str, str, float, Fails]]:
    """The MSB's element ε too large.

    Capacitor: the top half of the levels rises, the first of it most, by 2^(N−1)·δ/(2^N + δ) LSB
    with δ = ε·2^(N−1) units, which is ½ LSB at ε = 2/(2^N − 1). Ladder: the step onto the MSB
    alone turns negative at ε = 1/(2^(N−1) − 1) of its leg.
    """
    dac = design.ideal().dac
    if isinstance(dac, CapacitorDac):
        units = dac.capacitors
        yield (
            "MSB capacitor too large",
            "relative",
            2 / (2**dac.bits - 1),
            lambda e: _errs(SarAdc(replace(dac, capacitors=_first_scaled(units, e)))),
        )
    if isinstance(dac, LadderDac) and dac.bits > 1:
        legs = dac.legs
        yield (
            "MSB leg too large, levels fall",
            "relative",
            1 / (2 ** (dac.bits - 1) - 1),
            lambda e: bool((np.diff(replace(dac, legs=_first_scaled(legs, e)).levels()) < 0).any()),
        )


def _first_scaled(elements: FloatArray, error: float) -> FloatArray:
    return np.hstack([elements[:, :1] * (1 + error), elements[:, 1:]])


def _search(name: str, unit: str, expected: float, fails: Fails) -> FirstFailure:
    """Bisection between half the expected value, which has to pass, and twice it."""
    good, bad = expected / 2, expected * 2
    if fails(good) or not fails(bad):
        return FirstFailure(name, unit, math.nan, expected)
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        good, bad = (good, middle) if fails(middle) else (middle, bad)
    return FirstFailure(name, unit, bad, expected)


def _errs(adc: SarAdc, slope: float = 0.0) -> bool:
    """Whether any mid-bin input converts to a wrong code; coins are tossed often enough."""
    repeats = max(1, 64 >> adc.bits) if adc.impairments.random else 1
    inputs = np.tile(mid_bins(adc.bits, adc.dac.v_ref), (repeats, 1))
    codes = adc.convert(inputs, np.random.default_rng(0), slope=slope)
    return bool((codes != np.arange(2**adc.bits)).any())


def _wrong_side(sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Per code, the chance of a wrong decision at its lower and upper threshold, σ in LSB."""
    q = np.asarray([0.5 * math.erfc(0.5 / (s * math.sqrt(2))) for s in sigma])
    return np.append(0.0, q), np.append(q, 0.0)


def _either(lower: FloatArray, upper: FloatArray) -> FloatArray:
    return 1 - (1 - lower) * (1 - upper)
