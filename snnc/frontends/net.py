"""lava-dl's `.net` files (HDF5): networks trained with slayer, as integer graphs (S2).

The file holds what slayer computes with on integers (lava-dl 0.6.0,
lava/lib/dl/slayer/block/base.py, `export_hdf5`, and neuron/cuba.py): weights in units of 64 of the
membrane, decays in 4096ths, thresholds `vThMant` << 6 compared with >, a bias `bias` << 6 that goes
into the membrane, a hard reset in the same step. Times are those of the graph: the step that
slayer adds per layer (`delay_shift`) is the chip's, and comes back when the graph is lowered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnc.errors import ModelFileError
from snnc.frontends.delays import STEPS_MAX, Delays, delays_apart
from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Node,
    Output,
)

A = NDArray[Any]
SHIFT = 6
"""Bits from a weight's unit to the membrane's, and from a bias to the membrane's."""
VTH_UNREACHABLE = 1 << 17
"""A membrane saturates at 2^23 − 1, so vThMant << 6 is out of its reach from here on."""
INPUT_BITS = 8
INPUT_WEIGHT = 64
"""What an input layer multiplies by where the file has no weight: 1 in slayer's units."""

NEURON_KEYS = frozenset(
    {"type", "iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike", "wgtExp", "weight_exp",
     "theta", "tauRho", "scaleRho", "messageBits"}
)  # fmt: skip
LAYER_KEYS = {
    "input": {"type", "shape", "weight", "bias", "neuron"},
    "dense": {"type", "shape", "inFeatures", "outFeatures", "weight", "bias", "delay", "neuron"},
    "conv": {"type", "shape", "inChannels", "outChannels", "kernelSize", "stride", "padding",
             "dilation", "groups", "weight", "bias", "delay", "neuron"},
    "flatten": {"type", "shape"},
}  # fmt: skip


def read_net(path: Path) -> Graph:
    """Reads a `.net` file of input, dense, conv and flatten layers with LOIHI or CUBA neurons.

    A layer whose threshold is out of reach never fires and is read out by its membrane, as
    slayer's affine output blocks are. An input layer with a neuron takes integers of 8 bits.

    Raises:
        ModelFileError: missing, truncated or of the wrong types; or a layer, neuron or dataset
            that has no exact meaning here, by name.
        GraphError: layers that don't fit each other.
    """
    where = str(path)
    if not path.is_file():
        raise ModelFileError(where, "no such file")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(where).read(file)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, MemoryError) as error:
        raise ModelFileError(
            where,
            f"not a readable .net file ({type(error).__name__}: {error})",
            "export it again with lava-dl's export_hdf5",
        ) from error


