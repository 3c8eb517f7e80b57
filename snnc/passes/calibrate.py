"""How far the states of each population go on real data: what the quantiser leaves room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from snnc.ir import Graph
from snnc.reference import Inputs, run_float


def reached_states(
    graph: Graph, batches: Iterable[Inputs], progress: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """Largest |u| or |v| (as compared, before the reset) of each neuron layer, in real units.

    Args:
        graph: a float graph.
        batches: inputs of S1; each is run by the float reference.
        progress: told the number of samples after each batch.
    """
    neurons = graph.neurons
    largest = dict.fromkeys(neurons, 0.0)
    for inputs in batches:
        trace = run_float(graph, inputs, dict.fromkeys(neurons, ("u", "h")))
        for (name, _), values in trace.records.items():
            largest[name] = max(largest[name], float(np.max(np.abs(values), initial=0)))
        progress(len(next(iter(inputs.values()))))
    return largest
