"""Parts of float graphs that act every few steps: clocks, gates, and neurons at a lower rate.

A *slow* signal of period p has its values at the steps p − 1, 2p − 1, … and is silent (0) between
them. Nothing in a graph knows the time, so what keeps such a signal slow is a clock neuron.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from snnc.errors import GraphError, OptionError, RefusedError
from snnc.ir import (
    Array,
    Conv,
    Delay,
    Edge,
    Graph,
    Neuron,
    Node,
    Signal,
    Sparse,
)

Range = tuple[int, int]
"""Smallest and largest integer that a signal takes."""


@dataclass
class Builder:
    """A graph that grows node by node.

    Attributes:
        nodes, edges: so far.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    @classmethod
    def of(cls, graph: Graph) -> Builder:
        """A copy of a graph, to go on from."""
        return cls(dict(graph.nodes), list(graph.edges))

    def add(self, name: str, node: Node, *sources: str) -> str:
        """Adds a node that takes the sum of `sources`; returns its name.

        Raises:
            GraphError: the name is taken, or a source does not exist yet.
        """
        if name in self.nodes:
            raise GraphError(name, "there is a node of this name already", "choose another name")
        for source in sources:
            if source not in self.nodes:
                raise GraphError(name, f"its source {source} does not exist", "add it first")
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def signal(self, name: str) -> Signal:
        """Type of a node's output.

        Raises:
            GraphError: no such node, or the nodes so far don't fit each other.
        """
        if name not in self.nodes:
            raise GraphError(name, "there is no node of this name", ", ".join(self.nodes))
        return Graph(self.nodes, tuple(self.edges)).signals[name]

    def graph(self, steps: int | None = None, dt: float | None = None) -> Graph:
        """The checked graph.

        Raises:
            GraphError: see `Graph.check`.
        """
        return Graph(dict(self.nodes), tuple(self.edges), steps, dt).check()


def clock(net: Builder, source: str, period: int, phases: Sequence[int] = ()) -> str:
    """Neurons that fire once in `period` steps, one per phase: at phase, phase + period, …

    v[t] = v[t−1] + 1, fires at v > period − ½, hard reset to 0, from v = period − 1 − phase. The
    half keeps it right where a chip rounds its numbers, for periods of some hundred steps (a bias
    of Loihi 1 is too coarse for 1,000; `snnc verify` shows that). All phases are one population of
    shape (phases,), shared by whoever asks for the same one. `source` feeds it through a synapse of
    weight 0, because a neuron must have an input; which node that is has no influence. The default
    is the phase period − 1, the end of each group of `period` steps.

    Raises:
        OptionError: a period below 1, or a phase outside of it.
    """
    phases = tuple(phases) or (period - 1,)
    if period < 1 or min(phases) < 0 or max(phases) >= period:
        raise OptionError(
            "clock", f"period {period} with phases {phases}", "phases are 0 to period − 1"
        )
    neuron = Neuron(
        np.asarray(1.0),
        np.asarray(period - 0.5),
        b=np.asarray(1.0),
        v_init=period - 1 - np.asarray(phases, np.float64),
    )
    default = phases == (period - 1,)
    name = ".".join([f"clock{period}", *(() if default else map(str, phases))])
    if _same(net.nodes.get(name), neuron) and (f"{name}.none", name) in net.edges:
        return name
    rows = np.arange(len(phases) + 1)
    shapes = net.signal(source).shape, (len(phases),)
    silent = Sparse(np.zeros(len(phases), np.int8), rows[1:] * 0, rows, *shapes)
    return net.add(name, neuron, net.add(f"{name}.none", silent, source))


def _same(node: Node | None, neuron: Neuron) -> bool:
    return isinstance(node, Neuron) and all(
        np.array_equal(getattr(node, item.name), getattr(neuron, item.name))
        for item in fields(neuron)
    )


