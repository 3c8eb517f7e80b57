"""Digital-to-analogue converters: binary-weighted capacitors, the R-2R ladder, serial sharing.

Elements are kept in units of one unit element, so an ideal converter's levels are exact binary
fractions of the reference and not merely close to them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.errors import InputError, OptionError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_BITS = 16


class Dac(Protocol):
    """What a converter needs to know of its DAC."""

    @property
    def bits(self) -> int:
        """Resolution N, 1 to 16."""

    @property
    def instances(self) -> int:
        """Monte-Carlo instances."""

    @property
    def v_ref(self) -> float:
        """Reference voltage, V."""

    def levels(self) -> FloatArray:
        """Output voltage of every code, V, (instance, 2^bits)."""

    def take(self, rows: slice) -> Self:
        """The same converter with these instances only."""


def check_bits(bits: int, where: str = "bits") -> int:
    """The resolution, if it is an integer from 1 to 16.

    Raises:
        OptionError: it isn't.
    """
    fix = f"choose an integer from 1 to {MAX_BITS}"
    try:
        number = operator.index(bits)
    except TypeError:
        raise OptionError(where, f"{bits!r} is no integer", fix) from None
    if not 1 <= number <= MAX_BITS:
        raise OptionError(where, f"{number} bits are outside 1 to {MAX_BITS}", fix)
    return number


def check_positive(value: float, where: str) -> float:
    """The number, if it is finite and above 0.

    Raises:
        OptionError: it isn't.
    """
    if not 0 < value < np.inf:
        raise OptionError(where, f"is {value!r}", "give a finite number above 0")
    return float(value)


def lsb(dac: Dac) -> float:
    """One step of the ideal converter, v_ref / 2^bits, V."""
    return dac.v_ref / 2**dac.bits


def mid_bins(bits: int, v_ref: float = 1.0) -> FloatArray:
    """The voltage (x + ½)·LSB that presents pixel code x, V, (2^bits,).

    Raises:
        OptionError: bits outside 1 to 16, or a reference that isn't finite and positive.
    """
    codes = 2 ** check_bits(bits)
    return (np.arange(codes) + 0.5) * (check_positive(v_ref, "v_ref") / codes)


def pelgrom(
    units: FloatArray, sigma: float, instances: int, rng: np.random.Generator
) -> FloatArray:
    """Elements of n units each, drawn as n + σ_u·√n·ξ (Pelgrom: variances of units add).

    Args:
        units: nominal element values in units, (elements,).
        sigma: relative standard deviation σ_u of one unit.
        instances: Monte-Carlo instances.
        rng: source of ξ.

    Returns:
        (instance, elements), in units.

    Raises:
        OptionError: sigma is negative or not finite, instances below 1.
    """
    _check_draw(sigma, instances)
    return units + sigma * np.sqrt(units) * rng.standard_normal((instances, units.size))


def superpose(weights: FloatArray) -> FloatArray:
    """Sums of the weights of every code's set bits.

    Args:
        weights: (instance, bits), MSB first.

    Returns:
        (instance, 2^bits).
    """
    table = np.zeros((len(weights), 1))
    for weight in weights.T:
        table = np.stack([table, table + weight[:, None]], axis=2).reshape(len(weights), -1)
    return table


@dataclass(frozen=True, eq=False)
class CapacitorDac:
    """Binary-weighted charge-redistribution array with a terminating capacitor.

    level(c) = v_ref · Σ_{k in c} C_k / (Σ C_k + C_term): charge division on a floating top plate.

    Args:
        capacitors: (instance, bits + 1) in units of `unit`: MSB first, the terminating one last.
        unit: unit capacitor, F.
        v_ref: reference, V.

    Raises:
        InputError: capacitors of the wrong shape, or one that isn't finite and positive.
        OptionError: bits outside 1 to 16; unit or v_ref not finite and positive.
    """

    capacitors: FloatArray
    unit: float = 1e-15
    v_ref: float = 1.0

    def __post_init__(self) -> None:
        _freeze(self, "capacitors")
        check_bits(self.bits, "CapacitorDac")
        check_positive(self.unit, "CapacitorDac.unit")
        check_positive(self.v_ref, "CapacitorDac.v_ref")

    @classmethod
    def ideal(cls, bits: int, *, unit: float = 1e-15, v_ref: float = 1.0) -> Self:
        """One instance without mismatch."""
        return cls(binary_units(bits)[None], unit, v_ref)

    @classmethod
    def draw(
        cls,
        bits: int,
        sigma: float,
        instances: int,
        rng: np.random.Generator,
        *,
        unit: float = 1e-15,
        v_ref: float = 1.0,
    ) -> Self:
        """Instances with Pelgrom mismatch: C_k = C_u·(2^k + σ_u·√2^k·ξ_k)."""
        return cls(pelgrom(binary_units(bits), sigma, instances, rng), unit, v_ref)

    @property
    def bits(self) -> int:
        """Resolution N."""
        return self.capacitors.shape[1] - 1

    @property
    def instances(self) -> int:
        """Monte-Carlo instances."""
        return len(self.capacitors)

    @property
    def total(self) -> FloatArray:
        """Capacitance that samples the input, F, (instance,)."""
        return self.capacitors.sum(1) * self.unit

    def levels(self) -> FloatArray:
        """Output voltage of every code, V, (instance, 2^bits)."""
        total = self.capacitors.sum(1, keepdims=True)
        return superpose(self.capacitors[:, :-1]) / total * self.v_ref

    def take(self, rows: slice) -> Self:
        """The same array with these instances only."""
        return replace(self, capacitors=self.capacitors[rows])


@dataclass(frozen=True, eq=False)
class LadderDac:
    """R-2R ladder in voltage mode: output at the MSB node, terminated by 2R at the LSB node.

    Node k carries a leg to v_ref (bit 1) or ground (bit 0) through a switch, and R to its
    neighbours. The tridiagonal nodal equations are eliminated from the LSB end, which is the
    Thévenin equivalent of everything below a node:

        1/r_k = 1/(r_{k−1} + R_k) + 1/(leg_k + R_on)
        v_k   = r_k · (v_{k−1}/(r_{k−1} + R_k) + b_k·v_ref/(leg_k + R_on))

    Args:
        legs: (instance, bits + 1) in units of `unit`: MSB leg first, the termination last.
        series: (instance, bits − 1) in units of `unit`: the one next to the MSB node first.
        r_up, r_down: on-resistance of the switch to v_ref and to ground, ohm.
        unit: R, ohm.
        v_ref: reference, V.

    Raises:
        InputError: elements of the wrong shape, or one that isn't finite and positive.
        OptionError: bits outside 1 to 16; a switch negative; unit or v_ref not positive.
    """

    legs: FloatArray
    series: FloatArray
    r_up: float = 0.0
    r_down: float = 0.0
    unit: float = 10e3
    v_ref: float = 1.0

    def __post_init__(self) -> None:
        _freeze(self, "legs")
        _freeze(self, "series")
        check_bits(self.bits, "LadderDac")
        check_positive(self.unit, "LadderDac.unit")
        check_positive(self.v_ref, "LadderDac.v_ref")
        self._check_switches()
        expected = (self.instances, self.bits - 1)
        if self.series.shape != expected:
            cause = f"has shape {self.series.shape}, {self.bits} bits need {expected}"
            raise InputError("LadderDac.series", cause, "give one resistor between two nodes")

    def _check_switches(self) -> None:
        for name, value in (("r_up", self.r_up), ("r_down", self.r_down)):
            if not 0 <= value < np.inf:
                fix = "give a finite resistance of at least 0 ohm"
                raise OptionError(f"LadderDac.{name}", f"is {value!r}", fix)

    @classmethod
    def ideal(
        cls,
        bits: int,
        *,
        r_up: float = 0.0,
        r_down: float = 0.0,
        unit: float = 10e3,
        v_ref: float = 1.0,
    ) -> Self:
        """One instance without mismatch."""
        legs, series = np.full((1, check_bits(bits) + 1), 2.0), np.ones((1, bits - 1))
        return cls(legs, series, r_up, r_down, unit, v_ref)

    @classmethod
    def draw(
        cls,
        bits: int,
        sigma: float,
        instances: int,
        rng: np.random.Generator,
        *,
        r_up: float = 0.0,
        r_down: float = 0.0,
        unit: float = 10e3,
        v_ref: float = 1.0,
    ) -> Self:
        """Instances whose every resistor is off by an independent relative σ."""
        _check_draw(sigma, instances)
        legs = 2 * (1 + sigma * rng.standard_normal((instances, check_bits(bits) + 1)))
        series = 1 + sigma * rng.standard_normal((instances, bits - 1))
        return cls(legs, series, r_up, r_down, unit, v_ref)

    @property
    def bits(self) -> int:
        """Resolution N."""
        return self.legs.shape[1] - 1

    @property
    def instances(self) -> int:
        """Monte-Carlo instances."""
        return len(self.legs)

    def levels(self) -> FloatArray:
        """Unloaded output voltage of every code, V, (instance, 2^bits)."""
        return self._thevenin()[-1][0] * self.v_ref

    def output_resistance(self) -> FloatArray:
        """Resistance seen at the output for every code, ohm, (instance, 2^bits)."""
        return self._thevenin()[-1][1] * self.unit

    def reference_current(self) -> FloatArray:
        """Current drawn from v_ref while a code is held, A, (instance, 2^bits).

        Σ_k b_k·(v_ref − v_k)/(leg_k + R_on), node voltages by back substitution from the output.
        """
        below = self._thevenin()
        codes = np.arange(2**self.bits)
        up = self.legs[:, :-1] + self.r_up / self.unit
        current = np.zeros((self.instances, codes.size))
        node = below[-1][0]
        for k in reversed(range(self.bits)):
            if k < self.bits - 1:
                low = codes & (2 ** (k + 1) - 1)
                voltage, resistance = below[k][0][:, low], below[k][1][:, low]
                series = self.series[:, self.bits - 2 - k, None]
                node = voltage + (node - voltage) * resistance / (resistance + series)
            current += (codes >> k & 1) * (1 - node) / up[:, self.bits - 1 - k, None]
        return current * (self.v_ref / self.unit)

    def take(self, rows: slice) -> Self:
        """The same ladder with these instances only."""
        return replace(self, legs=self.legs[rows], series=self.series[rows])

    def _thevenin(self) -> list[tuple[FloatArray, FloatArray]]:
        """(v / v_ref, r / unit) seen into each node from above, LSB node first.

        Entry k is (instance, 2^(k+1)): it depends on bits k…0 only.
        """
        resistance = self.legs[:, -1:]
        voltage = np.zeros_like(resistance)
        switches = np.array([self.r_down, self.r_up]) / self.unit
        found = []
        for k in range(self.bits):
            if k:
                resistance = resistance + self.series[:, self.bits - 1 - k, None]
            leg = (self.legs[:, self.bits - 1 - k, None] + switches)[:, :, None]
            parallel = 1 / (1 / resistance[:, None] + 1 / leg)
            drive = np.array([0.0, 1.0])[:, None] / leg
            sources = parallel * ((voltage / resistance)[:, None] + drive)
            voltage = sources.reshape(self.instances, -1)
            resistance = parallel.reshape(self.instances, -1)
            found.append((voltage, resistance))
        return found


@dataclass(frozen=True, eq=False)
class SerialDac:
    """Two capacitors that share charge once per bit, LSB first (McCharles, Hodges 1978).

    v ← (C_share·b·v_ref + C_hold·v) / (C_share + C_hold), from v = 0: with equal capacitors the
    result is v_ref·c/2^N.

    Args:
        bits: resolution.
        capacitors: (instance, 2) in units of `unit`: the one that is charged, the one that holds.
        unit: unit capacitor, F.
        v_ref: reference, V.

    Raises:
        InputError: capacitors of the wrong shape, or one that isn't finite and positive.
        OptionError: bits outside 1 to 16; unit or v_ref not finite and positive.
    """

    bits: int
    capacitors: FloatArray
    unit: float = 1e-15
    v_ref: float = 1.0

    def __post_init__(self) -> None:
        check_bits(self.bits, "SerialDac")
        _freeze(self, "capacitors")
        check_positive(self.unit, "SerialDac.unit")
        check_positive(self.v_ref, "SerialDac.v_ref")
        if self.capacitors.shape[1] != 2:
            cause = f"has {self.capacitors.shape[1]} elements per instance"
            raise InputError("SerialDac.capacitors", cause, "give two per instance")

    @classmethod
    def ideal(cls, bits: int, *, unit: float = 1e-15, v_ref: float = 1.0) -> Self:
        """One instance without mismatch."""
        return cls(bits, np.ones((1, 2)), unit, v_ref)

    @classmethod
    def draw(
        cls,
        bits: int,
        sigma: float,
        instances: int,
        rng: np.random.Generator,
        *,
        unit: float = 1e-15,
        v_ref: float = 1.0,
    ) -> Self:
        """Instances with two independent unit capacitors of relative spread σ."""
        return cls(bits, pelgrom(np.ones(2), sigma, instances, rng), unit, v_ref)

    @property
    def instances(self) -> int:
        """Monte-Carlo instances."""
        return len(self.capacitors)

    def levels(self) -> FloatArray:
        """Output voltage of every code, V, (instance, 2^bits)."""
        share = self.capacitors[:, :1] / self.capacitors.sum(1, keepdims=True)
        return superpose(share * (1 - share) ** np.arange(self.bits)) * self.v_ref

    def take(self, rows: slice) -> Self:
        """The same converter with these instances only."""
        return replace(self, capacitors=self.capacitors[rows])


def binary_units(bits: int) -> FloatArray:
    """2^(bits−1), …, 2, 1 and the terminating 1, (bits + 1,).

    Raises:
        OptionError: bits outside 1 to 16.
    """
    return np.append(2.0 ** np.arange(check_bits(bits))[::-1], 1.0)


def _check_draw(sigma: float, instances: int) -> None:
    if not 0 <= sigma < np.inf:
        raise OptionError("sigma", f"is {sigma!r}", "give a finite spread of at least 0")
    if instances < 1:
        raise OptionError("instances", f"is {instances!r}", "draw at least one instance")


def as_reals(values: ArrayLike, where: str) -> FloatArray:
    """The values as float64, not copied if they already are.

    Raises:
        InputError: they aren't real numbers in a regular array.
    """
    try:
        given = np.asarray(values)
        if not np.issubdtype(given.dtype, np.complexfloating):
            return given.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise InputError(where, "doesn't hold real numbers", "give a regular array of numbers")


def frozen_elements(values: ArrayLike, where: str) -> FloatArray:
    """A private read-only copy of element values, (instance, elements).

    Raises:
        InputError: of another shape, or a value that isn't finite and positive.
    """
    elements = as_reals(values, where).copy()
    if elements.ndim != 2 or not len(elements):
        raise InputError(where, f"has shape {elements.shape}", "give (instance, elements)")
    bad = ~(np.isfinite(elements) & (elements > 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        cause = f"element {column} of instance {row} is {elements[row, column]}"
        raise InputError(where, cause, "give finite values above 0, or draw a smaller spread")
    elements.flags.writeable = False
    return elements


def _freeze(dac: object, name: str) -> None:
    where = f"{type(dac).__name__}.{name}"
    object.__setattr__(dac, name, frozen_elements(getattr(dac, name), where))
