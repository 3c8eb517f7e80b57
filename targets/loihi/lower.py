"""Lowering: an integer graph (S2) as the program that the chip runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Graph, Input, IntNeuron, Kind, Output
from snnc.passes.limits import Limits
from snnc.targets.cores.program import (
    Conv,
    Dense,
    Population,
    Program,
    Source,
    Sparse,
    Split,
    Synapse,
)
from snnc.targets.loihi.compose import compose, fit_weights
from snnc.targets.loihi.hops import Hop, find_hops
from snnc.targets.loihi.matrices import Window, window_matrix
from snnc.targets.loihi.neurons import as_population
from snnc.targets.loihi.retime import solve_lags, synapse_delay
from snnc.targets.loihi.split import part_node, part_shape, parts_of, split_synapses

A = NDArray[Any]
EARLY_BIAS = "its bias must not start before its sample, since spikes are delayed elsewhere"
FEEDS_DELAY = "it feeds a delay, which must not carry spikes into the next sample"


def lower(graph: Graph, limits: Limits) -> Program:
    """The program of an integer graph on a chip.

    Raises:
        RefusedError: a node, weight, delay or message that the chip can't say.
    """
    hops = find_hops(graph)
    names = [*graph.inputs, *graph.neurons]
    lags = solve_lags(names, hops)
    delayed = {hop.source: None for hop in hops if hop.delay}
    held = [name for name in delayed if isinstance(graph.nodes[name], IntNeuron)]
    cleared = bool(held) and not limits.neuron_programs
    messages = {hop.source: _message(graph, hop.source, limits) for hop in hops}
    build = _Build(graph, limits, () if cleared else tuple(held), cleared)
    if cleared:
        build.notes.append(
            f"each sample starts from a cleared chip: {', '.join(held)} feed"
            f"{'s' if len(held) == 1 else ''} delays, which must not carry spikes from one sample"
            " into the next"
        )
    else:
        build.notes += _gate_notes(hops)
    for name in sorted(names, key=lambda item: lags[item]):
        build.layer(name, lags[name])
    synapses = [
        _synapse(graph, hop, messages[hop.source], lags, limits, cleared, build.notes)
        for hop in hops
    ]
    program = Program(
        build.populations,
        tuple(split_synapses(synapses, build.splits)),
        graph.steps,
        tuple(_reads(graph)),
        tuple(build.notes),
        build.splits,
        cleared,
    )
    _check_reads(program)
    return program


def _gate_notes(hops: Sequence[Hop]) -> list[str]:
    return [
        f"{hop.source}: its last {hop.delay} steps of each sample are not sent to {hop.target},"
        " so that the graph's delay does not carry them into the next sample"
        for hop in hops
        if hop.delay
    ]


def _reads(graph: Graph) -> list[tuple[str, str, str, str]]:
    reads: list[tuple[str, str, str, str]] = []
    for name in graph.outputs:
        node = graph.nodes[name]
        assert isinstance(node, Output)
        for source in graph.sources(name):
            if not isinstance(graph.nodes[source], Input | IntNeuron):
                raise RefusedError(
                    name,
                    f"reads {source}, a {type(graph.nodes[source]).__name__}: only populations"
                    " can be read out on the chip",
                    "put a neuron that never fires behind it and read its membrane",
                )
            reads.append((name, source, node.port, node.reduce))
    return reads


def _check_reads(program: Program) -> None:
    for name, layer, port, _ in program.reads:
        if port not in program.ports(layer):
            raise RefusedError(
                name,
                f"reads {port} of {layer}, which resets hard/after: its refractory period clears"
                " the membrane of a spiking step before it can be read",
                "read its spikes, or compile for --chip loihi2",
            )


@dataclass
class _Build:
    """The populations of a program under construction.

    Attributes:
        gated: neurons that must leave out messages, which takes a neuron program.
        cleared: whether each sample starts from a cleared chip instead.
    """

    graph: Graph
    limits: Limits
    gated: tuple[str, ...]
    cleared: bool
    notes: list[str] = field(default_factory=list)
    populations: dict[str, Population] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)

    def layer(self, name: str, lag: int) -> None:
        """Adds the populations of a layer."""
        node, shape = self.graph.nodes[name], self.graph.signals[name].shape
        if isinstance(node, Input):
            bits = 0 if node.kind is Kind.SPIKE else node.bits
            self.populations[name] = Source(shape, lag, bits, node.signed)
            return
        assert isinstance(node, IntNeuron)
        parts = [] if self.limits.neuron_programs else parts_of(name, node, shape, self.limits)
        if len(parts) < 2:
            self.populations[name] = as_population(
                name, node, shape, lag, self.limits, self._against_lif(name, node), self.notes
            )
            return
        taken = {*self.graph.nodes, *self.populations}
        found: dict[str, A] = {}
        runs_as: list[str] = []
        for number, index in enumerate(parts):
            part = _unused(f"{name}[{number}]", taken)
            found[part] = index
            own = part_node(node, index, shape)
            self.populations[part] = as_population(
                name,
                own,
                part_shape(index, shape),
                lag,
                self.limits,
                self._against_lif(name, own),
                runs_as,
            )
        self.notes += [
            f"{name}: split into {len(parts)} populations of equal settings",
            *dict.fromkeys(runs_as),
        ]
        self.splits[name] = Split(shape, found)

    def _against_lif(self, name: str, node: IntNeuron) -> tuple[str, ...]:
        if name in self.gated:
            return (FEEDS_DELAY,)
        return (EARLY_BIAS,) if self.cleared and node.bias_v.any() else ()


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    return name


@dataclass(frozen=True)
class _Message:
    """What a population sends: payload bits (0: spikes) and the largest magnitude."""

    bits: int
    magnitude: int


def _message(graph: Graph, name: str, limits: Limits) -> _Message:
    node = graph.nodes[name]
    if graph.signals[name].kind is Kind.SPIKE:
        return _Message(0, 1)
    if isinstance(node, Input):
        bits, magnitude = node.bits, max(abs(bound) for bound in node.range)
    else:
        assert isinstance(node, IntNeuron)
        bits, magnitude = node.state_bits, 1 << (node.state_bits - 1)
    if bits > limits.message_bits:
        carried = (
            f"{limits.message_bits} bits at most" if limits.message_bits else "no bits, only spikes"
        )
        instead = (
            "use --encoding rate or latency"
            if isinstance(node, Input)
            else "put a neuron that spikes in its place"
        )
        raise RefusedError(
            name,
            f"sends integers of {bits} bits, {limits.chip} carries {carried}",
            f"{instead}, or {'fewer bits' if limits.message_bits else '--chip loihi2'}",
        )
    return _Message(bits, magnitude)


def _synapse(
    graph: Graph, hop: Hop, message: _Message, lags: Mapping[str, int], limits: Limits,
    cleared: bool, notes: list[str],
) -> Synapse:  # fmt: skip
    delay = synapse_delay(hop, lags, limits.delay_max)
    composed = compose(graph, hop)
    gate = 0 if cleared else hop.delay
    common = (hop.source, hop.target, delay, gate, message.bits)
    if isinstance(composed.weights, Window):
        return _window(hop, composed.weights, composed.exp, common, message, limits, notes)
    if isinstance(composed.weights, np.ndarray):
        weight, exp = fit_weights(hop.label, composed.weights, composed.exp, limits)
        return Dense(*common, exp, weight.astype(np.int16))
    return _sparse(hop, composed.weights, composed.exp, common, limits)


Common = tuple[str, str, int, int, int]


def _sparse(hop: Hop, rows: sparse.csr_array, exp: int, common: Common, limits: Limits) -> Sparse:
    rows.sort_indices()
    data, exp = fit_weights(hop.label, rows.data, exp, limits)
    shape = (int(rows.shape[0]), int(rows.shape[1]))
    return Sparse(
        *common, exp, data.astype(np.int16), rows.indices.astype(np.int32),
        rows.indptr.astype(np.int32), shape,
    )  # fmt: skip


def _window(
    hop: Hop, window: Window, exp: int, common: Common, message: _Message, limits: Limits,
    notes: list[str],
) -> Synapse:  # fmt: skip
    weight, fitted = fit_weights(hop.label, window.node.weight, exp, limits)
    reasons = conv_reasons(weight, fitted, message.magnitude, limits)
    if reasons:
        rows = window_matrix(hop.label, window)
        notes.append(
            f"{hop.label}: written out as {rows.nnz:,} synapses, since Lava's convolution "
            + " and ".join(reasons)
        )
        return _sparse(hop, rows, exp, common, limits)
    node = window.node
    stride, padding, dilation = (
        (int(pair[0]), int(pair[1])) for pair in (node.stride, node.padding, node.dilation)
    )
    return Conv(
        *common,
        fitted,
        weight.astype(np.int16),
        window.in_shape,
        stride,
        padding,
        dilation,
        node.groups,
    )


def conv_reasons(weight: A, exp: int, magnitude: int, limits: Limits) -> list[str]:
    """Why Lava's convolution process can't say a synapse; empty where it can.

    It ignores the weight exponent, but takes any integer weight, so a left shift goes into the
    weights, and so does a right shift that divides them all. It wraps sums to 24 bits, so
    they must stay below that (lava-nc, proc/conv/models.py, PyConvModelFixed).
    """
    reasons: list[str] = []
    if exp < 0 and bool((weight & ((1 << -exp) - 1)).any()):
        reasons.append(f"can't shift its sums right by {-exp}")
    taps = np.abs(weight).reshape(len(weight), -1).sum(1, dtype=np.int64)
    largest = int(taps.max(initial=0)) * magnitude * 2.0**exp
    if largest >= 1 << (limits.state_bits - 1):
        reasons.append(f"wraps sums at {limits.state_bits} bits")
    return reasons


__all__ = ["conv_reasons", "lower"]
