"""The float64 executor: it defines what a float graph (S1) means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Neuron
from snnc.reference.executor import Executor
from snnc.reference.trace import Inputs, Port, Ports, Trace, sample_count

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
    samples, forced = sample_count(graph, inputs), force or {}
    states = {
        name: NeuronState(node, (samples, *graph.signals[name].shape), forced.get(name))
        for name, node in graph.nodes.items()
        if isinstance(node, Neuron)
    }
    reals = {name: np.asarray(inputs[name], np.float64) for name in graph.inputs}
    return Executor(graph, reals, states).run(record)


class NeuronState:
    """u, v and the carried spikes of one population; `step` is the canonical neuron.

    `forced`, (sample, step, …), replaces its spikes, see `run_float`.
    """

    def __init__(self, node: Neuron, shape: tuple[int, ...], forced: A | None = None) -> None:
        self.node, self.forced, self.t = node, forced, 0
        self.p = {p: np.asarray(getattr(node, p), np.float64) for p in node.PARAMETERS}
        self.u = np.zeros(shape)
        self.v = np.broadcast_to(self.p["v_init"], shape).copy()
        self.carried = np.zeros(shape, bool)
        self.decided: A = np.zeros(shape)
        self.compared = self.v

    def read(self, port: Port) -> A:
        """Own decision (`s`), state (`u`, `v`) or compared membrane (`h`) after the step."""
        return {"s": self.decided, "u": self.u, "v": self.v, "h": self.compared}[port]

    def step(self, x: A) -> A:
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
        if self.forced is not None:
            spikes = self.forced[:, self.t].astype(bool)
            self.t += 1
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
