"""The graph: named nodes and directed edges; several edges into one node sum."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from snnc.errors import GraphError
from snnc.ir.ops import Delay, Input, IntNeuron, Neuron, Node, Output, Place, Sum
from snnc.ir.signals import Kind, Rate, Signal

Edge = tuple[str, str]

SIZE_MAX = 2**28
"""Most values that a signal may have: more is a mistake, or a file made to fill the memory."""


@dataclass(frozen=True, eq=False)
class Graph:
    """An immutable network in discrete time.

    Attributes:
        nodes: by name; an edge runs from a node's output to a node's summed input.
        edges: (source, destination) pairs.
        steps: number of steps T per sample, None where the input decides.
        dt: seconds per step, None where the model doesn't say.
        notes: what was assumed or changed on the way here, in words, for reports.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    steps: int | None = None
    dt: float | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @classmethod
    def chain(
        cls, nodes: Mapping[str, Node], steps: int | None = None, dt: float | None = None
    ) -> Graph:
        """A checked graph of nodes that follow each other in the order given."""
        return cls(nodes, tuple(pairwise(nodes)), steps, dt).check()

    def sources(self, name: str) -> list[str]:
        """Names of the nodes with an edge into `name`, in edge order."""
        return self._sources[name]

    def targets(self, name: str) -> list[str]:
        """Names of the nodes that `name` has an edge into, in edge order."""
        return self._targets[name]

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        return self._adjacent(1, 0)

    @cached_property
    def _targets(self) -> dict[str, list[str]]:
        return self._adjacent(0, 1)

    def _adjacent(self, key: int, value: int) -> dict[str, list[str]]:
        table: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            for end in edge:
                if end not in table:
                    raise GraphError(end, "an edge names a node that the graph does not have")
            table[edge[key]].append(edge[value])
        return table

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names so that every node comes after its sources, save that a Delay, whose output
        doesn't depend on this step's input, may come before its own. Of several
        such orders the one nearest to that of `nodes`: the order of the edges has no influence.

        Raises:
            GraphError: a cycle without a Delay.
        """
        waiting = {
            name: 0 if isinstance(node, Delay) else len(self._sources[name])
            for name, node in self.nodes.items()
        }
        names = list(self.nodes)
        place = {name: index for index, name in enumerate(names)}
        ready = [place[name] for name in names if waiting[name] == 0]
        done: list[str] = []
        while ready:
            name = names[heapq.heappop(ready)]
            done.append(name)
            for target in self._targets[name]:
                if isinstance(self.nodes[target], Delay):
                    continue
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, place[target])
        if len(done) < len(self.nodes):
            stuck = sorted(name for name in self.nodes if name not in set(done))
            raise GraphError(
                ", ".join(stuck), "a cycle without delay", "put a Delay of one step into the loop"
            )
        return tuple(done)

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Type of every node's output.

        Raises:
            GraphError: shapes that don't fit, a missing input, NaN or infinite parameters.
        """
        table: dict[str, Signal] = {}
        for name, node in self.nodes.items():
            _check_finite(name, node)
        waiting = list(self.order)
        while waiting:
            name = self._next_to_infer(waiting, table)
            waiting.remove(name)
            node = self.nodes[name]
            table[name] = node.infer(name, self._input_signal(name, node, table))
            _check_size(name, table[name])
        return self._settled(table)

    def _settled(self, table: dict[str, Signal]) -> dict[str, Signal]:
        """Types that agree along every edge: in a loop, the first one may come from only some of a
        node's sources, and kinds and rates then have to go round once more."""
        while True:
            before = dict(table)
            for name in self.order:
                node = self.nodes[name]
                table[name] = node.infer(name, self._input_signal(name, node, table))
            if table == before:
                return {name: table[name] for name in self.order}

    def _next_to_infer(self, waiting: Sequence[str], table: Mapping[str, Signal]) -> str:
        """The first node whose sources all have a type; where loops leave none, the first with a
        typed source, best one of which the others are Delays."""
        for name in waiting:
            if all(source in table for source in self._sources[name]):
                return name
        for name in waiting:
            known = [source for source in self._sources[name] if source in table]
            open_ends = [source for source in self._sources[name] if source not in table]
            if known and all(isinstance(self.nodes[source], Delay) for source in open_ends):
                return name
        half = (n for n in waiting if any(source in table for source in self._sources[n]))
        return next(half, waiting[0])

    def _input_signal(self, name: str, node: Node, table: Mapping[str, Signal]) -> Signal:
        sources = self._sources[name]
        if not node.has_input:
            if sources:
                raise GraphError(name, f"an {type(node).__name__} node can't have an input")
            return Signal(Kind.ANALOG, ())
        if not sources:
            raise GraphError(name, "has no input", "connect it or remove it")
        known = [s for s in sources if s in table]
        if not known:
            raise GraphError(name, "its shape depends on itself through a loop")
        first = table[known[0]]
        for other in known[1:]:
            if table[other].shape != first.shape:
                raise GraphError(
                    name,
                    f"inputs of different shapes: {known[0]} {first.shape},"
                    f" {other} {table[other].shape}",
                )
        apart = len(known) == len(sources) and self._side_by_side(sources, table)
        return _summed([table[s] for s in known], apart)

    def _side_by_side(self, sources: Sequence[str], table: Mapping[str, Signal]) -> bool:
        """Whether the sources are the parts of a concatenation, no two of which overlap."""
        ranges = []
        for name in sources:
            node = self.nodes[name]
            if not isinstance(node, Place) or not all(s in table for s in self._sources[name]):
                return False
            channels = table[self._sources[name][0]].shape[0]
            ranges.append((node.start, node.start + channels))
        return all(end <= start for (_, end), (start, _) in pairwise(sorted(ranges)))

    def input_signal(self, name: str) -> Signal:
        """Type of the summed input of `name`."""
        return self._input_signal(name, self.nodes[name], self.signals)

    def check(self) -> Graph:
        """Returns the graph after checking its structure, types and numbers.

        Raises:
            GraphError: what `order` and `signals` raise; no input or no output.
        """
        for kind, label in ((Input, "input"), (Output, "output")):
            if not any(isinstance(node, kind) for node in self.nodes.values()):
                raise GraphError("graph", f"has no {label} node")
        if len(set(self.edges)) < len(self.edges):
            raise GraphError("graph", "has the same edge twice", "scale the weights instead")
        if self.dt is not None and not 0 < self.dt < math.inf:
            raise GraphError("graph", f"dt = {self.dt} s", "dt is a positive number of seconds")
        if self.steps is not None and self.steps < 1:
            raise GraphError("graph", f"steps = {self.steps}", "a sample has at least one step")
        _ = self.signals
        for name in self.outputs:
            self._check_port(name)
        return self

    def _check_port(self, name: str) -> None:
        port = getattr(self.nodes[name], "port", "s")
        for source in self._sources[name]:
            if port != "s" and not isinstance(self.nodes[source], Neuron | IntNeuron):
                raise GraphError(
                    name, f"reads the state {port} of {source}, which is no neuron", "read port s"
                )

    @property
    def inputs(self) -> list[str]:
        """Names of the Input nodes."""
        return [name for name, node in self.nodes.items() if isinstance(node, Input)]

    @property
    def outputs(self) -> list[str]:
        """Names of the Output nodes."""
        return [name for name, node in self.nodes.items() if isinstance(node, Output)]

    @property
    def neurons(self) -> list[str]:
        """Names of the neuron nodes, in topological order: the layers that `verify` compares."""
        return [n for n in self.order if isinstance(self.nodes[n], Neuron | IntNeuron)]

    def with_(self, **changes: object) -> Graph:
        """A copy with fields replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_nodes(self, changes: Mapping[str, Node]) -> Graph:
        """A copy in which the named nodes are replaced (or added)."""
        return replace(self, nodes={**self.nodes, **changes})

    def without(self, name: str) -> Graph:
        """A copy in which `name` is removed and its sources feed its targets directly."""
        bypass = [(s, t) for s in self._sources[name] for t in self._targets[name]]
        kept: list[Edge] = []
        for edge in self.edges:
            if edge[0] == name:
                kept += [new for new in bypass if new[1] == edge[1]]
            elif edge[1] != name:
                kept.append(edge)
        nodes = {key: node for key, node in self.nodes.items() if key != name}
        return replace(self, nodes=nodes, edges=tuple(kept))

    def joined(self, names: Iterable[str]) -> Graph:
        """A copy in which edges stand for the named nodes, each of which passes on the sum of its
        inputs; a node stays, as a Sum, where that would take an edge twice."""
        graph = self
        for name in names:
            joined = graph.without(name)
            once = len(set(joined.edges)) == len(joined.edges)
            graph = joined if once else graph.with_nodes({name: Sum()})
        return graph

    def noting(self, *notes: str) -> Graph:
        """A copy with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def closure(names: Iterable[str], step: Callable[[str], Iterable[str]]) -> set[str]:
    """`names` and all that `step` (a graph's `sources` or `targets`) leads to from them."""
    found = set(names)
    waiting = list(found)
    while waiting:
        new = [name for name in step(waiting.pop()) if name not in found]
        found.update(new)
        waiting += new
    return found


