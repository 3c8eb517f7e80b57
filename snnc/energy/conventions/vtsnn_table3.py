"""`vtsnn_table3`: Table 3 of VTSNN, which multiplies by the spike rate twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.conventions.parts import (
    foreign,
    left_out,
    network_rate,
    neurons,
    over_steps,
)
from snnc.energy.counts import Cause, Counts, Line, Op, Synapses
from snnc.energy.prices import Prices

A = NDArray[Any]


@dataclass(frozen=True)
class Table3:
    """The arithmetic of Table 3 and its two other readings, in pJ and as ANN/SNN.

    Attributes:
        ann: #OP_ANN·E_MAC.
        rate_squared: #OP_SNN·E_AC·rate with #OP_SNN = rate·#OP_ANN: as published.
        single_rate: #OP_SNN·E_AC: what the definition of #OP_SNN asks for.
        per_step: the same at each of T steps: if the rate is per neuron and step, as #OP_ANN is
            one evaluation.
    """

    ann: float
    rate_squared: float
    single_rate: float
    per_step: float

    @property
    def ratios(self) -> tuple[float, float, float]:
        """ANN/SNN of `rate_squared`, `single_rate` and `per_step`; infinite without spikes."""
        readings = (self.rate_squared, self.single_rate, self.per_step)
        first, second, third = (self.ann / e if e else float("inf") for e in readings)
        return first, second, third


def table3(
    op_ann: float,
    rate: float,
    steps: int,
    op_snn: float | None = None,
    mac: float = 4.6,
    ac: float = 0.9,
) -> Table3:
    """Table 3 of VTSNN from its own figures.

    Args:
        op_ann: #OP_ANN, torchstat's Flops of the network with ReLU.
        rate: SpikeRate. The paper doesn't say whether it is per step or per image.
        steps: T.
        op_snn: #OP_SNN where it was rounded; rate·op_ann by default.
        mac, ac: pJ.
    """
    events = rate * op_ann if op_snn is None else op_snn
    single = events * ac
    return Table3(op_ann * mac, single * rate, single, single * steps)


def torchstat_flops(counts: Counts) -> dict[str, int]:
    """torchstat's Flops of the ANN of the same shape, by layer, for one evaluation.

    Its rules (compute_flops.py): 2-d and 3-d convolutions MACs by the formula plus outputs if there
    is a bias; linear layers MACs without bias; ReLU 1 a value (here: for every population of
    `neurons`, and for ReLUs of the network); pooling 1 an input; batch norm 2 a value; everything
    else, with transposed convolutions, 0.
    """
    flops = {layer.name: _synapses(layer) for layer in counts.synapses}
    for line in counts.lines:
        flops[line.name] = flops.get(line.name, 0) + _line(line)
    for layer in neurons(counts):
        flops[layer.name] = flops.get(layer.name, 0) + layer.size
    return {name: count for name, count in flops.items() if count}


def _synapses(layer: Synapses) -> int:
    if layer.operation == "linear":
        return layer.dense
    if layer.operation == "conv" and len(layer.kernel) > 1:
        return layer.dense + (layer.outputs if layer.bias else 0)
    return 0


def _line(line: Line) -> int:
    if line.cause is Cause.POOL and not over_steps(line):
        return line.inputs
    if line.cause is Cause.NORM and line.what in ("affine", "batch norm"):
        return 2 * line.inputs
    if line.cause is Cause.FUNCTION and line.what in ("relu", "leaky_relu", "elu"):
        return line.outputs
    return 0


@dataclass(frozen=True)
class VtsnnTable3:
    """#OP_SNN = rate·#OP_ANN and E = #OP_SNN·E_AC·rate, as published: the rate is squared.

    #OP_ANN is torchstat's count of one evaluation: see `torchstat_flops`. The rate is spikes per
    neuron and step over all neurons, sample by sample.
    """

    name: str = "vtsnn_table3"
    paper: str = (
        "Qiu et al., VTSNN: a virtual temporal spiking neural network, Frontiers in Neuroscience"
        " 17:1091097, 2023, section 4.2 and Table 3"
    )
    rule: str = "rate² × torchstat Flops × E_AC: the rate squared, one step of T"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample; `ann` is #OP_ANN·E_MAC. Notes have the other readings."""
        rate, flops = network_rate(counts), torchstat_flops(counts)
        price = prices.operations.get(Op.AC)
        items = tuple(
            Item(name, Cause.SYNAPSES, "Flops × rate²", Op.AC, count * rate**2, price)
            for name, count in flops.items()
        )
        mac = prices.operations.get(Op.MAC)
        total = sum(flops.values())
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            items,
            ann=None if mac is None else mac * total,
            notes=(
                "rate squared: #OP_SNN already contains the rate, and Table 3 multiplies by it"
                " again",
                *_readings(counts, rate, total, prices),
                "published, for 18.39 M operations, rate 0.1366, T = 8: rate squared 3.09e-7 J and"
                " 273.77, single rate 37.4, per step 4.7",
                f"#OP_ANN = {total:,}, torchstat's Flops: transposed convolutions count 0; without"
                " modules, upsampling and 1-d layers do too",
            ),
            left_out=left_out(counts, items, *foreign(prices)),
        )


def _readings(counts: Counts, rate: A, total: int, prices: Prices) -> tuple[str, ...]:
    mac, ac = (prices.operations.get(op) for op in (Op.MAC, Op.AC))
    steps = max((layer.steps for layer in counts.populations), default=1)
    if mac is None or ac is None or not counts.samples:
        return ()
    mean = float(np.mean(rate))
    done = table3(total, mean, steps, mac=mac, ac=ac)
    squared, single, per_step = done.ratios
    return (
        f"at the mean rate {mean:.4g}, ANN/SNN: rate squared {squared:.5g}, single rate"
        f" {single:.4g} ({done.single_rate:.6g} pJ), single rate at each of {steps} steps"
        f" {per_step:.4g} ({done.per_step:.6g} pJ)",
    )


__all__ = ["Table3", "VtsnnTable3", "table3", "torchstat_flops"]
