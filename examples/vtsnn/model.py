"""U-VTSNN (Qiu et al. 2023, section 2.5): a spiking U-Net that sees one bit plane per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import Tensor, nn

from examples.vtsnn.neurons import FusedIF, FusedLIF

THRESHOLD, LAST_THRESHOLD, TAU = 1.0, 0.077, 1.1
"""Section 3.2.1: θ everywhere, θ of the 1×1 convolution at the end, τ of the LIF variant."""

Kind = Literal["if", "lif", "relu"]
KINDS: tuple[Kind, ...] = ("if", "lif", "relu")
Activation = Callable[[float], nn.Module]
"""Neurons of a given threshold."""


class Block(nn.Module):
    """3×3 convolution and neurons, twice."""

    def __init__(self, channels: int, out: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = layer.Conv2d(channels, out, 3, padding=1, step_mode="m")
        self.fire1 = activation(THRESHOLD)
        self.conv2 = layer.Conv2d(out, out, 3, padding=1, step_mode="m")
        self.fire2 = activation(THRESHOLD)

    def forward(self, x: Tensor) -> Tensor:
        return self.fire2(self.conv2(self.fire1(self.conv1(x))))


class Up(nn.Module):
    """Transposed 2×2 convolution of stride 2, and neurons."""

    def __init__(self, channels: int, out: int, activation: Activation) -> None:
        super().__init__()
        self.conv = layer.ConvTranspose2d(channels, out, 2, stride=2, step_mode="m")
        self.fire = activation(THRESHOLD)

    def forward(self, x: Tensor) -> Tensor:
        return self.fire(self.conv(x))


class UVTSNN(nn.Module):
    """116,753 parameters, with the biases that the authors' code has and their text denies.

    Maps (step, batch, 1, y, x) to the same shape; y and x are multiples of 4. Spikes in, spikes
    out; with ReLU as the activation it is the ANN of the same shape, for one step of real pixels.
    """

    def __init__(self, activation: Activation, last: nn.Module) -> None:
        super().__init__()
        self.down1 = Block(1, 16, activation)
        self.down2 = Block(16, 32, activation)
        self.bottom = Block(32, 64, activation)
        self.up2 = Up(64, 32, activation)
        self.join2 = Block(64, 32, activation)
        self.up1 = Up(32, 16, activation)
        self.join1 = Block(32, 16, activation)
        self.last = layer.Conv2d(16, 1, 1, step_mode="m")
        self.out = last
        self.pool = layer.MaxPool2d(2, step_mode="m")

    def forward(self, planes: Tensor) -> Tensor:
        fine = self.down1(planes)
        coarse = self.down2(self.pool(fine))
        deep = self.bottom(self.pool(coarse))
        coarse = self.join2(torch.cat([self.up2(deep), coarse], dim=2))
        fine = self.join1(torch.cat([self.up1(coarse), fine], dim=2))
        return self.out(self.last(fine))


def build(kind: Kind = "if") -> UVTSNN:
    """The untrained network, of SpikingJelly's own neurons (or ReLU, with a linear output)."""
    if kind == "relu":
        return UVTSNN(lambda _: nn.ReLU(), nn.Identity())

    def spiking(threshold: float) -> nn.Module:
        common = {"v_threshold": threshold, "v_reset": None, "step_mode": "m"}
        if kind == "lif":
            return neuron.LIFNode(tau=TAU, surrogate_function=surrogate.ATan(), **common)
        return neuron.IFNode(surrogate_function=surrogate.ATan(), **common)

    return UVTSNN(spiking, spiking(LAST_THRESHOLD))


def build_fused(
    kind: Kind, *, compiled: bool = False, through_time: bool = True, jitter: float = 0.0
) -> UVTSNN:
    """The same network, with the same parameters by name, of neurons that train faster.

    Args:
        jitter: noise on the inputs of the output neurons in training, in thresholds.
    """
    if kind == "relu":
        return build(kind)

    def spiking(threshold: float, jitter: float = 0.0) -> nn.Module:
        how: dict[str, Any] = {
            "compiled": compiled, "through_time": through_time, "jitter": jitter
        }  # fmt: skip
        return FusedLIF(threshold, TAU, **how) if kind == "lif" else FusedIF(threshold, **how)

    return UVTSNN(spiking, spiking(LAST_THRESHOLD, jitter))
