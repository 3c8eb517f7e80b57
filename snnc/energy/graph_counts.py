"""Counts of a graph: an executor's own activity, against the exact fan-out of every layer.

The same code counts S1 (float64 reference), S2 (int64 reference) and the sim engine: all of them
record what any node puts out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy import rules
from snnc.energy.counts import (
    Cause,
    Counts,
    Line,
    Measured,
    Op,
    Operation,
    Place,
    Population,
    Synapses,
    whole,
)
from snnc.energy.fanout import FanOut, fan_out
from snnc.errors import InputError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
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
    Pool,
    Rate,
    Scale,
    Signal,
    Sparse,
    Sum,
    Weighted,
)
from snnc.ir import Place as Placed
from snnc.reference import Inputs, Ports, Trace, run_float
from snnc.reference.trace import sample_count, step_count

A = NDArray[Any]
MOVES = Flatten | Placed | Gather | Sum | Delay


def watched(graph: Graph) -> Ports:
    """What an executor has to record for `counted`."""
    typed = _typed(graph, frozenset())
    looked_at = [name for name in graph.nodes if _is_looked_at(typed, name)]
    sources = {source for name in looked_at for source in graph.sources(name)}
    return dict.fromkeys(sorted({*sources, *graph.neurons}), ("s",))


def _is_looked_at(graph: Graph, name: str) -> bool:
    """Whether what enters a node is counted: products, and spikes into pools and norms."""
    node = graph.nodes[name]
    if isinstance(node, Pool | MaxPool | Scale):
        return graph.input_signal(name).kind is Kind.SPIKE
    return isinstance(node, Weighted | MatMul)


def counted(
    graph: Graph,
    inputs: Inputs,
    trace: Trace,
    stage: str,
    reals: frozenset[str] = frozenset(),
    place: Place = "core",
) -> Counts:
    """Counts what a run of a graph did.

    Args:
        inputs: what the executor was given.
        trace: what it returned, with the records that `watched` names.
        reals: inputs of an integer graph whose integers stand for real numbers (direct encoding).
        place: what is said of everything counted.

    Raises:
        InputError: values that are NaN or infinite on the way.
    """
    samples, steps = sample_count(graph, inputs), step_count(graph, inputs)
    return Counter(graph, stage, reals, place, samples, steps, trace).counts()


def count_float(graph: Graph, inputs: Inputs) -> Counts:
    """Counts of a float graph (S1) by the float64 reference."""
    return counted(graph, inputs, run_float(graph, inputs, watched(graph)), "s1")


class Counter:
    """Counts one run; `counts` is the only entry."""

    def __init__(
        self,
        graph: Graph,
        stage: str,
        reals: frozenset[str],
        place: Place,
        samples: int,
        steps: int,
        trace: Trace,
    ) -> None:
        self.graph, self.stage, self.place = graph, stage, place
        self.samples, self.steps, self.trace = samples, steps, trace
        self.typed = _typed(graph, reals)

    def counts(self) -> Counts:
        """Everything, in topological order."""
        synapses: list[Synapses] = []
        lines: list[Line] = []
        populations: list[Population] = []
        for name in self.graph.order:
            node = self.graph.nodes[name]
            lines += self._branches(name)
            if isinstance(self.typed.nodes[name], _Copies):
                continue
            if isinstance(node, Weighted):
                synapses.append(self._weighted(name, node))
                lines += self._bias(name, node)
            elif isinstance(node, MatMul):
                synapses.append(self._product(name, node))
            elif isinstance(node, Neuron | IntNeuron):
                population = self._population(name, node)
                populations.append(population)
                lines += self._neurons(name, node, population)
            else:
                lines += self._between(name, node)
        return Counts(
            self.stage, self.samples, self.steps, tuple(synapses), tuple(lines),
            tuple(populations), notes=_notes(self.graph, self.typed), order=self.graph.order,
        )  # fmt: skip

    def _total(self, name: str) -> A:
        """(sample, step, …) summed input; a static one has a single step."""
        last = 1 if self._static(name) else None
        parts = [self.trace.records[s, "s"][:, :last] for s in self.graph.sources(name)]
        total = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
        if total.dtype.kind == "f" and not np.isfinite(total).all():
            raise InputError(name, "its input becomes NaN or infinite", "check the data and scales")
        return total

    def _static(self, name: str) -> bool:
        return self.graph.input_signal(name).rate is Rate.SAMPLE

    def _repeated(self, counts: A) -> A:
        """(sample, step) with the column of what is the same at every step repeated."""
        return np.repeat(counts, self.steps // counts.shape[1], axis=1)

    def _stepwise(self, measured: Measured) -> Measured:
        return Measured(**{key: self._repeated(value) for key, value in measured.items()})  # type: ignore[typeddict-item, arg-type]

    def _weighted(self, name: str, node: Weighted) -> Synapses:
        x, signal = self._total(name), self.typed.input_signal(name)
        reach = fan_out(node, signal.shape)
        mask = x != 0
        events = np.count_nonzero(mask.reshape(*x.shape[:2], -1), axis=2)
        products, kept = _reached(mask, reach)
        measured = Measured(
            events=events, value=np.zeros_like(events), products=products, operations=products,
            products_nonzero=kept, operations_nonzero=kept,
        )  # fmt: skip
        if signal.kind is Kind.SPIKE:
            measured["value"] = events
        elif signal.kind is Kind.GRADED:
            size = np.abs(x)
            measured["value"] = whole(size.reshape(*x.shape[:2], -1).sum(2))
            measured["operations"], measured["operations_nonzero"] = _reached(size, reach)
        window = node if isinstance(node, Conv | ConvTranspose) else None
        return Synapses(
            name=name, operation=_operation(node), kind=signal.kind, direct=self._direct(name),
            static=self._static(name), in_shape=signal.shape,
            out_shape=self.graph.signals[name].shape,
            kernel=() if window is None else window.kernel,
            stride=() if window is None else window.stride,
            groups=1 if window is None else window.groups,
            weights=int(node.weight.size), bias=node.bias is not None,
            dense=reach.dense, taps=reach.taps, place=self.place, **self._stepwise(measured),
        )  # fmt: skip

    def _product(self, name: str, node: MatMul) -> Synapses:
        x, signal = self._total(name), self.typed.input_signal(name)
        split = node.sizes[0]
        left = x[..., :split].reshape(*x.shape[:2], node.heads, node.rows, node.inner)
        right = x[..., split:].reshape(*x.shape[:2], node.heads, node.inner, node.columns)
        met = _met(left != 0, right != 0)
        exact = signal.kind is not Kind.ANALOG
        done = _met(np.abs(left), np.abs(right)) if exact else met
        first, second = (np.count_nonzero(y, axis=(2, 3, 4)) for y in (left, right))
        measured = Measured(
            events=first,
            value=whole(np.abs(left).sum((2, 3, 4))) if exact else np.zeros_like(first),
            products=met, operations=done, products_nonzero=met, operations_nonzero=done,
        )  # fmt: skip
        dense = node.heads * node.rows * node.inner * node.columns
        return Synapses(
            name=name, operation="attention", kind=signal.kind, direct=False,
            static=self._static(name), in_shape=(node.heads, node.rows, node.inner),
            out_shape=(node.heads, node.rows, node.columns), kernel=(), stride=(), groups=1,
            weights=0, bias=False, dense=dense, taps=dense, second_size=node.sizes[1],
            second_events=self._repeated(second), place=self.place, **self._stepwise(measured),
        )  # fmt: skip

    def _direct(self, name: str) -> bool:
        """Whether all that enters comes from analog inputs, moved at most."""
        for source in self.graph.sources(name):
            node = self.typed.nodes[source]
            moved = isinstance(node, MOVES | _Copies) and self._direct(source)
            if not (isinstance(node, Input) and node.kind is Kind.ANALOG) and not moved:
                return False
        return True

    def _population(self, name: str, node: Neuron | IntNeuron) -> Population:
        shape, fires = self.graph.signals[name].shape, rules.fires(node)
        spikes = np.zeros((self.samples, self.steps), np.int64)
        if fires:
            record = self.trace.records[name, "s"]
            spikes = np.count_nonzero(record.reshape(*record.shape[:2], -1), axis=2)
        before = [self.graph.nodes[source] for source in self.graph.sources(name)]
        summed = [isinstance(other, Pool) and other.mode == "sum" for other in before]
        gate = fires and all(summed) and rules.forgets(node)
        return Population(name, math.prod(shape), rules.leaks(node), fires, spikes, gate)

    def _neurons(
        self, name: str, node: Neuron | IntNeuron, population: Population
    ) -> Iterator[Line]:
        shape = self.graph.signals[name].shape
        if biased := rules.biased(node, shape):
            yield self._line(name, Cause.BIAS, "neuron bias", {Op.AC: biased})
        line = self._line(name, Cause.NEURON, "neuron update", rules.update(node, shape))
        fired = population.spikes.sum(1)
        operations = dict(line.operations)
        if resets := rules.reset_adds(node):
            operations[Op.AC] = operations.get(Op.AC, 0) + resets * fired
        operations[Op.UPDATE] = np.full(self.samples, population.size * self.steps)
        operations[Op.SPIKE] = fired
        yield replace(line, operations=operations)

    def _bias(self, name: str, node: Weighted) -> Iterator[Line]:
        if node.bias is not None:
            outputs = self.graph.signals[name].size
            yield self._line(name, Cause.BIAS, "bias", {Op.AC: outputs})

    def _branches(self, name: str) -> Iterator[Line]:
        """The additions where several edges meet; parts side by side add nothing."""
        sources = self.graph.sources(name)
        if len(sources) < 2:
            return
        shape = self.graph.input_signal(name).shape
        covers = np.zeros(shape, np.int64)
        for source in sources:
            covers += self._cover(source, shape)
        if adds := int(np.maximum(covers - 1, 0).sum()):
            line = self._line(name, Cause.ADD, "sum of branches", {Op.AC: adds})
            size = math.prod(shape)
            yield replace(line, static=self._static(name), inputs=size, outputs=size)

    def _cover(self, source: str, shape: tuple[int, ...]) -> A:
        """1 where a source puts a value."""
        node = self.graph.nodes[source]
        if isinstance(node, Gather):
            return (node.index >= 0).astype(np.int64)
        cover = np.ones(shape, np.int64)
        if isinstance(node, Placed):
            cover[: node.start] = 0
            cover[node.start + self.graph.input_signal(source).shape[0] :] = 0
        return cover

    def _between(self, name: str, node: Node) -> Iterator[Line]:
        """What stands between the layers."""
        size = self.graph.signals[name].size
        match node:
            case Scale():
                work = rules.affine(size, bool(np.any(node.weight != 1)), node.bias is not None)
                if work:
                    line = self._line(name, Cause.NORM, "affine", work)
                    yield replace(line, foldable=self._folds(name))
            case Normalise():
                yield self._line(name, Cause.NORM, node.kind, _normalise(node, size))
            case Pool():
                taps = self._window(name, node, (1,) * len(node.kernel))
                channels = self.graph.signals[name].shape[0]
                work = rules.pool(taps, channels, node.mode)
                yield self._line(name, Cause.POOL, f"{node.mode} pool", work)
            case MaxPool():
                taps = self._window(name, node, node.dilation)
                work = rules.pool(taps, self.graph.signals[name].shape[0], "max")
                yield self._line(name, Cause.POOL, "max pool", work)
            case Map():
                work = rules.function(node.function, size)
                yield self._line(name, Cause.FUNCTION, node.function, work)
            case Multiply():
                yield self._line(name, Cause.FUNCTION, "product", {Op.MUL: size})
            case Output() if node.reduce in ("sum", "mean"):
                yield self._readout(name, node)

    def _readout(self, name: str, node: Output) -> Line:
        """Sums over the steps: T − 1 additions a value, and for a mean one multiplication."""
        size = self.graph.signals[name].size
        work = rules.reduction(size * self.steps, size, node.reduce == "mean")
        operations = {op: np.full(self.samples, n, np.int64) for op, n in work.items() if n}
        what = f"{node.reduce} over steps"
        return Line(name, Cause.POOL, what, False, size, size, self.steps, operations, False,
                    self.place)  # fmt: skip

    def _window(self, name: str, node: Pool | MaxPool, dilation: tuple[int, ...]) -> A:
        extents = self.graph.input_signal(name).shape[1:]
        out = self.graph.signals[name].shape[1:]
        return rules.window_taps(extents, node.kernel, node.stride, node.padding, dilation, out)

    def _folds(self, name: str) -> bool:
        """Whether the layer before is weighted and feeds nothing else."""
        sources = self.graph.sources(name)
        alone = len(sources) == 1 and len(self.graph.targets(sources[0])) == 1
        return alone and isinstance(self.graph.nodes[sources[0]], Weighted)

    def _line(self, name: str, cause: Cause, what: str, work: Mapping[Op, int]) -> Line:
        signal = self.graph.signals[name]
        static = signal.rate is Rate.SAMPLE
        operations = {
            op: np.full(self.samples, number * self.steps, np.int64) for op, number in work.items()
        }
        inputs = self.graph.input_signal(name).size
        kind = self.typed.input_signal(name).kind
        events = None
        if kind is Kind.SPIKE and cause in (Cause.POOL, Cause.NORM):
            x = self._total(name)
            events = np.count_nonzero(x.reshape(len(x), -1), axis=1) * (self.steps // x.shape[1])
        return Line(name, cause, what, static, inputs, signal.size, self.steps, operations, False,
                    self.place, kind, events)  # fmt: skip


def _operation(node: Weighted) -> Operation:
    match node:
        case Linear():
            return "linear"
        case Conv():
            return "conv"
        case ConvTranspose():
            return "conv_transpose"
        case Sparse():
            return "sparse"


def _typed(graph: Graph, reals: frozenset[str]) -> Graph:
    """The graph with the types that operations are counted by: integers that stand for real
    numbers (direct encoding, membranes that are passed on) are real numbers."""
    changes: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Input) and name in reals:
            changes[name] = replace(node, kind=Kind.ANALOG)
        elif _copies(node):
            changes[name] = _Copies(graph.signals[name].shape)
        elif isinstance(node, IntNeuron):
            changes[name] = _Emits(Kind.SPIKE if node.fires else Kind.ANALOG)
    return graph.with_nodes(changes) if changes else graph


@dataclass(frozen=True, eq=False)
class _Emits(Node):
    """A population, of which only the kind of its output matters."""

    kind: Kind

    def infer(self, name: str, x: Signal) -> Signal:
        return Signal(self.kind, x.shape)


@dataclass(frozen=True, eq=False)
class _Copies(Node):
    """Nearest upsampling: moves values."""

    shape: tuple[int, ...]

    def infer(self, name: str, x: Signal) -> Signal:
        return replace(x, shape=self.shape)


def _copies(node: Node) -> bool:
    """Whether a node of a float graph is nearest upsampling, which a frontend writes as a
    transposed convolution: every value to a window of its own, times 1."""
    return (
        isinstance(node, ConvTranspose)
        and node.weight.dtype.kind == "f"
        and node.bias is None
        and node.stride == node.kernel
        and node.weight.shape[:2] == (node.groups, 1)
        and not any((*node.padding, *node.output_padding))
        and bool((node.weight == 1).all())
    )


def _reached(x: A, reach: FanOut) -> tuple[A, A]:
    """(sample, step) Σ x·fan-out over the features, with and without zero weights."""
    every = _weighed(x, reach.all)
    return every, every if reach.nonzero is reach.all else _weighed(x, reach.nonzero)


def _weighed(x: A, reach: A) -> A:
    weights = reach.reshape((1,) * (x.ndim - 2 - reach.ndim) + reach.shape)
    alike = tuple(2 + axis for axis, extent in enumerate(weights.shape) if extent == 1)
    reduced = x.sum(alike, dtype=np.float64 if x.dtype.kind == "f" else np.int64, keepdims=True)
    return whole((reduced * weights).reshape(*x.shape[:2], -1).sum(2))


def _met(left: A, right: A) -> A:
    """(sample, step) Σ over head, row, inner and column of left·right: products that are done."""
    rows = left.sum(3, dtype=np.float64 if left.dtype.kind == "f" else np.int64)
    columns = right.sum(4, dtype=rows.dtype)
    return whole((rows * columns).sum((2, 3)))


def _normalise(node: Normalise, size: int) -> dict[Op, int]:
    match node.kind:
        case "layer":
            return rules.layer_norm(size, node.rows, False, False)
        case "l2":
            return rules.l2_norm(size, node.rows)
        case _:
            return rules.softmax(size, node.rows, node.kind == "log_softmax")


def _notes(graph: Graph, typed: Graph) -> tuple[str, ...]:
    """What a reader must know of how types were decided."""
    averaged = [
        name
        for name, node in graph.nodes.items()
        if isinstance(node, Pool) and node.mode == "avg"
        and typed.input_signal(name).kind is not Kind.ANALOG
    ]  # fmt: skip
    if not averaged:
        return ()
    return (
        f"{', '.join(averaged)}: averaged spikes are no integers, so what they feed is MAC;"
        " a compiled network adds them up instead, which makes it AC",
    )


__all__ = ["count_float", "counted", "watched"]
