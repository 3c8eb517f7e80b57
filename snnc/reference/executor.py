"""Walks a graph step by step; what the two reference executors have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Delay, Graph, Input, Output, Rate
from snnc.reference.linear import apply
from snnc.reference.trace import Inputs, Port, Ports, Trace, collect, step_count, wanted_ports

A = NDArray[Any]


class State(Protocol):
    """What a population remembers from step to step."""

    def step(self, total: A) -> A:
        """Output of the population for its summed input."""
        ...

    def read(self, port: Port) -> A:
        """Output (`s`) or state of the population after the step."""
        ...


class Executor:
    """One run over all nodes.

    Attributes:
        inputs: arrays of the executor's own dtype, which every value keeps.
        states: one per population.
    """

    def __init__(self, graph: Graph, inputs: Inputs, states: Mapping[str, State]) -> None:
        self.graph, self.inputs, self.states = graph, inputs, states
        self.values: dict[str, A] = {}
        first = next(iter(inputs.values()))
        self.queues: dict[str, list[A]] = {
            name: [np.zeros((len(first), *graph.signals[name].shape), first.dtype)] * node.steps
            for name, node in graph.nodes.items()
            if isinstance(node, Delay)
        }

    def run(self, record: Ports | None) -> Trace:
        """All steps; keeps what `record` asks for."""
        wanted = wanted_ports(self.graph, record)
        kept: dict[tuple[str, Port], list[A]] = {(n, p): [] for n in wanted for p in wanted[n]}
        for t in range(step_count(self.graph, self.inputs)):
            self._step(t)
            for (name, port), sequence in kept.items():
                state = self.states.get(name)
                sequence.append(self.values[name] if state is None else state.read(port))
        stacked = {key: np.stack(sequence, axis=1) for key, sequence in kept.items()}
        return collect(self.graph, stacked, record, Trace())

    def _step(self, t: int) -> None:
        for name in self.graph.order:
            if t == 0 or self.graph.signals[name].rate is Rate.STEP:
                self.values[name] = self._output(name, t)
        for name, queue in self.queues.items():
            queue.append(self._summed(name))

    def _summed(self, name: str) -> A:
        return np.sum([self.values[source] for source in self.graph.sources(name)], axis=0)

    def _output(self, name: str, t: int) -> A:
        if name in self.states:
            return self.states[name].step(self._summed(name))
        match node := self.graph.nodes[name]:
            case Input():
                return self.inputs[name] if node.rate is Rate.SAMPLE else self.inputs[name][:, t]
            case Delay():
                return self.queues[name].pop(0)
            case Output():
                return self._summed(name)
            case _:
                return apply(name, node, self._summed(name))
