"""Encoders: what the host makes of a sample."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.circuits.encodings import ttfs, uwe
from snnc.compiler import Options, compile_model
from snnc.encoding import Encoding, direct_inputs, integer_inputs, to_integers
from snnc.errors import InputError, OptionError
from snnc.frontends.model import Example, Model
from snnc.ir import Graph, Input, Kind, Linear, Map, Neuron, Output, Rate
from snnc.reference.agreement import compare_with_framework
from snnc.verify import verify
from tests import planes


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
    with pytest.raises(InputError, match="0 to 1") as found:
        to_integers("in", Input((3,), Kind.SPIKE), np.asarray([[0.0, 2.0, 1.0]]))
    assert "--encoding uwe" in found.value.fix
    with pytest.raises(InputError, match="-1 to 1") as found:
        to_integers("in", Input((3,), Kind.SPIKE), np.asarray([[0.0, -1.0, 1.0]]))
    assert "another --encoding" in found.value.fix


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


@given(st.integers(1, 16), st.integers(0, 2**32))
def test_uwe_sends_the_bits_and_reads_them_back(bits: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 2**bits, (2, 3))
    encoding = Encoding("uwe", bits)
    g = encoding.float_graph(graph(rate=Rate.SAMPLE))
    spikes = encoding.float_inputs(g, {"in": images})["in"]
    assert spikes.shape == (2, bits, 3)
    weights = 2 ** np.arange(bits)[::-1]
    np.testing.assert_array_equal(np.einsum("t,nti->ni", weights, spikes), images)
    np.testing.assert_array_equal(encoding.decoded("in", spikes), images)
    np.testing.assert_array_equal(encoding.int_inputs(g, {"in": images})["in"], spikes)


@given(st.integers(1, 64), st.integers(0, 2**32))
def test_ttfs_sends_one_spike_per_pixel_and_is_read_as_an_image(steps: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 3))
    encoding = Encoding("ttfs", steps)
    spikes = encoding.float_inputs(encoding.float_graph(graph()), {"in": images})["in"]
    np.testing.assert_array_equal(spikes, np.moveaxis(ttfs(images, steps), 0, 1))
    again = encoding.decoded("in", spikes)
    assert again is not None
    same = encoding.float_inputs(encoding.float_graph(graph()), {"in": again})["in"]
    np.testing.assert_array_equal(same, spikes)


def test_spikes_that_are_no_code_have_no_image() -> None:
    twice = np.ones((1, 4, 3))
    assert Encoding("ttfs", 4).decoded("in", twice) is None
    assert Encoding("uwe", 4).decoded("in", twice) is not None
    assert Encoding("uwe", 5).decoded("in", twice) is None
    assert Encoding("uwe", 4).decoded("in", 0.5 * twice) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_whole_numbers_of_any_type_are_images(dtype: Any) -> None:
    images = np.asarray([[0, 1, 1]]).astype(dtype)
    encoding = Encoding("uwe", 2)
    spikes = encoding.float_inputs(encoding.float_graph(graph()), {"in": images})["in"]
    assert spikes.tolist() == [[[0, 0, 0], [0, 1, 1]]]


@pytest.mark.parametrize(
    ("scheme", "steps", "image", "cause", "fix"),
    [
        ("uwe", 8, [0.0, 0.5, 1.0], "holds fractions, from 0 to 1", "scale the images to 0…255"),
        ("ttfs", 5, [0.0, 0.5, 1.0], "holds fractions", "scale the images to 0…255"),
        ("uwe", 8, [0, 300, 1], "values from 0 to 300.*integers 0…255", "rescale .* to 8 bits"),
        ("uwe", 4, [0, 16, 1], "integers 0…15", "--steps 5 where"),
        ("uwe", 4, [0, 2**16, 1], "values from 0 to 65536", "to 4 bits$"),
        ("uwe", 8, [False, True, True], "truth values", "multiply by 255"),
        ("ttfs", 5, [False, True, True], "truth values", "multiply by 255"),
        ("uwe", 4, [0, -1, 1], "values from -1", "rescale the images to 4 bits$"),
        ("ttfs", 4, [0, 256, 1], "integers 0…255", "rescale the images to 8 bits$"),
    ],
)
def test_images_of_another_depth_are_refused(
    scheme: Any, steps: int, image: list[float], cause: str, fix: str
) -> None:
    encoding = Encoding(scheme, steps)
    g = encoding.float_graph(graph())
    with pytest.raises(InputError, match=f"in: .*{cause}") as found:
        encoding.float_inputs(g, {"in": np.asarray([image])})
    assert re.search(fix, found.value.fix)


@pytest.mark.parametrize("rate", [Rate.STEP, Rate.SAMPLE])
@pytest.mark.parametrize("kind", [Kind.SPIKE, Kind.ANALOG])
@pytest.mark.parametrize("scheme", ["uwe", "ttfs"])
def test_planes_stand_before_sequences_and_static_inputs(
    scheme: Any, kind: Kind, rate: Rate
) -> None:
    encoded = Encoding(scheme, 4).float_graph(graph(kind, rate))
    node = encoded_input(encoded)
    assert (node.kind, node.rate, encoded.steps) == (Kind.SPIKE, Rate.STEP, 4)


def test_planes_that_can_not_be_are_refused() -> None:
    with pytest.raises(OptionError, match="number of steps"):
        Encoding("uwe").float_graph(graph())
    with pytest.raises(OptionError, match="17 steps; uwe encoding sends one bit"):
        Encoding("uwe", 17).float_graph(graph())
    with pytest.raises(OptionError, match="5, and the network takes sequences of 4 steps"):
        Encoding("uwe", 5).float_graph(graph(rate=Rate.STEP))
    with pytest.raises(OptionError, match="takes integers; uwe encoding"):
        Encoding("uwe", 4).float_graph(graph(Kind.GRADED))


@pytest.mark.parametrize("scheme", ["uwe", "ttfs"])
def test_the_framework_stays_comparable_behind_images(scheme: Any) -> None:
    code = uwe if scheme == "uwe" else ttfs
    seen = np.moveaxis(code(planes.images(8)), 0, 1)
    model = planes.model(8, planes=seen)
    artefact = compile_model(model, Options("sim", encoding=scheme))
    example, g = artefact.example, artefact.float_graph
    assert example is not None
    assert g is not None
    assert example.inputs["in"].shape == (3, 1, 4, 4)
    inputs = artefact.encoding.float_inputs(g, example.inputs)
    np.testing.assert_array_equal(inputs["in"], seen)
    found = compare_with_framework(g, replace(example, inputs=inputs))
    assert set(found) == set(planes.LAYERS)
    assert not any(layer.differing for layer in found.values())


@pytest.mark.parametrize("scheme", ["uwe", "ttfs"])
def test_s0_runs_with_the_example(scheme: Any) -> None:
    code = uwe if scheme == "uwe" else ttfs
    model = planes.model(8, planes=np.moveaxis(code(planes.images(8)), 0, 1))
    artefact = compile_model(model, Options("sim", encoding=scheme))
    report = verify(artefact, stages=["s0", "s1", "s2", "sim"])
    assert report.ok
    assert report.pairs[0].compared


def test_an_example_that_is_no_code_is_left_out_and_said() -> None:
    twice = np.ones((2, 8, 1, 4, 4))
    artefact = compile_model(planes.model(8, planes=twice), Options("sim", encoding="ttfs"))
    assert artefact.example is None
    assert any("example is left out" in note for note in artefact.manifest["notes"])


def test_images_calibrate_and_run_on_every_engine() -> None:
    options = Options("loihi", encoding="uwe")
    artefact = compile_model(planes.model(8), options, {"in": planes.images(8, 9, seed=1)})
    assert verify(artefact, planes.images(8, 5, seed=2), ["s1", "s2", "sim", "loihi"]).ok


def test_static_networks_take_their_images_bit_by_bit() -> None:
    static = planes.model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE)
    artefact = compile_model(static, Options("sim", encoding="uwe", steps=6), planes.images(6))
    assert artefact.int_graph.steps == 6
    assert verify(artefact, planes.images(6, 4), ["s1", "s2", "sim"]).ok


def test_truth_values_are_images_of_one_bit() -> None:
    encoding = Encoding("uwe", 1)
    g = encoding.float_graph(graph())
    spikes = encoding.float_inputs(g, {"in": np.asarray([[False, True, True]])})["in"]
    assert spikes.tolist() == [[[0, 1, 1]]]


def static(example: np.ndarray[Any, Any]) -> Model:
    """A network of static images that came with this example, (sample, 1, 4, 4)."""
    return Model(planes.graph(8, Kind.ANALOG, Rate.SAMPLE), Example({"in": example}))


@pytest.mark.parametrize("scheme", ["uwe", "ttfs"])
@pytest.mark.parametrize(
    "example",
    [
        planes.images(8) / 255,
        (planes.images(8) > 100).astype(np.float32),
        planes.images(8) > 100,
        planes.images(8) - 300,
        planes.images(9) + 256,
    ],
    ids=["fractions", "black and white", "truth values", "negative", "9 bits"],
)
def test_an_example_that_is_no_image_of_integers_is_left_out_and_said(
    scheme: Any, example: np.ndarray[Any, Any]
) -> None:
    """It neither calibrates nor stands for samples that nobody gave."""
    artefact = compile_model(static(example), Options("sim", encoding=scheme))
    assert artefact.example is None
    assert any("left out: its inputs are no images" in note for note in artefact.manifest["notes"])
    for layer in artefact.manifest["layers"].values():
        assert not layer["quantisation"]["calibrated"]
    with pytest.raises(InputError, match="example is left out: its inputs are no images"):
        verify(artefact)
    with pytest.raises(OptionError, match=r"own example; .* left out") as found:
        verify(artefact, planes.images(8), "s0,s1")
    assert found.value.fix == "leave s0 out"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_example_of_images_calibrates(dtype: Any) -> None:
    model = static(planes.images(8).astype(dtype))
    artefact = compile_model(model, Options("sim", encoding="uwe"))
    assert artefact.example is not None
    assert not artefact.example.spikes
    assert verify(artefact).ok


def test_black_and_white_are_images_of_one_bit() -> None:
    model = static((planes.images(8) > 100).astype(np.float32))
    artefact = compile_model(model, Options("sim", encoding="uwe", steps=1))
    assert artefact.example is not None


def test_an_example_of_no_code_is_named_where_it_is_missed() -> None:
    model = planes.model(8, planes=np.ones((2, 8, 1, 4, 4)))
    artefact = compile_model(model, Options("sim", encoding="ttfs"))
    with pytest.raises(InputError, match="its inputs are no ttfs code"):
        verify(artefact)


@pytest.mark.parametrize(
    ("host", "fix"),
    [(("conv1",), "leave --host or --encoding away"), ((), "leave --encoding away")],
)
def test_a_host_before_spikes_can_be_left_away(host: tuple[str, ...], fix: str) -> None:
    model = planes.model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE)
    if not host:  # no core computes a ReLU
        model = Model(model.graph.with_nodes({"n1": Map("relu")}))
    with pytest.raises(OptionError, match="uwe makes spikes of the samples") as found:
        compile_model(model, Options("sim", encoding="uwe", host=host))
    assert found.value.fix == fix
