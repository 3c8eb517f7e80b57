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
Function = Literal[
    "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "sigmoid", "tanh", "silu", "softplus",
    "clip", "abs", "exp", "log", "sqrt", "square", "reciprocal",
]  # fmt: skip


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


def _check_bias(name: str, bias: Array | None, shape: tuple[int, ...]) -> None:
    """A bias is one value per channel, or one per value of the output."""
    if bias is not None and bias.shape not in (shape[:1], shape):
        raise GraphError(
            name,
            f"bias has shape {bias.shape}, the output has shape {shape}",
            f"give one bias per channel, {shape[:1]}, or one per value, {shape}",
        )


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
class Sum(Node):
    """y = x: where branches of the network meet."""

    def infer(self, name: str, x: Signal) -> Signal:
        return x


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """y = W·x + b, with W of shape (out, in). S2: y = (W·x)·2^exp, floored, no bias."""

    weight: Array
    bias: Array | None = None
    exp: int = 0

    def infer(self, name: str, x: Signal) -> Signal:
        _check_rank(name, self.weight, (2,), "(out, in)")
        out, fan_in = self.weight.shape
        _check_bias(name, self.bias, (out,))
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

    y[o, p] = Σ_{c,k} W[o, c, k] · x[c(o), s·p − pad + d·k] + b over 1 or 2 axes; `weight` has
    shape (out, in / groups, *kernel), `bias` (out,) or the shape of the output. S2: the sum times
    2^exp, floored, no bias. Output extent per axis: floor((n + 2·pad − d·(k − 1) − 1) / s) + 1.
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
        _check_kernel(name, self, x)
        extents = window_extents(
            name, x.shape[1:], self.kernel, self.stride, self.padding, self.dilation
        )
        _check_bias(name, self.bias, (len(self.weight), *extents))
        return _accumulated(x, (len(self.weight), *extents), self.weight)


