"""From real numbers to the chip's integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import RefusedError
from snnc.ir import Conv, Graph, Input, IntNeuron, Kind, Linear, Neuron, Output, Pool
from snnc.passes.calibrate import Statistics
from snnc.passes.limits import read_limits
from snnc.passes.quantise import quantise
from snnc.reference import run_float, run_int
from snnc.targets.cores import CHIPS

LOIHI1, LOIHI2 = (read_limits(CHIPS / f"{chip}.toml") for chip in ("loihi1", "loihi2"))


def chain(weight: np.ndarray, *, bias: np.ndarray | None = None, **neuron: Any) -> Graph:
    values = {
        key: np.asarray(v, float) if isinstance(v, int | float) else v for key, v in neuron.items()
    }
    cell = Neuron(**{"a_v": np.asarray(1.0), "theta": np.asarray(1.0), **values})
    nodes = {
        "in": Input((weight.shape[1],), Kind.SPIKE),
        "fc": Linear(weight, bias),
        "n": cell,
        "out": Output(),
    }
    return Graph.chain(nodes)


def neuron_of(graph: Graph) -> IntNeuron:
    node = graph.nodes["n"]
    assert isinstance(node, IntNeuron)
    return node


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    compare=st.sampled_from([">", ">="]),
    reset=st.sampled_from(
        [("hard", "now"), ("hard", "after"), ("hard", "before"), ("soft", "now"), ("soft", "after"),
         ("soft", "guarded"), ("none", "now")]
    ),
    a_v=st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_numbers_on_a_binary_grid_lose_nothing(
    seed: int, compare: str, reset: tuple[str, str], a_v: float
) -> None:
    """Weights k/8, thresholds k/8 and no leak: S2 has exactly the spikes of S1, ties included."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-8, 9, (5, 6)) / 8
    theta = float(rng.integers(0 if compare == ">" else 1, 17) / 8)
    graph = chain(weight, theta=theta, a_v=a_v, compare=compare, reset=reset[0], reset_at=reset[1])
    spikes = (rng.random((4, 30, 6)) < 0.5).astype(float)
    exact = run_float(graph, {"in": spikes}).outputs["out"]
    result = quantise(graph, LOIHI2)
    np.testing.assert_array_equal(run_int(result.graph, {"in": spikes}).outputs["out"], exact)
    assert result.layers["n"].weight_error == 0


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.floats(1e-3, 1e3),
    a_v=st.floats(0, 1),
    a_u=st.sampled_from([0.0, 0.5, 0.97]),
    reset=st.sampled_from(["hard", "soft"]),
    chip=st.sampled_from(["loihi1", "loihi2"]),
)
def test_every_register_holds_its_number(
    seed: int, size: float, a_v: float, a_u: float, reset: str, chip: str
) -> None:
    limits = LOIHI1 if chip == "loihi1" else LOIHI2
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(4, 5)) * size
    graph = chain(weight, theta=size, a_v=a_v, a_u=a_u, reset=reset)
    result = quantise(graph, limits)
    node = neuron_of(result.graph)
    synapse = result.graph.nodes["fc"]
    assert isinstance(synapse, Linear)
    assert synapse.weight.min() >= limits.weight_min
    assert synapse.weight.max() <= limits.weight_max
    assert not np.any(synapse.weight % limits.weight_step)
    assert np.all((node.du >= 0) & (node.du <= 4096) & (node.dv >= 0) & (node.dv <= 4096))
    assert np.all(node.theta <= ((1 << limits.theta_bits) - 1) << limits.shift)
    report = result.layers["n"]
    worst = limits.weight_step / 2 / np.abs(synapse.weight).max()
    assert report.weight_error <= worst * 1.01
    assert report.decay_error <= 0.5 / 4096 * 1.0001


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), reset=st.sampled_from(["hard", "soft"]))
def test_a_leaky_membrane_that_meets_its_threshold_fires(seed: int, reset: str) -> None:
    """v ≥ θ, as SpikingJelly compares: sums of exact weights meet θ exactly, and often."""
    rng = np.random.default_rng(seed)
    graph = chain(rng.integers(-12, 13, (5, 4)) / 8, a_v=0.5, compare=">=", reset=reset)
    spikes = {"in": (rng.random((4, 8, 4)) < 0.4).astype(float)}
    real = run_float(graph, spikes).outputs["out"]
    whole = run_int(quantise(graph, LOIHI2).graph, spikes).outputs["out"]
    np.testing.assert_array_equal(whole, real)


