"""Small networks whose operations are counted by hand: one function per case, its derivation in
its docstring. `test_by_hand.py` holds both ways of counting to them, the tests against other
counters reuse them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from snnc.energy.counts import Cause, Op
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

Steps = Sequence[Sequence[int]]
"""Integers by sample and step."""


@dataclass(frozen=True)
class Layer:
    """What is expected of one layer with synapses; integers mean one sample of one step.

    `value` is that of spikes, `operations` that of spikes and analog inputs, and zero weights are
    taken to be absent, where a case doesn't say otherwise. `kind` is compared where it is given.
    """

    op: Op
    dense: int
    taps: int
    events: int | Steps
    products: int | Steps
    operations: int | Steps | None = None
    value: int | Steps | None = None
    products_nonzero: int | Steps | None = None
    operations_nonzero: int | Steps | None = None
    second_events: int | Steps | None = None
    static: bool = False
    direct: bool = False
    kind: Kind | None = None

    def expected(self) -> dict[str, Any]:
        """All attributes of `Synapses` that follow, arrays as lists."""
        operations = self.products if self.operations is None else self.operations
        value = self.value
        if value is None:
            value = self.events if self.op is Op.AC else _zeros(self.events)
        left = self.products_nonzero
        kept = self.operations_nonzero
        table = {
            "op": self.op,
            "dense": self.dense,
            "taps": self.taps,
            "static": self.static,
            "direct": self.direct,
            "events": self.events,
            "value": value,
            "products": self.products,
            "operations": operations,
            "products_nonzero": self.products if left is None else left,
            "operations_nonzero": (operations if left is None else left) if kept is None else kept,
        }
        if self.second_events is not None:
            table["second_events"] = self.second_events
        if self.kind is not None:
            table["kind"] = self.kind
        plain = ("op", "dense", "taps", "static", "direct", "kind")
        return {k: v if k in plain else _steps(v) for k, v in table.items()}


def _zeros(like: int | Steps) -> int | Steps:
    return 0 if isinstance(like, int) else [[0] * len(row) for row in like]


def _steps(value: Any) -> Any:
    return [[value]] if isinstance(value, int) else value


Lines = Mapping[Cause, Mapping[Op, int | Sequence[int]]]


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its inputs, and what it does.

    Attributes:
        graph: as snnc's graph.
        inputs: by input name, (sample, step, …) or (sample, …) if given once.
        layers: in the order of the network.
        lines: operations that are no synaptic ones, summed over the nodes, per sample.
        spikes: of every population, by sample and step; None where the network has no neurons of
            its own (a module then ends in neurons that are left out of the comparison).
        module: the same as a torch module, that sees (step, sample, …); None where torch has
            nothing like it.
        kind: of the inputs of the module.
        static: the module's forward is one step of an input that stays.
        foldable: of the NORM lines.
    """

    graph: Graph
    inputs: Mapping[str, np.ndarray]
    layers: Sequence[Layer] = ()
    lines: Lines = field(default_factory=dict)
    spikes: Sequence[Steps] | None = None
    module: nn.Module | None = None
    kind: str = "spike"
    static: bool = False
    foldable: Sequence[bool] = ()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The inputs of the module: (step, sample, …), or (sample, …) if static."""
        arrays = (np.asarray(x, np.float32) for x in self.inputs.values())
        return tuple(
            torch.from_numpy(np.ascontiguousarray(x if self.static else x.swapaxes(0, 1)))
            for x in arrays
        )


CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    """Enters a case."""
    CASES[build.__name__] = build
    return build


class EachStep(nn.Module):
    """Applies a module to every step of (step, sample, …)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, *sequences: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.body(*step) for step in zip(*sequences, strict=True)])


class Calls(nn.Module):
    """A function as a module, with the modules that it uses."""

    def __init__(self, function: Callable[..., torch.Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*self.parts, *inputs)


def chain(*nodes: Node, steps: int | None = None) -> Graph:
    """Nodes in a row behind an input called `input`, with an output."""
    names = ["input", *(f"n{i}" for i in range(1, len(nodes))), "output"]
    return Graph.chain(dict(zip(names, (*nodes, Output()), strict=True)), steps)


def data(values: Any) -> dict[str, np.ndarray]:
    """One sample of one step."""
    return {"input": np.asarray(values, np.float64)[None, None]}


def ramp(*shape: int) -> np.ndarray:
    """Weights, none of them 0 and no two equal; float32 holds them exactly."""
    return (np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape) + 1) / 64


def lit(shape: tuple[int, ...], *places: tuple[int, ...]) -> np.ndarray:
    """1 at the places, 0 elsewhere."""
    spikes = np.zeros(shape)
    for place in places:
        spikes[place] = 1
    return spikes


def tensor(values: Any) -> nn.Parameter:
    """As a parameter in float32."""
    return nn.Parameter(torch.as_tensor(np.asarray(values, np.float32)))


def torch_linear(weight: np.ndarray, bias: Any = None) -> nn.Linear:
    """`nn.Linear` with these numbers."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = tensor(weight)
    if bias is not None:
        layer.bias = tensor(bias)
    return layer


def torch_conv(weight: np.ndarray, groups: int = 1, **settings: Any) -> nn.Module:
    """`nn.Conv1d` or `nn.Conv2d` with this weight, without bias."""
    kind = nn.Conv2d if weight.ndim == 4 else nn.Conv1d
    inputs, outputs = weight.shape[1] * groups, weight.shape[0]
    layer = kind(inputs, outputs, weight.shape[2:], groups=groups, bias=False, **settings)  # type: ignore[arg-type]
    layer.weight = tensor(weight)
    return layer


def torch_transposed(weight: np.ndarray, groups: int = 1, **settings: Any) -> nn.Module:
    """`nn.ConvTranspose1d` or `2d` for a weight in snnc's layout, without bias."""
    kind = nn.ConvTranspose2d if weight.ndim == 4 else nn.ConvTranspose1d
    outputs, per_group, *kernel = weight.shape
    layer = kind(
        per_group * groups, outputs, tuple(kernel), groups=groups, bias=False, **settings
    )  # fmt: skip
    split = weight.reshape(groups, outputs // groups, per_group, *kernel)
    layer.weight = tensor(split.swapaxes(1, 2).reshape(layer.weight.shape))
    return layer


def pair(value: int) -> tuple[int, int]:
    """The same along both axes."""
    return value, value


def random_convolution(seed: int) -> Case:
    """A convolution over two axes with random geometry, weights of which some are 0, and spikes in
    two samples of three steps: no numbers of its own, for counters to agree on."""
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, 4))
    per_group, outputs = int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    kernel, stride, padding, dilation = (
        tuple(int(n) for n in rng.integers(low, high, 2))
        for low, high in ((1, 4), (1, 4), (0, 4), (1, 3))
    )
    extents = tuple(
        d * (k - 1) + 1 + int(rng.integers(0, 6)) for d, k in zip(dilation, kernel, strict=True)
    )
    shape = (groups * per_group, *extents)
    weight = ramp(outputs, per_group, *kernel) * (rng.random((outputs, per_group, *kernel)) < 0.7)
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    return Case(
        chain(Input(shape, Kind.SPIKE), Conv(weight, None, groups=groups, **settings)),
        {"input": (rng.random((2, 3, *shape)) < 0.4).astype(np.float64)},
        module=EachStep(torch_conv(weight, groups, **settings)),
    )


