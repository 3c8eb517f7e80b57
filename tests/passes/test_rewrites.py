"""Rewrites of float graphs change nothing that can be observed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.compiler import PIPELINE
from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    Kind,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Sum,
)
from snnc.passes.base import run_passes
from snnc.passes.bias_synapse import BiasSynapse
from snnc.passes.distribute import Distribute
from snnc.passes.fold_gain import FoldGain
from snnc.passes.merge_hops import MergeHops
from snnc.passes.readout import AddReadouts
from snnc.passes.shift_origin import ShiftOrigin
from snnc.reference import run_float


def scalar(value: float) -> np.ndarray:
    return np.asarray(float(value))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    v_reset=st.floats(-1, 0.9),
    a_v=st.floats(0, 1),
    at=st.sampled_from(["now", "before", "after"]),
)
def test_shift_origin_keeps_every_spike(seed: int, v_reset: float, a_v: float, at: str) -> None:
    rng = np.random.default_rng(seed)
    node = Neuron(
        scalar(a_v),
        scalar(1),
        v_reset=scalar(v_reset),
        v_init=scalar(v_reset),
        reset_at=at,  # type: ignore[arg-type]
    )
    nodes = {"in": Input((4,)), "fc": Linear(rng.normal(size=(3, 4))), "n": node, "out": Output()}
    graph = Graph.chain(nodes)
    shifted = ShiftOrigin().run(graph).check()
    x = {"in": rng.normal(size=(2, 40, 4))}
    before, after = (run_float(g, x, {"n": ("h",)}) for g in (graph, shifted))
    tie = np.abs(before.records["n", "h"] - 1) < 1e-9
    assert np.all((before.outputs["out"] == after.outputs["out"]) | tie.any())
    np.testing.assert_allclose(
        after.records["n", "h"] + v_reset, before.records["n", "h"], atol=1e-9
    )


def branched(rng: np.random.Generator) -> Graph:
    """Two inputs summed into one layer that feeds two populations."""
    nodes = {
        "a": Input((2, 5, 5), Kind.SPIKE),
        "b": Input((2, 5, 5), Kind.SPIKE),
        "conv": Conv(rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), (1, 1), (1, 1)),
        "n": Neuron(scalar(0.9), scalar(1)),
        "m": Neuron(scalar(0.5), scalar(0.7), reset="soft"),
        "x": Output(),
        "y": Output(),
    }
    edges = (("a", "conv"), ("b", "conv"), ("conv", "n"), ("conv", "m"), ("n", "x"), ("m", "y"))
    return Graph(nodes, edges).check()


def test_distribute_copies_weights_and_keeps_the_sum() -> None:
    rng = np.random.default_rng(4)
    graph = branched(rng)
    split = run_passes(graph, (Distribute(), MergeHops()))
    convs = [n for n in split.nodes.values() if isinstance(n, Conv)]
    assert len(convs) == 2, "one for each target; the spikes of both inputs share it"
    assert sum(conv.bias is not None for conv in convs) == 2
    x = {key: (rng.random((2, 20, 2, 5, 5)) < 0.3).astype(float) for key in "ab"}
    for name, spikes in run_float(graph, x).outputs.items():
        np.testing.assert_array_equal(run_float(split, x).outputs[name], spikes)


def test_one_copy_of_the_weights_serves_a_row_of_sums() -> None:
    """SEW blocks: x₁, x₁ + x₂, (x₁ + x₂) + x₃, … each feed one convolution."""
    rng = np.random.default_rng(6)

    def block() -> Conv:
        return Conv(rng.normal(size=(2, 2, 3, 3)), rng.normal(size=2), padding=(1, 1))

    nodes: dict[str, Node] = {"in": Input((2, 5, 5), Kind.SPIKE)}
    edges, last = [], "in"
    for index in range(5):
        nodes |= {f"conv{index}": block(), f"n{index}": Neuron(scalar(0.5), scalar(1))}
        edges += [(last, f"conv{index}"), (f"conv{index}", f"n{index}")]
        nodes[f"sum{index}"] = Sum()
        edges += [(last, f"sum{index}"), (f"n{index}", f"sum{index}")]
        last = f"sum{index}"
    nodes |= {"pool": Pool((5, 5), (5, 5), (0, 0)), "flat": Flatten(), "out": Output()}
    nodes |= {"fc": Linear(rng.normal(size=(3, 2))), "n": Neuron(scalar(0.5), scalar(1))}
    edges += itertools.pairwise([last, "pool", "flat", "fc", "n", "out"])
    graph = Graph(nodes, tuple(edges), 8).check()
    merged = run_passes(graph, PIPELINE)
    weighted = [name for name, node in merged.nodes.items() if isinstance(node, Conv | Linear)]
    assert sorted(weighted) == ["conv0", "conv1", "conv2", "conv3", "conv4", "fc"]
    x = {"in": (rng.random((2, 8, 2, 5, 5)) < 0.3).astype(float)}
    before, after = run_float(graph, x), run_float(merged, x)
    np.testing.assert_array_equal(after.outputs["out"], before.outputs["out"])


def test_a_signal_added_to_itself_counts_twice() -> None:
    nodes: dict[str, Node] = {"in": Input((3,), Kind.SPIKE), "a": Sum(), "b": Sum(), "c": Sum()}
    nodes |= {"fc": Linear(np.eye(3)), "n": Neuron(scalar(1), scalar(3.5)), "out": Output()}
    edges = [("in", "a"), ("in", "b"), ("a", "b"), ("in", "c"), ("b", "c"), ("a", "fc")]
    edges += itertools.pairwise(["c", "fc", "n", "out"])
    graph = Graph(nodes, tuple(edges), 1).check()
    x = {"in": np.ones((1, 1, 3))}
    for tested in (graph, run_passes(graph, PIPELINE)):
        assert run_float(tested, x, {"n": ("h",)}).records["n", "h"].max() == 4


def test_readout_holds_a_current_exactly() -> None:
    rng = np.random.default_rng(5)
    nodes = {"in": Input((4,)), "fc": Linear(rng.normal(size=(3, 4)), np.ones(3)), "out": Output()}
    graph = Graph.chain(nodes)
    result = AddReadouts().run(graph).check()
    assert "out.readout" in result.nodes
    x = {"in": rng.normal(size=(2, 6, 4))}
    np.testing.assert_array_equal(
        run_float(result, x).outputs["out"], run_float(graph, x).outputs["out"]
    )


def woven(seed: int) -> Graph:
    """Stateless layers in series, each with up to two sources and two targets."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Node] = {"a": Input((4,), Kind.SPIKE), "b": Input((4,), Kind.SPIKE)}
    edges: list[tuple[str, str]] = []
    level = ["a", "b"]
    for depth in range(int(rng.integers(1, 4))):
        fresh = [f"l{depth}{i}" for i in range(int(rng.integers(1, 3)))]
        for name in fresh:
            bias = rng.normal(size=4) if rng.random() < 0.5 else None
            nodes[name] = Linear(rng.normal(size=(4, 4)), bias)
            chosen = rng.choice(level, int(rng.integers(1, len(level) + 1)), replace=False)
            edges += [(str(source), name) for source in chosen]
        level = fresh
    for name in ("n", "m"):
        nodes[name] = Neuron(scalar(0.8), scalar(1), reset="soft")
        chosen = rng.choice(level, int(rng.integers(1, len(level) + 1)), replace=False)
        edges += [(str(source), name) for source in chosen]
        nodes[f"{name}.out"] = Output()
        edges.append((name, f"{name}.out"))
    fed = {source for source, _ in edges}
    nodes = {k: v for k, v in nodes.items() if k in fed or isinstance(v, Output)}
    return Graph(nodes, tuple(e for e in edges if e[0] in nodes and e[1] in nodes))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_pipeline_keeps_every_spike_of_woven_graphs(seed: int) -> None:
    """A node that is split twice must not gain or lose a path."""
    try:
        graph = woven(seed).check()
    except GraphError:
        return
    rng = np.random.default_rng(seed)
    x = {key: (rng.random((2, 10, 4)) < 0.4).astype(float) for key in graph.inputs}
    rewritten = run_passes(graph, PIPELINE)
    record = {"n": ("h",), "m": ("h",)}
    before, after = run_float(graph, x, record), run_float(rewritten, x, record)
    for key, membrane in before.records.items():
        near = np.abs(membrane - 1) < 1e-9
        if not near.any():
            np.testing.assert_allclose(after.records[key], membrane, atol=1e-8)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_fold_gain_keeps_every_spike(reset: str) -> None:
    rng = np.random.default_rng(6)
    node = Neuron(
        scalar(0.8), rng.uniform(0.5, 1.5, (2, 3, 3)), g=rng.uniform(0.3, 2, (2, 3, 3)),
        b=scalar(0.1), v_init=scalar(0.2), v_reset=scalar(-0.1 if reset == "hard" else 0.0),
        reset=reset,  # type: ignore[arg-type]
    )  # fmt: skip
    conv = Conv(rng.normal(size=(2, 2, 3, 3)), rng.normal(size=2), padding=(1, 1))
    graph = Graph.chain({"in": Input((2, 3, 3)), "conv": conv, "n": node, "out": Output()})
    folded = FoldGain().run(graph).check()
    result = folded.nodes["n"]
    assert isinstance(result, Neuron)
    assert result.g.ndim == 0
    x = {"in": rng.normal(size=(3, 20, 2, 3, 3))}
    np.testing.assert_array_equal(run_float(folded, x).outputs["out"],
                                  run_float(graph, x).outputs["out"])  # fmt: skip


