"""Small modules that the frontend tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from snnc.frontends.model import Model
from snnc.frontends.trace import trace
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


class Applied(nn.Module):
    """`op`, a function of tensors with the batch first, before a neuron, at every step.

    style: `static` inputs (batch, …) in a loop, a `loop` over sequences (step, batch, …), or
    `merged`, where op sees step and batch as one axis. Returns what op gave and the spikes.
    """

    def __init__(self, op: Callable[..., Tensor], style: str, **parts: nn.Module) -> None:
        super().__init__()
        self.op, self.style = op, style
        self.parts = nn.ModuleDict(parts)
        self.node = neuron.IFNode(step_mode="m" if style == "merged" else "s")

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.style == "merged":
            y = self.op(*(x.flatten(0, 1) for x in inputs)).unflatten(0, inputs[0].shape[:2])
            return y, self.node(y.double())
        steps = zip(*inputs, strict=True) if self.style == "loop" else [inputs] * 3
        pairs = [(y := self.op(*xs), self.node(y.double())) for xs in steps]
        return torch.stack([y for y, _ in pairs]), torch.stack([s for _, s in pairs])


STYLES = ("static", "loop", "merged")


def applied(
    op: Callable[..., Tensor],
    *shapes: tuple[int, ...],
    style: str = "loop",
    spikes: bool = False,
    batch: int = 2,
    **parts: nn.Module,
) -> Model:
    """Traces `op` on inputs of these feature shapes; its values equal torch's to 1e-12."""
    lead = (batch,) if style == "static" else (4, batch)
    inputs = [torch.randn(*lead, *shape).double() for shape in shapes]
    inputs = [(x > 0).double() for x in inputs] if spikes else inputs
    module = Applied(op, style, **parts).double()
    model = trace(
        module,
        tuple(inputs),
        time_axis=None if style == "static" else 0,
        input_kind="spike" if spikes else "analog",
    )
    assert_graph_is_module(model, 1e-12)
    return model


def kinds(model: Model) -> list[str]:
    """Node types in topological order, without inputs, outputs and the last neuron."""
    names = [type(model.graph.nodes[name]).__name__ for name in model.graph.order]
    names.remove("Neuron") if "Neuron" in names else None
    return [name for name in names if name not in ("Input", "Output")]