RANDOM = range(25)
"""Seeds of random convolutions."""


# Layers with weights


@case
def linear_with_bias() -> Case:
    """4 → 3: a spike reaches 3 outputs. 1010 has 2 spikes, 0111 has 3: 6 + 9 = 15 additions.
    Dense: 12 products a step. Every output adds its bias at every step: 3·2 = 6."""
    weight, bias = ramp(3, 4), np.ones(3)
    return Case(
        chain(Input((4,), Kind.SPIKE), Linear(weight, bias)),
        {"input": np.array([[[1, 0, 1, 0], [0, 1, 1, 1.0]]])},
        [Layer(Op.AC, 12, 12, [[2, 3]], [[6, 9]])],
        {Cause.BIAS: {Op.AC: 6}},
        module=torch_linear(weight, bias),
    )


@case
def conv_at_the_border() -> Case:
    """1 → 2, 3×3, padding 1, on 4×4: per axis the pixels reach 2, 3, 3, 2 outputs, 10 together.
    (0,0) reaches 4, (0,1) 6, (1,1) 9, times 2 channels: 38. Real taps 10²·2 = 200; the formula
    says 9·2·16 = 288, and rate times formula 3/16·288 = 54."""
    weight = ramp(2, 1, 3, 3)
    return Case(
        chain(Input((1, 4, 4), Kind.SPIKE), Conv(weight, None, pair(1), pair(1))),
        data(lit((1, 4, 4), (0, 0, 0), (0, 0, 1), (0, 1, 1))),
        [Layer(Op.AC, 288, 200, 3, 38)],
        module=EachStep(torch_conv(weight, padding=1)),
    )


@case
def conv_that_leaves_pixels_unread() -> Case:
    """1 → 3, 1×1, stride 2, on 4×4: only the 4 pixels with even coordinates are read, and each
    reaches 3 outputs. All 16 spike: 12 additions. Then spikes at (1,1) and (0,1): none."""
    weight = ramp(3, 1, 1, 1)
    spikes = np.stack([np.ones((1, 4, 4)), lit((1, 4, 4), (0, 1, 1), (0, 0, 1))])[None]
    return Case(
        chain(Input((1, 4, 4), Kind.SPIKE), Conv(weight, None, pair(2), pair(0))),
        {"input": spikes},
        [Layer(Op.AC, 12, 12, [[16, 2]], [[12, 0]])],
        module=EachStep(torch_conv(weight, stride=2)),
    )


@case
def conv_with_a_rest() -> Case:
    """1 → 1, 2×2, stride 2, on 5×5: windows start at 0 and 2, so row and column 4 are unread. Of
    spikes at (4,0), (0,4), (4,4) and (3,3) one is read, by one output: 1. Dense 4·4 = 16."""
    weight = ramp(1, 1, 2, 2)
    return Case(
        chain(Input((1, 5, 5), Kind.SPIKE), Conv(weight, None, pair(2), pair(0))),
        data(lit((1, 5, 5), (0, 4, 0), (0, 0, 4), (0, 4, 4), (0, 3, 3))),
        [Layer(Op.AC, 16, 16, 4, 1)],
        module=EachStep(torch_conv(weight, stride=2)),
    )


@case
def conv_with_stride_and_padding() -> Case:
    """1 → 2, 3×3, stride 2, padding 1, on 5×5: output o reads 2o − 1 … 2o + 1, o < 3. So the
    pixels of an axis reach 1, 2, 1, 2, 1 outputs, 7 together. (0,0) reaches 1, (1,1) 4, (2,1) 2,
    times 2 channels: 14. Taps 7²·2 = 98, dense 9·2·9 = 162."""
    weight = ramp(2, 1, 3, 3)
    return Case(
        chain(Input((1, 5, 5), Kind.SPIKE), Conv(weight, None, pair(2), pair(1))),
        data(lit((1, 5, 5), (0, 0, 0), (0, 1, 1), (0, 2, 1))),
        [Layer(Op.AC, 162, 98, 3, 14)],
        module=EachStep(torch_conv(weight, stride=2, padding=1)),
    )


@case
def conv_with_dilation() -> Case:
    """1 → 1, 3×3, dilation 2, on 7×7: output o < 3 reads o, o + 2, o + 4, so the pixels of an axis
    reach 1, 1, 2, 1, 2, 1, 1 outputs, 9 together. (2,2) reaches 4, (2,3) 2, (0,4) 2, (3,3) 1: 9.
    Nothing is padded, so taps and formula agree: 81."""
    weight = ramp(1, 1, 3, 3)
    return Case(
        chain(Input((1, 7, 7), Kind.SPIKE), Conv(weight, None, pair(1), pair(0), pair(2))),
        data(lit((1, 7, 7), (0, 2, 2), (0, 2, 3), (0, 0, 4), (0, 3, 3))),
        [Layer(Op.AC, 81, 81, 4, 9)],
        module=EachStep(torch_conv(weight, dilation=2)),
    )


@case
def conv_with_dilation_and_padding() -> Case:
    """1 → 1, 3×3, dilation 2, padding 2, on 4×4: pixel i reaches the outputs i − 2, i, i + 2 that
    exist, always 2 of them. 2 spikes reach 4 each: 8. Taps 8² = 64, dense 9·16 = 144."""
    weight = ramp(1, 1, 3, 3)
    return Case(
        chain(Input((1, 4, 4), Kind.SPIKE), Conv(weight, None, pair(1), pair(2), pair(2))),
        data(lit((1, 4, 4), (0, 0, 0), (0, 1, 2))),
        [Layer(Op.AC, 144, 64, 2, 8)],
        module=EachStep(torch_conv(weight, dilation=2, padding=2)),
    )