@dataclass
class _Reader:
    """Builds the chain of nodes, layer by layer."""

    where: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""

    def read(self, file: Any) -> Graph:
        layers = _group(file, "layer", self.where)
        names = sorted(layers, key=lambda name: (len(name), name))
        if not names or names != [str(index) for index in range(len(names))]:
            raise ModelFileError(
                self.where, f"its layers are {names[:5]}, not 0, 1, 2, …", "export it again"
            )
        for name in names:
            self._layer(
                _Layer(f"{self.where}: layer/{name}", name, _group(layers, name, self.where))
            )
        return self._finished(_steps(file))

    def _finished(self, steps: int | None) -> Graph:
        neuron = self.nodes.get(self.last)
        if isinstance(neuron, Delays):
            raise ModelFileError(
                f"{self.where}: layer/{self.last.removeprefix('delay')}",
                "the neurons of the last layer have different delays",
                "train the last layer without delays",
            )
        if isinstance(neuron, Delay):
            neuron = self.nodes[self.edges[-1][0]]
        if not isinstance(neuron, IntNeuron):
            raise ModelFileError(self.where, "its last layer has no neurons", "add a dense layer")
        self._add("output", Output("s"))
        return delays_apart(Graph(self.nodes, tuple(self.edges), steps=steps)).check()

    def _add(self, name: str, node: Node) -> None:
        if self.last:
            self.edges.append((self.last, name))
        self.nodes[name], self.last = node, name

    def _layer(self, layer: _Layer) -> None:
        kind = layer.text("type")
        if kind not in LAYER_KEYS:
            raise ModelFileError(
                layer.where,
                f"a layer of type {kind!r} has no exact meaning here",
                "only input, dense, conv and flatten layers are read",
            )
        unknown = set(layer.group) - LAYER_KEYS[kind]
        if unknown:
            raise ModelFileError(layer.where, f"unknown datasets {sorted(unknown)}")
        if kind != "input" and not self.last:
            self._implied_input(kind, layer)
        self._after_firing(layer)
        {"input": self._input, "dense": self._dense, "conv": self._conv,
         "flatten": self._flatten}[kind](layer)  # fmt: skip

    def _implied_input(self, kind: str, layer: _Layer) -> None:
        if kind != "dense":
            raise ModelFileError(
                layer.where, "the file does not say the shape of its input", "add an input layer"
            )
        self._add("input", Input((layer.dense_weight().shape[1],), Kind.SPIKE))

    def _after_firing(self, layer: _Layer) -> None:
        neuron = self.nodes.get(self.last)
        if isinstance(neuron, IntNeuron) and not neuron.fires:
            raise ModelFileError(
                layer.where,
                f"follows {self.last}, whose threshold is out of reach: it never fires",
                "such a layer can only be the last one",
            )

    def _input(self, layer: _Layer) -> None:
        if self.last:
            raise ModelFileError(layer.where, "an input layer must be the first")
        shape = layer.shape()
        if "neuron" not in layer.group:
            self._add("input", Input(shape, Kind.SPIKE))
            return
        self._add("input", Input(shape, Kind.GRADED, bits=INPUT_BITS))
        self._add(layer.node("scale"), _scaling(layer.scalar("weight", INPUT_WEIGHT), shape))
        bias = np.asarray(layer.scalar("bias", 0) << SHIFT, np.int64)
        node = layer.neuron(len(shape), np.asarray(0, np.int64))
        # slayer adds this bias to the input, so it decays with the current, where that lasts.
        lasting = bool((node.du < 1 << 12).any())
        node = replace(node, bias_u=bias) if lasting else replace(node, bias_v=bias)
        self._add(layer.node("neuron"), node)

    def _dense(self, layer: _Layer) -> None:
        weight = layer.dense_weight()
        source = self.nodes[self.last]
        if isinstance(source, Input) and source.shape[1:] == (1, 1):
            self.nodes[self.last] = replace(source, shape=source.shape[:1])
        self._add(layer.node("dense"), Linear(weight, None, layer.weight_exp()))
        self._neuron(layer, 1, layer.bias((len(weight),)))

    def _conv(self, layer: _Layer) -> None:
        weight = layer.conv_weight()
        node = Conv(
            weight,
            None,
            layer.pair("stride", 1),
            layer.pair("padding", 0),
            layer.pair("dilation", 1),
            layer.scalar("groups", 1),
            layer.weight_exp(),
        )
        self._add(layer.node("conv"), node)
        self._neuron(layer, 3, layer.bias((len(weight), 1, 1)))

    def _flatten(self, layer: _Layer) -> None:
        self._add(layer.node("flatten"), Flatten())

    def _neuron(self, layer: _Layer, axes: int, bias: A) -> None:
        node = layer.neuron(axes, bias)
        delays = layer.delays()
        if delays.size > 1:
            self._add(layer.node("neuron"), node)
            self._add(layer.node("delay"), self._per_channel(layer, delays))
            return
        delay = int(delays[0])
        if delay and not bias.any():
            # Without a bias nothing happens before the first input, so an output that comes
            # later is an input that comes later; on the chip that is a synaptic delay.
            self._add(layer.node("delay"), Delay(delay))
        self._add(layer.node("neuron"), node)
        if delay and bias.any():
            self._add(layer.node("delay"), Delay(delay))

    def _per_channel(self, layer: _Layer, delays: A) -> Delays:
        """slayer delays the spikes of a layer channel by channel."""
        shape = Graph(self.nodes, tuple(self.edges)).signals[self.last].shape
        if delays.size != shape[0]:
            raise ModelFileError(
                layer.where, f"{delays.size} delays for {shape[0]} channels", "give one per channel"
            )
        each = delays.reshape(-1, *(1,) * (len(shape) - 1))
        return Delays(np.broadcast_to(each, shape).copy())


def _scaling(weight: int, shape: tuple[int, ...]) -> Node:
    """Every value of (n,) or (C, H, W) times `weight`."""
    if len(shape) == 1:
        return Linear(np.diag(np.full(shape[0], weight, np.int32)))
    kernel = np.full((shape[0], 1, *(1,) * (len(shape) - 1)), weight, np.int32)
    ones = (1,) * (len(shape) - 1)
    return Conv(kernel, None, ones, (0,) * len(ones), ones, shape[0])


