"""Gives a bias of the synaptic current an axon of its own, for chips whose current has none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Neuron, Node, Sparse, Weighted, closure
from snnc.passes.base import LINEAR, Pass
from snnc.passes.hop_rules import per_value

A = NDArray[Any]


@dataclass(frozen=True)
class BiasSynapse(Pass):
    """Where u has a memory (a_u ≠ 0), a bias of the synapses becomes weights from a neuron that
    fires at every step: v = 1·v + 1 > ½, reset to 0.

    Exact: u[t] = a_u·u[t−1] + x[t] + b·1.
    """

    name: ClassVar[str] = "bias-synapse"
    ensures: ClassVar[str] = "no synapse into a neuron with a synaptic current has a bias"

    def run(self, graph: Graph) -> Graph:
        for name in graph.neurons:
            node = graph.nodes[name]
            assert isinstance(node, Neuron)
            biased = [s for s in graph.sources(name) if _bias(graph.nodes[s]) is not None]
            if biased and np.any(node.a_u):
                graph = _with_axon(graph, name, biased)
        return graph


def _bias(node: Node) -> A | None:
    return node.bias if isinstance(node, Weighted) else None


def _with_axon(graph: Graph, name: str, biased: list[str]) -> Graph:
    shape = graph.signals[name].shape
    total = np.zeros(shape)
    changes: dict[str, Node] = {}
    for source in biased:
        node = graph.nodes[source]
        assert isinstance(node, Weighted)
        assert node.bias is not None
        total = total + per_value(node.bias.astype(np.float64), shape)
        changes[source] = replace(node, bias=None)
    fed_by = _feeder(graph, name)
    one = np.asarray(1.0)
    index = np.zeros(total.size, np.int32)
    starts = np.arange(total.size + 1)
    # A neuron needs an input: one synapse of weight 0 from what feeds the layer itself.
    changes |= {
        f"{name}.silence": Sparse(
            np.zeros(1), index[:1], np.arange(2), graph.signals[fed_by].shape, (1,)
        ),
        f"{name}.on": Neuron(a_v=one, theta=np.asarray(0.5), b=one),
        f"{name}.bias": Sparse(total.ravel(), index, starts, (1,), shape),
    }
    edges = (
        (fed_by, f"{name}.silence"),
        (f"{name}.silence", f"{name}.on"),
        (f"{name}.on", f"{name}.bias"),
        (f"{name}.bias", name),
    )
    return replace(graph.with_nodes(changes), edges=(*graph.edges, *edges)).noting(
        f"{name}: its bias comes from a neuron that fires at every step, {name}.on, since the"
        " synaptic current has no bias of its own here"
    )


def _feeder(graph: Graph, name: str) -> str:
    """A population that feeds a neuron and is in no loop with it, else an input."""
    behind = closure([name], graph.targets)
    fed_by = (_population(graph, source) for source in graph.sources(name))
    return next((source for source in fed_by if source not in behind), graph.inputs[0])


def _population(graph: Graph, name: str) -> str:
    """The population that feeds a linear node."""
    while isinstance(graph.nodes[name], LINEAR):
        name = graph.sources(name)[0]
    return name
