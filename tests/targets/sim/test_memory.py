"""Ranges, and the memory that the sim engine needs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.ir import (
    Conv,
    ConvTranspose,
    Flatten,
    Gather,
    Graph,
    Input,
    Kind,
    Linear,
    MatMul,
    Node,
    Output,
    Place,
    Pool,
    Sparse,
    Sum,
)
from snnc.targets.sim import engine, plan
from snnc.targets.sim.engine import Runner, run
from snnc.targets.sim.plan import Plan
from snnc.targets.sim.slots import LASTING, slots
from tests.targets.sim.helpers import (
    assert_all_equal,
    chain,
    lif,
    random_sparse,
    residual,
    spikes,
    weights,
)

A = NDArray[Any]


def test_ranges_of_sparse_rows() -> None:
    node = Sparse(np.asarray([5, -7, 2, -9], np.int8), np.asarray([0, 0, 1, 2]),
                  np.asarray([0, 3, 3, 4]), (3,), (3,))  # fmt: skip
    assert plan.row_bound(node, 2) == 28


def test_ranges_of_weights_at_the_edge_of_their_type() -> None:
    node = Linear(np.full((3, 4), -128, np.int8))
    assert plan.row_bound(node, 1) == 512
    with mock.patch.object(plan, "ROW_ELEMENTS", 5):
        assert plan.row_bound(Linear(weights(9, 4, limit=3)), 1) <= 12


def deep(layers: int) -> Graph:
    nodes: list[Node] = []
    for i in range(layers):
        nodes += [Conv(weights(8, 8, 3, 3), padding=(1, 1)), lif(200 + i)]
    return chain(Input((8, 16, 16), Kind.SPIKE), *nodes)


def held(graph: Graph, inputs: dict[str, A]) -> int:
    """Bytes of all outputs of a run, each block of memory once."""
    runners: list[Runner] = []
    prepare = Runner.__init__

    def init(self: Runner, *args: Any) -> None:
        runners.append(self)
        prepare(self, *args)

    with mock.patch.object(Runner, "__init__", init):
        run(graph, inputs)
    memories = {id(s._result): s._result for s in runners[0].scratch.values()}
    return sum(memory.size for memory in memories.values())


def test_a_long_network_needs_no_more_memory_than_a_short_one() -> None:
    inputs = {"n0": spikes(1, 4, 8, 16, 16)}
    assert 0 < held(deep(12), inputs) <= held(deep(3), inputs)


def test_outputs_that_are_needed_at_once_never_share_memory() -> None:
    graph = residual()
    plan_ = Plan(graph, {"i": spikes(1, 2, 4, 6, 6)}, None)
    table = slots(plan_)
    assert len({table[name] for name in ("a", "b", "c")}) == 3
    assert table["i"] == table["o"] == LASTING
    recorded = Plan(graph, {"i": spikes(1, 2, 4, 6, 6)}, {"wa": ("s",)})
    others = {n: slot for n, slot in slots(recorded).items() if n != "wa"}
    assert slots(recorded)["wa"] not in others.values()


@pytest.mark.parametrize("view", [Flatten(), Gather(np.arange(12)), Sum(), Place(0, 3)])
def test_a_view_keeps_the_memory_that_it_looks_at(view: Node) -> None:
    """The view of `w` is read after others of its size were computed."""
    nodes: dict[str, Node] = {
        "i": Input((3, 2, 2), Kind.SPIKE), "w": Conv(weights(3, 3, 1, 1)), "view": view,
        "w2": Conv(weights(3, 3, 1, 1)), "n2": lif(), "w3": Conv(weights(3, 3, 1, 1)),
        "flat": Flatten(), "flat2": Flatten(), "n": lif(), "o": Output(),
    }  # fmt: skip
    edges = (("i", "w"), ("w", "view"), ("i", "w2"), ("w2", "n2"), ("n2", "w3"), ("w3", "flat"),
             ("flat", "n"), ("n", "o"))  # fmt: skip
    if isinstance(view, Flatten | Gather):
        nodes.pop("flat2")
        edges += (("view", "n"),)
    else:
        edges += (("view", "flat2"), ("flat2", "n"))
    assert_all_equal(Graph(nodes, edges).check(), {"i": spikes(3, 9, 3, 2, 2)})


def test_layers_are_freed_with_their_graph() -> None:
    def once() -> int:
        for make in LAYERS:
            shape, node = make()
            run(chain(Input(shape, Kind.SPIKE), node), {"n0": spikes(1, 4, *shape)})
        gc.collect()
        return len(engine._LAYERS)

    before = once()
    assert once() == before


LAYERS: list[Callable[[], tuple[tuple[int, ...], Node]]] = [
    lambda: ((4,), Linear(weights(3, 4))),
    lambda: ((4, 5, 5), Conv(weights(3, 4, 2, 2))),
    lambda: ((4, 5, 5), Conv(weights(4, 1, 1, 1), groups=4)),
    lambda: ((4, 5, 5), ConvTranspose(weights(3, 4, 2, 2))),
    lambda: ((2, 3), random_sparse((2, 3), (4,))),
    lambda: ((12,), MatMul(1, 2, 3, 2)),
    lambda: ((4, 6), Pool((2,), (2,), (0,), "sum")),
    lambda: ((4, 6), Place(1, 9)),
    lambda: ((4, 6), Gather(np.arange(6))),
]
