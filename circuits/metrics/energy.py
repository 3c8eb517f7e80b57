"""Energy of a conversion by cause, and how it compares with published converters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.circuits.dac import FloatArray, LadderDac, check_positive
from snnc.circuits.switching import SwitchedArrayDac, ladder_energy
from snnc.errors import OptionError


@dataclass(frozen=True)
class SurveyRange:
    """Lowest, median and highest published value."""

    low: float
    median: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies within the published ones."""
        return self.low <= value <= self.high


# Of the 101 pure SAR converters in B. Murmann's ADC survey (ISSCC and VLSI), the nine with an
# ENOB from 6.8 to 8.2.
SURVEY_WALDEN = SurveyRange(6.03e-15, 18.9e-15, 85.9e-15)  # J per conversion step
SURVEY_CONVERSION = SurveyRange(1.09e-12, 2.78e-12, 14.5e-12)  # J per conversion, P/f_snyq


@dataclass(frozen=True, eq=False)
class ConversionEnergy:
    """Energy of converting to every code by cause, J, each (instance, 2^bits)."""

    array: FloatArray
    ladder: FloatArray
    comparator: FloatArray
    logic: FloatArray

    @property
    def total(self) -> FloatArray:
        """Sum of the causes, J, (instance, 2^bits)."""
        return self.array + self.ladder + self.comparator + self.logic


def conversion_energy(
    dac: SwitchedArrayDac | LadderDac,
    *,
    slot: float,
    comparator_load: float,
    logic_load: float,
    v_logic: float,
) -> ConversionEnergy:
    """Energy of one conversion to every code.

    array: charge accounting (`SwitchedArrayDac.switching_energy`); ladder: reference current in
    every slot (`ladder_energy`); comparator and logic: C·v_logic² once per decision, the energy
    of charging and discharging a load (textbook). Sampling and leakage are not in it.

    Args:
        dac: what the converter searches on.
        slot: time of one decision, s.
        comparator_load, logic_load: capacitance that each switches per decision, F.
        v_logic: supply of comparator and logic, V.

    Raises:
        OptionError: slot or v_logic not finite and positive; a load negative or not finite.
    """
    check_positive(slot, "slot")
    swing = check_positive(v_logic, "v_logic") ** 2 * dac.bits
    none = np.zeros((dac.instances, 2**dac.bits))
    for name, load in (("comparator_load", comparator_load), ("logic_load", logic_load)):
        if not 0 <= load < np.inf:
            raise OptionError(name, f"is {load!r}", "give farads of at least 0")
    array, ladder = none, none
    if isinstance(dac, LadderDac):
        ladder = ladder_energy(dac, slot)
    else:
        array = dac.switching_energy() * (dac.unit * dac.v_ref**2)
    return ConversionEnergy(
        array, ladder, none + comparator_load * swing, none + logic_load * swing
    )


def walden(energy: float, enob: float) -> float:
    """Walden figure of merit P/(f_s·2^ENOB) = E/2^ENOB, J per conversion step.

    Args:
        energy: of one conversion, J.
        enob: effective bits.

    Raises:
        OptionError: an energy that isn't finite and positive, or an enob that isn't finite.
    """
    if not np.isfinite(enob):
        raise OptionError("enob", f"is {enob!r}", "give a finite number of bits")
    return check_positive(energy, "energy") / 2.0**enob
