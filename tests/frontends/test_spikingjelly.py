"""Every supported SpikingJelly neuron and setting against SpikingJelly's own forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.trace import trace
from tests.frontends.nets import assert_graph_is_module

STEPS, BATCH, FAN_IN, SIZE = 50, 3, 5, 4

PROPERTY = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**31)
threshold = st.floats(0.1, 3)
reset = st.one_of(st.none(), st.floats(-2, 0.05))
mode = st.sampled_from(["s", "m"])


class Recorded(nn.Module):
    """Returns the spikes and the membranes of every step, in either step mode."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.fc = layer.Linear(FAN_IN, SIZE, step_mode=node.step_mode)
        self.node = node

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.node.step_mode == "m":
            return self.node(self.fc(x)), self.node.v_seq
        spikes, membranes = [], []
        for x_t in x:
            spikes.append(self.node(self.fc(x_t)))
            membranes.append(self.node.v)
        return torch.stack(spikes), torch.stack(membranes)


def traced(node: nn.Module, seed: int, dtype: torch.dtype = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(seed)
    net = Recorded(node)
    for parameter in net.fc.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    x = torch.randn(STEPS, BATCH, FAN_IN, generator=generator).to(dtype)
    net = net.to(dtype)
    model = trace(net, x, time_axis=0)
    functional.reset_net(net)
    for name, own in zip(("output_0", "output_1"), net.eval()(x), strict=True):
        np.testing.assert_array_equal(
            model.example.outputs[name], own.detach().transpose(0, 1).numpy()
        )
    return model


@PROPERTY
@given(threshold, reset, mode, seeds)
def test_if(theta: float, v_reset: float | None, step_mode: str, seed: int) -> None:
    node = neuron.IFNode(theta, v_reset, step_mode=step_mode, store_v_seq=True)
    assert_graph_is_module(traced(node, seed))


@PROPERTY
@given(st.floats(1.01, 20), st.booleans(), threshold, reset, mode, seeds)
def test_lif(
    tau: float, decay_input: bool, theta: float, v_reset: float | None, step_mode: str, seed: int
) -> None:
    node = neuron.LIFNode(tau, decay_input, theta, v_reset, step_mode=step_mode, store_v_seq=True)
    assert_graph_is_module(traced(node, seed))


@PROPERTY
@given(st.floats(1.01, 20), st.booleans(), threshold, reset, mode, seeds)
def test_parametric_lif(
    tau: float, decay_input: bool, theta: float, v_reset: float | None, step_mode: str, seed: int
) -> None:
    node = neuron.ParametricLIFNode(
        tau, decay_input, theta, v_reset, step_mode=step_mode, store_v_seq=True
    )
    assert_graph_is_module(traced(node, seed))


@PROPERTY
@given(st.floats(1.01, 20), st.booleans(), threshold, st.floats(-2, 0.05), seeds)
def test_simple_nodes(
    tau: float, decay_input: bool, theta: float, v_reset: float, seed: int
) -> None:
    assert_graph_is_module(traced(neuron.SimpleLIFNode(tau, decay_input, theta, v_reset), seed))
    assert_graph_is_module(traced(neuron.SimpleIFNode(theta, None), seed))
    assert_graph_is_module(traced(neuron.SimpleIFNode(theta, v_reset), seed))


@PROPERTY
@given(reset, st.booleans(), mode, seeds)
def test_float32_kernel_differs_by_ties_only(
    v_reset: float | None, decay_input: bool, step_mode: str, seed: int
) -> None:
    """float32 takes SpikingJelly's own CPU kernel, float64 its reference."""
    from snnc.reference.agreement import compare_with_framework

    node = neuron.LIFNode(2.0, decay_input, 1.0, v_reset, step_mode=step_mode, store_v_seq=True)
    model = traced(node, seed, torch.float32)
    report = compare_with_framework(model.graph, model.example)["node"]
    assert report.real == 0
    assert report.ties <= 2


@pytest.mark.parametrize("name", ["Sigmoid", "ATan", "PiecewiseQuadratic", "Erf"])
def test_surrogates_fire_at_threshold(name: str) -> None:
    node = neuron.IFNode(surrogate_function=getattr(surrogate, name)(), store_v_seq=True)
    assert traced(node, 0).graph.nodes["node"].compare == ">="


def test_initial_membrane_is_the_registered_one() -> None:
    node = neuron.IFNode(v_reset=-0.5, store_v_seq=True)
    node.set_reset_value("v", 0.25)
    functional.reset_net(node)
    model = traced(node, 3)
    assert model.graph.nodes["node"].v_init == 0.25
    assert_graph_is_module(model)


class Doubled(neuron.IFNode):
    def single_step_forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return super().single_step_forward(2 * x, *args, **kwargs)


def with_precision() -> neuron.IFNode:
    node = neuron.IFNode()
    node._neuron_precision = (torch.float16, "fp16", "fp16")
    return node


def with_tensor_state() -> neuron.IFNode:
    node = neuron.IFNode()
    node.set_reset_value("v", torch.ones(SIZE))
    return node


def primitive() -> neuron.IFNode:
    return neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=False))