def test_fold_gain_leaves_a_membrane_that_is_read() -> None:
    node = Neuron(scalar(0.8), scalar(1), g=np.random.default_rng(0).uniform(0.3, 2, (2, 3, 3)))
    graph = Graph.chain({"in": Input((2, 3, 3)), "n": node, "out": Output("v")})
    assert FoldGain().run(graph).nodes["n"] is node


@pytest.mark.parametrize("a_v", [0.0, 0.7])
@pytest.mark.parametrize("compare", [">", ">="])
def test_shift_origin_lifts_the_negative_threshold_of_a_gate(a_v: float, compare: str) -> None:
    """(1 − a)·(1 − b) of spikes is a neuron with θ = −0.5."""
    rng = np.random.default_rng(7)
    gate = Neuron(
        scalar(a_v), scalar(-0.5), v_init=scalar(0.25), reset="none",
        compare=compare,  # type: ignore[arg-type]
    )  # fmt: skip
    nodes = {"in": Input((4,)), "fc": Linear(-np.ones((3, 4))), "n": gate, "out": Output()}
    graph = Graph.chain(nodes)
    lifted = ShiftOrigin().run(graph).check()
    node = lifted.nodes["n"]
    assert isinstance(node, Neuron)
    assert float(node.theta) == 1.0
    x = {"in": (rng.random((2, 20, 4)) < 0.4).astype(float)}
    np.testing.assert_array_equal(run_float(lifted, x).outputs["out"],
                                  run_float(graph, x).outputs["out"])  # fmt: skip


