"""The end of a trace: what the module returned, and the spikes that belong to its graph."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import TraceError
from snnc.frontends.arrange import settled
from snnc.frontends.call import Call
from snnc.frontends.neurons import to_numpy
from snnc.frontends.recurrence import unified
from snnc.frontends.values import Value, joined
from snnc.ir import Graph, Kind, Node, Output, Scale, closure
from snnc.ir.ops import Reduce
from snnc.reference.float64 import run_float

if TYPE_CHECKING:
    from snnc.frontends.tracer import Tracer


def add_output(
    tracer: Tracer, label: str, tensors: Sequence[Tensor], steps: int
) -> tuple[str, NDArray[Any]]:
    """An Output node for what the module returned in each of its calls, and its values.

    Raises:
        TraceError: it is no value of the network over all steps, its last step, sum or mean.
    """
    wanted = f"output_{label}" if label[:1].isdigit() else label or "output"
    values = [tracer.values[id(x)][1] for x in tensors if tracer.is_tracked(x)]
    if len(values) < len(tensors):
        raise TraceError(
            wanted, "is returned but doesn't depend on the input", "return network values only"
        )
    broken = next((v.broken for v in values if v.broken), "")
    if broken:
        raise TraceError(wanted, broken, "return values of the network only")
    if steps > 1:
        call = Call(tracer, wanted, add_output, (), {})
        values = [settled(call, x, value) for x, value in zip(tensors, values, strict=True)]
    value, tensor = values[0], tensors[0]
    if len(values) > 1:
        whole = joined(unified(tracer, values))
        if whole is None or whole.has_time_axis:
            raise TraceError(wanted, "is not one step of one layer", "return one step per call")
        value, tensor = whole.with_axis(0, "T"), torch.stack(list(tensors))
    source = _divided(tracer, wanted, value, steps)
    reduce = _reduction(wanted, source, steps)
    name = tracer.add(wanted, Output(source.port, reduce), source.node)
    return name, _sample_first(tensor, value)


def _divided(tracer: Tracer, name: str, value: Value, steps: int) -> Value:
    """A sum over the steps divided by something else than their number, as a factor."""
    if value.time != "total" or value.divisor in (1, steps) or value.port != "s":
        return value
    weight = np.full(tracer.signals[value.node].shape[:1], 1 / value.divisor)
    node = tracer.add(f"{name}.scale", Scale(weight), value.node)
    return replace(value, node=node, divisor=1.0)


def _reduction(name: str, value: Value, steps: int) -> Reduce:
    cause = ""
    if any(axis in ("TB", "BT") for axis in value.axes):
        cause = "merges time and batch"
    elif value.time == "static":
        return "none" if "T" in value.axes else "last"
    elif value.time == "total" and (value.start, value.stop) == (0, steps):
        if value.divisor in (1, steps):
            return "sum" if value.divisor == 1 else "mean"
        cause = f"is a sum over {steps} steps divided by {value.divisor:g}"
    elif value.has_time_axis and (value.start, value.stop) == (0, steps):
        return "none"
    elif value.time == "steps" and not value.has_time_axis and value.stop == steps:
        return "last"
    raise TraceError(
        name,
        cause or f"holds the steps {value.start}..{value.stop - 1} of {steps}",
        "return all steps, the last one, or their sum or mean",
    )


def with_gates(
    graph: Graph,
    inputs: Mapping[str, NDArray[Any]],
    spikes: Mapping[str, NDArray[Any]],
    gates: Mapping[str, Mapping[int | None, Tensor]],
    steps: int,
) -> dict[str, NDArray[Any]]:
    """The spikes of all neurons, those of functions like max-pool among them.

    Steps of these that the module did not ask for are the graph's own.
    """
    spiking = [name for name in graph.neurons if graph.signals[name].kind is Kind.SPIKE]
    found = {name: spikes[name] for name in spiking if name in spikes}
    partly = []
    for name in spiking:
        if name in found:
            continue
        known = gates[name]
        rows = [known.get(t, known.get(None)) for t in range(steps)]
        if all(row is not None for row in rows):
            found[name] = to_numpy(torch.stack([row for row in rows if row is not None], 1))
        else:
            partly.append(name)
    if not partly:
        return found
    own = run_float(graph, inputs, dict.fromkeys(partly, ("s",)), found)
    for name in partly:
        array = own.records[name, "s"].astype(np.uint8)
        for t, row in gates[name].items():
            array[:, slice(None) if t is None else t] = to_numpy(row)
        found[name] = array
    return {name: found[name] for name in spiking}


def _sample_first(tensor: Tensor, value: Value) -> NDArray[Any]:
    """(sample, step, …) or (sample, …)."""
    order = [value.axes.index("B"), *(i for i, a in enumerate(value.axes) if a == "T")]
    order += [i for i, a in enumerate(value.axes) if a == "F"]
    return to_numpy(tensor.permute(order)).copy()


def pruned(graph: Graph, inputs: set[str]) -> Graph:
    """The graph without nodes that lead to no output."""
    alive = closure(graph.outputs, graph.sources) | inputs
    nodes = {name: node for name, node in graph.nodes.items() if name in alive}
    return replace(graph, nodes=nodes, edges=tuple(e for e in graph.edges if set(e) <= alive))


def free_name(wanted: str, taken: Container[str]) -> str:
    """`wanted`, or the first of wanted_1, wanted_2, … that is not taken."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def natural_names(graph: Graph, wanted: Mapping[str, str]) -> dict[str, str]:
    """New names by old ones: the wanted one, with a number where several nodes want it."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for name in graph.nodes:
        names[name] = free_name(wanted[name], taken)
        taken.add(names[name])
    return names


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph under other names."""
    nodes = {names[name]: node for name, node in graph.nodes.items()}
    return replace(graph, nodes=nodes, edges=tuple((names[a], names[b]) for a, b in graph.edges))


def own(node: Node) -> Node:
    """A node whose arrays no longer share memory with the module."""
    arrays = {
        item.name: value.copy()
        for item in fields(node)
        if isinstance(value := getattr(node, item.name), np.ndarray)
    }
    return replace(node, **arrays)


def leaves(result: Any) -> Iterator[tuple[str, Tensor]]:
    """(label, tensor) of a returned tensor, tuple, list or dict; nested labels join with '_'."""
    if isinstance(result, Tensor):
        yield "", result
    elif isinstance(result, Mapping):
        for key, item in result.items():
            yield from ((f"{key}_{sub}" if sub else str(key), t) for sub, t in leaves(item))
    elif isinstance(result, list | tuple):
        for i, item in enumerate(result):
            yield from ((f"{i}_{sub}" if sub else str(i), t) for sub, t in leaves(item))