def mix(matrix: Array, shape: tuple[int, ...]) -> Node:
    """y[c·out + o] = Σ_i matrix[o, i] · x[c·in + i] along the channels, at every position.

    `matrix` is (out, in), the input (C·in, …) has `shape`. A convolution of 1 × 1 with C groups,
    or a sparse matrix where the input has no axes that a convolution could have.
    """
    out, fan_in = matrix.shape
    channels, *rest = shape
    groups = channels // fan_in
    if len(rest) in (1, 2):
        ones = (1,) * len(rest)
        weight = np.tile(matrix.reshape(out, fan_in, *ones), (groups, *(1,) * (len(rest) + 1)))
        return Conv(weight, None, ones, (0,) * len(rest), ones, groups)
    size = int(np.prod(rest, dtype=np.int64))
    place = np.arange(groups * fan_in * size).reshape(groups, fan_in, size)
    used = matrix != 0
    index = np.concatenate([place[:, used[o]].transpose(0, 2, 1).reshape(groups, -1)
                            for o in range(out)], axis=1)  # fmt: skip
    weight = np.concatenate([np.tile(matrix[o, used[o]], size) for o in range(out)])
    counts = np.tile(np.repeat(used.sum(1), size), groups)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    return Sparse(np.tile(weight, groups), index.ravel(), pointer, shape, (groups * out, *rest))


@dataclass(frozen=True)
class Tap:
    """The input as it was `delay` steps ago, let through when neuron `tick` of the clock fires."""

    delay: int
    tick: int = 0