@case
def conv_in_groups() -> Case:
    """4 → 6 in 2 groups, 3×3, padding 1, on 3×3: a channel reaches the 3 outputs of its group.
    Channel 0 spikes at the centre, 9·3 = 27, channel 3 in a corner, 4·3 = 12: 39. Per axis
    2 + 3 + 2 = 7, so taps 7²·4·3 = 588; dense 6·2·9 weights · 9 outputs = 972."""
    weight = ramp(6, 2, 3, 3)
    return Case(
        chain(Input((4, 3, 3), Kind.SPIKE), Conv(weight, None, pair(1), pair(1), groups=2)),
        data(lit((4, 3, 3), (0, 1, 1), (3, 0, 0))),
        [Layer(Op.AC, 972, 588, 2, 39)],
        module=EachStep(torch_conv(weight, 2, padding=1)),
    )


@case
def conv_depthwise() -> Case:
    """3 → 3 channel by channel, 3×3, padding 1, on 3×3: centre 9, edge 6, corner 4: 19. Taps
    7²·3 = 147, dense 27 weights · 9 outputs = 243."""
    weight = ramp(3, 1, 3, 3)
    return Case(
        chain(Input((3, 3, 3), Kind.SPIKE), Conv(weight, None, pair(1), pair(1), groups=3)),
        data(lit((3, 3, 3), (0, 1, 1), (1, 0, 1), (2, 0, 0))),
        [Layer(Op.AC, 243, 147, 3, 19)],
        module=EachStep(torch_conv(weight, 3, padding=1)),
    )


@case
def conv_over_one_axis() -> Case:
    """2 → 3, kernel 3, padding 1, on 5 values: they reach 2, 3, 3, 3, 2 outputs, 13 together.
    Spikes at 0, 2 and 4: 7·3 channels = 21. Taps 13·2·3 = 78, dense 18·5 = 90."""
    weight = ramp(3, 2, 3)
    return Case(
        chain(Input((2, 5), Kind.SPIKE), Conv(weight, None, (1,), (1,), (1,))),
        data(lit((2, 5), (0, 0), (1, 2), (1, 4))),
        [Layer(Op.AC, 90, 78, 3, 21)],
        module=EachStep(torch_conv(weight, padding=1)),
    )


@case
def conv_over_one_axis_with_stride_and_dilation() -> Case:
    """1 → 1, kernel 2, stride 2, dilation 2, on 6 values: output 0 reads 0 and 2, output 1 reads 2
    and 4. Of spikes at 1, 2 and 5 only the one at 2 is read, twice: 2. Dense 2·2 = 4."""
    weight = ramp(1, 1, 2)
    return Case(
        chain(Input((1, 6), Kind.SPIKE), Conv(weight, None, (2,), (0,), (2,))),
        data(lit((1, 6), (0, 1), (0, 2), (0, 5))),
        [Layer(Op.AC, 4, 4, 3, 2)],
        module=EachStep(torch_conv(weight, stride=2, dilation=2)),
    )


@case
def transposed_conv() -> Case:
    """2 → 3, 2×2, stride 2, on 2×2: a spike reaches 4 outputs in 3 channels, nothing is cropped.
    2 spikes: 24. Dense 24 weights · 4 inputs = 96 (by outputs it would be 4 times that)."""
    weight = ramp(3, 2, 2, 2)
    return Case(
        chain(Input((2, 2, 2), Kind.SPIKE), ConvTranspose(weight, None, pair(2))),
        data(lit((2, 2, 2), (0, 0, 0), (1, 1, 0))),
        [Layer(Op.AC, 96, 96, 2, 24)],
        module=EachStep(torch_transposed(weight, stride=2)),
    )


@case
def transposed_conv_that_is_cropped() -> Case:
    """1 → 2, 3×3, stride 2, padding 1, on 3×3: input i reaches 2i − 1 … 2i + 1 of 5 outputs, so
    2, 3, 2 of them, 7 together. (0,0) reaches 4, (1,2) 6, (0,1) 6, times 2 channels: 32. Taps
    7²·2 = 98, dense 18 weights · 9 inputs = 162."""
    weight = ramp(2, 1, 3, 3)
    return Case(
        chain(Input((1, 3, 3), Kind.SPIKE), ConvTranspose(weight, None, pair(2), pair(1))),
        data(lit((1, 3, 3), (0, 0, 0), (0, 1, 2), (0, 0, 1))),
        [Layer(Op.AC, 162, 98, 3, 32)],
        module=EachStep(torch_transposed(weight, stride=2, padding=1)),
    )


@case
def transposed_conv_with_output_padding() -> Case:
    """As before with output_padding 1: the sixth output takes the last input's third tap, so
    inputs reach 2, 3, 3. (0,0) reaches 4, (1,2) 9, (0,1) 6, times 2: 38. Taps 8²·2 = 128."""
    weight = ramp(2, 1, 3, 3)
    node = ConvTranspose(weight, None, pair(2), pair(1), pair(1))
    return Case(
        chain(Input((1, 3, 3), Kind.SPIKE), node),
        data(lit((1, 3, 3), (0, 0, 0), (0, 1, 2), (0, 0, 1))),
        [Layer(Op.AC, 162, 128, 3, 38)],
        module=EachStep(torch_transposed(weight, stride=2, padding=1, output_padding=1)),
    )


@case
def transposed_conv_in_groups_over_one_axis() -> Case:
    """2 → 4 in 2 groups, kernel 3, padding 1, on 4 values: input i reaches i − 1 … i + 1 of 4, so
    2, 3, 3, 2, 10 together, in the 2 channels of its group. Channel 0 spikes at 0, channel 1 at 2:
    (2 + 3)·2 = 10. Taps 10·2·2 = 40, dense 12 weights · 4 inputs = 48."""
    weight = ramp(4, 1, 3)
    node = ConvTranspose(weight, None, (1,), (1,), (0,), (1,), groups=2)
    return Case(
        chain(Input((2, 4), Kind.SPIKE), node),
        data(lit((2, 4), (0, 0), (1, 2))),
        [Layer(Op.AC, 48, 40, 2, 10)],
        module=EachStep(torch_transposed(weight, 2, padding=1)),
    )


