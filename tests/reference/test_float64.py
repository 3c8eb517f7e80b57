"""The float64 executor against numbers worked out by hand from the docstring of `Neuron`."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError, OptionError
from snnc.ir import Delay, Graph, Input, Linear, Neuron, Output, Rate
from snnc.reference import run_float
from tests.ir.nets import chain, number


def run_neuron(node: Neuron, x: list[float], force: list[int] | None = None) -> dict[str, Any]:
    """s, u, v and h of one neuron over the steps."""
    graph = chain({"in": Input((1,)), "n": node, "out": Output()}).check()
    forced = {} if force is None else {"n": np.asarray(force).reshape(1, -1, 1)}
    trace = run_float(graph, {"in": np.reshape(x, (1, -1, 1))}, {"n": ("s", "u", "v", "h")}, forced)
    assert np.array_equal(trace.outputs["out"].shape, (1, len(x), 1))
    return {port: values.ravel().tolist() for (_, port), values in trace.records.items()}


LEAKY = Neuron(number(0.5), number(1.0), v_reset=number(0.25))
X = [1.5, 1.0, 0.5, 1.5, 0.25]


@pytest.mark.parametrize(
    ("reset", "at", "x", "spikes", "v"),
    [
        ("hard", "now", X, [1, 1, 0, 1, 0], [0.25, 0.25, 0.625, 0.25, 0.375]),
        ("hard", "before", X, [1, 1, 0, 1, 0], [1.5, 1.125, 0.625, 1.8125, 0.375]),
        # t = 1: 0.5·1.5 + 1 would spike; the reset swallows it.
        ("hard", "after", X, [1, 0, 0, 1, 0], [1.5, 0.25, 0.625, 1.8125, 0.25]),
        ("soft", "now", X, [1, 1, 0, 1, 0], [0.5, 0.25, 0.625, 0.8125, 0.65625]),
        ("soft", "before", X, [1, 1, 0, 1, 0], [1.5, 1.25, 0.625, 1.8125, 0.65625]),
        # t = 1: 0.5·1.5 + 1 − 1: the subtraction is not decayed.
        ("soft", "after", X, [1, 0, 0, 1, 0], [1.5, 0.75, 0.875, 1.9375, 0.21875]),
        ("none", "now", X, [1, 1, 1, 1, 1], [1.5, 1.75, 1.375, 2.1875, 1.34375]),
        ("soft", "guarded", X, [1, 1, 0, 1, 0], [0.5, 0.25, 0.625, 0.8125, 0.65625]),
        # v is left at 2.5, above θ: at t = 1 it is 1.25 − 1 that is compared, and v stays.
        ("soft", "guarded", [3.5, 0, 0, 2], [1, 0, 0, 1], [2.5, 1.25, 0.625, 1.3125]),
        ("soft", "now", [3.5, 0, 0, 2], [1, 1, 0, 1], [2.5, 0.25, 0.125, 1.0625]),
    ],
)
def test_resets(reset: Any, at: Any, x: list[float], spikes: list[int], v: list[float]) -> None:
    found = run_neuron(replace(LEAKY, reset=reset, reset_at=at), x)
    assert found["s"] == spikes
    assert found["v"] == v


def test_h_is_the_membrane_as_compared() -> None:
    assert run_neuron(LEAKY, X)["h"] == [1.5, 1.125, 0.625, 1.8125, 0.375]
    guarded = replace(LEAKY, reset="soft", reset_at="guarded")
    assert run_neuron(guarded, [3.5, 0, 0, 2])["h"] == [3.5, 0.25, -0.375, 2.3125]


def test_compare() -> None:
    gate = Neuron(number(0.0), number(1.0))
    above = float(np.nextafter(1, 2))
    assert run_neuron(gate, [1.0, above, 0.5])["s"] == [0, 1, 0]
    assert run_neuron(replace(gate, compare=">="), [1.0, above, 0.5])["s"] == [1, 1, 0]
    read = replace(LEAKY, compare="never", reset="none")
    assert run_neuron(read, X)["s"] == [1.5, 1.75, 1.375, 2.1875, 1.34375]


def test_a_guard_compares_as_the_neuron_does() -> None:
    # v is left at exactly θ after step 0; only ≥ says that it still reaches it.
    guarded = replace(LEAKY, reset="soft", reset_at="guarded")
    assert run_neuron(guarded, [2, 1])["s"] == [1, 1]
    assert run_neuron(replace(guarded, compare=">="), [2, 1])["s"] == [1, 0]


def test_order_and_current() -> None:
    node = Neuron(
        number(0.5), number(9.0), number(0.5), number(2.0), number(0.25), v_init=number(4.0),
        reset="none", compare="never",
    )  # fmt: skip
    found = run_neuron(node, [1, 0, 0])
    assert found["u"] == [1, 0.5, 0.25]
    assert found["v"] == [4.25, 3.375, 2.4375]
    late = run_neuron(replace(node, order="vu"), [1, 0, 0])
    assert late["u"] == [1, 0.5, 0.25]
    assert late["v"] == [2.25, 3.375, 2.9375]


def test_forced_spikes_reset_but_decisions_stay_their_own() -> None:
    found = run_neuron(LEAKY, X, force=[0, 1, 1, 0, 0])
    # v: 1.5 | 1.75 → .25 | .625 → .25 | 1.625 | 1.0625
    assert found["v"] == [1.5, 0.25, 0.25, 1.625, 1.0625]
    assert found["s"] == [1, 1, 0, 1, 1]


def test_parameters_broadcast_by_channel() -> None:
    theta = np.asarray([1.0, 2.0]).reshape(2, 1, 1)
    graph = chain(
        {"in": Input((2, 2, 3)), "n": Neuron(number(1.0), theta), "out": Output(reduce="sum")}
    )
    x = np.full((1, 4, 2, 2, 3), 1.25)
    assert run_float(graph, {"in": x}).outputs["out"][0, :, 0, 0].tolist() == [4, 2]


def test_samples_are_independent_and_states_start_anew() -> None:
    graph = chain({"in": Input((3,)), "n": LEAKY, "out": Output()})
    x = np.random.default_rng(0).normal(size=(5, 20, 3)) + 0.5
    together = run_float(graph, {"in": x}).outputs["out"]
    apart = [run_float(graph, {"in": x[i : i + 1]}).outputs["out"] for i in range(5)]
    assert np.array_equal(together, np.concatenate(apart))
    assert 0.1 < together.mean() < 0.9


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [("none", [[1, 2, 4]]), ("sum", [7]), ("mean", [7 / 3]), ("last", [4])],
)
def test_reductions(reduce: Any, expected: list[float]) -> None:
    graph = chain({"in": Input(()), "out": Output(reduce=reduce)})
    assert run_float(graph, {"in": np.asarray([[1, 2, 4]])}).outputs["out"].tolist() == expected


def test_delay_and_sums() -> None:
    graph = Graph(
        {"in": Input((1,)), "d": Delay(2), "out": Output(), "only": Output()},
        (("in", "d"), ("d", "out"), ("in", "out"), ("d", "only")),
    ).check()
    trace = run_float(graph, {"in": np.asarray([1, 2, 3, 4]).reshape(1, 4, 1)})
    assert trace.outputs["only"].ravel().tolist() == [0, 0, 1, 2]
    assert trace.outputs["out"].ravel().tolist() == [1, 2, 4, 6]


def test_outputs_of_states_and_of_several_neurons() -> None:
    graph = Graph(
        {"in": Input((1,)), "a": LEAKY, "b": replace(LEAKY, reset="none"), "v": Output("v")},
        (("in", "a"), ("in", "b"), ("a", "v"), ("b", "v")),
    ).check()
    v = run_float(graph, {"in": np.reshape(X, (1, 5, 1))}).outputs["v"].ravel()
    assert v.tolist() == [1.75, 2.0, 2.0, 2.4375, 1.71875]


@pytest.mark.parametrize("before", [True, False])
def test_a_loop_takes_its_delay(before: bool) -> None:
    nodes = {
        "in": Input((1,)),
        "n": Neuron(number(0.0), number(0.5)),
        "w": Linear(np.asarray([[-2.0]])),
        "d": Delay(1),
        "out": Output(),
    }
    inner = (("n", "d"), ("d", "w"), ("w", "n")) if before else (("n", "w"), ("w", "d"), ("d", "n"))
    graph = Graph(nodes, (("in", "n"), ("n", "out"), *inner)).check()
    found = run_float(graph, {"in": np.ones((1, 6, 1))}).outputs["out"]
    assert found.ravel().tolist() == [1, 0, 1, 0, 1, 0]


def test_inputs_once_per_sample() -> None:
    graph = chain(
        {
            "in": Input((2,), rate=Rate.SAMPLE),
            "fc": Linear(np.asarray([[1.0, 2.0]])),
            "n": Neuron(number(1.0), number(9.0), reset="none", compare="never"),
            "out": Output(),
        },
        steps=3,
    )
    assert graph.check().signals["fc"].rate is Rate.SAMPLE
    found = run_float(graph, {"in": np.asarray([[1.0, 1.0]])}, {"fc": ("s",)})
    assert found.outputs["out"].ravel().tolist() == [3, 6, 9]
    assert found.records["fc", "s"].ravel().tolist() == [3, 3, 3]
    with pytest.raises(InputError, match="how many steps"):
        run_float(graph.with_(steps=None), {"in": np.ones((1, 2))})


def test_wrong_inputs_are_refused() -> None:
    graph = Graph(
        {"a": Input((2,)), "b": Input((2,)), "out": Output()}, (("a", "out"), ("b", "out"))
    )
    good = np.ones((3, 4, 2))
    for inputs, cause in (
        ({"a": good}, "no array for this input"),
        ({"a": good, "b": good[..., :1]}, "has shape"),
        ({"a": good, "b": good[:, 0]}, "has shape"),
        ({"a": good, "b": good[:2]}, "different lengths"),
        ({"a": good, "b": good[:, :2]}, "different steps"),
    ):
        with pytest.raises(InputError, match=cause):
            run_float(graph, inputs)
    with pytest.raises(OptionError, match="no such node"):
        run_float(graph, {"a": good, "b": good}, {"c": ("s",)})