REFUSED = {
    "overrides": Doubled,
    "arithmetic": with_precision,
    "tensor": with_tensor_state,
    "not a step": primitive,
    "not supported": lambda: neuron.QIFNode(),
}


@pytest.mark.parametrize("cause", REFUSED)
def test_refusals(cause: str) -> None:
    with pytest.raises(TraceError, match=cause) as caught:
        traced(REFUSED[cause](), 0)
    assert "node" in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_convolutional_net_in_both_step_modes(step_mode: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.AvgPool2d(2),
        layer.Dropout(0.5),
        layer.Flatten(),
        layer.Linear(4 * 3 * 4, 5),
        neuron.ParametricLIFNode(v_reset=None),
    ).double()
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    functional.set_step_mode(net, step_mode)
    model = trace(net, torch.randn(7, 2, 2, 6, 8).double(), time_axis=0)
    kinds = [type(model.graph.nodes[n]).__name__ for n in model.graph.order]
    assert kinds == [
        "Input", "Conv", "Scale", "Neuron", "Pool", "Flatten", "Linear", "Neuron", "Output",
    ]  # fmt: skip
    assert model.graph.steps == 7
    assert model.graph.nodes["input"].shape == (2, 6, 8)
    assert_graph_is_module(model)


def test_multi_step_mode_takes_time_first_by_itself() -> None:
    net = nn.Sequential(nn.Linear(3, 4), neuron.IFNode(step_mode="m")).double()
    model = trace(net, torch.randn(6, 2, 3).double())
    assert model.graph.steps == 6
    assert_graph_is_module(model)


@pytest.mark.parametrize("container", ["SeqToANNContainer", "MultiStepContainer"])
def test_containers(container: str) -> None:
    inner = (
        layer.SeqToANNContainer(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Flatten())
        if container == "SeqToANNContainer"
        else layer.MultiStepContainer(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Flatten())
    )
    net = nn.Sequential(inner, nn.Linear(9, 4), neuron.IFNode(step_mode="m")).double()
    model = trace(net, torch.randn(6, 2, 2, 5).double())
    kinds = [type(model.graph.nodes[n]).__name__ for n in model.graph.order]
    assert kinds == ["Input", "Conv", "Scale", "Flatten", "Linear", "Neuron", "Output"]
    assert_graph_is_module(model)


def test_a_net_is_left_as_it_was() -> None:
    net = nn.Sequential(layer.Linear(3, 4), neuron.IFNode()).train()
    net(torch.rand(2, 3))
    before = net[1].v
    model = trace(net, torch.rand(5, 3), steps=4)
    assert net[1].v is before
    assert net.training
    assert net[1].training
    assert all("forward" not in vars(m) for m in net.modules())
    assert model.example.spikes["1"].shape == (5, 4, 4)
