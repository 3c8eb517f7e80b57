"""`spikinghash_eq26`: equations 25 and 26 of Spikinghash."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.conventions.parts import (
    constant,
    first_layers,
    foreign,
    left_out,
    rate_times_flops,
    rule_drops,
    synaptic,
)
from snnc.energy.counts import Counts, Op, Synapses
from snnc.energy.prices import Prices
from snnc.ir import Kind


def published_items(counts: Counts, prices: Prices) -> tuple[Item, ...]:
    """E_MAC·FLOPs of the first layer, once, and E_AC·R·T·FLOPs of all others, whatever they see."""
    first = first_layers(counts)
    return tuple(
        synaptic(layer, Op.MAC, constant(counts, layer.dense), prices, "first layer, no T")
        if layer in first
        else synaptic(layer, Op.AC, rate_times_flops(layer), prices, "R·T·FLOPs")
        for layer in counts.synapses
    )


def published_notes(counts: Counts) -> tuple[str, ...]:
    """What the published formula does against the types of the signals."""
    first = first_layers(counts)
    spiking = [layer.name for layer in first if layer.kind is not Kind.ANALOG]
    analog = [s.name for s in counts.synapses if s not in first and s.kind is Kind.ANALOG]
    notes = [
        "FLOPs are MACs by the formula, padding included; the rate of a layer is that of its"
        " input, an integer k counts as k spikes; of attention products the smaller rate of both"
        " operands",
        "the first layer is charged once; the Attention-SNN formula of the same citation chain"
        " charges it T times",
        *rule_drops(counts),
    ]
    if spiking:
        notes.append(f"the formula charges MACs, but the input is spikes: {', '.join(spiking)}")
    if analog:
        notes.append(f"the formula charges ACs, but the input is analog: {', '.join(analog)}")
    return tuple(notes)


def dense_ann(layers: tuple[Synapses, ...], prices: Prices) -> float | None:
    """pJ of the ANN of the same shape: E_MAC per MAC of the formula, one evaluation."""
    mac = prices.operations.get(Op.MAC)
    return None if mac is None else mac * sum(layer.dense for layer in layers)


@dataclass(frozen=True)
class SpikinghashEq26:
    """E = E_AC·(Σ_{i≥2} SOP_conv + Σ SOP_SSA + Σ SOP_SWM) + E_MAC·FLOP_conv1, with
    SOP = R·T·FLOPs."""

    name: str = "spikinghash_eq26"
    paper: str = (
        "Mei et al., Temporal-Aware Spiking Transformer Hashing Based on 3D-DWT (Spikinghash),"
        " eqs. 25 and 26"
    )
    rule: str = "E_MAC·FLOPs of the first layer, without T, + E_AC·Σ R·T·FLOPs of all others"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample; `ann` has E_MAC per MAC of the formula."""
        items = published_items(counts, prices)
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            items,
            ann=dense_ann(counts.synapses, prices),
            notes=published_notes(counts),
            left_out=left_out(counts, items, *foreign(prices)),
        )


def equation_26(
    first: float, others: float, rate: float, steps: int, mac: float = 4.6, ac: float = 0.9
) -> float:
    """The equation on totals.

    Args:
        first: MACs of the first layer.
        others: MACs per step of all other layers.
        rate: their mean firing rate, weighted by MACs.
        steps: T.
        mac, ac: pJ.

    Returns:
        pJ per sample.
    """
    return mac * first + ac * rate * steps * others


def implied_rate(
    energy: float, first: float, others: float, steps: int, mac: float = 4.6, ac: float = 0.9
) -> float:
    """The mean firing rate that a published energy in pJ implies by `equation_26`."""
    return (energy - mac * first) / (ac * steps * others)


__all__ = [
    "SpikinghashEq26", "dense_ann", "equation_26", "implied_rate", "published_items",
    "published_notes",
]  # fmt: skip
