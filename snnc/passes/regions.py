"""Cuts a float graph into what runs on the host before the cores, on the cores, and after them.

A region is a graph of its own. What crosses from one into the next is an Output of the first and an
Input of the second, both under the name of the node that makes the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from snnc.errors import OptionError, RefusedError
from snnc.ir import (
    Graph,
    Input,
    Kind,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Rate,
    Signal,
    closure,
)

LEAVING = ".out"
"""What the Output of a crossing adds to the name of the node that it reads."""


Why = tuple[str, str]
"""Why no core computes a node, and what to train instead where it stands between spiking layers."""

MAXIMA: Why = (
    "no sum of synapses is the maximum of currents, and it is not the OR of the spikes behind it"
    " (the two differed in 12.9 % of outputs)",
    "pool the neuron's spikes instead, or train with average pooling or a strided convolution",
)
PRODUCTS: Why = (
    "no core multiplies real values",
    "multiply spikes by spikes or by constants: put a spiking neuron before both operands",
)
FUNCTIONS = "let a spiking neuron take its place"
NORMALISED: dict[str, Why] = {
    "layer": (
        "it normalises by the values of each sample",
        "train with batch norm, which folds into weights",
    ),
    "l2": (
        "it divides by a length that differs from sample to sample",
        "normalise behind the last spiking layer only, or train with batch norm",
    ),
    "softmax": (
        "no core computes exponentials or divides",
        "use the products of spiking attention without softmax, or softmax at the end only",
    ),
    "log_softmax": ("no core computes exponentials or logarithms", "use it at the end only"),
}


@dataclass(frozen=True)
class Regions:
    """A network cut in up to three.

    Attributes:
        core: what is compiled.
        stem: runs on the host before it, None if the core takes the samples themselves.
        head: runs on the host behind it, None if the core's outputs are the network's.
        why: by node that is on the host for a reason of its own, that reason.
    """

    core: Graph
    stem: Graph | None = None
    head: Graph | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def entering(self) -> dict[str, Signal]:
        """What passes from the host into the cores, by node."""
        made = set() if self.stem is None else set(self.stem.nodes)
        return {name: self.core.signals[name] for name in self.core.inputs if name in made}

    @property
    def leaving(self) -> dict[str, Signal]:
        """What passes from the cores to the host, by node."""
        if self.head is None:
            return {}
        made = set(self.core.nodes) - set(self.entering)
        return {name: self.head.signals[name] for name in self.head.inputs if name in made}


def cut(
    graph: Graph, unsupported: Callable[[Node], str], graded: bool, host: Iterable[str] = ()
) -> Regions:
    """Cuts a graph where its first or last operations can't run on cores.

    Args:
        unsupported: why a node can't run on a core, '' if it can.
        graded: whether the cores take integers; else the host computes up to the first spikes.
        host: nodes that the user wants on the host; everything before them comes along, or,
            where that leaves more neurons to the cores, everything after them.

    Raises:
        RefusedError: a node between neurons that can't run on a core; nothing left for the cores.
        OptionError: a name in `host` that the graph doesn't have.
    """
    wanted = _known(graph, host)
    why = {
        name: reason
        for name, node in graph.nodes.items()
        if (reason := _host_only(graph, name)[0] or unsupported(node))
    }
    why |= {name: "asked for" for name in wanted if name not in why}
    if not why:
        return Regions(graph)
    stem, head = _sides(graph, why, wanted)
    if not graded:
        stem = _up_to_spikes(graph, stem, head)
    _check_core(graph, stem, head, why)
    return _regions(graph, stem, head, why)


def encoder_layers(graph: Graph) -> list[str]:
    """The first spiking neurons behind every real-valued input: what makes spikes of it."""
    real = {n for n in graph.inputs if graph.signals[n].kind is Kind.ANALOG}
    return [name for name in _up_to_spikes(graph, real, set()) if _spikes(graph, name)]


def _known(graph: Graph, host: Iterable[str]) -> list[str]:
    names = list(host)
    unknown = [name for name in names if name not in graph.nodes]
    if unknown:
        raise OptionError(
            "--host",
            f"no node {', '.join(map(repr, unknown))}",
            f"any of {', '.join(graph.nodes)}",
        )
    return names


def _host_only(graph: Graph, name: str) -> tuple[str, str]:
    """(why no core computes a node, what to train instead), '' where one does."""
    match node := graph.nodes[name]:
        case MaxPool():
            return MAXIMA
        case Normalise():
            return NORMALISED[node.kind]
        case Multiply():
            return PRODUCTS
        case MatMul() if any(graph.signals[s].kind is Kind.ANALOG for s in graph.sources(name)):
            return PRODUCTS
        case Map():
            return f"no core computes {node.function} of a real value", FUNCTIONS
        case _:
            return "", ""


def _sides(graph: Graph, why: Mapping[str, str], wanted: list[str]) -> tuple[set[str], set[str]]:
    """(nodes before, nodes behind the cores)."""
    neurons = set(graph.neurons)
    spiking = {name for name in neurons if _spikes(graph, name)}
    before: list[str] = []
    behind: list[str] = []
    between: list[str] = []
    for name in why:
        up = closure([name], graph.sources) & neurons - {name}
        down = closure([name], graph.targets) & neurons - {name}
        # A neuron that only adds up what a host computes can run there, too.
        if not down & spiking and (up or not down):
            behind.append(name)
        elif not up or (name in wanted and len(up) <= len(down)):
            before.append(name)
        elif name in wanted:
            behind.append(name)
        else:
            between.append(name)
    stem, head = closure(before, graph.sources), closure(behind, graph.targets)
    stuck = [name for name in between if name not in stem | head]
    if stuck:
        raise _between(graph, stuck, why)
    return stem, head - stem


def _between(graph: Graph, names: list[str], why: Mapping[str, str]) -> RefusedError:
    first, *others = names
    remedy = _host_only(graph, first)[1] or "use spiking layers in its place, or --target sim"
    also = f"; so are {', '.join(others)}" if others else ""
    return RefusedError(
        first,
        f"a {type(graph.nodes[first]).__name__} between spiking layers: {why[first]}{also}",
        f"{remedy}; or put everything before or behind on the host"
        f" ({' '.join(f'--host {name}' for name in names)})",
    )


def _spikes(graph: Graph, name: str) -> bool:
    return isinstance(graph.nodes[name], Neuron) and graph.signals[name].kind is Kind.SPIKE


def _up_to_spikes(graph: Graph, stem: set[str], head: set[str]) -> set[str]:
    """The stem grown until only spikes leave it."""
    stem = set(stem)
    while True:
        leaving = {
            target
            for name in stem
            if graph.signals[name].kind is not Kind.SPIKE
            for target in graph.targets(name)
        }
        new = leaving - stem - head
        if not new:
            return stem
        stem |= closure(new, graph.sources)


def _check_core(graph: Graph, stem: set[str], head: set[str], why: Mapping[str, str]) -> None:
    if set(graph.neurons) <= stem | head:
        raise RefusedError(
            ", ".join(why),
            "with these on the host no spiking layer is left for the cores",
            "use spiking layers after the first or before the last of them",
        )


def _regions(graph: Graph, stem: set[str], head: set[str], why: Mapping[str, str]) -> Regions:
    core = set(graph.nodes) - stem - head
    inputs = [name for name in graph.inputs if name in stem]
    # An input that nothing before the cores computes on is the cores' own.
    if stem <= set(inputs):
        core, stem = core | stem, set()
    into_core = _leaving(graph, stem, core)
    into_head = _leaving(graph, core | stem, head)
    behind = None if not head else _stepwise(_part(graph, head, into_head, {}), core)
    front = None
    if stem:
        kept = {name for name in (*into_core, *into_head) if name in stem}
        front = _part(graph, stem, [], _outputs(graph, kept, stem))
    body = _part(graph, core, into_core, _outputs(graph, {n for n in into_head if n in core}, core))
    return Regions(body, front, behind, dict(why))


def _stepwise(head: Graph, core: set[str]) -> Graph:
    """Cores send a value at every step, the same one where their samples have no steps, too."""
    changes: dict[str, Node] = {}
    for name in head.inputs:
        node = head.nodes[name]
        if name in core and isinstance(node, Input):
            changes[name] = replace(node, rate=Rate.STEP)
    return head.with_nodes(changes)


def _leaving(graph: Graph, region: set[str], into: set[str]) -> list[str]:
    return [n for n in graph.order if n in region and any(t in into for t in graph.targets(n))]


def _outputs(graph: Graph, crossing: set[str], region: set[str]) -> dict[str, tuple[str, Output]]:
    """Output nodes for what leaves a region, by their own name: (what they read, the node)."""
    return {
        f"{name}{LEAVING}": (name, Output()) for name in graph.order if name in crossing & region
    }


def _part(
    graph: Graph,
    region: set[str],
    entering: Iterable[str],
    leaving: Mapping[str, tuple[str, Output]],
) -> Graph:
    """One region as a graph: Inputs for what enters, Outputs for what leaves."""
    nodes: dict[str, Node] = {}
    for name in entering:
        signal = graph.signals[name]
        nodes[name] = Input(signal.shape, signal.kind, signal.rate)
    nodes |= {name: node for name, node in graph.nodes.items() if name in region}
    nodes |= {name: node for name, (_, node) in leaving.items()}
    edges = [
        (source, target)
        for source, target in graph.edges
        if target in region and (source in region or source in nodes)
    ]
    edges += [(source, name) for name, (source, _) in leaving.items()]
    return replace(graph, nodes=nodes, edges=tuple(edges), notes=()).check()
