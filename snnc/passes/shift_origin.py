"""Moves the origin of the membrane to the reset potential: chips reset to zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron, Node
from snnc.passes.base import Pass


@dataclass(frozen=True)
class ShiftOrigin(Pass):
    """v′ = v − v_reset: θ′ = θ − v_reset, b′ = b + (a_v − 1)·v_reset, v_init′ = v_init − v_reset.

    Exact, and only where the neuron resets to a value other than zero. A membrane that is read
    out is read in the shifted origin; the note says by how much.
    """

    name: ClassVar[str] = "shift-origin"
    ensures: ClassVar[str] = "every hard reset is to zero"

    def run(self, graph: Graph) -> Graph:
        changes: dict[str, Node] = {}
        notes: list[str] = []
        for name in graph.neurons:
            node = graph.nodes[name]
            assert isinstance(node, Neuron)
            if node.reset != "hard" or not np.any(node.v_reset):
                continue
            origin = node.v_reset.astype(np.float64)
            changes[name] = replace(
                node,
                theta=node.theta - origin,
                b=node.b + (node.a_v - 1) * origin,
                v_init=node.v_init - origin,
                v_reset=np.asarray(0.0),
            )
            low, high = float(origin.min()), float(origin.max())
            span = f"{low:g}" if low == high else f"{low:g}…{high:g}"
            notes.append(f"{name}: the membrane is counted from v_reset = {span}")
        return graph.with_nodes(changes).noting(*notes)
