"""Number formats and limits of a chip, read from a data file that names the source of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from snnc.errors import ChipFileError
from snnc.passes.chip_file import figures, load, text_of


@dataclass(frozen=True)
class Limits:
    """What a core can hold. Loihi's unit of a weight is 64 units of the membrane (`shift` = 6).

    Attributes:
        chip: name of the chip.
        weight_min, weight_max, weight_step: range and spacing of the integer weights.
        exp_min, exp_max: exponent of a synapse group; its sum is multiplied by 2^exp.
        theta_bits: bits of the threshold mantissa; θ = mantissa << shift.
        bias_mant_bits, bias_exp_max: signed bias mantissa and its exponent.
        decay_bits: decays are multiples of 2^−decay_bits.
        state_bits: bits of u and v, sign included.
        shift: left shift from the synaptic sum to u.
        delay_max: largest synaptic delay in steps beyond the one that every synapse takes.
        message_bits: largest payload of a graded spike, 0 if spikes are binary.
        neuron_programs: whether neurons other than the built-in LIF can be programmed.
        sources: where each figure comes from, by name.
    """

    chip: str
    weight_min: int
    weight_max: int
    weight_step: int
    exp_min: int
    exp_max: int
    theta_bits: int
    bias_mant_bits: int
    bias_exp_max: int
    decay_bits: int
    state_bits: int
    shift: int
    delay_max: int
    message_bits: int
    neuron_programs: bool
    sources: Mapping[str, str]

    @property
    def state_max(self) -> int:
        """Largest magnitude of u and v."""
        return (1 << (self.state_bits - 1)) - 1

    @property
    def theta_max(self) -> int:
        """Largest threshold, in units of the membrane."""
        return ((1 << self.theta_bits) - 1) << self.shift

    @property
    def bias_mant_max(self) -> int:
        """Largest mantissa of a bias."""
        return (1 << (self.bias_mant_bits - 1)) - 1


NAMES = tuple(item.name for item in fields(Limits) if item.name not in ("chip", "sources"))
"""The figures that a chip's file has at its top."""


def limits_of(table: Mapping[str, Any], origin: str) -> Limits:
    """The number formats in a chip's file.

    Raises:
        ChipFileError: a figure is missing or makes no sense.
    """
    values, provenance = figures(table, NAMES, "", origin)
    try:
        found = msgspec.convert(
            {
                "chip": text_of(table, "chip", origin),
                "sources": {name: figure.source for name, figure in provenance.items()},
                **values,
            },
            Limits,
        )
    except msgspec.ValidationError as error:
        raise ChipFileError(origin, f"number formats: {error}") from error
    _check(found, origin)
    return found


def _check(limits: Limits, origin: str) -> None:
    """What the passes rely on."""
    step = limits.weight_step
    widths = (
        limits.theta_bits, limits.bias_mant_bits, limits.bias_exp_max, limits.shift,
        limits.delay_max, limits.message_bits,
    )  # fmt: skip
    rules = {
        "weight_step is a power of two": step >= 1 and step & (step - 1) == 0,
        "weight_min … weight_max contain 0 and something above": (
            limits.weight_min <= 0 < limits.weight_max
        ),
        "exp_min … exp_max contain 0": limits.exp_min <= 0 <= limits.exp_max,
        "decay_bits is 12, in which S2 is defined": limits.decay_bits == 12,
        "state_bits lies in 8 … 32": 8 <= limits.state_bits <= 32,
        "its other widths lie in 0 … 63": all(0 <= width <= 63 for width in widths),
    }  # fmt: skip
    for rule, holds in rules.items():
        if not holds:
            raise ChipFileError(origin, f"its number formats break a rule: {rule}", "change them")


def read_limits(path: Path) -> Limits:
    """The number formats in the chip's file at `path`."""
    return limits_of(load(path), str(path))


__all__ = ["NAMES", "Limits", "limits_of", "read_limits"]
