"""How a sample becomes what a chip takes: graded or binary spikes, made by the host.

* `direct`: x as integers, round(x / scale), the same at every step for a static sample.
* `rate`: one Bernoulli spike per step with probability x in [0, 1]. Sample i of input k draws
  from a generator seeded with (seed, k, i), so that it does not depend on the batch.
* `latency`: one spike at step round((1 − x)·(T − 1)), none for x = 0; x in [0, 1].
* `uwe`: the bits of an image of integers 0…2^T − 1, one plane per step, most significant first, for
  T of 1 to 16. A SAR ADC of T bits makes the same spikes of the pixels' voltages.
* `ttfs`: one spike at step ⌊(255 − x)·T/255⌋ for pixels x of 8 bits, none for x = 0.
* `host`: the host computes the first layers in floating point and sends their spikes.
* `none`: the data are spikes (or integers) already; every value is checked.

`uwe` and `ttfs` are those of VTSNN (Qiu et al. 2023). Networks are trained on their spikes, so they
also stand before inputs that are sequences of T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from snnc.circuits.dac import MAX_BITS
from snnc.circuits.encodings import ttfs, ttfs_decode, uwd, uwe
from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Input, Kind, Rate

A = NDArray[Any]
Scheme = Literal["direct", "rate", "latency", "uwe", "ttfs", "host", "none"]
Seed = tuple[int, int, int]
INPUT_BITS = 8
"""Default width of inputs that are sent as integers."""

PIXEL_BITS = 8
"""Depth of the images that `ttfs` takes, for any number of steps."""

RANGE = 2.0
"""Range of what the host computes, in ranges of the calibration data."""

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


def _rate(x: A, steps: int, seed: Seed) -> A:
    return np.random.default_rng(seed).random((steps, *x.shape)) < x


def _latency(x: A, steps: int, _seed: Seed) -> A:
    when = np.where(x == 0, -1, np.rint((1 - x) * (steps - 1)))
    return when == np.arange(steps).reshape(-1, *(1,) * x.ndim)


_SPIKES: Mapping[Scheme, Callable[[A, int, Seed], A]] = {
    "rate": _rate,
    "latency": _latency,
    "uwe": lambda image, steps, _seed: uwe(image, steps),
    "ttfs": lambda image, steps, _seed: ttfs(image, steps, PIXEL_BITS),
}
"""Spikes (step, …) of one sample (…), by what makes them."""

_IMAGE: Mapping[Scheme, Callable[[A], A]] = {
    "uwe": uwd,
    "ttfs": lambda planes: np.floor(ttfs_decode(planes, PIXEL_BITS)),
}
"""An image (…) with the spikes (step, …), by what makes these of integers."""


@dataclass(frozen=True)
class Encoding:
    """The encoder in front of a compiled network.

    Attributes:
        scheme: see the module.
        steps: T, where the scheme makes spikes.
        seed: of the rate encoder.
    """

    scheme: Scheme
    steps: int | None = None
    seed: int = 0

    @property
    def makes_spikes(self) -> bool:
        """Whether the host turns samples into spikes, so that no stage sees the samples."""
        return self.scheme in _SPIKES

    def float_graph(self, graph: Graph) -> Graph:
        """S1 as it runs behind the encoder: inputs are spikes where they arrive as spikes."""
        if self.scheme in ("direct", "host"):
            return graph
        if self.scheme == "none":
            return graph.with_nodes({
                name: replace(_input(graph, name), kind=Kind.SPIKE)
                for name in graph.inputs
                if _input(graph, name).kind is Kind.ANALOG
            })  # fmt: skip
        steps = self._checked_steps()
        changes = {
            name: self._as_spikes(name, _input(graph, name), graph.steps) for name in graph.inputs
        }
        return graph.with_nodes(changes).with_(steps=steps)

    def _checked_steps(self) -> int:
        if self.steps is None:
            raise OptionError(
                "--steps", f"the {self.scheme} encoding needs the number of steps", "give --steps T"
            )
        if self.scheme == "uwe" and self.steps > MAX_BITS:
            raise OptionError(
                "--steps",
                f"{self.steps} steps; uwe encoding sends one bit of a pixel per step, 1 to"
                f" {MAX_BITS}",
                f"give --steps 1 to {MAX_BITS}, or another --encoding where the network has its own"
                " number of steps",
            )
        return self.steps

    def _as_spikes(self, name: str, node: Input, steps: int | None) -> Input:
        """The input behind the encoder, of a network that takes sequences of `steps` steps."""
        images = self.scheme in _IMAGE
        if node.rate is Rate.STEP and not images:
            raise OptionError(
                name,
                f"takes a sequence; {self.scheme} encoding is for samples without steps",
                "use --encoding direct or none",
            )
        if node.rate is Rate.STEP and steps not in (None, self.steps):
            raise OptionError(
                "--steps",
                f"{self.steps}, and the network takes sequences of {steps} steps",
                "leave --steps away",
            )
        if node.kind is Kind.GRADED and images:
            raise OptionError(
                name,
                f"takes integers; {self.scheme} encoding makes spikes of them",
                "use --encoding none",
            )
        return replace(node, kind=Kind.SPIKE, rate=Rate.STEP)

    def float_inputs(self, graph: Graph, samples: Mapping[str, A], first: int = 0) -> dict[str, A]:
        """Inputs of S1 for raw samples; `first` is the index of the first sample in its set."""
        if not self.makes_spikes:
            return {name: np.asarray(samples[name]) for name in graph.inputs}
        return {
            name: self._spikes(name, samples[name], (self.seed, index, first))
            for index, name in enumerate(graph.inputs)
        }

    def int_inputs(self, graph: Graph, samples: Mapping[str, A], first: int = 0) -> dict[str, A]:
        """Inputs of S2 for raw samples: integers of each input's range.

        Raises:
            InputError: values that the input can't carry.
        """
        encoded = self.float_inputs(graph, samples, first)
        return {name: to_integers(name, _input(graph, name), encoded[name]) for name in encoded}

    def decoded(self, name: str, spikes: A) -> A | None:
        """Samples that this encoder turns into `spikes`, (sample, step, …); None if there are none.

        Only of images; other samples can't be told from their spikes.
        """
        try:
            images = np.asarray([_IMAGE[self.scheme](planes) for planes in np.asarray(spikes)])
            same = np.array_equal(self._spikes(name, images, (0, 0, 0)), spikes)
        except InputError:
            return None
        return images.astype(np.int64) if same else None

    def takes(self, name: str, samples: A) -> bool:
        """Whether samples that nobody chose for this encoder are what it takes, if it takes images.

        Floats of 0 and 1 alone are more likely black and white than the two darkest codes.
        """
        if self.scheme not in _IMAGE:
            return True
        x = np.asarray(samples)
        try:
            self._checked_images(name, x)
        except InputError:
            return False
        return x.dtype.kind != "f" or self._top == 1 or bool(np.any(x > 1))

    def _spikes(self, name: str, samples: A, seed: Seed) -> A:
        assert self.steps is not None
        x = self._checked(name, np.asarray(samples))
        encode, (run, index, first) = _SPIKES[self.scheme], seed
        spikes = np.empty((len(x), self.steps, *x.shape[1:]), np.int8)
        for i, sample in enumerate(x):
            spikes[i] = encode(sample, self.steps, (run, index, first + i))
        return spikes

    def _checked(self, name: str, x: A) -> A:
        """Samples that the encoder can take: reals 0 to 1, or images of integers."""
        if self.scheme in _IMAGE:
            return self._checked_images(name, x)
        if x.size and (np.min(x) < 0 or np.max(x) > 1):
            raise InputError(
                name,
                f"values from {np.min(x):g} to {np.max(x):g}; {self.scheme} encoding takes 0 to 1",
                "scale the data, or use --encoding direct",
            )
        return x.astype(np.float64)

    def _checked_images(self, name: str, x: A) -> A:
        top = self._top
        takes = f"{self.scheme} encoding of {self.steps} steps takes images of integers 0…{top}"
        if x.dtype.kind == "b" and top > 1:
            raise InputError(
                name,
                f"holds truth values; {takes}",
                f"store integers: multiply by {top}, which is white",
            )
        if not np.array_equal(x, np.rint(x)):
            raise InputError(
                name,
                f"holds fractions, from {np.min(x):g} to {np.max(x):g}; {takes}",
                f"scale the images to 0…{top}, round them and store integers",
            )
        if x.size and (np.min(x) < 0 or np.max(x) > top):
            raise InputError(
                name,
                f"values from {np.min(x):g} to {np.max(x):g}; {takes}",
                f"rescale the images to {top.bit_length()} bits{self._or_more_steps(x)}",
            )
        return x.astype(np.uint16)

    def _or_more_steps(self, x: A) -> str:
        """What else there is to do where pixels have too many bits."""
        depth = int(np.max(x)).bit_length()
        if self.scheme != "uwe" or np.min(x) < 0 or depth > MAX_BITS:
            return ""
        return (
            f", or compile with --steps {depth} where the network has no number of steps of its own"
        )

    @property
    def _top(self) -> int:
        """White, in images of integers."""
        bits = self.steps if self.scheme == "uwe" else PIXEL_BITS
        assert bits is not None
        return 2**bits - 1


def _input(graph: Graph, name: str) -> Input:
    node = graph.nodes[name]
    assert isinstance(node, Input)
    return node


def to_integers(name: str, node: Input, x: A) -> A:
    """Real samples as the integers of an S2 input.

    Raises:
        InputError: values outside the input's range, or not integers where they must be.
    """
    low, high = node.range
    values = np.asarray(x, np.float64) / node.scale
    integers = np.rint(values)
    if node.scale == 1.0 and not np.array_equal(values, integers):
        raise InputError(name, "holds fractions, the input takes whole numbers")
    if integers.size and (integers.min() < low or integers.max() > high):
        raise InputError(
            name,
            f"values from {x.min():g} to {x.max():g}; the compiled input holds"
            f" {low * node.scale:g} to {high * node.scale:g}",
            "give spikes, or compile with "
            + ("another --encoding" if integers.min() < 0 else "--encoding uwe to give images")
            if node.kind is Kind.SPIKE
            else "compile with more --input-bits, or for real inputs with an --input-range that"
            " covers the data",
        )
    return integers.astype(np.int32)


def direct_inputs(
    graph: Graph,
    bits: int,
    bounds: tuple[float, float] | None,
    data: Mapping[str, A] | None,
    computed: Collection[str] = (),
) -> Graph:
    """The graph with its real inputs as integers of at most `bits` bits.

    The scale is exact where the data lie on a grid of 1, 1/2, 1/4, … or 1/(2^b − 1) that fits
    (pixels do); else the largest value takes the largest integer. Without data and bounds the
    range 0 to 1 is assumed and noted.

    Args:
        computed: inputs that the host computes from the samples. Nobody knows their range
            beforehand and other samples reach further, so they get twice the range of the data,
            and one bit more than `bits`.

    Raises:
        OptionError: bounds that hold no value.
    """
    changes = {}
    notes = []
    for name in graph.inputs:
        node = _input(graph, name)
        if node.kind is not Kind.ANALOG:
            continue
        sample = None if data is None else np.asarray(data[name], np.float64)
        low, high = bounds or (
            (0.0, 1.0) if sample is None else (float(sample.min()), float(sample.max()))
        )
        if not low < high:
            raise OptionError(
                "--input-range",
                f"{name} ranges from {low:g} to {high:g}"
                + ("" if bounds else " in the example, which tells no scale"),
                "give --input-range LOW HIGH"
                + ("" if bounds else " or --calibrate with real data"),
            )
        signed = low < 0
        if bits <= signed:
            raise OptionError("--input-bits", f"{bits} bits hold no sign", "give 2 or more")
        wide = name in computed and bounds is None
        if wide:
            low, high, sample = RANGE * low, RANGE * high, None
        scale = _scale(low, high, bits + wide, signed, sample if bounds is None else None)
        if not wide and round(1 / scale) <= (1 << (bits - signed)) - 1:
            high = max(high, 1.0)  # other samples of data that lie within 0 to 1 may reach 1
        largest = max(round(high / scale), -round(low / scale) - 1, 1)
        width = largest.bit_length() + signed
        changes[name] = replace(node, kind=Kind.GRADED, scale=scale, bits=width, signed=signed)
        assumed = " (assumed; --input-range)" if bounds is None and sample is None else ""
        notes.append(
            f"{name}: {low:g} to {high:g}{assumed} as {width}-bit"
            f" {'signed' if signed else 'unsigned'} graded spikes, one unit is {scale:.9g}"
        )
    return graph.with_nodes(changes).noting(*notes)


def integer_inputs(graph: Graph, bits: int | None, data: Mapping[str, A] | None) -> Graph:
    """The graph with widths for its inputs of integers that say none: `bits`, or else 8, or as
    many more as the data need. They are signed where the data are.

    Raises:
        OptionError: too few bits for a sign.
    """
    changes = {}
    notes = []
    for name in graph.inputs:
        node = _input(graph, name)
        if node.kind is not Kind.GRADED or node.bits:
            continue
        sample = np.zeros(1) if data is None else np.asarray(data[name], np.float64)
        signed = bool(sample.min() < 0)
        largest = int(max(np.rint(sample.max()), -np.rint(sample.min()) - 1))
        width = bits or max(INPUT_BITS, largest.bit_length() + signed)
        if width <= signed:
            raise OptionError("--input-bits", f"{width} bits hold no sign", "give 2 or more")
        changes[name] = replace(node, bits=width, signed=signed)
        assumed = "" if bits else " (assumed; --input-bits)"
        sign = "signed" if signed else "unsigned"
        notes.append(f"{name}: {width}-bit {sign} integers as graded spikes{assumed}")
    return graph.with_nodes(changes).noting(*notes)


def _scale(low: float, high: float, bits: int, signed: bool, sample: A | None) -> float:
    top = (1 << (bits - signed)) - 1
    if sample is not None:
        grids = sorted(
            {1 << k for k in range(bits + 1)} | {(1 << k) - 1 for k in range(1, bits + 1)}
        )
        for grid in grids:
            units = sample * grid
            fits = units.max() < top + 0.5 and units.min() > -(top + 1.5) * signed - 0.5
            if fits and np.abs(units - np.rint(units)).max() < min(1e-5 * grid, 0.01):
                return 1 / grid
    return max(high / top, -low / (top + 1) if signed else 0.0)
