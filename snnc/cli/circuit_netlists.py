"""Which netlist the options of `snnc circuit netlist` ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.circuits.dac import CapacitorDac, LadderDac, check_bits, mid_bins
from snnc.circuits.design import DacKind, Design
from snnc.circuits.spice.deck import Netlist
from snnc.circuits.spice.netlists import ArraySwitching, LadderSweep, SarLoop
from snnc.circuits.switching import SwitchedArrayDac
from snnc.errors import InputError, OptionError

_SAR_LONGEST = 4096
"""Conversions of one SAR netlist; ngspice takes minutes for these."""
_NEEDS = {"side": ("array",), "offset": ("sar",), "codes": ("array", "sar")}


def make_netlist(
    what: str,
    rng: np.random.Generator,
    *,
    bits: int,
    dac: DacKind | None,
    codes: tuple[int, ...],
    side: Any,
    offset: float | None,
    **parts: Any,
) -> Netlist:
    """The deck of a ladder, an array or a SAR loop.

    Args:
        what: "ladder", "array" or "sar".
        rng: draws the mismatch of the one instance.
        parts: mismatch, v_ref, r_up and r_down, as `Design` takes them.

    Raises:
        OptionError: an option that this netlist has no use for, a DAC that it can't have, or what
            `Design` refuses.
        InputError: a code that isn't one of so many bits.
    """
    for name, given in (("side", side), ("offset", offset), ("codes", codes)):
        if given not in (None, ()) and what not in _NEEDS[name]:
            cause = f"makes no difference to a netlist of the {what}"
            raise OptionError(f"--{name.removesuffix('s')}", cause, "leave it away")
    for code in codes:
        if not 0 <= code < 2 ** check_bits(bits):
            raise InputError("--code", f"{code} isn't one of {bits} bits", "count from 0")
    if what == "array":
        return _array(rng, bits, dac or "single-ended", codes, side, **parts)
    fallback: DacKind = "ladder" if what == "ladder" else "single-ended"
    found = Design(bits, dac or fallback, **parts).make(1, rng).dac
    if what == "ladder":
        if not isinstance(found, LadderDac):
            raise OptionError(f"--dac {dac}", "is no ladder", "leave it away, or ask for an array")
        return LadderSweep(found).netlist()
    if not isinstance(found, LadderDac | CapacitorDac):
        cause = "has no netlist of the whole loop"
        raise OptionError(f"--dac {dac}", cause, "take single-ended or ladder, or only the array")
    volts = mid_bins(bits, found.v_ref)[list(codes) or slice(None)]
    if len(volts) > _SAR_LONGEST:
        cause = f"converts {len(volts):,} pixels, above {_SAR_LONGEST:,}"
        raise OptionError("netlist sar", cause, "choose some with --code")
    return SarLoop(found, volts, offset=offset or 0.0).netlist()


def _array(
    rng: np.random.Generator,
    bits: int,
    dac: DacKind,
    codes: tuple[int, ...],
    side: str | None,
    **parts: Any,
) -> Netlist:
    if dac == "ladder":
        raise OptionError("--dac ladder", "is no array", "ask for the netlist of a ladder")
    if len(codes) != 1:
        cause = f"is given {len(codes)} times; an array is switched on the way to one code"
        raise OptionError("--code", cause, "give it once")
    if dac == "single-ended" and side == "down":
        raise OptionError("--side down", "isn't there in a single-ended array", "leave it away")
    design = Design(bits, dac, **parts)
    array = SwitchedArrayDac.draw(dac, bits, design.mismatch, 1, rng, v_ref=design.v_ref)
    up, down = array.plates(codes[0])
    if side == "down" and array.down is not None:
        capacitors, plates = array.down[0], down
    else:
        capacitors, plates = array.up[0], up
    return ArraySwitching(capacitors * array.unit, plates, array.v_ref).netlist()
