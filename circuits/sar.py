"""The successive-approximation converter: a binary search, MSB first, one spike per cycle.

    c ← 0;  for k = N−1 … 0:  accept 2^k if v_in + offset + noise ≥ level(c + 2^k)

Without impairments the accepted bits are the weighted spikes of VTSNN's UWE (Algorithm 1), and
for any levels whatever the code doesn't fall when v_in rises.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.circuits.dac import Dac, FloatArray, IntArray, as_reals, check_positive
from snnc.circuits.impairments import Impairments
from snnc.errors import InputError, OptionError

_BLOCK = 1 << 15  # conversions at a time: the working set then stays in the cache


@dataclass(frozen=True, eq=False)
class SarAdc:
    """SAR converter on a DAC.

    Decision i = 1 … N falls at the end of slot i, so a conversion lasts N·slot. With
    sample-and-hold the input is frozen at time 0 and droops; without, it moves on with its slope.
    The DAC settles exponentially, from 0 V at time 0 and then from wherever the last slot left it.
    Noise of comparator and reference is drawn anew for every decision, sampling noise once per
    conversion; only the latter simply adds its variance to the error of the code.

    Args:
        dac: gives the levels; its instances are the converters.
        impairments: what the converter suffers from.
        sample_and_hold: whether the input is held while it is converted.
        slot: time of one decision, s.

    Raises:
        OptionError: slot not finite and positive; impairments per instance that don't fit the
            DAC's instances; droop or sampling noise where nothing is held.
    """

    dac: Dac
    impairments: Impairments = field(default_factory=Impairments)
    sample_and_hold: bool = True
    slot: float = 100e-9

    def __post_init__(self) -> None:
        check_positive(self.slot, "SarAdc.slot")
        for name, size in self.impairments.sizes().items():
            if size != self.dac.instances:
                cause = f"has {size} values for {self.dac.instances} instances"
                raise OptionError(f"Impairments.{name}", cause, "give one number or one each")
        if self.sample_and_hold:
            return
        for name in ("droop", "sampling_noise"):
            if np.any(getattr(self.impairments, name)):
                fix = "set it to 0, or convert with sample_and_hold"
                raise OptionError(f"Impairments.{name}", "is given, but nothing is held", fix)

    @property
    def bits(self) -> int:
        """Resolution N, and the number of spikes per conversion."""
        return self.dac.bits

    def convert(
        self,
        v_in: ArrayLike,
        rng: np.random.Generator | None = None,
        *,
        clip: bool = False,
        slope: ArrayLike = 0.0,
    ) -> IntArray:
        """Codes of the inputs.

        Args:
            v_in: V, from 0 to v_ref: (pixel,) for every instance alike, or (instance, pixel).
                A DAC of one instance takes any number of rows.
            rng: source of noise; needed if an impairment is random.
            clip: limit inputs to 0 … v_ref instead of refusing them.
            slope: V/s of the input, broadcast to v_in; a held input doesn't feel it.

        Returns:
            int64 codes 0 … 2^bits − 1, (instance, pixel).

        Raises:
            InputError: an input of the wrong shape, NaN, or out of range and not to be clipped;
                a slope that doesn't fit or isn't finite.
            OptionError: a random impairment without a generator.
        """
        if self.impairments.random and not isinstance(rng, np.random.Generator):
            cause = f"the impairments are random and the generator is {rng!r}"
            raise OptionError("rng", cause, "give a numpy Generator with a fixed seed")
        generator = rng or np.random.default_rng(0)  # without random impairments nothing is drawn
        inputs = self._check_inputs(v_in, clip=clip)
        slopes = _check_slope(slope, inputs)
        rows, pixels = max(self.dac.instances, len(inputs)), inputs.shape[1]
        codes = np.empty((rows, pixels), np.int64)
        height = max(1, _BLOCK // max(pixels, 1))
        for top in range(0, rows, height):
            span = slice(top, min(top + height, rows))
            adc = self._take(span)
            levels = adc.dac.levels()
            for left in range(0, pixels, _BLOCK):
                part = (span, slice(left, left + _BLOCK))
                search = _Search(adc, levels, codes[part].shape, generator)
                codes[part] = search.run(_rows(inputs, *part), _rows(slopes, *part))
        return codes

    def planes(
        self,
        v_in: ArrayLike,
        rng: np.random.Generator | None = None,
        *,
        clip: bool = False,
        slope: ArrayLike = 0.0,
    ) -> NDArray[np.uint8]:
        """The spikes of every cycle, MSB first: 0 or 1, (instance, bits, pixel).

        Arguments and errors are those of `convert`.
        """
        codes = self.convert(v_in, rng, clip=clip, slope=slope)
        weights = np.arange(self.bits)[::-1, None]
        return (codes[:, None] >> weights & 1).astype(np.uint8)

    def _take(self, rows: slice) -> SarAdc:
        if self.dac.instances == 1:
            return self
        return SarAdc(
            self.dac.take(rows), self.impairments.take(rows), self.sample_and_hold, self.slot
        )

    def _check_inputs(self, v_in: ArrayLike, *, clip: bool) -> FloatArray:
        inputs = np.atleast_2d(as_reals(v_in, "v_in"))
        counts = (1, self.dac.instances)
        if inputs.ndim != 2 or (self.dac.instances > 1 and len(inputs) not in counts):
            cause = f"has shape {np.shape(v_in)} for {self.dac.instances} instances"
            raise InputError("v_in", cause, "give (pixel,) or (instance, pixel)")
        if np.isnan(inputs).any():
            raise InputError("v_in", "holds NaN", "give voltages")
        if clip:
            return inputs.clip(0, self.dac.v_ref)
        outside = (inputs < 0) | (inputs > self.dac.v_ref)
        if outside.any():
            cause = f"{inputs[outside][0]} V is outside 0 to {self.dac.v_ref} V"
            raise InputError("v_in", cause, "scale the input, or ask for clipping")
        return inputs


class _Search:
    """The binary search of one block of conversions."""

    def __init__(
        self,
        adc: SarAdc,
        levels: FloatArray,
        shape: tuple[int, ...],
        rng: np.random.Generator,
    ) -> None:
        self.adc, self.shape, self.rng = adc, shape, rng
        self.levels = levels.ravel()
        rows = np.arange(shape[0]) if adc.dac.instances > 1 else np.zeros(shape[0], np.int64)
        self.base = (rows * 2**adc.bits)[:, None]
        residue = _column(adc.impairments.tau)
        with np.errstate(divide="ignore"):
            self.residue = np.exp(-adc.slot / residue)
        self.output: FloatArray = np.zeros((1, 1))

    def run(self, inputs: FloatArray, slopes: FloatArray) -> IntArray:
        """Codes of one block; inputs and slopes broadcast to its shape."""
        real = self.adc.impairments
        held = inputs * (1 + _column(real.gain)) + _column(real.offset)
        held = held + self._noise(real.sampling_noise)
        drift = -_column(real.droop) if self.adc.sample_and_hold else slopes
        moving = bool(np.any(drift))
        taken = np.broadcast_to(self.base, self.shape).copy()
        for step in range(self.adc.bits):
            trial = taken + (1 << self.adc.bits - 1 - step)
            seen = held + drift * ((step + 1) * self.adc.slot) if moving else held
            np.copyto(taken, trial, where=self._decide(seen, trial))
        return taken - self.base

    def _decide(self, seen: FloatArray, trial: IntArray) -> NDArray[np.bool_]:
        real = self.adc.impairments
        target = self._settle(self.levels.take(trial))
        if np.any(real.reference_noise):
            target = target * (1 + self._noise(real.reference_noise) / self.adc.dac.v_ref)
        noisy = seen + self._noise(real.comparator_noise)
        accepted = noisy >= target
        if np.any(real.metastable_window):
            undecided = np.abs(noisy - target) < _column(real.metastable_window)
            accepted = np.where(undecided, self.rng.random(self.shape) < 0.5, accepted)
        return accepted

    def _settle(self, target: FloatArray) -> FloatArray:
        if not np.any(self.residue):
            return target
        self.output = target + (self.output - target) * self.residue
        return self.output

    def _noise(self, rms: float | FloatArray) -> FloatArray | float:
        if not np.any(rms):
            return 0.0
        return self.rng.standard_normal(self.shape) * _column(rms)


def _column(value: float | FloatArray) -> FloatArray:
    return np.asarray(value, np.float64).reshape(-1, 1)


def _rows(values: FloatArray, rows: slice, pixels: slice) -> FloatArray:
    return values[:, pixels] if len(values) == 1 else values[rows, pixels]


def _check_slope(slope: ArrayLike, inputs: FloatArray) -> FloatArray:
    slopes = as_reals(slope, "slope")
    if not np.isfinite(slopes).all():
        raise InputError("slope", "isn't finite", "give V/s")
    try:
        return np.broadcast_to(slopes, inputs.shape)
    except ValueError:
        cause = f"of shape {slopes.shape} doesn't fit inputs of shape {inputs.shape}"
        raise InputError("slope", cause, "give one number, or one per input") from None
