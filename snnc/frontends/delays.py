"""Delays that differ from value to value (NIR, lava-dl): one group of values per delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, ModelFileError
from snnc.ir import Delay, Gather, Graph, Node, Signal, Sum

STEPS_MAX = 2**31 - 1
_ENTRIES_MAX = 1 << 24
"""Most entries in the index maps of the groups of one node."""


@dataclass(frozen=True, eq=False)
class Delays(Node):
    """y[t, i] = x[t − steps[i], i], zero before that: a node as in the file."""

    steps: NDArray[np.int64]

    def infer(self, name: str, x: Signal) -> Signal:
        if self.steps.size > 1 and self.steps.shape != x.shape:
            raise GraphError(
                name,
                f"has delays of shape {self.steps.shape}, its input has shape {x.shape}",
                "give one delay for every value of the input",
            )
        return Signal(x.kind, x.shape)


def whole_steps(delay: NDArray[np.float64], dt: float, where: str) -> NDArray[np.int64]:
    """Delays in steps of `dt` seconds.

    Raises:
        GraphError: a delay is no whole number of steps, negative, or too long.
    """
    with np.errstate(over="ignore"):
        steps = delay / dt
    whole = np.rint(steps)
    seconds = f"delays of {delay.min():g} to {delay.max():g} s are"
    if whole.max() > STEPS_MAX:
        raise GraphError(where, f"{seconds} more than {STEPS_MAX} steps of {dt:g} s", "check --dt")
    if np.any(np.abs(steps - whole) > 1e-6 * np.maximum(1, whole)) or whole.min() < 0:
        raise GraphError(
            where,
            f"{seconds} {steps.min():g} to {steps.max():g} steps of {dt:g} s, no whole number",
            "choose --dt so that they are whole",
        )
    return whole.astype(np.int64)


def delays_apart(graph: Graph) -> Graph:
    """The graph with every `Delays` as a Delay, as nothing where it is 0, or as the sum of one
    Delay for each of its delays, before which a Gather leaves its values and 0 for the others.

    Raises:
        GraphError: delays that don't fit the input, or too many different ones.
        ModelFileError: the name of a new node is taken.
    """
    late = {name: node for name, node in graph.nodes.items() if isinstance(node, Delays)}
    if not late:
        return graph
    typed = graph.with_nodes({name: Delay(1) for name in late})
    for name, node in late.items():
        node.infer(name, typed.input_signal(name))
        graph = _apart(graph, name, node.steps)
    return graph


def _apart(graph: Graph, name: str, steps: NDArray[np.int64]) -> Graph:
    distinct = np.unique(steps).tolist()
    if distinct == [0]:
        return graph.joined([name])
    if len(distinct) == 1:
        return graph.with_nodes({name: Delay(distinct[0])})
    if len(distinct) * steps.size > _ENTRIES_MAX:
        raise GraphError(
            name,
            f"has {len(distinct):,} different delays for {steps.size:,} values; their groups hold"
            f" {len(distinct) * steps.size:,} entries, the limit is {_ENTRIES_MAX:,}",
            "round the delays to fewer different values",
        )
    places = np.arange(steps.size).reshape(steps.shape)
    nodes: dict[str, Node] = {name: Sum()}
    edges = [edge for edge in graph.edges if edge[1] != name]
    for delay in distinct:
        group = [f"{name}.group{delay}", *([f"{name}.delay{delay}"] if delay else [])]
        parts = (Gather(np.where(steps == delay, places, -1)), Delay(delay))
        nodes |= dict(zip(group, parts, strict=False))
        edges += [(source, group[0]) for source in graph.sources(name)]
        edges += zip(group, [*group[1:], name], strict=True)
    taken = sorted((nodes.keys() - {name}) & graph.nodes.keys())
    if taken:
        raise ModelFileError(taken[0], f"is also the name of a part of the Delay {name}", "rename")
    return graph.with_nodes(nodes).with_(edges=tuple(edges))


__all__ = ["Delays", "delays_apart", "whole_steps"]
