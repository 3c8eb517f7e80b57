"""What an executor returns, and what every executor needs of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Output, Rate

Port = str
"""`s` the output of a node; `u`, `v` its states; `h` the membrane as compared (S1 only)."""

Inputs = Mapping[str, NDArray[Any]]
"""By input name: (sample, step, …), or (sample, …) for an input that is given once per sample."""

Ports = Mapping[str, tuple[Port, ...]]
"""What to record, by node name."""


@dataclass
class Trace:
    """The result of a run.

    Attributes:
        outputs: by output name, (sample, step, …) or, where reduced, (sample, …).
        records: by (node, port), (sample, step, …): `s` the node's output, `u`, `v` its states
            at the end of the step.
        events: by node, counts of wraps, clips and entries into the zone where Loihi emulators
            disagree (integer runs only).
    """

    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    records: dict[tuple[str, Port], NDArray[Any]] = field(default_factory=dict)
    events: dict[str, dict[str, int]] = field(default_factory=dict)


def add_events(totals: dict[str, int], trace: Trace) -> None:
    """Adds a trace's event counts over all layers to `totals`."""
    for counts in trace.events.values():
        for event, number in counts.items():
            totals[event] = totals.get(event, 0) + number


def sample_count(graph: Graph, inputs: Inputs) -> int:
    """Number of samples in `inputs`, which must name every input of the graph."""
    for name in graph.inputs:
        _check_input(graph, name, inputs)
    counts = {len(inputs[name]) for name in graph.inputs}
    if len(counts) != 1:
        raise InputError(", ".join(graph.inputs), f"inputs of different lengths {sorted(counts)}")
    return counts.pop()


def _check_input(graph: Graph, name: str, inputs: Inputs) -> None:
    if name not in inputs:
        raise InputError(name, "no array for this input", f"the arrays given: {sorted(inputs)}")
    signal = graph.signals[name]
    axes = ("sample",) if signal.rate is Rate.SAMPLE else ("sample", "step")
    shape = np.shape(inputs[name])
    if len(shape) < len(axes) or shape[len(axes) :] != signal.shape:
        raise InputError(
            name,
            f"its array has shape {shape}",
            f"give ({', '.join(map(str, axes + signal.shape))})",
        )


def step_count(graph: Graph, inputs: Inputs) -> int:
    """Number of steps: the sequences' own length, else the graph's."""
    lengths = {
        inputs[name].shape[1]
        for name in graph.inputs
        if graph.signals[name].rate is Rate.STEP
    }  # fmt: skip
    if len(lengths) > 1:
        raise InputError(", ".join(graph.inputs), f"inputs of different steps {sorted(lengths)}")
    if lengths:
        return lengths.pop()
    if graph.steps is None:
        raise InputError(", ".join(graph.inputs), "nothing says how many steps to run", "--steps")
    return graph.steps


def wanted_ports(graph: Graph, record: Ports | None) -> dict[str, set[Port]]:
    """Ports to keep: what was asked for and what the outputs read."""
    for name in record or {}:
        if name not in graph.nodes:
            raise OptionError(name, "can't be recorded: no such node", ", ".join(graph.nodes))
    wanted: dict[str, set[Port]] = {name: set(ports) for name, ports in (record or {}).items()}
    for name in graph.outputs:
        node = graph.nodes[name]
        assert isinstance(node, Output)
        for source in graph.sources(name):
            wanted.setdefault(source, set()).add(node.port)
    return wanted


def collect(graph: Graph, kept: Mapping[tuple[str, Port], NDArray[Any]], record: Ports | None,
            trace: Trace) -> Trace:  # fmt: skip
    """Fills `trace` with the reduced outputs and the records that were asked for."""
    for name in graph.outputs:
        node = graph.nodes[name]
        assert isinstance(node, Output)
        sequences = [kept[source, node.port] for source in graph.sources(name)]
        total = sequences[0] if len(sequences) == 1 else np.sum(sequences, axis=0)
        trace.outputs[name] = reduce_steps(total, node.reduce)
    for source, ports in (record or {}).items():
        for port in ports:
            trace.records[source, port] = kept[source, port]
    return trace


def reduce_steps(sequence: NDArray[Any], how: str) -> NDArray[Any]:
    """(sample, step, …) reduced over the step axis as an Output says."""
    if how == "none":
        return sequence
    if how == "last":
        return sequence[:, -1]
    total = sequence.sum(1, dtype=np.int64 if sequence.dtype.kind in "iub" else np.float64)
    return total if how == "sum" else total / sequence.shape[1]
