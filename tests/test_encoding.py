"""Encoders: what the host makes of a sample."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.compiler import Options, compile_model
from snnc.encoding import Encoding, direct_inputs, integer_inputs, to_integers
from snnc.errors import InputError, OptionError
from snnc.frontends.model import Example, Model
from snnc.ir import Graph, Input, Kind, Linear, Neuron, Output, Rate
from snnc.verify import verify


def graph(kind: Kind = Kind.ANALOG, rate: Rate = Rate.SAMPLE) -> Graph:
    nodes = {
        "in": Input((3,), kind, rate),
        "fc": Linear(np.eye(3)),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0)),
        "out": Output(),
    }
    return Graph.chain(nodes, steps=4)


def encoded_input(g: Graph) -> Input:
    node = g.nodes["in"]
    assert isinstance(node, Input)
    return node


@pytest.mark.parametrize(
    ("data", "scale", "bits", "signed"),
    [
        (np.arange(17) / 16, 1 / 16, 5, False),
        (np.arange(256, dtype=np.float32) / np.float32(255), 1 / 255, 8, False),
        (np.asarray([0.0, 1.0, 1.0]), 1.0, 1, False),
        (np.asarray([-1.0, 0.5, 0.25]), 1 / 4, 4, True),
        (np.asarray([0.0, 7.0, 200.0]), 1.0, 8, False),
    ],
)
def test_direct_finds_the_grid_of_the_data(
    data: np.ndarray, scale: float, bits: int, signed: bool
) -> None:
    data = np.resize(data, (len(data) // 3 * 3 or 3,)).reshape(-1, 3)
    node = encoded_input(direct_inputs(graph(), 8, None, {"in": data}))
    assert (node.scale, node.bits, node.signed) == (scale, bits, signed)
    integers = to_integers("in", node, data)
    np.testing.assert_allclose(integers * node.scale, data, atol=1e-6)


def test_direct_without_a_grid_uses_the_whole_width() -> None:
    data = np.random.default_rng(0).random((50, 3)) * 3.7
    node = encoded_input(direct_inputs(graph(), 8, None, {"in": data}))
    integers = to_integers("in", node, data)
    assert integers.max() == 255
    assert np.abs(integers * node.scale - data).max() <= node.scale / 2 * 1.0001


def test_direct_without_data_assumes_zero_to_one_and_says_so() -> None:
    encoded = direct_inputs(graph(), 8, None, None)
    assert "assumed" in encoded.notes[-1]
    assert encoded_input(encoded).range == (0, 255)


def test_values_out_of_range_are_refused_with_the_range() -> None:
    node = Input((3,), Kind.GRADED, bits=8, scale=1 / 255)
    with pytest.raises(InputError, match="0 to 1"):
        to_integers("in", node, np.asarray([[0.0, 1.2, 0.0]]))


def test_fractions_are_refused_where_spikes_must_be() -> None:
    with pytest.raises(InputError, match="fractions"):
        to_integers("in", Input((3,), Kind.SPIKE), np.asarray([[0.0, 0.5, 1.0]]))
    with pytest.raises(InputError, match="0 to 1"):
        to_integers("in", Input((3,), Kind.SPIKE), np.asarray([[0.0, 2.0, 1.0]]))


def test_rate_does_not_depend_on_the_batch_and_has_the_rate() -> None:
    encoding = Encoding("rate", 4000, seed=3)
    g = encoding.float_graph(graph())
    x = np.asarray([[0.1, 0.5, 1.0], [0.0, 0.9, 0.3]])
    whole = encoding.float_inputs(g, {"in": x})["in"]
    alone = encoding.float_inputs(g, {"in": x[1:]}, first=1)["in"]
    np.testing.assert_array_equal(whole[1:], alone)
    np.testing.assert_allclose(whole.mean(1), x, atol=0.03)
    other = Encoding("rate", 4000, seed=4).float_inputs(g, {"in": x})["in"]
    assert np.any(other != whole)


def test_latency_spikes_once_and_earlier_for_more() -> None:
    encoding = Encoding("latency", 5)
    g = encoding.float_graph(graph())
    spikes = encoding.float_inputs(g, {"in": np.asarray([[0.0, 1.0, 0.5]])})["in"]
    assert spikes.sum(1).tolist() == [[0, 1, 1]]
    assert spikes[0, 0].tolist() == [0, 1, 0]
    assert spikes[0, 2].tolist() == [0, 0, 1]


def test_rate_refuses_values_beyond_a_probability() -> None:
    encoding = Encoding("rate", 5)
    with pytest.raises(InputError, match="takes 0 to 1"):
        encoding.float_inputs(encoding.float_graph(graph()), {"in": np.full((1, 3), 1.5)})


def test_rate_refuses_sequences_and_missing_steps() -> None:
    with pytest.raises(OptionError, match="sequence"):
        Encoding("rate", 5).float_graph(graph(rate=Rate.STEP))
    with pytest.raises(OptionError, match="number of steps"):
        Encoding("rate").float_graph(graph())


def test_two_inputs_draw_different_spikes() -> None:
    nodes = {
        "a": Input((3,), rate=Rate.SAMPLE),
        "b": Input((3,), rate=Rate.SAMPLE),
        "fc": Linear(np.eye(3)),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0)),
        "out": Output(),
    }
    edges = (("a", "fc"), ("b", "fc"), ("fc", "n"), ("n", "out"))
    encoding = Encoding("rate", 50)
    half = np.full((2, 3), 0.5)
    encoded = encoding.float_inputs(Graph(nodes, edges).check(), {"a": half, "b": half})
    assert np.any(encoded["a"] != encoded["b"])


def test_wide_inputs_are_not_called_exact_by_chance() -> None:
    data = np.random.default_rng(1).random((40, 3))
    node = encoded_input(direct_inputs(graph(), 20, None, {"in": data}))
    assert node.bits == 20


def test_constant_data_tell_no_scale() -> None:
    with pytest.raises(OptionError, match="tells no scale"):
        direct_inputs(graph(), 8, None, {"in": np.zeros((2, 3))})


@pytest.mark.parametrize(
    ("data", "bits", "width", "signed"),
    [
        (np.asarray([0, 7]), None, 8, False),
        (np.asarray([0, 300]), None, 9, False),
        (np.asarray([-256, 3]), None, 9, True),
        (np.asarray([0, 7]), 3, 3, False),
        (None, None, 8, False),
    ],
)
def test_integers_get_the_width_that_they_need(
    data: np.ndarray | None, bits: int | None, width: int, signed: bool
) -> None:
    samples = None if data is None else {"in": data}
    node = encoded_input(integer_inputs(graph(Kind.GRADED), bits, samples))
    assert (node.bits, node.signed, node.scale) == (width, signed, 1.0)


def test_a_sign_needs_a_bit() -> None:
    with pytest.raises(OptionError, match="hold no sign"):
        integer_inputs(graph(Kind.GRADED), 1, {"in": np.asarray([-1, 0])})


@pytest.mark.parametrize("bits", [None, 3])
def test_a_network_that_takes_integers_is_compiled_and_runs(bits: int | None) -> None:
    x = np.random.default_rng(0).integers(0, 8, (3, 3))
    model = Model(graph(Kind.GRADED), Example({"in": x}, {}, {}))
    artefact = compile_model(model, Options("sim", input_bits=bits))
    report = verify(artefact, stages=["s1", "s2", "sim"])
    assert not any(pair.differing for pair in report.pairs)
    with pytest.raises(OptionError, match="mean nothing"):
        compile_model(model, Options("sim", input_range=(0, 8)))
