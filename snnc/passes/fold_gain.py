"""Takes an input gain that differs within a channel out of the weights, which a kernel shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron, Node, Output
from snnc.passes.base import Pass


@dataclass(frozen=True)
class FoldGain(Pass):
    """v′ = v / g: g′ = 1, θ′ = θ / g, b′ = b / g, v_reset′ = v_reset / g, v_init′ = v_init / g.

    Exact where g > 0, and only where g differs within a channel and nothing reads the membrane,
    whose unit would differ from neuron to neuron.
    """

    name: ClassVar[str] = "fold-gain"
    ensures: ClassVar[str] = "input gains are equal within a channel"

    def run(self, graph: Graph) -> Graph:
        changes: dict[str, Node] = {}
        for name in graph.neurons:
            node = graph.nodes[name]
            assert isinstance(node, Neuron)
            if not _differs(node, graph.signals[name].shape) or _is_read(graph, name):
                continue
            scaled = {
                label: getattr(node, label) / node.g
                for label in ("theta", "b", "v_reset", "v_init")
            }
            changes[name] = replace(node, g=np.asarray(1.0), **scaled)
        return graph.with_nodes(changes)


def _differs(node: Neuron, shape: tuple[int, ...]) -> bool:
    """Whether the gain is positive and differs within a channel."""
    if node.g.ndim < 2 or not bool(np.all(node.g > 0)) or node.compare == "never":
        return False
    rows = np.broadcast_to(node.g, (shape[0], *node.g.shape[1:])).reshape(shape[0], -1)
    return not bool(np.all(rows == rows[:, :1]))


def _is_read(graph: Graph, name: str) -> bool:
    readers = (graph.nodes[target] for target in graph.targets(name))
    return any(isinstance(reader, Output) and reader.port != "s" for reader in readers)
