"""What real data do in a float graph: how far the states go, and how the inputs correlate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, Graph, Linear, Neuron
from snnc.passes.round_weights import FAN_IN_MAX
from snnc.reference import Inputs, run_float
from snnc.reference.windows import taps

A = NDArray[Any]

ROWS_MAX = 1 << 14
"""Input vectors per batch and layer that enter a moment; more are thinned out evenly."""


@dataclass(frozen=True)
class Statistics:
    """Measured on calibration data.

    Attributes:
        reached: by neuron, the largest |g·u| or |v| (as compared, before the reset), real units.
        moments: by weighted node, (groups, f, f), the sum over inputs x of x·xᵀ, with f the
            weights of one row; left out where f is above `FAN_IN_MAX`.
    """

    reached: Mapping[str, float] = field(default_factory=dict)
    moments: Mapping[str, A] = field(default_factory=dict)


def measure(
    graph: Graph, batches: Iterable[Inputs], progress: Callable[[int], None] = lambda _: None
) -> Statistics:
    """Runs a float graph on data.

    Args:
        graph: in normal form, see `MergeHops`.
        batches: inputs of S1; each is run by the float reference.
        progress: told the number of samples after each batch.
    """
    neurons = graph.neurons
    reached = dict.fromkeys(neurons, 0.0)
    moments: dict[str, A] = {}
    sources = {name: graph.sources(name) for name in graph.nodes if _has_moment(graph, name)}
    record: dict[str, tuple[str, ...]] = {s: ("s",) for many in sources.values() for s in many}
    for name in neurons:
        record[name] = (*record.get(name, ()), "u", "h")
    for inputs in batches:
        trace = run_float(graph, inputs, record)
        for name in neurons:
            node = graph.nodes[name]
            assert isinstance(node, Neuron)
            states = (trace.records[name, "u"] * node.g, trace.records[name, "h"])
            reached[name] = max(reached[name], *(float(np.max(np.abs(x))) for x in states))
        for name, many in sources.items():
            values: A = np.sum([trace.records[source, "s"] for source in many], axis=0)
            values = values.reshape(-1, *values.shape[2:])
            moments[name] = moments.get(name, 0.0) + _moment(name, graph, values)
        progress(len(next(iter(inputs.values()))))
    return Statistics(reached, moments)


def _has_moment(graph: Graph, name: str) -> bool:
    node = graph.nodes[name]
    return isinstance(node, Linear | Conv) and node.weight[0].size <= FAN_IN_MAX


def _moment(name: str, graph: Graph, values: A) -> A:
    """Σ x·xᵀ per group over the input vectors of every output position."""
    node = graph.nodes[name]
    if isinstance(node, Linear):
        rows = values[:: -(-len(values) // ROWS_MAX)]
        return (rows.T @ rows)[None]
    assert isinstance(node, Conv)
    positions = graph.signals[name].size // len(node.weight)
    kept = values[:: -(-len(values) * positions // ROWS_MAX)]
    windows = [
        w for _, w in taps(name, kept, node.kernel, node.stride, node.padding, node.dilation)
    ]
    stacked = np.stack(windows, axis=2)
    grouped = stacked.reshape(len(kept), node.groups, -1, positions)
    # All vectors of a group side by side: one f×f product, not one per sample.
    rows = grouped.transpose(1, 2, 0, 3).reshape(node.groups, -1, len(kept) * positions)
    products: A = rows @ rows.transpose(0, 2, 1)
    return products
