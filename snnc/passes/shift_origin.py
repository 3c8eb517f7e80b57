"""Moves the origin of the membrane: chips reset to zero and hold no negative threshold."""

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
    out is read in the shifted origin; the note says by how much. A neuron without a reset whose
    threshold is negative (a NOR gate) is moved in the same way, so that its threshold is 1.
    """

    name: ClassVar[str] = "shift-origin"
    ensures: ClassVar[str] = "every hard reset is to zero; no gate has a negative threshold"

    def run(self, graph: Graph) -> Graph:
        changes: dict[str, Node] = {}
        notes: list[str] = []
        for name in graph.neurons:
            node = graph.nodes[name]
            assert isinstance(node, Neuron)
            if not _is_moved(node):
                continue
            hard = node.reset == "hard"
            origin = node.v_reset.astype(np.float64) if hard else node.theta - 1.0
            changes[name] = replace(
                node,
                theta=node.theta - origin,
                b=node.b + (node.a_v - 1) * origin,
                v_init=node.v_init - origin,
                v_reset=np.asarray(0.0),
            )
            low, high = float(origin.min()), float(origin.max())
            span = f"{low:g}" if low == high else f"{low:g}…{high:g}"
            from_where = "v_reset = " if hard else ""
            notes.append(f"{name}: the membrane is counted from {from_where}{span}")
        return graph.with_nodes(changes).noting(*notes)


def _is_moved(node: Neuron) -> bool:
    if node.reset == "hard":
        return bool(np.any(node.v_reset))
    gate = node.reset == "none" and node.compare != "never"
    return gate and bool(np.any(node.theta < 0))