@case
def transposed_conv_with_dilation() -> Case:
    """1 → 1, kernel 2, dilation 2, padding 1, on 3 values: input i reaches i − 1 and i + 1 of the
    3 outputs, so 1, 2, 1. Spikes at 0 and 1: 3. Taps 4, dense 2·3 = 6."""
    weight = ramp(1, 1, 2)
    node = ConvTranspose(weight, None, (1,), (1,), (0,), (2,))
    return Case(
        chain(Input((1, 3), Kind.SPIKE), node),
        data(lit((1, 3), (0, 0), (0, 1))),
        [Layer(Op.AC, 6, 4, 2, 3)],
        module=EachStep(torch_transposed(weight, padding=1, dilation=2)),
    )


@case
def sparse_rows() -> Case:
    """Rows {0, 1}, {1}, {1, 3} of 4 inputs, the one weight of the second row 0: inputs reach
    1, 3, 0, 1 outputs, without zero weights 1, 2, 0, 1. Spikes at 0, 1, 2: 4, without zeros 3."""
    weight = np.array([0.5, -1, 0, 2, 1])
    node = Sparse(weight, np.array([0, 1, 1, 1, 3]), np.array([0, 2, 3, 5]), (4,), (3,))
    return Case(
        chain(Input((4,), Kind.SPIKE), node),
        data([1, 1, 1, 0]),
        [Layer(Op.AC, 5, 5, 3, 4, products_nonzero=3)],
    )


@case
def zero_weights() -> Case:
    """3 → 2 with rows (0, 1, 2) and (0, 0, 3), all inputs spike: 6 products, of which the weights
    of 3 are not 0."""
    weight = np.array([[0, 1, 2], [0, 0, 3.0]])
    return Case(
        chain(Input((3,), Kind.SPIKE), Linear(weight)),
        data([1, 1, 1]),
        [Layer(Op.AC, 6, 6, 3, 6, products_nonzero=3)],
        module=torch_linear(weight),
    )


@case
def zero_weights_at_the_border() -> Case:
    """3×3 with weights only at taps (0,0) and (1,1), padding 1, on 3×3. A corner reaches 4 outputs.
    (0,0) meets tap (1,1) at output (0,0) and tap (0,0) at (1,1): 2 are not 0. (2,2) meets tap
    (1,1) at (2,2), and tap (0,0) would be output (3,3), which isn't there: 1. 8, without zeros 3.
    Taps 7² = 49, dense 81."""
    weight = lit((1, 1, 3, 3), (0, 0, 0, 0), (0, 0, 1, 1))
    return Case(
        chain(Input((1, 3, 3), Kind.SPIKE), Conv(weight, None, pair(1), pair(1))),
        data(lit((1, 3, 3), (0, 0, 0), (0, 2, 2))),
        [Layer(Op.AC, 81, 49, 2, 8, products_nonzero=3)],
        module=EachStep(torch_conv(weight, padding=1)),
    )


# Kinds of inputs


@case
def integer_spikes() -> Case:
    """Two branches of spikes, 110 and 100, added as in SEW-ResNet: 2, 1, 0, into 3 → 2. 2 inputs
    are not 0, so 4 products; a 2 is two spikes, so 3·2 = 6 unit additions. The sum itself takes
    one addition per value, 3. With zero weights out, nothing changes."""
    weight = ramp(2, 3)
    nodes = {
        "a": Input((3,), Kind.SPIKE),
        "b": Input((3,), Kind.SPIKE),
        "fc": Linear(weight),
        "output": Output(),
    }
    edges = (("a", "fc"), ("b", "fc"), ("fc", "output"))
    spikes = {"a": np.array([[[1, 1, 0.0]]]), "b": np.array([[[1, 0, 0.0]]])}
    return Case(
        Graph(nodes, edges).check(),
        spikes,
        [Layer(Op.AC, 6, 6, 2, 4, operations=6, value=3, kind=Kind.GRADED)],
        {Cause.ADD: {Op.AC: 3}},
        module=Calls(lambda fc, a, b: fc(a + b), torch_linear(weight)),
    )


@case
def integer_spikes_at_the_border() -> Case:
    """Integers 3 at (0,0) and 1 at (1,1) of 3×3, 3×3 with padding 1: 2·2 and 3·3 outputs, so 13
    products and 3·4 + 9 = 21 unit additions. Of the kernel only tap (1,1) is not 0, which both
    meet once: 2 products, 3 + 1 = 4 additions."""
    weight = lit((1, 1, 3, 3), (0, 0, 1, 1))
    values = 3 * lit((1, 3, 3), (0, 0, 0)) + lit((1, 3, 3), (0, 1, 1))
    layer = Layer(
        Op.AC, 81, 49, 2, 13, operations=21, value=4, products_nonzero=2, operations_nonzero=4
    )
    return Case(
        chain(Input((1, 3, 3), Kind.GRADED), Conv(weight, None, pair(1), pair(1))),
        data(values),
        [layer],
        module=EachStep(torch_conv(weight, padding=1)),
        kind="graded",
    )


@case
def negative_integers() -> Case:
    """−2, 0 and 1 into 3 → 2: a −2 is subtracted twice, so (2 + 1)·2 = 6 of 4 products."""
    weight = ramp(2, 3)
    return Case(
        chain(Input((3,), Kind.GRADED), Linear(weight)),
        data([-2, 0, 1]),
        [Layer(Op.AC, 6, 6, 2, 4, operations=6, value=3)],
        module=torch_linear(weight),
        kind="graded",
    )


@case
def summed_spikes() -> Case:
    """Sum pooling 2×2 of one 2×2 map of 3 spikes makes a 3: 3 additions in the pool, then 1 input
    that reaches 2 outputs and counts 3 times: 6 additions, 2 products."""
    weight = ramp(2, 1)
    return Case(
        chain(
            Input((1, 2, 2), Kind.SPIKE),
            Pool(pair(2), pair(2), pair(0), "sum"),
            Flatten(),
            Linear(weight),
        ),
        data([[[1, 1], [0, 1]]]),
        [Layer(Op.AC, 2, 2, 1, 2, operations=6, value=3)],
        {Cause.POOL: {Op.AC: 3}},
    )


@case
def averaged_spikes() -> Case:
    """The same averaged: 3/4 is no integer, so the layer multiplies: 2 MACs; the pool adds 3 and
    multiplies once."""
    weight = ramp(2, 1)
    return Case(
        chain(
            Input((1, 2, 2), Kind.SPIKE), Pool(pair(2), pair(2), pair(0)), Flatten(), Linear(weight)
        ),
        data([[[1, 1], [0, 1]]]),
        [Layer(Op.MAC, 2, 2, 1, 2)],
        {Cause.POOL: {Op.AC: 3, Op.MUL: 1}},
        module=EachStep(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), torch_linear(weight))),
    )


