"""Reading lava-dl's `.net` files: every spelling of the schema, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnc.errors import GraphError, ModelFileError
from snnc.frontends.net import read_net
from snnc.ir import Conv, Delay, Flatten, Graph, Input, IntNeuron, Kind, Linear, Output
from snnc.reference import run_int
from snnc.targets.loihi import Loihi, lower, run_loihi

Tree = dict[str, Any]
NEURON: Tree = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1,
                "gradedSpike": False}  # fmt: skip
WEIGHT = np.asarray([[2, -4, 6], [0, 254, -256]], np.float32)


def dense(**changes: Any) -> Tree:
    layer: Tree = {"type": [b"dense"], "shape": [2], "inFeatures": 3, "outFeatures": 2,
                   "weight": WEIGHT, "neuron": dict(NEURON)}  # fmt: skip
    return {key: value for key, value in (layer | changes).items() if value is not None}


def neuron(**changes: Any) -> Tree:
    return dense(neuron={k: v for k, v in (NEURON | changes).items() if v is not None})


def conv(**changes: Any) -> Tree:
    layer: Tree = {
        "type": [b"conv"], "shape": [4, 3, 5], "inChannels": 2, "outChannels": 4,
        "kernelSize": [2, 3], "stride": [2, 1], "padding": [0, 1], "dilation": [1, 1], "groups": 2,
        "weight": np.arange(-24, 24, 2, dtype=np.float32).reshape(4, 1, 2, 3),
        "neuron": dict(NEURON),
    }  # fmt: skip
    return layer | changes


def write(path: Path, *layers: Tree, **extra: Any) -> Path:
    def fill(group: Any, tree: Tree) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                fill(group.create_group(key), value)
            elif isinstance(value, list) and isinstance(value[0], bytes):
                group.create_dataset(key, (1,), "S10", value)
            else:
                group.create_dataset(key, data=value)

    with h5py.File(path, "w") as file:
        fill(file, {"layer": {str(i): layer for i, layer in enumerate(layers)}, **extra})
    return path


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Graph]:
    return lambda *layers, **extra: read_net(write(tmp_path / "a.net", *layers, **extra))


def only(graph: Graph, kind: type) -> Any:
    (found,) = [node for node in graph.nodes.values() if isinstance(node, kind)]
    return found


def test_a_dense_layer_becomes_integers(load: Any) -> None:
    graph = load(dense(), simulation={"Ts": 1, "tSample": 16})
    assert list(graph.nodes) == ["input", "dense0", "neuron0", "output"]
    assert graph.steps == 16
    assert graph.nodes["input"].kind is Kind.SPIKE
    np.testing.assert_array_equal(only(graph, Linear).weight, WEIGHT)
    assert np.issubdtype(only(graph, Linear).weight.dtype, np.integer)
    found = only(graph, IntNeuron)
    assert (int(found.du), int(found.dv), int(found.theta)) == (1024, 128, 80 << 6)
    assert (found.reset, found.reset_at, found.fires, int(found.bias_v)) == ("hard", "now", True, 0)


def test_conv_and_flatten_follow_the_input_layer(load: Any) -> None:
    last = dense(weight=np.full((2, 60), 4.0, np.float32))
    graph = load({"type": [b"input"], "shape": [2, 6, 5]}, conv(bias=np.asarray([2, 0, -4, 6])),
                 {"type": [b"flatten"], "shape": [60, 1, 1]}, last)  # fmt: skip
    node = only(graph, Conv)
    assert (node.stride, node.padding, node.dilation, node.groups) == ((2, 1), (0, 1), (1, 1), 2)
    assert graph.signals["conv1"].shape == (4, 3, 5)
    assert isinstance(graph.nodes["flatten2"], Flatten)
    np.testing.assert_array_equal(
        graph.nodes["neuron1"].bias_v, np.asarray([2, 0, -4, 6]).reshape(4, 1, 1) << 6
    )


@pytest.mark.parametrize(
    "layer",
    [
        dense(weight=WEIGHT.reshape(-1)),
        dense(weight={"real": WEIGHT}),
        dense(weight={"real": WEIGHT, "imag": 0 * WEIGHT}),
        dense(weight=WEIGHT.reshape(2, 3, 1, 1, 1)),
        dense(shape=[2, 1, 1]),
        dense(shape=None, inFeatures=None, outFeatures=None),
        dense(type="dense"),
        dense(bias=np.zeros(2, np.float32)),
        dense(bias=0.0),
        dense(delay=np.zeros(2, np.float32)),
        neuron(type="LOIHI"),
        neuron(type=[b"LOIHI"]),
        neuron(refDelay=None, gradedSpike=None),
        neuron(wgtExp=0, theta=1.0, tauRho=1.0, scaleRho=1.0),
        neuron(iDecay=[1024], vDecay=np.asarray([128], np.float32)),
        neuron(weight_exp=0, messageBits=0),
    ],
)
def test_every_spelling_is_the_same_network(load: Any, layer: Tree, tmp_path: Path) -> None:
    plain = read_net(write(tmp_path / "plain.net", dense()))
    found = load(layer)
    assert list(found.nodes) == list(plain.nodes)
    np.testing.assert_array_equal(only(found, Linear).weight, WEIGHT)
    assert only(found, Linear).exp == 0
    for key in ("du", "dv", "theta"):
        assert int(getattr(only(found, IntNeuron), key)) == int(
            getattr(only(plain, IntNeuron), key)
        )
    assert not only(found, IntNeuron).bias_v.any()


def test_an_exponent_of_older_files_is_the_synapses(load: Any) -> None:
    assert only(load(neuron(wgtExp=2)), Linear).exp == 2


def test_decays_per_channel_stay_per_channel(load: Any) -> None:
    assert only(load(neuron(vDecay=[1, 2])), IntNeuron).dv.tolist() == [1, 2]
    graph = load({"type": [b"input"], "shape": [2, 6, 5]},
                 conv(neuron=NEURON | {"iDecay": [1, 2, 3, 4096]}))  # fmt: skip
    assert only(graph, IntNeuron).du.shape == (4, 1, 1)


def test_a_threshold_out_of_reach_reads_out_the_membrane(load: Any) -> None:
    graph = load(neuron(vThMant=(1 << 18) - 1))
    found = only(graph, IntNeuron)
    assert (found.fires, found.reset) == (False, "none")
    assert only(graph, Output).port == "s"
    assert graph.signals["output"].kind is Kind.GRADED
    with pytest.raises(ModelFileError, match="layer/1: follows neuron0, whose threshold"):
        load(neuron(vThMant=1 << 17), dense(weight=np.ones((2, 2))))


@pytest.mark.parametrize(("bias", "order"), [(None, "before"), (4, "after")])
def test_one_delay_for_all_stands_where_it_is_the_same(load: Any, bias: Any, order: str) -> None:
    graph = load(dense(delay=np.full(2, 3.9), bias=bias))
    assert only(graph, Delay).steps == 3
    names = list(graph.nodes)
    assert (names.index("delay0") < names.index("neuron0")) == (order == "before")


def test_delays_per_neuron_reach_the_next_layer_one_by_one(load: Any) -> None:
    graph = load(dense(delay=[2.7, 0.0]), dense(weight=np.asarray([[2.0, 4.0], [0.0, 6.0]])))
    rng = np.random.default_rng(0)
    x = {"input": rng.integers(0, 2, (4, 20, 3))}
    record = {"neuron0": ("s",), "dense1": ("s",)}
    trace = run_int(graph, x, record)
    spikes = trace.records["neuron0", "s"]
    assert spikes.any(axis=(0, 1)).all()
    late = np.zeros_like(spikes)
    late[:, 2:, 0], late[:, :, 1] = spikes[:, :-2, 0], spikes[:, :, 1]
    np.testing.assert_array_equal(trace.records["dense1", "s"], late @ np.asarray([[2, 0], [4, 6]]))


def test_an_input_layer_with_a_neuron_scales_integers(load: Any) -> None:
    layer = {"type": [b"input"], "shape": [2, 6, 5], "weight": [[40.0]], "bias": -6.0,
             "neuron": NEURON | {"iDecay": 4096}}  # fmt: skip
    graph = load(layer, conv())
    source = only(graph, Input)
    assert (source.kind, source.bits, source.signed) == (Kind.GRADED, 8, False)
    assert graph.nodes["scale0"].groups == 2
    assert set(graph.nodes["scale0"].weight.reshape(-1)) == {40}
    assert int(graph.nodes["neuron0"].bias_v) == -6 << 6
    lasting = load({**layer, "neuron": NEURON}, conv()).nodes["neuron0"]
    assert (int(lasting.bias_u), int(lasting.bias_v)) == (-6 << 6, 0)
    flat = load({"type": [b"input"], "shape": [3], "neuron": dict(NEURON)}, dense())
    np.testing.assert_array_equal(flat.nodes["scale0"].weight, 64 * np.eye(3))


def test_an_input_of_one_pixel_per_channel_is_flat(load: Any) -> None:
    graph = load({"type": [b"input"], "shape": [3, 1, 1]}, dense())
    assert graph.signals["input"].shape == (3,)


@pytest.mark.parametrize(
    ("layer", "cause"),
    [
        *[({"type": [kind], "shape": [2]}, "no exact meaning here")
          for kind in (b"pool", b"unpool", b"convT", b"average", b"concat", b"dense_rec")],
        *[(neuron(type=kind), f"neurons of type '{kind}' are not read")
          for kind in ("SDNN", "RF_PHASE", "RF_IZ", "ALIF")],
        (dense(neuron=None), "has no neurons"),
        (dense(weight_rec=WEIGHT), r"unknown datasets \['weight_rec'\]"),
        (neuron(sinDecay=3), r"unknown datasets \['sinDecay'\]"),
        (neuron(vThMant=None), "has no threshold vThMant"),
        (neuron(iDecay=None), "has no dataset 'iDecay'"),
        (neuron(iDecay=5000), "iDecay outside 0…4096"),
        (neuron(refDelay=2), "a refractory delay other than 1"),
        (neuron(gradedSpike=True), "graded spikes are not read"),
        (neuron(weight_exp=2), r"a batch norm with a weight scale"),
        (neuron(messageBits=8), "graded spikes"),
        (dense(weight={"real": WEIGHT, "imag": WEIGHT}), "has complex weights"),
        (dense(weight=WEIGHT + 0.5), "holds fractions where integers should be"),
        (dense(weight=WEIGHT * np.nan), "NaN or infinite"),
        (dense(weight=[b"words"]), "not numbers"),
        (dense(weight=None), "has no dataset 'weight'"),
        (dense(shape=[7]), "7 neurons but 2 rows"),
        (dense(bias=np.zeros(3)), "3 biases for 2 channels"),
        (dense(delay=[1.0, 2.0]), "neurons of the last layer have different delays"),
        (dense(delay=[1.0, -2.0]), "delays of -2…1 steps"),
        (dense(delay=[1.0, 2.0, 3.0]), "3 delays for 2 channels"),
        (dense(type=3), "type is 3, not a text"),
        (conv(), "does not say the shape of its input"),
    ],
)  # fmt: skip
def test_what_has_no_exact_meaning_is_refused_by_name(load: Any, layer: Tree, cause: str) -> None:
    with pytest.raises(ModelFileError, match=cause) as found:
        load(layer)
    assert "a.net: layer/0" in found.value.where


def test_layers_that_do_not_fit_are_refused(load: Any) -> None:
    with pytest.raises(GraphError, match=r"dense1: Linear takes \(3,\)"):
        load(dense(), dense())


@pytest.mark.parametrize(
    ("layers", "cause"),
    [
        ((), "its layers are"),
        (({"type": [b"input"], "shape": [2]},), "its last layer has no neurons"),
        ((dense(), {"type": [b"input"], "shape": [2]}), "an input layer must be the first"),
    ],
)
def test_chains_that_are_none_are_refused(load: Any, layers: Any, cause: str) -> None:
    with pytest.raises(ModelFileError, match=cause):
        load(*layers)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read_net(tmp_path / "missing.net")
    (tmp_path / "text.net").write_text("hello")
    with pytest.raises(ModelFileError, match=r"not a readable \.net file"):
        read_net(tmp_path / "text.net")
    with h5py.File(tmp_path / "empty.net", "w"):
        pass
    with pytest.raises(ModelFileError, match="has no group 'layer'"):
        read_net(tmp_path / "empty.net")


def test_truncated_files_are_refused_wherever_they_end(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.net", dense(), dense(weight=np.ones((2, 2)))).read_bytes()
    for share in range(0, 100, 7):
        (tmp_path / "cut.net").write_bytes(whole[: len(whole) * share // 100])
        with pytest.raises(ModelFileError):
            read_net(tmp_path / "cut.net")


def test_delays_per_neuron_are_synaptic_delays_on_the_chip(load: Any) -> None:
    graph = load(dense(delay=[2.7, 0.0]), dense(weight=np.asarray([[2.0, 4.0], [0.0, 6.0]])))
    target = Loihi()
    program = lower(graph, target.limits())
    assert sorted(synapse.delay for synapse in program.synapses) == [0, 0, 2]
    x = {"input": np.random.default_rng(1).integers(0, 2, (3, 12, 3))}
    record = {"neuron1": ("u", "v")}
    found = run_loihi(graph, x, record, lambda _: None).records
    for key, value in run_int(graph, x, record).records.items():
        np.testing.assert_array_equal(found[key], value)
