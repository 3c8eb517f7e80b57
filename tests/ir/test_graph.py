import itertools
from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Rate,
    Scale,
    Signal,
)
from tests.ir import nets
from tests.ir.nets import chain, normal, number, whole

LIF = Neuron(number(0.5), number(1.0))


def of_shape(shape: tuple[int, ...], node: Node) -> Graph:
    return chain({"in": Input(shape), "node": node, "out": Output()})


def loop(*inner: str) -> Graph:
    """in → sum ⇄ inner, with the named nodes in the feedback."""
    nodes = {"in": Input((3,)), "lif": LIF, "delay": Delay(1), "w": Linear(normal(3, 3))}
    edges = [("in", "lif"), ("lif", "out"), ("lif", inner[0]), (inner[-1], "lif")]
    edges += list(itertools.pairwise(inner))
    kept = {name: node for name, node in nodes.items() if name in ("in", "lif", *inner)}
    return Graph({**kept, "out": Output()}, tuple(edges))


@pytest.mark.parametrize(
    ("graph", "where", "cause"),
    [
        (loop("w"), "lif, out, w", "a cycle without delay"),
        (Graph({"in": Input((3,)), "lif": LIF, "out": Output()}, (("in", "lif"),)), "out", "no in"),
        (Graph({"in": Input((3,))}, ()), "graph", "no output"),
        (Graph({"out": Output()}, ()), "graph", "no input"),
        (Graph({"in": Input((3,)), "out": Output()}, (("in", "x"),)), "x", "not have"),
        (
            Graph({"in": Input((3,)), "out": Output()}, (("in", "out"), ("in", "out"))),
            "graph",
            "same edge twice",
        ),
        (of_shape((4,), Linear(normal(2, 3))), "node", "takes \\(3,\\)"),
        (of_shape((3, 1), Linear(normal(2, 3))), "node", "takes \\(3,\\)"),
        (of_shape((3,), Linear(normal(2, 3, 1))), "node", "weight has shape"),
        (of_shape((3,), Linear(normal(2, 3), normal(3))), "node", "bias has shape"),
        (of_shape((3,), Linear(normal(0, 3))), "node", "empty"),
        (of_shape((2, 4, 4), Conv(normal(4, 1, 3, 3))), "node", "takes 1 channels"),
        (of_shape((2, 4, 4), Conv(normal(3, 1, 3, 3), groups=2)), "node", "don't divide"),
        (of_shape((1, 4, 4), Conv(normal(4, 1, 5, 3))), "node", "larger than its input"),
        (of_shape((1, 4, 4), Conv(normal(4, 1, 3, 3), stride=(0, 1))), "node", "stride"),
        (of_shape((1, 4, 4), Conv(normal(4, 1, 3, 3), padding=(-1, 1))), "node", "padding"),
        (of_shape((1, 4), Conv(normal(4, 1, 3))), "node", "stride = \\(1, 1\\)"),
        (of_shape((1, 4, 4), Pool((2, 2), (2,), (0, 0))), "node", "stride"),
        (of_shape((4, 4), Pool((2, 2), (2, 2), (0, 0))), "node", "over 2 axes"),
        (of_shape((4,), Scale(normal(3))), "node", "3 channels"),
        (of_shape((4, 4), Flatten(1, 0)), "node", "Flatten"),
        (of_shape((4, 4), Flatten(0, 2)), "node", "Flatten"),
        (of_shape((4, 4), Delay(0)), "node", "0 steps"),
        (of_shape((4, 0), Flatten()), "in", "shape \\(4, 0\\)"),
        (of_shape((4, 4), Neuron(normal(4), number(1.0))), "node", "a_v has shape"),
        (of_shape((4,), Neuron(normal(3), number(1.0))), "node", "a_v has shape"),
        (of_shape((4,), replace(LIF, reset_at="guarded")), "node", "guarded"),
        (of_shape((4,), replace(LIF, compare="never")), "node", "never spikes"),
        (of_shape((4,), IntNeuron(whole(0), whole(0), whole(9))), "node", "analog"),
        (of_shape((3,), Linear(np.float32([[1, np.nan, np.inf]]))), "node", "2 values"),
        (of_shape((3,), Neuron(number(np.nan), number(1.0))), "node", "NaN"),
        (chain({"in": Input((3,), scale=np.nan), "out": Output()}), "in", "scale = nan"),
        (chain({"in": Input((3,)), "out": Output()}, dt=0.0), "graph", "dt"),
        (chain({"in": Input((3,)), "out": Output()}, steps=0), "graph", "steps"),
        (chain({"in": Input((3,)), "out": Output("v")}), "out", "reads the state v of in"),
        (
            Graph(
                {"a": Input((3,)), "b": Input((1,)), "out": Output()}, (("a", "out"), ("b", "out"))
            ),
            "out",
            "different shapes",
        ),
        (
            Graph(
                {"a": Input((3,)), "d": Delay(1), "w": Linear(normal(1, 3)), "o": Output()},
                (("a", "w"), ("w", "d"), ("d", "o"), ("a", "o")),
            ),
            "o",
            "different shapes",
        ),
    ],
)
def test_malformed(graph: Graph, where: str, cause: str) -> None:
    with pytest.raises(GraphError, match=cause) as caught:
        graph.check()
    assert caught.value.where == where


