"""What several conventions share: rates of layers, the first layer, what a figure leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.conventions.base import Item
from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.prices import Prices

A = NDArray[Any]

LINES = {
    Cause.BIAS: "bias",
    Cause.NORM: "normalisation",
    Cause.ADD: "sums of branches",
    Cause.POOL: "pooling",
    Cause.NEURON: "neuron updates",
    Cause.FUNCTION: "functions",
    Cause.ENCODER: "encoder",
}
"""What the causes of lines are called in notes."""


def constant(counts: Counts, value: float) -> A:
    """(sample,) the same value for every sample."""
    return np.full(counts.samples, value, np.float64 if value % 1 else np.int64)


def unpriced(items: Iterable[Item]) -> tuple[str, ...]:
    """What has been done at least once and has no price, by layer."""
    return tuple(
        f"{item.layer}: {item.what} ({item.op}): the price table has no price"
        for item in items
        if item.price is None and np.any(item.count)
    )


def left_out(counts: Counts, items: Sequence[Item], *more: str) -> tuple[str, ...]:
    """Operations without a rule, what a convention adds to them, and what has no price."""
    uncounted = (f"{place}: {what}: no rule" for place, what in counts.uncounted.items())
    return (*uncounted, *more, *unpriced(items))


def foreign(prices: Prices) -> tuple[str, ...]:
    """What conventions that price operations say to a table that prices events."""
    if not prices.per_event:
        return ()
    return (
        f"{prices.name}: its prices are of events, ac that of a synaptic operation; this convention"
        " prices single operations: use effective",
    )


def synaptic(layer: Synapses, op: Op, count: A, prices: Prices, what: str = "") -> Item:
    """The item of a weighted layer or attention product."""
    price = prices.operations.get(op)
    return Item(layer.name, Cause.SYNAPSES, what or layer.operation, op, count, price, layer.place)


def rule_drops(counts: Counts, kept: Sequence[Cause] = ()) -> tuple[str, ...]:
    """A note on the causes of lines that a convention's own rule doesn't count."""
    causes = dict.fromkeys(line.cause for line in counts.lines if line.cause not in kept)
    if not causes:
        return ()
    return (f"not counted by this rule: {', '.join(LINES[cause] for cause in causes)}",)


def first_layers(counts: Counts) -> tuple[Synapses, ...]:
    """Layers that read the network's own input: those of direct encoding, else the first one."""
    weighted = [layer for layer in counts.synapses if layer.operation != "attention"]
    direct = tuple(layer for layer in weighted if layer.direct)
    return direct or tuple(weighted[:1])


def spike_rate(layer: Synapses) -> A:
    """(sample,) R of R·T·FLOPs: spikes per input and step; an integer k counts as k spikes. May
    exceed 1 behind sums of spikes. Analog inputs: the fraction that is not 0."""
    counted = layer.events if layer.op is Op.MAC else layer.value
    return np.asarray(counted.sum(1) / (layer.inputs * layer.steps))


def active_rates(layer: Synapses) -> tuple[A, A]:
    """((sample,), (sample,)) fractions of A and of B that are not 0 in an attention product."""
    first = layer.events.sum(1) / (layer.inputs * layer.steps)
    if layer.second_events is None:
        return first, np.ones_like(first)
    return first, layer.second_events.sum(1) / (layer.second_size * layer.steps)


def rate_times_flops(layer: Synapses) -> A:
    """(sample,) R·T·FLOPs; attention has the smaller rate of both operands for R."""
    attends = layer.operation == "attention"
    rate = np.minimum(*active_rates(layer)) if attends else spike_rate(layer)
    return np.asarray(rate * (layer.steps * layer.dense))


def neurons(counts: Counts) -> tuple[Population, ...]:
    """Populations that fire, without the gates that a graph has for a maximum of spikes."""
    return tuple(layer for layer in counts.populations if layer.fires and not layer.gate)


def network_rate(counts: Counts) -> A:
    """(sample,) spikes per neuron and step over all neurons; 0 without any."""
    firing = neurons(counts)
    updates = sum(layer.size * layer.steps for layer in firing)
    if not updates:
        return np.zeros(counts.samples)
    return np.asarray(sum(layer.spikes.sum(1) for layer in firing) / updates)


def over_steps(line: Line) -> bool:
    """Whether it adds up results of the steps, which a single evaluation has no use for."""
    return line.what.endswith("over steps")


def ann_lines(lines: Iterable[Line], prices: Prices) -> float:
    """pJ of the lines that an ANN of the same shape has too, for one evaluation; what has no price
    counts 0."""
    total = 0.0
    for line in lines:
        if line.cause in (Cause.NEURON, Cause.ENCODER) or over_steps(line):
            continue
        for op, count in line.operations.items():
            mean = float(np.mean(count)) / line.steps if count.size else 0.0
            total += prices.operations.get(op, 0.0) * mean
    return total


__all__ = [
    "active_rates", "ann_lines", "constant", "first_layers", "foreign", "left_out", "network_rate",
    "neurons", "over_steps", "rate_times_flops", "rule_drops", "spike_rate", "synaptic", "unpriced",
]  # fmt: skip
