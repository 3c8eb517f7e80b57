"""What `write_nir` writes: valid for nir itself, equal in meaning as plain NIR, exact for us."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hypothesis.strategies as st
import nir
import numpy as np
import pytest
from hypothesis import example, given, settings

from snnc.errors import GraphError, ModelFileError
from snnc.frontends.nir import NirOptions, read_nir
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Gather,
    Graph,
    Input,
    MatMul,
    Neuron,
    Node,
    Output,
    Place,
    Pool,
    Scale,
    Sum,
)
from snnc.ir.files import to_bytes
from snnc.ir.nir_file import read_tree, write_nir
from snnc.reference import run_float
from tests.ir import nets
from tests.ir.nets import chain, number

QUICK = settings(max_examples=80, deadline=None)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nir") / "net.nir"


def plain(graph: Graph, path: Path, **options: Any) -> Graph:
    """The graph as another tool sees it: through nir, without our metadata."""
    write_nir(graph, path)
    nir.write(path, nir.read(path))
    with h5py.File(path, "a") as file:
        del file["node/metadata"]
    return read_nir(path, NirOptions(dt=graph.dt or 1e-4, **options))


def run(graph: Graph, seed: int = 0, steps: int = 12) -> dict[str, np.ndarray]:
    """Outputs for small integers, so that sums of products are exact."""
    (name,) = graph.inputs
    shape = graph.signals[name].shape
    x = np.random.default_rng(seed).integers(-3, 4, (2, steps, *shape))
    return run_float(graph, {name: x}).outputs


@pytest.mark.parametrize("name", ["everything", "temporal", "connections"])
def test_round_trip_is_exact(name: str, path: Path) -> None:
    graph: Graph = getattr(nets, name)()
    write_nir(graph, path)
    assert to_bytes(read_nir(path)) == to_bytes(graph)
    data = path.read_bytes()
    write_nir(graph, path)
    assert path.read_bytes() == data
    nir.write(path, nir.read(path))  # through another program
    assert to_bytes(read_nir(path)) == to_bytes(graph)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i8"])
def test_dtypes_survive(dtype: str, path: Path) -> None:
    weight = np.arange(12).reshape(3, 4).astype(dtype)
    scale = Scale(np.arange(1, 4).astype(dtype))
    neuron = Neuron(np.ones((), dtype), np.ones(3, dtype))
    graph = chain(
        {"in": Input((4,)), "fc": nets.Linear(weight), "x": scale, "if": neuron, "out": Output()}
    )
    write_nir(graph, path)
    assert to_bytes(read_nir(path)) == to_bytes(graph)


def whole_weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-4, 5, shape).astype(np.float64)


@QUICK
@given(data=st.data())
def test_convolutions_mean_the_same_in_plain_nir(data: st.DataObject, path: Path) -> None:
    rank = data.draw(st.integers(1, 2))
    axes = st.tuples(*[st.integers(1, 3)] * rank)
    groups, per_group, share = (data.draw(st.integers(1, 2)) for _ in range(3))
    kernel = data.draw(st.tuples(*[st.integers(1, 5)] * rank))
    stride, dilation = data.draw(axes), data.draw(axes)
    padding = data.draw(st.tuples(*[st.integers(0, 3)] * rank))
    extents = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + data.draw(st.integers(0, 4))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    bias = whole_weights(share * groups) if data.draw(st.booleans()) else None
    weight = whole_weights(share * groups, per_group, *kernel)
    conv = Conv(weight, bias, stride, padding, dilation, groups)
    spiking = Neuron(number(1.0), number(2.0))
    graph = chain(
        {"in": Input((per_group * groups, *extents)), "c": conv, "if": spiking, "out": Output()}
    )
    seen = plain(graph, path)
    assert np.array_equal(run(seen)["out"], run(graph)["out"])


@QUICK
@given(
    kernel=st.integers(1, 3), stride=st.integers(1, 3), pad=st.integers(0, 1), avg=st.booleans(),
    rank=st.integers(1, 2),
)  # fmt: skip
def test_pools_mean_the_same_in_plain_nir(
    kernel: int, stride: int, pad: int, avg: bool, rank: int, path: Path
) -> None:
    sizes = ((kernel, 2)[:rank], (stride, 1)[:rank], (pad, 1)[:rank])
    pool = Pool(*sizes, mode="avg" if avg else "sum")
    graph = chain({"in": Input((2, 5, 4)[: rank + 1]), "pool": pool, "out": Output()})
    np.testing.assert_allclose(run(plain(graph, path))["out"], run(graph)["out"], atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (1100,), (3, 4), (3, 4, 5), (3, 2, 2, 2)])
@pytest.mark.parametrize("bias", ["none", "channel", "value"])
@pytest.mark.parametrize("each", [False, True])
def test_scales_mean_the_same_in_plain_nir(
    shape: tuple[int, ...], bias: str, each: bool, path: Path
) -> None:
    shapes = {"none": None, "channel": shape[:1], "value": shape}[bias]
    scale = Scale(
        whole_weights(*(shape if each else shape[:1])), shapes and whole_weights(*shapes) + 0.5
    )
    graph = chain({"in": Input(shape), "scale": scale, "out": Output()}, dt=1e-3)
    assert np.array_equal(run(plain(graph, path))["out"], run(graph)["out"])


def between(shape: tuple[int, ...], *nodes: Node) -> Graph:
    middle = {f"n{index}": node for index, node in enumerate(nodes)}
    return chain({"in": Input(shape), **middle, "out": Output()}, dt=1e-3).check()


def types(path: Path) -> list[str]:
    """Types of the nodes in the file but its input and output."""
    nodes = read_tree(path)["node"]["nodes"].items()
    return [node["type"] for name, node in sorted(nodes) if name not in ("in", "out")]


def check_plain(graph: Graph, path: Path) -> Graph:
    """Exact for us, and the same outputs for others; returns what others see."""
    write_nir(graph, path)
    assert to_bytes(read_nir(path)) == to_bytes(graph)
    seen = plain(graph, path)
    assert np.array_equal(run(seen)["out"], run(graph)["out"])
    return seen


@QUICK
@given(data=st.data())
def test_arrangements_mean_the_same_in_plain_nir(data: st.DataObject, path: Path) -> None:
    """Any pick of channels together with a shift, crop, padding and stride along each axis."""
    rank = data.draw(st.integers(1, 2))
    shape = (data.draw(st.integers(1, 3)), *(data.draw(st.integers(1, 6)) for _ in range(rank)))
    pick = data.draw(st.lists(st.integers(-1, shape[0] - 1), min_size=1, max_size=4))
    index = np.full((len(pick), *shape[1:]), -1)
    places = np.arange(np.prod(shape)).reshape(shape)
    index[np.asarray(pick) >= 0] = places[[c for c in pick if c >= 0]]
    for axis in range(1, rank + 1):
        before, after, stride = (
            data.draw(st.integers(*bounds)) for bounds in ((0, 3), (0, 3), (1, 3))
        )
        pads = [(0, 0)] * (rank + 1)
        pads[axis] = (before, after)
        first = data.draw(st.integers(0, min(index.shape[axis] + before + after, 4) - 1))
        index = np.pad(index, pads, constant_values=-1)
        index = index.take(np.arange(first, index.shape[axis], stride), axis)
    if not (index >= 0).any():
        return
    check_plain(between(shape, Gather(np.ascontiguousarray(index))), path)


@pytest.mark.parametrize(
    ("shape", "node", "written"),
    [
        ((3,), Place(2, 6), ["Linear"]),
        ((3,), Place(0, 3), ["Scale"]),
        ((3, 4), Place(2, 6), ["Conv1d"]),
        ((3, 4, 5), Place(2, 6), ["Conv2d"]),
        ((3, 4), Place(0, 3), ["Scale"]),
        ((3, 2, 2, 2), Place(0, 3), ["Scale"]),
        ((6,), Gather(np.asarray([5, -1, 2, 2])), ["Linear"]),
        ((6,), Gather(np.asarray([0, -1, 2, -1, -1, 5])), ["Scale"]),
        ((6,), Gather(np.full(4, -1)), ["Linear"]),
        ((2, 3, 4), Gather(np.asarray([5, -1, 23])), ["Linear", "Flatten"]),
        ((2, 3, 4), Gather(np.arange(24)), ["Flatten"]),
        ((2, 3, 4), Gather(np.arange(24)[::-1].copy()), ["Linear", "Flatten"]),
        ((2, 3, 4), Gather(np.arange(24).reshape(2, 3, 4)[::-1].copy()), ["Conv2d"]),
        ((2, 3, 4), Gather(np.full((2, 3, 4), -1, np.int8)), ["Scale"]),
        ((8,), nets.sparse((8,), (5,)), ["Linear"]),
        ((2, 2, 2), nets.sparse((2, 2, 2), (5,), bias=True), ["Affine", "Flatten"]),
    ],
)  # fmt: skip
def test_wiring_in_plain_nir(
    shape: tuple[int, ...], node: Node, written: list[str], path: Path
) -> None:
    graph = between(shape, node)
    write_nir(graph, path)
    assert types(path) == written
    check_plain(graph, path)


def test_weights_of_one_connection_add_up(path: Path) -> None:
    both = np.asarray([0, 0], np.int32)
    node = nets.Sparse(np.asarray([100, 100], np.int8), both, np.asarray([0, 2]), (1,), (1,))
    seen = check_plain(between((1,), node), path)
    assert seen.nodes["n0"].weight.tolist() == [[200]]


@QUICK
@given(data=st.data())
def test_transposed_convolutions_of_stride_one_in_plain_nir(
    data: st.DataObject, path: Path
) -> None:
    rank = data.draw(st.integers(1, 2))
    kernel, dilation = (data.draw(st.tuples(*[st.integers(1, 3)] * rank)) for _ in range(2))
    padding = tuple(
        data.draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True)
    )
    groups, per_group, share = (data.draw(st.integers(1, 2)) for _ in range(3))
    extents = tuple(n + max(0, 2 * p) for n, p in zip((3, 2), padding, strict=False))
    weight = whole_weights(share * groups, per_group, *kernel)
    node = ConvTranspose(weight, None, (1,) * rank, padding, (0,) * rank, dilation, groups)
    shape = (per_group * groups, *extents)
    out = between(shape, node).signals["n0"].shape
    shapes = data.draw(st.sampled_from([None, out[:1], out]))
    biased = replace(node, bias=None if shapes is None else whole_weights(*shapes))
    check_plain(between(shape, biased), path)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_bias_per_value_in_plain_nir(rank: int, path: Path) -> None:
    axes = (1,) * rank
    weight, bias = whole_weights(2, 2, *(3, 2)[:rank]), whole_weights(2, *(4, 5)[:rank])
    conv = Conv(weight, bias.astype(np.float32), axes, (1, 0)[:rank], axes)
    graph = between((2, *(4, 6)[:rank]), conv, Neuron(number(0.5), number(1.0)))
    check_plain(graph, path)
    assert "LI" in types(path)


def test_sums_are_edges(path: Path) -> None:
    graph = nets.connections()
    write_nir(graph, path)
    nodes = read_tree(path)["node"]["nodes"]
    # `skip` and what `same` sums would reach `low` by the same edges: one of the two stays.
    assert [name for name in ("skip", "same", "cat") if name in nodes] == ["same"]
    assert nodes["same"]["type"] == "Scale"
    seen = plain(graph, path)
    np.testing.assert_allclose(run(seen)["out"], run(graph)["out"], rtol=1e-12, atol=1e-12)


def test_a_residual_block_is_plain_nir(path: Path) -> None:
    lif = Neuron(number(0.5), number(2.0))
    nodes: dict[str, Node] = {
        "in": Input((2, 4, 4)), "lif1": lif, "conv": Conv(whole_weights(2, 2, 3, 3), None,
        padding=(1, 1)), "add": Sum(), "lif2": lif, "out": Output(),
    }  # fmt: skip
    edges = (
        ("in", "lif1"), ("lif1", "conv"), ("lif1", "add"), ("conv", "add"), ("add", "lif2"),
        ("lif2", "out"),
    )  # fmt: skip
    graph = Graph(nodes, edges, dt=1e-3).check()
    seen = check_plain(graph, path)
    assert "add" not in seen.nodes
    assert set(seen.sources("lif2")) == {"conv", "lif1"}


TOO_LARGE = Gather(np.zeros(1025, np.int64))


@pytest.mark.parametrize(
    ("shape", "node", "cause"),
    [
        ((2, 4, 4), ConvTranspose(nets.normal(2, 2, 2, 2), None, (2, 2)), "stride \\(2, 2\\)"),
        ((2, 4, 4), ConvTranspose(nets.normal(2, 2, 2, 2), padding=(2, 0)), "padding \\(2, 0\\)"),
        (
            (2, 4, 4),
            ConvTranspose(nets.normal(2, 2, 2, 2), output_padding=(0, 1)),
            "output padding \\(0, 1\\)",
        ),
        ((8,), nets.sparse((8,), (2, 2)), "sparse connection to a signal of shape \\(2, 2\\)"),
        ((1024,), TOO_LARGE, "takes 1,049,600 weights"),
        ((1024,), Place(0, 1025), "takes 1,049,600 weights"),
        ((8,), Gather(np.arange(8).reshape(2, 4)), "arranges values of shape \\(8,\\)"),
        ((2, 4), Gather(np.arange(8).reshape(4, 2)), "arranges"),
        ((2, 4), Gather(np.asarray([[0, 2, 1, 3], [4, 5, 6, 7]])), "arranges"),
        ((2, 2, 2, 2), Place(0, 3), "arranges"),
        ((2, 4), Gather(np.full((3, 2), -1)), "arranges"),
        ((12,), MatMul(1, 2, 3, 2), "no node for a MatMul"),
        ((2, 4), nets.Map("relu"), "no node for a Map"),
        ((2, 4), nets.MaxPool((2,), (2,), (0,), (1,)), "no node for a MaxPool"),
        ((2, 4), nets.Normalise(2, "l2"), "no node for a Normalise"),
        ((2, 4), nets.Multiply(), "no node for a Multiply"),
    ],
)  # fmt: skip
def test_what_nir_cannot_say_is_refused(
    shape: tuple[int, ...], node: Node, cause: str, path: Path
) -> None:
    path.unlink(missing_ok=True)
    with pytest.raises(GraphError, match=cause) as caught:
        write_nir(between(shape, node), path)
    assert caught.value.where == "n0"
    assert ".pt file" in caught.value.fix
    assert not path.exists()


@pytest.mark.parametrize("node", ["turned", "rare"])
def test_exponents_are_integers(node: str, path: Path) -> None:
    graph = nets.connections()
    shifted = replace(graph.nodes[node], exp=1)
    with pytest.raises(GraphError, match="integer node"):
        write_nir(graph.with_nodes({node: shifted}), path)


DECAYS = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0, -0.5])
REALS = st.floats(-3, 3, width=32)
PLAIN_GATE: dict[str, Any] = {
    "a_u": 0.0, "a_v": [0.0] * 3, "g": 1.0, "b": 0.0, "theta": 0.5, "v_reset": 0.25, "dt": 1e-3,
}  # fmt: skip


@QUICK
@example(**PLAIN_GATE, order="uv", never=False)
@example(**PLAIN_GATE, order="uv", never=True)
@example(**PLAIN_GATE, order="vu", never=False)
@given(
    a_u=DECAYS, a_v=st.lists(DECAYS, min_size=3, max_size=3), g=REALS, b=REALS, theta=REALS,
    v_reset=REALS, dt=st.sampled_from([1e-4, 1e-3, 1.0]), order=st.sampled_from(["uv", "vu"]),
    never=st.booleans(),
)  # fmt: skip
def test_an_euler_step_of_the_plain_neuron_is_ours(
    a_u: float, a_v: list[float], g: float, b: float, theta: float, v_reset: float, dt: float,
    order: Any, never: bool, path: Path,
) -> None:  # fmt: skip
    node = Neuron(
        np.asarray(a_v), number(theta), number(a_u), number(g), number(b), number(v_reset),
        compare="never" if never else ">", reset="none" if never else "hard", order=order,
    )  # fmt: skip
    graph = chain({"in": Input((3,)), "n": node, "out": Output()}, dt=dt)
    other = plain(graph, path, order=order).nodes["n"]
    assert isinstance(other, Neuron)
    gate = not (np.any(node.a_v) or a_u or never or order == "vu") and (g, b) == (1, 0)
    assert other.compare == node.compare
    assert other.reset == ("none" if gate else node.reset)  # a Threshold has nothing to reset
    assert other.order == (order if a_u or order == "vu" else "uv")
    names = ["a_u", "a_v", "g", "b"]
    names += [] if never else ["theta"] if gate else ["theta", "v_reset"]
    for name in names:
        ours, theirs = np.broadcast_arrays(getattr(node, name), getattr(other, name))
        np.testing.assert_allclose(theirs, ours, rtol=4e-16, atol=2.3e-16, err_msg=name)


def test_node_types(path: Path) -> None:
    def written(node: Neuron) -> str:
        graph = chain({"in": Input((2,)), "n": node, "out": Output()})
        write_nir(graph, path)
        return type(nir.read(path).nodes["n"]).__name__

    def silent(node: Neuron) -> Neuron:
        return replace(node, compare="never", reset="none")

    lif, integrator = Neuron(number(0.9), number(1)), Neuron(number(1), number(1))
    cuba, gate = replace(lif, a_u=number(0.5)), Neuron(number(0), number(1))
    assert [written(n) for n in (lif, integrator, cuba, gate)] == [
        "LIF", "IF", "CubaLIF", "Threshold",
    ]  # fmt: skip
    assert [written(silent(n)) for n in (lif, integrator, cuba)] == ["LI", "I", "CubaLI"]
    assert written(silent(gate)) == "LI"
    assert written(replace(gate, reset_at="after")) == "LIF"  # its reset reaches the next step
    assert written(replace(integrator, b=number(0.5))) == "LIF"  # IF has no bias
    assert written(replace(lif, order="vu")) == "CubaLIF"


def test_delay_in_seconds(path: Path) -> None:
    graph = chain({"in": Input((2,)), "d": Delay(3), "out": Output()}, dt=2e-3)
    seen = plain(graph, path)
    assert nir.read(path).nodes["d"].delay.tolist() == [6e-3, 6e-3]
    assert np.array_equal(run(seen)["out"], run(graph)["out"])


def test_what_plain_nir_loses_is_said(path: Path) -> None:
    assert write_nir(nets.everything(), path) == (
        "in/put: one value per sample, repeated at every step",
        "lif.1: soft reset",
        "lif.1: reset after",
        "cuba: v >= threshold",
        "cuba: v starts away from 0",
        "li: v is updated before u",
        "guarded: soft reset",
        "guarded: reset guarded",
        "threshold: none reset",
        "out: sum over the steps",
        "membrane: reads the state v",
        "membrane: last over the steps",
    )
    assert write_nir(nets.temporal(), path) == (
        "dt: the model doesn't say; time constants are for 0.0001 s",
    )


def test_integer_graphs_are_refused(path: Path) -> None:
    with pytest.raises(GraphError, match="integer node") as caught:
        write_nir(nets.integers(), path)
    assert caught.value.where == "fc1"


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.nir"
    graph = nets.temporal()
    write_nir(graph, path)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelFileError, match="No space left"):
        write_nir(graph.with_(dt=0.5), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ModelFileError, match="can't be written"):
        write_nir(graph, tmp_path / "missing" / "net.nir")


def test_read_tree_follows_no_links(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(80))
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.ones(3)
    makers = {
        "soft": lambda f: f.__setitem__("node/x", h5py.SoftLink("/node/y")),
        "file": lambda f: f.__setitem__("node/x", h5py.ExternalLink(str(other), "/data")),
        "external": lambda f: f["node"].create_dataset(
            "x", (10,), "f8", external=[(str(secret), 0, 80)]
        ),
        "loop": lambda f: f.__setitem__("node/x", f["node"]),
    }
    for name, make in makers.items():
        path = tmp_path / f"{name}.nir"
        with h5py.File(path, "w") as file:
            file["node/y"] = np.ones(3)
            make(file)
        with pytest.raises(ModelFileError, match=r"link|another file|nested deeper"):
            read_tree(path)
