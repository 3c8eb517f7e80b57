"""What the tests of the sim engine share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, Graph, Input, IntNeuron, Kind, Node, Output, Sparse
from snnc.reference import Trace, run_int
from snnc.targets.sim.engine import run

A = NDArray[Any]
RNG = np.random.default_rng(0)


def everything(graph: Graph) -> dict[str, tuple[str, ...]]:
    """All ports of all nodes."""
    neurons = set(graph.neurons)
    return {name: ("s", "u", "v") if name in neurons else ("s",) for name in graph.nodes}


def assert_equal(graph: Graph, inputs: dict[str, A], record: Any = None) -> Trace:
    """The engine's trace is the reference's in every number; returns it."""
    want, got = run_int(graph, inputs, record), run(graph, inputs, record)
    assert got.events == want.events
    for kind in ("records", "outputs"):
        mine, reference = getattr(got, kind), getattr(want, kind)
        assert mine.keys() == reference.keys()
        for key in reference:
            assert mine[key].dtype == dtype_of(graph, key, reference[key]), key
            np.testing.assert_array_equal(mine[key], reference[key], str(key))
    return want


def dtype_of(graph: Graph, key: Any, reference: A) -> Any:
    """The engine keeps records of spikes in bytes, all else as the reference does."""
    node = graph.nodes[key[0]] if isinstance(key, tuple) else None
    if isinstance(node, IntNeuron) and node.fires and key[1] == "s":
        return np.int8
    return reference.dtype


def assert_all_equal(graph: Graph, inputs: dict[str, A]) -> None:
    """Equal with every port recorded, and with none, where more memory is shared."""
    assert_equal(graph, inputs)
    assert_equal(graph, inputs, everything(graph))


def weights(*shape: int, limit: int = 127) -> A:
    return RNG.integers(-limit, limit + 1, shape)


def spikes(*shape: int) -> A:
    return (RNG.random(shape) < 0.4).astype(np.int64)


def lif(theta: int = 100) -> IntNeuron:
    return IntNeuron(np.asarray(4096), np.asarray(410), np.asarray(theta << 6))


def chain(source: Input, *nodes: Node, steps: int = 4) -> Graph:
    """A graph of nodes one after the other, named n0, n1, …, and an output."""
    table = {f"n{i}": node for i, node in enumerate((source, *nodes, Output()))}
    return Graph(table, tuple(pairwise(table)), steps).check()


def random_sparse(in_shape: tuple[int, ...], out_shape: tuple[int, ...], **more: Any) -> Sparse:
    """Rows of unsorted indices, some of them twice, one row without any."""
    counts = RNG.integers(1, 9, int(np.prod(out_shape)))
    counts[len(counts) // 2] = 0
    ends = np.concatenate([[0], np.cumsum(counts)])
    at = RNG.integers(0, int(np.prod(in_shape)), int(ends[-1]))
    return Sparse(weights(len(at)), at, ends, in_shape, out_shape, **more)


def residual() -> Graph:
    """Three populations of one shape feed a Conv; one of them its neuron too."""
    image = (4, 6, 6)
    nodes: dict[str, Node] = {"i": Input(image, Kind.SPIKE)}
    edges: list[tuple[str, str]] = []
    before = "i"
    for name in ("a", "b", "c"):
        nodes |= {f"w{name}": Conv(weights(4, 4, 3, 3), padding=(1, 1)), name: lif(150)}
        edges += [(before, f"w{name}"), (f"w{name}", name)]
        before = name
    nodes |= {"w": Conv(weights(4, 4, 3, 3), padding=(1, 1)), "n": lif(300), "o": Output(),
              "id": Conv(np.full((4, 1, 1, 1), 90), groups=4)}  # fmt: skip
    edges += [(name, "w") for name in "abc"]
    edges += [("w", "n"), ("a", "id"), ("id", "n"), ("n", "o")]
    return Graph(nodes, tuple(edges)).check()
