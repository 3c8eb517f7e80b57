"""Switching of capacitor arrays: bottom plates on the way to every code, levels and energy.

The top plates float, so charge is conserved: Δv_x = Σ C_j·Δb_j / Σ C_j. A switching takes from
v_ref the charge that flows into the capacitors which are on v_ref afterwards:

    E = v_ref · Σ_{j on v_ref} C_j·(Δb_j − Δv_x)

Sampling and reset energy are not in it. Schemes: conventional (McCreary, Gray 1975), split
(Ginsburg, Chandrakasan 2007), monotonic (Liu et al. 2010) and vcm (Zhu et al. 2010), all
differential, and the conventional one single-ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np

from snnc.circuits.dac import (
    CapacitorDac,
    FloatArray,
    IntArray,
    LadderDac,
    check_bits,
    check_positive,
    frozen_elements,
    pelgrom,
)
from snnc.errors import InputError, OptionError

Scheme = Literal["conventional", "single-ended", "split", "monotonic", "vcm"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Plates = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class SwitchedArrayDac:
    """The capacitor arrays of both sides of a comparator, as a switching scheme uses them.

    With d = Σ C_j·b_j / Σ C_j of each side while a code is on trial,
    level = v_ref·(1 + d_up − d_down)/2, and single-ended v_ref·d_up. v_in of 0 to v_ref stands
    for a differential input of −v_ref to v_ref.

    Args:
        scheme: name of the switching scheme.
        bits: resolution.
        up: capacitors of the side whose bottom plates raise the level, (instance, elements) in
            units of `unit`, ordered as in `unit_capacitors`.
        down: those of the other side; None if single-ended.
        unit: unit capacitor, F.
        v_ref: reference, V.

    Raises:
        InputError: capacitors of the wrong shape, or one that isn't finite and positive.
        OptionError: an unknown scheme, bits outside 1 to 16, unit or v_ref not positive.
    """

    scheme: Scheme
    bits: int
    up: FloatArray
    down: FloatArray | None
    unit: float = 1e-15
    v_ref: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.unit, "SwitchedArrayDac.unit")
        check_positive(self.v_ref, "SwitchedArrayDac.v_ref")
        elements = unit_capacitors(self.scheme, self.bits).size
        object.__setattr__(self, "up", frozen_elements(self.up, "SwitchedArrayDac.up"))
        self._check_shape("up", self.up, (self.instances, elements))
        if (self.down is None) != (self.scheme == "single-ended"):
            cause = f"is {'missing' if self.down is None else 'given'} for {self.scheme}"
            fix = "give it for every scheme but single-ended"
            raise InputError("SwitchedArrayDac.down", cause, fix)
        if self.down is not None:
            object.__setattr__(self, "down", frozen_elements(self.down, "SwitchedArrayDac.down"))
            self._check_shape("down", self.down, self.up.shape)

    @staticmethod
    def _check_shape(name: str, values: FloatArray, expected: tuple[int, ...]) -> None:
        if values.shape != expected:
            cause = f"has shape {values.shape}, {expected} is needed"
            fix = "give the elements that unit_capacitors lists, for both sides alike"
            raise InputError(f"SwitchedArrayDac.{name}", cause, fix)

    @classmethod
    def of(cls, dac: CapacitorDac) -> Self:
        """A binary-weighted array as the single-ended one that it is."""
        return cls("single-ended", dac.bits, dac.capacitors, None, dac.unit, dac.v_ref)

    @classmethod
    def ideal(cls, scheme: Scheme, bits: int, *, unit: float = 1e-15, v_ref: float = 1.0) -> Self:
        """One instance without mismatch."""
        units = unit_capacitors(scheme, bits)[None]
        return cls(scheme, bits, units, None if scheme == "single-ended" else units, unit, v_ref)

    @classmethod
    def draw(
        cls,
        scheme: Scheme,
        bits: int,
        sigma: float,
        instances: int,
        rng: np.random.Generator,
        *,
        unit: float = 1e-15,
        v_ref: float = 1.0,
    ) -> Self:
        """Instances whose sides have independent Pelgrom mismatch."""
        units = unit_capacitors(scheme, bits)
        up = pelgrom(units, sigma, instances, rng)
        down = None if scheme == "single-ended" else pelgrom(units, sigma, instances, rng)
        return cls(scheme, bits, up, down, unit, v_ref)

    @property
    def instances(self) -> int:
        """Monte-Carlo instances."""
        return len(self.up)

    @property
    def total(self) -> FloatArray:
        """Capacitance that samples the input on one side, F, (instance,)."""
        return self.up.sum(1) * self.unit

    def levels(self) -> FloatArray:
        """Input voltage that every trial code is held against, V, (instance, 2^bits)."""
        levels = np.zeros((self.instances, 2**self.bits))
        for step in range(1, self.bits + 1):
            trials = np.arange(2 ** (self.bits - step), 2**self.bits, 2 ** (self.bits - step + 1))
            up, down = _plates(self.scheme, self.bits, trials, step)
            levels[:, trials] = self._difference(up, down)
        return levels * self.v_ref

    def switching_energy(self) -> FloatArray:
        """Energy of converting every code, in units of unit·v_ref², (instance, 2^bits)."""
        energy = np.zeros((self.instances, 2**self.bits))
        before = _plates(self.scheme, self.bits, np.arange(2**self.bits), 0)
        for after in self._steps():
            energy += _charge(self.up, before[0], after[0])
            if self.down is not None:
                energy += _charge(self.down, before[1], after[1])
            before = after
        return energy

    def plates(self, code: int) -> Plates:
        """Bottom plates of both sides while a code is converted, in v_ref.

        Returns:
            up and down, (1 + bits, element): before the first trial, then at each one.

        Raises:
            InputError: no such code.
        """
        if not 0 <= code < 2**self.bits:
            raise InputError("code", f"{code} isn't one of {self.bits} bits", "count from 0")
        steps = [
            _plates(self.scheme, self.bits, np.asarray([code]), step)
            for step in range(self.bits + 1)
        ]
        return np.vstack([up for up, _ in steps]), np.vstack([down for _, down in steps])

    def take(self, rows: slice) -> Self:
        """The same arrays with these instances only."""
        return replace(self, up=self.up[rows], down=None if self.down is None else self.down[rows])

    def _steps(self) -> Iterator[Plates]:
        codes = np.arange(2**self.bits)
        return (_plates(self.scheme, self.bits, codes, step + 1) for step in range(self.bits))

    def _difference(self, up: FloatArray, down: FloatArray) -> FloatArray:
        raised = self.up @ up.T / self.up.sum(1, keepdims=True)
        if self.down is None:
            return raised
        return (1 + raised - self.down @ down.T / self.down.sum(1, keepdims=True)) / 2


def unit_capacitors(scheme: Scheme, bits: int) -> FloatArray:
    """Nominal capacitors of one side in C_u, (elements,).

    conventional, single-ended: 2^(N−1) … 1 and the terminating 1; split: 2^(N−2) … 1, 1 and the
    MSB as the same once more; monotonic, vcm: 2^(N−2) … 1, 1 (the sign decides the MSB).

    Raises:
        OptionError: an unknown scheme, or bits outside 1 to 16.
    """
    if scheme not in SCHEMES:
        raise OptionError("scheme", f"{scheme!r} is unknown", f"choose {', '.join(SCHEMES)}")
    check_bits(bits)
    if scheme in ("conventional", "single-ended"):
        return _binary(bits)
    half = _binary(bits - 1)
    return np.tile(half, 2) if scheme == "split" else half


def mean_switching_energy(scheme: Scheme, bits: int) -> float:
    """Mean over all codes without mismatch, in units of C_u·v_ref² (closed forms).

    conventional Σ_{i=1}^{N} 2^{N+1−2i}(2^i−1); single-ended half of it;
    split 2^{N−1} + Σ_{i=2}^{N} 2^{N+1−2i}(2^{i−1}−1); monotonic Σ_{i=1}^{N−1} 2^{N−2−i};
    vcm Σ_{i=1}^{N−1} 2^{N−2−2i}(2^i−1).

    Raises:
        OptionError: an unknown scheme, or bits outside 1 to 16.
    """
    unit_capacitors(scheme, bits)
    i = np.arange(1.0, bits + 1)
    inner = i[:-1]
    means = {
        "conventional": np.sum(2 ** (bits + 1 - 2 * i) * (2**i - 1)),
        "single-ended": np.sum(2 ** (bits - 2 * i) * (2**i - 1)),
        "split": 2 ** (bits - 1) + np.sum(2 ** (bits + 1 - 2 * i) * (2 ** (i - 1) - 1)),
        "monotonic": np.sum(2 ** (bits - 2 - inner)),
        "vcm": np.sum(2 ** (bits - 2 - 2 * inner) * (2**inner - 1)),
    }
    return float(means[scheme])


def mean_ladder_current(bits: int) -> float:
    """Mean reference current of an ideal R-2R ladder over all codes, in units of v_ref/R.

    N/12 + (1 − 4^−N)/18.

    Raises:
        OptionError: bits outside 1 to 16.
    """
    return check_bits(bits) / 12 + (1 - 4.0**-bits) / 18


def ladder_energy(ladder: LadderDac, slot: float) -> FloatArray:
    """Energy that v_ref gives while a SAR on this ladder converts to every code, J.

    Σ over the N trial codes of v_ref·i_ref·slot, (instance, 2^bits).

    Raises:
        OptionError: slot not finite and positive.
    """
    current = ladder.reference_current()
    codes = np.arange(2**ladder.bits)
    total = np.zeros_like(current)
    for k in range(ladder.bits):
        total += current[:, codes >> k + 1 << k + 1 | 1 << k]
    return total * (ladder.v_ref * check_positive(slot, "slot"))


def _binary(bits: int) -> FloatArray:
    return np.append(2.0 ** np.arange(bits)[::-1], 1.0)


def _charge(capacitors: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """Charge that v_ref gives in one switching, in C_u·v_ref, (instance, code)."""
    on_reference = (after == 1).astype(np.float64)
    change = after - before
    rise = capacitors @ change.T / capacitors.sum(1, keepdims=True)
    return capacitors @ (on_reference * change).T - rise * (capacitors @ on_reference.T)


def _plates(scheme: Scheme, bits: int, codes: IntArray, step: int) -> Plates:
    """Bottom plates of both sides in v_ref at trial `step` (0: before the first), (code, element).

    Trial `step` comes after `step` − 1 decisions, which are the leading bits of the code.
    """
    taken = (codes[:, None] >> np.arange(bits)[::-1] & 1).astype(np.float64)
    return _PLATES[scheme](taken, step)


def _conventional(taken: FloatArray, step: int) -> Plates:
    up = np.zeros((len(taken), taken.shape[1] + 1))
    if step:
        up[:, : step - 1] = taken[:, : step - 1]
        up[:, step - 1] = 1
    return up, 1 - up


def _split(taken: FloatArray, step: int) -> Plates:
    half = taken.shape[1]
    up = np.zeros((len(taken), 2 * half))
    if step:
        decided = slice(0, step - 1)
        up[:, decided] = taken[:, decided]
        up[:, half:] = 1
        up[:, half:][:, decided] = taken[:, decided]
    return up, 1 - up


def _monotonic(taken: FloatArray, step: int) -> Plates:
    return _symmetric(taken, step, rest=1.0)


def _vcm(taken: FloatArray, step: int) -> Plates:
    return _symmetric(taken, step, rest=0.5)


def _symmetric(taken: FloatArray, step: int, rest: float) -> Plates:
    """Both sides rest until a decision pulls one down (and, from v_ref/2, the other up)."""
    up, down = np.full(taken.shape, rest), np.full(taken.shape, rest)
    decided = slice(0, max(step - 1, 0))
    up[:, decided] = taken[:, decided]
    down[:, decided] = 1 - taken[:, decided]
    return up, down


_PLATES: dict[Scheme, Callable[[FloatArray, int], Plates]] = {
    "conventional": _conventional,
    "single-ended": _conventional,
    "split": _split,
    "monotonic": _monotonic,
    "vcm": _vcm,
}
