"""The sim engine against the int64 executor that defines S2: every spike, state and count."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from snnc.errors import GraphError, InputError
from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Rate,
)
from snnc.targets.sim import engine, plan, steps, synapse
from snnc.targets.sim.engine import run
from tests.targets.graphs import Wanted, int_cases
from tests.targets.sim.helpers import assert_equal, everything

A = NDArray[Any]
M = 1 << 23
Case = tuple[Graph, dict[str, A]]


def chain(steps: int | None, *nodes: Node) -> Graph:
    """A graph of nodes one after the other, named n0, n1, …, and an output."""
    table = {f"n{i}": node for i, node in enumerate((*nodes, Output()))}
    names = list(table)
    return Graph(table, tuple(pairwise(names)), steps).check()


def neuron(theta: Any, dv: Any = 0, du: Any = 4096, **settings: Any) -> IntNeuron:
    arrays = {k: v if isinstance(v, str | bool | int) and k in
              ("reset", "reset_at", "order", "fires", "shift", "state_bits")
              else np.asarray(v, np.int64) for k, v in settings.items()}  # fmt: skip
    return IntNeuron(np.asarray(du, np.int64), np.asarray(dv, np.int64),
                     np.asarray(theta, np.int64), **arrays)  # fmt: skip


def spikes(shape: tuple[int, ...], density: float = 0.3, seed: int = 0) -> A:
    return (np.random.default_rng(seed).random(shape) < density).astype(np.int64)


def weights(shape: tuple[int, ...], limit: int = 100, seed: int = 1) -> A:
    return np.random.default_rng(seed).integers(-limit, limit + 1, shape)


# ---- random graphs


@settings(max_examples=150, deadline=None)
@given(int_cases())
def test_random_graphs_are_equal_in_every_port(case: Case) -> None:
    graph, inputs = case
    assert_equal(graph, inputs, everything(graph))


@settings(max_examples=100, deadline=None)
@given(int_cases(samples=7))
def test_random_graphs_are_equal_in_small_tiles_on_two_threads(case: Case) -> None:
    small = mock.patch.multiple(
        plan, STATE_ELEMENTS=8, TILE_BYTES=1, STEPS_MAX=3, THREAD_ELEMENTS=1
    )
    with small, mock.patch.object(engine, "processors", return_value=2):
        assert_equal(*case)
    with mock.patch.multiple(plan, STATE_ELEMENTS=8, STEPS_MAX=3):
        assert_equal(case[0], case[1], everything(case[0]))
    with mock.patch.object(steps, "WIDE", 1), mock.patch.object(synapse, "PATCHES", 50):
        assert_equal(case[0], case[1], everything(case[0]))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(int_cases())
def test_two_thousand_random_graphs_are_equal(case: Case) -> None:
    assert_equal(*case, everything(case[0]))
    # Without records more outputs share memory, and concatenations are not laid out.
    assert_equal(*case)


@settings(max_examples=60, deadline=None)
@given(int_cases(Wanted(lif_only=True)))
def test_random_lif_graphs_are_equal(case: Case) -> None:
    assert_equal(*case, everything(case[0]))


# ---- neurons at their limits, in the float path


RESETS = [("hard", "now"), ("hard", "after"), ("soft", "now"), ("soft", "after"),
          ("soft", "guarded"), ("none", "now")]  # fmt: skip


@pytest.mark.parametrize(("reset", "reset_at"), RESETS)
@pytest.mark.parametrize("order", ["uv", "vu"])
@pytest.mark.parametrize(
    ("du", "dv"), [(4096, 0), (4096, 410), (100, 410), (4096, 4096), (0, 2048)]
)
def test_every_reset_order_and_decay(
    reset: str, reset_at: str, order: str, du: int, dv: int
) -> None:
    theta = 120 << 6
    node = neuron(theta, dv, du, reset=reset, reset_at=reset_at, order=order, v_sub=theta,
                  bias_v=77, bias_u=-5, v_init=1234)  # fmt: skip
    graph = chain(None, Input((20,), Kind.SPIKE), Linear(weights((15, 20))), node)
    with mock.patch.object(engine.Population, "_by_reference", side_effect=AssertionError):
        want = assert_equal(graph, {"n0": spikes((3, 30, 20))}, everything(graph))
    assert want.records["n2", "s"].any()


@pytest.mark.parametrize("theta", [0, 131071 << 6, -1, M])
def test_thresholds_at_their_limits(theta: int) -> None:
    graph = chain(
        None, Input((6,), Kind.SPIKE), Linear(weights((9, 6), 127)), neuron(theta, 3, reset="hard")
    )
    assert_equal(graph, {"n0": spikes((2, 40, 6), 0.8)}, everything(graph))


@pytest.mark.parametrize("bias", [M - 2, M - 1, M, M + 1, 1 - M, -M, -M - 1, 3 * M])
@pytest.mark.parametrize("which", ["bias_u", "bias_v"])
def test_states_around_the_edges_of_24_bits(bias: int, which: str) -> None:
    node = neuron(M - 2, 1, 4096, reset="none", **{which: bias})
    graph = chain(None, Input((2,), Kind.SPIKE), Linear(np.asarray([[1, -1], [0, 1]])), node)
    inputs = {"n0": spikes((2, 9, 2), 0.5)}
    want = assert_equal(graph, inputs, everything(graph))
    assert sum(want.events["n2"].values()) > 0


@pytest.mark.parametrize("dv", [0, 1])
def test_clips_are_counted_one_by_one(dv: int) -> None:
    node = neuron(M, dv, reset="none")
    graph = chain(None, Input((1,), Kind.SPIKE), Linear(np.asarray([[20000], [-20000], [7]])), node)
    want = assert_equal(graph, {"n0": np.ones((2, 20, 1), np.int64)}, everything(graph))
    assert want.events["n2"]["clip"] > 2 * 20
    assert want.events["n2"]["wrap"] == 0


def test_wraps_are_counted_one_by_one() -> None:
    node = neuron(1 << 20, 0, 0, reset="none")
    graph = chain(None, Input((1,), Kind.SPIKE), Linear(np.asarray([[30000], [-30000]])), node)
    want = assert_equal(graph, {"n0": np.ones((2, 50, 1), np.int64)}, everything(graph))
    assert want.events["n2"]["wrap"] > 0


def test_disputed_sums_are_counted_also_for_an_input_given_once() -> None:
    for rate, shape in ((Rate.SAMPLE, (2, 3)), (Rate.STEP, (2, 5, 3))):
        source = Input((3,), Kind.GRADED, rate, bits=8)
        graph = chain(5, source, Linear(np.full((4, 3), 127)), neuron(M - 1, 4000, reset="hard"))
        want = assert_equal(graph, {"n0": np.full(shape, 255)}, everything(graph))
        assert want.events["n2"]["disputed"] == 2 * 5 * 4


@pytest.mark.parametrize("scale", [1, 1 << 12, 1 << 20, 1 << 40])
def test_decays_of_wide_states_truncate_towards_zero(scale: int) -> None:
    node = neuron(scale * 50, 1, 1, reset="none", bias_v=3, state_bits=24 if scale == 1 else 50)
    graph = chain(
        None, Input((5,), Kind.SPIKE), Linear(weights((8, 5)) * scale), node,
    )  # fmt: skip
    assert_equal(graph, {"n0": spikes((2, 60, 5))}, everything(graph))


def test_parameters_per_channel_and_per_neuron() -> None:
    rng = np.random.default_rng(4)
    node = neuron(rng.integers(1000, 9000, (3, 1, 1)), rng.integers(0, 4097, (3, 4, 5)),
                  rng.integers(0, 4097, (3, 1, 1)), bias_v=rng.integers(-99, 99, (3, 4, 5)),
                  v_sub=rng.integers(500, 900, (3, 1, 1)), reset="soft",
                  reset_at="after")  # fmt: skip
    graph = chain(
        None, Input((2, 4, 5), Kind.SPIKE), Conv(weights((3, 2, 3, 3)), padding=(1, 1)), node
    )
    want = assert_equal(graph, {"n0": spikes((3, 25, 2, 4, 5))}, everything(graph))
    assert want.records["n2", "s"].any()


# ---- sums at the limits of the number formats


@pytest.mark.parametrize("total", [(1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 53) - 1,
                                   1 << 53, (1 << 53) + 1, 1 << 60])  # fmt: skip
@pytest.mark.parametrize("exp", [0, -1, -13, 1])
def test_sums_near_the_exact_range_of_floats(total: int, exp: int) -> None:
    weight = np.asarray([[total - 3, 1, 1, 1], [3 - total, -1, -1, -1], [total - 3, -1, 3, 1]])
    graph = chain(None, Input((4,), Kind.SPIKE), Linear(weight, exp=exp))
    assert_equal(graph, {"n0": spikes((4, 16, 4), 0.7)}, everything(graph))
    wide = chain(None, Input((4,), Kind.SPIKE), Linear(weight, exp=exp),
                 neuron(M - 1, 17, state_bits=24, shift=0))  # fmt: skip
    assert_equal(wide, {"n0": spikes((4, 16, 4), 0.7)}, everything(wide))


@pytest.mark.parametrize("total", [1 << 24, (1 << 24) + 2])
def test_two_sums_that_meet_beyond_float32(total: int) -> None:
    nodes: dict[str, Node] = {
        "a": Input((2,), Kind.SPIKE), "b": Input((2,), Kind.SPIKE, Rate.SAMPLE),
        "fa": Linear(np.asarray([[total - 1, 1]])), "fb": Linear(np.asarray([[total - 1, 0]])),
        "n": neuron(0, 5, shift=0, state_bits=30), "o": Output("v"),
    }  # fmt: skip
    edges = (("a", "fa"), ("b", "fb"), ("fa", "n"), ("fb", "n"), ("n", "o"))
    graph = Graph(nodes, edges).check()
    inputs = {"a": spikes((6, 8, 2), 0.6), "b": spikes((6, 2), 0.8)}
    assert_equal(graph, inputs, everything(graph))


@pytest.mark.parametrize("exp", [-1, -3, -9])
def test_negative_exponents_floor(exp: int) -> None:
    graph = chain(None, Input((7,), Kind.SPIKE), Linear(weights((9, 7)), exp=exp), neuron(50 << 6))
    assert_equal(graph, {"n0": spikes((3, 12, 7))}, everything(graph))
    image = chain(None, Input((2, 6, 6), Kind.SPIKE), Conv(weights((4, 2, 3, 3)), exp=exp))
    assert_equal(image, {"n0": spikes((3, 4, 2, 6, 6))}, everything(image))


# ---- shapes of runs and graphs


def test_one_sample_one_step_and_no_activity() -> None:
    graph = chain(None, Input((3,), Kind.SPIKE), Linear(weights((4, 3))), neuron(100, bias_v=60))
    assert_equal(graph, {"n0": spikes((1, 1, 3))}, everything(graph))
    assert_equal(graph, {"n0": np.zeros((4, 9, 3), np.int64)}, everything(graph))


def test_no_samples() -> None:
    graph = chain(None, Input((3,), Kind.SPIKE), Linear(weights((4, 3))), neuron(100))
    trace = run(graph, {"n0": np.zeros((0, 5, 3), np.int64)}, {"n2": ("v",)})
    assert trace.outputs["n3"].shape == trace.records["n2", "v"].shape == (0, 5, 4)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.int32, np.float32])
def test_inputs_of_any_dtype_and_layout(dtype: type) -> None:
    graph = chain(None, Input((5,), Kind.SPIKE), Linear(weights((6, 5))), neuron(100 << 6))
    x = np.asfortranarray(spikes((4, 10, 5)).astype(dtype))
    assert_equal(graph, {"n0": x}, everything(graph))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64])
def test_neurons_that_follow_an_input_a_pool_or_each_other(dtype: type) -> None:
    graph = chain(None, Input((2, 4, 4), Kind.SPIKE), neuron(60, 99), neuron(100, 3),
                  Pool((2, 2), (2, 2), (0, 0), "sum"), neuron(150, 200, reset="soft",
                  reset_at="after", v_sub=150, bias_u=5))  # fmt: skip
    want = assert_equal(graph, {"n0": spikes((3, 30, 2, 4, 4), 0.7).astype(dtype)},
                        everything(graph))  # fmt: skip
    assert want.records["n4", "s"].any()


@pytest.mark.parametrize("reduce", ["none", "sum", "mean", "last"])
@pytest.mark.parametrize("port", ["s", "u", "v"])
def test_outputs_over_several_tiles(port: str, reduce: str) -> None:
    graph = chain(None, Input((4,), Kind.SPIKE), Linear(weights((5, 4))), neuron(90 << 6, 99))
    graph = graph.with_nodes({"n3": Output(port, reduce)})  # type: ignore[arg-type]
    with mock.patch.object(plan, "STEPS_MAX", 4):
        assert_equal(graph, {"n0": spikes((3, 11, 4))})


def test_values_given_once_can_be_read_reduced_and_delayed() -> None:
    nodes: dict[str, Node] = {
        "i": Input((3,), Kind.GRADED, Rate.SAMPLE, bits=8), "f": Linear(weights((2, 3))),
        "d": Delay(2), "sum": Output(reduce="sum"), "last": Output(reduce="last"),
        "seq": Output(), "mean": Output(reduce="mean"), "late": Output(),
    }  # fmt: skip
    edges = (("i", "f"), ("f", "sum"), ("f", "last"), ("f", "seq"), ("f", "mean"),
             ("f", "d"), ("d", "late"))  # fmt: skip
    graph = Graph(nodes, edges, 5).check()
    assert_equal(graph, {"i": spikes((4, 3), 0.5) * 200}, everything(graph))


def test_an_output_of_several_nodes_sums_them() -> None:
    nodes: dict[str, Node] = {
        "a": Input((3,), Kind.SPIKE), "b": Input((3,), Kind.SPIKE, Rate.SAMPLE),
        "x": Output(), "y": Output(reduce="sum"), "z": Output(reduce="last"),
    }  # fmt: skip
    edges = tuple((a, b) for a in "ab" for b in "xyz")
    inputs = {"a": spikes((3, 5, 3)), "b": spikes((3, 3), seed=3)}
    assert_equal(Graph(nodes, edges).check(), inputs)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_loops_through_a_delay(steps: int) -> None:
    nodes: dict[str, Node] = {
        "i": Input((4,), Kind.SPIKE), "f": Linear(weights((6, 4))), "n": neuron(150 << 6, 300),
        "back": Linear(weights((6, 6), seed=5)), "d": Delay(steps), "o": Output(),
    }  # fmt: skip
    edges = (("i", "f"), ("f", "n"), ("n", "back"), ("back", "d"), ("d", "n"), ("n", "o"))
    graph = Graph(nodes, edges).check()
    want = assert_equal(graph, {"i": spikes((3, 20, 4))}, everything(graph))
    assert want.records["d", "s"].any()


def test_a_loop_of_weights_alone_grows_beyond_floats() -> None:
    nodes: dict[str, Node] = {
        "i": Input((1,), Kind.SPIKE), "f": Linear(np.asarray([[3]])), "d": Delay(1),
        "g": Linear(np.asarray([[7]])), "o": Output(), "n": neuron(500, shift=0),
    }  # fmt: skip
    edges = (("i", "f"), ("d", "f"), ("f", "d"), ("f", "o"), ("f", "g"), ("g", "n"))
    graph = Graph(nodes, edges).check()
    want = assert_equal(graph, {"i": np.ones((1, 38, 1), np.int64)}, {"f": ("s",), "g": ("s",)})
    assert want.records["f", "s"].max() > 1 << 59


def test_a_neuron_that_never_fires_feeds_its_state_on() -> None:
    graph = chain(
        None, Input((4,), Kind.SPIKE), Linear(weights((5, 4))), neuron(0, 410, fires=False),
        Linear(weights((3, 5), 3), exp=-6), neuron(9000, 100),
    )  # fmt: skip
    want = assert_equal(graph, {"n0": spikes((3, 20, 4))}, everything(graph))
    assert want.records["n4", "s"].any()


@pytest.mark.parametrize("options", [
    {}, {"padding": (2,)}, {"stride": (2,), "padding": (1,)}, {"dilation": (2,), "padding": (2,)},
    {"groups": 2}, {"groups": 4, "stride": (3,)}])  # fmt: skip
def test_convolutions_over_one_axis(options: dict[str, Any]) -> None:
    groups = options.get("groups", 1)
    one = {"stride": (1,), "padding": (0,), "dilation": (1,)} | options
    node = Conv(weights((4, 4 // groups, 3)), np.asarray([1, -2, 3, 0]), **one)
    graph = chain(None, Input((4, 11), Kind.SPIKE), node, Pool((2,), (2,), (0,), "sum"), Flatten())
    assert_equal(graph, {"n0": spikes((3, 6, 4, 11))}, everything(graph))


@pytest.mark.parametrize("options", [
    {"padding": (1, 2)}, {"stride": (1, 2)}, {"stride": (2, 1), "dilation": (1, 2)},
    {"dilation": (2, 2), "padding": (3, 0)}, {"groups": 2, "padding": (0, 1)}])  # fmt: skip
@pytest.mark.parametrize("kernel", [(3, 2), (1, 1), (2, 3)])
def test_convolutions_over_two_axes(options: dict[str, Any], kernel: tuple[int, int]) -> None:
    node = Conv(weights((4, 2 // options.get("groups", 1), *kernel)), **options)
    graph = chain(
        None, Input((2, 7, 6), Kind.SPIKE), node, neuron(60 << 6, 50, reset="soft", v_sub=99)
    )
    assert_equal(graph, {"n0": spikes((3, 6, 2, 7, 6))}, everything(graph))


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 2), (20, 20)])
@pytest.mark.parametrize("value", [1, 3, 1 << 20, -5])
def test_sum_pools(kernel: tuple[int, int], value: int) -> None:
    for stride, padding in ((kernel, (0, 0)), ((1, 2), (0, 0)), ((2, 2), (kernel[0] // 2, 0))):
        pool = Pool(kernel, stride, padding, "sum")
        graph = chain(None, Input((2, 20, 40), Kind.GRADED, bits=24, signed=True), pool)
        assert_equal(graph, {"n0": spikes((2, 3, 2, 20, 40), 0.9) * value}, everything(graph))


# ---- what a user sees


def test_progress_rises_to_one() -> None:
    graph = chain(None, Input((4,), Kind.SPIKE), Linear(weights((5, 4))), neuron(900))
    told: list[float] = []
    with mock.patch.multiple(plan, STATE_ELEMENTS=5, STEPS_MAX=2):
        run(graph, {"n0": spikes((6, 8, 4))}, None, told.append)
    assert told == sorted(told)
    assert len(told) > 6
    assert told[-1] == pytest.approx(1)


def test_wrong_inputs_are_named() -> None:
    graph = chain(None, Input((4,), Kind.SPIKE), Linear(weights((5, 4))), neuron(900))
    for x, cause in ((np.zeros((2, 3, 5), int), "shape"), (np.full((2, 3, 4), 0.5), "integers"),
                     (np.full((2, 3, 4), "a"), "integers")):  # fmt: skip
        with pytest.raises(InputError, match=cause):
            run(graph, {"n0": x})


def test_real_numbers_are_refused() -> None:
    real = chain(3, Input((4,)), Linear(np.ones((2, 4))), Neuron(np.asarray(0.5), np.asarray(1.0)))
    with pytest.raises(GraphError, match="quantise"):
        run(real, {"n0": np.zeros((1, 3, 4), int)})


def test_a_state_that_a_node_lacks_is_named() -> None:
    graph = chain(3, Input((4,), Kind.SPIKE), Linear(weights((5, 4))))
    with pytest.raises(GraphError, match="no state 'v'"):
        run(graph, {"n0": spikes((1, 3, 4))}, {"n1": ("v",)})
