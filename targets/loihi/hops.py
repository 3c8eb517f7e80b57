"""Weighted hops: the paths of stateless nodes between two populations of an integer graph."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.errors import RefusedError
from snnc.ir import Conv, Delay, Flatten, Graph, Input, IntNeuron, Linear, Node, Pool


@dataclass(frozen=True)
class Hop:
    """One path from a population to a neuron.

    Attributes:
        source, target: names of the populations.
        path: names of the nodes between them, in signal order.
        delay: sum of the Delay nodes on the path, in steps.
    """

    source: str
    target: str
    path: tuple[str, ...]
    delay: int

    @property
    def label(self) -> str:
        """The node that an error about this hop names."""
        return self.path[-1] if self.path else self.target


def find_hops(graph: Graph) -> list[Hop]:
    """All hops of an integer graph, by target in topological order.

    A node between populations that sums several inputs takes part in one hop for each: sums and
    delays commute with everything on a path save a right shift, which must come last.

    Raises:
        RefusedError: a node that has no place on the chip, or a right shift of a sum that comes
            from several populations or is weighted again.
    """
    hops: list[Hop] = []
    for target in graph.neurons:
        hops += _paths(graph, target, target, ())
    return hops


def _paths(graph: Graph, target: str, at: str, path: tuple[str, ...]) -> list[Hop]:
    hops: list[Hop] = []
    for source in graph.sources(at):
        node = graph.nodes[source]
        if isinstance(node, Input | IntNeuron):
            hops.append(_checked(graph, Hop(source, target, path, _delay(graph, path))))
            continue
        if not _has_place(node):
            raise RefusedError(
                source,
                f"a {type(node).__name__} node has no place on Loihi",
                "quantise the graph first; pools must sum, and scales be folded into weights",
            )
        if source in path:
            raise RefusedError(source, "a loop without a neuron", "put a neuron into the loop")
        hops += _paths(graph, target, source, (source, *path))
    return hops


def _has_place(node: Node) -> bool:
    if isinstance(node, Pool):
        return node.mode == "sum"
    if isinstance(node, Linear | Conv):
        return node.bias is None and node.weight.dtype.kind in "iu"
    return isinstance(node, Flatten | Delay)


def _delay(graph: Graph, path: tuple[str, ...]) -> int:
    nodes = (graph.nodes[name] for name in path)
    return sum(node.steps for node in nodes if isinstance(node, Delay))


def _checked(graph: Graph, hop: Hop) -> Hop:
    shifting = ""
    for index, name in enumerate(hop.path):
        node = graph.nodes[name]
        if shifting and not isinstance(node, Flatten | Delay):
            raise RefusedError(
                shifting,
                f"its sum is shifted right and then goes through {name}: that rounds in between,"
                " which one synapse can't",
                "put a neuron between them, or give the first an exponent of 0 or more",
            )
        if isinstance(node, Linear | Conv) and node.exp < 0:
            shifting = name
            if _summing(graph, hop.path[: index + 1]):
                raise RefusedError(
                    name,
                    "shifts the sum of several inputs right; on the chip each synapse is shifted"
                    " on its own",
                    "give it an exponent of 0 or more, or one input",
                )
    return hop


def _summing(graph: Graph, path: tuple[str, ...]) -> bool:
    return any(len(graph.sources(name)) > 1 for name in path)


__all__ = ["Hop", "find_hops"]
