"""Brings every path between two populations into the form that a chip can hold: one synapse."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import Conv, Delay, Flatten, Graph, Linear, Node, Pool, Scale, Signal
from snnc.passes.base import LINEAR, Pass
from snnc.reference.linear import apply, tap

MATRIX_LIMIT = 1 << 24
"""Largest dense matrix (elements) that a chain of operations is written out as."""

Link = tuple[str, Node]
Hop = list[Link]


@dataclass(frozen=True)
class MergeHops(Pass):
    """[Delay] [sum Pool]… [Flatten] then exactly one Conv or Linear, on every path.

    Exact rules: an affine map per channel folds into the weights before it (batch norm after a
    convolution) or after it; an average is a sum with weights divided by the window; a pool
    after a convolution, and a pool with overlapping or padded windows, become part of the
    kernel; what is left is written out as a matrix where its output is a vector and it has at
    most 2^24 elements.
    """

    name: ClassVar[str] = "merge-hops"
    ensures: ClassVar[str] = "every path between populations holds one weighted node, at its end"

    def run(self, graph: Graph) -> Graph:
        for hop in _hops(graph):
            graph = _rewrite(graph, hop)
        return graph


def _hops(graph: Graph) -> list[tuple[str, list[str], str]]:
    """(source, names of the nodes between, target) of every path between populations."""
    found: list[tuple[str, list[str], str]] = []
    for source in graph.order:
        if isinstance(graph.nodes[source], LINEAR):
            continue
        for first in graph.targets(source):
            path, name = [], first
            while isinstance(graph.nodes[name], LINEAR):
                path.append(name)
                name = graph.targets(name)[0]
            if path or name not in graph.outputs:
                found.append((source, path, name))
    return found


def _rewrite(graph: Graph, hop: tuple[str, list[str], str]) -> Graph:
    source, path, target = hop
    links: Hop = [(name, graph.nodes[name]) for name in path]
    merged = merge(links, graph.signals[source], f"{source}→{target}")
    old = [source, *path, target]
    dropped = set(itertools.pairwise(old))
    chain = [source, *(name for name, _ in merged), target]
    nodes: dict[str, Node] = {}
    for key, value in graph.nodes.items():
        if key == (path[0] if path else target):
            nodes.update(merged)
        if key not in path:
            nodes[key] = value
    edges: list[tuple[str, str]] = []
    for edge in graph.edges:
        if edge not in dropped:
            edges.append(edge)
        elif edge[0] == source:
            edges += itertools.pairwise(chain)
    return graph.with_(nodes=nodes, edges=tuple(edges))


def merge(links: Hop, x: Signal, where: str) -> Hop:
    """The path `links` from a population of type `x` in normal form.

    Raises:
        RefusedError: no exact rule leads there.
    """
    delays = sum(node.steps for _, node in links if isinstance(node, Delay))
    if delays:
        links = _without_delays(links, x, where)
    links = _expand_pools(links)
    while True:
        index = next((i for i in range(len(links) - 1) if _pair(links[i], links[i + 1])), None)
        if index is None:
            break
        replacement = _pair(links[index], links[index + 1])
        assert replacement is not None
        links = [*links[:index], *replacement, *links[index + 2 :]]
    if not _normal(links):
        links = _matrix(links, x, where)
    delayed: Hop = [(f"{where}.delay".replace("→", "."), Delay(delays))] if delays else []
    return [*delayed, *links]


def _without_delays(links: Hop, x: Signal, where: str) -> Hop:
    late = False
    for name, node in links:
        late = late or isinstance(node, Delay)
        if not late and isinstance(node, Linear | Conv | Scale) and node.bias is not None:
            raise RefusedError(
                name,
                "its bias passes a delay, so that it starts late; a core adds it at every step",
                "put the delay before this layer",
            )
    return [(name, node) for name, node in links if not isinstance(node, Delay)]


def _normal(links: Hop) -> bool:
    *front, (_, last) = links or [("", Flatten())]
    if not isinstance(last, Linear | Conv):
        return False
    return all(isinstance(n, Flatten) or (isinstance(n, Pool) and _tiles(n)) for _, n in front)


def _tiles(node: Pool) -> bool:
    """Whether no input value meets two windows: then each weight is stored as it is."""
    apart = all(s >= k for s, k in zip(node.stride, node.kernel, strict=True))
    return apart and not any(node.padding) and node.mode == "sum"


def _expand_pools(links: Hop) -> Hop:
    """Averages as sums times 1 / window; the factor meets its weights by the pair rules."""
    out: Hop = []
    for name, node in links:
        out.append((name, node))
        if isinstance(node, Pool) and node.mode == "avg":
            out[-1] = (name, replace(node, mode="sum"))
            out.append((f"{name}.mean", _Gain(1 / node.window)))
    return out


@dataclass(frozen=True, eq=False)
class _Gain(Node):
    """y = factor·x: only lives between two rules."""

    factor: float


def _pair(first: Link, second: Link) -> Hop | None:
    """Two neighbouring links as one or two simpler ones, or None if no rule applies."""
    node = _merged(first[1], second[1])
    if node is not None:
        return [(first[0] if isinstance(first[1], Linear | Conv) else second[0], node)]
    moved = _moved_back(first[1], second[1])
    return None if moved is None else [second, (first[0], moved)]


def _merged(a: Node, b: Node) -> Node | None:
    """One node that does what `a` then `b` do."""
    match a, b:
        case _Gain(), _Gain():
            return _Gain(a.factor * b.factor)
        case _Gain(), Linear() | Conv() | Scale():
            return replace(b, weight=_real(b.weight) * a.factor)
        case Linear() | Conv(), _Gain():
            return _scaled(a, np.full(len(a.weight), b.factor), None)
        case Linear() | Conv(), Scale():
            return _scaled(a, _real(b.weight), b.bias)
        case Scale(), Linear() | Conv():
            return _folded_before(a, b)
        case Linear(), Linear():
            return _product(a, b)
        case Conv(), Pool() | Conv() if not any(b.padding):
            return compose_convs(a, _as_conv(b, len(a.weight)))
        case _:
            return None


def _moved_back(a: Node, b: Node) -> Node | None:
    """What `a` becomes when it moves behind `b`, towards the weights that it can merge with."""
    match a, b:
        case _Gain(), Flatten() | Pool():
            return a
        case Scale(), Pool() if not any(b.padding):
            return a if a.bias is None else replace(a, bias=_real(a.bias) * b.window)
        case _:
            return None


def _real(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float64)


def _scaled(node: Linear | Conv, gain: NDArray[Any], offset: NDArray[Any] | None) -> Linear | Conv:
    """gain·(W·x + b) + offset per output channel."""
    weight = _real(node.weight) * gain.reshape(-1, *(1,) * (node.weight.ndim - 1))
    bias = None if node.bias is None else _real(node.bias) * gain
    if offset is not None:
        bias = _real(offset) if bias is None else bias + offset
    return replace(node, weight=weight, bias=bias)


def _folded_before(scale: Scale, node: Linear | Conv) -> Linear | Conv | None:
    """W·(gain·x + offset) + b; None where zero padding would meet an offset or groups mix."""
    gain = _real(scale.weight)
    padded = isinstance(node, Conv) and any(node.padding)
    if isinstance(node, Conv) and node.groups > 1:
        return None
    if padded and scale.bias is not None and np.any(scale.bias):
        return None
    weight = _real(node.weight)
    shaped = gain.reshape(-1, *(1,) * (weight.ndim - 2))
    bias = node.bias
    if scale.bias is not None:
        taps = weight.reshape(*weight.shape[:2], -1).sum(-1)
        bias = taps @ _real(scale.bias) + (0 if bias is None else bias)
    return replace(node, weight=weight * shaped, bias=bias)


def _product(a: Linear, b: Linear) -> Linear:
    weight = _real(b.weight) @ _real(a.weight)
    bias = b.bias
    if a.bias is not None:
        bias = _real(b.weight) @ _real(a.bias) + (0 if bias is None else bias)
    return Linear(weight, bias)


def _as_conv(node: Node, channels: int) -> Conv:
    """A channel by channel operation as a depthwise convolution; a convolution as it is."""
    match node:
        case Conv():
            return node
        case Pool():
            kernel, stride, padding = node.kernel, node.stride, node.padding
            weight = np.ones((channels, 1, *kernel))
            return Conv(weight, None, stride, padding, (1,) * len(kernel), channels)
        case _:
            raise TypeError(type(node).__name__)


def _ungrouped(node: Conv) -> NDArray[Any]:
    """Weights of shape (out, in, *kernel), zero between groups."""
    if node.groups == 1:
        return _real(node.weight)
    out, per_group = node.weight.shape[:2]
    share = out // node.groups
    weight = np.zeros((out, per_group * node.groups, *node.kernel))
    for group in range(node.groups):
        rows = slice(group * share, (group + 1) * share)
        weight[rows, group * per_group : (group + 1) * per_group] = node.weight[rows]
    return weight


def compose_convs(a: Conv, b: Conv) -> Conv:
    """b(a(x)) as one convolution; exact because b has no padding, so it reads only what a wrote.

    Tap j of b meets tap k of a at offset s_a·d_b·j + d_a·k of the input; strides multiply.
    """
    depthwise = a.groups == b.groups == len(a.weight) == len(b.weight)
    first = _real(a.weight) if depthwise else _ungrouped(a)
    second = _real(b.weight) if depthwise else _ungrouped(b)
    extents = tuple(
        sa * db * (kb - 1) + da * (ka - 1) + 1
        for sa, db, kb, da, ka in zip(
            a.stride, b.dilation, b.kernel, a.dilation, a.kernel, strict=True
        )
    )
    weight = np.zeros((len(second), first.shape[1], *extents))
    for j in np.ndindex(*b.kernel):
        offset = tuple(s * d * i for s, d, i in zip(a.stride, b.dilation, j, strict=True))
        window = tuple(
            slice(o, o + d * (k - 1) + 1, d)
            for o, d, k in zip(offset, a.dilation, a.kernel, strict=True)
        )
        values = second[tap(j)]
        weight[tap(window)] += (
            np.einsum("oi,oi...->oi...", values, first)
            if depthwise
            else np.einsum("om,mc...->oc...", values, first)
        )
    bias = b.bias
    if a.bias is not None:
        taps = second.reshape(*second.shape[:2], -1).sum(-1)
        carried = taps[:, 0] * a.bias if depthwise else taps @ _real(a.bias)
        bias = carried + (0 if bias is None else bias)
    strides = tuple(x * y for x, y in zip(a.stride, b.stride, strict=True))
    one = (1,) * len(extents)
    return Conv(weight, bias, strides, a.padding, one, len(weight) if depthwise else 1)


def _matrix(links: Hop, x: Signal, where: str) -> Hop:
    """What the rules left over, in one weighted node: a convolution if it can be, else dense."""
    channelwise = (Pool, Scale, Conv, _Gain)
    if len(x.shape) > 1 and all(isinstance(node, channelwise) for _, node in links):
        return _convolution(links, x, where)
    if not links and x.size**2 <= MATRIX_LIMIT:
        return [(_link_name(where), Linear(np.eye(x.size)))]
    return _dense(links, x, where)


def _link_name(where: str) -> str:
    return where.replace("→", ".")


def _convolution(links: Hop, x: Signal, where: str) -> Hop:
    """Pools, gains and affine maps per channel as one convolution."""
    axes = len(x.shape) - 1
    one, zero = (1,) * axes, (0,) * axes
    channels = x.shape[0]
    total: Conv = Conv(np.ones((channels, 1, *one)), None, one, zero, one, channels)
    name, moved = _link_name(where), False
    for name, node in links:
        if isinstance(node, _Gain | Scale):
            merged = _merged(total, node)
            assert isinstance(merged, Conv)
            total = merged
            continue
        step = _as_conv(node, len(total.weight))
        if any(step.padding) and (moved or total.bias is not None):
            zeros = (
                "windows before it" if moved else "an offset before it, which zero padding lacks"
            )
            raise _unmergeable(name, where, f"the padding of {name} meets {zeros}")
        composed = compose_convs(total, replace(step, padding=zero))
        total = composed if moved else replace(composed, padding=step.padding)
        moved = True
    return [(name.removesuffix(".mean"), total)]


def _unmergeable(names: str, where: str, why: str) -> RefusedError:
    return RefusedError(
        names,
        f"the linear operations between {where} don't merge into one synapse exactly: {why}",
        "put a neuron between them, or drop the padding of the later one",
    )


def _dense(links: Hop, x: Signal, where: str) -> Hop:
    """The chain as one matrix, read off its answers to the unit vectors."""
    names = ", ".join(name for name, node in links if not isinstance(node, _Gain))

    def chain(values: NDArray[Any]) -> NDArray[Any]:
        for name, node in links:
            values = values * node.factor if isinstance(node, _Gain) else apply(name, node, values)
        return values

    offset = chain(np.zeros((1, *x.shape)))[0]
    if offset.ndim != 1 or x.size * offset.size > MATRIX_LIMIT:
        raise _unmergeable(
            names,
            where,
            f"from {x.shape} to {offset.shape}, where a matrix needs a vector as output and at most"
            f" {MATRIX_LIMIT} elements",
        )
    weight = chain(np.eye(x.size).reshape(-1, *x.shape)).T - offset[:, None]
    flat: Hop = [(f"{links[-1][0]}.flatten", Flatten())] if len(x.shape) > 1 else []
    name = next(n for n, node in reversed(links) if not isinstance(node, _Gain))
    return [*flat, (name, Linear(weight, offset if np.any(offset) else None))]
