"""What a user decides about an encoder circuit, and the converter that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snnc.circuits.dac import CapacitorDac, LadderDac, check_bits, check_positive
from snnc.circuits.impairments import Impairments
from snnc.circuits.sar import SarAdc
from snnc.circuits.switching import SCHEMES, Scheme, SwitchedArrayDac
from snnc.errors import OptionError

DacKind = Scheme | Literal["ladder"]


@dataclass(frozen=True, eq=False)
class Design:
    """A SAR converter as designed, before any instance of it is made.

    Args:
        bits: resolution N.
        dac: "ladder" (R-2R), or the switching scheme of a capacitor array; "single-ended" is the
            plain binary-weighted array.
        mismatch: relative spread, of a unit capacitor (Pelgrom) or of every resistor.
        impairments: what the converter suffers from; numbers, or one per instance.
        sample_and_hold: whether the input is held while it is converted.
        slot: time of one decision, s.
        v_ref: reference, V.
        r_up, r_down: on-resistance of a ladder's switches to v_ref and to ground, ohm.

    Raises:
        OptionError: bits outside 1 to 16, an unknown DAC, a negative or NaN spread, switch
            resistances without a ladder, or a voltage or time that isn't positive.
    """

    bits: int = 8
    dac: DacKind = "single-ended"
    mismatch: float = 0.0
    impairments: Impairments = field(default_factory=Impairments)
    sample_and_hold: bool = True
    slot: float = 100e-9
    v_ref: float = 1.0
    r_up: float = 0.0
    r_down: float = 0.0

    def __post_init__(self) -> None:
        check_bits(self.bits)
        check_positive(self.slot, "slot")
        check_positive(self.v_ref, "v_ref")
        if self.dac != "ladder" and self.dac not in SCHEMES:
            fix = f"choose ladder, {', '.join(SCHEMES)}"
            raise OptionError("dac", f"{self.dac!r} is unknown", fix)
        if self.dac != "ladder" and (self.r_up or self.r_down):
            cause = f"has no switch resistance, but {self.r_up} and {self.r_down} ohm are given"
            raise OptionError(f"dac {self.dac}", cause, "leave them out, or take a ladder")
        if not 0 <= self.mismatch < np.inf:
            fix = "give a finite spread of at least 0"
            raise OptionError("mismatch", f"is {self.mismatch!r}", fix)
        dac = self._draw(1, 0.0, np.random.default_rng(0), switches=True)
        SarAdc(dac, self.impairments.take(slice(0, 1)), self.sample_and_hold, self.slot)

    def ideal(self, impairments: Impairments | None = None, *, held: bool = True) -> SarAdc:
        """One converter without mismatch, with these impairments and no others."""
        dac = self._draw(1, 0.0, np.random.default_rng(0), switches=False)
        return SarAdc(dac, impairments or Impairments(), held, self.slot)

    def make(self, instances: int, rng: np.random.Generator, rows: slice | None = None) -> SarAdc:
        """Converters with mismatch drawn from rng and the design's impairments.

        Args:
            rows: which of the impairments that are given per instance these instances have.
        """
        dac = self._draw(instances, self.mismatch, rng, switches=True)
        impairments = self.impairments.take(rows or slice(0, instances))
        return SarAdc(dac, impairments, self.sample_and_hold, self.slot)

    def _draw(
        self, instances: int, sigma: float, rng: np.random.Generator, *, switches: bool
    ) -> CapacitorDac | LadderDac | SwitchedArrayDac:
        shape = (self.bits, sigma, instances, rng)
        if self.dac == "single-ended":
            return CapacitorDac.draw(*shape, v_ref=self.v_ref)
        if self.dac != "ladder":
            return SwitchedArrayDac.draw(self.dac, *shape, v_ref=self.v_ref)
        ohms = (self.r_up, self.r_down) if switches else (0.0, 0.0)
        return LadderDac.draw(*shape, r_up=ohms[0], r_down=ohms[1], v_ref=self.v_ref)