def test_a_loop_with_a_wrong_shape_is_found() -> None:
    graph = loop("w", "delay").with_nodes({"w": Linear(normal(1, 3))})
    with pytest.raises(GraphError, match="different shapes"):
        graph.check()


@pytest.mark.parametrize("inner", [("delay",), ("w", "delay"), ("delay", "w")])
def test_a_loop_with_delay(inner: tuple[str, ...]) -> None:
    graph = loop(*inner).check()
    order = graph.order
    assert order.index("lif") < order.index("out")
    assert order.index("delay") < order.index("lif")
    assert all(signal.shape == (3,) for signal in graph.signals.values())


@pytest.mark.parametrize("seed", range(5))
def test_order_is_topological_whatever_the_edge_order(seed: int) -> None:
    graph = nets.everything()
    edges = tuple(map(tuple, np.random.default_rng(seed).permutation(graph.edges).tolist()))
    assert graph.with_(edges=edges).order == graph.order == tuple(graph.nodes)


@pytest.mark.parametrize("seed", range(3))
def test_order_of_branches_is_that_of_the_nodes(seed: int) -> None:
    branches = {f"b{i}": Scale(normal(3)) for i in range(9)}
    edges = [edge for b in branches for edge in (("in", b), (b, "out"))]
    mixed = np.random.default_rng(seed).permutation(edges).tolist()
    nodes = {"in": Input((3,)), **branches, "out": Output()}
    assert Graph(nodes, tuple((a, b) for a, b in mixed)).order == tuple(nodes)


def test_kinds_and_rates() -> None:
    weight = whole(np.ones((3, 3)))
    graph = Graph(
        {
            "s": Input((3,), Kind.SPIKE), "once": Input((3,), Kind.GRADED, Rate.SAMPLE),
            "int": Linear(weight), "real": Linear(weight * 1.0), "sum": Delay(1),
            "mixed": Output(), "both": Output(), "out": Output("v"),
            "never": Neuron(number(1), number(0), reset="none", compare="never"),
        },
        (
            ("s", "int"), ("s", "real"), ("once", "sum"), ("s", "mixed"), ("once", "mixed"),
            ("int", "both"), ("real", "both"), ("int", "never"), ("never", "out"),
        ),
    )  # fmt: skip
    assert graph.check().signals == {
        "s": Signal(Kind.SPIKE, (3,)), "once": Signal(Kind.GRADED, (3,), Rate.SAMPLE),
        "int": Signal(Kind.GRADED, (3,)), "real": Signal(Kind.ANALOG, (3,)),
        "sum": Signal(Kind.GRADED, (3,)), "mixed": Signal(Kind.GRADED, (3,)),
        "both": Signal(Kind.ANALOG, (3,)), "never": Signal(Kind.ANALOG, (3,)),
        "out": Signal(Kind.ANALOG, (3,)),
    }  # fmt: skip
    assert str(graph.signals["once"]) == "graded[3] once"


def test_without_joins_sources_and_targets() -> None:
    graph = chain({"in": Input((3,)), "d": Delay(1), "lif": LIF, "out": Output()}).without("d")
    assert graph.edges == (("in", "lif"), ("lif", "out"))
    assert "d" not in graph.nodes
