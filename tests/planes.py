"""A small network that sees one bit plane of an image per step, and images for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.circuits.encodings import uwe
from snnc.frontends.model import Example, Model
from snnc.ir import Conv, Graph, Input, Kind, Neuron, Node, Output, Rate
from snnc.ir.ops import Reduce
from snnc.reference import run_float

LAYERS = ("n1", "n2")


def images(bits: int = 8, count: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    """(count, 1, 4, 4) integers 0…2^bits − 1, the smallest and the largest among them."""
    drawn = np.random.default_rng(seed).integers(0, 2**bits, (count, 1, 4, 4))
    drawn[0, 0, 0, :2] = 0, 2**bits - 1
    return drawn


def graph(
    steps: int | None = 8,
    kind: Kind = Kind.SPIKE,
    rate: Rate = Rate.STEP,
    reduce: Reduce = "none",
) -> Graph:
    """Two convolutions with integrate-and-fire neurons, (1, 4, 4) to (1, 4, 4)."""
    rng = np.random.default_rng(7)

    def fire() -> Neuron:
        return Neuron(np.asarray(1.0), np.asarray(1.0), reset="soft")

    nodes: dict[str, Node] = {
        "in": Input((1, 4, 4), kind, rate),
        "conv1": Conv(rng.normal(0.2, 0.5, (3, 1, 3, 3)), None, (1, 1), (1, 1)),
        "n1": fire(),
        "conv2": Conv(rng.normal(0.2, 0.5, (1, 3, 3, 3)), None, (1, 1), (1, 1)),
        "n2": fire(),
        "out": Output(reduce=reduce),
    }
    return Graph.chain(nodes, steps)


def model(
    bits: int = 8,
    kind: Kind = Kind.SPIKE,
    rate: Rate = Rate.STEP,
    reduce: Reduce = "none",
    planes: np.ndarray[Any, Any] | None = None,
) -> Model:
    """That network with its run of an example: `planes`, or those of `images`."""
    network = graph(bits, kind, rate, reduce)
    if rate is Rate.SAMPLE:
        return Model(network)
    seen = np.moveaxis(uwe(images(bits), bits), 0, 1) if planes is None else planes
    run = run_float(network, {"in": seen}, dict.fromkeys(LAYERS, ("s",)))
    spikes = {name: run.records[name, "s"].astype(np.uint8) for name in LAYERS}
    return Model(network, Example({"in": seen.astype(np.float32)}, spikes, run.outputs))
