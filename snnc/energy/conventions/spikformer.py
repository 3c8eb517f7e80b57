"""`spikformer`: the formula of Spikformer, and what its calculator counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.conventions.base import Figure, Settings
from snnc.energy.conventions.parts import active_rates, foreign, left_out, spike_rate
from snnc.energy.conventions.spikinghash_eq26 import (
    dense_ann,
    published_items,
    published_notes,
)
from snnc.energy.counts import Counts, Op, Synapses
from snnc.energy.prices import Prices
from snnc.ir import Kind

A = NDArray[Any]


@dataclass(frozen=True)
class Spikformer:
    """E = E_MAC·FL_conv1 + E_AC·(Σ_{n≥2} SOP_conv + Σ SOP_fc + Σ SOP_SSA), SOP = R·T·FLOPs.

    The head is among the SOPs. The calculator that the authors use does something else; a note has
    its figure."""

    name: str = "spikformer"
    paper: str = "Zhou et al., Spikformer: when spiking neural network meets transformer, ICLR 2023"
    rule: str = "E_MAC·FLOPs of the first conv, once, + E_AC·Σ R·T·FLOPs of all others, head too"

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
            notes=(*published_notes(counts), *_calculator_note(counts, prices)),
            left_out=left_out(counts, items, *foreign(prices)),
        )


@dataclass(frozen=True, eq=False)
class Calculated:
    """What Spikformer's calculator (a fork of syops, in the repository of Spikingformer) counts.

    Attributes:
        mac: (sample,) of layers on analog inputs, at every step, head included, biases too.
        ac: (sample,) of layers on spikes: rate times MACs and bias.
        graded: (sample,) of layers on integers: ACs if its `Nspks_max` is 30, else MACs of
            `graded_dense`.
        graded_dense: (sample,) their MACs and biases.
        attention: (sample,) T·heads·N·d²·(min(r_K, r_V) + r_Q); None if the products don't come in
            pairs.
    """

    mac: A
    ac: A
    graded: A
    graded_dense: A
    attention: A | None


def calculator(counts: Counts) -> Calculated:
    """Runs the calculator's rules on counts. It sees only modules named after a convolution or a
    head: batch norms, neurons and pooling count nothing."""
    totals = {kind: np.zeros(counts.samples) for kind in Kind}
    dense = np.zeros(counts.samples)
    for layer in counts.synapses:
        if layer.operation == "attention":
            continue
        work = layer.steps * (layer.dense + (layer.outputs if layer.bias else 0))
        if layer.kind is Kind.ANALOG:
            totals[layer.kind] += work
        else:
            totals[layer.kind] += spike_rate(layer) * work
            dense += work if layer.kind is Kind.GRADED else 0
    products = [layer for layer in counts.synapses if layer.operation == "attention"]
    attention = None if len(products) % 2 else sum(_attention(products), np.zeros(counts.samples))
    return Calculated(
        totals[Kind.ANALOG], totals[Kind.SPIKE], totals[Kind.GRADED], dense, attention
    )


def _attention(products: list[Synapses]) -> Iterator[A]:
    """By pair of products: Q·Kᵀ then ·V, or Kᵀ·V then Q·, told apart by their shapes."""
    for first, second in zip(products[::2], products[1::2], strict=True):
        (left, right), (other, last) = active_rates(first), active_rates(second)
        if second.in_shape == first.out_shape:
            query, key, value = left, right, last
            heads, tokens, width = first.in_shape
        else:
            query, key, value = other, left, right
            heads, tokens, width = second.in_shape
        flops = heads * tokens * width * width
        yield first.steps * flops * (np.minimum(key, value) + query)


def _calculator_note(counts: Counts, prices: Prices) -> tuple[str, ...]:
    mac, ac = (prices.operations.get(op) for op in (Op.MAC, Op.AC))
    if mac is None or ac is None:
        return ()
    done = calculator(counts)
    attention = 0.0 if done.attention is None else done.attention
    fixed = done.mac * mac + (done.ac + attention) * ac
    as_ac = float(np.mean(fixed + done.graded * ac))
    notes = [
        "its calculator (a fork of syops) charges the first layer at every step and the head as"
        f" MAC, with biases: {float(np.mean(done.mac)):,.10g} MACs, {as_ac:.6g} pJ per sample",
    ]
    if np.any(done.graded_dense):
        as_mac = float(np.mean(fixed + done.graded_dense * mac))
        notes.append(f"the calculator with sums of spikes as MAC (Nspks_max = 1): {as_mac:.6g} pJ")
    if done.attention is None:
        notes.append("the calculator's term of attention needs products in pairs: not in it")
    elif np.any(attention):
        notes.append(
            "the calculator's term of attention, T·heads·N·d²·(min(r_K, r_V) + r_Q), is"
            f" {float(np.mean(attention)):.6g} ACs, in the order Kᵀ·V first, whatever is computed"
        )
    return tuple(notes)


__all__ = ["Calculated", "Spikformer", "calculator"]
