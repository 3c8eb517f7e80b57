"""Small random networks, one builder per operation that a model can hold.

They drive three things: the property tests of every operation through the whole pipeline
(`test_operations.py`), the comparison with Lava, and the table in `docs/operations.md`
(`scripts/operation_table.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from snnc.clocks import Builder
from snnc.frontends.model import Example, Model
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    Kind,
    Linear,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Place,
    Pool,
    Rate,
    Scale,
    Sparse,
    Sum,
)
from snnc.wavelets import (
    Bands,
    Pyramid,
    add_bias,
    haar,
    inverse_haar,
    neurons,
    slot_weights,
)

Rng = np.random.Generator
Numbers = Literal["grid", "real"]
SAMPLES = 3


@dataclass
class Net(Builder):
    """A graph that grows, with random numbers.

    Attributes:
        rng: of all numbers. numbers: `grid` draws weights and decays that every chip holds
            exactly, `real` draws any.
    """

    rng: Rng = field(kw_only=True)
    numbers: Numbers = field(kw_only=True)
    steps: int = field(kw_only=True)

    def spikes(self, shape: tuple[int, ...], name: str = "input") -> str:
        return self.add(name, Input(shape, Kind.SPIKE))

    def draw(self, *shape: int, spread: float = 0.7) -> np.ndarray:
        """Weights: multiples of 1/8 within ±2, or normal."""
        if self.numbers == "grid":
            return self.rng.integers(-12, 13, shape) / 8
        return self.rng.normal(0.05, spread, shape)

    def bias(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-2, 3, shape) / 8 if self.numbers == "grid" else (
            self.rng.normal(0, 0.2, shape)
        )  # fmt: skip

    def linear(self, name: str, out: int, source: str) -> str:
        (fan_in,) = self.shape(source)
        return self.add(name, Linear(self.draw(out, fan_in), self.bias(out)), source)

    def conv(self, name: str, out: int, *sources: str, **options: Any) -> str:
        channels, *extents = self.shape(sources[0])
        axes = len(extents)
        one = (1,) * axes
        groups = options.get("groups", 1)
        kernel = options.pop("kernel", (3,) * axes)
        settings = {"stride": one, "padding": tuple(k // 2 for k in kernel), "dilation": one}
        weight = self.draw(out, channels // groups, *kernel)
        return self.add(name, Conv(weight, None, **{**settings, **options}), *sources)

    def neuron(self, name: str, *sources: str, **changes: Any) -> str:
        leak = 0.5 if self.numbers == "grid" else float(self.rng.uniform(0.5, 1.0))
        settings: dict[str, Any] = {"a_v": np.asarray(leak), "theta": np.asarray(1.0)}
        return self.add(name, Neuron(**{**settings, **changes}), *sources)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.signal(name).shape

    def read(self, source: str, **options: Any) -> Graph:
        self.add(f"{source}.out", Output(**options), source)
        return self.graph(self.steps)


Build = Callable[[Net], Graph]


@dataclass(frozen=True)
class Operation:
    """One row of the table: what it is, and a builder of networks that hold it."""

    group: str
    name: str
    build: Build


OPERATIONS: list[Operation] = []


def operation(group: str, name: str) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        OPERATIONS.append(Operation(group, name, build))
        return build

    return register


def model(chosen: Operation, seed: int, numbers: Numbers) -> Model:
    """A random network with the operation, and samples for it."""
    rng = np.random.default_rng(seed)
    graph = chosen.build(Net(rng=rng, numbers=numbers, steps=int(rng.integers(3, 9))))
    x: dict[str, Any] = {}
    for name in graph.inputs:
        signal = graph.signals[name]
        lead = (SAMPLES,) if signal.rate is Rate.SAMPLE else (SAMPLES, graph.steps)
        if signal.kind is Kind.SPIKE:
            x[name] = (rng.random((*lead, *signal.shape)) < 0.4).astype(np.float64)
        else:
            x[name] = rng.integers(0, 256, (*lead, *signal.shape)) / 255
    return Model(graph, Example(x, {}, {}))


# ---- branches


@operation("branches", "residual add of two convolutions")
def _residual(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 3, net.spikes((2, 5, 5))))
    deep = net.neuron("lif1", net.conv("conv1", 3, first))
    both = net.add("add", Sum(), net.conv("conv2", 4, deep), net.conv("short", 4, first))
    return net.read(net.neuron("lif2", both))


@operation("branches", "identity skip into a neuron")
def _identity(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 3, net.spikes((2, 5, 5))))
    deep = net.neuron("lif1", net.conv("conv1", 3, first))
    return net.read(net.neuron("lif2", net.conv("conv2", 3, deep), first))


@operation("branches", "sum of spikes (SEW add)")
def _sew(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 3, net.spikes((2, 5, 5))))
    deep = net.neuron("lif1", net.conv("conv1", 3, first))
    both = net.add("sew", Sum(), first, deep)
    last = net.neuron("lif2", net.conv("conv2", 3, both))
    return net.read(net.neuron("lif3", net.conv("conv3", 2, net.add("sew2", Sum(), both, last))))


@operation("branches", "difference of two branches")
def _difference(net: Net) -> Graph:
    source = net.spikes((4,))
    minus = net.add("minus", Scale(-np.ones(3)), net.linear("b", 3, source))
    both = net.add("sub", Sum(), net.linear("a", 3, source), minus)
    return net.read(net.neuron("lif", both))


def _joined(net: Net, shape: tuple[int, ...], channels: tuple[int, int]) -> str:
    source = net.spikes(shape)
    a = net.neuron("lif_a", net.conv("conv_a", channels[0], source))
    b = net.neuron("lif_b", net.conv("conv_b", channels[1], a))
    total = sum(channels)
    return net.add(
        "cat", Sum(), net.add("part_a", Place(0, total), a),
        net.add("part_b", Place(channels[0], total), b),
    )  # fmt: skip


@operation("branches", "concatenation before a convolution")
def _concat_conv(net: Net) -> Graph:
    return net.read(net.neuron("lif", net.conv("conv", 3, _joined(net, (2, 5, 5), (2, 3)))))


@operation("branches", "concatenation before a linear layer")
def _concat_linear(net: Net) -> Graph:
    flat = net.add("flat", Flatten(), _joined(net, (2, 4, 4), (2, 1)))
    return net.read(net.neuron("lif", net.linear("fc", 5, flat)))


@operation("branches", "concatenation of currents")
def _concat_currents(net: Net) -> Graph:
    source = net.spikes((4,))
    parts = [
        net.add(f"part_{i}", Place(3 * i, 6), net.linear(f"fc_{i}", 3, source)) for i in range(2)
    ]
    return net.read(net.neuron("lif", net.add("cat", Sum(), *parts)))


# ---- loops and delays


@operation("loops and delays", "recurrent, all to all")
def _recurrent(net: Net) -> Graph:
    current = net.linear("fc", 4, net.spikes((3,)))
    net.neuron("lif", current)
    late = net.add("late", Delay(1), "lif")
    net.edges.append((net.add("rec", Linear(net.draw(4, 4), net.bias(4)), late), "lif"))
    return net.read("lif")


@operation("loops and delays", "recurrent, one to one")
def _one_to_one(net: Net) -> Graph:
    current = net.linear("fc", 4, net.spikes((3,)))
    net.neuron("lif", current)
    late = net.add("late", Delay(1), "lif")
    net.edges.append((net.add("rec", Scale(net.draw(4)), late), "lif"))
    return net.read("lif")


@operation("loops and delays", "recurrent convolution")
def _recurrent_conv(net: Net) -> Graph:
    current = net.conv("conv", 2, net.spikes((2, 4, 4)))
    net.neuron("lif", current)
    late = net.add("late", Delay(1), "lif")
    rec = net.add("rec", Conv(net.draw(2, 2, 3, 3), None, padding=(1, 1)), late)
    net.edges.append((rec, "lif"))
    return net.read("lif")


@operation("loops and delays", "loop over two layers, two steps long")
def _loop(net: Net) -> Graph:
    net.neuron("lif", net.linear("fc", 4, net.spikes((3,))))
    net.neuron("lif2", net.linear("fc2", 3, "lif"))
    late = net.add("late", Delay(2), "lif2")
    net.edges.append((net.add("back", Linear(net.draw(4, 3)), late), "lif"))
    return net.read("lif2")


@operation("loops and delays", "loop over two layers, one step long")
def _short_loop(net: Net) -> Graph:
    net.neuron("lif", net.linear("fc", 4, net.spikes((3,))))
    net.neuron("lif2", net.linear("fc2", 3, "lif"))
    late = net.add("late", Delay(1), "lif2")
    net.edges.append((net.add("back", Linear(net.draw(4, 3)), late), "lif"))
    return net.read("lif2")


@operation("loops and delays", "delay of a layer")
def _delay(net: Net) -> Graph:
    source = net.spikes((4,))
    late = net.add("late", Delay(2), source)
    return net.read(net.neuron("lif", net.linear("fc", 3, late), net.linear("now", 3, source)))


def _per_axon(net: Net, source: str) -> str:
    delays = net.rng.integers(0, 3, 4)
    parts = []
    for steps in range(3):
        index = np.where(delays == steps, np.arange(4), -1)
        part = net.add(f"axons_{steps}", Gather(index), source)
        parts.append(net.add(f"late_{steps}", Delay(steps), part) if steps else part)
    return net.add("delayed", Sum(), *parts)


@operation("loops and delays", "delay per axon")
def _axon_delays(net: Net) -> Graph:
    return net.read(
        net.neuron("lif", net.linear("fc", 3, _per_axon(net, net.spikes((4,)))))
    )  # fmt: skip


@operation("loops and delays", "delay per synapse")
def _synapse_delays(net: Net) -> Graph:
    source, weight = net.spikes((4,)), net.draw(3, 4)
    delays = net.rng.integers(0, 3, weight.shape)
    parts = []
    for steps in range(3):
        late = net.add(f"late_{steps}", Delay(steps), source) if steps else source
        parts.append(net.add(f"fc_{steps}", Linear(weight * (delays == steps)), late))
    return net.read(net.neuron("lif", *parts))


# ---- convolutions and arranging


@operation("convolutions", "1-d convolution")
def _conv1d(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 3, net.spikes((2, 9)), stride=(2,)))
    return net.read(net.neuron("lif1", net.conv("conv1", 2, first, dilation=(2,), padding=(2,))))


@operation("convolutions", "grouped, dilated and strided 2-d convolution")
def _grouped(net: Net) -> Graph:
    first = net.conv("conv0", 4, net.spikes((4, 7, 7)), groups=2, dilation=(2, 1), stride=(1, 2))
    return net.read(net.neuron("lif", first))


@operation("convolutions", "depthwise convolution")
def _depthwise(net: Net) -> Graph:
    return net.read(net.neuron("lif", net.conv("conv", 3, net.spikes((3, 6, 6)), groups=3)))


@operation("convolutions", "transposed convolution")
def _transposed(net: Net) -> Graph:
    node = ConvTranspose(
        net.draw(3, 2, 3, 3), net.bias(3), (2, 2), (1, 1), (1, int(net.rng.integers(0, 2)))
    )
    first = net.neuron("lif0", net.conv("conv", 2, net.spikes((2, 3, 3))))
    return net.read(net.neuron("lif", net.add("up", node, first)))


def _doubled(channels: int) -> ConvTranspose:
    return ConvTranspose(np.ones((channels, 1, 2, 2)), None, (2, 2), groups=channels)


@operation("convolutions", "nearest upsampling, then a convolution")
def _upsampled(net: Net) -> Graph:
    up = net.add("up", _doubled(2), net.spikes((2, 3, 3)))
    return net.read(net.neuron("lif", net.conv("conv", 3, up)))


@operation("convolutions", "pixel shuffle")
def _shuffled(net: Net) -> Graph:
    kernel = np.zeros((2, 4, 2, 2))
    for i, j in np.ndindex(2, 2):
        kernel[:, 2 * i + j, i, j] = 1
    wide = net.conv("conv", 8, net.spikes((2, 3, 3)))
    return net.read(
        net.neuron("lif", net.add("shuffle", ConvTranspose(kernel, None, (2, 2), groups=2), wide))
    )


@operation("convolutions", "two convolutions without a neuron between them")
def _two(net: Net) -> Graph:
    first = net.conv("conv0", 2, net.spikes((2, 5, 5)))
    return net.read(net.neuron("lif", net.conv("conv1", 2, first)))


@operation("convolutions", "reordered, selected and padded features")
def _gathered(net: Net) -> Graph:
    source = net.neuron("lif0", net.conv("conv0", 2, net.spikes((2, 4, 4))))
    index = net.rng.permutation(np.concatenate([np.arange(32)[:20], -np.ones(4, int)]))
    picked = net.add("pick", Gather(index.reshape(24)), source)
    return net.read(net.neuron("lif", net.linear("fc", 4, picked)))


# ---- pooling


@operation("pooling", "average pooling")
def _average(net: Net) -> Graph:
    pool = net.add("pool", Pool((2, 2), (2, 2), (0, 0)), net.spikes((2, 6, 6)))
    return net.read(net.neuron("lif", net.conv("conv", 3, pool)))


@operation("pooling", "average pooling, overlapping and padded")
def _overlapping(net: Net) -> Graph:
    pool = net.add("pool", Pool((3, 3), (2, 2), (1, 1)), net.conv("conv", 2, net.spikes((2, 6, 6))))
    return net.read(net.neuron("lif", pool))


@operation("pooling", "global average pooling")
def _global(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv", 3, net.spikes((2, 4, 4))))
    pool = net.add("pool", Pool((4, 4), (4, 4), (0, 0)), first)
    return net.read(net.neuron("lif", net.linear("fc", 3, net.add("flat", Flatten(), pool))))


@operation("pooling", "adaptive average pooling with unequal windows")
def _adaptive(net: Net) -> Graph:
    starts, stops = [0, 1, 3], [2, 4, 5]
    rows = np.zeros((3, 5))
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        rows[row, start:stop] = 1 / (stop - start)
    data, indices = rows[rows != 0], np.nonzero(rows)[1]
    indptr = np.concatenate([[0], np.cumsum((rows != 0).sum(1))])
    pool = Sparse(data, indices, indptr, (5,), (3,))
    return net.read(net.neuron("lif", net.linear("fc", 4, net.add("pool", pool, net.spikes((5,))))))


def _or(net: Net, name: str, *sources: str) -> str:
    gate = {"a_v": np.asarray(0.0), "theta": np.asarray(0.5), "reset": "none"}
    return net.add(name, Neuron(**gate), *sources)  # type: ignore[arg-type]


@operation("pooling", "max pooling of spikes")
def _max_spikes(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 2, net.spikes((2, 6, 6))))
    counted = net.add("count", Pool((3, 3), (2, 2), (1, 1), "sum"), first)
    return net.read(net.neuron("lif", net.conv("conv1", 2, _or(net, "max", counted))))


@operation("pooling", "max pooling of currents")
def _max_currents(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 2, net.spikes((2, 6, 6))))
    pool = net.add("max", MaxPool((2, 2), (2, 2), (0, 0), (1, 1)), net.conv("conv1", 2, first))
    return net.read(net.neuron("lif", pool))


# ---- affine maps


@operation("affine maps", "batch norm after a convolution")
def _norm(net: Net) -> Graph:
    norm = Scale(net.draw(3), net.bias(3))
    conv = net.conv("conv", 3, net.spikes((2, 5, 5)))
    return net.read(net.neuron("lif", net.add("bn", norm, conv)))


@operation("affine maps", "batch norm between a neuron and a zero-padded convolution")
def _norm_border(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 3, net.spikes((2, 5, 5))))
    norm = net.add("bn", Scale(net.rng.integers(1, 5, 3) / 2, net.bias(3)), first)
    return net.read(net.neuron("lif", net.conv("conv1", 2, norm)))


@operation("affine maps", "learned weight per value (Hadamard)")
def _hadamard(net: Net) -> Graph:
    first = net.neuron("lif0", net.conv("conv0", 2, net.spikes((2, 4, 4))))
    return net.read(net.neuron("lif", net.add("hadamard", Scale(net.draw(2, 4, 4)), first)))


@operation("affine maps", "bias per position")
def _position_bias(net: Net) -> Graph:
    conv = net.conv("conv", 2, net.spikes((2, 4, 4)))
    offset = Scale(np.ones(2), net.bias(2, 4, 4))
    return net.read(net.neuron("lif", net.add("bias", offset, conv)))


# ---- wavelets


def _leaky(net: Net, period: int, **changes: Any) -> Neuron:
    """A neuron whose leak per step is on the grid where it runs once in `period` steps."""
    leak = 0.5**period if net.numbers == "grid" else float(net.rng.uniform(0.05, 0.9))
    return Neuron(np.asarray(leak), np.asarray(changes.pop("theta", 0.75)), **changes)


def _coefficients(net: Net, shape: tuple[int, ...], axes: str, **options: Any) -> Pyramid:
    return haar(net, "haar", net.spikes(shape), axes, **options)


def _spiking(net: Net, pyramid: Pyramid) -> Pyramid:
    """Neurons on the coefficients of every level, with weights of their own before them."""

    def layer(bands: Bands, name: str) -> Bands:
        weights = Scale(np.abs(net.draw(*net.shape(bands.node))))
        weighted = net.add(f"{name}.weights", weights, bands.node)
        spiking = _leaky(net, bands.period, theta=0.5)
        grown = net
        return neurons(grown, f"{name}.lif", replace(bands, node=weighted), spiking)

    high = [layer(bands, f"high{level}") for level, bands in enumerate(pyramid.high)]
    return replace(pyramid, low=layer(pyramid.low, "low"), high=tuple(high))


def _read_bands(net: Net, pyramid: Pyramid) -> Graph:
    for index, bands in enumerate((pyramid.low, *pyramid.high)):
        net.add(f"out{index}", Output(), bands.node)
    return Graph(net.nodes, tuple(net.edges), net.steps).check()


def _wavelet(name: str, shape: tuple[int, ...], axes: str, **options: Any) -> None:
    @operation("wavelets", name)
    def build(net: Net) -> Graph:
        return _read_bands(net, _spiking(net, _coefficients(net, shape, axes, **options)))


def _inverse(name: str, shape: tuple[int, ...], axes: str, **options: Any) -> None:
    @operation("wavelets", name)
    def build(net: Net) -> Graph:
        net.steps += 4
        pyramid = _spiking(net, _coefficients(net, shape, axes, **options))
        back = inverse_haar(net, "inverse", pyramid)
        return net.read(net.neuron("lif", back.node, theta=np.asarray(0.125)))


_wavelet("Haar wavelet in space", (2, 6, 6), "hw", orthonormal=True)
_wavelet("Haar wavelet in space, two levels", (2, 8, 8), "hw", levels=2, orthonormal=True)
_inverse("inverse Haar wavelet in space", (2, 6, 6), "hw", orthonormal=True)
_inverse("inverse Haar wavelet in space, two levels", (1, 8), "w", levels=2)
_wavelet("Haar wavelet in time", (4,), "t")
_wavelet("Haar wavelet in time, two levels", (4,), "t", levels=2)
_inverse("inverse Haar wavelet in time, two levels", (4,), "t", levels=2)
_wavelet("Haar wavelet in time, of integers", (2, 4), "wt")
_inverse("Haar wavelet in time and space, there and back", (1, 4, 4), "thw", levels=2)


@operation("wavelets", "separable Haar wavelet with neurons between the axes")
def _separable(net: Net) -> Graph:
    settings = {"between": _leaky(net, 1), "low": _leaky(net, 1, theta=0.5)}
    return _read_bands(net, _coefficients_fired(net, (2, 8, 8), "hw", **settings))


@operation("wavelets", "Haar wavelet in height, width and time with neurons between, and back")
def _spikinghash(net: Net) -> Graph:
    net.steps += 8
    settings = {"between": _leaky(net, 2), "low": _leaky(net, 2, theta=0.5)}
    pyramid = _coefficients_fired(net, (1, 4, 4), "hwt", **settings)
    late = {"between": _leaky(net, 2, theta=0.375), "low": _leaky(net, 2, theta=0.375)}
    back = inverse_haar(net, "inverse", pyramid, **late)
    return net.read(net.neuron("lif", back.node, theta=np.asarray(0.375)))


def _coefficients_fired(net: Net, shape: tuple[int, ...], axes: str, **settings: Any) -> Pyramid:
    return _spiking(net, _coefficients(net, shape, axes, levels=2, **settings))


@operation("wavelets", "neuron at half rate, with a bias")
def _half_rate(net: Net) -> Graph:
    pyramid = _coefficients(net, (4,), "t")
    grown = net
    high = add_bias(grown, "biased", pyramid.high[0], net.bias(4))
    spikes = neurons(grown, "lif", high, _leaky(net, 2))
    return net.read(net.neuron("lif1", net.linear("fc", 3, spikes.node)))


@operation("wavelets", "learned weight per coefficient and slot of time")
def _slot_weights(net: Net) -> Graph:
    pyramid = _coefficients(net, (3,), "t")
    grown = net
    spikes = neurons(grown, "lif", pyramid.high[0], _leaky(net, 2))
    weights = net.draw(net.steps // 2 + 1, 3)
    weighted = slot_weights(grown, "slots", spikes, weights)
    return _read_bands(
        net, replace(pyramid, high=(neurons(grown, "lif1", weighted, _leaky(net, 2)),))
    )


# ---- neurons


def _single(name: str, **changes: Any) -> None:
    @operation("neurons", name)
    def build(net: Net) -> Graph:
        first = net.neuron("lif0", net.linear("fc0", 4, net.spikes((3,))), **changes)
        return net.read(net.neuron("lif1", net.linear("fc1", 3, first), **changes))


_single("hard reset")
_single("hard reset, delayed: the input is kept", reset_at="before")
_single("hard reset, delayed: the input is lost", reset_at="after")
_single("soft reset", reset="soft")
_single("soft reset without leak", reset="soft", a_v=np.asarray(1.0))
_single("soft reset, delayed", reset="soft", reset_at="after")
_single("soft reset, guarded (reset_delay=False)", reset="soft", reset_at="guarded")
_single("no reset", reset="none")
_single("synaptic current", a_u=np.asarray(0.5))
_single("synaptic current with soft reset", a_u=np.asarray(0.5), reset="soft")
_single("reset to another value", v_reset=np.asarray(-0.25))
_single("initial membrane", v_init=np.asarray(0.25))


@operation("neurons", "threshold and leak per channel")
def _per_channel(net: Net) -> Graph:
    settings = {
        "a_v": net.rng.choice([0.25, 0.5, 0.75], (3, 1, 1)),
        "theta": net.rng.choice([0.5, 1.0, 1.5], (3, 1, 1)),
    }
    conv = net.conv("conv", 3, net.spikes((2, 4, 4)))
    return net.read(net.neuron("lif1", net.conv("conv1", 2, net.neuron("lif", conv, **settings))))


@operation("neurons", "threshold and leak per neuron")
def _per_neuron(net: Net) -> Graph:
    settings = {
        "a_v": net.rng.choice([0.25, 0.5, 0.75], 5),
        "theta": net.rng.choice([0.5, 1.0, 1.5], 5),
    }
    first = net.neuron("lif", net.linear("fc", 5, net.spikes((3,))), **settings)
    return net.read(net.neuron("lif1", net.linear("fc1", 3, first)))


@operation("neurons", "membrane as output")
def _membrane(net: Net) -> Graph:
    first = net.neuron("lif", net.linear("fc", 5, net.spikes((3,))))
    integrator = {"reset": "none", "compare": "never"}
    return net.read(net.neuron("li", net.linear("fc1", 3, first), **integrator))


# ---- gates and products


@operation("gates and products", "AND, OR and AND NOT of spikes")
def _gates(net: Net) -> Graph:
    source = net.spikes((3,))
    a, b = (net.neuron(f"lif_{n}", net.linear(f"fc_{n}", 4, source)) for n in "ab")
    gate: dict[str, Any] = {"a_v": np.asarray(0.0), "reset": "none"}
    both = net.add("and", Neuron(theta=np.asarray(1.5), **gate), a, b)
    either = net.add("or", Neuron(theta=np.asarray(0.5), **gate), a, b)
    negative = net.add("not", Scale(-np.ones(4)), a)
    only = net.add("and_not", Neuron(theta=np.asarray(0.5), **gate), negative, b)
    parts = [net.linear(f"w_{n}", 3, n) for n in (both, either, only)]
    return net.read(net.neuron("lif", *parts))


@operation("gates and products", "NOR of spikes")
def _nor(net: Net) -> Graph:
    source = net.spikes((3,))
    a, b = (net.neuron(f"lif_{n}", net.linear(f"fc_{n}", 4, source)) for n in "ab")
    negative = [net.add(f"not_{n}", Scale(-np.ones(4)), n) for n in (a, b)]
    gate: dict[str, Any] = {"a_v": np.asarray(0.0), "reset": "none", "theta": np.asarray(-0.5)}
    return net.read(
        net.neuron("lif", net.linear("fc", 3, net.add("nor", Neuron(**gate), *negative)))
    )


@operation("gates and products", "AND over all steps")
def _all_steps(net: Net) -> Graph:
    first = net.neuron("lif", net.linear("fc", 4, net.spikes((3,))), theta=np.asarray(0.25))
    counter: dict[str, Any] = {
        "a_v": np.asarray(1.0), "theta": np.asarray(net.steps - 0.5), "reset": "none",
    }  # fmt: skip
    return net.read(net.add("and", Neuron(**counter), first), reduce="last")


def _attention(net: Net, key_first: bool) -> Graph:
    heads, tokens, depth = 2, 3, 2
    source = net.spikes((4,))
    size = heads * tokens * depth
    q, k, v = (net.neuron(f"lif_{n}", net.linear(f"fc_{n}", size, source)) for n in "qkv")
    index = np.arange(size).reshape(heads, tokens, depth)
    turned = net.add("turned", Gather(index.transpose(0, 2, 1).ravel()), k)

    def product(name: str, a: str, b: str, rows: int, inner: int, columns: int) -> str:
        node = MatMul(heads, rows, inner, columns)
        total = sum(node.sizes)
        left = net.add(f"{name}.a", Place(0, total), a)
        right = net.add(f"{name}.b", Place(node.sizes[0], total), b)
        net.add(name, node, left, right)
        return net.add(f"{name}.flat", Flatten(), name)

    if key_first:
        inner = product("kv", turned, v, depth, tokens, depth)
        out = product("qkv", q, inner, tokens, depth, depth)
    else:
        inner = product("qk", q, turned, tokens, depth, tokens)
        out = product("qkv", inner, v, tokens, tokens, depth)
    scaled = net.add("scale", Scale(np.full(size, 0.125)), out)
    return net.read(net.neuron("lif", scaled, theta=np.asarray(0.5)))


@operation("gates and products", "spiking self-attention, (QKᵀ)V")
def _attention_qk(net: Net) -> Graph:
    return _attention(net, key_first=False)


@operation("gates and products", "spiking self-attention, Q(KᵀV)")
def _attention_kv(net: Net) -> Graph:
    return _attention(net, key_first=True)


# ---- inputs and outputs


@operation("inputs and outputs", "real-valued samples, the same at every step")
def _static(net: Net) -> Graph:
    source = net.add("input", Input((2, 4, 4), Kind.ANALOG, Rate.SAMPLE))
    first = net.neuron("lif", net.conv("conv", 3, source))
    return net.read(net.neuron("lif1", net.conv("conv1", 2, first)))


@operation("inputs and outputs", "real-valued sequences")
def _sequence(net: Net) -> Graph:
    source = net.add("input", Input((3,), Kind.ANALOG))
    first = net.neuron("lif", net.linear("fc", 4, source))
    return net.read(net.neuron("lif1", net.linear("fc1", 3, first)))


@operation("inputs and outputs", "integers from layer to layer (graded spikes)")
def _graded(net: Net) -> Graph:
    first = net.linear("fc", 4, net.spikes((3,)))
    graded = net.neuron("li", first, reset="none", compare="never")
    return net.read(net.neuron("lif", net.linear("fc1", 3, graded)))


def _read(name: str, **options: Any) -> None:
    @operation("inputs and outputs", name)
    def build(net: Net) -> Graph:
        first = net.neuron("lif", net.linear("fc", 4, net.spikes((3,))))
        return net.read(net.neuron("lif1", net.linear("fc1", 3, first)), **options)


_read("spike counts", reduce="sum")
_read("mean over the steps", reduce="mean")


# ---- host


def _with_stem(name: str, *stem: Node) -> None:
    @operation("host", name)
    def build(net: Net) -> Graph:
        last = net.add("input", Input((2, 6, 6), Kind.ANALOG, Rate.SAMPLE))
        last = net.conv("first", 3, last)
        for index, node in enumerate(stem):
            last = net.add(f"host{index}", node, last)
        first = net.neuron("lif", net.conv("conv", 3, last))
        return net.read(net.neuron("lif1", net.conv("conv1", 2, first)))


def _with_head(name: str, *head: Node) -> None:
    @operation("host", name)
    def build(net: Net) -> Graph:
        first = net.neuron("lif", net.linear("fc", 6, net.spikes((3,))))
        last = net.linear("fc1", 4, net.neuron("lif1", net.linear("fc2", 6, first)))
        for index, node in enumerate(head):
            last = net.add(f"host{index}", node, last)
        return net.read(last, reduce="mean")


_with_stem("ReLU in the first layers", Map("relu"))
_with_stem("max pooling in the first layers", MaxPool((2, 2), (2, 2), (0, 0), (1, 1)))
_with_stem("layer norm in the first layers", Normalise(1, "layer", 1e-5))
_with_head("softmax behind the last layer", Normalise(1, "softmax"))
_with_head("L2 norm behind the last layer", Normalise(1, "l2", 1e-12))
_with_head("product of real values behind the last layer", Multiply())


@operation("host", "layer norm between spiking layers")
def _middle_norm(net: Net) -> Graph:
    first = net.neuron("lif", net.linear("fc", 6, net.spikes((3,))))
    norm = net.add("norm", Normalise(1, "layer", 1e-5), net.linear("fc1", 4, first))
    return net.read(net.neuron("lif1", norm))
