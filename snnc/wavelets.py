"""Haar wavelets in float graphs, over space and time, several levels deep, and their inverses.

One level along one axis turns pairs (a, b) into L = a + b and H = a − b. Everything is made of
nodes that chips have:

* in space, grouped convolutions with stride 2 and weights ±1;
* in time, gates and clocks: at the second step of every pair two gates per value let x[t] and
  x[t − 1] through, weights ±1 make the coefficients of them, and between the pairs the
  coefficients are silent. Exact for spikes, and for integers of a known range
  (`snnc.clocks.gate`); real values are refused, because no neuron multiplies them by a clock;
* the inverses are transposed convolutions in space, and sums with a delay in time, for any values.

The factor 1/√2 per axis of the orthonormal transform stays apart from the weights ±1: in the gain
of the neuron that follows, else in a Scale behind the coefficients. The bands of a value lie behind
each other along the channels, channel c·bands + band.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnc.clocks import Builder, Range, Tap, clock, gate, mix, slowed
from snnc.errors import GraphError, OptionError, RefusedError
from snnc.ir import Array, Conv, ConvTranspose, Delay, Kind, Neuron, Scale, Signal, Sparse, Sum

AXES = {"h": -2, "w": -1}
"""The axes of space, from the end of the shape; "t" is time."""

PAIR = np.array([[1, 1], [1, -1]], np.int8)
"""Rows L and H of one level along one axis."""


@dataclass(frozen=True)
class Bands:
    """A signal that holds wavelet coefficients.

    To go on from a signal that was made of another one's coefficients, value by value:
    `replace(bands, node="…")`.

    Attributes:
        node: whose output they are, channel c·len(names) + band.
        names: of the bands: one letter L or H per axis, in the order of the axes.
        ranges: of each band's integers, None where the values are real.
        gain: the orthonormal coefficient is gain · value.
        period: they come at the steps period − 1, 2·period − 1, … (+ lag), between them is
            silence.
        lag: steps by which they come later than the samples that they belong to.
    """

    node: str
    names: tuple[str, ...]
    ranges: tuple[Range, ...] | None = None
    gain: float = 1.0
    period: int = 1
    lag: int = 0


@dataclass(frozen=True)
class Pyramid:
    """The coefficients of all levels.

    Attributes:
        low: the low band of the last level.
        high: the other bands, level by level from the finest.
        axes, orthonormal: of the transform.
    """

    low: Bands
    high: tuple[Bands, ...]
    axes: str
    orthonormal: bool


def haar(
    net: Builder,
    name: str,
    source: str | Bands,
    axes: str = "hw",
    levels: int = 1,
    *,
    orthonormal: bool = False,
    between: Neuron | None = None,
    low: Neuron | None = None,
    values: Range | None = None,
) -> Pyramid:
    """Adds the transform of `source` over `axes`, `levels` times on the low band.

    Without neurons the order of the axes is only that of the letters in the bands' names, and
    "thw" needs the fewest gates. Neurons are set in the units of the coefficients that they see,
    and lose rate with them (`snnc.clocks.slowed`).

    Args:
        name: prefix of the new nodes.
        source: of shape (channels, h, w), or (channels, w) without "h"; "t" takes any shape.
            Bands of another transform count as channels, their values as they are.
        axes: letters of "hwt", in the order of the transform.
        orthonormal: coefficients times 1/√2 per axis, else sums and differences.
        between: after every axis but the last. low: before every level but the first.
        values: the range of a source of integers; spikes are 0..1.

    Raises:
        GraphError: an axis that the signal does not have, or of odd extent.
        OptionError: unknown or repeated axes, no level.
        RefusedError: an axis of time over real values; a neuron that has no slow version.
    """
    if levels < 1 or not axes or len(set(axes)) < len(axes) or set(axes) - set("hwt"):
        raise OptionError(
            name, f"{levels} levels over the axes {axes!r}", 'give letters of "hwt", each once'
        )
    bands = _started(net, name, source, values)
    high: list[Bands] = []
    for level in range(1, levels + 1):
        prefix = f"{name}.{level}"
        if level > 1:
            bands = _fire(net, f"{prefix}.low", bands, low, orthonormal)
        stack = replace(bands, names=("",))
        for run, neuron in _runs(axes, between):
            stack = _analyse(net, f"{prefix}.{run}", stack, run)
            stack = _fire(net, f"{prefix}.{run}.neuron", stack, neuron, orthonormal)
        high.append(pick(net, f"{prefix}.H", stack, stack.names[1:]))
        bands = pick(net, f"{prefix}.L", stack, stack.names[:1])
    if orthonormal:
        high = [_scaled(net, f"{item.node}.gain", item) for item in high]
        bands = _scaled(net, f"{bands.node}.gain", bands)
    return Pyramid(bands, tuple(high), axes, orthonormal)


def inverse_haar(
    net: Builder,
    name: str,
    pyramid: Pyramid,
    *,
    between: Neuron | None = None,
    low: Neuron | None = None,
) -> Bands:
    """Adds the inverse transform, last axis first; its one band is the signal again.

    A level of time can give the first sample of a pair only when the coefficients, at the second
    one, are there: the result lags by 2^levels − 1 steps where "t" is among the axes, and its
    last samples come only if the network runs that much longer. Bands that lag differently (high
    bands of finer levels, or what a user put in) wait for each other.

    Args:
        between: after every axis but the last that is undone. low: after every level but that.

    Raises:
        GraphError: the pyramid's bands don't fit each other.
        RefusedError: a neuron that has no slow version.
    """
    bands = pyramid.low
    for level, high in reversed(list(enumerate(pyramid.high, 1))):
        prefix = f"{name}.{level}"
        stack = _joined(net, prefix, bands, high)
        for run, neuron in _runs(pyramid.axes[::-1], between):
            stack = _synthesise(net, f"{prefix}.{run}", stack, run, pyramid.orthonormal)
            stack = _fire(net, f"{prefix}.{run}.neuron", stack, neuron, False)
        bands = replace(stack, names=("",), gain=1.0)
        if level > 1:
            bands = _fire(net, f"{prefix}.low", bands, low, False)
    return bands


def pick(net: Builder, name: str, bands: Bands, wanted: Sequence[str]) -> Bands:
    """Adds the selection of some bands, in the order of `wanted`.

    Raises:
        OptionError: there is no such band.
    """
    for band in wanted:
        if band not in bands.names:
            raise OptionError(name, f"no band {band!r}", f"it has {', '.join(bands.names)}")
    places = [bands.names.index(band) for band in wanted]
    matrix = np.eye(len(bands.names), dtype=np.int8)[places]
    node = net.add(name, mix(matrix, net.signal(bands.node).shape), bands.node)
    ranges = bands.ranges and tuple(bands.ranges[place] for place in places)
    return replace(bands, node=node, names=tuple(wanted), ranges=ranges)


def neurons(net: Builder, name: str, bands: Bands, neuron: Neuron) -> Bands:
    """Adds neurons on coefficients, one per value, at the rate of the coefficients.

    Raises:
        RefusedError: a neuron that has no slow version, see `snnc.clocks.slowed`.
    """
    return _fire(net, name, bands, neuron, False)


def add_bias(net: Builder, name: str, bands: Bands, bias: Array) -> Bands:
    """Adds a constant to every coefficient, and nothing between them: a clock with these weights.

    Args:
        bias: one value per channel, or of the signal's shape.

    Raises:
        GraphError: a bias of another shape.
    """
    shape = net.signal(bands.node).shape
    if bias.shape not in (shape[:1], shape):
        raise GraphError(name, f"bias has shape {bias.shape}, the signal {shape}", "see add_bias")
    full = np.broadcast_to(bias.reshape(*bias.shape, *(1,) * (len(shape) - bias.ndim)), shape)
    size = full.size
    ticks = Sparse(full.ravel(), np.zeros(size, np.int64), np.arange(size + 1), (1,), shape)
    beat = _waiting(net, name, bands, clock(net, bands.node, bands.period))
    node = net.add(name, Sum(), bands.node, net.add(f"{name}.bias", ticks, beat))
    return replace(bands, node=node, ranges=None)


def slot_weights(net: Builder, name: str, bands: Bands, weights: Array) -> Bands:
    """Adds weights that differ from coefficient to coefficient in time, too.

    y[slot] = W[slot] ∘ x[slot]: one clock-gated copy of the signal per slot. After the last slot
    the first one comes again.

    Args:
        weights: (slots, *shape of the signal); T / period slots for a sample of T steps.

    Raises:
        GraphError: weights of another shape. RefusedError: coefficients that are real values.
    """
    shape = net.signal(bands.node).shape
    if weights.ndim < 1 or weights.shape[1:] != shape:
        raise GraphError(
            name, f"weights of shape {weights.shape}", f"give (slots, {', '.join(map(str, shape))})"
        )
    slots, period = len(weights), bands.period
    ends = [(slot + 1) * period - 1 for slot in range(slots)]
    beat = _waiting(net, name, bands, clock(net, bands.node, slots * period, ends))
    taps = [Tap(0, slot) for slot in range(slots)]
    ranges = _integers(name, bands)
    gates, signs = gate(net, f"{name}.gate", bands.node, ranges, taps, beat)
    slot = np.abs(signs).sum(1).argmax(0)
    value = np.abs(signs).sum(0).argmax(0)
    groups = shape[0] // len(ranges)
    per_gate = weights.reshape(slots, groups, len(ranges), *shape[1:])[slot, :, value]
    per_gate = np.moveaxis(per_gate, 0, 1).reshape(net.signal(gates).shape)
    weighted = net.add(f"{name}.weights", Scale(per_gate), gates)
    node = net.add(name, mix(signs.sum(0, dtype=np.int8), per_gate.shape), weighted)
    return replace(bands, node=node, ranges=None)


def _started(net: Builder, name: str, source: str | Bands, values: Range | None) -> Bands:
    bands = source if isinstance(source, Bands) else Bands(source, ("",))
    signal = net.signal(bands.node)
    if values is not None and signal.kind is Kind.ANALOG:
        raise GraphError(
            name,
            f"{bands.node} carries real values, so no range of integers can be given",
            "leave `values` out; weights of an integer dtype keep integers integers",
        )
    if values is not None and not (values[0] <= 0 <= values[1] and values[0] < values[1]):
        raise OptionError(name, f"a range of {values}", "give two integers around 0: silence is 0")
    if signal.kind is Kind.SPIKE:
        values = (0, 1)
    if values is None and bands.ranges is not None:
        values = min(low for low, _ in bands.ranges), max(high for _, high in bands.ranges)
    return replace(bands, names=("",), ranges=None if values is None else (values,), gain=1.0)


def _integers(name: str, bands: Bands) -> tuple[Range, ...]:
    if bands.ranges is None:
        raise RefusedError(
            name,
            f"a clock has to let the values of {bands.node} through, which are real or of unknown"
            " range: no neuron multiplies, only spikes and integers can be gated",
            "put a spiking neuron before it, or give the range of its integers (`values`)",
        )
    return bands.ranges


def _runs(axes: str, neuron: Neuron | None) -> list[tuple[str, Neuron | None]]:
    """The axes in groups that one step transforms, with the neuron behind each."""
    if neuron is not None:
        return [(axis, neuron) for axis in axes[:-1]] + [(axes[-1], None)]
    return [("".join(run), None) for _, run in itertools.groupby(axes, lambda axis: axis == "t")]


def _analyse(net: Builder, name: str, bands: Bands, run: str) -> Bands:
    gain = bands.gain * 2 ** (-len(run) / 2)
    names = tuple(
        band + "".join(more)
        for band in bands.names
        for more in itertools.product("LH", repeat=len(run))
    )
    ranges = bands.ranges
    for _ in run:
        ranges = ranges and tuple(itertools.chain.from_iterable(map(_pair_ranges, ranges)))
    if run == "t":
        node = _in_time(net, name, bands)
        return replace(bands, node=node, names=names, ranges=ranges, gain=gain,
                       period=2 * bands.period)  # fmt: skip
    signal = net.signal(bands.node)
    kernel, stride = _window(name, signal, run)
    if odd := [n for n, s in zip(signal.shape[1:], stride, strict=True) if n % s]:
        raise GraphError(
            name, f"{bands.node} has the odd extent {odd[0]}", "pad or crop it to an even one"
        )
    channels = signal.shape[0]
    weight = np.tile(kernel[:, None], (channels, *(1,) * (len(stride) + 1)))
    flat = (0,) * len(stride), (1,) * len(stride)
    node = net.add(name, Conv(weight, None, stride, *flat, channels), bands.node)
    return replace(bands, node=node, names=names, ranges=ranges, gain=gain)


def _pair_ranges(values: Range) -> tuple[Range, Range]:
    low, high = values
    return (2 * low, 2 * high), (low - high, high - low)


def _window(name: str, signal: Signal, run: str) -> tuple[Array, tuple[int, ...]]:
    """Kernels (bands, *extents) of ±1 over the axes of `run`, first letter slowest; the stride."""
    rank = len(signal.shape) - 1
    places = [rank + AXES[axis] for axis in run]
    if rank not in (1, 2) or min(places) < 0:
        raise GraphError(
            name,
            f"a signal of shape {signal.shape} has no axes {run!r}",
            "give (channels, h, w), or (channels, w) for the axis w",
        )
    kernel = np.ones((1,) * (rank + 1), np.int8)
    for place in places:
        rows = PAIR.reshape(1, 2, *(2 if axis == place else 1 for axis in range(rank)))
        kernel = (kernel[:, None] * rows).reshape(-1, *np.maximum(kernel.shape[1:], rows.shape[2:]))
    return kernel, kernel.shape[1:]


def _in_time(net: Builder, name: str, bands: Bands) -> str:
    period = bands.period
    ranges = _integers(name, bands)
    beat = _waiting(net, name, bands, clock(net, bands.node, 2 * period))
    taps = [Tap(period), Tap(0)]
    gates, signs = gate(net, f"{name}.gate", bands.node, ranges, taps, beat)
    first, second = signs
    rows = np.stack([first + second, first - second], axis=1).reshape(-1, signs.shape[2])
    return net.add(name, mix(rows, net.signal(gates).shape), gates)


def _waiting(net: Builder, name: str, bands: Bands, beat: str) -> str:
    """The clock, as late as the signal is."""
    return net.add(f"{name}.clock", Delay(bands.lag), beat) if bands.lag else beat


def _synthesise(net: Builder, name: str, bands: Bands, run: str, orthonormal: bool) -> Bands:
    factor = 2.0 ** (-len(run) / 2 if orthonormal else -len(run))
    width = 2 ** len(run)
    names = ("",) * (len(bands.names) // width)
    bands = replace(bands, names=names, ranges=None)
    signal = net.signal(bands.node)
    if run == "t":
        return _back_in_time(net, name, bands, signal, factor)
    kernel, stride = _window(name, signal, run[::-1])
    groups = signal.shape[0] // width
    weight = np.tile(kernel[None] * factor, (groups, *(1,) * kernel.ndim))
    nothing = (0,) * len(stride)
    back = ConvTranspose(weight, None, stride, nothing, nothing, (1,) * len(stride), groups)
    return replace(bands, node=net.add(name, back, bands.node))


def _back_in_time(net: Builder, name: str, bands: Bands, signal: Signal, factor: float) -> Bands:
    period = bands.period // 2
    each = np.eye(len(bands.names))
    first, second = (np.kron(each, row) * factor for row in PAIR)
    now = net.add(f"{name}.first", mix(first, signal.shape), bands.node)
    late = net.add(f"{name}.delay", Delay(period), bands.node)
    later = net.add(f"{name}.second", mix(second, signal.shape), late)
    node = net.add(name, Sum(), now, later)
    return replace(bands, node=node, period=period, lag=bands.lag + period)


def _joined(net: Builder, name: str, low: Bands, high: Bands) -> Bands:
    """All bands of a level in one signal, the earlier of the two waiting for the other."""
    if low.period != high.period:
        raise GraphError(
            name,
            f"{low.node} has a value in {low.period} steps, {high.node} in {high.period}",
            "give the bands of the same transform",
        )
    lag, count = max(low.lag, high.lag), 1 + len(high.names)
    parts = []
    for part, places, label in ((low, [0], "L"), (high, list(range(1, count)), "H")):
        node = part.node
        if part.lag < lag:
            node = net.add(f"{name}.{label}.delay", Delay(lag - part.lag), node)
        matrix = np.eye(count, dtype=np.int8)[:, places]
        shape = net.signal(node).shape
        parts.append(net.add(f"{name}.{label}", mix(matrix, shape), node))
    node = net.add(f"{name}.bands", Sum(), *parts)
    return replace(high, node=node, names=(*low.names, *high.names), ranges=None, lag=lag)


def _fire(net: Builder, name: str, bands: Bands, neuron: Neuron | None, orthonormal: bool) -> Bands:
    if neuron is None:
        return bands
    scaled = replace(neuron, g=neuron.g * bands.gain) if orthonormal else neuron
    node = net.add(name, slowed(scaled, bands.period, name), bands.node)
    spiking = neuron.compare != "never"
    ranges = ((0, 1),) * len(bands.names) if spiking else None
    return replace(bands, node=node, ranges=ranges, gain=1.0)


def _scaled(net: Builder, name: str, bands: Bands) -> Bands:
    if bands.gain == 1:
        return bands
    channels = net.signal(bands.node).shape[0]
    node = net.add(name, Scale(np.full(channels, bands.gain)), bands.node)
    return replace(bands, node=node, gain=1.0, ranges=None)


__all__ = ["Bands", "Pyramid", "add_bias", "haar", "inverse_haar", "neurons", "pick",
           "slot_weights"]  # fmt: skip
