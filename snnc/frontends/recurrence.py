"""Links that reach back in time: recurrent connections, delays, feedback between layers.

Where values of different steps meet, the earlier one goes through a `Delay`. What stands at the
first steps of such a place is another node: a module starts from zeros or leaves the link out. So
a place may change its node from one step to the next if the new one gives the same at the steps
before; `gives_the_same` decides that by writing both as sums of linear paths from populations at
known steps, plus a constant.

A Delay whose operand has biases says by its place when these start: at the first step, where the
module fed zeros to the layer (`rec(spikes)`), or with the link, where it left the layer out. The
comparison finds the place, too; `pulled_back` then puts the Delay there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.same_node import same_node
from snnc.frontends.values import Value
from snnc.ir import (
    Delay,
    Flatten,
    Gather,
    Input,
    MatMul,
    Neuron,
    Node,
    Place,
    Pool,
    Rate,
    Scale,
    Sum,
    Weighted,
)
from snnc.reference.linear import apply

if TYPE_CHECKING:
    from snnc.frontends.call import Call
    from snnc.frontends.tracer import Tracer

F64 = NDArray[np.float64]
Term = tuple[tuple[int, ...], Hashable]
"""Linear operations, first to last, and what they start from."""

LINEAR = Weighted | Scale | Pool | Flatten | Gather | Place
POPULATIONS = Input | Neuron | MatMul
CHOICES = 64
"""Most combinations of places that are tried."""
NESTED = 2
"""Delays that may follow each other without a neuron between them."""
SLACK = 1e-6
"""Rounding of constants in float32, as a share of the largest one."""


@dataclass(frozen=True)
class Link:
    """A Delay of the trace.

    Attributes:
        source: node that it delays.
        steps: by how many steps.
        layers: how many of the layers that lead to `source` stand behind the Delay in the end, None
            as long as that is open. Sums don't count.
    """

    source: str
    steps: int
    layers: int | None = None


def delayed(call: Call, value: Value, start: int) -> Value:
    """`value` as it arrives at the steps from `start` on, later than its own.

    Raises:
        TraceError: it carries something from step to step without a neuron.
    """
    tracer, steps = call.tracer, start - value.start
    if _depth(tracer, value.node) >= NESTED:
        raise call.fail(
            f"carries {value.node} on from step to step, which no neuron keeps",
            "keep it in a neuron: a synaptic current, or a membrane without reset",
        )
    name = _behind(tracer, value.node, steps)
    return replace(value, node=name, start=start, stop=start + value.count)


def _behind(tracer: Tracer, name: str, steps: int) -> str:
    """A node that gives what `name` gave `steps` before: one Delay for each part of a sum, and none
    for what is the same at every step."""
    if tracer.signals[name].rate is Rate.SAMPLE:
        return name
    if (name, steps) not in tracer.late:
        node = tracer.nodes[name]
        if not isinstance(node, POPULATIONS) and (
            isinstance(node, Sum) or _on_static(tracer, name)
        ):
            parts = [_behind(tracer, source, steps) for source in tracer.sources[name]]
            made = tracer.add(tracer.wanted[name], node, *parts)
            if name in tracer.binary:
                tracer.binary.add(made)
        else:
            made = tracer.add(f"{name}.delay", Delay(steps), name)
            tracer.links[made] = Link(name, steps)
        tracer.late[name, steps] = made
    return tracer.late[name, steps]


def _depth(tracer: Tracer, name: str) -> int:
    """Most Delays on a path from a population to a node."""
    return _longest(tracer, name, lambda n: n in tracer.links, {})


def _height(tracer: Tracer, name: str) -> int:
    """Most layers on a path from a population to a node."""
    return _longest(tracer, name, lambda n: not isinstance(tracer.nodes[n], Sum), {})


def _longest(
    tracer: Tracer, name: str, counts: Callable[[str], bool], known: dict[str, int]
) -> int:
    if isinstance(tracer.nodes[name], POPULATIONS):
        return 0
    if name not in known:
        before = (_longest(tracer, source, counts, known) for source in tracer.sources[name])
        known[name] = max(before) + counts(name)
    return known[name]


def gives_the_same(tracer: Tracer, new: str, old: str, steps: Iterable[int]) -> bool:
    """Whether a node that depends on Delays gives what another one gives, at these steps.

    The first places of the open Delays that make it true become theirs.
    """
    if new == old:
        return True
    links = tracer.links
    if not _before(tracer, new) & links.keys() or (new, old) in tracer.different:
        return False
    steps = list(steps)
    found = (_before(tracer, new) | _before(tracer, old)) & links.keys()
    undecided = sorted(name for name in found if links[name].layers is None)
    for places in _choices([_height(tracer, links[name].source) for name in undecided]):
        tried = dict(zip(undecided, places, strict=True))
        forms = _Forms(tracer, tried)
        if all(forms.of(new, t).equals(forms.of(old, t)) for t in steps):
            for name, layers in tried.items():
                links[name] = replace(links[name], layers=layers)
            return True
    tracer.different.add((new, old))
    return False


def _choices(heights: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Numbers of layers behind each Delay, the usual ones first: all, none, any."""
    yield tuple(heights)
    if any(heights):
        yield (0,) * len(heights)
        places = [range(height, -1, -1) for height in heights]
        yield from itertools.islice(itertools.product(*places), 1, CHOICES)


