"""What target `uwe` writes: the circuits around the cores, as netlists and as figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from snnc.circuits.dac import CapacitorDac, LadderDac, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.metrics.energy import SURVEY_CONVERSION, conversion_energy
from snnc.circuits.spice.netlists import LadderSweep, SarLoop
from snnc.circuits.switching import SwitchedArrayDac

PIXELS = 16
"""Codes that the converter's netlist converts, from black to white."""

SURVEY_BITS = 8
"""Resolution of the converters that the survey's range is of."""

OMITTED = ("comparator", "logic", "sampling", "leakage")
"""What the energy of a conversion leaves out: nothing here says what loads they switch."""


@dataclass(frozen=True)
class FrontEnd:
    """SAR ADCs on capacitor arrays before the cores, an R-2R ladder behind them, all ideal.

    Attributes:
        bits: of both, the network's steps.
        conversions: per sample, by input.
        decoded: outputs that the ladder reads.
    """

    bits: int
    conversions: Mapping[str, int]
    decoded: tuple[str, ...] = ()

    @cached_property
    def design(self) -> Design:
        """The converter."""
        return Design(self.bits)

    @cached_property
    def array(self) -> CapacitorDac:
        """The capacitor array that the converter searches on."""
        return CapacitorDac.ideal(self.bits, v_ref=self.design.v_ref)

    @cached_property
    def array_energy(self) -> dict[str, float]:
        """What the array takes from v_ref per conversion, J, over all codes alike."""
        energy = conversion_energy(
            SwitchedArrayDac.of(self.array),
            slot=self.design.slot,
            comparator_load=0.0,
            logic_load=0.0,
            v_logic=self.design.v_ref,
        ).array
        return {
            "lowest": float(energy.min()),
            "mean": float(energy.mean()),
            "highest": float(energy.max()),
        }

    def files(self) -> dict[str, bytes]:
        """SPICE decks, `encoder.cir` and `decoder.cir`, and the facts as `circuit.json`."""
        codes = np.unique(np.linspace(0, 2**self.bits - 1, PIXELS).round().astype(np.int64))
        volts = mid_bins(self.bits, self.design.v_ref)[codes]
        texts = {
            "encoder.cir": SarLoop(self.array, volts).netlist().text,
            "circuit.json": json.dumps(self.facts(), indent=2) + "\n",
        }
        if self.decoded:
            ladder = LadderDac.ideal(self.bits, v_ref=self.design.v_ref)
            texts["decoder.cir"] = LadderSweep(ladder).netlist().text
        return {name: text.encode() for name, text in texts.items()}

    def facts(self) -> dict[str, object]:
        """The figures, in SI units. Energies are over all codes alike; times are those of the
        decisions, without sampling."""
        return {
            "units": "V, s, F, J",
            "bits": self.bits,
            "order": "msb",
            "v_ref": self.design.v_ref,
            "slot": self.design.slot,
            "conversion_time": self._time(1),
            "conversions": dict(self.conversions),
            "time_with_one_converter": {n: self._time(k) for n, k in self.conversions.items()},
            "decoded": list(self.decoded),
            "conversion_energy": {"array": self.array_energy, "unit_capacitor": self.array.unit},
            "conversion_energy_omits": list(OMITTED),
            "survey_conversion_energy": asdict(SURVEY_CONVERSION) if self._surveyed else None,
        }

    def report(self) -> tuple[str, ...]:
        """The facts in words."""
        bits, slot = self.bits, self.design.slot
        mean, low, high = (_pico(self.array_energy[k]) for k in ("mean", "lowest", "highest"))
        lines = [
            f"encoder.cir: SAR ADC of {bits} bits, whose decisions are the input's spikes, most"
            " significant bit first",
            f"decoder.cir: R-2R ladder of {bits} bits that reads {', '.join(self.decoded)}"
            if self.decoded
            else "no decoder.cir: there is no output of spikes at every step",
            *(
                f"{name}: {count:,} conversions per sample, {self._time(1) * 1e6:.3g} µs each at"
                f" {slot * 1e9:g} ns per decision; {self._time(count) * 1e3:.3g} ms with one"
                " converter"
                for name, count in self.conversions.items()
            ),
            f"capacitor array: {mean} pJ per conversion on average over the codes, {low} to {high}"
            f" (C_u = {self.array.unit * 1e15:g} fF, v_ref = {self.design.v_ref:g} V), without"
            f" {', '.join(OMITTED)}",
        ]
        if self._surveyed:
            found = SURVEY_CONVERSION
            lines.append(
                f"whole converters of {bits} bits take {_pico(found.low)} to {_pico(found.high)} pJ"
                f" per conversion, median {_pico(found.median)} (ADC survey of B. Murmann)"
            )
        return tuple(lines)

    @property
    def _surveyed(self) -> bool:
        return self.bits == SURVEY_BITS

    def _time(self, conversions: int) -> float:
        return conversions * self.bits * self.design.slot


def _pico(joule: float) -> str:
    return f"{joule * 1e12:.3g}"