@dataclass(frozen=True)
class _Layer:
    """One group `/layer/<i>`; every read checks types."""

    where: str
    index: str
    group: Any

    def node(self, stem: str) -> str:
        """Name of a node of this layer."""
        return f"{stem}{self.index}"

    def text(self, key: str) -> str:
        """A string, stored alone or as the one entry of an array."""
        value = _dataset(self.group, key, self.where)[()]
        value = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size else value
        if not isinstance(value, bytes | str):
            raise ModelFileError(self.where, f"{key} is {value}, not a text")
        return value.decode("ascii") if isinstance(value, bytes) else value

    def integers(self, key: str) -> A:
        """A dataset of integers, which may be stored as floats."""
        return _integers(_dataset(self.group, key, self.where), f"{self.where}/{key}")

    def scalar(self, key: str, default: int) -> int:
        """One integer."""
        if key not in self.group:
            return default
        return _one(self.integers(key), f"{self.where}/{key}")

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """(vertical, horizontal), stored as two numbers or one."""
        if key not in self.group:
            return default, default
        values = self.integers(key).reshape(-1)
        if values.size not in (1, 2):
            raise ModelFileError(self.where, f"{key} has {values.size} entries, not 1 or 2")
        return int(values[0]), int(values[-1])

    def shape(self) -> tuple[int, ...]:
        """Shape as (C, H, W), or as (n,) where there is no more to it."""
        shape = tuple(int(n) for n in self.integers("shape").reshape(-1))
        if not shape or min(shape) < 1 or len(shape) > 3:
            raise ModelFileError(self.where, f"its shape is {shape}")
        return shape

    def _weight(self) -> A:
        item = self.group.get("weight")
        if isinstance(item, h5py.Group):
            imaginary = item.get("imag")
            if imaginary is not None and np.asarray(imaginary[()]).any():
                raise ModelFileError(self.where, "has complex weights", "use real ones")
            return _integers(_dataset(item, "real", self.where), f"{self.where}/weight/real")
        return self.integers("weight")

    def dense_weight(self) -> A:
        """(out, in); stored so, with axes of extent 1 behind, or flat."""
        weight = self._weight()
        out = int(np.prod(self.shape())) if "shape" in self.group else None
        if weight.ndim == 1 and out:
            weight = weight.reshape(out, -1)
        if weight.ndim < 2 or weight.size != weight.shape[0] * weight.shape[1]:
            raise ModelFileError(self.where, f"its weights have shape {weight.shape}")
        weight = weight.reshape(weight.shape[:2])
        if out not in (None, len(weight)):
            raise ModelFileError(self.where, f"{out} neurons but {len(weight)} rows of weights")
        return weight

    def conv_weight(self) -> A:
        """(out, in / groups, H, W)."""
        weight = self._weight()
        if weight.ndim < 4 or weight.size != np.prod(weight.shape[:4]):
            raise ModelFileError(self.where, f"its weights have shape {weight.shape}")
        return weight.reshape(weight.shape[:4])

    def bias(self, shape: tuple[int, ...]) -> A:
        """Zero, one value, or one per neuron or channel."""
        if "bias" not in self.group:
            return np.asarray(0, np.int64)
        bias = self.integers("bias").reshape(-1)
        if bias.size not in (1, shape[0]):
            raise ModelFileError(
                self.where, f"{bias.size} biases for {shape[0]} channels", "give one per channel"
            )
        return bias.reshape(shape) if bias.size == shape[0] else bias.reshape(())

    def delays(self) -> A:
        """Delays in steps, one value where they are equal; slayer floors them when it exports."""
        if "delay" not in self.group:
            return np.zeros(1, np.int64)
        found = np.floor(_numbers(_dataset(self.group, "delay", self.where), self.where)).ravel()
        if found.min() < 0 or found.max() > STEPS_MAX:
            raise ModelFileError(
                self.where,
                f"delays of {found.min():g}…{found.max():g} steps",
                f"give 0 to {STEPS_MAX}",
            )
        whole = found.astype(np.int64)
        return whole[:1] if bool((whole == whole[0]).all()) else whole

    def weight_exp(self) -> int:
        """The exponent that older files give their weights."""
        neuron = self.group.get("neuron", {})
        if "wgtExp" not in neuron:
            return 0
        return _one(_integers(neuron["wgtExp"], f"{self.where}/wgtExp"), self.where)

    def neuron(self, axes: int, bias: A) -> IntNeuron:
        """The layer's neurons; `axes` feature axes, `bias` in the file's units."""
        if "neuron" not in self.group:
            raise ModelFileError(
                self.where,
                "has no neurons: netx would integrate without end where slayer passes sums on",
                "export it with dynamics=True, or leave the layer out",
            )
        neuron = _Layer(
            f"{self.where}/neuron", self.index, _group(self.group, "neuron", self.where)
        )
        neuron.refuse_others()
        v_th = neuron.scalar("vThMant", -1)
        if v_th < 0:
            raise ModelFileError(neuron.where, "has no threshold vThMant")
        fires = v_th < VTH_UNREACHABLE
        return IntNeuron(
            du=neuron.decay("iDecay", axes),
            dv=neuron.decay("vDecay", axes),
            theta=np.asarray(v_th << SHIFT, np.int64),
            bias_v=bias << SHIFT,
            reset="hard" if fires else "none",
            fires=fires,
        )

    def decay(self, key: str, axes: int) -> A:
        """A decay in 4096ths, one or one per channel."""
        values = self.integers(key)
        if values.min(initial=0) < 0 or values.max(initial=0) > 1 << 12:
            raise ModelFileError(self.where, f"{key} outside 0…4096")
        if values.size == 1:
            return values.reshape(())
        return values.reshape(-1, *(1,) * (axes - 1))

    def refuse_others(self) -> None:
        """Refuses neurons that are not slayer's CUBA, and settings that Lava's LIF ignores."""
        kind = self.text("type")
        if kind not in ("LOIHI", "CUBA"):
            raise ModelFileError(
                self.where, f"neurons of type {kind!r} are not read", "only LOIHI and CUBA are"
            )
        unknown = set(self.group) - NEURON_KEYS
        if unknown:
            raise ModelFileError(self.where, f"unknown datasets {sorted(unknown)}")
        if self.scalar("refDelay", 1) != 1:
            raise ModelFileError(self.where, "a refractory delay other than 1 is not read")
        if self.scalar("gradedSpike", 0):
            raise ModelFileError(self.where, "graded spikes are not read", "train with binary ones")
        if self.scalar("weight_exp", 0):
            raise ModelFileError(
                self.where,
                "a batch norm with a weight scale (weight_exp) is not read: slayer scales the"
                " current where the chip scales weights",
                "train with mean-only batch norm",
            )
        if self.scalar("messageBits", 0):
            raise ModelFileError(self.where, "graded spikes (messageBits) are not read")