@case
def averaged_map_of_spikes() -> Case:
    """2×2 windows of 4×4 with 1, 2, 3 and 4 spikes: 4·3 = 12 additions, 4 multiplications; their
    averages into 4 → 2: 8 MACs."""
    weight = ramp(2, 4)
    spikes = [[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1]]
    return Case(
        chain(
            Input((1, 4, 4), Kind.SPIKE), Pool(pair(2), pair(2), pair(0)), Flatten(), Linear(weight)
        ),
        data([spikes]),
        [Layer(Op.MAC, 8, 8, 4, 8)],
        {Cause.POOL: {Op.AC: 12, Op.MUL: 4}},
        module=EachStep(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), torch_linear(weight))),
    )


@case
def analog_input_of_two_values() -> Case:
    """An analog input that happens to hold 0 and 1/2 only is analog: 2 values reach 2: 4 MACs."""
    weight = ramp(2, 4)
    return Case(
        chain(Input((4,)), Linear(weight)),
        data([0, 0.5, 0.5, 0]),
        [Layer(Op.MAC, 8, 8, 2, 4, direct=True)],
        module=torch_linear(weight),
        kind="analog",
    )


@case
def analog_image_of_ones() -> Case:
    """An analog image that is 1 everywhere is analog: 3×3, padding 1, on 2×2: every pixel reaches
    4 outputs: 16 MACs. Dense 9·4 = 36."""
    weight = ramp(1, 1, 3, 3)
    return Case(
        chain(Input((1, 2, 2)), Conv(weight, None, pair(1), pair(1))),
        data(np.ones((1, 2, 2))),
        [Layer(Op.MAC, 36, 16, 4, 16, direct=True)],
        module=EachStep(torch_conv(weight, padding=1)),
        kind="analog",
    )


@case
def analog_input_with_zeros_and_signs() -> Case:
    """−1, 0, 2 into 3 → 2: what is not 0 reaches 2 outputs, whatever its sign: 4 MACs."""
    weight = ramp(2, 3)
    return Case(
        chain(Input((3,)), Linear(weight)),
        data([-1, 0, 2]),
        [Layer(Op.MAC, 6, 6, 2, 4, direct=True)],
        module=torch_linear(weight),
        kind="analog",
    )


@case
def mixed_batch() -> Case:
    """A sample of ones and one of halves, both analog, into 3 → 2: 6 and, of two values that are
    not 0, 4. Each sample counts for itself."""
    weight = ramp(2, 3)
    return Case(
        chain(Input((3,)), Linear(weight)),
        {"input": np.array([[[1, 1, 1]], [[0.5, 0, 0.5]]])},
        [Layer(Op.MAC, 6, 6, [[3], [2]], [[6], [4]], direct=True)],
        module=torch_linear(weight),
        kind="analog",
    )


def _constant(x: Any) -> dict[str, np.ndarray]:
    return {"input": np.asarray(x, np.float64)[None]}


@case
def direct_encoding() -> Case:
    """(0.1, 0, 0.7) given once, 3 steps, into 3 → 2 with bias: 2·2 = 4 MACs and 2 additions of
    biases an evaluation; 12 and 6 if every step evaluates, 4 and 2 if only the first one does."""
    weight, bias = ramp(2, 3), np.ones(2)
    return Case(
        chain(Input((3,), rate=Rate.SAMPLE), Linear(weight, bias), steps=3),
        _constant([0.1, 0, 0.7]),
        [Layer(Op.MAC, 6, 6, [[2, 2, 2]], [[4, 4, 4]], static=True, direct=True)],
        {Cause.BIAS: {Op.AC: 6}},
        module=torch_linear(weight, bias),
        kind="analog",
        static=True,
    )


@case
def delayed_spikes() -> Case:
    """2 spikes at the first of 2 steps, one step later into 2 → 1: none, then 2. A delay computes
    nothing."""
    return Case(
        chain(Input((2,), Kind.SPIKE), Delay(1), Linear(ramp(1, 2))),
        {"input": np.array([[[1, 1], [0, 0.0]]])},
        [Layer(Op.AC, 2, 2, [[0, 2]], [[0, 2]])],
    )


# Products of signals


def _product(heads: int, rows: int, inner: int, columns: int, kinds: tuple[Kind, Kind]) -> Graph:
    first, second = heads * rows * inner, heads * inner * columns
    nodes = {
        "a": Input((heads, rows, inner), kinds[0]),
        "b": Input((heads, inner, columns), kinds[1]),
        "flat_a": Flatten(),
        "flat_b": Flatten(),
        "put_a": Place(0, first + second),
        "put_b": Place(first, first + second),
        "product": MatMul(heads, rows, inner, columns),
        "output": Output(),
    }
    ways = [(x, f"flat_{x}", f"put_{x}", "product") for x in "ab"]
    edges = [edge for way in ways for edge in pairwise(way)]
    return Graph(nodes, (*edges, ("product", "output"))).check()


def _operands(a: Any, b: Any) -> dict[str, np.ndarray]:
    return {"a": np.asarray(a, np.float64)[None, None], "b": np.asarray(b, np.float64)[None, None]}


@case
def attention_of_spikes() -> Case:
    """A of 2×3 with columns of 2, 1, 1 spikes, B of 3×2 with rows of 2, 1, 0: 2·2 + 1·1 + 1·0 = 5
    additions. In the second head A is silent. Dense 2·(2·3·2) = 24. 4 spikes of A, 3 + 6 of B."""
    a = [[[1, 0, 1], [1, 1, 0]], np.zeros((2, 3))]
    b = [[[1, 1], [0, 1], [0, 0]], np.ones((3, 2))]
    return Case(
        _product(2, 2, 3, 2, (Kind.SPIKE, Kind.SPIKE)),
        _operands(a, b),
        [Layer(Op.AC, 24, 24, 4, 5, second_events=9)],
        module=Calls(torch.matmul),
    )


@case
def attention_of_integers_and_spikes() -> Case:
    """A = (2 0; 1 3), B = (1 0; 1 1). Columns of A sum to 3 and 3, rows of B to 1 and 2: 3 + 6 = 9
    unit additions. 2 and 1 values of A's columns are not 0: 2·1 + 1·2 = 4 products."""
    return Case(
        _product(1, 2, 2, 2, (Kind.GRADED, Kind.SPIKE)),
        _operands([[[2, 0], [1, 3]]], [[[1, 0], [1, 1]]]),
        [Layer(Op.AC, 8, 8, 3, 4, operations=9, value=6, second_events=3)],
        module=Calls(torch.matmul),
        kind="graded",
    )


