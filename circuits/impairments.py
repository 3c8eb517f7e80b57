"""What makes a real converter err, and the closed forms of when it first does.

An error in a closed form always means: a mid-bin input (x + ½)·LSB converts to another code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from scipy.special import erfc

from snnc.circuits.dac import FloatArray, check_bits, check_positive
from snnc.errors import OptionError

BOLTZMANN = 1.380649e-23  # J/K, exact in the SI
ROOM = 300.0  # K


@dataclass(frozen=True, eq=False)
class Impairments:
    """What a SAR converter suffers from. Each value is a number, or (instance,).

    Args:
        offset: of the comparator, added to the input, V.
        gain: relative gain error of the input path.
        comparator_noise: rms of the noise in each decision, V.
        sampling_noise: rms of the noise frozen once per conversion (kT/C), V.
        reference_noise: rms of the noise on v_ref in each decision, V; it scales with the level.
        tau: time constant with which the DAC settles, s; 0 settles completely.
        droop: rate at which the held voltage falls, V/s; negative rises.
        metastable_window: a decision whose overdrive stays below this falls by a fair coin, V.

    Raises:
        OptionError: a value that isn't finite, or a negative rms, tau or window.
    """

    offset: float | FloatArray = 0.0
    gain: float | FloatArray = 0.0
    comparator_noise: float | FloatArray = 0.0
    sampling_noise: float | FloatArray = 0.0
    reference_noise: float | FloatArray = 0.0
    tau: float | FloatArray = 0.0
    droop: float | FloatArray = 0.0
    metastable_window: float | FloatArray = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.asarray(getattr(self, field.name), np.float64)
            where = f"Impairments.{field.name}"
            if values.ndim > 1:
                fix = "give one number, or one per instance"
                raise OptionError(where, f"has shape {values.shape}", fix)
            if not np.isfinite(values).all():
                raise OptionError(where, "isn't finite", "give finite numbers")
            if field.name not in _SIGNED and (values < 0).any():
                raise OptionError(where, f"is {values.min()}", "give at least 0")

    @property
    def random(self) -> bool:
        """Whether a conversion draws random numbers."""
        return any(np.any(getattr(self, name)) for name in _RANDOM)

    def sizes(self) -> dict[str, int]:
        """Instances of every value that is given per instance."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: len(value) for name, value in values.items() if np.ndim(value)}

    def take(self, rows: slice) -> Self:
        """The same impairments for these instances only."""
        values = {name: getattr(self, name)[rows] for name in self.sizes()}
        return replace(self, **values) if values else self


_SIGNED = ("offset", "gain", "droop")
_RANDOM = ("comparator_noise", "sampling_noise", "reference_noise", "metastable_window")


