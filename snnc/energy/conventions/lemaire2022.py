"""`lemaire2022`: operations, memory accesses and addressing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.conventions.parts import foreign, left_out, rule_drops
from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.prices import Prices
from snnc.ir import Kind

A = NDArray[Any]

READ, WRITE = "read", "write"


def access_energy(prices: Prices, size: float) -> float | None:
    """pJ of one access of `prices.bits` bits to a memory of `size` bytes.

    Piecewise linear through (0, 0) and the table's anchors, which are accesses of 64 bits; beyond
    the last anchor the last slope goes on; scaled by bits/64. Two other rules are in use for the
    same paper: Qualia's 1.09e-5·bytes·8 + 13.2 pJ, a linear fit that misses its anchors (13.9, 16.1
    and 104.6 for 10, 20 and 100 pJ), and 10 pJ per 64-bit word however large the memory is.
    SpikingJelly interpolates as here, but takes 4 bytes per access and stops at 1 MiB.

    Returns:
        None if the table has no memory.
    """
    if not prices.memory:
        return None
    sizes, energies = ((0.0, *axis) for axis in zip(*prices.memory, strict=True))
    energy = float(np.interp(size, sizes, energies))
    if size > sizes[-1]:
        slope = (energies[-1] - energies[-2]) / (sizes[-1] - sizes[-2])
        energy += slope * (size - sizes[-1])
    return energy * prices.bits / 64


@dataclass(frozen=True)
class Lemaire2022:
    """Lemaire et al. 2022, with the corrections that its implementations have found.

    θ_in is the spikes that enter, θ_out those that leave (an integer k counts as k), per sample.

    ============== ======================= ==================================
    count          linear                  conv
    ============== ======================= ==================================
    ACC            θ_in·N_out              θ_in·⌈k/s⌉²·C_out
    weight reads   θ_in·N_out              θ_in·k²·C_out
    potentials     θ_in·N_out reads and    θ_in·k²·C_out reads and writes
                   writes
    addressing     θ_in·N_out ACC          θ_in·k²·C_out ACC, 2·θ_in MAC
    ============== ======================= ==================================

    with C_out / groups in grouped layers; θ_in input reads; T·N_out ACC and reads of biases where
    there are any. Of each population: T·N reads and writes of potentials, θ_out ACC (reset), θ_out
    output writes, T·N MAC if it leaks. The paper's eq. 2.4 counts N_in times too many ACCs and
    leaves the reset out; both are corrected, as in Qualia and SpikingJelly.

    A layer on analog inputs works as in the ANN, at every step: a MAC and a read of a weight per
    product by the formula, reads of inputs once per MAC (linear layers: once each), N_in + N_out
    (+ C_out·k²) ACC of addressing. Memories hold one layer's weights and biases, its potentials,
    its inputs or outputs, each value with the table's bits, a message per neuron: their sizes make
    the price of an access, see `access_energy`.

    Beyond the paper: transposed convolutions by the same model, with fan-out k² of each spike and
    `dense` for MACs; sparse layers with their exact fan-out. Norms, pooling, sums and functions are
    no part of the model; attention isn't either, and makes the figure incomplete.
    """

    name: str = "lemaire2022"
    paper: str = (
        "Lemaire et al., An analytical estimation of spiking neural networks energy efficiency,"
        " ICONIP 2022, arXiv 2210.13107"
    )
    rule: str = "ACs and MACs, memory reads and writes priced by the size of the memory, addressing"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample; `ann` is one evaluation of the ANN by the same model."""
        modelled = [layer for layer in counts.synapses if layer.operation != "attention"]
        items = [item for layer in modelled for item in _layer(layer, prices)]
        items += [item for layer in counts.populations for item in _population(layer, prices)]
        biases = _neuron_biases(counts)
        items += [item for line in biases for item in _neuron_bias(line, prices, line.steps)]
        priced = prices.memory and Op.MAC in prices.operations and Op.AC in prices.operations
        ann = sum(_total(_dense(layer, prices, 1)) for layer in modelled)
        ann += sum(_total(_writes(layer, prices)) for layer in modelled)
        ann += sum(_total(_neuron_bias(line, prices, 1)) for line in biases)
        return Figure(
            self.name,
            self.paper,
            self.rule,
            prices,
            tuple(items),
            ann=ann if priced else None,
            notes=(
                "published with integers of 32 bits (45nm-int32); an access of the table's bits is"
                " bits/64 of the anchors' 64-bit access, interpolated in the size of the memory",
                "the ANN is evaluated once; norms, pooling, sums, functions are left out of both",
                "what an integrator holds at the end is read for nothing",
                *rule_drops(counts, (Cause.BIAS, Cause.NEURON)),
            ),
            left_out=left_out(counts, items, *foreign(prices), *_outside(counts)),
        )


def _outside(counts: Counts) -> Iterator[str]:
    """Synaptic operations that the model has no formula for."""
    for layer in counts.synapses:
        if layer.operation == "attention":
            yield f"{layer.name}: attention: outside the model"


def _bytes(values: int, prices: Prices) -> float:
    return values * prices.bits / 8


def _parameters(layer: Synapses) -> int:
    """Weights and biases: one bias per channel, or per output of a linear layer."""
    if not layer.bias:
        return layer.weights
    channels = layer.out_shape[-1] if layer.operation == "linear" else layer.out_shape[0]
    return layer.weights + channels


