"""Nodes with several sources in the sim engine, and loops."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    Kind,
    Linear,
    MatMul,
    MaxPool,
    Node,
    Normalise,
    Output,
    Place,
    Pool,
    Rate,
    Scale,
    Sum,
)
from snnc.reference import run_int
from snnc.targets.sim import engine, plan
from snnc.targets.sim.engine import Runner, run
from snnc.targets.sim.plan import Plan
from tests.targets.sim.helpers import (
    RNG,
    assert_all_equal,
    chain,
    lif,
    random_sparse,
    residual,
    spikes,
    weights,
)

A = NDArray[Any]


def concatenation(starts: dict[str, int], extent: int) -> Graph:
    """Inputs of 2 channels each, placed into `extent` ones, then a Conv and a neuron."""
    image = (2, 4, 3)
    nodes: dict[str, Node] = {name: Input(image, Kind.SPIKE) for name in starts}
    nodes |= {f"p{name}": Place(start, extent) for name, start in starts.items()}
    nodes |= {"w": Conv(weights(3, extent, 2, 2)), "n": lif(), "o": Output()}
    edges = [(name, f"p{name}") for name in starts] + [(f"p{name}", "w") for name in starts]
    return Graph(nodes, (*edges, ("w", "n"), ("n", "o"))).check()


def made(graph: Graph, inputs: dict[str, A], name: str) -> A:
    """The summed input of a node in the engine's own dtype."""
    seen: dict[str, A] = {}
    total = engine.Total.__call__

    def spy(self: engine.Total, values: Any, scratch: Any) -> A:
        result = total(self, values, scratch)
        if self is runners[0].totals.get(name):
            seen[name] = result.copy()
        return result

    runners: list[Runner] = []
    prepare = Runner.__init__

    def init(self: Runner, *args: Any) -> None:
        runners.append(self)
        prepare(self, *args)

    with (
        mock.patch.object(engine.Total, "__call__", spy),
        mock.patch.object(Runner, "__init__", init),
        mock.patch.object(engine, "processors", return_value=1),
    ):
        run(graph, inputs)
    return seen[name]


def test_several_spike_populations_into_one_conv_are_added_in_bytes() -> None:
    graph, inputs = residual(), {"i": spikes(3, 9, 4, 6, 6)}
    assert_all_equal(graph, inputs)
    total = made(graph, inputs, "w")
    assert total.dtype == np.int8
    assert total.max() > 1


@pytest.mark.parametrize(
    ("starts", "extent", "dtype"),
    [({"a": 0, "b": 2}, 4, np.bool_), ({"a": 3, "b": 0, "c": 6}, 9, np.bool_),
     ({"a": 0, "b": 1}, 3, np.int8), ({"a": 2, "b": 2}, 5, np.int8),
     ({"a": 0, "b": 2, "c": 1}, 4, np.int8), ({"a": 1}, 4, np.bool_)],
)  # fmt: skip
def test_concatenations(starts: dict[str, int], extent: int, dtype: type) -> None:
    graph = concatenation(starts, extent)
    inputs = {name: spikes(3, 5, 2, 4, 3).astype(bool) for name in starts}
    assert_all_equal(graph, inputs)
    assert made(graph, inputs, "w").dtype == dtype
    assert Plan(graph, inputs, None).fused == {f"p{name}" for name in starts}


def test_a_concatenation_has_the_range_of_its_parts() -> None:
    graph = concatenation({"a": 0, "b": 2, "c": 3}, 6)
    inputs = {name: np.ones((2, 5, 2, 4, 3), np.int64) for name in "abc"}
    plan_ = Plan(graph, inputs, None)
    assert plan_.total_bound("w") == 2
    assert plan_.bounds["w"] == 2 * np.abs(graph.nodes["w"].weight).sum((1, 2, 3)).max()  # type: ignore[attr-defined]


def test_placed_values_that_something_else_reads_too() -> None:
    graph = concatenation({"a": 0, "b": 2}, 4)
    nodes = {**graph.nodes, "late": Delay(2), "seen": Output(), "again": Place(1, 6),
             "deep": Output(), "whole": Output(), "sum": Sum(), "flat": Flatten(),
             "f": Output()}  # fmt: skip
    edges = (
        *graph.edges, ("pa", "late"), ("late", "seen"), ("pb", "again"), ("again", "deep"),
        ("pb", "whole"), ("pa", "sum"), ("pb", "sum"), ("sum", "flat"), ("flat", "f"),
    )  # fmt: skip
    both = Graph(nodes, edges).check()
    assert_all_equal(both, {name: spikes(3, 5, 2, 4, 3) for name in "ab"})


def test_parts_given_once_and_per_step() -> None:
    graph = concatenation({"a": 0, "b": 1}, 4)
    graph = graph.with_nodes({"a": Input((2, 4, 3), Kind.GRADED, Rate.SAMPLE, bits=7)})
    inputs = {"a": RNG.integers(0, 128, (4, 2, 4, 3)), "b": spikes(4, 7, 2, 4, 3)}
    with mock.patch.object(plan, "STEPS_MAX", 3):
        assert_all_equal(graph, inputs)


