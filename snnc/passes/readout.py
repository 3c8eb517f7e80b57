"""Gives outputs that read a current a neuron that never spikes, for chips read out membranes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron, Output
from snnc.passes.base import LINEAR, Pass


@dataclass(frozen=True)
class AddReadouts(Pass):
    """Output of a linear layer → a neuron with a_v = 0 that never spikes → Output of its membrane.

    Exact: v[t] = 0·v[t−1] + x[t].
    """

    name: ClassVar[str] = "add-readouts"
    ensures: ClassVar[str] = "every output reads a neuron or an input"

    def run(self, graph: Graph) -> Graph:
        for name in graph.outputs:
            current = [s for s in graph.sources(name) if isinstance(graph.nodes[s], LINEAR)]
            if not current:
                continue
            readout = f"{name}.readout"
            moved = tuple(
                (s, readout) if t == name and s in current else (s, t) for s, t in graph.edges
            )
            node = Neuron(a_v=np.asarray(0.0), theta=np.asarray(0.0), reset="none", compare="never")
            output = graph.nodes[name]
            assert isinstance(output, Output)
            nodes = {**graph.nodes, readout: node, name: replace(output, port="s")}
            graph = graph.with_(nodes=nodes, edges=(*moved, (readout, name))).noting(
                f"{name} reads a current: {readout}, a neuron that never spikes, holds it"
            )
        return graph
