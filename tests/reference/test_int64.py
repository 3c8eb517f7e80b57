"""The int64 executor against numbers worked out by hand from Lava's rules and their corners."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError
from snnc.ir import Delay, Graph, Input, IntNeuron, Kind, Linear, Output
from snnc.reference import run_int
from snnc.reference.int64 import decayed
from tests.ir.nets import chain, whole

M = 1 << 23


def run_neuron(node: IntNeuron, x: list[int]) -> tuple[dict[str, Any], dict[str, int]]:
    """s, u and v over the steps of one neuron that is driven by x directly, and its events."""
    graph = chain({"in": Input((1,), Kind.GRADED), "n": node, "out": Output()}).check()
    trace = run_int(graph, {"in": np.reshape(x, (1, -1, 1))}, {"n": ("s", "u", "v")})
    assert all(values.dtype == np.int64 for values in trace.records.values())
    ports = {port: values.ravel().tolist() for (_, port), values in trace.records.items()}
    return ports, trace.events["n"]


HALF = IntNeuron(whole(4096), whole(2048), whole(100), v_sub=whole(100), shift=0)
X = [150, 100, 50, 150, 25]


@pytest.mark.parametrize(
    ("reset", "at", "x", "spikes", "v"),
    [
        ("hard", "now", X, [1, 0, 0, 1, 0], [0, 100, 100, 0, 25]),
        ("hard", "after", X, [1, 0, 0, 1, 0], [150, 0, 50, 175, 0]),
        ("soft", "now", X, [1, 1, 0, 1, 0], [50, 25, 62, 81, 65]),
        ("soft", "after", X, [1, 0, 0, 1, 0], [150, 75, 87, 193, 21]),
        ("none", "now", X, [1, 1, 1, 1, 1], [150, 175, 137, 218, 134]),
        ("soft", "guarded", X, [1, 1, 0, 1, 0], [50, 25, 62, 81, 65]),
        ("soft", "guarded", [350, 0, 0, 200], [1, 0, 0, 1], [250, 125, 62, 131]),
        ("soft", "now", [350, 0, 0, 200], [1, 1, 0, 1], [250, 25, 12, 106]),
    ],
)
def test_resets(reset: Any, at: Any, x: list[int], spikes: list[int], v: list[int]) -> None:
    found, events = run_neuron(replace(HALF, reset=reset, reset_at=at), x)
    assert found["s"] == spikes
    assert found["v"] == v
    assert events == {"wrap": 0, "clip": 0, "disputed": 0}


def test_v_sub_need_not_be_theta() -> None:
    # v > 99 is v ≥ 100, while 100 is what is taken away.
    node = replace(HALF, reset="soft", theta=whole(99))
    assert run_neuron(node, [100, 0])[0]["v"] == [0, 0]
    # v is left at 250; at t = 1 it is 125 + 74 − 100 that must exceed 99.
    guarded = replace(node, reset_at="guarded")
    assert run_neuron(guarded, [350, 74])[0]["s"] == [1, 0]
    assert run_neuron(guarded, [350, 75])[0]["s"] == [1, 1]


@pytest.mark.parametrize(
    ("x", "d", "result"),
    [
        (5, 2048, 2), (-5, 2048, -2),  # towards zero: a floor would give −3
        (7, 0, 7), (-7, 0, -7), (M - 1, 4096, 0), (-M, 4096, 0),
        (1, 1, 0), (-1, 1, 0), (4096, 1, 4095), (M - 1, 4095, 2047), (-M, 4095, -2048),
    ],
)  # fmt: skip
def test_decay_truncates_towards_zero(x: int, d: int, result: int) -> None:
    assert decayed(whole(x), whole(d)) == result


@pytest.mark.parametrize(
    ("total", "u", "wraps"),
    [
        (M - 1, M - 1, 0),
        (M, M, 0),  # +M is kept
        (M + 1, 1 - M, 1),
        (1 - M, 1 - M, 0),
        (-M, M, 1),  # −M becomes +M
        (-M - 1, M - 1, 1),
        (3 * M, M, 1),
        (3 * M + 1, M + 1, 1),  # would need two wraps: stays out of range
        (-3 * M, -M, 1),
    ],
)
def test_u_wraps_once(total: int, u: int, wraps: int) -> None:
    found, events = run_neuron(replace(HALF, theta=whole(M - 1)), [total])
    assert found["u"] == [u]
    assert events["wrap"] == wraps
    assert events["disputed"] == 1


@pytest.mark.parametrize(
    ("x", "v", "clips"),
    [
        ([M - 1], [M - 1], 0),
        ([M], [M - 1], 1),
        ([1 - M], [1 - M], 0),
        ([M - 1, 1], [M - 1, M - 1], 1),
        ([1 - M, -1, 1], [1 - M, 1 - M, 2 - M], 1),
    ],
)
def test_v_is_clipped(x: list[int], v: list[int], clips: int) -> None:
    node = replace(HALF, dv=whole(0), theta=whole(M - 1), fires=True)
    found, events = run_neuron(node, x)
    assert found["v"] == v
    assert found["s"] == [0] * len(x)
    assert events["clip"] == clips


def test_narrower_states() -> None:
    node = replace(HALF, state_bits=8, dv=whole(0), theta=whole(127))
    found, events = run_neuron(node, [128, 129, -128])
    assert found["u"] == [128, -127, 128]
    assert found["v"] == [127, 0, 127]
    assert events == {"wrap": 2, "clip": 2, "disputed": 3}


def test_sums_above_16_bits_are_counted() -> None:
    _, events = run_neuron(HALF, [1 << 15, -(1 << 15), (1 << 15) + 1, -(1 << 15) - 1])
    assert events == {"wrap": 0, "clip": 0, "disputed": 2}


def test_shift_and_biases() -> None:
    node = IntNeuron(
        whole(2048), whole(0), whole(9999), whole(3), whole(-10), v_init=whole(7), reset="none"
    )
    found, _ = run_neuron(node, [1, -1, 0])
    assert found["u"] == [54, -47, -33]
    assert found["v"] == [7 + 54 + 3, 64 - 47 + 3, 20 - 33 + 3]


def test_order() -> None:
    node = replace(HALF, du=whole(2048), bias_v=whole(1), theta=whole(10))
    assert run_neuron(node, [8, 0, 0])[0] == {
        "u": [8, 4, 2], "v": [9, 9, 7], "s": [0, 0, 0],
    }  # fmt: skip
    assert run_neuron(replace(node, order="vu"), [8, 0, 0])[0] == {
        "u": [8, 4, 2], "v": [1, 9, 9], "s": [0, 0, 0],
    }  # fmt: skip


def test_theta_is_exceeded_strictly() -> None:
    assert run_neuron(replace(HALF, dv=whole(4096)), [100, 101])[0]["s"] == [0, 1]


def test_a_readout_never_fires() -> None:
    node = replace(HALF, dv=whole(0), fires=False)
    assert run_neuron(node, [150, 100, -500])[0]["s"] == [150, 250, -250]


def test_synapses_delay_and_exponent() -> None:
    graph = chain(
        {
            "in": Input((2,), Kind.SPIKE),
            "d": Delay(1),
            "fc": Linear(whole([[3, 2], [-3, -2]]), exp=-1),
            "out": Output(),
        }
    ).check()
    x = np.asarray([[[1, 0], [1, 1], [0, 0]]])
    assert run_int(graph, {"in": x}).outputs["out"].tolist() == [[[0, 0], [1, -2], [2, -3]]]


def test_neurons_are_independent() -> None:
    theta = whole([[100], [50]])
    graph = chain(
        {"in": Input((2, 3), Kind.GRADED), "n": replace(HALF, theta=theta), "out": Output()}
    ).check()
    x = np.random.default_rng(0).integers(-200, 200, (4, 30, 2, 3))
    spikes = run_int(graph, {"in": x}).outputs["out"]
    for channel in range(2):
        for sample in range(4):
            node = replace(HALF, theta=theta[channel, 0])
            alone, _ = run_neuron(node, x[sample, :, channel, 1].tolist())
            assert spikes[sample, :, channel, 1].tolist() == alone["s"]


def test_events_are_summed_by_layer() -> None:
    one = replace(HALF, theta=whole(M - 1))
    graph = Graph(
        {"in": Input((3,), Kind.GRADED), "a": one, "b": one, "out": Output()},
        (("in", "a"), ("a", "b"), ("b", "out")),
    ).check()
    x = np.asarray([[[M + 1, 0, M], [0, 0, 0]], [[0, -M, 0], [0, 0, M + 5]]])
    events = run_int(graph, {"in": x}).events
    assert events["a"]["wrap"] == 3
    assert events["a"]["clip"] == 2
    assert events["b"] == {"wrap": 0, "clip": 0, "disputed": 0}


def test_inputs_must_be_integers() -> None:
    graph = chain({"in": Input((1,), Kind.GRADED), "n": HALF, "out": Output()})
    assert run_int(graph, {"in": np.full((1, 1, 1), 150.0)}).outputs["out"].item() == 1
    with pytest.raises(InputError, match="takes integers"):
        run_int(graph, {"in": np.full((1, 1, 1), 150.5)})