def _before(tracer: Tracer, name: str) -> set[str]:
    """A node and what leads to it from the populations, these included."""
    found, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name not in found and not isinstance(tracer.nodes[name], POPULATIONS):
            waiting += tracer.sources[name]
        found.add(name)
    return found


def unified(tracer: Tracer, values: Sequence[Value]) -> list[Value]:
    """Values of following steps under the node of the last one, if that gives all of them."""
    last = values[-1].node
    for value in values:
        known = value.node == last or (value.port == "s" and value.time != "static")
        steps = range(value.start, value.stop)
        if not known or not gives_the_same(tracer, last, value.node, steps):
            return list(values)
    return [replace(value, node=last) for value in values]


@dataclass
class _Form:
    """A node's output at one step: Σ count·term + constant."""

    terms: Counter[Term]
    constant: F64

    def equals(self, other: _Form) -> bool:
        """Up to rounding of the constants."""
        if self.terms != other.terms or self.constant.shape != other.constant.shape:
            return False
        scale = max(float(np.abs(x).max(initial=0)) for x in (self.constant, other.constant))
        return bool(np.all(np.abs(self.constant - other.constant) <= SLACK * scale))


class _Forms:
    """The forms of nodes, with places that are tried for the Delays that are open."""

    def __init__(self, tracer: Tracer, tried: Mapping[str, int]) -> None:
        self.tracer, self.tried = tracer, tried
        self.known: dict[tuple[str, int, int], _Form] = {}
        self.operations: list[Node] = []
        self.functions: list[tuple[int, _Form]] = []

    def of(self, name: str, t: int, layers: int = 0) -> _Form:
        """The form of a node at step t; before step 0, populations give 0, and so does what lies
        more than `layers` layers back."""
        key = (name, t, layers if t < 0 else 0)
        if key not in self.known:
            self.known[key] = self._made(*key)
        return self.known[key]

    def _made(self, name: str, t: int, layers: int) -> _Form:
        tracer = self.tracer
        node, signal = tracer.nodes[name], tracer.signals[name]
        static = signal.rate is Rate.SAMPLE
        empty = _Form(Counter(), np.zeros(signal.shape))
        if t < 0 and _starts(tracer, name, layers):
            return empty
        if name in tracer.links:
            link = tracer.links[name]
            own = self.tried[name] if link.layers is None else link.layers
            return self.of(link.source, t - link.steps, own)
        if self._is_opaque(name, node):
            origin = (name, None if static else t)
            return _Form(Counter({((), origin): 1}), empty.constant)
        layers = _left(tracer, name, layers)
        parts = [self.of(source, t, layers) for source in tracer.sources[name]]
        terms: Counter[Term] = sum((part.terms for part in parts), Counter())
        constant = np.asarray(sum(part.constant for part in parts), np.float64)
        return self._through(name, node, _Form(terms, constant))

    def _is_opaque(self, name: str, node: Node) -> bool:
        """Whether a node starts paths: not so a neuron without memory, like that of max-pool."""
        if not isinstance(node, Neuron):
            return isinstance(node, Input)
        return name not in self.tracer.gates or bool(np.any(node.a_v) or np.any(node.a_u))

    def _through(self, name: str, node: Node, x: _Form) -> _Form:
        if isinstance(node, Sum):
            return x
        if isinstance(node, Neuron) or (x.terms and not isinstance(node, LINEAR)):
            shape = self.tracer.signals[name].shape
            return _Form(Counter({((), self._function(node, x)): 1}), np.zeros(shape))
        constant = np.asarray(apply(name, node, x.constant[None])[0], np.float64)
        if isinstance(node, Scale) and bool(np.all(node.weight == 1)):
            return _Form(x.terms, constant)
        if not x.terms:
            return _Form(Counter(), constant)
        operation = self._operation(_without_bias(node))
        terms = {((*chain, operation), origin): n for (chain, origin), n in x.terms.items()}
        return _Form(Counter(terms), constant)

    def _operation(self, node: Node) -> int:
        """A number for an operation, the same for equal ones."""
        for number, other in enumerate(self.operations):
            if same_node(node, other):
                return number
        self.operations.append(node)
        return len(self.operations) - 1

    def _function(self, node: Node, x: _Form) -> tuple[str, int]:
        """An origin for a function that is not linear, of its argument's form."""
        operation = self._operation(node)
        for number, (other, form) in enumerate(self.functions):
            if operation == other and form.equals(x):
                return ("function", number)
        self.functions.append((operation, x))
        return ("function", len(self.functions) - 1)


