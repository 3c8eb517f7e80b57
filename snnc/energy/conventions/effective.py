"""`effective`: what was really done, exactly counted. The default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.conventions.parts import ann_lines, left_out, synaptic
from snnc.energy.counts import Cause, Counts, FirstLayer, Line, Op
from snnc.energy.prices import Prices

_EVENTS = (Op.UPDATE, Op.SPIKE)


@dataclass(frozen=True)
class Effective:
    """Effective operations: Σ over events of the exact fan-out, and every other cause on its own.

    A layer on spikes or integers makes ACs (an integer k is k unit adds), one on analog values
    MACs, by the static type of its input. Padding and activations that are 0 don't count; weights
    that are 0 count unless `Settings.zero_weights` is off.

    Tables with a price per neuron update (Loihi's) price synaptic operations, updates and spikes.
    There a neuron's own additions and multiplications and the biases are inside the update, and
    `ac` is no price of an addition: sums, pooling and norms are left out, and said.
    """

    name: str = "effective"
    paper: str = "snnc's own, docs/energy.md defines every count"
    rule: str = (
        "every input that is not 0 times the outputs that it reaches, AC or MAC by the type of the"
        " input; bias, norms, sums, pooling, neurons and functions as lines of their own"
    )

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample. `ann` is one evaluation of the same network with ReLU for
        its neurons: a MAC per tap inside the frame, a comparison per firing neuron, and the lines
        of the other causes."""
        items = _items(counts, prices, settings)
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            items,
            ann=_ann(counts, prices),
            notes=_notes(prices),
            left_out=left_out(counts, items),
        )


def _items(counts: Counts, prices: Prices, settings: Settings) -> tuple[Item, ...]:
    items = [
        synaptic(
            layer,
            layer.op,
            layer.effective(settings.first_layer, settings.zero_weights),
            prices,
        )
        for layer in counts.synapses
    ]
    for line in counts.lines:
        items += _line(line, prices, settings.first_layer)
    return tuple(items)


def _line(line: Line, prices: Prices, first_layer: FirstLayer) -> Iterator[Item]:
    for op in line.operations:
        count = line.effective(op, first_layer)
        if op in _EVENTS:
            if prices.per_event:
                price = prices.operations.get(op)
                yield Item(line.name, line.cause, line.what, op, count, price, line.place)
            continue
        if prices.per_event and line.cause is Cause.NEURON:
            continue
        price = _price(line, op, prices)
        yield Item(line.name, line.cause, line.what, op, count, price, line.place)


def _price(line: Line, op: Op, prices: Prices) -> float | None:
    if not prices.per_event:
        return prices.operations.get(op)
    return 0.0 if line.cause is Cause.BIAS else None


def _ann(counts: Counts, prices: Prices) -> float | None:
    mac = prices.operations.get(Op.MAC)
    if mac is None:
        return None
    taps = sum(layer.taps for layer in counts.synapses)
    relus = sum(layer.size for layer in counts.populations if layer.fires)
    compare = prices.operations.get(Op.COMPARE, 0.0)
    return taps * mac + relus * compare + ann_lines(counts.lines, prices)


def _notes(prices: Prices) -> tuple[str, ...]:
    if not prices.per_event:
        return (
            "ANN of the same shape: evaluated once, every tap inside the frame a MAC, zero"
            " activations included, ReLU for every neuron that fires",
        )
    return (
        "a table with prices per event: a neuron's additions, comparisons and biases are inside its"
        " update; ac is the price of a synaptic operation, not of other additions",
    )


__all__ = ["Effective"]