def ktc_noise(capacitance: float | FloatArray, temperature: float = ROOM) -> FloatArray:
    """√(kT/C), rms noise that sampling on C freezes, V; same shape as the capacitance (F).

    Raises:
        OptionError: a capacitance or a temperature that isn't finite and positive.
    """
    check_positive(temperature, "temperature")
    values = np.asarray(capacitance, np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise OptionError("capacitance", "isn't finite and positive", "give farads above 0")
    return np.sqrt(BOLTZMANN * temperature / values)


def ktc_capacitance(bits: int, v_ref: float = 1.0, temperature: float = ROOM) -> float:
    """C at which kT/C equals the quantisation noise LSB²/12: 12·kT·4^N/v_ref², F.

    Raises:
        OptionError: bits outside 1 to 16; v_ref or temperature not finite and positive.
    """
    check_positive(v_ref, "v_ref")
    thermal = BOLTZMANN * check_positive(temperature, "temperature")
    return 12 * thermal * 4.0 ** check_bits(bits) / v_ref**2


def pelgrom_sigma(coefficient: float, width: float, length: float) -> float:
    """σ_u = A_C/√(W·L), relative spread of one unit element (Pelgrom 1989).

    Args:
        coefficient: A_C, relative·m (a 1 %·µm process is 0.01e-6).
        width, length: of the unit element, m.

    Raises:
        OptionError: an argument that isn't finite and positive.
    """
    area = check_positive(width, "width") * check_positive(length, "length")
    return check_positive(coefficient, "coefficient") / math.sqrt(area)


def settling_residue(time: float, tau: float) -> float:
    """e^(−t/τ), the part of a step that is still missing after `time`.

    Raises:
        OptionError: time or tau not finite and positive.
    """
    return math.exp(-check_positive(time, "time") / check_positive(tau, "tau"))


def metastable_window(v_logic: float, gain: float, time: float, tau: float) -> float:
    """Overdrive below which a regenerating latch is undecided after `time`, V.

    It needs t = τ·ln(v_logic/(A·|v|)), hence |v| < (v_logic/A)·e^(−t/τ); over uniform inputs that
    is a share 2·v_logic/(A·LSB)·e^(−t/τ) of the critical decisions (textbook form).

    Raises:
        OptionError: an argument that isn't finite and positive.
    """
    ratio = check_positive(v_logic, "v_logic") / check_positive(gain, "gain")
    return ratio * settling_residue(time, tau)


def first_failing_offset(bits: int, v_ref: float = 1.0) -> float:
    """|v_os| from which on a code can be wrong, V: ½ LSB.

    A positive offset fails at exactly this value (a tie becomes 1), a negative one just beyond.

    Raises:
        OptionError: bits outside 1 to 16, or v_ref not finite and positive.
    """
    return check_positive(v_ref, "v_ref") / 2 ** (check_bits(bits) + 1)


def first_failing_gain(bits: int) -> tuple[float, float]:
    """Relative gain errors (negative, positive) from which on a code is wrong.

    Negative: the top code's mid-bin falls below its own threshold, |g| = ½/(2^N − ½). Positive:
    the top code has no threshold above, so the one below it decides, g = ½/(2^N − 3/2).

    Raises:
        OptionError: bits outside 1 to 16.
    """
    codes = 2 ** check_bits(bits)
    return -0.5 / (codes - 0.5), 0.5 / (codes - 1.5)


def first_failing_droop(bits: int, slot: float, v_ref: float = 1.0) -> float:
    """Drift of the compared voltage at which the last decision fails, V/s: ½ LSB in N slots.

    It holds for the droop of a held input and for the slope of one that isn't held.

    Raises:
        OptionError: bits outside 1 to 16; slot or v_ref not finite and positive.
    """
    return first_failing_offset(bits, v_ref) / (bits * check_positive(slot, "slot"))


def first_failing_settling(bits: int) -> float:
    """Slot length in units of τ below which the MSB decision fails: ln 2^N.

    From reset the MSB step is v_ref/2; its residue reaches ½ LSB at e^(−t/τ) = 2^(−N).

    Raises:
        OptionError: bits outside 1 to 16.
    """
    return check_bits(bits) * math.log(2)


def full_step_settling(bits: int) -> float:
    """Time in units of τ in which a step of v_ref settles to ½ LSB: ln 2^(N+1).

    Raises:
        OptionError: bits outside 1 to 16.
    """
    return (check_bits(bits) + 1) * math.log(2)


def max_sine_frequency(bits: int, conversion: float) -> float:
    """Full-scale sine that moves at most ½ LSB in one conversion, Hz: 1/(π·2^(N+1)·T_conv).

    Raises:
        OptionError: bits outside 1 to 16, or a conversion time that isn't finite and positive.
    """
    return 1 / (math.pi * 2 ** (check_bits(bits) + 1) * check_positive(conversion, "conversion"))


def pixel_error(sigma: float | FloatArray) -> FloatArray:
    """Probability that noise of σ LSB moves a mid-bin input to another code: erfc(½/(σ√2)).

    For codes with a threshold on both sides; the two end codes err half as often. Noise drawn anew
    for every decision misses each threshold by itself: 1 − (1 − p/2)².

    Raises:
        OptionError: a sigma that isn't finite and positive.
    """
    values = np.asarray(sigma, np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise OptionError("sigma", "isn't finite and positive", "give LSB rms above 0")
    return np.asarray(erfc(0.5 / (values * math.sqrt(2))))
