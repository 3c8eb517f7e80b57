import itertools
from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Place,
    Pool,
    Rate,
    Scale,
    Signal,
    Sparse,
    Sum,
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
        (of_shape((4,), Scale(normal(3))), "node", "Scale of shape \\(3,\\)"),
        (of_shape((4, 2), Scale(normal(4), normal(2))), "node", "bias has shape \\(2,\\)"),
        (of_shape((4, 2), Scale(normal(2, 4))), "node", "Scale of shape \\(2, 4\\)"),
        (of_shape((1, 4, 4), Conv(normal(4, 1, 3, 3), normal(4, 4, 4))), "node", "bias has"),
        (of_shape((2, 4, 4), ConvTranspose(normal(4, 1, 3, 3))), "node", "ConvTranspose takes 1"),
        (of_shape((1, 4), ConvTranspose(normal(4, 1, 3, 3))), "node", "its input has shape"),
        (of_shape((2, 4, 4), ConvTranspose(normal(3, 1, 3, 3), groups=2)), "node", "divide"),
        (of_shape((1, 4, 4), ConvTranspose(normal(3, 1, 3, 3), groups=0)), "node", "groups = 0"),
        (of_shape((1, 4, 4), ConvTranspose(normal(3, 1, 3))), "node", "stride = \\(1, 1\\)"),
        (of_shape((3, 4), ConvTranspose(normal(3, 1))), "node", "weight has shape"),
        (
            of_shape((1, 4, 4), ConvTranspose(normal(3, 1, 3, 3), output_padding=(0,))),
            "node",
            "output_padding",
        ),
        (
            of_shape((1, 1, 1), ConvTranspose(normal(3, 1, 2, 2), padding=(1, 1))),
            "node",
            "its output has extents \\(0, 0\\)",
        ),
        (
            of_shape((1, 4, 4), ConvTranspose(normal(3, 1, 3, 3), normal(3, 4, 4))),
            "node",
            "the output has shape \\(3, 6, 6\\)",
        ),
        (of_shape((4, 2), nets.sparse((8,), (3,))), "node", "Sparse takes \\(8,\\)"),
        (
            of_shape((8,), replace(nets.sparse((8,), (3,)), bias=normal(1))),
            "node",
            "bias has shape",
        ),
        (of_shape((8,), replace(nets.sparse((8,), (3,)), out_shape=(4,))), "node", "for 4 rows"),
        (
            of_shape((8,), replace(nets.sparse((8,), (3,)), out_shape=(-1, -3))),
            "node",
            "out_shape",
        ),
        (
            of_shape((2,), Sparse(normal(2), whole([0, 2]), whole([0, 1, 2]), (2,), (2,))),
            "node",
            "indices runs from 0 to 2, outside its 2 inputs",
        ),
        (
            of_shape((2,), Sparse(normal(0), whole([]), whole([0, 0]), (2,), (1,))),
            "node",
            "empty",
        ),
        (
            of_shape((2,), Sparse(normal(2), whole([0]), whole([0, 1, 2]), (2,), (2,))),
            "node",
            "\\(1,\\) indices for weights",
        ),
        (
            of_shape((2,), Sparse(normal(2), whole([0, 1]), whole([0, 2, 1]), (2,), (2,))),
            "node",
            "indptr runs from 0 to 1",
        ),
        (of_shape((9,), MatMul(1, 2, 2, 3)), "node", "MatMul takes 4 and 6 values"),
        (of_shape((2, 5), MatMul(1, 2, 2, 3)), "node", "its input has shape \\(2, 5\\)"),
        (of_shape((4,), MatMul(1, 2, 2, 0)), "node", "2×2 by 2×0"),
        (of_shape((4, 2), Place(3, 6)), "node", "placed at channel 3"),
        (of_shape((4, 2), Place(-1, 6)), "node", "placed at channel -1"),
        (of_shape((), Place(0, 6)), "node", "an input of shape \\(\\)"),
        (of_shape((4, 2), Gather(whole([0, 8]))), "node", "from 0 to 8, outside its 8 inputs"),
        (of_shape((4, 2), Gather(whole([0, -2]))), "node", "from -2 to 0"),
        (of_shape((4, 2), Gather(np.asarray([0.0]))), "node", "dtype float64"),
        (
            of_shape((4, 4), MaxPool((2, 2), (1, 1), (0, 0), (1, 1))),
            "node",
            "MaxPool over 2 axes",
        ),
        (of_shape((4, 4), MaxPool((2,), (1,), (2,), (1,))), "node", "more than half"),
        (of_shape((4, 4), MaxPool((2,), (1,), (0,), (0,))), "node", "dilation"),
        (of_shape((4, 4), Normalise(3, "layer")), "node", "don't divide into 3 rows"),
        (of_shape((4, 4), Normalise(0, "layer")), "node", "don't divide into 0 rows"),
        (of_shape((3, 4), Multiply()), "node", "no two operands"),
        (chain({"in": Input((2**20, 2**20)), "out": Output()}), "in", "more than 268,435,456"),
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


def test_kinds_of_connections() -> None:
    spike, analog = Signal(Kind.SPIKE, (8,)), Signal(Kind.ANALOG, (8,))
    few, product = nets.sparse((8,), (2, 3)), MatMul(1, 2, 2, 2)
    assert few.infer("few", spike) == Signal(Kind.ANALOG, (2, 3))
    assert replace(few, weight=whole(few.weight)).infer("few", spike).kind is Kind.GRADED
    assert product.infer("product", spike) == Signal(Kind.GRADED, (1, 2, 2))
    assert product.infer("product", analog).kind is Kind.ANALOG
    for node in (Sum(), Place(0, 8), Gather(np.arange(8))):
        assert node.infer("node", spike) == spike
    assert ConvTranspose(whole([[[1, 1]]]), None, (2,), (0,), (0,), (1,)).infer(
        "up", Signal(Kind.SPIKE, (1, 8))
    ) == Signal(Kind.GRADED, (1, 16))


def test_joined_puts_edges_in_place_of_sums() -> None:
    nodes = {"in": Input((3,)), "lif": LIF, "d": Delay(1), "sum": Sum(), "out": Output()}
    edges = (("in", "lif"), ("lif", "d"), ("lif", "sum"), ("d", "sum"), ("sum", "out"))
    graph = Graph(nodes, edges).check()
    joined = graph.joined(["sum"]).check()
    assert joined.edges == (("in", "lif"), ("lif", "d"), ("lif", "out"), ("d", "out"))
    twice = graph.with_(edges=(*edges, ("lif", "out")))
    assert twice.joined(["sum"]).edges == twice.edges
    kept = twice.with_nodes({"sum": Delay(1)}).joined(["sum"])
    assert isinstance(kept.nodes["sum"], Sum)
