"""Delays and loops in both executors: a Delay's output never waits for its own step's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.ir import Delay, Graph, Input, IntNeuron, Kind, Linear, Neuron, Output
from snnc.reference import run_float, run_int


def integer(theta: int = 1 << 20) -> IntNeuron:
    return IntNeuron(np.asarray(4096), np.asarray(0), np.asarray(theta), reset="none", shift=0)


def real() -> Neuron:
    return Neuron(np.asarray(1.0), np.asarray(1e9), reset="none")


ONE = np.asarray([[1]])
RAMP = np.asarray([[[1], [2], [3], [4], [5]]])


@pytest.mark.parametrize(("run", "neuron"), [(run_int, integer()), (run_float, real())])
def test_a_delay_shifts_and_starts_with_zeros(run: Any, neuron: Any) -> None:
    nodes = {"in": Input((1,), Kind.GRADED, bits=4), "d": Delay(2), "w": Linear(ONE),
             "n": neuron, "out": Output("v")}  # fmt: skip
    graph = Graph(nodes, (("in", "d"), ("d", "w"), ("w", "n"), ("n", "out"))).check()
    assert graph.order.index("d") < graph.order.index("w")
    np.testing.assert_array_equal(run(graph, {"in": RAMP}).outputs["out"][0, :, 0], [0, 0, 1, 3, 6])


def test_a_loop_through_a_delay_sees_the_step_before() -> None:
    """One spike at the first step comes back every second step."""
    nodes = {"in": Input((1,), Kind.SPIKE), "w": Linear(ONE), "n": IntNeuron(
        np.asarray(4096), np.asarray(4096), np.asarray(0), shift=0),
        "back": Linear(ONE), "d": Delay(2), "out": Output()}  # fmt: skip
    edges = (("in", "w"), ("w", "n"), ("n", "back"), ("back", "d"), ("d", "n"), ("n", "out"))
    graph = Graph(nodes, edges).check()
    x = np.zeros((1, 6, 1), int)
    x[0, 0] = 1
    np.testing.assert_array_equal(
        run_int(graph, {"in": x}).outputs["out"][0, :, 0], [1, 0, 1, 0, 1, 0]
    )


def test_an_output_may_sum_several_populations() -> None:
    nodes = {"in": Input((1,), Kind.GRADED, bits=4), "a": integer(), "b": integer(),
             "out": Output("v")}  # fmt: skip
    edges = (("in", "a"), ("in", "b"), ("a", "out"), ("b", "out"))
    found = run_int(Graph(nodes, edges).check(), {"in": RAMP}).outputs["out"]
    np.testing.assert_array_equal(found[0, :, 0], [2, 6, 12, 20, 30])


def test_a_delay_of_no_steps_is_refused() -> None:
    nodes = {"in": Input((1,), Kind.SPIKE), "d": Delay(0), "n": integer(), "out": Output()}
    with pytest.raises(GraphError, match="d: delays by 0 steps"):
        Graph(nodes, (("in", "d"), ("d", "n"), ("n", "out"))).check()
