"""Dynamic metrics: sine fits (IEEE 1057), coherent spectra, SNR, SNDR, SFDR, ENOB (IEEE 1241)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.circuits.dac import FloatArray, as_reals, check_bits, check_positive
from snnc.errors import InputError, OptionError

_LOG_10_2 = math.log10(2)
_ROUNDS = 20  # Gauss-Newton converges quadratically: a handful is enough


@dataclass(frozen=True, eq=False)
class SineFit:
    """The sine A·cos(2π·f·n + φ) + C that fits a record best; every field is (instance,).

    Args:
        frequency: in periods per sample.
        amplitude: A, in the record's unit.
        phase: φ, rad.
        offset: C, in the record's unit.
        rms: root mean square of what the sine leaves over.
    """

    frequency: FloatArray
    amplitude: FloatArray
    phase: FloatArray
    offset: FloatArray
    rms: FloatArray


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Figures of one coherent record; every field is (instance,), in dB but for enob (bits).

    snr leaves out the harmonics that sndr counts, so snr ≥ sndr by construction.
    """

    snr: FloatArray
    sndr: FloatArray
    sfdr: FloatArray
    thd: FloatArray
    enob: FloatArray


def ideal_snr(bits: int) -> float:
    """SNR of a full-scale sine with uniform quantisation error: 20·N·log₁₀2 + 10·log₁₀(3/2), dB.

    Raises:
        OptionError: bits outside 1 to 16.
    """
    return 20 * check_bits(bits) * _LOG_10_2 + 10 * math.log10(1.5)


def enob_of(sndr: ArrayLike) -> FloatArray:
    """(SNDR − 1.7609)/6.0206 with all digits: the bits whose `ideal_snr` is this SNDR (dB)."""
    return (np.asarray(sndr, np.float64) - 10 * math.log10(1.5)) / (20 * _LOG_10_2)


def enob_from_fit(rms: ArrayLike, bits: int, lsb: float) -> FloatArray:
    """N − log₂(rms/(LSB/√12)), bits (IEEE 1241).

    Args:
        rms: residue of a sine fit to a full-scale record, in the unit of lsb.
        bits: nominal resolution.
        lsb: ideal step.

    Raises:
        OptionError: bits outside 1 to 16, or an lsb that isn't finite and positive.
        InputError: an rms that isn't finite and positive.
    """
    values = np.asarray(rms, np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("rms", "isn't finite and positive", "fit a sine to a quantised record")
    return check_bits(bits) - np.log2(values * math.sqrt(12) / check_positive(lsb, "lsb"))


def enob_loss(sigma: ArrayLike) -> FloatArray:
    """Bits lost to input noise of σ LSB: ½·log₂(1 + 12σ²).

    Raises:
        OptionError: a sigma that is negative or not finite.
    """
    values = np.asarray(sigma, np.float64)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise OptionError("sigma", "is negative or not finite", "give LSB rms of at least 0")
    return np.log2(1 + 12 * values**2) / 2


def sine_fit_3(record: ArrayLike, frequency: float) -> SineFit:
    """Least-squares amplitude, phase and offset at a known frequency (IEEE 1057, 3 parameters).

    Args:
        record: (sample,) or (instance, sample), at least 8 samples.
        frequency: in periods per sample; from ½ period per record, where a sine can be told from
            a constant, to as far below ½.

    Raises:
        InputError: a record too short, of another shape or not finite.
        OptionError: a frequency out of that range.
    """
    rows = _check_record(record)
    _check_frequency(frequency, rows.shape[1])
    return _fit_at(rows, np.full(len(rows), frequency))


def sine_fit_4(record: ArrayLike, frequency: float | None = None) -> SineFit:
    """As `sine_fit_3`, and the frequency too (IEEE 1057, 4 parameters, Gauss-Newton).

    Args:
        record: (sample,) or (instance, sample), of at least two periods.
        frequency: first guess in periods per sample; None takes the peak of the spectrum.

    Raises:
        InputError: a record too short, of another shape, not finite, or in which no sine is found.
        OptionError: a frequency out of the range of `sine_fit_3`.
    """
    rows = _check_record(record)
    if frequency is not None:
        _check_frequency(frequency, rows.shape[1])
    guess = _peak(rows) if frequency is None else np.full(len(rows), float(frequency))
    for _ in range(_ROUNDS):
        step = _frequency_step(rows, guess)
        guess = guess + step
        if not _within(guess, rows.shape[1]).all():
            raise InputError("record", "no sine is found in it", "give a first frequency")
        if (np.abs(step) * rows.shape[1] < 1e-10).all():
            return _fit_at(rows, guess)
    raise InputError("record", "the sine fit doesn't settle", "give a closer first frequency")


def coherent_cycles(samples: int, target: float) -> int:
    """Whole number of periods next to `target` that shares no factor with the sample count.

    Then every sample has a phase of its own (IEEE 1241).

    Raises:
        OptionError: fewer than 4 samples, or a target outside 1 to samples/2 − 1.
    """
    last = (samples - 1) // 2
    if samples < 4 or not 1 <= target <= last:
        cause = f"{target!r} periods in {samples} samples"
        raise OptionError("target", cause, "give between 1 and half the samples")
    order = sorted(range(1, last + 1), key=lambda cycles: abs(cycles - target))
    return next(cycles for cycles in order if math.gcd(cycles, samples) == 1)


def spectrum(record: ArrayLike, cycles: int, harmonics: int = 5) -> Spectrum:
    """SNR, SNDR, SFDR, THD and ENOB of a coherently sampled sine, without a window.

    With powers of the bins: SNDR = P_1/Σ(all but DC and 1); SNR leaves out harmonics 2 …
    `harmonics` (aliased) too; SFDR = P_1/largest other bin; THD = Σ harmonics/P_1.

    Args:
        record: (sample,) or (instance, sample): whole periods of a sine.
        cycles: J periods in the record, without a common factor with its length.
        harmonics: last harmonic that counts as distortion.

    Raises:
        InputError: a record too short, of another shape or not finite; no error left in it.
        OptionError: cycles outside 1 to half the samples, or with a common factor; harmonics < 2.
    """
    rows = _check_record(record)
    samples = rows.shape[1]
    _check_cycles(cycles, samples)
    if harmonics < 2:
        raise OptionError("harmonics", f"is {harmonics!r}", "count at least the second")
    power = np.abs(np.fft.rfft(rows)) ** 2
    power[:, 1:] *= 2
    if samples % 2 == 0:
        power[:, -1] /= 2  # the bin at half the sampling rate has no mirror image
    signal = power[:, cycles].copy()
    power[:, [0, cycles]] = 0
    distortion = power[:, _aliases(cycles, samples, harmonics)].sum(1)
    error = power.sum(1)
    if not ((signal > 0) & (error > distortion)).all():
        raise InputError("record", "holds no sine or no error", "give a quantised sine")
    sndr = _decibel(signal / error)
    with np.errstate(divide="ignore"):
        thd = _decibel(distortion / signal)
    snr = _decibel(signal / (error - distortion))
    return Spectrum(snr, sndr, _decibel(signal / power.max(1)), thd, enob_of(sndr))


def _aliases(cycles: int, samples: int, harmonics: int) -> list[int]:
    folded = {cycles * order % samples for order in range(2, harmonics + 1)}
    return sorted({min(bin_, samples - bin_) for bin_ in folded} - {0, cycles})


def _decibel(ratio: FloatArray) -> FloatArray:
    return 10 * np.log10(ratio)


def _fit_at(rows: FloatArray, frequency: FloatArray) -> SineFit:
    basis = _basis(frequency, rows.shape[1])
    weights = _solve(basis, rows)
    rest = rows - np.einsum("isp,ip->is", basis, weights)
    return SineFit(
        frequency,
        np.hypot(weights[:, 0], weights[:, 1]),
        np.arctan2(-weights[:, 1], weights[:, 0]),
        weights[:, 2],
        np.sqrt((rest**2).mean(1)),
    )


def _frequency_step(rows: FloatArray, frequency: FloatArray) -> FloatArray:
    """Change of frequency from the fit linearised in it, periods per sample, (instance,)."""
    samples = rows.shape[1]
    basis = _basis(frequency, samples)
    weights = _solve(basis, rows)
    # Time from −1 to 1 keeps the fourth column of the same size as the others.
    time = (2 * np.arange(samples) - (samples - 1)) / samples
    cosine, sine = weights[:, 0, None], weights[:, 1, None]
    slope = time * (sine * basis[:, :, 0] - cosine * basis[:, :, 1])
    size = np.sqrt((slope**2).mean(1))
    if not (size > 0).all():
        raise InputError("record", "no sine is found in it", "give a record that moves")
    full = np.concatenate([basis, (slope / size[:, None])[:, :, None]], axis=2)
    return _solve(full, rows)[:, 3] / size / (math.pi * samples)


def _basis(frequency: FloatArray, samples: int) -> FloatArray:
    angle = 2 * np.pi * frequency[:, None] * np.arange(samples)
    return np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=2)


