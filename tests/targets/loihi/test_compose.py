"""Hops as synapses: what stays a convolution, what becomes a matrix, what is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from snnc.errors import RefusedError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Edge,
    Flatten,
    Gather,
    Graph,
    Input,
    Kind,
    Linear,
    MatMul,
    MaxPool,
    Node,
    Output,
    Place,
    Pool,
    Sparse,
    Sum,
)
from snnc.reference import run_int
from snnc.reference.linear import apply
from snnc.targets.cores import program as target
from snnc.targets.loihi import Loihi
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.matrices import matrix
from snnc.targets.loihi.model import run_model
from tests.targets.loihi.nets import LOIHI2, assert_same, chain, everything, lif, spikes, whole

A = Any


def even(*shape: int, seed: int = 0) -> A:
    return whole(2 * np.random.default_rng(seed).integers(-20, 21, shape))


def net(nodes: dict[str, Node], edges: tuple[Edge, ...], steps: int = 5) -> Graph:
    return Graph(nodes, edges, steps=steps).check()


def agrees(graph: Graph) -> target.Program:
    inputs, record = spikes(graph, 3), everything(graph)
    program = lower(graph, LOIHI2)
    wanted = run_int(graph, inputs, record)
    assert_same(run_model(program, graph, inputs, record), wanted)
    assert all(wanted.records[name, "u"].any() for name in graph.neurons)
    return program


def refused(graph: Graph, where: str, cause: str) -> RefusedError:
    with pytest.raises(RefusedError, match=cause) as found:
        lower(graph, LOIHI2)
    assert found.value.where == where
    assert found.value.fix
    return found.value


def transposed(out: int, channels: int, kernel: tuple[int, ...], **options: Any) -> ConvTranspose:
    ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
    defaults = {"stride": ones, "padding": zeros, "output_padding": zeros, "dilation": ones}
    return ConvTranspose(even(out, channels, *kernel), None, **defaults | options)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (transposed(3, 2, (2, 2), stride=(2, 2)), (2, 4, 3)),
        (transposed(2, 2, (3, 2), stride=(2, 1), padding=(1, 0), groups=1), (2, 4, 5)),
        (transposed(4, 1, (3, 3), stride=(2, 3), padding=(1, 2), groups=2), (2, 4, 5)),
        (transposed(2, 2, (2, 3), dilation=(3, 2), output_padding=(2, 1)), (2, 3, 3)),
        (transposed(3, 2, (4,), stride=(3,), padding=(1,), output_padding=(2,)), (2, 5)),
        (transposed(6, 1, (2,), stride=(2,), groups=3), (3, 4)),
        (Conv(even(4, 1, 2, 3), None, (2, 1), (1, 2), (2, 1), 2), (2, 6, 5)),
        (Pool((3, 2), (2, 1), (1, 0), "sum"), (2, 6, 5)),
        (Place(2, 6), (3, 2, 2)),
        (Gather(np.asarray([[3, -1], [0, 3]])), (2, 2)),
        (Linear(even(3, 8)), (8,)),
    ],
)
def test_the_matrix_of_a_node_is_what_it_does_to_every_unit_vector(
    node: Node, shape: tuple[int, ...]
) -> None:
    size = int(np.prod(shape))
    wanted = apply("n", node, np.eye(size, dtype=np.int64).reshape(size, *shape))
    found = matrix("n", node, shape)
    found = found if isinstance(found, np.ndarray) else found.toarray()
    np.testing.assert_array_equal(found, wanted.reshape(size, -1).T)


def test_a_transposed_convolution_holds_only_the_weights_that_it_uses() -> None:
    graph = chain((2, 5, 4), transposed(3, 2, (2, 2), stride=(2, 2)), lif(theta=whole(64)), steps=5)
    (synapse,) = agrees(graph).synapses
    assert isinstance(synapse, target.Sparse)
    assert synapse.matrix_shape == (3 * 10 * 8, 2 * 5 * 4)
    assert synapse.count <= 3 * 2 * 4 * 20


def test_a_large_transposed_convolution_needs_no_dense_matrix() -> None:
    """The dense matrix would take 8 GB."""
    node = ConvTranspose(np.full((32, 32, 2, 2), 2), None, (2, 2), groups=1)
    tracemalloc.start()
    found = matrix("n", node, (32, 16, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.nnz == 32 * 32 * 2 * 2 * 256
    assert peak < 60 * found.nnz


def test_a_sparse_node_may_name_an_input_twice() -> None:
    node = Sparse(whole([2, 4, -6]), whole([1, 1, 0]), whole([0, 2, 3]), (2,), (2,))
    (synapse,) = agrees(chain((2,), node, lif(theta=whole(64)), steps=6)).synapses
    assert isinstance(synapse, target.Sparse)
    assert list(synapse.data) == [6, -6]


def concat(node: Node, sizes: tuple[int, int] = (2, 3), plane: tuple[int, ...] = (5, 4)) -> Graph:
    """Two inputs behind each other into one weighted node."""
    extent = sum(sizes)
    nodes: dict[str, Node] = {
        "a": Input((sizes[0], *plane), Kind.SPIKE),
        "b": Input((sizes[1], *plane), Kind.SPIKE),
        "pa": Place(0, extent),
        "pb": Place(sizes[0], extent),
        "cat": Sum(),
        "w": node,
        "n": lif(theta=whole(640)),
        "out": Output(),
    }
    edges = (("a", "pa"), ("b", "pb"), ("pa", "cat"), ("pb", "cat"), ("cat", "w"), ("w", "n"),
             ("n", "out"))  # fmt: skip
    return net(nodes, edges)


def test_a_concatenation_slices_the_kernel() -> None:
    conv = Conv(even(4, 5, 3, 2), None, (1, 1), (1, 0))
    first, second = agrees(concat(conv)).synapses
    assert isinstance(first, target.Conv)
    assert isinstance(second, target.Conv)
    np.testing.assert_array_equal(np.concatenate([first.weight, second.weight], 1), conv.weight)


def test_a_concatenation_behind_pools_slices_the_kernel() -> None:
    graph = concat(Conv(even(4, 5, 2, 2)), plane=(6, 4))
    nodes = {**graph.nodes, "pool": Pool((2, 2), (2, 2), (0, 0), "sum")}
    edges = (*(e for e in graph.edges if e != ("cat", "w")), ("cat", "pool"), ("pool", "w"))
    synapses = agrees(net(nodes, edges)).synapses
    assert [type(synapse).__name__ for synapse in synapses] == ["Conv", "Conv"]


def test_a_concatenation_slices_a_matrix_and_a_grouped_kernel_is_written_out() -> None:
    flat = concat(Linear(even(6, 5)), plane=())
    assert [synapse.count for synapse in agrees(flat).synapses] == [12, 18]
    grouped = concat(Conv(even(4, 2, 2, 2), groups=2), sizes=(2, 2))
    assert all(isinstance(s, target.Sparse) for s in agrees(grouped).synapses)


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        (np.arange(60).reshape(3, 5, 4)[[2, 0, 0]], "Conv"),
        (np.where(np.arange(3)[:, None, None] == 1, -1, np.arange(60).reshape(3, 5, 4)), "Conv"),
        (np.arange(60).reshape(3, 5, 4)[:, ::-1], "Sparse"),
        (np.pad(np.arange(60).reshape(3, 5, 4), ((0, 0), (1, 0), (0, 1)), constant_values=-1),
         "Sparse"),
        (np.arange(60).reshape(3, 4, 5), "Sparse"),
    ],
)  # fmt: skip
def test_a_gather_of_whole_channels_keeps_the_convolution(index: A, wanted: str) -> None:
    graph = chain((3, 5, 4), Gather(index), Conv(even(2, 3, 2, 2)), lif(theta=whole(640)), steps=5)
    assert [type(synapse).__name__ for synapse in agrees(graph).synapses] == [wanted]


def test_reordered_values_after_the_weights_are_reordered_rows() -> None:
    order = Gather(np.asarray([3, -1, 0, 0]))
    graph = chain((3,), Linear(even(4, 3)), order, lif(theta=whole(64)), steps=6)
    agrees(graph)


def residual(exp: int = 0, delay: int = 0) -> Graph:
    """A block whose next convolution takes its spikes and those before it (SEW)."""
    first, second = even(2, 2, 3, 3), even(3, 2, 3, 3, seed=1)
    nodes: dict[str, Node] = {
        "in": Input((2, 5, 4), Kind.SPIKE),
        "w1": Conv(first, None, (1, 1), (1, 1)),
        "n1": lif(theta=whole(640)),
        "w2": Conv(first, None, (1, 1), (1, 1)),
        "n2": lif(theta=whole(640)),
        "add": Sum(),
        "w3": Conv(second, None, (1, 1), (1, 1), exp=exp),
        "n3": lif(theta=whole(640)),
        "out": Output(),
    }
    edges = (("in", "w1"), ("w1", "n1"), ("n1", "w2"), ("w2", "n2"), ("n1", "add"), ("n2", "add"),
             ("add", "w3"), ("w3", "n3"), ("n3", "out"))  # fmt: skip
    return net(nodes, edges)


def test_a_convolution_that_waits_for_a_deeper_branch_stays_a_convolution() -> None:
    program = agrees(residual())
    waiting = {(s.source, s.target): (type(s).__name__, s.delay) for s in program.synapses}
    assert waiting["n1", "n3"] == ("Conv", 1)
    assert waiting["n2", "n3"] == ("Conv", 0)


def test_a_shift_of_a_sum_of_populations_is_refused_unless_it_loses_only_zeros() -> None:
    error = refused(residual(exp=-2), "w3", "shifts the sum of several inputs right")
    assert "n1 0 steps late, n2 0 steps late" in error.cause
    agrees(residual(exp=-1))


def test_paths_from_one_population_are_shifted_together() -> None:
    """x and x turned round, in one sum that is floored: two synapses would floor twice."""
    nodes: dict[str, Node] = {
        "in": Input((4,), Kind.SPIKE),
        "turn": Gather(np.asarray([3, 2, 1, 0])),
        "add": Sum(),
        "w": Linear(whole([[1, 3, 1, 5], [1, 1, 1, 1]]), exp=-1),
        "n": lif(theta=whole(0)),
        "out": Output(),
    }
    edges = (("in", "turn"), ("in", "add"), ("turn", "add"), ("add", "w"), ("w", "n"),
             ("n", "out"))  # fmt: skip
    graph = net(nodes, edges)
    assert len(agrees(graph).synapses) == 1
    late = net({**nodes, "turn": Delay(1)}, edges)
    refused(late, "w", "in 0 steps late, in 1 steps late")


def test_a_depthwise_identity_is_a_convolution_of_ones() -> None:
    node = Conv(whole(np.full((3, 1, 1, 1), 64)), groups=3)
    (synapse,) = agrees(chain((3, 4, 4), node, lif(theta=whole(0)), steps=4)).synapses
    assert isinstance(synapse, target.Conv)
    assert synapse.count == 3


def test_a_product_of_signals_is_refused_with_its_size() -> None:
    nodes: dict[str, Node] = {
        "in": Input((24,), Kind.SPIKE),
        "mm": MatMul(2, 2, 3, 2),
        "f": Flatten(),
        "w": Linear(even(2, 8)),
        "n": lif(),
        "out": Output(),
    }
    edges = (("in", "mm"), ("mm", "f"), ("f", "w"), ("w", "n"), ("n", "out"))
    error = refused(net(nodes, edges), "mm", r"2 times 2×3 by 3×2: .* AND neurons would need 24")
    assert "--target sim" in error.fix
    assert "host" in error.fix
    assert Loihi().unsupported(nodes["mm"]) == error.cause
    assert not Loihi().unsupported(nodes["w"])


def test_what_only_a_host_computes_is_refused() -> None:
    maximum = MaxPool((2, 2), (2, 2), (0, 0), (1, 1))
    graph = chain((1, 4, 4), lif(theta=whole(0)), steps=2)
    nodes: dict[str, Node] = {**graph.nodes, "max": maximum, "n": lif()}
    edges = (("in", "n0"), ("n0", "max"), ("max", "n"), ("n", "out"))
    with pytest.raises(RefusedError, match="max: a MaxPool node has no place on Loihi") as found:
        lower(Graph(nodes, edges, steps=2), LOIHI2)
    assert found.value.fix