@pytest.mark.parametrize("high", [60, 64, 127, 128, 255])
def test_sums_of_bytes_at_their_limits(high: int) -> None:
    nodes: dict[str, Node] = {name: Input((5,), Kind.GRADED, bits=9, signed=True) for name in "ab"}
    nodes |= {"s": Sum(), "w": Linear(weights(3, 5)), "x": Output(), "y": Output()}
    edges = (("a", "s"), ("b", "s"), ("s", "x"), ("a", "w"), ("b", "w"), ("w", "y"))
    graph = Graph(nodes, edges).check()
    for sign in (1, -1):
        for dtype in (np.int16, np.uint8 if sign > 0 else np.int64):
            given = {name: np.full((2, 3, 5), sign * high, dtype) for name in "ab"}
            assert_all_equal(graph, given)


def test_pools_of_sums_and_of_signed_bytes() -> None:
    nodes: dict[str, Node] = {name: Input((2, 7, 6), Kind.GRADED, bits=4, signed=True)
                              for name in "ab"}  # fmt: skip
    nodes |= {"p": Pool((3, 2), (2, 2), (1, 1), "sum"), "x": Output(),
              "q": Pool((7, 3), (7, 3), (0, 0), "sum"), "y": Output()}  # fmt: skip
    edges = (("a", "p"), ("b", "p"), ("p", "x"), ("a", "q"), ("b", "q"), ("q", "y"))
    graph = Graph(nodes, edges).check()
    assert_all_equal(graph, {name: RNG.integers(-8, 8, (3, 2, 2, 7, 6)) for name in "ab"})


def test_a_loop_over_several_layers() -> None:
    nodes: dict[str, Node] = {
        "i": Input((2, 4, 4), Kind.SPIKE), "w1": Conv(weights(3, 2, 3, 3), padding=(1, 1)),
        "n1": lif(), "w2": ConvTranspose(weights(2, 3, 2, 2), None, (2, 2)), "n2": lif(),
        "d": Delay(2), "back": random_sparse((2, 8, 8), (3, 4, 4)), "o": Output(),
    }  # fmt: skip
    edges = (("i", "w1"), ("w1", "n1"), ("n1", "w2"), ("w2", "n2"), ("n2", "d"), ("d", "back"),
             ("back", "n1"), ("n2", "o"))  # fmt: skip
    graph = Graph(nodes, edges).check()
    inputs = {"i": spikes(3, 11, 2, 4, 4)}
    assert_all_equal(graph, inputs)
    assert run_int(graph, inputs, {"back": ("s",)}).records["back", "s"].any()


def test_a_value_given_once_that_joins_a_loop_is_summed_at_every_step() -> None:
    same = Conv(np.full((1, 1, 1, 1), 76))
    nodes: dict[str, Node] = {
        "i": Input((1, 3, 3), Kind.SPIKE, Rate.SAMPLE), "d": Delay(2), "s": Sum(), "w": same,
        "n": lif(50), "again": same, "m": lif(50), "o": Output(),
    }  # fmt: skip
    edges = (("d", "s"), ("i", "s"), ("s", "w"), ("w", "n"), ("n", "again"), ("again", "m"),
             ("m", "d"), ("n", "o"))  # fmt: skip
    graph = Graph(nodes, edges, steps=9).check()
    assert graph.signals["w"].rate is Rate.STEP
    assert_all_equal(graph, {"i": spikes(3, 1, 3, 3)})


def test_a_product_in_a_loop_wraps_in_64_bits() -> None:
    nodes: dict[str, Node] = {
        "i": Input((2,), Kind.GRADED, bits=8), "s": Sum(), "m": MatMul(1, 1, 1, 1),
        "f": Flatten(), "g": Gather(np.asarray([0, 0])), "d": Delay(1), "o": Output(),
    }  # fmt: skip
    edges = (("i", "s"), ("d", "s"), ("s", "m"), ("m", "f"), ("f", "g"), ("g", "d"), ("m", "o"))
    graph = Graph(nodes, edges).check()
    with np.errstate(over="ignore"):
        assert_all_equal(graph, {"i": np.full((1, 9, 2), 200)})


def test_real_nodes_are_named() -> None:
    image = Input((2, 4, 4), Kind.SPIKE)
    for node in (
        Scale(np.ones(2)), Pool((2, 2), (2, 2), (0, 0), "avg"), Normalise(2, "layer"),
        MaxPool((2, 2), (2, 2), (0, 0), (1, 1)),
    ):  # fmt: skip
        with pytest.raises(GraphError, match=r"n1(.|\n)*quantise"):
            run(chain(image, node), {"n0": spikes(1, 4, 2, 4, 4)})
