"""`.net` files: what is written, what can't be, and that netx runs it spike for spike."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnc.frontends.net import read_net
from snnc.ir import Conv, Delay, Flatten, Graph, Input, Kind, Linear, Pool
from snnc.reference import run_int
from snnc.targets.loihi import Loihi
from snnc.targets.loihi.lava_run import run_child
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.net_file import net_bytes, net_reasons, netx_weights
from tests.targets.loihi.nets import LOIHI2, assert_same, chain, lif, spikes, whole
from tests.targets.loihi.test_lava import needs_lava

CHILD = str(Path(__file__).with_name("netx_child.py"))


def even(seed: int, *shape: int) -> Any:
    """Even weights of both signs."""
    return whole(2 * np.random.default_rng(seed).integers(-60, 61, shape))


def dense_net() -> Graph:
    bias = whole([64 * 30, -64 * 4, 0, 64 * 4095, 0, 64])
    return chain(
        (9,),
        Linear(even(0, 6, 9)),
        lif(dv=whole(300), bias_v=bias, theta=whole(64 * 90)),
        Linear(even(1, 4, 6), exp=1),
        lif(du=whole(1000), dv=whole(4095)),
        steps=8,
    )


def conv_net() -> Graph:
    return chain(
        (2, 9, 7),
        Conv(even(2, 4, 1, 3, 2), None, (2, 1), (1, 0), (1, 2), 2),
        lif(theta=whole(64 * 50), bias_v=whole([[[64 * 8]], [[0]], [[-64]], [[128]]])),
        Pool((1, 2), (1, 2), (0, 0), "sum"),
        Conv(even(3, 3, 4, 2, 2)),
        lif(theta=whole(64 * 30), dv=whole(128)),
        Flatten(),
        Linear(even(4, 5, 12)),
        lif(theta=whole(64 * 20)),
        steps=8,
    )


def written(graph: Graph) -> Any:
    return h5py.File(io.BytesIO(net_bytes(lower(graph, LOIHI2))), "r")


def test_the_schema_is_that_of_lava_dl() -> None:
    with written(conv_net()) as file:
        layers = file["layer"]
        kinds = [layers[str(i)]["type"][0].decode() for i in range(len(layers))]
        assert kinds == ["input", "conv", "conv", "flatten", "dense"]
        assert list(layers["0/shape"]) == [2, 9, 7]
        assert {key: list(layers["1"][key]) for key in ("stride", "padding", "dilation")} == {
            "stride": [2, 1], "padding": [1, 0], "dilation": [1, 2],
        }  # fmt: skip
        assert list(layers["1/bias"]) == [8, 0, -1, 2]
        assert layers["1/weight"].dtype == np.float32
        assert layers["4/weight"].shape == (5, 12)
        neuron = layers["2/neuron"]
        assert neuron["type"][0] == b"LOIHI"
        values = {key: int(neuron[key][()]) for key in neuron if key != "type"}
        assert values == {"iDecay": 4096, "vDecay": 128, "vThMant": 30, "refDelay": 1,
                          "gradedSpike": 0}  # fmt: skip


def test_the_same_program_gives_the_same_bytes_at_any_time() -> None:
    first = net_bytes(lower(conv_net(), LOIHI2))
    time.sleep(1.1)
    assert net_bytes(lower(conv_net(), LOIHI2)) == first


@pytest.mark.parametrize("graph", [dense_net(), conv_net()], ids=["dense", "conv"])
def test_what_is_written_reads_back_as_the_same_network(graph: Graph, tmp_path: Path) -> None:
    loihi = Loihi()
    emitted = loihi.emit(graph, loihi.limits("loihi2"))
    assert set(emitted.files) == {"program.npz", "model.net"}
    assert any("reset_offset=1" in line for line in emitted.report)
    (tmp_path / "model.net").write_bytes(emitted.files["model.net"])
    again = read_net(tmp_path / "model.net").with_(steps=graph.steps)
    inputs = spikes(graph, 5)
    found = run_int(again, {"input": inputs["in"]})
    assert_same_values(found.outputs["output"], run_int(graph, inputs).outputs["out"])


def assert_same_values(found: Any, wanted: Any) -> None:
    assert wanted.any()
    assert not wanted.all()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (chain((2,), Linear(even(0, 2, 2)), lif(reset="soft")), "n1 is a neuron program"),
        (chain((2,), Linear(even(0, 2, 2)), lif(bias_v=whole(32))), "n1 has a bias"),
        (chain((2,), Linear(even(0, 2, 2)), lif(bias_v=whole(4096 << 6))), "n1 has a bias"),
        (chain((2,), Linear(even(0, 2, 2), exp=-4), lif()), "n1 has the weight exponent -4"),
        (chain((2,), Linear(even(0, 2, 2), exp=4), lif()), "n1 has the weight exponent 4"),
        (chain((2,), Linear(whole([[-4, 0]])), lif()), "n1 has a weight matrix that netx changes"),
        (chain((2,), Linear(whole([[0, 0]])), lif()), "n1 has a weight matrix that netx changes"),
        (chain((2,), Delay(2), Linear(even(0, 2, 2)), lif(), steps=4), "n2 has a synapse with a"),
    ],
)
def test_what_the_format_can_not_say_is_named_and_no_file_written(
    graph: Graph, reason: str
) -> None:
    graph = graph.with_(steps=4)
    assert any(found.startswith(reason) for found in net_reasons(lower(graph, LOIHI2)))
    loihi = Loihi()
    emitted = loihi.emit(graph, loihi.limits("loihi2"))
    assert "model.net" not in emitted.files
    assert any(line.startswith(f"no .net file: {reason}") for line in emitted.report)


def test_graded_input_is_told_to_netx() -> None:
    graph = chain((2,), Linear(even(0, 2, 2)), lif(), steps=4,
                  source=Input((2,), Kind.GRADED, bits=6))  # fmt: skip
    emitted = Loihi().emit(graph, LOIHI2)
    assert any("input_message_bits=6" in line for line in emitted.report)


@pytest.mark.parametrize(
    ("weight", "effective"),
    [
        # The first four are recorded defects of netx with the numbers that it makes of them.
        ([[-4, 0]], [[-2, 0]]),
        ([[-128, -64]], [[-64, -64]]),
        ([[-64, -32, -16]], [[-48, -32, -16]]),
        ([[-256, -2]], [[-254, -2]]),
        ([[-256, 254]], [[-256, 254]]),
        ([[-2, 2]], [[-2, 2]]),
        ([[-256, 2]], [[-256, 2]]),
        ([[4, 0, 254]], [[4, 0, 254]]),
        ([[2, 2]], [[2, 2]]),
    ],
)
def test_weights_as_netx_and_lava_make_them(weight: Any, effective: Any) -> None:
    np.testing.assert_array_equal(netx_weights(whole(weight)), effective)


@pytest.mark.lava
@needs_lava
def test_netx_runs_the_written_files_spike_for_spike(tmp_path: Path) -> None:
    """All samples back to back, with netx's own staggered resets."""
    names: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    for name, graph in (("dense", dense_net()), ("conv", conv_net())):
        (tmp_path / f"{name}.net").write_bytes(net_bytes(lower(graph, LOIHI2)))
        inputs = spikes(graph, 4)
        np.save(tmp_path / f"{name}.in.npy", inputs["in"].reshape(-1, *inputs["in"].shape[2:]))
        names[name] = {"reset_interval": graph.steps, "reset_offset": 1}
        wanted[name] = run_int(graph, inputs).outputs["out"]
    (tmp_path / "names.json").write_text(json.dumps(names))
    run_child([CHILD, "run", str(tmp_path)], 120.0)
    for name, values in wanted.items():
        found = np.load(tmp_path / f"{name}.out.npy").reshape(values.shape)
        assert_same_values(found, values)


@pytest.mark.lava
@pytest.mark.slow
@needs_lava
def test_networks_of_slayer_run_the_same_here_in_netx_and_in_slayer(tmp_path: Path) -> None:
    """Built in slayer, written by its own export_hdf5, read by us and by netx."""
    run_child([CHILD, "slayer", str(tmp_path)], 120.0)
    run_child([CHILD, "run", str(tmp_path)], 120.0)
    for name in ("dense", "conv"):
        data = np.load(tmp_path / f"{name}.in.npy")
        graph = read_net(tmp_path / f"{name}.net")
        ours = run_int(graph, {"input": data[None]}).outputs["output"][0]
        found = Loihi().engines["loihi"](graph, {"input": data[None]}, None, lambda _: None)
        assert_same(found, run_int(graph, {"input": data[None]}))
        assert_same_values(np.load(tmp_path / f"{name}.out.npy")[: len(ours)], ours)
        slayer = np.load(tmp_path / f"{name}.slayer.npy")
        # slayer delays by one step per layer of neurons.
        lag = len(graph.neurons)
        assert_same_values(slayer[lag:], ours[:-lag])
