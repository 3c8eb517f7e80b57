"""Small modules that the frontend tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnc.frontends.model import Model
from snnc.reference import run_float


class Recorded(nn.Module):
    """A linear layer and an snnTorch neuron; returns its spikes and states of every step."""

    def __init__(self, neuron: nn.Module, fan_in: int, size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(fan_in, size)
        self.neuron = neuron

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        states: tuple[Tensor, ...] = ()
        steps = []
        for x_t in x:
            spikes, *states = self.neuron(self.fc(x_t), *states)
            steps.append((spikes, *states))
        return tuple(torch.stack(port) for port in zip(*steps, strict=True))


class Loop(nn.Module):
    """A body whose forward is given as a function of (module, x)."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.body = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.body(self, x)


def assert_graph_is_module(model: Model, tolerance: float = 1e-9) -> None:
    """Free-running float64 reference against the module's own (float64) outputs."""
    assert model.example is not None
    record = dict.fromkeys(model.graph.neurons, ("s",))
    run = run_float(model.graph, model.example.inputs, record)
    for name, spikes in model.example.spikes.items():
        np.testing.assert_array_equal(run.records[name, "s"], spikes, err_msg=name)
    for name, output in model.example.outputs.items():
        assert run.outputs[name].shape == output.shape
        np.testing.assert_allclose(run.outputs[name], output, rtol=tolerance, atol=tolerance)
