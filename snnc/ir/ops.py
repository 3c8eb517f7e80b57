"""The node types of a graph: one dataclass each, its equation in its docstring.

The float graph (S1) and the integer graph (S2) share the operations; only the neuron differs:
`Neuron` is the canonical neuron in real numbers, `IntNeuron` the same update in Loihi's integers.
Shapes leave out the sample and step axes. Arrays keep the dtype they were read with; their
meaning is their value as a float64 (S1) or int64 (S2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir.signals import Kind, Rate, Signal

Array = NDArray[Any]
Reset = Literal["none", "hard", "soft"]
ResetAt = Literal["now", "guarded", "before", "after"]
Compare = Literal[">", ">=", "never"]
Order = Literal["uv", "vu"]
Port = Literal["s", "u", "v"]
Reduce = Literal["none", "sum", "mean", "last"]


@dataclass(frozen=True, eq=False)
class Node:
    """Base of all nodes. Several edges into one node sum."""

    has_input: ClassVar[bool] = True

    def infer(self, name: str, x: Signal) -> Signal:
        """Type of the output for the (summed) input type `x`.

        Raises:
            GraphError: the input's shape or kind doesn't fit the node.
        """
        raise NotImplementedError


def _accumulated(x: Signal, shape: tuple[int, ...], weight: Array) -> Signal:
    """Type of a weighted sum of `x`: integers stay integers only under integer weights."""
    real = x.kind is Kind.ANALOG or not np.issubdtype(weight.dtype, np.integer)
    return Signal(Kind.ANALOG if real else Kind.GRADED, shape, x.rate)


def _check_rank(name: str, weight: Array, ranks: tuple[int, ...], meaning: str) -> None:
    if weight.ndim not in ranks:
        raise GraphError(name, f"weight has shape {weight.shape}", f"its axes are {meaning}")


def _check_bias(name: str, bias: Array | None, out: int) -> None:
    if bias is not None and bias.shape != (out,):
        raise GraphError(name, f"bias has shape {bias.shape}, the weight asks for ({out},)")


def _check_window(name: str, rank: int, least: int, settings: dict[str, tuple[int, ...]]) -> None:
    for label, values in settings.items():
        if len(values) != rank or min(values, default=0) < least:
            raise GraphError(
                name,
                f"{label} = {tuple(values)}",
                f"give {rank} integers of at least {least}, one per axis",
            )


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Source of samples.

    In S2 the host turns a real input x into the integer clip(round(x / scale), lo, hi), with
    lo..hi the range of `bits` bits, signed or not; ties round to even.
    """

    shape: tuple[int, ...]
    kind: Kind = Kind.ANALOG
    rate: Rate = Rate.STEP
    scale: float = 1.0
    bits: int = 0
    signed: bool = False

    has_input: ClassVar[bool] = False

    def infer(self, name: str, x: Signal) -> Signal:
        if any(extent < 1 for extent in self.shape):
            raise GraphError(name, f"an Input of shape {self.shape}", "extents are at least 1")
        return Signal(self.kind, self.shape, self.rate)

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer that the input can carry in S2."""
        if self.kind is Kind.SPIKE:
            return 0, 1
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


@dataclass(frozen=True, eq=False)
class Output(Node):
    """Sink: reads the output (port `s`) or a state (`u`, `v`) of the node before it.

    `reduce` is over the steps: `none` keeps (sample, step, …); `sum`, `mean`,
    `last` drop the step axis.
    """

    port: Port = "s"
    reduce: Reduce = "none"

    def infer(self, name: str, x: Signal) -> Signal:
        return x if self.port == "s" else Signal(Kind.ANALOG, x.shape)


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """y = W·x + b, with W of shape (out, in). S2: y = (W·x)·2^exp, floored, no bias."""

    weight: Array
    bias: Array | None = None
    exp: int = 0

    def infer(self, name: str, x: Signal) -> Signal:
        _check_rank(name, self.weight, (2,), "(out, in)")
        out, fan_in = self.weight.shape
        _check_bias(name, self.bias, out)
        if x.shape != (fan_in,):
            raise GraphError(
                name,
                f"Linear takes ({fan_in},) but its input has shape {x.shape}",
                "put a Flatten before it" if x.size == fan_in else "check the layer sizes",
            )
        return _accumulated(x, (out,), self.weight)


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Cross-correlation over the last axes, as in torch, zero padded.

    y[o, p] = Σ_{c,k} W[o, c, k] · x[c(o), s·p − pad + d·k] + b[o] over 1 or 2 axes; `weight` has
    shape (out, in / groups, *kernel). S2: the sum times 2^exp, floored, no bias.
    Output extent per axis: floor((n + 2·pad − d·(k − 1) − 1) / s) + 1.
    """

    weight: Array
    bias: Array | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    exp: int = 0

    @property
    def kernel(self) -> tuple[int, ...]:
        """Extent of the kernel along each axis."""
        return self.weight.shape[2:]

    def infer(self, name: str, x: Signal) -> Signal:
        _check_rank(name, self.weight, (3, 4), "(out, in / groups, *kernel)")
        _check_window(name, len(self.kernel), 1, {"stride": self.stride, "dilation": self.dilation})
        _check_window(name, len(self.kernel), 0, {"padding": self.padding})
        if self.groups < 1:
            raise GraphError(name, f"groups = {self.groups}", "a Conv has at least one group")
        out, per_group = self.weight.shape[:2]
        _check_bias(name, self.bias, out)
        if len(x.shape) != len(self.kernel) + 1 or x.shape[0] != per_group * self.groups:
            raise GraphError(
                name,
                f"Conv takes {per_group * self.groups} channels and {len(self.kernel)} axes"
                f" but its input has shape {x.shape}",
                "check the channel counts and the number of axes",
            )
        if out % self.groups:
            raise GraphError(name, f"{out} output channels don't divide by {self.groups} groups")
        extents = window_extents(
            name, x.shape[1:], self.kernel, self.stride, self.padding, self.dilation
        )
        return _accumulated(x, (out, *extents), self.weight)