def _solve(basis: FloatArray, rows: FloatArray) -> FloatArray:
    """Least squares of every instance by its normal equations, (instance, parameter)."""
    normal = np.einsum("isp,isq->ipq", basis, basis)
    right = np.einsum("isp,is->ip", basis, rows)
    return np.linalg.solve(normal, right[:, :, None])[:, :, 0]


def _peak(rows: FloatArray) -> FloatArray:
    """Frequency of the strongest bin, refined by its larger neighbour's share."""
    size = np.abs(np.fft.rfft(rows - rows.mean(1, keepdims=True)))
    centre = size[:, 1:-1].argmax(1) + 1
    at = np.arange(len(rows))
    left, middle, right = (size[at, centre + shift] for shift in (-1, 0, 1))
    side = np.where(right > left, 1, -1)
    other = np.maximum(left, right)
    whole = np.where(middle + other > 0, middle + other, 1)
    return (centre + side * other / whole) / rows.shape[1]


def _check_record(record: ArrayLike) -> FloatArray:
    rows = np.atleast_2d(as_reals(record, "record"))
    if rows.ndim != 2 or rows.shape[1] < 8:
        fix = "give (instance, sample) with at least 8 samples"
        raise InputError("record", f"has shape {np.shape(record)}", fix)
    if not np.isfinite(rows).all():
        raise InputError("record", "isn't finite", "give samples without NaN")
    return rows


def _within(frequency: FloatArray, samples: int) -> NDArray[np.bool_]:
    """Where a sine differs from a constant and from (−1)^n by at least half a period."""
    margin = 0.5 / samples
    return np.asarray((frequency >= margin) & (frequency <= 0.5 - margin))


def _check_frequency(frequency: float, samples: int) -> None:
    if not _within(np.asarray(frequency), samples):
        cause = f"is {frequency!r} periods per sample in {samples} samples"
        fix = "give at least half a period per record, and less than half one per sample"
        raise OptionError("frequency", cause, fix)


def _check_cycles(cycles: int, samples: int) -> None:
    if not 1 <= cycles < samples / 2:
        cause = f"{cycles} periods in {samples} samples"
        raise OptionError("cycles", cause, "give at least one and less than half the samples")
    if math.gcd(cycles, samples) != 1:
        cause = f"{cycles} and {samples} samples have a common factor"
        raise OptionError("cycles", cause, "take coherent_cycles(samples, target)")
