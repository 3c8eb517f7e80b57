"""Small integer graphs and helpers that the tests of this folder share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import reject
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import Graph, Input, IntNeuron, Kind, Node, Output
from snnc.passes.limits import Limits, read_limits
from snnc.reference import Trace
from snnc.targets.cores import CHIPS
from snnc.targets.cores.program import Program
from snnc.targets.loihi.lower import lower

A = NDArray[Any]
LOIHI1 = read_limits(CHIPS / "loihi1.toml")
LOIHI2 = read_limits(CHIPS / "loihi2.toml")


def whole(value: Any) -> A:
    """An int64 array."""
    return np.asarray(value, np.int64)


def lif(**changes: Any) -> IntNeuron:
    """A neuron that Lava's LIF can say: no synaptic current, no leak, θ = 64·100."""
    base: dict[str, Any] = {"du": whole(4096), "dv": whole(0), "theta": whole(6400)}
    return IntNeuron(**base | changes)


def chain(shape: tuple[int, ...], *nodes: Node, **options: Any) -> Graph:
    """Input → nodes → output, named in0, n1, …, out."""
    source = options.pop("source", Input(shape, Kind.SPIKE))
    table = {"in": source, **{f"n{i}": n for i, n in enumerate(nodes)}, "out": Output()}
    names = list(table)
    return Graph(table, tuple(pairwise(names)), **options).check()


REFUSALS = (
    "shifts the sum of several inputs right",
    "steps? on the chip, one per synapse; the graph delays it by",
    "weights .* don't fit into",
    "populations hold them, but their sum into .* is shifted right",
)
"""What a drawn graph may ask for that no chip does."""


def carried(graph: Graph, limits: Limits) -> Program | None:
    """The program of a drawn graph, None where a chip refuses it by right."""
    try:
        return lower(graph, limits)
    except RefusedError as error:
        if not any(re.search(cause, error.cause) for cause in REFUSALS):
            raise
        return None


def lowered(graph: Graph, limits: Limits) -> Program:
    """The program of a drawn graph; discards the example where a chip refuses it by right."""
    program = carried(graph, limits)
    return reject() if program is None else program


def everything(graph: Graph) -> dict[str, tuple[str, ...]]:
    """All ports of all neurons."""
    return dict.fromkeys(graph.neurons, ("s", "u", "v"))


def assert_same(found: Trace, wanted: Trace) -> None:
    """Equal outputs and records, value by value."""
    for name, values in wanted.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], values, err_msg=name)
    assert found.records.keys() == wanted.records.keys()
    for key, values in wanted.records.items():
        np.testing.assert_array_equal(found.records[key], values, err_msg=str(key))


def spikes(graph: Graph, samples: int, seed: int = 0, rate: float = 0.5) -> Mapping[str, A]:
    """Random spikes for every input."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.random((samples, graph.steps or 1, *graph.signals[name].shape)) < rate).astype(
            int
        )
        for name in graph.inputs
    }
