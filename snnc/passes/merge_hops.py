"""Brings every path between two populations into the form that a chip can hold: one synapse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Kind,
    Linear,
    MatMul,
    Node,
    Place,
    Pool,
    Scale,
    Signal,
    Sparse,
    Sum,
    Weighted,
)
from snnc.passes.base import LINEAR, Pass, free_name
from snnc.passes.hop_matrix import Step, written_out
from snnc.passes.hop_rules import Gain, Shape, as_conv, compose_convs, composes, pair, per_channel
from snnc.reference.linear import apply

A = NDArray[Any]

Link = tuple[str, Node]
Hop = list[Link]

ARRANGING = (Flatten, Place, Gather, Sum, Delay)
"""What only moves values: all that may stand before a product."""


@dataclass(frozen=True)
class MergeHops(Pass):
    """[Delay] [sum Pool]… [Flatten] then exactly one weighted node, on every path to a neuron.

    Exact rules: an affine map folds into the weights before or after it, its offset into a bias
    (per value where zero padding makes the borders differ); an average is a sum with weights
    divided by the window; a pool after a convolution, and a pool with overlapping or padded
    windows, become part of the kernel; a part of a concatenation keeps its columns of the
    weights; upsampling and pixel shuffle before or after a convolution make it a transposed
    convolution. What is left is written out as a matrix of at most 2^24 synapses. Paths to a
    product hold no weights.
    """

    name: ClassVar[str] = "merge-hops"
    ensures: ClassVar[str] = "every path to a neuron holds one weighted node, at its end"

    def run(self, graph: Graph) -> Graph:
        signals = graph.signals
        for path, target in _paths(graph):
            if isinstance(graph.nodes[target], MatMul):
                _check_arranging(graph, path, target)
                continue
            graph = _rewrite(graph, path, target, signals)
        return graph


def _paths(graph: Graph) -> list[tuple[tuple[str, ...], str]]:
    """(linear nodes in signal order, target) of every path that ends in a population; a path
    without nodes starts with the name of its source instead."""
    found: list[tuple[tuple[str, ...], str]] = []
    for target in graph.order:
        if isinstance(graph.nodes[target], LINEAR):
            continue
        for last in graph.sources(target):
            if isinstance(graph.nodes[last], LINEAR):
                found.append((_upstream(graph, last), target))
            elif target not in graph.outputs and not isinstance(graph.nodes[target], MatMul):
                found.append(((last,), target))
    return found


def _upstream(graph: Graph, last: str) -> tuple[str, ...]:
    path = [last]
    while isinstance(graph.nodes[source := graph.sources(path[0])[0]], LINEAR):
        path.insert(0, source)
    return tuple(path)


def _check_arranging(graph: Graph, path: Sequence[str], target: str) -> None:
    for name in path:
        if isinstance(graph.nodes[name], LINEAR) and not isinstance(graph.nodes[name], ARRANGING):
            raise RefusedError(
                name,
                f"computes real values for the product {target}, which multiplies spikes or"
                " integers on a core",
                "put a spiking neuron between them, or move a constant factor behind the product",
            )


def _rewrite(
    graph: Graph, path: tuple[str, ...], target: str, signals: Mapping[str, Signal]
) -> Graph:
    direct = not isinstance(graph.nodes[path[0]], LINEAR)
    sources = list(path) if direct else graph.sources(path[0])
    names = () if direct else path
    links: Hop = [(name, graph.nodes[name]) for name in names]
    where = f"{'+'.join(sources)}→{target}"
    others = graph.nodes.keys() - set(names)
    merged = [
        (free_name(name, others), node) for name, node in merge(links, signals[sources[0]], where)
    ]
    chain = [name for name, _ in merged]
    nodes: dict[str, Node] = {}
    for key, value in graph.nodes.items():
        if key == (names[0] if names else target):
            nodes.update(merged)
        if key not in names:
            nodes[key] = value
    dropped = {*itertools.pairwise([*names, target])}
    dropped |= {(source, names[0] if names else target) for source in sources}
    new = [*((source, chain[0]) for source in sources), *itertools.pairwise([*chain, target])]
    edges: list[tuple[str, str]] = []
    for edge in graph.edges:
        if edge not in dropped:
            edges.append(edge)
        elif edge[0] == sources[0]:
            edges += new
    return graph.with_(nodes=nodes, edges=tuple(edges))


def merge(links: Hop, x: Signal, where: str) -> Hop:
    """The path `links` from a population of type `x` in normal form.

    Raises:
        RefusedError: no exact rule leads there.
    """
    delays = sum(node.steps for _, node in links if isinstance(node, Delay))
    if delays:
        links = _without_delays(links, where)
    offset, shape = _offset(links, x.shape), _shapes(links, x.shape)[-1]
    links = _simplified(_linear_part(links), x.shape)
    if not _normal(links):
        links = _as_one(links, x.shape, shape, where)
    if np.any(offset):
        name, last = links[-1]
        assert isinstance(last, Weighted)
        links[-1] = (name, replace(last, bias=_compact(last, offset)))
    delayed: Hop = [(f"{links[-1][0]}.delay", Delay(delays))] if delays else []
    return [*delayed, *links]


def _without_delays(links: Hop, where: str) -> Hop:
    late = False
    for name, node in links:
        late = late or isinstance(node, Delay)
        if not late and getattr(node, "bias", None) is not None:
            raise RefusedError(
                name,
                "its bias passes a delay, so that it starts late; a core adds it at every step",
                "put the delay before this layer, start its state from zeros, or drop the bias",
            )
    return [(name, node) for name, node in links if not isinstance(node, Delay)]


def _offset(links: Hop, shape: Shape) -> A:
    """What the path answers to silence: all biases, carried through what follows them."""
    if all(getattr(node, "bias", None) is None for _, node in links):
        return np.zeros(1)
    value: A = np.zeros((1, *shape))
    for name, node in links:
        value = apply(name, node, value)
    return value[0]


def _compact(node: Weighted, offset: A) -> A:
    """One bias per channel where that says it all and the node can hold it."""
    rows = None if isinstance(node, Sparse) else per_channel(offset)
    return offset if rows is None else rows


def _linear_part(links: Hop) -> Hop:
    """Without biases; averages as sums times 1 / window."""
    out: Hop = []
    for name, node in links:
        match node:
            case Sum():
                continue
            case Pool() if node.mode == "avg":
                out += [(name, replace(node, mode="sum")), (f"{name}.mean", Gain(1 / node.window))]
            case Linear() | Conv() | ConvTranspose() | Sparse() | Scale():
                out.append((name, _without_bias(node)))
            case _:
                out.append((name, node))
    return out


def _without_bias(node: Weighted | Scale) -> Node:
    rows = per_channel(node.weight) if isinstance(node, Scale) else None
    return replace(node, bias=None) if rows is None else Scale(rows)


def _shapes(links: Hop, shape: Shape) -> list[Shape]:
    """The shape before every link and behind the last one."""
    shapes = [shape]
    for name, node in links:
        same = isinstance(node, Gain | Scale | Sum)
        known = Signal(Kind.ANALOG, shapes[-1])
        shapes.append(shapes[-1] if same else node.infer(name, known).shape)
    return shapes


def _simplified(links: Hop, shape: Shape) -> Hop:
    """As few links as the rules lead to."""
    while True:
        shapes = _shapes(links, shape)
        for index, (first, second) in enumerate(itertools.pairwise(links)):
            found = pair(first[1], second[1], shapes[index], shapes[index + 1])
            if found is not None:
                links = [*links[:index], *_named(first[0], second, found, first[1]),
                         *links[index + 2 :]]  # fmt: skip
                break
        else:
            return links


def _named(first: str, second: Link, found: Sequence[Node], old: Node) -> Hop:
    """A merged node keeps the name of the weights that it holds; swapped nodes keep theirs."""
    if len(found) == 2 and isinstance(second[1], Weighted):
        return [(first, found[0]), (second[0], found[1])]
    if len(found) == 2:
        return [(second[0], found[0]), (first, found[1])]
    return [(first if isinstance(old, Weighted) else second[0], found[0])]


def _normal(links: Hop) -> bool:
    *front, (_, last) = links or [("", Flatten())]
    if not isinstance(last, Weighted):
        return False
    return all(isinstance(n, Flatten) or (isinstance(n, Pool) and _tiles(n)) for _, n in front)


def _tiles(node: Pool) -> bool:
    """Whether no input value meets two windows: then each weight is stored as it is."""
    apart = all(s >= k for s, k in zip(node.stride, node.kernel, strict=True))
    return apart and not any(node.padding) and node.mode == "sum"


def _as_one(links: Hop, shape: Shape, out: Shape, where: str) -> Hop:
    """What the rules left over, in one weighted node: a convolution if it can be."""
    name = next(
        (n for n, node in reversed(links) if not isinstance(node, Gain | Flatten)),
        where.replace("→", "."),
    )
    convolution = _convolution(links, shape)
    if convolution is not None:
        return [(name, convolution)]
    steps = [
        Step(label, node, before, after)
        for (label, node), (before, after) in zip(
            links, itertools.pairwise(_shapes(links, shape)), strict=True
        )
    ]
    matrix = written_out(steps, shape, out)
    if len(shape) > 1 and isinstance(matrix, Linear):
        return [(f"{name}.flat", Flatten()), (name, matrix)]
    return [(name, matrix)]


def _convolution(links: Hop, shape: Shape) -> Conv | None:
    """Pools, gains and convolutions as one convolution, where all padding can be in front."""
    axes = len(shape) - 1
    if axes not in (1, 2):
        return None
    one, zero = (1,) * axes, (0,) * axes
    total = Conv(np.ones((shape[0], 1, *one)), None, one, zero, one, shape[0])
    for (_, node), now in zip(links, _shapes(links, shape), strict=False):
        match node:
            case Gain():
                total = replace(total, weight=total.weight * node.factor)
            case Scale() if node.weight.ndim == 1:
                gain = node.weight.reshape(-1, *(1,) * (axes + 1))
                total = replace(total, weight=total.weight * gain)
            case Pool() | Conv() if composes(total, node.padding, shape, now):
                total = compose_convs(total, as_conv(node, len(total.weight)))
            case _:
                return None
    return total
