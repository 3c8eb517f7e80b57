"""Number formats and limits of a chip, read from a data file that names the source of each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path


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


@cache
def read_limits(path: Path) -> Limits:
    """Reads a data file with one table per figure: `value` and `source`."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    names = [item.name for item in fields(Limits) if item.name not in ("chip", "sources")]
    return Limits(
        chip=table["chip"],
        sources={name: table[name]["source"] for name in names},
        **{name: table[name]["value"] for name in names},
    )
