"""The numpy models of one converter against ngspice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.circuits.dac import CapacitorDac, IntArray, LadderDac, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.sar import SarAdc
from snnc.circuits.spice.deck import Netlist, Traces
from snnc.circuits.spice.netlists import ArraySwitching, LadderSweep, SarLoop
from snnc.circuits.spice.ngspice import simulate
from snnc.circuits.switching import SwitchedArrayDac
from snnc.errors import OptionError

DC_TOLERANCE = 1e-12  # of v_ref
ENERGY_TOLERANCE = 1e-6  # relative
_ENERGY_CODES = 5


@dataclass(frozen=True)
class CrossCheck:
    """One quantity of one instance, in numpy and in ngspice.

    Attributes:
        name: of the quantity.
        checked, of: how many codes were compared, of how many there are.
        worst: the largest difference.
        tolerance: what it may be.
    """

    name: str
    checked: int
    of: int
    worst: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every difference is within the tolerance."""
        return self.worst <= self.tolerance


@dataclass(frozen=True)
class Simulator:
    """How ngspice is run.

    Attributes:
        program: name or path.
        timeout_s: wall-clock limit of each run, seconds.
        conversions: how many the SAR loop does at most, spread over the codes.
    """

    program: str = "ngspice"
    timeout_s: float = 120.0
    conversions: int = 256

    def __post_init__(self) -> None:
        if self.conversions < 1:
            raise OptionError("conversions", f"is {self.conversions}", "take at least one")

    def run(self, netlist: Netlist) -> Traces:
        """What the netlist's analysis saves."""
        return simulate(netlist, self.timeout_s, self.program)


def cross_check(
    design: Design, seed: int = 0, simulator: Simulator | None = None
) -> tuple[CrossCheck, ...]:
    """One instance of the design: levels of a ladder at DC, energy of an array, codes of the loop.

    The instance has the design's mismatch and switch resistances; its impairments are left out of
    both sides. The loop is simulated for a ladder and for a single-ended array.

    Args:
        seed: of the instance's mismatch.

    Raises:
        ToolError: ngspice is missing, fails, hangs, or stops early.
    """
    run = simulator or Simulator()
    adc = design.make(1, np.random.default_rng(seed))
    if isinstance(adc.dac, SwitchedArrayDac):
        return (_energy(adc.dac, run),)
    if isinstance(adc.dac, CapacitorDac):
        return _energy(SwitchedArrayDac.of(adc.dac), run), _codes(adc.dac, run)
    if isinstance(adc.dac, LadderDac):
        return _levels(adc.dac, run), _codes(adc.dac, run)
    return ()


def _levels(ladder: LadderDac, simulator: Simulator) -> CrossCheck:
    experiment = LadderSweep(ladder)
    found = experiment.read(simulator.run(experiment.netlist()))
    worst = float(np.abs(found - ladder.levels()[0]).max()) / ladder.v_ref
    return CrossCheck("ladder levels at DC / v_ref", found.size, found.size, worst, DC_TOLERANCE)


def _energy(array: SwitchedArrayDac, simulator: Simulator) -> CrossCheck:
    unit = array.unit * array.v_ref**2
    expected = array.switching_energy()[0] * unit
    codes = _spread(2**array.bits, _ENERGY_CODES)
    found = []
    for code in codes:
        sides = zip((array.up, array.down), array.plates(int(code)), strict=True)
        experiments = [
            ArraySwitching(side[0] * array.unit, plates, array.v_ref)
            for side, plates in sides
            if side is not None
        ]
        found.append(sum(e.read(simulator.run(e.netlist())).sum() for e in experiments))
    # A code that takes nothing from v_ref (N = 1) is compared with one unit's energy instead.
    scale = np.where(expected[codes] > 0, expected[codes], unit)
    worst = float(np.max(np.abs(found - expected[codes]) / scale))
    return CrossCheck(
        f"{array.scheme} array, switching energy",
        len(codes),
        2**array.bits,
        worst,
        ENERGY_TOLERANCE,
    )


def _codes(dac: LadderDac | CapacitorDac, simulator: Simulator) -> CrossCheck:
    codes = _spread(2**dac.bits, simulator.conversions)
    inputs = mid_bins(dac.bits, dac.v_ref)[codes]
    experiment = SarLoop(dac, inputs)
    found = experiment.read(simulator.run(experiment.netlist()))
    expected = SarAdc(dac).convert(inputs)[0]
    worst = float(np.abs(found - expected).max())
    return CrossCheck("codes of the SAR loop", codes.size, 2**dac.bits, worst, 0.0)


def _spread(codes: int, count: int) -> IntArray:
    """At most `count` codes, from the first to the last."""
    return np.unique(np.linspace(0, codes - 1, min(count, codes)).round().astype(np.int64))