def gate(
    net: Builder,
    name: str,
    source: str,
    ranges: Sequence[Range],
    taps: Sequence[Tap],
    clock_name: str,
) -> tuple[str, Array]:
    """Neurons that let integers through when a clock fires, and nothing otherwise.

    A product of an integer and a clock is a thermometer code, exactly: for an x within lo..hi,

        x · clock = Σ_{m=1..hi} [x + (M − m + 1)·clock > M + ½]
                  − Σ_{m=1..−lo} [−x + (M − m + 1)·clock > M + ½],     M = max(hi, −lo)

    where every bracket is a neuron without memory. A spike is the range 0..1: one AND gate,
    x + clock > 1.5. (For real values there is no such sum: no neuron multiplies.)

    Args:
        source: (C·n, …), channel c·n + i holding integers of the i-th range.

    Returns:
        The name of the gates, of shape (C·gates, …), and the signs (taps, n, gates): value i of
        tap k is their sum Σ_g signs[k, i, g] · gate[g].
    """
    shape = net.signal(source).shape
    cells = [(k, i, sign, m) for k in range(len(taps)) for i, (low, high) in enumerate(ranges)
             for sign, last in ((1, high), (-1, -low)) for m in range(1, last + 1)]  # fmt: skip
    tap, unit, sign, level = np.array(cells, np.int64).T
    signs = np.zeros((len(taps), len(ranges), len(cells)), np.int8)
    signs[tap, unit, np.arange(len(cells))] = sign
    largest = max(max(high, -low) for low, high in ranges)
    inputs = [_ticks(net, name, clock_name, taps, tap, largest - level + 1,
                     (shape[0] // len(ranges), *shape[1:]))]  # fmt: skip
    for delay in sorted({tap.delay for tap in taps}):
        chosen = [k for k, item in enumerate(taps) if item.delay == delay]
        late = net.add(f"{name}.delay{delay}", Delay(delay), source) if delay else source
        copies = mix(signs[chosen].sum(0, dtype=np.int8).T, shape)
        inputs.append(net.add(f"{name}.tap{delay}", copies, late))
    memoryless = Neuron(np.asarray(0.0), np.asarray(largest + 0.5), reset="none")
    return net.add(name, memoryless, *inputs), signs


def _ticks(
    net: Builder,
    name: str,
    clock_name: str,
    taps: Sequence[Tap],
    tap: Array,
    weight: Array,
    shape: tuple[int, ...],
) -> str:
    """The clock's synapses: gate g of every channel and position takes `weight[g]` of the tick of
    its tap."""
    channels, *rest = shape
    full = (channels, len(tap), int(np.prod(rest, dtype=np.int64)))
    tick = np.array([item.tick for item in taps])[tap]
    matrix = Sparse(
        np.broadcast_to(weight[:, None].astype(np.int32), full).ravel(),
        np.broadcast_to(tick[:, None], full).ravel(),
        np.arange(int(np.prod(full)) + 1),
        net.signal(clock_name).shape,
        (channels * len(tap), *rest),
    )
    return net.add(f"{name}.ticks", matrix, clock_name)


def slowed(neuron: Neuron, period: int, where: str = "neuron") -> Neuron:
    """The neuron that does on a slow signal of `period` what `neuron` does on its values alone.

    Its leak per step is a_v^(1/period), so that `period` steps leak as much as one did; between
    two values it is silent. This is exact, but for the rounding of the root in float64, under
    conditions that make a membrane below θ stay below it while it leaks, and that keep whatever
    happens once per value from happening once per step.

    Raises:
        OptionError: a period below 1.
        RefusedError: there is no such neuron: a bias or a synaptic current (both act at every
            step), a delayed hard reset (it would swallow a silent step), a leak outside 0..1,
            a threshold that 0, or the start or reset of the membrane, already reaches; or a neuron
            that can still be above θ after its spike (soft or no reset, an integrator) and so would
            fire or answer between two values, unless it has no memory (a_v = 0).
    """
    if period < 1:
        raise OptionError(where, f"a period of {period} steps", "give at least 1")
    if period == 1:
        return neuron
    for holds, cause, fix in _obstacles(neuron):
        if holds:
            raise RefusedError(where, f"can't run at 1/{period} of the rate: {cause}", fix)
    root = np.asarray(neuron.a_v, np.float64) ** (1 / period)
    return replace(neuron, a_v=root)


def _obstacles(neuron: Neuron) -> list[tuple[bool, str, str]]:
    """(does it hold, cause, fix) of everything that has no slow version."""
    p: Mapping[str, Array] = {
        key: np.asarray(getattr(neuron, key), np.float64) for key in neuron.PARAMETERS
    }
    memory = bool(np.any(p["a_v"]))
    fires = np.greater_equal if neuron.compare == ">=" else np.greater
    late = neuron.reset_at in ("after", "guarded") and neuron.reset != "none"
    hard = neuron.reset == "hard"
    return [
        (bool(np.any(p["b"])), "its bias would act at every step", "use snnc.wavelets.add_bias"),
        (bool(np.any(p["a_u"])) or neuron.order == "vu",
         "its synaptic current lasts over the steps between", "use a neuron without one"),
        (bool(np.any((p["a_v"] < 0) | (p["a_v"] > 1))),
         "its leak is outside 0..1", "use a leak of 0 to 1"),
        (late, f"it resets {neuron.reset}/{neuron.reset_at}, at a step without input",
         "use a hard reset in the same step"),
        (neuron.compare == "never" and memory,
         "it never fires, so that its membrane would be read between two values",
         "use a neuron that spikes, or one without memory (a_v = 0)"),
        (neuron.compare != "never" and memory and not hard,
         "without a hard reset it can fire again between two values", "use a hard reset"),
        (neuron.compare != "never" and bool(np.any(fires(0.0, p["theta"]))),
         "it fires at 0, where the membrane leaks to", "use a positive threshold"),
        (neuron.compare != "never" and memory and bool(np.any(
            fires(p["v_reset"], p["theta"]) | fires(p["v_init"], p["theta"]))),
         "it starts from, or resets to, a membrane that fires", "use one below the threshold"),
    ]  # fmt: skip


__all__ = ["Builder", "Range", "Tap", "clock", "gate", "mix", "slowed"]