@case
def attention_of_reals() -> Case:
    """The same with an analog A: its 4 products are MACs."""
    return Case(
        _product(1, 2, 2, 2, (Kind.ANALOG, Kind.SPIKE)),
        _operands([[[0.5, 0], [1.5, 2]]], [[[1, 0], [1, 1]]]),
        [Layer(Op.MAC, 8, 8, 3, 4, second_events=3)],
        module=Calls(torch.matmul),
        kind="analog",
    )


@case
def product_by_values() -> Case:
    """The first half of 4 values times the second: 2 multiplications."""
    return Case(
        chain(Input((4,)), Multiply()),
        data([0.5, 0, 2, 3]),
        lines={Cause.FUNCTION: {Op.MUL: 2}},
        module=Calls(lambda x: x[..., :2] * x[..., 2:]),
        kind="analog",
    )


# Between the layers


@case
def batch_norm_after_a_convolution() -> Case:
    """1 → 2 by 1×1 on 2×2 makes 8 values: one MAC each for factor and shift, at both steps, 16.
    It could be folded into the convolution. 3 spikes, then 1, reach 2 channels each: 6 + 2."""
    weight = ramp(2, 1, 1, 1)
    norm = nn.BatchNorm2d(2)
    norm.bias = tensor([0.5, 0.25])
    spikes = np.array([[[[[1, 1], [1, 0]]], [[[0, 0], [0, 1.0]]]]])
    return Case(
        chain(
            Input((1, 2, 2), Kind.SPIKE),
            Conv(weight),
            Scale(np.full(2, 0.5), np.array([0.5, 0.25])),
        ),
        {"input": spikes},
        [Layer(Op.AC, 8, 8, [[3, 1]], [[6, 2]])],
        {Cause.NORM: {Op.MAC: 16}},
        module=EachStep(nn.Sequential(torch_conv(weight), norm)),
        foldable=[True],
    )


@case
def batch_norm_of_an_input() -> Case:
    """4 values of an input: 4 MACs that no layer in front could take up."""
    return Case(
        chain(Input((1, 2, 2)), Scale(np.full(1, 0.5), np.full(1, 0.25))),
        data([[[1, 2], [3, 4.0]]]),
        lines={Cause.NORM: {Op.MAC: 4}},
        module=EachStep(nn.BatchNorm2d(1)),
        kind="analog",
        foldable=[False],
    )


@case
def factors() -> Case:
    """Factors alone, one for each of 3 values: 3 multiplications."""
    return Case(
        chain(Input((3,)), Scale(np.array([0.5, 2, 3]))),
        data([1, 2, 3]),
        lines={Cause.NORM: {Op.MUL: 3}},
        module=Calls(lambda x: x * torch.tensor([0.5, 2, 3])),
        kind="analog",
        foldable=[False],
    )


@case
def shifts() -> Case:
    """Constants alone: 3 additions."""
    return Case(
        chain(Input((3,)), Scale(np.ones(3), np.array([0.5, 2, 3]))),
        data([1, 2, 3]),
        lines={Cause.NORM: {Op.AC: 3}},
        kind="analog",
        foldable=[False],
    )


@case
def factors_of_one() -> Case:
    """x·1 is x: nothing is done."""
    return Case(
        chain(Input((3,)), Scale(np.ones(3))),
        data([1, 2, 3]),
        kind="analog",
    )


@case
def residual_currents() -> Case:
    """Two layers 2 → 3 of the same input and the sum of their outputs with a third: two additions
    for each of 3 values. 1 spike reaches 3 outputs in each layer."""
    weight = ramp(3, 2)
    nodes = {"input": Input((2,), Kind.SPIKE), **{f"fc{i}": Linear(weight) for i in range(3)},
             "sum": Sum(), "output": Output()}  # fmt: skip
    edges = [e for i in range(3) for e in (("input", f"fc{i}"), (f"fc{i}", "sum"))]
    parts = (torch_linear(weight), torch_linear(weight), torch_linear(weight))
    return Case(
        Graph(nodes, (*edges, ("sum", "output"))).check(),
        data([1, 0]),
        [Layer(Op.AC, 6, 6, 1, 3)] * 3,
        {Cause.ADD: {Op.AC: 6}},
        module=Calls(lambda a, b, c, x: a(x) + b(x) + c(x), *parts),
    )


@case
def concatenation() -> Case:
    """2 spikes and 1 side by side are 4 values of which 3 spike; parts that don't overlap add
    nothing, and 0 and 1 stay spikes. Into 4 → 2: 6 additions."""
    weight = ramp(2, 4)
    nodes = {
        "a": Input((2,), Kind.SPIKE),
        "b": Input((2,), Kind.SPIKE),
        "put_a": Place(0, 4),
        "put_b": Place(2, 4),
        "fc": Linear(weight),
        "output": Output(),
    }
    edges = (("a", "put_a"), ("b", "put_b"), ("put_a", "fc"), ("put_b", "fc"), ("fc", "output"))
    return Case(
        Graph(nodes, edges).check(),
        {"a": np.array([[[1, 1.0]]]), "b": np.array([[[0, 1.0]]])},
        [Layer(Op.AC, 8, 8, 3, 6, kind=Kind.SPIKE)],
        module=Calls(lambda fc, a, b: fc(torch.cat([a, b], -1)), torch_linear(weight)),
    )


@case
def upsampling() -> Case:
    """Nearest neighbours, 1×2 to 2×4: one spike becomes 4, into 8 → 1: 4 additions. The copies cost
    nothing."""
    weight = ramp(1, 8)
    index = np.array([[[0, 0, 1, 1], [0, 0, 1, 1]]])
    body = nn.Sequential(nn.Upsample(scale_factor=2), nn.Flatten(), torch_linear(weight))
    return Case(
        chain(Input((1, 1, 2), Kind.SPIKE), Gather(index), Flatten(), Linear(weight)),
        data([[[1, 0]]]),
        [Layer(Op.AC, 8, 8, 4, 4)],
        module=EachStep(body),
    )


@case
def average_pool() -> Case:
    """2×2 of 4×4: 4 windows of 4 taps take 3 additions each and a multiplication: 12 and 4."""
    return Case(
        chain(Input((1, 4, 4)), Pool(pair(2), pair(2), pair(0))),
        data(ramp(1, 4, 4)),
        lines={Cause.POOL: {Op.AC: 12, Op.MUL: 4}},
        module=EachStep(nn.AvgPool2d(2)),
        kind="analog",
    )


