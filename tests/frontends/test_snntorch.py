"""Every snnTorch neuron and setting against snnTorch's own forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snnc.errors import TraceError
from snnc.frontends.trace import trace
from snnc.ir import Neuron
from tests.frontends.nets import Recorded, assert_graph_is_module

STEPS, BATCH, FAN_IN, SIZE = 50, 3, 5, 4

PROPERTY = settings(max_examples=40, deadline=None)
resets = st.sampled_from(["subtract", "zero", "none"])
decay = st.floats(-0.2, 1.2)
positive = st.floats(0.05, 3)
seeds = st.integers(0, 2**31)


def per_neuron(values: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """A number, or a tensor of shape (1,) or (n,)."""
    tensor = st.lists(values, min_size=SIZE, max_size=SIZE).map(torch.tensor)
    return st.one_of(values, values.map(lambda x: torch.tensor([x])), tensor)


def traced(neuron: nn.Module, seed: int, dtype: torch.dtype = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(seed)
    net = Recorded(neuron, FAN_IN, SIZE)
    for parameter in net.fc.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    x = torch.randn(STEPS, BATCH, FAN_IN, generator=generator).to(dtype)
    net = net.to(dtype)
    model = trace(net, x, time_axis=0)
    own = net.eval()(x)
    for i, port in enumerate(own):
        np.testing.assert_array_equal(
            model.example.outputs[f"output_{i}"], port.detach().transpose(0, 1).numpy()
        )
    return model


@PROPERTY
@given(per_neuron(decay), per_neuron(positive), resets, st.booleans(), seeds)
def test_leaky(beta: Any, threshold: Any, reset: str, delay: bool, seed: int) -> None:
    neuron = snn.Leaky(beta, threshold, reset_mechanism=reset, reset_delay=delay)
    assert_graph_is_module(traced(neuron, seed))


@PROPERTY
@given(per_neuron(decay), per_neuron(decay), per_neuron(positive), resets, st.booleans(), seeds)
def test_synaptic(
    alpha: Any, beta: Any, threshold: Any, reset: str, delay: bool, seed: int
) -> None:
    neuron = snn.Synaptic(alpha, beta, threshold, reset_mechanism=reset, reset_delay=delay)
    assert_graph_is_module(traced(neuron, seed))


@PROPERTY
@given(
    st.sampled_from(["beta", "RC", "betaR", "betaC"]),
    st.floats(0.1, 0.95), st.floats(0.5, 3), st.floats(0.8, 3), st.floats(0.1, 1.5),
    per_neuron(positive), resets, seeds,
)  # fmt: skip
def test_lapicque(
    given_as: str, beta: float, r: float, c: float, dt: float, threshold: Any, reset: str, seed: int
) -> None:
    options = {"beta": beta, "R": r, "C": c}
    chosen = {
        "beta": ("beta",), "RC": ("R", "C"), "betaR": ("beta", "R"), "betaC": ("beta", "C"),
    }[given_as]  # fmt: skip
    neuron = snn.Lapicque(
        **{key: options[key] for key in chosen},
        time_step=dt, threshold=threshold, reset_mechanism=reset,
    )  # fmt: skip
    assert_graph_is_module(traced(neuron, seed), tolerance=1e-7)


@PROPERTY
@given(resets, st.booleans(), seeds)
def test_float32_differs_by_ties_only(reset: str, delay: bool, seed: int) -> None:
    """`trace` raises on real differences; in float32 ties may be left."""
    from snnc.reference.agreement import compare_with_framework

    model = traced(snn.Leaky(0.9, reset_mechanism=reset, reset_delay=delay), seed, torch.float32)
    report = compare_with_framework(model.graph, model.example)["neuron"]
    assert report.decisions == STEPS * BATCH * SIZE
    assert report.real == 0
    assert report.ties <= 2


@pytest.mark.parametrize(
    ("cls", "reset", "delay", "wanted"),
    [
        (snn.Leaky, "subtract", True, ("soft", "after")),
        (snn.Leaky, "zero", True, ("hard", "before")),
        (snn.Leaky, "subtract", False, ("soft", "guarded")),
        (snn.Leaky, "zero", False, ("hard", "now")),
        (snn.Leaky, "none", True, ("none", "now")),
        (snn.Synaptic, "subtract", True, ("soft", "after")),
        (snn.Synaptic, "zero", True, ("hard", "after")),
        (snn.Synaptic, "zero", False, ("hard", "now")),
    ],
)
def test_resets(cls: Any, reset: str, delay: bool, wanted: tuple[str, str]) -> None:
    decays = (0.5,) if cls is snn.Leaky else (0.5, 0.5)
    neuron = cls(*decays, reset_mechanism=reset, reset_delay=delay)
    node = traced(neuron, 0).graph.nodes["neuron"]
    assert (node.reset, node.reset_at) == wanted


def test_parameters_are_the_stored_numbers() -> None:
    neuron = snn.Leaky(torch.tensor([0.1, 0.9, 1.5, -1.0]), threshold=torch.tensor(0.3))
    node = traced(neuron, 0, torch.float32).graph.nodes["neuron"]
    assert isinstance(node, Neuron)
    wanted = np.array([np.float32(0.1), np.float32(0.9), 1, 0], np.float64)
    np.testing.assert_array_equal(node.a_v, wanted)
    assert node.theta == np.float64(np.float32(0.3))
    assert node.compare == ">"


@pytest.mark.parametrize(
    "name", ["atan", "fast_sigmoid", "sigmoid", "triangular", "spike_rate_escape"]
)
def test_surrogates_fire_above_threshold(name: str) -> None:
    neuron = snn.Leaky(0.5, spike_grad=getattr(snn.surrogate, name)())
    assert traced(neuron, 0).graph.nodes["neuron"].compare == ">"


def test_surrogate_that_fires_at_threshold() -> None:
    neuron = snn.Leaky(0.5, spike_grad=lambda x: (x >= 0).double())
    model = traced(neuron, 0)
    assert model.graph.nodes["neuron"].compare == ">="
    assert_graph_is_module(model)


class Doubled(snn.Leaky):
    def forward(self, input_: Any, mem: Any = None) -> Any:
        return super().forward(2 * input_, mem)


def mismatched() -> snn.Leaky:
    neuron = snn.Leaky(0.5, reset_mechanism="subtract")
    neuron.reset_mechanism = "zero"
    return neuron


REFUSED = {
    "inhibition": lambda: snn.Leaky(0.5, inhibition=True),
    "state_quant": lambda: snn.Leaky(0.5, state_quant=lambda x: x.round()),
    "graded_spikes_factor": lambda: snn.Leaky(0.5, graded_spikes_factor=2.0),
    "threshold": lambda: snn.Leaky(0.5, threshold=-0.1),
    "overrides": lambda: Doubled(0.5),
    "built with": mismatched,
    "not a step": lambda: snn.Leaky(0.5, spike_grad=torch.sigmoid),
    "fires at v": lambda: snn.Leaky(0.5, spike_grad=lambda x: (x >= 0).double(), reset_delay=False),
    "not supported": lambda: snn.Alpha(0.9, 0.8),
}


@pytest.mark.parametrize("cause", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refusals(cause: str) -> None:
    with pytest.raises(TraceError, match=cause) as caught:
        traced(REFUSED[cause](), 0)
    assert "neuron" in caught.value.where
    assert caught.value.fix