def _group(parent: Any, key: str, where: str) -> Any:
    item = parent.get(key)
    if not isinstance(item, h5py.Group):
        raise ModelFileError(where, f"has no group {key!r}", "export it with export_hdf5")
    return item


def _dataset(parent: Any, key: str, where: str) -> Any:
    item = parent.get(key)
    if not isinstance(item, h5py.Dataset):
        raise ModelFileError(where, f"has no dataset {key!r}", "export it with export_hdf5")
    return item


def _numbers(item: Any, where: str) -> A:
    values = np.asarray(item[()])
    if values.dtype.kind not in "fiub" or not values.size:
        raise ModelFileError(where, f"holds {values.dtype} of shape {values.shape}, not numbers")
    if not np.isfinite(values).all():
        raise ModelFileError(where, "holds values that are NaN or infinite", "train it again")
    return values


def _integers(item: Any, where: str) -> A:
    values = _numbers(item, where)
    found = values.astype(np.int64)
    if not (found == values).all():
        raise ModelFileError(
            where, "holds fractions where integers should be", "export quantised weights"
        )
    return found


def _one(values: A, where: str) -> int:
    if values.size != 1:
        raise ModelFileError(where, f"holds {values.size} values, not one")
    return int(values.reshape(-1)[0])


def _steps(file: Any) -> int | None:
    """Steps per sample, where the file says so."""
    group = file.get("simulation")
    if not isinstance(group, h5py.Group) or not {"Ts", "tSample"} <= set(group):
        return None
    step, length = (
        float(np.asarray(_numbers(group[key], key)).reshape(-1)[0]) for key in ("Ts", "tSample")
    )
    return round(length / step) if step > 0 and length >= step else None


__all__ = ["read_net"]