@dataclass(frozen=True, eq=False)
class ConvTranspose(Node):
    """Transposed convolution over the last axes: the adjoint of `Conv`, as in torch.

    y[o, s·p − pad + d·k] += Σ_c W[o, c, k] · x[c(o), p], then + b; what falls outside is dropped.
    `weight` has the layout of `Conv`, (out, in / groups, *kernel); torch's is (in, out / groups,
    *kernel). `bias` is (out,) or the shape of the output. S2: the sum times 2^exp, floored, no
    bias. Output extent per axis: (n − 1)·s − 2·pad + d·(k − 1) + output_padding + 1.
    """

    weight: Array
    bias: Array | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    output_padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    exp: int = 0

    @property
    def kernel(self) -> tuple[int, ...]:
        """Extent of the kernel along each axis."""
        return self.weight.shape[2:]

    def infer(self, name: str, x: Signal) -> Signal:
        _check_kernel(name, self, x)
        _check_window(name, len(self.kernel), 0, {"output_padding": self.output_padding})
        extents = self.extents(x.shape[1:])
        if min(extents) < 1:
            raise GraphError(
                name, f"its output has extents {extents}", "use less padding or a larger kernel"
            )
        _check_bias(name, self.bias, (len(self.weight), *extents))
        return _accumulated(x, (len(self.weight), *extents), self.weight)

    def extents(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Extents of the output for an input of `extents`, one per axis."""
        return tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1
            for n, k, s, p, o, d in zip(
                extents, self.kernel, self.stride, self.padding, self.output_padding,
                self.dilation, strict=True,
            )
        )  # fmt: skip


def _check_kernel(name: str, node: Conv | ConvTranspose, x: Signal) -> None:
    kind = type(node).__name__
    _check_rank(name, node.weight, (3, 4), "(out, in / groups, *kernel)")
    _check_window(name, len(node.kernel), 1, {"stride": node.stride, "dilation": node.dilation})
    _check_window(name, len(node.kernel), 0, {"padding": node.padding})
    if node.groups < 1:
        raise GraphError(name, f"groups = {node.groups}", f"a {kind} has at least one group")
    out, per_group = node.weight.shape[:2]
    if len(x.shape) != len(node.kernel) + 1 or x.shape[0] != per_group * node.groups:
        raise GraphError(
            name,
            f"{kind} takes {per_group * node.groups} channels and {len(node.kernel)} axes"
            f" but its input has shape {x.shape}",
            "check the channel counts and the number of axes",
        )
    if out % node.groups:
        raise GraphError(name, f"{out} output channels don't divide by {node.groups} groups")


def _check_index(name: str, label: str, index: Array, least: int, inputs: int) -> None:
    if index.dtype.kind != "i":
        raise GraphError(name, f"{label} has dtype {index.dtype}", "give signed integers")
    if not index.size:
        raise GraphError(name, f"{label} is empty", "give at least one, with a weight of 0")
    low, high = int(index.min()), int(index.max())
    if low < least or high >= inputs:
        raise GraphError(
            name,
            f"{label} runs from {low} to {high}, outside its {inputs} inputs",
            f"indices are {least} to {inputs - 1}",
        )


@dataclass(frozen=True, eq=False)
class Sparse(Node):
    """y = W·x + b between flattened signals, last axis fastest, with W in compressed rows.

    Row r (of `out_shape`, flattened) holds the weights `weight[indptr[r]:indptr[r + 1]]` for the
    inputs `indices[…]` (of `in_shape`, flattened); `bias` has `out_shape`. S2: the sum times
    2^exp, floored, no bias.
    """

    weight: Array
    indices: Array
    indptr: Array
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    bias: Array | None = None
    exp: int = 0

    def infer(self, name: str, x: Signal) -> Signal:
        if x.shape != self.in_shape:
            raise GraphError(
                name,
                f"Sparse takes {self.in_shape} but its input has shape {x.shape}",
                "check the layer sizes",
            )
        if any(extent < 1 for extent in self.out_shape):
            raise GraphError(name, f"out_shape = {self.out_shape}", "extents are at least 1")
        self._check_rows(name)
        _check_index(name, "indices", self.indices, 0, x.size)
        if self.bias is not None and self.bias.shape != self.out_shape:
            raise GraphError(
                name,
                f"bias has shape {self.bias.shape}, the output has shape {self.out_shape}",
                "give one bias per value of the output",
            )
        return _accumulated(x, self.out_shape, self.weight)

    def _check_rows(self, name: str) -> None:
        rows, ptr, weight = math.prod(self.out_shape), self.indptr, self.weight
        if weight.ndim != 1 or self.indices.shape != weight.shape:
            raise GraphError(
                name,
                f"{self.indices.shape} indices for weights of shape {weight.shape}",
                "give one input index for each weight, both in one axis",
            )
        if ptr.dtype.kind != "i" or ptr.shape != (rows + 1,):
            raise GraphError(
                name,
                f"indptr holds {ptr.shape} values of {ptr.dtype} for {rows} rows",
                "give rows + 1 signed integers",
            )
        if ptr[0] != 0 or ptr[-1] != weight.size or np.any(ptr[1:] < ptr[:-1]):
            raise GraphError(
                name,
                f"indptr runs from {ptr[0]} to {ptr[-1]}, its weights are {weight.size}",
                "indptr starts at 0, never falls, and ends at the number of weights",
            )


@dataclass(frozen=True, eq=False)
class MatMul(Node):
    """y[h] = A[h]·B[h]: a product of two signals (spiking attention), one pair per head.

    The operands arrive one behind the other in a flat input, as `Place` puts them: first A, of
    shape (heads, rows, inner), then B, (heads, inner, columns). Output: (heads, rows, columns).
    """

    heads: int
    rows: int
    inner: int
    columns: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of values of A and of B."""
        return self.heads * self.rows * self.inner, self.heads * self.inner * self.columns

    def infer(self, name: str, x: Signal) -> Signal:
        if min(self.heads, self.rows, self.inner, self.columns) < 1:
            raise GraphError(
                name,
                f"a product of {self.heads} heads of {self.rows}×{self.inner} by"
                f" {self.inner}×{self.columns}",
                "extents are at least 1",
            )
        if x.shape != (sum(self.sizes),):
            first, second = self.sizes
            raise GraphError(
                name,
                f"MatMul takes {first} and {second} values one behind the other, but its input has"
                f" shape {x.shape}",
                "flatten both operands and place the second behind the first",
            )
        kind = Kind.ANALOG if x.kind is Kind.ANALOG else Kind.GRADED
        return Signal(kind, (self.heads, self.rows, self.columns), x.rate)


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
class Place(Node):
    """y[start + c, …] = x[c, …], zero elsewhere: one part of a concatenation of `extent` channels.

    A concatenation is the sum of its placed parts.
    """

    start: int
    extent: int

    def infer(self, name: str, x: Signal) -> Signal:
        if not x.shape or not 0 <= self.start <= self.extent - x.shape[0]:
            raise GraphError(
                name,
                f"an input of shape {x.shape} placed at channel {self.start} doesn't fit into"
                f" {self.extent} channels",
                "check the parts of the concatenation",
            )
        return Signal(x.kind, (self.extent, *x.shape[1:]), x.rate)


@dataclass(frozen=True, eq=False)
class Gather(Node):
    """y[i] = x.flat[index[i]], zero where index[i] = −1: any selection, reordering or padding.

    `index` has the shape of the output and counts the flattened input, last axis fastest.
    """

    index: Array

    def infer(self, name: str, x: Signal) -> Signal:
        _check_index(name, "index", self.index, -1, x.size)
        return Signal(x.kind, self.index.shape, x.rate)


@dataclass(frozen=True, eq=False)
class Scale(Node):
    """y = w·x + b, one w and b per channel (batch norm in evaluation) or per value.

    `weight` and `bias` have shape (channels,) or the shape of the signal.
    """

    weight: Array
    bias: Array | None = None

    def infer(self, name: str, x: Signal) -> Signal:
        if self.weight.shape not in (x.shape[:1], x.shape):
            raise GraphError(
                name,
                f"Scale of shape {self.weight.shape} on an input of shape {x.shape}",
                f"give one factor per channel, {x.shape[:1]}, or one per value, {x.shape}",
            )
        _check_bias(name, self.bias, x.shape)
        return Signal(Kind.ANALOG, x.shape, x.rate)


@dataclass(frozen=True, eq=False)
class Map(Node):
    """y = f(x), value by value. Runs on the host only.

    `low` and `high` are the parameters of the functions that have some: clip(low, high),
    leaky_relu (slope `low` below 0), elu (`low`·(exp(x) − 1) below 0), softplus
    (log(1 + exp(β·x))/β with β = `low`, and x itself where β·x > `high`: torch's threshold).
    gelu is x·Φ(x), gelu_tanh its approximation by tanh, silu is x·sigmoid(x). Where a function has
    no value (log(−1), 1/0) it is NaN or infinite, as in torch.
    """

    function: Function
    low: float = 0.0
    high: float = 0.0

    def infer(self, name: str, x: Signal) -> Signal:
        if self.function == "softplus" and self.low == 0:
            raise GraphError(name, "softplus divides by its β, which is 0", "give another β")
        return Signal(Kind.ANALOG, x.shape, x.rate)


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Maximum over windows, channel by channel; padding never wins. Runs on the host only.

    Padding is at most half of the kernel, as in torch. A window whose taps all lie in the padding
    (dilation can do that) is −∞.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def infer(self, name: str, x: Signal) -> Signal:
        rank = len(self.kernel)
        sizes = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        _check_window(name, rank, 1, sizes)
        _check_window(name, rank, 0, {"padding": self.padding})
        if len(x.shape) != rank + 1:
            raise GraphError(
                name,
                f"MaxPool over {rank} axes but its input has shape {x.shape}",
                "its input has one axis of channels before those",
            )
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise GraphError(
                name,
                f"padding {self.padding} is more than half of the window {self.kernel}",
                "pad at most half the kernel, as torch does",
            )
        extents = window_extents(
            name, x.shape[1:], self.kernel, self.stride, self.padding, self.dilation
        )
        return Signal(Kind.ANALOG, (x.shape[0], *extents), x.rate)


@dataclass(frozen=True, eq=False)
class Normalise(Node):
    """Normalises each of `rows` equal parts of the flattened signal. Runs on the host only.

    `layer`: (x − mean) / √(variance + eps), layer and group norm. `l2`: x / max(‖x‖₂, eps).
    `softmax`, `log_softmax`: exp(x) / Σ exp(x) and its logarithm.
    """

    rows: int
    kind: Literal["layer", "l2", "softmax", "log_softmax"]
    eps: float = 0.0

    def infer(self, name: str, x: Signal) -> Signal:
        if self.rows < 1 or x.size % self.rows:
            raise GraphError(
                name,
                f"{x.size} values don't divide into {self.rows} rows",
                "give a number of rows that divides the size of the input",
            )
        return Signal(Kind.ANALOG, x.shape, x.rate)


@dataclass(frozen=True, eq=False)
class Multiply(Node):
    """y[c, …] = x[c, …]·x[C + c, …]: the operands arrive one behind the other, as `Place` puts
    them. Runs on the host only: of two spikes, an AND neuron is what a core has."""

    def infer(self, name: str, x: Signal) -> Signal:
        if not x.shape or x.shape[0] % 2:
            raise GraphError(
                name,
                f"an input of shape {x.shape} holds no two operands of equal size",
                "place the second operand behind the first along the channels",
            )
        return Signal(Kind.ANALOG, (x.shape[0] // 2, *x.shape[1:]), x.rate)


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
        Input, Output, Sum, Linear, Conv, ConvTranspose, Sparse, MatMul, Pool, Flatten, Place,
        Gather, Scale, Map, MaxPool, Normalise, Multiply, Delay, Neuron, IntNeuron,
    )
}  # fmt: skip
"""Every node type by name: the vocabulary of graph files."""

Weighted = Linear | Conv | ConvTranspose | Sparse
"""What holds synapses; in S2 exactly one of them stands before each neuron on every path."""

HostOnly = Map | MaxPool | Normalise | Multiply
"""What no core computes."""
