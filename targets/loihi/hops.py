"""Weighted hops: the paths of stateless nodes between two populations of an integer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnc.errors import RefusedError
from snnc.ir import (
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    MatMul,
    Node,
    Place,
    Pool,
    Sum,
    Weighted,
)

Path = tuple[str, ...]
Arranging = Flatten | Place | Gather | Sum | Delay
"""Nodes that move values about without computing: they commute with a right shift."""


@dataclass(frozen=True)
class Hop:
    """What one synapse does: a path from a population to a neuron, or several that are summed.

    Attributes:
        source, target: names of the populations.
        paths: names of the nodes between them, in signal order. There are several only where
            their sum is shifted right together; from the shifting node on they are the same.
        delay: sum of the Delay nodes on a path, in steps.
        label: the node that an error about this hop names.
    """

    source: str
    target: str
    paths: tuple[Path, ...]
    delay: int
    label: str


def find_hops(graph: Graph) -> list[Hop]:
    """All hops of an integer graph, by target in topological order.

    A node between populations that sums several inputs takes part in one hop for each: sums and
    delays commute with everything on a path save a right shift. Such a shift may be followed only
    by nodes that arrange values, and what it shifts must come from one population at one delay.

    Raises:
        RefusedError: a node that has no place on the chip, or a right shift of a sum that comes
            from several populations or is weighted again.
    """
    found: list[Hop] = []
    for target in graph.neurons:
        for source, path in _paths(graph, target, target, ()):
            weighted = [name for name in path if isinstance(graph.nodes[name], Weighted)]
            label = weighted[-1] if weighted else path[-1] if path else target
            found.append(Hop(source, target, (path,), _delay(graph, path), label))
    shifting = {name for name, node in graph.nodes.items() if shifts_right(node)}
    for hop in found:
        _check_after_shift(graph, hop.paths[0], shifting)
    _check_sums(graph, found, shifting)
    return _merged(found, shifting)


def _paths(graph: Graph, target: str, at: str, path: Path) -> list[tuple[str, Path]]:
    paths: list[tuple[str, Path]] = []
    for source in graph.sources(at):
        node = graph.nodes[source]
        if isinstance(node, Input | IntNeuron):
            paths.append((source, path))
            continue
        _check_place(graph, source, node)
        if source in path:
            raise RefusedError(
                source,
                "is in a loop without a neuron, and a core keeps values from step to step in"
                " neurons only",
                "put a neuron into the loop",
            )
        paths += _paths(graph, target, source, (source, *path))
    return paths


def _check_place(graph: Graph, name: str, node: Node) -> None:
    if isinstance(node, MatMul):
        raise RefusedError(
            name, product_reason(node), "run it on --target sim, or keep that block on the host"
        )
    if isinstance(node, Pool) and node.mode == "sum":
        return
    if isinstance(node, Weighted) and node.bias is None and node.weight.dtype.kind in "iu":
        return
    if isinstance(node, Arranging):
        return
    raise RefusedError(
        name,
        f"a {type(node).__name__} node has no place on Loihi",
        "quantise the graph first; pools must sum, and scales and biases be folded into weights"
        " and neurons",
    )


def product_reason(node: MatMul) -> str:
    """Why a core can't compute a product of two signals."""
    return (
        f"multiplies two signals, {node.heads} times {node.rows}×{node.inner} by"
        f" {node.inner}×{node.columns}: a core only adds, and a grid of AND neurons would"
        f" need {node.heads * node.rows * node.inner * node.columns:,} of them"
    )


def shifts_right(node: Node) -> bool:
    """Whether a node floors: weights that its exponent divides only lose zeros."""
    if not isinstance(node, Weighted) or node.exp >= 0:
        return False
    return bool((node.weight & ((1 << min(-node.exp, 62)) - 1)).any())


def _delay(graph: Graph, path: Sequence[str]) -> int:
    nodes = (graph.nodes[name] for name in path)
    return sum(node.steps for node in nodes if isinstance(node, Delay))


def _check_after_shift(graph: Graph, path: Path, shifting: set[str]) -> None:
    first = next((index for index, name in enumerate(path) if name in shifting), len(path))
    for name in path[first + 1 :]:
        if not isinstance(graph.nodes[name], Arranging):
            raise RefusedError(
                path[first],
                f"its sum is shifted right and then goes through {name}: that rounds in between,"
                " which one synapse can't",
                "put a neuron between them, or give the first an exponent of 0 or more",
            )


def _check_sums(graph: Graph, hops: Sequence[Hop], shifting: set[str]) -> None:
    feeders: dict[str, set[tuple[str, int]]] = {}
    for hop in hops:
        for path in hop.paths:
            for index, name in enumerate(path):
                if name in shifting:
                    before = _delay(graph, path[:index])
                    feeders.setdefault(name, set()).add((hop.source, before))
    for name, sources in feeders.items():
        if len(sources) > 1:
            raise RefusedError(
                name,
                "shifts the sum of several inputs right ("
                + ", ".join(f"{source} {steps} steps late" for source, steps in sorted(sources))
                + "); on the chip each synapse is shifted on its own",
                "give it an exponent of 0 or more, or one input",
            )


def _merged(hops: Sequence[Hop], shifting: set[str]) -> list[Hop]:
    """Joins the paths whose sum one node shifts right."""
    groups: dict[tuple[object, ...], list[Hop]] = {}
    for index, hop in enumerate(hops):
        (path,) = hop.paths
        tail = next((path[i:] for i, name in enumerate(path) if name in shifting), index)
        groups.setdefault((hop.source, hop.target, tail), []).append(hop)
    return [
        Hop(first.source, first.target, tuple(h.paths[0] for h in group), first.delay, first.label)
        for group in groups.values()
        for first in group[:1]
    ]


__all__ = ["Arranging", "Hop", "find_hops", "product_reason", "shifts_right"]
