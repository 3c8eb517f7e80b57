"""The float64 executor: it defines what a float graph (S1) means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Delay, Graph, Input, Neuron, Output, Rate
from snnc.reference.linear import apply
from snnc.reference.trace import (
    Inputs,
    Port,
    Ports,
    Trace,
    collect,
    sample_count,
    step_count,
    wanted_ports,
)

A = NDArray[Any]


def run_float(
    graph: Graph,
    inputs: Inputs,
    record: Ports | None = None,
    force: Mapping[str, A] | None = None,
) -> Trace:
    """Runs a float graph step by step.

    Args:
        inputs: by input name, (sample, step, …) or (sample, …) if given once per sample.
        record: ports to keep, by node. `u` and `v` are the states at the end of the step;
            `h` is the membrane as it was compared, before this step's reset.
        force: by neuron, spikes (sample, step, …) that replace the neuron's own after each
            comparison, in its reset and in everything that it feeds. The recorded `s` stays the
            neuron's own decision, so that every decision is judged on its own: this is how a
            run in float32 is compared with this one without letting one tie spread.
    """
    executor = FloatExecutor(graph, inputs, force or {})
    wanted = wanted_ports(graph, record)
    kept: dict[tuple[str, Port], list[A]] = {(n, p): [] for n in wanted for p in wanted[n]}
    for t in range(step_count(graph, inputs)):
        executor.step(t)
        for (name, port), sequence in kept.items():
            sequence.append(executor.read(name, port))
    stacked = {key: np.stack(sequence, axis=1) for key, sequence in kept.items()}
    return collect(graph, stacked, record, Trace())


class FloatExecutor:
    """State of one run over all nodes."""

    def __init__(self, graph: Graph, inputs: Inputs, force: Mapping[str, A]) -> None:
        self.graph, self.force = graph, force
        samples = sample_count(graph, inputs)
        self.inputs = {name: np.asarray(inputs[name], np.float64) for name in graph.inputs}
        self.values: dict[str, A] = {}
        self.states = {
            name: NeuronState(node, (samples, *graph.signals[name].shape))
            for name, node in graph.nodes.items()
            if isinstance(node, Neuron)
        }
        self.queues: dict[str, list[A]] = {
            name: [np.zeros((samples, *graph.signals[name].shape))] * node.steps
            for name, node in graph.nodes.items()
            if isinstance(node, Delay)
        }

    def step(self, t: int) -> None:
        """Computes the output of every node at step `t`."""
        for name in self.graph.order:
            if t == 0 or self.graph.signals[name].rate is Rate.STEP:
                self.values[name] = self._output(name, t)
        for name, queue in self.queues.items():
            queue.append(self._summed(name))

    def read(self, name: str, port: Port) -> A:
        """Output (`s`) or state (`u`, `v`, `h`) of a node after the step."""
        state = self.states.get(name)
        if state is None:
            return self.values[name]
        return {"s": state.decided, "u": state.u, "v": state.v, "h": state.compared}[port]

    def _summed(self, name: str) -> A:
        return np.sum([self.values[source] for source in self.graph.sources(name)], axis=0)

    def _output(self, name: str, t: int) -> A:
        match node := self.graph.nodes[name]:
            case Input():
                return self.inputs[name] if node.rate is Rate.SAMPLE else self.inputs[name][:, t]
            case Delay():
                return self.queues[name].pop(0)
            case Neuron():
                forced = self.force[name][:, t] if name in self.force else None
                return self.states[name].step(self._summed(name), forced)
            case Output():
                return self._summed(name)
            case _:
                return apply(name, node, self._summed(name))


class NeuronState:
    """u, v and the carried spikes of one population; `step` is the canonical neuron."""

    def __init__(self, node: Neuron, shape: tuple[int, ...]) -> None:
        self.node = node
        self.p = {p: np.asarray(getattr(node, p), np.float64) for p in node.PARAMETERS}
        self.u = np.zeros(shape)
        self.v = np.broadcast_to(self.p["v_init"], shape).copy()
        self.carried = np.zeros(shape, bool)
        self.decided: A = np.zeros(shape)
        self.compared = self.v

    def step(self, x: A, forced: A | None = None) -> A:
        """Output of the population for the input `x`, as the docstring of `Neuron` says."""
        node, p, theta = self.node, self.p, self.p["theta"]
        if node.reset_at == "before":
            self.v = self._reset(self.v, self.carried)
        above = self._reaches(self.v)
        old_u = self.u
        self.u = p["a_u"] * self.u + x
        drive = self.u if node.order == "uv" else old_u
        self.v = p["a_v"] * self.v + p["g"] * drive + p["b"]
        if node.reset_at == "after":
            self.v = self._reset(self.v, self.carried)
        self.compared = self.v - theta * above if node.reset_at == "guarded" else self.v
        if node.compare == "never":
            self.decided = self.v
            return self.v
        spikes = self._reaches(self.compared)
        self.decided = spikes.astype(np.float64)
        if forced is not None:
            spikes = forced.astype(bool)
        if node.reset_at in ("now", "guarded"):
            self.v = self._reset(self.v, spikes)
        self.carried = spikes
        return spikes.astype(np.float64)

    def _reaches(self, v: A) -> A:
        theta = self.p["theta"]
        return v >= theta if self.node.compare == ">=" else v > theta

    def _reset(self, v: A, where: A) -> A:
        if self.node.reset == "none":
            return v
        return np.where(where, v - self.p["theta"] if self.node.reset == "soft"
                        else self.p["v_reset"], v)  # fmt: skip