def _operation(layer: Synapses, what: str, op: Op, count: A, prices: Prices) -> Item:
    price = prices.operations.get(op)
    return Item(layer.name, Cause.SYNAPSES, what, op, count, price, layer.place)


def _access(layer: Synapses, what: str, way: str, count: A, values: int, prices: Prices) -> Item:
    """Accesses to a memory that holds `values` values."""
    price = access_energy(prices, _bytes(values, prices))
    return Item(layer.name, Cause.SYNAPSES, what, way, count, price, layer.place)


def _layer(layer: Synapses, prices: Prices) -> Iterator[Item]:
    samples = np.ones(len(layer.events), np.int64)
    if layer.kind is Kind.ANALOG:
        yield from _dense(layer, prices, layer.steps)
        return
    spikes = layer.value.sum(1)
    reached = _reached(layer, spikes, shortened=False)
    adds = _reached(layer, spikes, shortened=True)
    yield _operation(layer, "products", Op.AC, adds, prices)
    yield _access(layer, "weight reads", READ, reached, _parameters(layer), prices)
    yield _access(layer, "potential reads", READ, reached, layer.outputs, prices)
    yield _access(layer, "potential writes", WRITE, reached, layer.outputs, prices)
    yield _access(layer, "input reads", READ, spikes, layer.inputs, prices)
    yield _operation(layer, "addressing", Op.AC, reached, prices)
    if layer.kernel:
        yield _operation(layer, "addressing", Op.MAC, 2 * spikes, prices)
    yield from _biases(layer, prices, layer.steps * samples)


def _reached(layer: Synapses, spikes: A, shortened: bool) -> A:
    """(sample,) outputs that spikes reach by the model: ⌈k/s⌉² (`shortened`) or k² per channel."""
    match layer.operation:
        case "conv":
            taps = [
                math.ceil(k / s) if shortened else k
                for k, s in zip(layer.kernel, layer.stride, strict=True)
            ]
            return spikes * (math.prod(taps) * layer.out_shape[0] // layer.groups)
        case "conv_transpose":
            return spikes * (math.prod(layer.kernel) * layer.out_shape[0] // layer.groups)
        case "sparse":
            return np.asarray(layer.operations.sum(1))
        case _:
            return spikes * layer.out_shape[-1]


def _biases(layer: Synapses, prices: Prices, evaluations: A) -> Iterator[Item]:
    if layer.bias:
        adds = layer.outputs * evaluations
        price = prices.operations.get(Op.AC)
        access = access_energy(prices, _bytes(_parameters(layer), prices))
        yield Item(layer.name, Cause.BIAS, "bias", Op.AC, adds, price, layer.place)
        yield Item(layer.name, Cause.BIAS, "bias reads", READ, adds, access, layer.place)


def _dense(layer: Synapses, prices: Prices, steps: int) -> Iterator[Item]:
    """A layer of an ANN, or of the SNN on analog inputs, evaluated `steps` times."""
    times = np.full(len(layer.events), steps, np.int64)
    windows = bool(layer.kernel)
    addresses = layer.inputs + layer.outputs
    if windows:
        addresses += layer.out_shape[0] * math.prod(layer.kernel)
    reads = layer.dense if windows else layer.inputs
    yield _operation(layer, "products", Op.MAC, layer.dense * times, prices)
    yield _access(layer, "weight reads", READ, layer.dense * times, _parameters(layer), prices)
    yield _access(layer, "input reads", READ, reads * times, layer.inputs, prices)
    yield _operation(layer, "addressing", Op.AC, addresses * times, prices)
    yield from _biases(layer, prices, times)


def _writes(layer: Synapses, prices: Prices) -> Iterator[Item]:
    """What an ANN writes: every output once."""
    count = np.full(len(layer.events), layer.outputs)
    yield _access(layer, "output writes", WRITE, count, layer.outputs, prices)


def _population(layer: Population, prices: Prices) -> Iterator[Item]:
    fired = layer.spikes.sum(1)
    updates = np.full(len(fired), layer.size * layer.steps)
    access = access_energy(prices, _bytes(layer.size, prices))

    def item(what: str, op: str, count: A, price: float | None) -> Item:
        return Item(layer.name, Cause.NEURON, what, op, count, price)

    yield item("potential reads", READ, updates, access)
    yield item("potential writes", WRITE, updates, access)
    yield item("reset", Op.AC, fired, prices.operations.get(Op.AC))
    yield item("output writes", WRITE, fired, access)
    if layer.leaks:
        yield item("leak", Op.MAC, updates, prices.operations.get(Op.MAC))


def _neuron_biases(counts: Counts) -> list[Line]:
    """Biases that belong to neurons, not to a layer."""
    layers = {layer.name for layer in counts.synapses if layer.bias}
    return [s for s in counts.lines if s.cause is Cause.BIAS and s.name not in layers]


def _neuron_bias(line: Line, prices: Prices, evaluations: int) -> Iterator[Item]:
    """One addition and one read per biased neuron and evaluation."""
    adds = line.operations[Op.AC] // line.steps * evaluations
    price, access = (
        prices.operations.get(Op.AC),
        access_energy(prices, _bytes(line.outputs, prices)),
    )
    yield Item(line.name, Cause.BIAS, "bias", Op.AC, adds, price, line.place)
    yield Item(line.name, Cause.BIAS, "bias reads", READ, adds, access, line.place)


def _total(items: Iterator[Item]) -> float:
    """pJ of items that are the same for every sample."""
    return sum(float(item.energy.max(initial=0.0)) for item in items)


__all__ = ["Lemaire2022", "access_energy"]
