"""`neurobench`: the synaptic operations of NeuroBench 2.3, priced."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.energy.conventions.base import Figure, Settings
from snnc.energy.conventions.parts import foreign, left_out, rule_drops, synaptic
from snnc.energy.counts import Counts, Op, Synapses
from snnc.energy.prices import Prices
from snnc.ir import Kind


@dataclass(frozen=True)
class Neurobench:
    """Effective MACs and ACs: products whose activation and weight are both not 0; no biases.

    Spikes make ACs; integers make one MAC per product, whatever their value, as NeuroBench's test
    is {−1, 0, 1}.
    """

    name: str = "neurobench"
    paper: str = "Yik et al., NeuroBench, Nature Communications 16, 2025; SynapticOperations, 2.3"
    rule: str = "products with activation ≠ 0 and weight ≠ 0, inside the frame; no bias"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample. NeuroBench prices nothing and has no ANN of the same shape:
        the effective operations of a ReLU network depend on its own activity."""
        items = tuple(
            synaptic(layer, _op(layer), layer.products_nonzero.sum(1) * _known(layer), prices)
            for layer in counts.synapses
        )
        lost = (
            f"{layer.name}: {layer.operation}: NeuroBench counts 0; its products are"
            f" {layer.products_nonzero.sum(1).mean():.10g}"
            for layer in counts.synapses
            if not _known(layer)
        )
        dense = sum(layer.taps * layer.steps for layer in counts.synapses if _known(layer))
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            items,
            notes=(
                "AC or MAC by static types; NeuroBench decides by the values of a whole batch, so"
                " that one analog sample makes MACs of all, and a black and white image ACs",
                "the prices are not NeuroBench's: it reports operations",
                f"dense operations: {dense:,}",
                *rule_drops(counts),
            ),
            left_out=left_out(counts, items, *foreign(prices), *lost),
        )


def _known(layer: Synapses) -> bool:
    return layer.operation in ("linear", "conv")


def _op(layer: Synapses) -> Op:
    return Op.AC if layer.kind is Kind.SPIKE else Op.MAC


__all__ = ["Neurobench"]