def test_on_loihi1_a_leaky_membrane_that_meets_its_threshold_fires() -> None:
    graph = chain(np.eye(2), a_v=0.5, compare=">=")
    spikes = {"in": np.ones((1, 6, 2))}
    whole = run_int(quantise(graph, LOIHI1).graph, spikes).outputs["out"]
    np.testing.assert_array_equal(whole, run_float(graph, spikes).outputs["out"])


def test_eight_bits_are_used() -> None:
    rng = np.random.default_rng(0)
    result = quantise(chain(rng.normal(size=(8, 8)), a_v=0.9), LOIHI2)
    assert result.layers["n"].weight_bits == 8


def test_bias_is_kept_and_sits_on_the_grid_without_leak() -> None:
    bias = np.asarray([0.3, -0.2, 0.05])
    result = quantise(chain(np.eye(3), bias=bias), LOIHI2)
    node = neuron_of(result.graph)
    assert not np.any(node.bias_v % 64)
    np.testing.assert_allclose(node.bias_v.ravel() / result.layers["n"].scale, bias, atol=0.01)


def test_bias_into_a_synaptic_current_goes_to_u() -> None:
    node = neuron_of(quantise(chain(np.eye(3), bias=np.ones(3), a_u=0.5, a_v=0.5), LOIHI2).graph)
    assert np.any(node.bias_u)
    assert not np.any(node.bias_v)


def test_average_before_weights_is_a_sum_of_spikes() -> None:
    rng = np.random.default_rng(2)
    nodes = {
        "in": Input((2, 4, 4), Kind.SPIKE),
        "pool": Pool((2, 2), (2, 2), (0, 0), "sum"),
        "conv": Conv(rng.integers(-4, 5, (3, 2, 1, 1)) / 4, None),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0)),
        "out": Output(),
    }
    edges = tuple(zip(list(nodes), list(nodes)[1:], strict=False))
    graph = Graph(nodes, edges).check()
    spikes = (rng.random((3, 12, 2, 4, 4)) < 0.4).astype(float)
    np.testing.assert_array_equal(
        run_int(quantise(graph, LOIHI2).graph, {"in": spikes}).outputs["out"],
        run_float(graph, {"in": spikes}).outputs["out"],
    )


def test_calibration_leaves_room_for_what_was_reached() -> None:
    graph = chain(np.eye(3), a_v=0.9)
    result = quantise(graph, LOIHI2, Statistics({"n": 1000.0}))
    assert result.layers["n"].range >= 2000
    assert result.layers["n"].calibrated


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (chain(np.eye(2), a_v=1.5), "not between 0 and 1"),
        (chain(np.eye(2), theta=-1.0), "threshold lies below"),
        (chain(np.eye(2), g=np.asarray([1.0, 2.0]), reset="hard"), ""),
    ],
)
def test_refusals_name_the_node(graph: Graph, match: str) -> None:
    if not match:
        quantise(graph, LOIHI2)
        return
    with pytest.raises(RefusedError, match=match) as error:
        quantise(graph, LOIHI2)
    assert error.value.where == "n"
    assert error.value.fix


def test_gain_that_differs_within_a_channel_is_refused() -> None:
    nodes = {
        "in": Input((1, 2, 2), Kind.SPIKE),
        "conv": Conv(np.ones((1, 1, 1, 1)), None),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0), g=np.asarray([[[1.0, 2], [3, 4]]])),
        "out": Output(),
    }
    graph = Graph.chain(nodes)
    with pytest.raises(RefusedError, match="gain differs within a channel"):
        quantise(graph, LOIHI2)


def test_real_input_needs_an_encoding() -> None:
    graph = chain(np.eye(2))
    graph = graph.with_nodes({"in": Input((2,), Kind.ANALOG)})
    with pytest.raises(RefusedError, match="choose an encoding"):
        quantise(graph, LOIHI2)


def test_graded_input_is_refused_on_loihi1() -> None:
    graph = chain(np.eye(2)).with_nodes({"in": Input((2,), Kind.GRADED, bits=8, scale=1 / 255)})
    quantise(graph, LOIHI2)
    with pytest.raises(RefusedError, match="graded spikes of 8 bits"):
        quantise(graph, LOIHI1)


def test_sums_beyond_32_bits_are_refused() -> None:
    graph = chain(np.ones((1, 4000)))
    wide = replace(graph.nodes["in"], kind=Kind.GRADED, bits=16)  # type: ignore[type-var]
    with pytest.raises(RefusedError, match="32 bits"):
        quantise(graph.with_nodes({"in": wide}), LOIHI2, Statistics({"n": 1.0}))