@case
def average_pool_at_the_border() -> Case:
    """3×3, stride 2, padding 1, of 2 channels of 4×4: the windows of an axis hold −1 … 1, of which
    2 exist, and 1 … 3. 4, 6, 6, 9 taps take 3 + 5 + 5 + 8 = 21 additions and 4 multiplications in
    each channel."""
    return Case(
        chain(Input((2, 4, 4)), Pool(pair(3), pair(2), pair(1))),
        data(ramp(2, 4, 4)),
        lines={Cause.POOL: {Op.AC: 42, Op.MUL: 8}},
        module=EachStep(nn.AvgPool2d(3, 2, 1)),
        kind="analog",
    )


@case
def sum_pool_at_the_border() -> Case:
    """The same summed: no multiplications."""
    return Case(
        chain(Input((2, 4, 4)), Pool(pair(3), pair(2), pair(1), "sum")),
        data(ramp(2, 4, 4)),
        lines={Cause.POOL: {Op.AC: 42}},
    )


@case
def max_pool_at_the_border() -> Case:
    """The same windows: 21 comparisons a channel."""
    return Case(
        chain(Input((2, 4, 4)), MaxPool(pair(3), pair(2), pair(1), pair(1))),
        data(ramp(2, 4, 4)),
        lines={Cause.POOL: {Op.COMPARE: 42}},
        module=EachStep(nn.MaxPool2d(3, 2, 1)),
        kind="analog",
    )


@case
def mean_over_steps() -> Case:
    """2 values, 4 steps: 3 additions and a multiplication each: 6 and 2."""
    nodes = {"input": Input((2,)), "output": Output(reduce="mean")}
    return Case(
        Graph.chain(nodes),
        {"input": ramp(1, 4, 2)},
        lines={Cause.POOL: {Op.AC: 6, Op.MUL: 2}},
        module=Calls(lambda x: x.mean(0)),
        kind="analog",
    )


@case
def rectifier() -> Case:
    """6 values, one comparison each."""
    return Case(
        chain(Input((6,)), Map("relu")),
        data(ramp(6) - 0.05),
        lines={Cause.FUNCTION: {Op.COMPARE: 6}},
        module=nn.ReLU(),
        kind="analog",
    )


@case
def leaky_rectifier() -> Case:
    """6 values, a comparison and a multiplication each."""
    return Case(
        chain(Input((6,)), Map("leaky_relu", 0.25)),
        data(ramp(6) - 0.05),
        lines={Cause.FUNCTION: {Op.COMPARE: 6, Op.MUL: 6}},
        module=nn.LeakyReLU(0.25),
        kind="analog",
    )


@case
def sigmoid() -> Case:
    """6 values, one function each, which no table of the 45 nm figures prices."""
    return Case(
        chain(Input((6,)), Map("sigmoid")),
        data(ramp(6)),
        lines={Cause.FUNCTION: {Op.FUNCTION: 6}},
        module=nn.Sigmoid(),
        kind="analog",
    )


@case
def layer_norm() -> Case:
    """2 rows of 3 values. A value: added up, the mean subtracted (2·6 = 12 additions), squared and
    added up (6 MACs), scaled (6 multiplications). A row: two sums times 1/3 (4 multiplications), a
    root and a division (4 functions)."""
    return Case(
        chain(Input((2, 3)), Normalise(2, "layer", 1e-5)),
        data([[1, 2, 3], [4, 6, 8]]),
        lines={Cause.NORM: {Op.AC: 12, Op.MAC: 6, Op.MUL: 10, Op.FUNCTION: 4}},
        module=nn.LayerNorm(3, elementwise_affine=False),
        kind="analog",
        foldable=[False],
    )


@case
def layer_norm_with_weights() -> Case:
    """As before, and one MAC for each of 6 values: 12 MACs."""
    norm = nn.LayerNorm(3)
    norm.weight, norm.bias = tensor([1, 2, 3]), tensor([1, 1, 2])
    nodes = (Normalise(2, "layer", 1e-5), Scale(np.array([[1, 2, 3.0]] * 2), np.ones((2, 3))))
    return Case(
        chain(Input((2, 3)), *nodes),
        data([[1, 2, 3], [4, 6, 8]]),
        lines={Cause.NORM: {Op.AC: 12, Op.MAC: 12, Op.MUL: 10, Op.FUNCTION: 4}},
        module=norm,
        kind="analog",
    )


@case
def softmax() -> Case:
    """2 rows of 3 values. A value: compared (the maximum), the maximum subtracted, an exponential,
    added up, multiplied: 6 comparisons, 12 additions, 6 functions, 6 multiplications. A row: one
    division, 1 / Σ: 2 functions."""
    return Case(
        chain(Input((2, 3)), Normalise(2, "softmax")),
        data([[1, 2, 3], [4, 6, 8]]),
        lines={Cause.NORM: {Op.COMPARE: 6, Op.AC: 12, Op.FUNCTION: 8, Op.MUL: 6}},
        module=nn.Softmax(-1),
        kind="analog",
        foldable=[False],
    )


# Neurons


def _neuron(a_v: float, reset: str = "hard", **more: Any) -> Neuron:
    arrays = {k: np.asarray(v) if isinstance(v, float) else v for k, v in more.items()}
    return Neuron(np.asarray(a_v), np.asarray(1.0), reset=reset, **{"compare": ">=", **arrays})  # type: ignore[arg-type]


TWICE = {"input": np.array([[[1, 0.5, 0], [1, 0.5, 0]]])}


def _jelly(name: str, **settings: Any) -> nn.Module:
    """A neuron of SpikingJelly for sequences."""
    from spikingjelly.activation_based import neuron

    return getattr(neuron, name)(step_mode="m", v_threshold=1.0, **settings)


@case
def integrate_and_fire_soft() -> Case:
    """Inputs 1, 1/2, 0 at both of 2 steps, θ = 1: the first neuron spikes twice, the second at
    step 2: 1 and 2 spikes. 3 neurons · 2 steps: 6 additions to the membrane, 6 comparisons; every
    spike subtracts θ: 9 additions."""
    operations = {Op.AC: 9, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 3}
    return Case(
        chain(Input((3,)), _neuron(1.0, "soft")),
        TWICE,
        lines={Cause.NEURON: operations},
        spikes=[[[1, 2]]],
        module=_jelly("IFNode", v_reset=None),
        kind="analog",
    )


