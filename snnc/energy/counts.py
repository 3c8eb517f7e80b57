"""What a network did on its inputs, counted: integers per sample, before any price or convention.

Counts come from a graph and an executor (`snnc.energy.graph_counts`) or from a module's own
forward (`snnc.energy.meter`); what they are worth is for `snnc.energy.conventions` to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError
from snnc.ir import Kind

A = NDArray[Any]
Place = Literal["core", "host"]
Operation = Literal["linear", "conv", "conv_transpose", "sparse", "attention"]
Shape = tuple[int, ...]


class Cause(StrEnum):
    """Why an operation is done. Causes are never merged into one another."""

    SYNAPSES = "synapses"
    """Products of activations and weights, and of activations with each other (attention)."""
    BIAS = "bias"
    NORM = "norm"
    """Batch norm and other affine maps, layer norm, softmax."""
    ADD = "add"
    """Sums of branches, value by value."""
    POOL = "pool"
    NEURON = "neuron"
    FUNCTION = "function"
    """Value by value functions and products outside neurons."""
    ENCODER = "encoder"


class Op(StrEnum):
    """Kinds of operations that price tables know."""

    AC = "ac"
    """Accumulate: one addition."""
    MAC = "mac"
    """Multiplication and addition."""
    MUL = "mul"
    COMPARE = "compare"
    FUNCTION = "function"
    """An exponential, a root, a division: no table of the 45 nm figures has a price."""
    UPDATE = "update"
    """A neuron's whole update in one step, for tables with prices per event."""
    SPIKE = "spike"
    """A spike sent, for tables with prices per event."""


