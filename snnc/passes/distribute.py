"""Makes every linear operation a link of exactly one path between two populations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from snnc.errors import RefusedError
from snnc.ir import Graph, Kind, Node, Scale, Sum, Weighted
from snnc.passes.base import LINEAR, Pass, free_name


@dataclass(frozen=True)
class Distribute(Pass):
    """W·(x₁ + x₂) → W·x₁ + W·x₂, and one copy of W for every population that it feeds.

    Spikes of several populations stay summed at a node: their integers have one unit, so one W
    serves them all, however many sums stand in a row (x₁ + x₂, + x₃, …). The bias stays with the
    first copy into each population.
    """

    name: ClassVar[str] = "distribute"
    ensures: ClassVar[str] = "every linear node has one target; its sources are one, or all spikes"

    def run(self, graph: Graph) -> Graph:
        _refuse_loops(graph)
        graph = _pruned(_flattened(graph))
        while name := next((n for n in reversed(graph.order) if _shared(graph, n)), ""):
            graph = _split(graph, name)
        return graph


def _refuse_loops(graph: Graph) -> None:
    """A loop of delays and weights alone has no end at which to distribute."""
    left = {name for name, node in graph.nodes.items() if isinstance(node, LINEAR)}
    for step in (graph.sources, graph.targets):
        while ends := {name for name in left if left.isdisjoint(step(name))}:
            left -= ends
    if left:
        names = [name for name in graph.nodes if name in left]
        raise RefusedError(
            names[0],
            f"is in a loop without a neuron ({', '.join(names)}), and a core keeps values from"
            " step to step in neurons only",
            "put a neuron into the loop",
        )


def _flattened(graph: Graph) -> Graph:
    """What a Sum adds up goes straight into the linear nodes behind it, unless that would take an
    edge twice (x + x)."""
    edges = dict.fromkeys(graph.edges)
    sources = {name: graph.sources(name) for name in graph.nodes}
    for name in graph.order:
        if not isinstance(graph.nodes[name], Sum):
            continue
        for target in graph.targets(name):
            straight = [(source, target) for source in sources[name]]
            if not isinstance(graph.nodes[target], LINEAR) or any(e in edges for e in straight):
                continue
            del edges[name, target]
            edges.update(dict.fromkeys(straight))
            sources[target] = [s for s in sources[target] if s != name] + sources[name]
    nodes = {
        name: node
        for name, node in graph.nodes.items()
        if not isinstance(node, Sum) or any(source == name for source, _ in edges)
    }
    kept = tuple(edge for edge in edges if edge[1] in nodes)
    return graph.with_(nodes=nodes, edges=kept)


def _pruned(graph: Graph) -> Graph:
    """Without the linear nodes that lead nowhere; a note names them."""
    while idle := {
        name
        for name, node in graph.nodes.items()
        if isinstance(node, LINEAR) and not graph.targets(name)
    }:
        nodes = {name: node for name, node in graph.nodes.items() if name not in idle}
        edges = tuple(edge for edge in graph.edges if edge[1] not in idle)
        graph = graph.with_(nodes=nodes, edges=edges).noting(
            *(f"{name} leads nowhere and is left out" for name in sorted(idle))
        )
    return graph


def _shared(graph: Graph, name: str) -> bool:
    if not isinstance(graph.nodes[name], LINEAR):
        return False
    return len(graph.targets(name)) > 1 or len(_groups(graph, name)) > 1


def _groups(graph: Graph, name: str) -> list[list[str]]:
    """The sources of a node, those together that one copy of it can serve."""
    groups: list[list[str]] = []
    spiking: list[str] = []
    for source in graph.sources(name):
        population = not isinstance(graph.nodes[source], LINEAR)
        if not (population and graph.signals[source].kind is Kind.SPIKE):
            groups.append([source])
            continue
        if not spiking:
            groups.append(spiking)
        spiking.append(source)
    return groups


def _split(graph: Graph, name: str) -> Graph:
    node = graph.nodes[name]
    nodes: dict[str, Node] = {}
    copies: list[tuple[list[str], str, str]] = []
    for target in graph.targets(name):
        for index, sources in enumerate(_groups(graph, name)):
            copy = name if not copies else free_name(name, graph.nodes.keys() | nodes.keys())
            copies.append((sources, copy, target))
            nodes[copy] = node if index == 0 else _without_bias(node)
    edges = [edge for edge in graph.edges if name not in edge]
    for sources, copy, target in copies:
        edges += [*((source, copy) for source in sources), (copy, target)]
    kept: dict[str, Node] = {}
    for key, value in graph.nodes.items():
        kept.update(nodes if key == name else {key: value})
    return graph.with_(nodes=kept, edges=tuple(edges))


def _without_bias(node: Node) -> Node:
    return replace(node, bias=None) if isinstance(node, Weighted | Scale) else node
