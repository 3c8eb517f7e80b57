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
from snnc.ir import Conv, Delay, Graph, Input, Neuron, Output, Pool, Scale
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


@pytest.mark.parametrize("name", ["everything", "temporal"])
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


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_scales_mean_the_same_in_plain_nir(shape: tuple[int, ...], bias: bool, path: Path) -> None:
    scale = Scale(whole_weights(3), whole_weights(3) if bias else None)
    graph = chain({"in": Input(shape), "scale": scale, "out": Output()})
    assert np.array_equal(run(plain(graph, path))["out"], run(graph)["out"])


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