class Measured(TypedDict):
    """What a run says of a layer, each (sample, step) int64; see `Synapses`."""

    events: A
    value: A
    products: A
    operations: A
    products_nonzero: A
    operations_nonzero: A


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synaptic operations of one layer.

    Attributes:
        name: node of the graph, or path of the module.
        operation: `linear`, `conv`, `conv_transpose`, `sparse` or `attention` (A·B of two signals).
        kind: static type of its input: spike and graded inputs make ACs, analog ones MACs.
        direct: reads an analog input of the network: the first layer of direct encoding.
        static: its input is the same at every step, so that one evaluation would do.
        in_shape, out_shape: of one evaluation, without the sample axis. Attention has
            (heads, rows, inner) and (heads, rows, columns).
        kernel, stride, groups: of convolutions; () and 1 elsewhere.
        weights: number of weights; 0 for attention.
        bias: whether it adds a bias (counted as a `Line`).
        dense: products per evaluation by the formula, padding included.
        taps: products per evaluation whose input lies inside the frame.
        events: (sample, step) int64, inputs that are not 0. Attention: of A.
        value: (sample, step) int64, Σ|input| of spike and graded inputs, 0 for analog ones.
        products: (sample, step) int64, Σ of fan-out over events: what NeuroBench counts, but with
            zero weights. Attention: products of which both operands are not 0.
        operations: (sample, step) int64, the effective count: Σ|input|·fan-out (unit adds) of spike
            and graded inputs, `products` of analog ones. Attention: Σ|A|·|B|, or `products`.
        products_nonzero, operations_nonzero: the same without zero weights.
        second_size, second_events: of attention's operand B: values, and those that are not 0.
        place: where it runs.

    A static layer's columns are all equal.
    """

    name: str
    operation: Operation
    kind: Kind
    direct: bool
    static: bool
    in_shape: Shape
    out_shape: Shape
    kernel: Shape
    stride: Shape
    groups: int
    weights: int
    bias: bool
    dense: int
    taps: int
    events: A
    value: A
    products: A
    operations: A
    products_nonzero: A
    operations_nonzero: A
    second_size: int = 0
    second_events: A | None = None
    place: Place = "core"

    @property
    def op(self) -> Op:
        """AC or MAC, by the static type of the input."""
        return Op.MAC if self.kind is Kind.ANALOG else Op.AC

    @property
    def steps(self) -> int:
        """Evaluations per sample."""
        return int(self.events.shape[1])

    @property
    def inputs(self) -> int:
        """Values that enter in one evaluation (attention: of A)."""
        return math.prod(self.in_shape)

    @property
    def outputs(self) -> int:
        """Values that come out of one evaluation."""
        return math.prod(self.out_shape)

    def effective(self, first_layer: FirstLayer, zero_weights: bool) -> A:
        """(sample,) operations over all steps; a static layer once or at every step."""
        counts = self.operations if zero_weights else self.operations_nonzero
        if self.static and first_layer == "once":
            counts = counts[:, :1]
        return np.asarray(counts.sum(1))


FirstLayer = Literal["per_step", "once"]
"""Whether layers whose input never changes are evaluated at every step, or once per sample."""


@dataclass(frozen=True, eq=False)
class Line:
    """Operations of one node that are no synaptic operations.

    Attributes:
        name: node or path of the module.
        cause: why they are done.
        what: the operation in a word or two: `batch norm`, `max pool`, `LIF`.
        static: see `Synapses`.
        inputs, outputs: values of one evaluation.
        steps: evaluations per sample.
        operations: by kind, (sample,) int64 over all steps.
        foldable: a batch norm or affine map that the layer before it could take up.
        place: where it runs.
        kind: static type of its input, None where no convention asks for it; pooling and norms.
        events: (sample,) int64, inputs over all steps that are not 0; of pooling and norms of
            spikes, None elsewhere.
    """

    name: str
    cause: Cause
    what: str
    static: bool
    inputs: int
    outputs: int
    steps: int
    operations: Mapping[Op, A]
    foldable: bool = False
    place: Place = "core"
    kind: Kind | None = None
    events: A | None = None

    def effective(self, op: Op, first_layer: FirstLayer) -> A:
        """(sample,) operations of a kind over all steps; a static line once or at every step."""
        total = self.operations[op]
        return total // self.steps if self.static and first_layer == "once" else total


@dataclass(frozen=True, eq=False)
class Population:
    """What a layer of neurons did.

    Attributes:
        name: node or path of the module.
        size: neurons.
        leaks: whether a state decays, so that every step costs a multiplication.
        fires: False for an integrator that is only read out.
        spikes: (sample, step) int64.
        gate: whether it stands for a maximum of spikes: a threshold without memory behind a sum
            of the window.
    """

    name: str
    size: int
    leaks: bool
    fires: bool
    spikes: A
    gate: bool = False

    @property
    def steps(self) -> int:
        """Updates per neuron and sample."""
        return int(self.spikes.shape[1])

    @property
    def rates(self) -> A:
        """(step,) spikes per neuron and step, mean over the samples."""
        return np.asarray(self.spikes.mean(0) / self.size)

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return float(self.spikes.mean() / self.size)


@dataclass(frozen=True, eq=False)
class Counts:
    """Everything that was counted.

    Attributes:
        stage: where: `torch`, `s1`, `s2`, `sim`, …
        samples: number of samples.
        steps: T, None where layers differ in it.
        synapses, lines, populations: what was counted.
        uncounted: operations without a rule, by place, with what they are. Totals that leave them
            out are incomplete.
        notes: what was assumed, in words.
        order: names in the order of the network.
    """

    stage: str
    samples: int
    steps: int | None
    synapses: tuple[Synapses, ...]
    lines: tuple[Line, ...]
    populations: tuple[Population, ...]
    uncounted: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @classmethod
    def chained(cls, parts: Sequence[Counts]) -> Counts:
        """The counts of the parts of one network, which ran the same samples."""
        return replace(
            parts[0],
            steps=max((part.steps or 0 for part in parts), default=0) or None,
            synapses=tuple(item for part in parts for item in part.synapses),
            lines=tuple(item for part in parts for item in part.lines),
            populations=tuple(item for part in parts for item in part.populations),
            order=tuple(name for part in parts for name in part.order),
            uncounted={key: what for part in parts for key, what in part.uncounted.items()},
            notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        )

    @classmethod
    def joined(cls, parts: Sequence[Counts]) -> Counts:
        """The counts of several batches or shards of samples, one behind the other.

        Raises:
            InputError: the parts hold different operations.
        """

        def along(label: str) -> tuple[Any, ...]:
            if len({tuple(_key(item) for item in getattr(part, label)) for part in parts}) > 1:
                raise InputError(
                    "samples",
                    "the network does other things in one batch than in another",
                    "count its samples one by one; its program depends on their values",
                )
            rows = zip(*(getattr(part, label) for part in parts), strict=True)
            return tuple(_joined(same) for same in rows)

        return replace(
            parts[0],
            samples=sum(part.samples for part in parts),
            synapses=along("synapses"),
            lines=along("lines"),
            populations=along("populations"),
            uncounted={key: what for part in parts for key, what in part.uncounted.items()},
            notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        )


def _key(item: Synapses | Line | Population) -> tuple[Any, ...]:
    """What records of the same operation have in common."""
    values = [getattr(item, each.name) for each in fields(item)]
    return tuple(
        tuple(value) if isinstance(value, Mapping) else value
        for value in values
        if not isinstance(value, np.ndarray)
    )


def _joined(parts: Sequence[Any]) -> Any:
    """Records of the same node with their arrays one behind the other along the sample axis."""
    first = parts[0]
    changes: dict[str, Any] = {}
    for item in fields(first):
        values = [getattr(part, item.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            changes[item.name] = np.concatenate(values)
        elif isinstance(values[0], Mapping):
            changes[item.name] = {op: np.concatenate([v[op] for v in values]) for op in values[0]}
    return replace(first, **changes)


def whole(values: Iterable[float] | A) -> A:
    """Sums that are integers by nature, held in floating point, as int64."""
    return np.rint(np.asarray(values, np.float64)).astype(np.int64)
