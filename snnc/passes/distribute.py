"""Makes every linear operation a link of exactly one path between two populations."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from snnc.ir import Conv, Graph, Linear, Node, Scale
from snnc.passes.base import LINEAR, Pass


@dataclass(frozen=True)
class Distribute(Pass):
    """W·(x₁ + x₂) → W·x₁ + W·x₂, and one copy of W for every population that it feeds.

    A chip holds a synapse once per pair of populations, so the copies are what will be stored.
    The bias stays with the first copy into each population.
    """

    name: ClassVar[str] = "distribute"
    ensures: ClassVar[str] = "every stateless or delay node has one source and one target"

    def run(self, graph: Graph) -> Graph:
        graph = _pruned(graph)
        while name := next((n for n in reversed(graph.order) if _shared(graph, n)), ""):
            graph = _split(graph, name)
        return graph


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
    many = len(graph.sources(name)) > 1 or len(graph.targets(name)) > 1
    return many and isinstance(graph.nodes[name], LINEAR)


def _split(graph: Graph, name: str) -> Graph:
    node = graph.nodes[name]
    nodes: dict[str, Node] = {}
    copies: list[tuple[str, str, str]] = []
    for target in graph.targets(name):
        for index, source in enumerate(graph.sources(name)):
            copy = name if not copies else _free_name(name, graph.nodes, nodes)
            copies.append((source, copy, target))
            nodes[copy] = node if index == 0 else _without_bias(node)
    edges = [edge for edge in graph.edges if name not in edge]
    for source, copy, target in copies:
        edges += [(source, copy), (copy, target)]
    kept: dict[str, Node] = {}
    for key, value in graph.nodes.items():
        kept.update(nodes if key == name else {key: value})
    return graph.with_(nodes=kept, edges=tuple(edges))


def _free_name(name: str, *taken: Mapping[str, Node]) -> str:
    """The first of name@1, name@2, … that no node has: a node may be split more than once."""
    return next(
        copy
        for copy in (f"{name.split('@')[0]}@{index}" for index in itertools.count(1))
        if not any(copy in nodes for nodes in taken)
    )


def _without_bias(node: Node) -> Node:
    return replace(node, bias=None) if isinstance(node, Linear | Conv | Scale) else node