def _summed(signals: Sequence[Signal], apart: bool) -> Signal:
    """Type of a sum; of parts side by side, in which nothing adds up, the widest of their kinds."""
    rate = Rate.SAMPLE if all(s.rate is Rate.SAMPLE for s in signals) else Rate.STEP
    if len(signals) == 1:
        return signals[0]
    kinds = {s.kind for s in signals}
    if Kind.ANALOG in kinds:
        return Signal(Kind.ANALOG, signals[0].shape, rate)
    spikes = apart and kinds == {Kind.SPIKE}
    return Signal(Kind.SPIKE if spikes else Kind.GRADED, signals[0].shape, rate)


def _check_size(name: str, signal: Signal) -> None:
    if signal.size > SIZE_MAX:
        raise GraphError(
            name,
            f"its output of shape {signal.shape} has more than {SIZE_MAX:,} values",
            "check its sizes, strides and padding",
        )


def _check_finite(name: str, node: Node) -> None:
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, np.ndarray) and value.size == 0:
            raise GraphError(name, f"{item.name} is empty, its shape is {value.shape}")
        if isinstance(value, float) and not math.isfinite(value):
            raise GraphError(name, f"{item.name} = {value}", "give a finite number")
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            bad = np.count_nonzero(~np.isfinite(value))
            if bad:
                raise GraphError(
                    name,
                    f"{item.name} holds {bad} values that are NaN or infinite",
                    "train or load the model again; such weights can't be deployed",
                )
