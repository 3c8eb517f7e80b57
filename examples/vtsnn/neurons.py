"""Soft-reset IF and LIF neurons over all steps at once, for training.

The same spikes and gradients as SpikingJelly's `IFNode` and `LIFNode` with `v_reset=None` and the
surrogate ATan(α = 2), whose derivative is 1/(1 + (πu)²) (Qiu et al. 2023, equation 5), but all
steps are one node of the autograd tape, which keeps one tensor instead of six:

    h_t = a·v_{t−1} + g·x_t;  s_t = h_t ≥ θ;  v_t = h_t − θ·s_t

Trained weights go into the plain SpikingJelly network; nothing is exported with these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor

Kernels = tuple[Callable[..., Any], Callable[..., Any]]


def _forward(x: Tensor, decay: float, gain: float, threshold: float) -> tuple[Tensor, Tensor]:
    """Spikes and distances h − θ from the threshold, (step, batch, …) like x."""
    v = torch.zeros_like(x[0])
    spikes, distances = [], []
    for current in x:
        potential = decay * v + gain * current
        distance = potential - threshold
        fired = distance >= 0
        v = potential - threshold * fired
        spikes.append(fired.to(x.dtype))
        distances.append(distance)
    return torch.stack(spikes), torch.stack(distances)


def _backward(
    grad: Tensor, distances: Tensor, decay: float, gain: float, threshold: float, carried: float
) -> Tensor:
    """Gradient of x; `carried` 0 cuts the membrane between steps, and the reset with it."""
    later = torch.zeros_like(grad[0])  # of v after the reset
    grads = []
    for t in range(len(grad) - 1, -1, -1):
        surrogate = 1 / (1 + (torch.pi * distances[t]) ** 2)
        potential = (grad[t] - threshold * later) * surrogate + later
        grads.append(gain * potential)
        later = carried * decay * potential
    return torch.stack(grads[::-1])


@cache
def kernels(compiled: bool) -> Kernels:
    """Forward and backward pass, fused by torch.compile if asked for (needs a C++ compiler)."""
    if not compiled:
        return _forward, _backward
    return torch.compile(_forward, dynamic=False), torch.compile(_backward, dynamic=False)


class SoftReset(torch.autograd.Function):
    """All steps of a population of soft-reset neurons."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, decay: float, gain: float, threshold: float, how: tuple[bool, bool]
    ) -> Tensor:
        compiled, through_time = how
        spikes, distances = kernels(compiled)[0](x, decay, gain, threshold)
        ctx.save_for_backward(distances)
        ctx.settings = (decay, gain, threshold, float(through_time))
        ctx.compiled = compiled
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (distances,) = ctx.saved_tensors
        return kernels(ctx.compiled)[1](grads[0], distances, *ctx.settings), None, None, None, None


class FusedIF(neuron.IFNode):
    """`IFNode(v_reset=None, step_mode="m")`, faster to train.

    Args:
        threshold: θ.
        compiled: whether torch.compile fuses the steps.
        through_time: whether gradients pass from step to step.
        jitter: standard deviation of a noise on the input in training, in thresholds.
    """

    decay, gain = 1.0, 1.0

    def __init__(
        self,
        threshold: float,
        *,
        compiled: bool = False,
        through_time: bool = True,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(v_threshold=threshold, v_reset=None, step_mode="m")
        self.how = (compiled, through_time)
        self.jitter = jitter

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        if self.training and self.jitter:
            x_seq = x_seq + self.jitter * self.v_threshold * torch.randn_like(x_seq)
        return SoftReset.apply(x_seq, self.decay, self.gain, self.v_threshold, self.how)


class FusedLIF(FusedIF):
    """`LIFNode(τ, v_reset=None, step_mode="m")` likewise: h = v + (x − v)/τ.

    Args:
        tau: τ, in steps; the others are those of `FusedIF`.
    """

    def __init__(self, threshold: float, tau: float, **how: Any) -> None:
        super().__init__(threshold, **how)
        self.decay, self.gain = 1 - 1 / tau, 1 / tau
