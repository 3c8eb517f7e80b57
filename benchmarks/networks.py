"""The networks of the speed benchmark: the same integers as an S2 graph and as a torch module.

Weights are random, thresholds are set so that 5 to 20 % of the neurons spike per step; the float
weights of the module are the integer ones over the threshold, so both compute the same network up
to the rounding of the leak. `leaky` is snnTorch's default neuron (subtract, one step late), `lif`
the one that Lava has built in (to zero, at once).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snnc.ir import Conv, Flatten, Graph, Input, IntNeuron, Kind, Linear, Node, Output, Pool, Rate

Style = Literal["leaky", "lif"]
DECAY = 410
"""β = 1 − 410/4096 ≈ 0.9."""
UNIT = 64
"""Units of the membrane per unit of a weighted sum (the shift of 6)."""
GREY = 63
"""Largest input of the CNN: 6 bits, so that its sums stay within Loihi's."""


@dataclass(frozen=True)
class Network:
    """A benchmark network.

    Attributes:
        name: as the table shows it. steps: T per sample.
        macs: multiply-adds per step and sample, every synapse counted at every step.
        weights, thetas: integers, by layer; θ in units of a weighted sum.
    """

    name: str
    steps: int
    macs: int
    weights: tuple[np.ndarray, ...]
    thetas: tuple[int, ...]

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        graph = self.graph("lif")
        return sum(graph.signals[name].size for name in graph.neurons)

    def graph(self, style: Style) -> Graph:
        """The integer graph."""
        raise NotImplementedError

    def module(self) -> Any:
        """The torch module; its input is `tensor(inputs)`."""
        raise NotImplementedError

    def inputs(self, samples: int) -> np.ndarray:
        """Inputs of the integer graph."""
        raise NotImplementedError

    def tensor(self, inputs: np.ndarray) -> Any:
        """The same inputs for the torch module."""
        raise NotImplementedError


def _neuron(theta: int, style: Style) -> IntNeuron:
    level = np.asarray(theta * UNIT, np.int64)
    du, dv = np.asarray(4096), np.asarray(DECAY)
    if style == "lif":
        return IntNeuron(du, dv, level)
    return IntNeuron(du, dv, level, v_sub=level, reset="soft", reset_at="after")


def _chain(nodes: dict[str, Node], steps: int) -> Graph:
    return Graph(nodes, tuple(itertools.pairwise(nodes)), steps).check()


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 2 * np.clip(np.rint(rng.normal(2, 25, shape)), -128, 127).astype(np.int32)


def _set(parameter: Any, values: np.ndarray) -> None:
    import torch

    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.astype(np.float32)))


