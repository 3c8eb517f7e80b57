"""Turns a float graph (S1) into an integer graph (S2) in a chip's number formats.

All rules are stated in `docs/quantisation.md`. For a population, S is the number of membrane
units per real unit: an integer state x means x / S. Its weights are

    w_int = step · round(S · g · w · s / (2^shift · step)),

with s the real value of one unit of the layer's input and step the spacing of the chip's weights.
With calibration data the rounding errors within a row are made to cancel on those data (see
`round_weights`); without, weights are rounded to nearest even. Everything else is rounded to the
grid that the neuron holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import Conv, Graph, Input, Kind, Linear, Neuron, Node, Output, Pool
from snnc.passes.calibrate import Statistics
from snnc.passes.limits import Limits
from snnc.passes.population import LayerScale, Plan, Synapse

A = NDArray[Any]

COARSE_BITS = 6
"""Fewer weight bits than this are noted."""

UNKNOWN_STEPS = 100
"""Steps assumed for the reach of a membrane that never resets, where nothing says how many."""


@dataclass(frozen=True)
class Quantised:
    """An integer graph and how it came about.

    Attributes:
        layers: by neuron layer.
        units: by output, the real value of one of its integers.
    """

    graph: Graph
    layers: Mapping[str, LayerScale] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)


def quantise(graph: Graph, limits: Limits, statistics: Statistics | None = None) -> Quantised:
    """Quantises a float graph whose hops are in normal form (see `MergeHops`).

    Args:
        limits: the chip's number formats.
        statistics: of calibration data. Without them the largest input, leaked through u and,
            where nothing resets it, v, stands in for the range of the states, and weights are
            rounded to nearest.

    Raises:
        RefusedError: a node can't be said in these formats; names the limit and the remedy.
    """
    state = _Quantiser(graph, limits, statistics or Statistics())
    for name in graph.order:
        state.visit(name)
    nodes = {name: state.nodes[name] for name in graph.nodes}
    result = graph.with_(nodes=nodes).noting(*state.notes).check()
    return Quantised(result, state.layers, {name: state.unit[name] for name in graph.outputs})


class _Quantiser:
    """Walks the graph from inputs to outputs; `unit` is the real value of one unit of a signal."""

    def __init__(self, graph: Graph, limits: Limits, statistics: Statistics) -> None:
        self.graph, self.limits, self.statistics = graph, limits, statistics
        self.nodes: dict[str, Node] = {}
        self.unit: dict[str, float] = {}
        self.peak: dict[str, int] = {}
        self.layers: dict[str, LayerScale] = {}
        self.notes: list[str] = []

    def visit(self, name: str) -> None:
        node = self.graph.nodes[name]
        match node:
            case Input():
                self._input(name, node)
            case Neuron():
                self._population(name, node)
            case Linear() | Conv():
                self._follow(name, 1)
            case Output():
                self._output(name, node)
            case Pool():
                self._follow(name, node.window)
                self.nodes[name] = node
            case _:
                self._follow(name, 1)
                self.nodes[name] = node

    def _follow(self, name: str, taps: int) -> None:
        """A linear node passes its source's unit on; its peak grows by the taps that it sums."""
        source = self.graph.sources(name)[0]
        self.unit[name], self.peak[name] = self.unit[source], self.peak[source] * taps

    def _output(self, name: str, node: Output) -> None:
        sources = self.graph.sources(name)
        units = {self._port_unit(source, node) for source in sources}
        if len(units) > 1:
            raise RefusedError(
                name,
                f"sums {', '.join(sources)}, whose integers have different units",
                "give each its own output and add them up afterwards",
            )
        self.nodes[name], self.unit[name] = node, units.pop()

    def _port_unit(self, source: str, output: Output) -> float:
        """Real value of one integer of what an output reads."""
        neuron = self.graph.nodes[source]
        if output.port == "s" or not isinstance(neuron, Neuron):
            return self.unit[source]
        if output.port == "v":
            if neuron.reset_at == "before" and neuron.reset != "none":
                self.notes.append(
                    f"{source}: its membrane is read out after the reset here, before it in the"
                    " framework; the spikes are the same"
                )
            return 1 / self.layers[source].scale
        if neuron.g.ndim or not neuron.g:
            raise RefusedError(
                source, "its current is read out, but its gain differs", "read v or the spikes"
            )
        return 1 / (self.layers[source].scale * float(neuron.g))

    def _input(self, name: str, node: Input) -> None:
        if node.kind is Kind.ANALOG:
            raise RefusedError(
                name,
                "a real-valued input has no integers yet",
                "choose an encoding (--encoding direct, rate or latency)",
            )
        if node.kind is Kind.GRADED and node.bits > self.limits.message_bits:
            raise RefusedError(
                name,
                f"the input sends graded spikes of {node.bits} bits,"
                f" {self.limits.chip} carries {self.limits.message_bits or 'binary spikes only'}",
                "use --encoding rate or latency, or a chip with graded spikes (loihi2)",
            )
        self.nodes[name] = node
        self.unit[name] = node.scale
        self.peak[name] = max(map(abs, node.range))

    def _population(self, name: str, node: Neuron) -> None:
        node = _uniform(node)
        synapses = [self._synapse(name, node, s) for s in self.graph.sources(name)]
        bias = self._bias(name, node)
        plan = Plan(
            name,
            node,
            synapses,
            bias,
            self.limits,
            self.statistics.reached.get(name),
            self.graph.steps or UNKNOWN_STEPS,
        )
        for synapse, weight in zip(synapses, plan.weights, strict=True):
            self.nodes[synapse.name] = replace(synapse.node, weight=weight, bias=None)
        self.nodes[name] = plan.neuron
        self.layers[name] = plan.report
        if plan.report.weight_bits < COARSE_BITS and any(np.any(s.weight) for s in synapses):
            self.notes.append(
                f"{name}: only {plan.report.weight_bits} bits of the weights are in use, so that"
                f" states up to {plan.needed:.3g} fit"
            )
        fires = node.compare != "never"
        self.unit[name] = 1.0 if fires else 1 / plan.scale
        self.peak[name] = 1 if fires else self.limits.state_max

    def _synapse(self, name: str, node: Neuron, source: str) -> Synapse:
        weighted = self.graph.nodes[source]
        if not isinstance(weighted, Linear | Conv):
            raise RefusedError(source, "feeds a neuron without weights", "run merge-hops first")
        gain = _per_output(name, node.g, self.graph.signals[name].shape, weighted)
        weight = weighted.weight.astype(np.float64) * gain * self.unit[source]
        moment = self.statistics.moments.get(source)
        return Synapse(source, weighted, weight, self.peak[source], moment)

    def _bias(self, name: str, node: Neuron) -> tuple[A, A]:
        """Real biases into (u, v) per neuron: constants of the synapses and of the neuron."""
        total: A = np.zeros(())
        for source in self.graph.sources(name):
            weighted = self.graph.nodes[source]
            assert isinstance(weighted, Linear | Conv)
            if weighted.bias is not None:
                rank = len(self.graph.signals[name].shape)
                total = total + weighted.bias.astype(np.float64).reshape(-1, *(1,) * (rank - 1))
        through_u = total * node.g
        read = any(
            isinstance(output, Output) and output.port == "u"
            for output in map(self.graph.nodes.__getitem__, self.graph.targets(name))
        )
        if node.order == "uv" and not np.any(node.a_u) and not read:
            return np.zeros(()), through_u + node.b
        return through_u, node.b.astype(np.float64)


def _uniform(node: Neuron) -> Neuron:
    """Parameters that are equal for all neurons as scalars."""
    changes: dict[str, Any] = {}
    for label in node.PARAMETERS:
        value = np.asarray(getattr(node, label), np.float64)
        if value.ndim and value.size and np.all(value == value.flat[0]):
            value = np.asarray(value.flat[0])
        changes[label] = value
    return replace(node, **changes)


def _per_output(name: str, gain: A, shape: tuple[int, ...], node: Linear | Conv) -> A:
    """The neurons' input gain g as a factor of each row of the weights."""
    if gain.ndim == 0:
        return gain
    rows = np.broadcast_to(gain, (shape[0], *gain.shape[1:])).reshape(shape[0], -1)
    if not np.all(rows == rows[:, :1]):
        raise RefusedError(
            name,
            "its input gain differs within a channel, but a kernel is shared by the channel",
            "use one gain per channel",
        )
    return rows[:, 0].reshape(-1, *(1,) * (node.weight.ndim - 1))
