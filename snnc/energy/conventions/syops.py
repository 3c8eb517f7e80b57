"""`syops`: the rules of syops-counter 0.0.5."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.conventions.parts import (
    constant,
    foreign,
    left_out,
    over_steps,
    spike_rate,
    synaptic,
)
from snnc.energy.counts import Cause, Counts, Line, Op, Synapses
from snnc.energy.prices import Prices
from snnc.ir import Kind

A = NDArray[Any]

_UNIT = ("relu", "leaky_relu", "clip", "elu", "gelu", "gelu_tanh")
"""Functions with a rule: one operation a value."""
_UNCOUNTED_NORMS = ("layer", "l2", "softmax", "log_softmax", "layer norm")


@dataclass(frozen=True)
class Syops:
    """Dense operations times the rate of spiking inputs as ACs, dense operations of all others as
    MACs, with the source's rules for every module.

    Convolutions: weights × output positions, biases included and scaled with the rate (transposed
    ones too, which is stride² times what they do). Linear: the same. Batch norm: 2 a value.
    Pooling: 1 an input. Neurons: 1 AC a value, whether they leak or not. Functions: 1 MAC.
    """

    name: str = "syops"
    paper: str = "Chen et al., syops-counter 0.0.5, github.com/iCGY96/syops-counter, ops.py"
    rule: str = "rate × dense operations with bias as AC on spikes, dense as MAC on all else"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample; `ann` is one evaluation with ReLU, all of it MACs."""
        items = [_layer(layer, prices) for layer in counts.synapses if _known(layer)]
        lost = [
            f"{layer.name}: {layer.operation}: syops has no rule and counts 0"
            for layer in counts.synapses
            if not _known(layer)
        ]
        for line in counts.lines:
            items += _line(line, prices)
            if _spikes_unknown(line):
                lost.append(f"{line.name}: {line.what}: the rate of its input wasn't counted")
        for layer in counts.populations:
            work = constant(counts, layer.size * layer.steps)
            price = prices.operations.get(Op.AC)
            items.append(Item(layer.name, Cause.NEURON, "neuron", Op.AC, work, price))
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            tuple(items),
            ann=_ann(counts, prices),
            notes=(
                "AC or MAC by static types; syops takes any tensor of at most two values inside"
                " [0, 1] for spikes, and integers beyond 1 for MACs",
                "the bias of a linear layer counts once per evaluation; syops adds it once per"
                " call, however many rows there are",
                "sums of branches, layer norm and softmax count nothing; sums of windows, what a"
                " compiled maximum of spikes begins with, count as pooling",
            ),
            left_out=left_out(counts, items, *foreign(prices), *lost),
        )


def _known(layer: Synapses) -> bool:
    return layer.operation in ("linear", "conv", "conv_transpose")


def _work(layer: Synapses) -> int:
    """Dense operations of one evaluation, biases included."""
    bias = layer.outputs if layer.bias else 0
    if layer.operation == "linear":
        return layer.dense + bias
    return layer.weights * math.prod(layer.out_shape[1:]) + bias


def _layer(layer: Synapses, prices: Prices) -> Item:
    work = layer.steps * _work(layer)
    if layer.kind is Kind.SPIKE:
        return synaptic(layer, Op.AC, np.asarray(spike_rate(layer) * work), prices)
    return synaptic(layer, Op.MAC, np.full(len(layer.events), work), prices)


def _line(line: Line, prices: Prices) -> Iterator[Item]:
    work = _line_work(line)
    if not work or _spikes_unknown(line):
        return
    op = Op.AC if _scaled(line) else Op.MAC
    samples = len(next(iter(line.operations.values())))
    count = np.full(samples, work * line.steps)
    if _scaled(line) and line.events is not None:
        count = np.asarray(line.events * (work // line.inputs))
    yield Item(line.name, line.cause, line.what, op, count, prices.operations.get(op), line.place)


def _line_work(line: Line) -> int:
    """Operations of one evaluation by the source's rule; 0 where it has none."""
    if line.cause is Cause.NORM and line.what not in _UNCOUNTED_NORMS:
        return 2 * line.inputs
    if line.cause is Cause.POOL and not over_steps(line):
        return line.inputs
    if line.cause is Cause.FUNCTION and line.what in _UNIT:
        return line.outputs
    return 0


def _scaled(line: Line) -> bool:
    """Whether its operations are ACs, scaled with the rate of its spiking input."""
    return line.kind is Kind.SPIKE


def _spikes_unknown(line: Line) -> bool:
    """Whether the type of a pool's input, or the number of spikes that enter, is not known."""
    untyped = line.kind is None and line.cause is Cause.POOL
    return _line_work(line) > 0 and (untyped or (_scaled(line) and line.events is None))


def _ann(counts: Counts, prices: Prices) -> float | None:
    mac = prices.operations.get(Op.MAC)
    if mac is None:
        return None
    work = sum(_work(layer) for layer in counts.synapses if _known(layer))
    work += sum(_line_work(line) for line in counts.lines)
    work += sum(layer.size for layer in counts.populations if layer.fires)
    return mac * work


__all__ = ["Syops"]