def window_extents(
    name: str,
    extents: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """Extents of a sliding window's output, floor mode, one per axis."""
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(extents, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise GraphError(
            name,
            f"a window of {tuple(kernel)} with dilation {tuple(dilation)} and padding"
            f" {tuple(padding)} is larger than its input {tuple(extents)}",
            "use a smaller kernel or more padding",
        )
    return out


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """Sum or average over windows, channel by channel, floor mode.

    The average divides by the whole window, zero padding included (torch's
    `count_include_pad=True`).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    mode: Literal["avg", "sum"] = "avg"

    def infer(self, name: str, x: Signal) -> Signal:
        rank = len(self.kernel)
        _check_window(name, rank, 1, {"kernel": self.kernel, "stride": self.stride})
        _check_window(name, rank, 0, {"padding": self.padding})
        if len(x.shape) != len(self.kernel) + 1:
            raise GraphError(
                name, f"Pool over {len(self.kernel)} axes but its input has shape {x.shape}"
            )
        extents = window_extents(
            name, x.shape[1:], self.kernel, self.stride, self.padding, (1,) * len(self.kernel)
        )
        exact = self.mode == "sum" and x.kind is not Kind.ANALOG
        return Signal(Kind.GRADED if exact else Kind.ANALOG, (x.shape[0], *extents), x.rate)

    @property
    def window(self) -> int:
        """Number of taps in a window."""
        return math.prod(self.kernel)


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """Merges the feature axes `start`..`end` (inclusive), last axis fastest."""

    start: int = 0
    end: int = -1

    def infer(self, name: str, x: Signal) -> Signal:
        rank = len(x.shape)
        if not -rank <= self.start < rank or not -rank <= self.end < rank:
            raise GraphError(name, f"Flatten {self.start}..{self.end} of shape {x.shape}")
        first, last = self.start % rank, self.end % rank
        if first > last:
            raise GraphError(name, f"Flatten {self.start}..{self.end} of shape {x.shape}")
        merged = math.prod(x.shape[first : last + 1])
        return Signal(x.kind, (*x.shape[:first], merged, *x.shape[last + 1 :]), x.rate)


@dataclass(frozen=True, eq=False)
class Scale(Node):
    """y[c, …] = w[c]·x[c, …] + b[c]: an affine map per channel (batch norm in evaluation)."""

    weight: Array
    bias: Array | None = None

    def infer(self, name: str, x: Signal) -> Signal:
        _check_rank(name, self.weight, (1,), "(channels,)")
        _check_bias(name, self.bias, len(self.weight))
        if self.weight.shape != x.shape[:1]:
            raise GraphError(
                name, f"Scale of {self.weight.shape[0]} channels on an input of shape {x.shape}"
            )
        return Signal(Kind.ANALOG, x.shape, x.rate)


@dataclass(frozen=True, eq=False)
class Delay(Node):
    """y[t] = x[t − steps], zero before that."""

    steps: int

    def infer(self, name: str, x: Signal) -> Signal:
        if self.steps < 1:
            raise GraphError(name, f"delays by {self.steps} steps", "delay by at least one step")
        return Signal(x.kind, x.shape, Rate.STEP)


def _check_parameters(name: str, shape: tuple[int, ...], parameters: dict[str, Array]) -> None:
    for label, value in parameters.items():
        if value.ndim not in (0, len(shape)) or not _fits(value.shape, shape):
            raise GraphError(
                name,
                f"{label} has shape {value.shape}, the neurons have shape {shape}",
                "give one value, one per channel as (C, 1, 1), or one per neuron",
            )


def _keep_arrays(node: Node, parameters: Sequence[str]) -> None:
    """0-d arrays that numpy turned into scalars on the way become arrays again."""
    for parameter in parameters:
        object.__setattr__(node, parameter, np.asarray(getattr(node, parameter)))


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


@dataclass(frozen=True, eq=False)
class Neuron(Node):
    """The canonical neuron in real numbers. Every framework's neuron is a setting of it.

    With x the summed input, at every step t::

        v[t−1] ← reset(v[t−1]) where s[t−1]                         if reset_at = before
        u[t] = a_u·u[t−1] + x[t]
        v[t] = a_v·v[t−1] + g·u[t] + b        (g·u[t−1] if order = vu)
        v[t] ← v[t] − θ (soft) or v_reset (hard) where s[t−1]       if reset_at = after
        s[t] = v[t] compare θ
        v[t] ← reset(v[t]) where s[t]                               if reset_at = now

    `before` equals `now` in every spike and differs only in the membrane that is read out;
    `after` takes the decay and the input of step t first, so a hard reset swallows that input.
    `guarded` (soft only; snnTorch's `reset_delay=False`) resets now, but where v[t−1] still
    reaches θ the comparison at t is made with v[t] − θ. The node's output is s; with compare =
    never it is v (an integrator that is read out, or that feeds analog values on).
    u starts at 0 and v at v_init; both start anew with each sample. a_u = 0: no synaptic current.
    Parameters are scalars (0-d), per channel (C, 1, 1) or per neuron, in the units of the model.
    """

    a_v: Array
    theta: Array
    a_u: Array = field(default_factory=lambda: np.asarray(0.0))
    g: Array = field(default_factory=lambda: np.asarray(1.0))
    b: Array = field(default_factory=lambda: np.asarray(0.0))
    v_reset: Array = field(default_factory=lambda: np.asarray(0.0))
    v_init: Array = field(default_factory=lambda: np.asarray(0.0))
    reset: Reset = "hard"
    reset_at: ResetAt = "now"
    compare: Compare = ">"
    order: Order = "uv"

    PARAMETERS: ClassVar[tuple[str, ...]] = ("a_u", "a_v", "g", "b", "theta", "v_reset", "v_init")

    def __post_init__(self) -> None:
        _keep_arrays(self, self.PARAMETERS)

    def infer(self, name: str, x: Signal) -> Signal:
        if self.reset_at == "guarded" and self.reset != "soft":
            raise GraphError(name, "a guarded reset must be a soft reset")
        if self.compare == "never" and self.reset != "none":
            raise GraphError(name, "a neuron that never spikes can't reset")
        _check_parameters(name, x.shape, {p: getattr(self, p) for p in self.PARAMETERS})
        return Signal(Kind.ANALOG if self.compare == "never" else Kind.SPIKE, x.shape)


@dataclass(frozen=True, eq=False)
class IntNeuron(Node):
    """The canonical neuron in Loihi's integers: the definition of S2.

    With A the summed input, M = 2^(state_bits − 1), and t0(x, d) = sign(x)·(|x|·(4096 − d) >> 12)
    (truncates towards zero), at every step::

        u ← wrap(t0(u, du) + (A << shift) + bias_u)
        v ← clip(t0(v, dv) + u + bias_v [− v_sub where s[t−1], if soft/after], ±(M − 1))
        v ← 0 where s[t−1]                                   if hard/after
        s = v > θ                                            (v − v_sub > θ where v[t−1] > θ,
                                                              if guarded)
        v ← 0 (hard) or v − v_sub (soft) where s             if now or guarded

    wrap adds or subtracts 2M once: x > M becomes x − 2M, x ≤ −M becomes x + 2M (so +M stays).
    This is Lava's fixed-point LIF where reset = hard/now, shift = 6, bias_u = v_init = 0,
    du = its du + 1, dv its dv, θ = vth << 6 and bias_v = bias_mant << bias_exp
    (lava-nc, proc/lif/models.py, PyLifModelBitAcc); the other settings are snnc's neuron program
    for Loihi 2. order = vu lets v take u from before its update. The node's output is s, or v
    where it never fires.
    """

    du: Array
    dv: Array
    theta: Array
    bias_v: Array = field(default_factory=lambda: np.asarray(0, np.int64))
    bias_u: Array = field(default_factory=lambda: np.asarray(0, np.int64))
    v_sub: Array = field(default_factory=lambda: np.asarray(0, np.int64))
    v_init: Array = field(default_factory=lambda: np.asarray(0, np.int64))
    shift: int = 6
    reset: Reset = "hard"
    reset_at: ResetAt = "now"
    order: Order = "uv"
    fires: bool = True
    state_bits: int = 24

    PARAMETERS: ClassVar[tuple[str, ...]] = (
        "du", "dv", "theta", "bias_v", "bias_u", "v_sub", "v_init",
    )  # fmt: skip

    def __post_init__(self) -> None:
        _keep_arrays(self, self.PARAMETERS)

    def infer(self, name: str, x: Signal) -> Signal:
        if x.kind is Kind.ANALOG:
            raise GraphError(name, "an integer neuron can't take an analog input")
        if self.reset_at == "before" or (self.reset_at == "guarded" and self.reset != "soft"):
            raise GraphError(name, f"no integer neuron resets {self.reset}/{self.reset_at}")
        _check_parameters(name, x.shape, {p: getattr(self, p) for p in self.PARAMETERS})
        return Signal(Kind.SPIKE if self.fires else Kind.GRADED, x.shape)


OPS: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Input, Output, Linear, Conv, Pool, Flatten, Scale, Delay, Neuron, IntNeuron,
    )
}  # fmt: skip
"""Every node type by name: the vocabulary of graph files."""