class Mlp(Network):
    """784-256-10 on rate-coded images: 19 % of the pixels are lit, each spikes every other step."""

    lit = 0.19
    rate = 0.5
    first_exp = 0

    def _source(self) -> Input:
        return Input((784,), Kind.SPIKE)

    def _gains(self) -> tuple[float, float]:
        """Integer input per unit of the module's input, by layer."""
        return 1.0, 1.0

    def graph(self, style: Style) -> Graph:
        nodes: dict[str, Node] = {"in": self._source()}
        for i, (weight, theta) in enumerate(zip(self.weights, self.thetas, strict=True)):
            exp = self.first_exp if i == 0 else 0
            nodes |= {f"fc{i}": Linear(weight, exp=exp), f"lif{i}": _neuron(theta, style)}
        return _chain(nodes | {"out": Output("s", "sum")}, self.steps)

    def module(self) -> Any:
        import snntorch
        import torch
        from torch import nn

        class Module(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                beta = 1 - DECAY / 4096
                self.fc0, self.fc1 = nn.Linear(784, 256, bias=False), nn.Linear(256, 10, bias=False)
                self.lif0, self.lif1 = snntorch.Leaky(beta=beta), snntorch.Leaky(beta=beta)

            def forward(self, x: Any) -> Any:
                mem0, mem1 = self.lif0.init_leaky(), self.lif1.init_leaky()
                out = []
                for step in x:
                    spikes, mem0 = self.lif0(self.fc0(step), mem0)
                    spikes, mem1 = self.lif1(self.fc1(spikes), mem1)
                    out.append(spikes)
                return torch.stack(out)

        module = Module()
        for layer, weight, theta, gain in zip((module.fc0, module.fc1), self.weights, self.thetas,
                                              self._gains(), strict=True):  # fmt: skip
            _set(layer.weight, weight * (gain / theta))
        return module.eval()

    def inputs(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng(7)
        lit = rng.random((samples, 1, 784)) < self.lit
        return ((rng.random((samples, self.steps, 784)) < self.rate) & lit).view(np.uint8)

    def tensor(self, inputs: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(inputs.swapaxes(0, 1).astype(np.float32))


class DirectMlp(Mlp):
    """784-256-10 on 8-bit images given once per sample, as MNIST is mostly run."""

    top = 255
    first_exp = -6
    """8-bit inputs: keeps the first sums within Loihi's 16 bits and v within 24."""

    def _source(self) -> Input:
        return Input((784,), Kind.GRADED, Rate.SAMPLE, 1 / self.top, self.top.bit_length())

    def _gains(self) -> tuple[float, float]:
        return self.top * 2.0**self.first_exp, 1.0

    def inputs(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng(7)
        lit = rng.random((samples, 784)) < self.lit
        return (rng.integers(1, self.top + 1, lit.shape) * lit).astype(np.uint8)

    def tensor(self, inputs: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(inputs.astype(np.float32) / self.top).expand(self.steps, -1, -1)


class UniformMlp(Mlp):
    """784-256-10 on noise: every pixel spikes in a tenth of the steps."""

    lit = 1.0
    rate = 0.1


class Cnn(Network):
    """The CNN of examples/mnist on images that are given once per sample."""

    def graph(self, style: Style) -> Graph:
        first, second, last = self.weights
        theta = self.thetas
        nodes: dict[str, Node] = {
            "in": Input((1, 28, 28), Kind.GRADED, Rate.SAMPLE, 1 / GREY, GREY.bit_length()),
            "conv1": Conv(first, padding=(1, 1)),
            "lif1": _neuron(theta[0], style),
            "pool1": Pool((2, 2), (2, 2), (0, 0), "sum"),
            "conv2": Conv(second, padding=(1, 1)),
            "lif2": _neuron(theta[1], style),
            "pool2": Pool((2, 2), (2, 2), (0, 0), "sum"),
            "flatten": Flatten(),
            "fc": Linear(last),
            "lif3": _neuron(theta[2], style),
            "out": Output("s", "sum"),
        }
        return _chain(nodes, self.steps)

    def module(self) -> Any:
        from examples.mnist.model import MnistCNN

        module = MnistCNN(self.steps, 1 - DECAY / 4096)
        gains = (GREY, 4, 4)
        for layer, weight, theta, gain in zip((module.conv1, module.conv2, module.fc), self.weights,
                                              self.thetas, gains, strict=True):  # fmt: skip
            _set(layer.weight, weight * (gain / theta))
        _set(module.fc.bias, np.zeros(10))
        return module.eval()

    def inputs(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng(7)
        lit = rng.random((samples, 1, 28, 28)) < 0.19
        return (rng.integers(0, GREY + 1, lit.shape) * lit).astype(np.uint8)

    def tensor(self, inputs: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(inputs.astype(np.float32) / GREY)


def networks() -> list[Network]:
    """All networks of the benchmark."""
    rng = np.random.default_rng(0)
    dense = (_weights(rng, 256, 784), _weights(rng, 10, 256))
    convs = (_weights(rng, 12, 1, 3, 3), _weights(rng, 24, 12, 3, 3), _weights(rng, 10, 1176))
    macs = 784 * 256 + 256 * 10
    cnn = 12 * 9 * 28 * 28 + 24 * 108 * 14 * 14 + 1176 * 10
    return [
        DirectMlp("784-256-10, direct", 25, macs, dense, (6500, 900)),
        Mlp("784-256-10, rate-coded images", 100, macs, dense, (1800, 900)),
        Cnn("MNIST CNN", 8, cnn, convs, (5000, 1800, 6000)),
        UniformMlp("784-256-10, noise", 100, macs, dense, (1800, 900)),
    ]
