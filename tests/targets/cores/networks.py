"""Programs for tests of the mapper, built without a lowering: shapes and random weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.targets.cores.program import (
    Conv,
    Dense,
    Lif,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
)

Pair = tuple[int, int]


class Network:
    """A program in the making; methods return the name of the population that they add.

    Args:
        bits: of the weights, which are even.
    """

    def __init__(self, bits: int = 8, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.bits = bits
        self.populations: dict[str, Population] = {}
        self.synapses: list[Synapse] = []

    def host(self, *shape: int) -> str:
        """An input that the host sends."""
        self.populations["in"] = Source(shape, 0, bits=0, signed=False)
        return "in"

    def lif(self, name: str, *shape: int) -> str:
        """Neurons without synapses."""
        bias = np.zeros(1, np.int64)
        self.populations[name] = Lif(shape, 0, 4095, 100, 100, bias, 0)
        return name

    def dense(self, source: str, target: str, *shape: int, delay: int = 0) -> str:
        """All to all, into a population that is there or is added with `shape`."""
        if shape:
            self.lif(target, *shape)
        sizes = self.populations[target].size, self.populations[source].size
        self.synapses.append(Dense(source, target, delay, 0, 0, 0, self._weights(*sizes)))
        return target

    def sparse(self, source: str, target: str, *shape: int, share: float = 0.3) -> str:
        """Random pairs, at least one."""
        if shape:
            self.lif(target, *shape)
        sizes = self.populations[target].size, self.populations[source].size
        met = self.rng.random(sizes) < share
        met[-1, -1] = True
        rows, columns = np.nonzero(met)
        starts = np.searchsorted(rows, np.arange(sizes[0] + 1)).astype(np.int32)
        entries = (self._weights(len(rows)), columns.astype(np.int32), starts)
        self.synapses.append(Sparse(source, target, 0, 0, 0, 0, *entries, sizes))
        return target

    def conv(
        self, source: str, target: str, channels: int, kernel: int, stride: int | Pair = 1,
        padding: int | Pair = 0, groups: int = 1,
    ) -> str:  # fmt: skip
        """A square kernel, into a population that is there or is added."""
        stride, padding = (x if isinstance(x, tuple) else (x, x) for x in (stride, padding))
        shape: Any = self.populations[source].shape
        weight = self._weights(channels, shape[0] // groups, kernel, kernel)
        group = Conv(
            source, target, 0, 0, 0, 0, weight, shape, stride, padding, (1, 1), groups,
        )  # fmt: skip
        if target not in self.populations:
            self.lif(target, *group.out_shape)
        self.synapses.append(group)
        return target

    def program(self) -> Program:
        """What was built."""
        return Program(self.populations, tuple(self.synapses))

    def _weights(self, *shape: int) -> Any:
        low = -1 << (self.bits - 1)
        return self.rng.integers(low, -low, shape, dtype=np.int16) * np.int16(2)


def mnist() -> Program:
    """784-128-64-10."""
    net = Network()
    last = net.host(784)
    for number, size in enumerate((128, 64, 10)):
        last = net.dense(last, f"dense{number}", size)
    return net.program()


def gesture() -> Program:
    """A network for DVS gestures of 32 × 32 pixels, as NxTF maps it to Loihi 1."""
    net = Network()
    last = net.conv(net.host(1, 32, 32), "conv0", 16, 3, stride=2)
    for number, channels in enumerate((32, 64, 11), 1):
        last = net.conv(last, f"conv{number}", channels, 3)
    net.dense(last, "dense", 11)
    return net.program()


def pilot() -> Program:
    """PilotNet as in lava-dl's tutorials, its input a population on the chip."""
    net = Network()
    last = net.lif("pixels", 3, 66, 200)
    layers: tuple[tuple[int, int | Pair, int | Pair], ...] = (
        (24, 2, 0), (36, 2, 0), (48, 2, 0), (64, (2, 1), (1, 0)), (64, 1, 0),
    )  # fmt: skip
    for number, (channels, stride, padding) in enumerate(layers):
        last = net.conv(last, f"conv{number}", channels, 3, stride, padding)
    for number, size in enumerate((100, 50, 10, 1)):
        last = net.dense(last, f"dense{number}", size)
    return net.program()


def resnet() -> Program:
    """ResNet-18 for 32 × 32 pixels, 11 million weights; a shortcut is a group of its own."""
    net = Network()
    last = net.conv(net.host(3, 32, 32), "stem", 64, 3, padding=1)
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            name = f"stage{stage}.{block}"
            inner = net.conv(last, f"{name}a", width, 3, stride, padding=1)
            outer = net.conv(inner, f"{name}b", width, 3, padding=1)
            net.conv(last, outer, width, 1, stride, groups=1 if stride == 2 else width)
            last = outer
    net.dense(last, "dense", 10)
    return net.program()


def million() -> Program:
    """A million neurons, all of them convolutions save ten."""
    net = Network()
    last = net.host(2, 128, 128)
    layers = (
        (16, 1), (16, 1), (32, 2), (32, 1), (16, 1), (64, 2), (64, 1), (64, 2), (32, 2),
    )  # fmt: skip
    for number, (channels, stride) in enumerate(layers):
        last = net.conv(last, f"conv{number}", channels, 3, stride, padding=1)
    net.dense(last, "dense", 10)
    return net.program()