def _without_bias(node: Node) -> Node:
    if getattr(node, "bias", None) is None:
        return node
    return replace(node, bias=None)  # type: ignore[call-arg]


def _on_static(tracer: Tracer, name: str) -> bool:
    """Whether a node depends on values that are the same at every step."""
    return any(tracer.signals[n].rate is Rate.SAMPLE for n in _before(tracer, name))


def _starts(tracer: Tracer, name: str, layers: int) -> bool:
    """Whether a Delay stands right behind this node if `layers` more may stand behind it."""
    return layers == 0 or isinstance(tracer.nodes[name], POPULATIONS)


def _left(tracer: Tracer, name: str, layers: int) -> int:
    """How many layers may still stand behind the Delay after this one does."""
    return layers if isinstance(tracer.nodes[name], Sum) else layers - 1


def pulled_back(tracer: Tracer) -> None:
    """Puts every Delay of the trace to its place: behind populations, or behind the layers whose
    biases start with the link."""
    placed = _Placed(tracer)
    moved = {
        name: placed.after(link.source, link.steps, link.layers or 0)
        for name, link in tracer.links.items()
    }
    own = set(placed.made)
    edges: dict[tuple[str, str], None] = {}
    for source, target in list(tracer.edges):
        edge = (source if target in own else moved.get(source, source), target)
        if edge in edges:
            edge = (tracer.add(f"{edge[0]}.again", Sum(), edge[0]), target)
            edges[source, edge[0]] = None
        edges[edge] = None
    tracer.edges = list(edges)


class _Placed:
    """The delayed copies of nodes, each made once."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.known: dict[tuple[str, int, int], str] = {}
        self.made: list[str] = []
        self.delays = {(link.source, link.steps): name for name, link in tracer.links.items()}

    def after(self, name: str, steps: int, layers: int) -> str:
        """A node that gives what `name` gave `steps` before."""
        key = (name, steps, layers)
        if key not in self.known:
            self.known[key] = self._made(*key)
        return self.known[key]

    def _made(self, name: str, steps: int, layers: int) -> str:
        tracer = self.tracer
        if _starts(tracer, name, layers):
            return self._delay(name, steps)
        if name in tracer.links:
            link = tracer.links[name]
            return self.after(link.source, steps + link.steps, link.layers or 0)
        layers = _left(tracer, name, layers)
        sources = [self.after(source, steps, layers) for source in tracer.sources[name]]
        return self._add(tracer.wanted[name], tracer.nodes[name], *sources)

    def _delay(self, name: str, steps: int) -> str:
        if (name, steps) not in self.delays:
            self.delays[name, steps] = self._add(f"{name}.delay", Delay(steps), name)
        return self.delays[name, steps]

    def _add(self, wanted: str, node: Node, *sources: str) -> str:
        name = self.tracer.add(wanted, node, *sources)
        self.made.append(name)
        return name
