"""Turns a float graph (S1) into an integer graph (S2) in a chip's number formats.

All rules are stated in `docs/quantisation.md`. For a population, S is the number of membrane
units per real unit: an integer state x means x / S. Its weights are

    w_int = step · round(S · g · w · s / (2^shift · 2^exp · step)),

with s the real value of one unit of the layer's input and step the spacing of the chip's weights.
Where several groups of synapses feed a population (a convolution and a skip connection), each has
the exponent that its own largest weight needs, so that large ones don't coarsen small ones.
With calibration data the rounding errors within a row are made to cancel on those data (see
`round_weights`); without, weights are rounded to nearest even. Everything else is rounded to the
grid that the neuron holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import (
    Graph,
    Input,
    IntNeuron,
    Kind,
    MatMul,
    Neuron,
    Node,
    Output,
    Place,
    Pool,
    Sparse,
    Weighted,
)
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
        spiking = [n for n in graph.neurons if graph.signals[n].kind is Kind.SPIKE]
        self.unit: dict[str, float] = dict.fromkeys(spiking, 1.0)
        self.peak: dict[str, int] = dict.fromkeys(spiking, 1)
        self.layers: dict[str, LayerScale] = {}
        self.notes: list[str] = []

    def visit(self, name: str) -> None:
        node = self.graph.nodes[name]
        match node:
            case Input():
                self._input(name, node)
            case Neuron():
                self._population(name, node)
            case Output():
                self._output(name, node)
            case MatMul():
                self._product(name, node)
            case _:
                self._follow(name, node.window if isinstance(node, Pool) else 1)
                if not isinstance(node, Weighted):
                    self.nodes[name] = node

    def _follow(self, name: str, taps: int) -> None:
        """A linear node passes its sources' unit on; its peak grows by the taps that it sums."""
        sources = self.graph.sources(name)
        self.unit[name] = self._common_unit(name, sources)
        self.peak[name] = sum(self.peak[source] for source in sources) * taps

    def _common_unit(self, name: str, sources: Sequence[str]) -> float:
        unknown = [source for source in sources if source not in self.unit]
        if unknown:
            raise RefusedError(
                unknown[0],
                "feeds real values back to itself, so that its integers have no unit of their own",
                "let a spiking neuron close the loop",
            )
        units = {self.unit[source] for source in sources}
        if len(units) > 1:
            raise RefusedError(
                name,
                f"sums {', '.join(sources)}, whose integers have different units",
                "put a spiking neuron behind each of them",
            )
        return units.pop()

    def _product(self, name: str, node: MatMul) -> None:
        """Units multiply; a sum over the inner axis adds up so many products."""
        units, peaks = [], []
        for operand in (0, 1):
            sources = [s for s in self.graph.sources(name) if self._operand(s, node) == operand]
            units.append(self._common_unit(name, sources))
            peaks.append(sum(self.peak[source] for source in sources))
        self.nodes[name] = node
        self.unit[name] = units[0] * units[1]
        self.peak[name] = peaks[0] * peaks[1] * node.inner

    def _operand(self, source: str, product: MatMul) -> int:
        """Which operand of a product a part of its input belongs to."""
        place = self.graph.nodes[source]
        if not isinstance(place, Place):
            raise RefusedError(
                source,
                "feeds a product of two signals and does not say which of the two it is part of",
                "feed the product from Place nodes alone, the second operand behind the first",
            )
        return int(place.start >= product.sizes[0])

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
            self._note_reset(source, neuron)
            return 1 / self.layers[source].scale
        if neuron.g.ndim or not neuron.g:
            raise RefusedError(
                source,
                "its current is read out in units of its gain g, which is 0 or not one number",
                "read its membrane (port v) or its spikes, or give all its neurons one gain",
            )
        return 1 / (self.layers[source].scale * float(neuron.g))

    def _note_reset(self, name: str, node: Neuron) -> None:
        """Says so where a membrane that is read out is read at another time than in S1."""
        chosen = self.nodes[name]
        assert isinstance(chosen, IntNeuron)
        late = chosen.reset_at == "after" and node.reset_at != "after"
        early = node.reset_at == "before" and node.reset != "none"
        if late or early:
            here, there = ("before", "after") if late else ("after", "before")
            self.notes.append(
                f"{name}: its membrane is read out {here} the reset here, {there} it in the"
                " framework; the spikes are the same"
            )

    def _input(self, name: str, node: Input) -> None:
        if node.kind is Kind.ANALOG:
            raise RefusedError(
                name,
                "a real-valued input has no integers yet",
                "choose an encoding (--encoding direct, rate, latency or host)",
            )
        if node.kind is Kind.GRADED and node.bits > self.limits.message_bits:
            raise RefusedError(
                name,
                f"the input sends graded spikes of {node.bits} bits,"
                f" {self.limits.chip} carries {self.limits.message_bits or 'binary spikes only'}",
                "use --encoding rate, latency or host, or a chip with graded spikes (loihi2)",
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
            self._sends_membrane(name, node),
        )
        for synapse, weight, exp in zip(synapses, plan.weights, plan.exps, strict=True):
            self.nodes[synapse.name] = replace(synapse.node, weight=weight, bias=None, exp=exp)
        self.nodes[name] = plan.neuron
        self.layers[name] = plan.report
        if plan.report.weight_bits < COARSE_BITS and any(np.any(s.weight) for s in synapses):
            self.notes.append(
                f"{name}: only {plan.report.weight_bits} bits of the weights are in use, so that"
                f" states up to {plan.needed:.3g} fit"
            )
        fires = node.compare != "never"
        self.unit[name] = 1.0 if fires else 1 / plan.scale
        self.peak[name] = 1 if fires else plan.state_max

    def _sends_membrane(self, name: str, node: Neuron) -> bool:
        """Whether the membrane feeds other populations, rather than outputs alone."""
        targets = map(self.graph.nodes.__getitem__, self.graph.targets(name))
        return node.compare == "never" and any(not isinstance(t, Output) for t in targets)

    def _synapse(self, name: str, node: Neuron, source: str) -> Synapse:
        weighted = self.graph.nodes[source]
        if not isinstance(weighted, Weighted):
            raise RefusedError(
                source,
                f"feeds the neurons {name} without weights, and a chip has none but weighted links",
                "run the passes before quantisation first (merge-hops), as snnc.compile does",
            )
        gain = _per_output(name, node.g, self.graph.signals[name].shape, weighted)
        weight = weighted.weight.astype(np.float64) * gain * self.unit[source]
        moment = self.statistics.moments.get(source)
        return Synapse(source, weighted, weight, self.peak[source], moment)

    def _bias(self, name: str, node: Neuron) -> tuple[A, A]:
        """Real biases into (u, v) per neuron: constants of the synapses and of the neuron."""
        total: A = np.zeros(())
        for source in self.graph.sources(name):
            weighted = self.graph.nodes[source]
            assert isinstance(weighted, Weighted)
            if weighted.bias is not None:
                total = total + _per_neuron(weighted.bias, len(self.graph.signals[name].shape))
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


def _per_neuron(bias: A, rank: int) -> A:
    """A bias per channel or per value, shaped to broadcast against neurons of `rank` axes."""
    real = bias.astype(np.float64)
    return real if real.ndim == rank else real.reshape(-1, *(1,) * (rank - 1))


def _per_output(name: str, gain: A, shape: tuple[int, ...], node: Weighted) -> A:
    """The neurons' input gain g as a factor of each row of the weights."""
    if gain.ndim == 0:
        return gain
    if isinstance(node, Sparse):
        return np.repeat(np.broadcast_to(gain, shape).ravel(), np.diff(node.indptr))
    rows = np.broadcast_to(gain, (shape[0], *gain.shape[1:])).reshape(shape[0], -1)
    if not np.all(rows == rows[:, :1]):
        raise RefusedError(
            name,
            "its input gain differs within a channel, but a kernel is shared by the channel",
            "use one gain per channel, or multiply by the gains in a layer of their own",
        )
    return rows[:, 0].reshape(-1, *(1,) * (node.weight.ndim - 1))
