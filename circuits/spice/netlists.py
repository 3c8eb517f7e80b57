"""The circuits that ngspice simulates, as netlists, and what they measure.

The text is the same for the same circuit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.circuits.dac import CapacitorDac, FloatArray, IntArray, LadderDac
from snnc.circuits.spice.deck import (
    EDGE,
    Netlist,
    Traces,
    deck,
    number,
    pulse,
    pwl,
    staircase,
    switch,
)
from snnc.errors import InputError, OptionError

_STEP = 100e-9
_LATCH_OHM = 1e3
_HOLD_FARAD = 10e-15
_RAIL_TAU = 2.5e-9
_DRIVER_TAU = 0.25e-9
_RAILS = {0.0: "0", 0.5: "cm", 1.0: "ref"}


@dataclass(frozen=True, eq=False)
class LadderSweep:
    """The output of an R-2R ladder for every code, at DC.

    One source sweeps the code; per bit a behavioural source takes its binary digit,
    v_ref·(⌊c/2^k⌋ − 2⌊c/2^{k+1}⌋), and drives a leg.

    Args:
        dac: the ladder.
        instance: which of its instances.

    Raises:
        OptionError: no such instance.
    """

    dac: LadderDac
    instance: int = 0

    def __post_init__(self) -> None:
        _check_instance(self.dac, self.instance)

    def netlist(self) -> Netlist:
        """The deck: a DC sweep over all codes."""
        codes = range(2**self.dac.bits)
        lines = ["Vcode code 0 0"]
        for k in range(self.dac.bits):
            digit = f"floor(v(code)/{2**k}) - 2*floor(v(code)/{2 ** (k + 1)})"
            lines += [f"Bb{k} b{k} 0 V = {digit}", _driver(k, self.dac.v_ref)]
        lines += _ladder(self.dac, self.instance)
        lines += [
            ".options reltol=1e-13 vntol=1e-15 abstol=1e-18",
            ".save v(x)",
            f".dc Vcode 0 {codes[-1]} 1",
        ]
        return deck(f"R-2R ladder of {self.dac.bits} bits, every code", lines, codes[-1])

    def read(self, traces: Traces) -> FloatArray:
        """Levels of all codes, (2^bits,) V."""
        return traces.values["v(x)"]


@dataclass(frozen=True, eq=False)
class ArraySwitching:
    """What a capacitor array takes from v_ref while its bottom plates are switched.

    During the reset the bottom plates stand as the first row says and the top plate is grounded;
    then it floats. Every bottom plate hangs on switches to ground, v_ref/2 and v_ref that break
    before they make; the current of v_ref is integrated on a capacitor.

    Args:
        capacitors: (element,) F.
        plates: (1 + step, element) of 0, ½ and 1: bottom plates in v_ref, first as they are reset.
        v_ref: reference, V.

    Raises:
        InputError: capacitors that aren't finite and positive, plates on other voltages, or
            shapes that don't fit.
    """

    capacitors: FloatArray
    plates: FloatArray
    v_ref: float = 1.0

    def __post_init__(self) -> None:
        caps, plates = np.asarray(self.capacitors), np.asarray(self.plates)
        if caps.ndim != 1 or not np.all(np.isfinite(caps) & (caps > 0)):
            raise InputError("capacitors", "aren't (element,) finite and positive", "give farads")
        if plates.ndim != 2 or plates.shape[1] != len(caps) or len(plates) < 2:
            cause = f"{plates.shape} don't fit {len(caps)} capacitors"
            raise InputError("plates", cause, "give one row for the reset and one per step")
        if not np.isin(plates, list(_RAILS)).all():
            raise InputError("plates", "are on other voltages than 0, ½ and 1 v_ref", "use these")
        object.__setattr__(self, "capacitors", caps.astype(np.float64))
        object.__setattr__(self, "plates", plates.astype(np.float64))

    def netlist(self) -> Netlist:
        """The deck: a transient of one slot per row of `plates`."""
        stop = len(self.plates) * _STEP
        lines = [f"Vref ref 0 {number(self.v_ref)}", f"Vcm cm 0 {number(self.v_ref / 2)}"]
        lines += [f"Vrst rst 0 {pwl([(0, 1), (_STEP / 2, 1), (_STEP / 2 + EDGE, 0)])}"]
        lines += ["Sx x 0 rst 0 reset"]
        for j, capacitor in enumerate(self.capacitors):
            lines.append(f"C{j} x b{j} {number(capacitor)}")
            for rail, points in _break_before_make(self.plates[:, j]).items():
                gate = f"g{j}_{_RAILS[rail]}"
                lines += [f"V{gate} {gate} 0 {pwl(points)}"]
                lines += [f"S{gate} b{j} {_RAILS[rail]} {gate} 0 rail"]
        lines += ["Fq 0 q Vref -1", f"Cq q 0 {number(self._integrator())}", "Sq q 0 rst 0 reset"]
        lines += [
            switch("rail", _RAIL_TAU / self._integrator(), "1e18"),
            switch("reset", _DRIVER_TAU / self._integrator(), "1e18"),
            ".options method=gear reltol=1e-4 abstol=1e-18 vntol=1e-9 chgtol=1e-21 gmin=1e-18",
            ".save v(q) v(x)",
            f".tran {number(_STEP / 50)} {number(stop)} 0 {number(_STEP / 20)}",
        ]
        return deck(f"capacitor array, {len(self.plates) - 1} switchings", lines, stop)

    def read(self, traces: Traces) -> FloatArray:
        """Energy from v_ref in each step, (step,) J."""
        ends = np.arange(1, len(self.plates) + 1) * _STEP
        return self.v_ref * self._integrator() * np.diff(traces.at("v(q)", ends))

    def _integrator(self) -> float:
        """As large as the array, so that its voltage is of the order of v_ref."""
        return float(np.sum(self.capacitors))


@dataclass(frozen=True, eq=False)
class SarLoop:
    """The whole converter: comparator, SAR logic, and the DAC in its loop.

    A conversion takes bits + 1 slots. In the first one all bits are reset. In slot i a trial pulse
    raises bit N − i, and while it lasts a latch pulse samples the comparator, v_in ≥ v_x, onto
    that bit's hold capacitor; a bit is driven by its trial or by its held decision. A capacitor
    array is driven from resistors, and its top plate is grounded during the reset.

    Args:
        dac: ladder or capacitor array.
        v_in: (conversion,) V, converted one after the other.
        instance: which instance of the DAC.
        offset: of the comparator, V, added to the input.

    Raises:
        InputError: inputs that aren't (conversion,) within 0…v_ref.
        OptionError: no such instance, or an offset that isn't finite.
    """

    dac: LadderDac | CapacitorDac
    v_in: FloatArray
    instance: int = 0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check_instance(self.dac, self.instance)
        if not np.isfinite(self.offset):
            raise OptionError("offset", f"is {self.offset}", "give volts")
        v_in = np.asarray(self.v_in)
        if v_in.ndim != 1 or not len(v_in) or not np.all((v_in >= 0) & (v_in <= self.dac.v_ref)):
            raise InputError(
                "v_in", f"isn't (conversion,) within 0…{self.dac.v_ref} V", "scale the inputs"
            )
        object.__setattr__(self, "v_in", v_in.astype(np.float64))

    def netlist(self) -> Netlist:
        """The deck: a transient of all conversions."""
        bits, period = self.dac.bits, self._period()
        stop = len(self.v_in) * period
        lines = [
            f"Vin in 0 {staircase(self.v_in, period)}",
            f"Vos seen in {number(self.offset)}",
            f"Vrst rst 0 {pulse(0.2 * _STEP, 0.6 * _STEP, period)}",
            "Bcmp cmp 0 V = v(seen) >= v(x) ? 1 : 0",
        ]
        for k in reversed(range(bits)):
            lines += self._bit(k, (bits - k) * _STEP, period)
        if isinstance(self.dac, LadderDac):
            lines += _ladder(self.dac, self.instance)
        else:
            lines += _array(self.dac, self.instance)
        lines += [
            switch("latch", _LATCH_OHM, "1e15"),
            ".options method=gear reltol=1e-4",
            ".save " + " ".join(f"v(h{k})" for k in range(bits)),
            f".tran {number(_STEP / 5)} {number(stop)} 0 {number(_STEP / 5)}",
        ]
        return deck(f"SAR of {bits} bits, {len(self.v_in)} conversions", lines, stop)

    def read(self, traces: Traces) -> IntArray:
        """Codes, (conversion,)."""
        ends = (np.arange(len(self.v_in)) + 1) * self._period() - _STEP / 50
        accepted = [traces.at(f"v(h{k})", ends) > 0.5 for k in range(self.dac.bits)]
        return (1 << np.arange(self.dac.bits)) @ np.asarray(accepted, np.int64)

    def _period(self) -> float:
        return (self.dac.bits + 1) * _STEP

    def _bit(self, k: int, start: float, period: float) -> list[str]:
        return [
            f"Vt{k} t{k} 0 {pulse(start, _STEP - 2 * EDGE, period)}",
            f"Vl{k} l{k} 0 {pulse(start + 0.5 * _STEP, 0.3 * _STEP, period)}",
            f"Sl{k} cmp h{k} l{k} 0 latch",
            f"Sr{k} h{k} 0 rst 0 latch",
            f"Ch{k} h{k} 0 {number(_HOLD_FARAD)}",
            f"Bb{k} b{k} 0 V = (v(t{k}) > 0.5) || (v(h{k}) > 0.5) ? 1 : 0",
            _driver(k, self.dac.v_ref),
        ]


def _driver(k: int, v_ref: float) -> str:
    """Bit k, 0 or 1 V on b<k>, as 0 or v_ref on d<k>."""
    return f"Ed{k} d{k} 0 b{k} 0 {number(v_ref)}"


def _ladder(dac: LadderDac, instance: int) -> list[str]:
    """The resistors from the drivers d<k> to the output x; elements are kept MSB first."""
    legs, series = dac.legs[instance] * dac.unit, dac.series[instance] * dac.unit
    nodes = [f"n{k}" for k in range(dac.bits - 1)] + ["x"]
    lines = [f"Rterm {nodes[0]} 0 {number(legs[-1])}"]
    for k, node in enumerate(nodes):
        ohm = number(legs[dac.bits - 1 - k] + dac.r_up)
        if dac.r_up != dac.r_down:
            other = number(legs[dac.bits - 1 - k] + dac.r_down)
            lines += [f"Vup{k} up{k} 0 {ohm}", f"Vdown{k} down{k} 0 {other}"]
            ohm = f"r = 'v(b{k}) > 0.5 ? v(up{k}) : v(down{k})'"
        lines.append(f"Rleg{k} d{k} {node} {ohm}")
    for k in range(dac.bits - 1):
        lines.append(f"Rser{k} {nodes[k]} {nodes[k + 1]} {number(series[dac.bits - 2 - k])}")
    return lines


def _array(dac: CapacitorDac, instance: int) -> list[str]:
    """The capacitors from the drivers d<k> to the top plate x."""
    capacitors = dac.capacitors[instance] * dac.unit
    ohm = _DRIVER_TAU / float(capacitors.sum())
    lines = [f"Cterm x 0 {number(capacitors[-1])}"]
    lines += ["Sx x 0 rst 0 plate", switch("plate", ohm, "1e18")]
    for k in range(dac.bits):
        lines += [
            f"Rd{k} d{k} p{k} {number(ohm)}",
            f"C{k} p{k} x {number(capacitors[dac.bits - 1 - k])}",
        ]
    return lines


def _break_before_make(plate: FloatArray) -> dict[float, list[tuple[float, float]]]:
    """By rail that one bottom plate visits, the gate voltage of its switch to it."""
    gates = {float(rail): [(0.0, float(rail == plate[0]))] for rail in np.unique(plate)}
    for step in np.flatnonzero(np.diff(plate)) + 1:
        start = float(step) * _STEP
        gates[float(plate[step - 1])] += [(start, 1.0), (start + EDGE, 0.0)]
        gates[float(plate[step])] += [(start + 2 * EDGE, 0.0), (start + 3 * EDGE, 1.0)]
    return gates


def _check_instance(dac: LadderDac | CapacitorDac, instance: int) -> None:
    if not 0 <= instance < dac.instances:
        raise OptionError("instance", f"{instance} isn't one of {dac.instances}", "count from 0")
