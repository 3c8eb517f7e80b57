"""Small networks that many tests compile."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.frontends.model import Example, Model
from snnc.ir import Conv, Flatten, Graph, Input, Linear, Neuron, Output, Pool, Rate
from snnc.reference import run_float


def make_model(seed: int = 0, reset: str = "hard") -> Model:
    """A small convolutional network with random weights and 6 samples of its input."""
    rng = np.random.default_rng(seed)

    def neuron() -> Neuron:
        return Neuron(np.asarray(0.9), np.asarray(1.0), reset=reset)  # type: ignore[arg-type]

    nodes = {
        "input": Input((1, 6, 6), rate=Rate.SAMPLE),
        "conv": Conv(rng.normal(0.1, 0.5, (4, 1, 3, 3)), rng.normal(0, 0.1, 4), (1, 1), (1, 1)),
        "lif1": neuron(),
        "pool": Pool((2, 2), (2, 2), (0, 0)),
        "flatten": Flatten(),
        "fc": Linear(rng.normal(0.05, 0.4, (5, 36)), None),
        "lif2": neuron(),
        "output": Output(),
    }
    graph = Graph.chain(nodes, steps=10)
    x = rng.random((6, 1, 6, 6))
    trace = run_float(graph, {"input": x}, {"lif1": ("s",), "lif2": ("s",)})
    spikes = {name: trace.records[name, "s"].astype(np.uint8) for name in ("lif1", "lif2")}
    return Model(graph, Example({"input": x}, spikes, trace.outputs), {"test": "1"})


@pytest.fixture(scope="session")
def model() -> Model:
    return make_model()