def test_a_sum_of_different_units_is_refused() -> None:
    """Two membranes with scales of their own can't be added as integers."""
    nodes = {
        "in": Input((2,), Kind.SPIKE),
        "fine": Linear(np.eye(2) * 0.01),
        "n": Neuron(np.asarray(0.5), np.asarray(0.0), reset="none", compare="never"),
        "coarse": Linear(np.eye(2) * 10),
        "m": Neuron(np.asarray(0.5), np.asarray(0.0), reset="none", compare="never"),
        "out": Output(),
    }
    edges = (
        ("in", "fine"),
        ("fine", "n"),
        ("in", "coarse"),
        ("coarse", "m"),
        ("n", "out"),
        ("m", "out"),
    )
    with pytest.raises(RefusedError, match="different units"):
        quantise(Graph(nodes, edges).check(), LOIHI2)


@pytest.mark.parametrize(("a_u", "a_v"), [(0.95, 0.99), (0.0, 1.0), (0.5, 0.5)])
def test_an_uncalibrated_readout_has_room_for_what_builds_up(a_u: float, a_v: float) -> None:
    nodes = {
        "in": Input((3,), Kind.SPIKE),
        "fc": Linear(np.ones((2, 3))),
        "n": Neuron(
            np.asarray(a_v), np.asarray(0.0), np.asarray(a_u), reset="none", compare="never"
        ),
        "out": Output(),
    }
    graph = Graph.chain(nodes, steps=200)
    result = quantise(graph, LOIHI2)
    x = {"in": np.ones((1, 200, 3))}
    trace = run_int(result.graph, x)
    assert trace.events["n"]["clip"] == trace.events["n"]["wrap"] == 0
    real = run_float(graph, x).outputs["out"]
    np.testing.assert_allclose(
        trace.outputs["out"] * result.units["out"], real, rtol=0.02, atol=real.max() * 0.02
    )


def test_a_current_that_is_read_out_keeps_its_bias() -> None:
    nodes = {
        "in": Input((3,), Kind.SPIKE),
        "fc": Linear(np.eye(3), np.asarray([0.5, 1.0, 2.0])),
        "n": Neuron(np.asarray(0.9), np.asarray(50.0), g=np.asarray(0.25)),
        "out": Output("u"),
    }
    graph = Graph.chain(nodes, steps=5)
    result = quantise(graph, LOIHI2)
    x = {"in": np.ones((1, 5, 3))}
    np.testing.assert_allclose(
        run_int(result.graph, x).outputs["out"] * result.units["out"],
        run_float(graph, x).outputs["out"],
        rtol=0.01,
    )


def test_threshold_zero_is_a_neuron_program_and_refused_on_loihi1() -> None:
    graph = chain(np.asarray([[1.0, -1.0]]), theta=0.0, compare=">=")
    spikes = np.asarray([[[0.0, 0], [1, 0], [0, 1], [0, 1]]])
    np.testing.assert_array_equal(
        run_int(quantise(graph, LOIHI2).graph, {"in": spikes}).outputs["out"],
        run_float(graph, {"in": spikes}).outputs["out"],
    )


def test_tiny_weights_without_data_keep_the_threshold_in_its_register() -> None:
    node = neuron_of(quantise(chain(np.eye(2) * 1e-8), LOIHI2).graph)
    assert node.theta <= 131071 << 6


def test_weights_of_zero_leave_the_bias_its_precision() -> None:
    result = quantise(chain(np.zeros((3, 2)), bias=np.asarray([0.3, 0.001, -0.2]), a_v=0.9), LOIHI2)
    found = neuron_of(result.graph).bias_v.ravel() / result.layers["n"].scale
    np.testing.assert_allclose(found, [0.3, 0.001, -0.2], atol=1e-4)


@pytest.mark.parametrize("limits", [LOIHI1, LOIHI2], ids=["loihi1", "loihi2"])
def test_a_clock_made_of_a_bias_alone_keeps_its_period(limits: Any) -> None:
    graph = chain(np.zeros((1, 2)), b=1.0, theta=10.0, compare=">=")
    x = {"in": np.zeros((1, 100, 2), int)}
    real, whole = run_float(graph, x), run_int(quantise(graph, limits).graph, x)
    assert real.outputs["out"].sum() == 10
    np.testing.assert_array_equal(whole.outputs["out"], real.outputs["out"])


def test_the_most_negative_weight_stays_on_the_grid() -> None:
    weight = np.asarray([[-1.0, 127 / 128, 3 / 128]])
    result = quantise(chain(weight), LOIHI2)
    assert result.layers["n"].weight_error == 0
    assert result.layers["n"].weight_bits == 8


def test_few_weight_bits_are_noted() -> None:
    result = quantise(chain(np.eye(2)), LOIHI1, Statistics({"n": 1e5}))
    assert any("bits of the weights" in note for note in result.graph.notes)