@case
def integrate_and_fire_hard() -> Case:
    """The same with a hard reset: the same spikes, and a reset only writes: 6 additions."""
    operations = {Op.AC: 6, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 3}
    return Case(
        chain(Input((3,)), _neuron(1.0)),
        TWICE,
        lines={Cause.NEURON: operations},
        spikes=[[[1, 2]]],
        module=_jelly("IFNode", v_reset=0.0),
        kind="analog",
    )


LEAKY = {"input": np.array([[[2, 1, 0.0], [0, 1, 0]]])}


@case
def leaky_with_decayed_input() -> Case:
    """v = v/2 + x/2: inputs 2, 1, 0 make 1, 1/2, 0: one spike; then 0, 1, 0 make 0, 3/4, 0: none.
    3 neurons · 2 steps: 6 MACs for the decay, 6 multiplications of the input, 6 comparisons; one
    soft reset."""
    operations = {
        Op.MAC: 6, Op.MUL: 6, Op.AC: 1, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 1,
    }  # fmt: skip
    return Case(
        chain(Input((3,)), _neuron(0.5, "soft", g=0.5)),
        LEAKY,
        lines={Cause.NEURON: operations},
        spikes=[[[1, 0]]],
        module=_jelly("LIFNode", tau=2.0, decay_input=True, v_reset=None),
        kind="analog",
    )


@case
def leaky() -> Case:
    """v = v/2 + x, hard: inputs 2, 1, 0 make 2 spikes; then 0, 1, 0 make 0, 1, 0: one more. 6 MACs
    and 6 comparisons."""
    operations = {Op.MAC: 6, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 3}
    return Case(
        chain(Input((3,)), _neuron(0.5)),
        LEAKY,
        lines={Cause.NEURON: operations},
        spikes=[[[2, 1]]],
        module=_jelly("LIFNode", tau=2.0, decay_input=False, v_reset=0.0),
        kind="analog",
    )


@case
def leaky_with_a_resting_value() -> Case:
    """v = v/2 + x/2 + 1/8 towards a rest of 1/4: a constant added by 3 neurons at 2 steps, 6
    additions, as a line of its own. 2, 1, 0: v = 1/8 + 1 + 1/8, 1/8 + 1/2 + 1/8, 1/4: one spike.
    Then 0, 1, 0: 1/4, 3/8 + 1/2 + 1/8 = 1, 1/4: one spike."""
    operations = {Op.MAC: 6, Op.MUL: 6, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 2}
    rest: dict[str, Any] = {"g": 0.5, "b": 0.125, "v_reset": 0.25, "v_init": 0.25}
    return Case(
        chain(Input((3,)), _neuron(0.5, **rest)),
        LEAKY,
        lines={Cause.NEURON: operations, Cause.BIAS: {Op.AC: 6}},
        spikes=[[[1, 1]]],
        module=_jelly("LIFNode", tau=2.0, decay_input=True, v_reset=0.25),
        kind="analog",
    )


@case
def current_based() -> Case:
    """u = u/2 + x and v = v/2 + u, both decay: 2 MACs a neuron and step. Inputs 2, 1 at step 1 and
    none at step 2, θ > 1: v = 2, 1 (one spike), then the delayed reset takes 1 from the first:
    u = 1, 1/2, v = 2/2 + 1 − 1 = 1 and 1/2 + 1/2 = 1: none. 2 neurons · 2 steps: 8 MACs, 4
    comparisons, one soft reset."""
    import snntorch as snn

    operations = {Op.MAC: 8, Op.AC: 1, Op.COMPARE: 4, Op.UPDATE: 4, Op.SPIKE: 1}
    settings = {"a_u": 0.5, "compare": ">", "reset_at": "after"}
    synaptic = snn.Synaptic(alpha=0.5, beta=0.5, threshold=1.0, init_hidden=True)
    return Case(
        chain(Input((2,)), _neuron(0.5, "soft", **settings)),
        {"input": np.array([[[2, 1], [0, 0.0]]])},
        lines={Cause.NEURON: operations},
        spikes=[[[1, 0]]],
        module=EachStep(synaptic),
        kind="analog",
    )


@case
def memoryless() -> Case:
    """a_v = 0: a threshold. Only the comparison of 2 neurons is left."""
    return Case(
        chain(Input((2,)), _neuron(0.0, "none")),
        data([2, 0.5]),
        lines={Cause.NEURON: {Op.COMPARE: 2, Op.UPDATE: 2, Op.SPIKE: 1}},
        spikes=[[[1]]],
        kind="analog",
    )


@case
def integrator() -> Case:
    """A membrane that is read out and never fires: one MAC for each of 2 neurons and 2 steps, no
    comparison. What it feeds on is analog: 2 → 3, of 2 values that are not 0 at both steps: 6 MACs
    each."""
    weight = ramp(3, 2)
    node = _neuron(0.5, "none", compare="never")
    return Case(
        chain(Input((2,)), node, Linear(weight)),
        {"input": np.array([[[1, 2], [0, 0.0]]])},
        [Layer(Op.MAC, 6, 6, [[2, 2]], [[6, 6]])],
        {Cause.NEURON: {Op.MAC: 4, Op.UPDATE: 4, Op.SPIKE: 0}},
        spikes=[[[0, 0]]],
        kind="analog",
    )


@case
def two_layers_of_spikes() -> Case:
    """Two samples through an integrate-and-fire layer of 2 and a layer 2 → 3: (1, 1/2) twice gives
    10 and 11, so 3 and 6 additions; (0, 1) twice gives 01 and 01: 3 and 3. The neurons: 2·2 = 4
    additions, 4 comparisons; 3 and 2 spikes."""
    weight = ramp(3, 2)
    operations = {Op.AC: [4, 4], Op.COMPARE: [4, 4], Op.UPDATE: [4, 4], Op.SPIKE: [3, 2]}
    return Case(
        chain(Input((2,)), _neuron(1.0), Linear(weight)),
        {"input": np.array([[[1, 0.5]] * 2, [[0, 1]] * 2])},
        [Layer(Op.AC, 6, 6, [[1, 2], [1, 1]], [[3, 6], [3, 3]])],
        {Cause.NEURON: operations},
        spikes=[[[1, 2], [1, 1]]],
        module=nn.Sequential(_jelly("IFNode", v_reset=0.0), torch_linear(weight)),
        kind="analog",
    )