def test_bias_synapse_keeps_every_membrane() -> None:
    rng = np.random.default_rng(8)
    conv = Conv(rng.normal(size=(2, 2, 3, 3)), rng.normal(size=(2, 4, 4)), padding=(1, 1))
    node = Neuron(scalar(0.8), scalar(1), a_u=scalar(0.6), reset="soft")
    nodes = {"in": Input((2, 4, 4), Kind.SPIKE), "conv": conv, "n": node, "out": Output()}
    graph = Graph.chain(nodes)
    result = BiasSynapse().run(graph).check()
    assert all(getattr(n, "bias", None) is None for n in result.nodes.values())
    x = {"in": (rng.random((3, 20, 2, 4, 4)) < 0.4).astype(float)}
    before, after = (run_float(g, x, {"n": ("h",)}) for g in (graph, result))
    np.testing.assert_allclose(after.records["n", "h"], before.records["n", "h"], atol=1e-12)
    np.testing.assert_array_equal(after.outputs["out"], before.outputs["out"])


@pytest.mark.parametrize("first", ["fc", "rec"])
def test_bias_synapse_of_a_recurrent_layer_stays_out_of_its_loop(first: str) -> None:
    rng = np.random.default_rng(9)
    nodes: dict[str, Node] = {
        "in": Input((3,), Kind.SPIKE), "fc": Linear(rng.normal(size=(4, 3))), "late": Delay(1),
        "rec": Linear(rng.normal(size=(4, 4)), rng.normal(size=4)),
        "n": Neuron(scalar(0.8), scalar(1), a_u=scalar(0.6), reset="soft"), "out": Output(),
    }  # fmt: skip
    edges = [("in", "fc"), ("n", "late"), ("late", "rec"), ("n", "out")]
    edges += [(name, "n") for name in sorted(("fc", "rec"), key=lambda name: name != first)]
    graph = Graph(nodes, tuple(edges), 12).check()
    result = BiasSynapse().run(graph).check()
    assert result.sources("n.silence") == ["in"]
    x = {"in": (rng.random((3, 12, 3)) < 0.4).astype(float)}
    before, after = (run_float(g, x, {"n": ("h",)}) for g in (graph, result))
    np.testing.assert_allclose(after.records["n", "h"], before.records["n", "h"], atol=1e-12)


def test_bias_synapse_leaves_a_neuron_without_synaptic_current() -> None:
    nodes = {
        "in": Input((4,)), "fc": Linear(np.ones((3, 4)), np.ones(3)),
        "n": Neuron(scalar(0.8), scalar(1)), "out": Output(),
    }  # fmt: skip
    graph = Graph.chain(nodes)
    assert BiasSynapse().run(graph) is graph
