"""Reading `.nir` files: from snnTorch and SpikingJelly, made by hand, altered and broken."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from snnc.errors import GraphError, ModelFileError, OptionError, SnncError
from snnc.frontends.nir import NirOptions, read_nir
from snnc.ir import Conv, Delay, Graph, Linear, Neuron, Sum
from snnc.ir.nir_file import write_nir
from snnc.reference import run_float
from tests.ir import nets

DT = 1e-4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


def outputs(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Output for x of shape (step, sample, …), in the same layout."""
    trace = run_float(graph, {graph.inputs[0]: np.swapaxes(x, 0, 1)})
    return np.swapaxes(trace.outputs[graph.outputs[0]], 0, 1)


# ---- snnTorch ------------------------------------------------------------------------------


def snntorch_net(mechanism: str, synaptic: bool) -> Any:
    torch = pytest.importorskip("torch")
    snn = pytest.importorskip("snntorch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings: Any = {"reset_mechanism": mechanism, "init_hidden": True}
    full = torch.full
    return torch.nn.Sequential(
        torch.nn.Linear(12, 16),
        snn.Synaptic(full((16,), 0.7), full((16,), 0.8), full((16,), 0.8), **settings)
        if synaptic
        else snn.Leaky(full((16,), 0.9), full((16,), 0.4), **settings),
        torch.nn.Linear(16, 6, bias=False),
        snn.Leaky(full((6,), 0.8), full((6,), 0.2), reset_mechanism="subtract", init_hidden=True)
        if mechanism == "subtract"
        else torch.nn.Identity(),
    )


def snntorch_case(mechanism: str, synaptic: bool, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Writes a network of snnTorch to `path`; returns an input and its spikes in snnTorch."""
    net = snntorch_net(mechanism, synaptic)
    import torch
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    layers = net if mechanism == "subtract" else net[:2]
    nir.write(path, export_to_nir(layers, torch.zeros(1, 12), ignore_dims=[0]))
    utils.reset(layers)
    x = np.random.default_rng(0).normal(size=(60, 5, 12))
    with torch.no_grad():
        steps = [layers(step).numpy() for step in torch.as_tensor(x, dtype=torch.float32)]
    expected = np.stack(steps)
    assert 0.02 < expected.mean() < 0.98
    return x, expected


@pytest.mark.parametrize(
    ("mechanism", "synaptic", "options"),
    [
        ("subtract", False, NirOptions(reset="soft", reset_at="after")),
        ("subtract", True, NirOptions(reset="soft", reset_at="after")),
        ("zero", True, NirOptions(reset="hard", reset_at="after")),
    ],
)
def test_snntorch(mechanism: str, synaptic: bool, options: NirOptions, path: Path) -> None:
    x, expected = snntorch_case(mechanism, synaptic, path)
    assert np.array_equal(outputs(read_nir(path, options), x), expected)
    # The file says nothing of the reset: by NIR's own equations it is another network.
    assert not np.array_equal(outputs(read_nir(path), x), expected)


def test_snntorch_leaky_zero_is_what_nir_says(path: Path) -> None:
    x, expected = snntorch_case("zero", False, path)
    assert np.array_equal(outputs(read_nir(path), x), expected)


def test_snntorch_recurrence_is_refused(path: Path) -> None:
    torch = pytest.importorskip("torch")
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    net = torch.nn.Sequential(
        torch.nn.Linear(4, 3), snn.RLeaky(0.9, linear_features=3, init_hidden=True)
    )
    nir.write(path, export_to_nir(net, torch.zeros(1, 4), ignore_dims=[0]))
    with pytest.raises(GraphError, match="a cycle without delay") as caught:
        read_nir(path)
    assert str(path) in caught.value.where
    assert "Delay" in caught.value.fix


# ---- SpikingJelly --------------------------------------------------------------------------


def spikingjelly_net(kind: str) -> tuple[Any, tuple[int, ...]]:
    torch = pytest.importorskip("torch")
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    torch.set_num_threads(1)
    torch.manual_seed(1)
    if kind == "mlp":
        return torch.nn.Sequential(
            layer.Linear(12, 16),
            neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=0.25, v_reset=0.0),
            layer.Linear(16, 8),
            neuron.LIFNode(tau=4.0, decay_input=False, v_threshold=0.25, v_reset=0.125),
            layer.Linear(8, 6, bias=False),
            neuron.ParametricLIFNode(init_tau=2.0, v_threshold=0.0625),
        ), (12,)
    return torch.nn.Sequential(
        layer.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
        neuron.IFNode(v_threshold=0.5),
        layer.AvgPool2d(2),
        layer.Conv2d(4, 4, 3, padding=2, dilation=2),
        neuron.IFNode(v_threshold=0.5),
        layer.Flatten(),
        layer.Linear(4 * 2 * 3, 5),
        neuron.IFNode(v_threshold=0.25),
    ), (2, 8, 12)


def dyadic(net: Any) -> None:
    """Weights in 64ths: float32 sums are exact, so that v = threshold does occur."""
    import torch

    with torch.no_grad():
        for name, weight in net.named_parameters():
            if not name.endswith(".w"):
                weight.copy_((weight * 64).round() / 64)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_spikingjelly(kind: str, path: Path) -> None:
    net, shape = spikingjelly_net(kind)
    import torch
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    dyadic(net)
    export_to_nir(net, torch.zeros(1, *shape), save_path=path, dt=DT)
    rng = np.random.default_rng(2)
    x = rng.integers(-2, 3, (30, 4, *shape)).astype(np.float32)
    functional.reset_net(net)
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        expected = net(torch.as_tensor(x)).numpy()
    assert 0.02 < expected.mean() < 0.98
    told = read_nir(path, NirOptions(dt=DT, compare=">="))
    assert np.array_equal(outputs(told, x), expected)
    # By NIR's own v > threshold it is another network: v = threshold is common here.
    assert not np.array_equal(outputs(read_nir(path), x), expected)


# ---- files made by hand --------------------------------------------------------------------


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


def graph_of(node: nir.NIRNode, inputs: tuple[int, ...], outputs_: tuple[int, ...]) -> nir.NIRGraph:
    return nir.NIRGraph(
        {
            "in": nir.Input(np.asarray(inputs)),
            "node": node,
            "out": nir.Output(np.asarray(outputs_)),
        },
        [("in", "node"), ("node", "out")],
        type_check=False,
    )


def read_node(node: nir.NIRNode, path: Path, shape: tuple[int, ...] = (3,), **options: Any) -> Any:
    nir.write(path, graph_of(node, shape, shape))
    return read_nir(path, NirOptions(**options)).nodes["node"]


def test_cuba_lif_by_hand(path: Path) -> None:
    tau_syn, tau_mem = 4e-3 * ones(3), 8e-3 * ones(3)
    node = nir.CubaLIF(
        tau_syn, tau_mem, 2 * ones(3), 0.5 * ones(3), ones(3), v_reset=np.array([0, 0.1, 0.2]),
        w_in=3 * ones(3),
    )  # fmt: skip
    neuron = read_node(node, path, dt=1e-3)
    for name, value in {"a_u": 0.75, "a_v": 0.875, "g": (3 / 4) * (2 / 8), "b": 0.5 / 8}.items():
        assert getattr(neuron, name).shape == ()
        assert getattr(neuron, name) == pytest.approx(value, rel=1e-15)
    assert neuron.v_reset.tolist() == neuron.v_init.tolist() == [0, 0.1, 0.2]
    assert "node: v starts at v_reset (not in the file)" in read_nir(path).notes
    assert (neuron.reset, neuron.reset_at, neuron.compare, neuron.order) == (
        "hard", "now", ">", "uv",
    )  # fmt: skip
    told = read_node(node, path, dt=1e-3, order="vu", compare=">=", reset="soft", reset_at="after")
    assert (told.reset, told.reset_at, told.compare, told.order) == ("soft", "after", ">=", "vu")
    assert not told.v_init.any()
    assert any("no use" in note for note in read_nir(path, NirOptions(reset="soft")).notes)


def test_assumed_defaults_are_noted(path: Path) -> None:
    node = nir.LIF(1e-3 * ones(3), ones(3), 0 * ones(3), ones(3))
    nir.write(path, graph_of(node, (3,), (3,)))
    assert read_nir(path).notes == (
        "inputs: a number at every step, real unless --encoding says otherwise (not in the file)",
        "dt = 0.0001 s, forward Euler (not in the file; --dt)",
        "reset = hard (not in the file; --reset, --reset-at)",
        "spike where v > threshold (not in the file; --compare)",
    )
    long = read_nir(path, NirOptions(dt=4e-3))
    assert long.dt == 4e-3
    assert long.notes[-1] == (
        "node: tau is as small as 0.001 s, a step is 0.004 s: the decay overshoots"
    )


def test_old_files_without_v_reset_and_with_scalars(path: Path) -> None:
    nir.write(path, graph_of(nir.LIF(ones(1), ones(1), ones(1), ones(1)), (3,), (3,)))
    with h5py.File(path, "a") as file:
        group = file["node/nodes/node"]
        for key in list(group):
            if key != "type":
                del group[key]
        for key in ("tau", "r", "v_leak", "v_threshold"):
            group[key] = 2.0
    neuron = read_nir(path, NirOptions(dt=1.0)).nodes["node"]
    assert isinstance(neuron, Neuron)
    assert (neuron.a_v, neuron.g, neuron.b, neuron.theta, neuron.v_reset) == (0.5, 1, 1, 2, 0)


def test_integrators_and_threshold(path: Path) -> None:
    assert read_node(nir.I(4 * ones(3)), path, dt=0.5).g == 2
    firing = read_node(nir.IF(4 * ones(3), ones(3)), path, dt=0.5)
    assert (firing.a_v, firing.g, firing.theta, firing.compare) == (1, 2, 1, ">")
    li = read_node(nir.LI(2 * ones(3), 3 * ones(3), 4 * ones(3)), path, dt=0.5)
    assert (li.a_v, li.g, li.b, li.compare, li.reset) == (0.75, 0.75, 1, "never", "none")
    gate = read_node(nir.Threshold(2 * ones(3)), path, compare=">=")
    assert (gate.a_v, gate.g, gate.theta, gate.compare, gate.reset) == (0, 1, 2, ">=", "none")


def test_scale_by_channel(path: Path) -> None:
    scale = np.array([1.0, 2, 3])[:, None] * ones(3, 4)
    assert read_node(nir.Scale(scale), path, (3, 4)).weight.tolist() == [1, 2, 3]
    scale[0, 1] = 7
    assert np.array_equal(read_node(nir.Scale(scale), path, (3, 4)).weight, scale)


@pytest.mark.parametrize(
    ("delay", "cause"),
    [
        (2.5, "2.5 to 2.5 steps"), (-1, "no whole number"), ([1, -1, 2], "no whole number"),
        (1e300, "more than 2147483647 steps"), ([0, 1, 2.0**40], "more than 2147483647 steps"),
        ([1, 2], r"delays of shape \(2,\), its input has shape \(3,\)"),
        ([1, 1, 1, 1], r"delays of shape \(4,\)"), ([[1, 2, 3]], r"delays of shape \(1, 3\)"),
    ],
)  # fmt: skip
def test_delays_that_no_step_says(delay: Any, cause: str, path: Path) -> None:
    with pytest.raises(GraphError, match=cause):
        read_node(nir.Delay(delay * ones(3) if np.isscalar(delay) else np.asarray(delay)), path,
                  dt=1.0)  # fmt: skip


def test_delays(path: Path) -> None:
    node = read_node(nir.Delay(3e-4 * ones(3)), path)  # 3e-4 / 1e-4 is not quite 3
    assert isinstance(node, Delay)
    assert node.steps == 3
    nir.write(path, graph_of(nir.Delay(0 * ones(3)), (3,), (3,)))
    graph = read_nir(path)
    assert list(graph.nodes) == ["in", "out"]
    assert graph.edges == (("in", "out"),)


def test_delays_beyond_every_clock(path: Path) -> None:
    with pytest.raises(GraphError, match="more than 2147483647 steps"):
        read_node(nir.Delay(1e308 * ones(3)), path, dt=1e-4)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_a_delay_for_every_value(shape: tuple[int, ...], path: Path) -> None:
    steps = np.random.default_rng(0).integers(0, 4, shape)
    nir.write(path, graph_of(nir.Delay(steps * 1e-4), shape, shape))
    graph = read_nir(path)
    x = np.random.default_rng(1).normal(size=(9, 2, *shape))
    expected = np.zeros_like(x)
    for place in np.ndindex(shape):
        late = steps[place]
        expected[(slice(late, None), slice(None), *place)] = x[
            (slice(0, 9 - late), slice(None), *place)
        ]
    assert np.array_equal(outputs(graph, x), expected)
    # One group for each delay, with nothing to delay in that of 0.
    delays = sorted(n.steps for n in graph.nodes.values() if isinstance(n, Delay))
    assert delays == [d for d in np.unique(steps) if d]
    assert isinstance(graph.nodes["node"], Sum)
    write_nir(graph, path)
    assert np.array_equal(outputs(read_nir(path), x), expected)
    with h5py.File(path, "a") as file:
        del file["node/metadata"]
    assert np.array_equal(outputs(read_nir(path), x), expected)


def test_one_delay_for_all(path: Path) -> None:
    assert read_node(nir.Delay(2e-4 * ones(1)), path).steps == 2
    assert read_node(nir.Delay(2e-4 * ones(3)), path).steps == 2


def loop_with(delay: Any) -> nir.NIRGraph:
    zero = 0 * ones(3)
    return nir.NIRGraph(
        {
            "in": nir.Input(np.array([3])),
            "lif": nir.LIF(2e-4 * ones(3), ones(3), zero, ones(3)),
            "back": nir.Linear(np.arange(9.0).reshape(3, 3) - 4),
            "d": nir.Delay(np.asarray(delay) * 1e-4),
            "out": nir.Output(np.array([3])),
        },
        [("in", "lif"), ("lif", "back"), ("back", "d"), ("d", "lif"), ("lif", "out")],
    )


def test_delays_in_a_loop(path: Path) -> None:
    nir.write(path, loop_with([1, 2, 1]))
    graph = read_nir(path)
    x = np.random.default_rng(0).normal(size=(20, 3, 3)) * 3
    spikes, v, sent = outputs(graph, x), np.zeros((3, 3)), np.zeros((22, 3, 3))
    for t in range(20):
        late = np.stack([sent[t + 1, :, 0], sent[t, :, 1], sent[t + 1, :, 2]], axis=1)
        v = 0.5 * v + 0.5 * (x[t] + late)
        s = v > 1
        v = np.where(s, 0, v)
        assert np.array_equal(spikes[t], s)
        sent[t + 2] = s @ (np.arange(9.0).reshape(3, 3) - 4).T
    assert 0.05 < spikes.mean() < 0.95
    nir.write(path, loop_with([1, 0, 1]))
    with pytest.raises(GraphError, match="a cycle without delay"):
        read_nir(path)


def test_delays_too_many_to_split(path: Path) -> None:
    many = np.arange(5000.0)
    nir.write(path, graph_of(nir.Delay(many), many.shape, many.shape))
    with pytest.raises(GraphError, match="5,000 different delays") as caught:
        read_nir(path, NirOptions(dt=1.0))
    assert "node" in caught.value.where
    assert "round" in caught.value.fix


def test_the_names_of_parts_may_be_taken(path: Path) -> None:
    nodes = {
        "in": nir.Input(np.array([2])), "d": nir.Delay(np.array([1e-4, 2e-4])),
        "d.group2": nir.Linear(ones(2, 2)), "out": nir.Output(np.array([2])),
    }  # fmt: skip
    nir.write(path, nir.NIRGraph(nodes, [("in", "d"), ("d", "d.group2"), ("d.group2", "out")]))
    with pytest.raises(ModelFileError, match="also the name of a part of the Delay d"):
        read_nir(path)


def test_a_shortcut_past_a_delay_of_nothing(path: Path) -> None:
    nodes = {
        "in": nir.Input(np.array([2])),
        "d": nir.Delay(np.zeros(2)),
        "out": nir.Output(np.array([2])),
    }
    nir.write(path, nir.NIRGraph(nodes, [("in", "d"), ("in", "out"), ("d", "out")]))
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    assert np.array_equal(outputs(read_nir(path), x), 2 * x)


@pytest.mark.parametrize(
    ("padding", "kernel", "expected"),
    [
        ("valid", (2, 3), (0, 0)),
        ("same", (3, 5), (1, 2)),
        (2, (3, 5), (2, 2)),
        ((0, 1), (1, 3), (0, 1)),
    ],
)
def test_conv_padding(padding: Any, kernel: tuple[int, int], expected: Any, path: Path) -> None:
    node = nir.Conv2d(None, ones(2, 1, *kernel), 1, padding, 1, 1, np.zeros(2))
    node.input_shape = np.asarray((6, 6))
    nir.write(path, graph_of(node, (1, 6, 6), (2, 6, 6)))
    conv = read_nir(path).nodes["node"]
    assert isinstance(conv, Conv)
    assert (conv.padding, conv.stride, conv.bias) == (expected, (1, 1), None)


def test_uneven_same_padding_is_refused(path: Path) -> None:
    node = nir.Conv2d(None, ones(2, 1, 2, 3), 1, "same", 1, 1, np.zeros(2))
    node.input_shape = np.asarray((6, 6))
    nir.write(path, graph_of(node, (1, 6, 6), (2, 6, 6)))
    with pytest.raises(ModelFileError, match="not the same on both sides"):
        read_nir(path)


def test_nested_graphs_are_inlined(path: Path) -> None:
    weight = nets.normal(3, 3).astype(float)

    def wrapped(*nodes: nir.NIRNode) -> nir.NIRGraph:
        return nir.NIRGraph.from_list(nir.Input(np.array([3])), *nodes, nir.Output(np.array([3])))

    lif = nir.LIF(ones(3) * 2, ones(3), 0 * ones(3), ones(3))
    flat = wrapped(nir.Linear(weight), lif, nir.Linear(weight), lif)
    nested = wrapped(
        wrapped(nir.Linear(weight), wrapped(lif)), nir.NIRGraph.from_list(nir.Linear(weight)), lif
    )
    nir.write(path, nested)
    graph = read_nir(path, NirOptions(dt=1.0))
    assert any(name.count(".") == 2 for name in graph.nodes)
    nir.write(path, flat)
    x = 3 * np.random.default_rng(0).normal(size=(20, 2, 3))
    y = outputs(read_nir(path, NirOptions(dt=1.0)), x)
    assert 0 < y.mean() < 1
    assert np.array_equal(outputs(graph, x), y)


def test_edge_order_has_no_influence(path: Path) -> None:
    nodes = {f"{i}": nir.Linear(nets.normal(3, 3, seed=i)) for i in range(12)}
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    edges = [e for i in range(12) for e in (("input", f"{i}"), (f"{i}", "output"))]
    graphs = []
    for order in (edges, edges[::-1]):
        nir.write(path, nir.NIRGraph({**nodes, **ends}, order))
        graphs.append(read_nir(path))
    assert list(graphs[0].nodes) == ["input", *map(str, range(12)), "output"]
    assert list(graphs[0].nodes) == list(graphs[1].nodes)
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert np.array_equal(outputs(graphs[0], x), outputs(graphs[1], x))


# ---- bad files -----------------------------------------------------------------------------


def drop(group: Any, key: str) -> None:
    del group[key]


def put(group: Any, key: str, value: Any) -> None:
    if key in group:
        del group[key]
    group[key] = value


ALTERATIONS: dict[str, tuple[Callable[[Any], None], str]] = {
    "no node": (lambda f: drop(f, "node"), "no NIR graph"),
    "no type": (lambda f: drop(f["node"], "type"), "no NIR graph"),
    "no nodes": (lambda f: drop(f["node"], "nodes"), "has no nodes"),
    "unknown type": (lambda f: put(f["node/nodes/lif"], "type", "Izhikevich"), "Izhikevich"),
    "type is a number": (lambda f: put(f["node/nodes/lif"], "type", 3), "doesn't know"),
    "no edges": (lambda f: drop(f["node"], "edges"), "has no input"),
    "edges are numbers": (lambda f: put(f["node"], "edges", [[0, 1]]), "not pairs of names"),
    "edges of three": (lambda f: put(f["node"], "edges", [["a", "b", "c"]]), "not pairs"),
    "edge to nowhere": (lambda f: put(f["node"], "edges", [["in", "gone"]]), "gone"),
    "edge twice": (
        lambda f: put(f["node"], "edges", [*f["node/edges"].asstr()[()].tolist(), ["in", "fc"]]),
        "same edge twice",
    ),
    "node is a dataset": (lambda f: put(f["node/nodes"], "lif", 3), "has no nodes"),
    "NaN weight": (lambda f: put(f["node/nodes/fc"], "weight", np.nan * ones(3, 4)), "NaN"),
    "text weight": (lambda f: put(f["node/nodes/fc"], "weight", "heavy"), "holds no numbers"),
    "complex weight": (lambda f: put(f["node/nodes/fc"], "weight", 1j * ones(3, 4)), "complex"),
    "1-d weight": (lambda f: put(f["node/nodes/fc"], "weight", ones(3)), "weight has shape"),
    "empty weight": (lambda f: put(f["node/nodes/fc"], "weight", ones(0, 4)), "is empty"),
    "wrong bias": (lambda f: put(f["node/nodes/fc"], "bias", ones(4)), "bias has shape"),
    "no bias": (lambda f: drop(f["node/nodes/fc"], "bias"), "bias is missing"),
    "no tau": (lambda f: drop(f["node/nodes/lif"], "tau"), "tau is missing"),
    "zero tau": (lambda f: put(f["node/nodes/lif"], "tau", 0 * ones(3)), "holds zeros"),
    "infinite r": (lambda f: put(f["node/nodes/lif"], "r", np.inf * ones(3)), "infinite"),
    "wrong shape": (lambda f: put(f["node/nodes/lif"], "r", np.arange(4.0)), "different shapes"),
    "half a shape": (lambda f: put(f["node/nodes/in"], "shape", [1.5]), "not 1 integers"),
    "shapes don't fit": (lambda f: put(f["node/nodes/in"], "shape", [5]), "takes \\(4,\\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_files(name: str, path: Path) -> None:
    alter, cause = ALTERATIONS[name]
    nir.write(
        path,
        nir.NIRGraph(
            {
                "in": nir.Input(np.array([4])),
                "fc": nir.Affine(ones(3, 4), ones(3)),
                "lif": nir.LIF(ones(3), ones(3), 0 * ones(3), ones(3)),
                "out": nir.Output(np.array([3])),
            },
            [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ),
    )
    with h5py.File(path, "a") as file:
        alter(file)
    with pytest.raises((ModelFileError, GraphError), match=cause) as caught:
        read_nir(path)
    assert str(path) in caught.value.where


def test_no_nir_file(path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read_nir(path)
    with pytest.raises(ModelFileError, match="no such file"):
        read_nir(path.parent)
    write_nir(nets.temporal(), path)
    data = path.read_bytes()
    for content in (b"", b"not HDF5", data[:1000], data[:-100]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="not a readable"):
            read_nir(path)
    nir.write(path, nir.Linear(ones(2, 2)))
    with pytest.raises(ModelFileError, match="no NIR graph"):
        read_nir(path)


@pytest.mark.parametrize("net", ["temporal", "connections"])
def test_flipped_bytes_never_escape(net: str, path: Path) -> None:
    write_nir(getattr(nets, net)(), path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 150):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with contextlib.suppress(SnncError):  # refused or harmless; anything else is a bug
            read_nir(path)


# ---- our own files -------------------------------------------------------------------------


def metadata(file: Any, node: str, text: str) -> None:
    put(file[f"node/nodes/{node}/metadata"] if node else file["node/metadata"], "snnc", text)


OWN: dict[str, tuple[Callable[[Any], None], str]] = {
    "no JSON": (lambda f: metadata(f, "", "{"), "not readable"),
    "a list": (lambda f: metadata(f, "", "[]"), "not readable"),
    "deep": (lambda f: metadata(f, "", "[" * 100_000), "not readable"),
    "a number": (lambda f: put(f["node/metadata"], "snnc", 3), "not readable"),
    "no nodes": (lambda f: metadata(f, "", '{"schema": 1}'), "doesn't list"),
    "no node": (lambda f: drop(f["node/nodes"], "lif"), "node lif has no snnc metadata"),
    "bad node": (lambda f: metadata(f, "lif", '{"op": "Conv"}'), "lacks its field weight"),
    "wrong type": (lambda f: metadata(f, "lif", '{"op": "os.system"}'), "unknown type"),
    "wrong field": (
        lambda f: metadata(f, "out", '{"op": "Output", "port": "x", "reduce": "none"}'),
        "none of",
    ),
    "weight changed": (lambda f: put(f["node/nodes/conv"], "weight", ones(6, 3, 3)), "conv.weight"),
    "tau changed": (lambda f: put(f["node/nodes/lif"], "tau", ones(6, 3)), "lif.tau was changed"),
    "a node that is said to be edges": (
        lambda f: metadata(
            f, "", f["node/metadata/snnc"].asstr()[()].replace('"lif": "lif"', '"lif": null')
        ),
        "was changed",
    ),
    "node added": (lambda f: put(f["node/nodes"].create_group("x"), "type", "I"), "x.type"),
    "edges changed": (lambda f: put(f["node"], "edges", [["in", "conv"]]), "edges was changed"),
    "array as text": (lambda f: put(f["node/nodes/lif/metadata"], "snnc_a_v", "x"),
                      "no array of numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_altered_own_files(name: str, path: Path) -> None:
    alter, cause = OWN[name]
    write_nir(nets.temporal(), path)
    with h5py.File(path, "a") as file:
        alter(file)
    with pytest.raises((ModelFileError, GraphError), match=cause) as caught:
        read_nir(path)
    assert str(path) in caught.value.where


def test_own_files_take_no_options(path: Path) -> None:
    write_nir(nets.temporal(), path)
    with pytest.raises(OptionError, match="says dt, reset and comparison itself"):
        read_nir(path, NirOptions(dt=0.5))
    assert read_nir(path, NirOptions()).dt is None


@pytest.mark.parametrize(
    "options",
    [{"dt": 0.0}, {"dt": float("nan")}, {"reset": "maybe"}, {"compare": "never"}, {"order": "x"},
     {"reset_at": "guarded"}],
)  # fmt: skip
def test_bad_options(options: Any) -> None:
    with pytest.raises(OptionError):
        NirOptions(**options)


def test_weights_keep_their_dtype(path: Path) -> None:
    node = nir.Linear(nets.normal(3, 3))
    assert isinstance(read := read_node(node, path), Linear)
    assert read.weight.dtype == np.float32
    assert read.weight.tobytes() == node.weight.tobytes()
