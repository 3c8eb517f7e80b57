"""What the strategy of random integer graphs draws."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnc.ir import (
    OPS,
    Graph,
    HostOnly,
)
from tests.targets.graphs import Wanted, int_graphs, int_inputs

A = NDArray[Any]


def drawn(want: Wanted) -> list[Graph]:
    """Graphs of many short runs: in a long one hypothesis varies what it drew before."""
    graphs: list[Graph] = []

    @settings(max_examples=8, deadline=None, database=None, phases=[Phase.generate])
    @given(int_graphs(want), st.integers(0, 9))
    def collect(graph: Graph, number: int) -> None:
        graphs.append(graph)
        assert all(len(x) == 1 for x in int_inputs(graph, 1, number).values())

    for start in range(25):
        seed(start)(collect)()
    return graphs


def kinds(graphs: list[Graph]) -> set[str]:
    return {type(node).__name__ for graph in graphs for node in graph.nodes.values()}


def test_every_node_of_an_integer_graph_is_drawn() -> None:
    graphs = drawn(Wanted())
    host = {kind.__name__ for kind in get_args(HostOnly)}
    assert kinds(graphs) == set(OPS) - host - {"Scale", "Neuron"}
    many = {
        type(graph.nodes[name]).__name__
        for graph in graphs
        for name in graph.nodes
        if len(graph.sources(name)) > 1
    }
    assert many >= {"Linear", "Conv", "MatMul", "Sum", "IntNeuron"}


def test_what_is_not_wanted_is_not_drawn() -> None:
    plain = Wanted(transposed=False, sparse=False, arranged=False, products=False)
    new = {"ConvTranspose", "Sparse", "Sum", "Place", "Gather", "MatMul"}
    assert not kinds(drawn(plain)) & new
