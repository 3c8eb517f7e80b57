"""The sim engine: integer graphs (S2) in numpy, tile by tile, equal to `run_int` in every number.

A tile is a block of samples times a stretch of steps (see `plan`). It runs through the graph node
by node: synapses see all its steps at once, as one GEMM, only the states of the neurons go step by
step. Blocks of samples run on as many threads as the process may use; numpy releases the
interpreter's lock in all that is slow here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    Linear,
    MatMul,
    Node,
    Output,
    Place,
    Pool,
    Sparse,
    Sum,
)
from snnc.processors import processors
from snnc.reference import Inputs, Ports, Trace
from snnc.targets.sim.arrange import Gathered, Product
from snnc.targets.sim.blas import single_threaded
from snnc.targets.sim.conv import Convolution, Depthwise, Transposed
from snnc.targets.sim.neuron import IntPopulation, Population, population
from snnc.targets.sim.plan import Plan
from snnc.targets.sim.scratch import Memory, Scratch
from snnc.targets.sim.slots import LASTING, slots
from snnc.targets.sim.synapse import Dense, Rows
from snnc.targets.sim.total import Total
from snnc.targets.sim.windows import SumPool

A = NDArray[Any]
Layer = Callable[[A, Scratch], A]


def run(
    graph: Graph,
    inputs: Inputs,
    record: Ports | None = None,
    progress: Callable[[float], None] = lambda share: None,
    chip: str | None = None,
) -> Trace:
    """Runs an integer graph; the same arguments and result as `snnc.reference.run_int`.

    Args:
        graph: the integer graph.
        inputs: by input name, integers, (sample, step, …) or (sample, …).
        record: ports to keep, by node.
        progress: told the finished share, from any of the engine's threads, one at a time.
        chip: of no consequence, the graph says everything.

    Raises:
        InputError: an input has the wrong shape or isn't made of integers.
        GraphError: a node that an integer graph can't have, a state of a node without states.
    """
    plan = Plan(graph, inputs, record)
    layers, sinks = _layers(plan), Sinks(plan)
    workers = plan.workers(processors())
    blocks = plan.blocks(workers)
    told = _Progress(progress, len(blocks))
    workers = max(1, min(workers, len(blocks)))
    with single_threaded():
        if workers == 1:
            runners = [_work(plan, layers, blocks, sinks, told)]
        else:
            with ThreadPoolExecutor(workers) as pool:
                shares = [blocks[i::workers] for i in range(workers)]
                work = partial(_work, plan, layers, sinks=sinks, told=told)
                runners = list(pool.map(work, shares))
    return sinks.trace([runner.events() for runner in runners])


def _work(
    plan: Plan, layers: dict[str, Layer], blocks: list[slice], sinks: Sinks, told: _Progress
) -> Runner:
    runner = Runner(plan, layers)
    for block in blocks:
        runner.run(block, sinks, told.tell)
    return runner


class _Progress:
    """Adds up what the threads have done."""

    def __init__(self, progress: Callable[[float], None], blocks: int) -> None:
        self._progress, self._blocks, self._done, self._lock = progress, blocks, 0.0, Lock()

    def tell(self, share: float) -> None:
        """One more share of a block is done."""
        with self._lock:
            self._done += share
            self._progress(min(1.0, self._done / self._blocks))


class Sinks:
    """Arrays for what was asked for, over all samples; outputs are reduced as they come."""

    def __init__(self, plan: Plan) -> None:
        self.plan, graph = plan, plan.graph
        self.records = {
            (name, port): np.empty(
                (plan.samples, plan.steps, *plan.shape(name)), _record_dtype(graph, name, port)
            )
            for name, ports in (plan.record or {}).items()
            for port in ports
        }
        self.outputs = {name: self._output(name) for name in graph.outputs}

    def _output(self, name: str) -> A:
        steps = (self.plan.steps,) if self._reduce(name) == "none" else ()
        return np.zeros((self.plan.samples, *steps, *self.plan.shape(name)), np.int64)

    def _reduce(self, name: str) -> str:
        node = self.plan.graph.nodes[name]
        assert isinstance(node, Output)
        return node.reduce

    def take(self, runner: Runner, block: slice, start: int, steps: int) -> None:
        """Keeps what a tile of `steps` steps from `start` on has computed."""
        for (name, port), array in self.records.items():
            array[block, start : start + steps] = runner.read(name, port).swapaxes(0, 1)
        for name, array in self.outputs.items():
            node = self.plan.graph.nodes[name]
            assert isinstance(node, Output)
            for i, source in enumerate(self.plan.graph.sources(name)):
                value = runner.read(source, node.port)
                self._add(array, value, node.reduce, block, start, steps, i == 0)

    def _add(self, array: A, value: A, how: str, block: slice, start: int, steps: int,
             first: bool) -> None:  # fmt: skip
        if how == "none":
            part = array[block, start : start + steps]
            np.add(0 if first else part, value.swapaxes(0, 1), out=part, casting="unsafe")
        elif how == "last":
            np.add(0 if first else array[block], value[-1], out=array[block], casting="unsafe")
        elif len(value) == steps:
            array[block] += _step_sum(value)
        else:
            array[block] += value[0].astype(np.int64) * steps

    def trace(self, events: list[dict[str, dict[str, int]]]) -> Trace:
        """The result of the run."""
        for name in self.plan.graph.outputs:
            if self._reduce(name) == "mean":
                self.outputs[name] = self.outputs[name] / self.plan.steps
        total = {
            name: {key: sum(part[name][key] for part in events) for key in events[0][name]}
            for name in events[0]
        }
        return Trace(self.outputs, self.records, total)


def _record_dtype(graph: Graph, name: str, port: str) -> type[np.int8] | type[np.int64]:
    """Spikes are kept in a byte each: a record of them is what a large run fills memory with."""
    node = graph.nodes[name]
    return np.int8 if port == "s" and isinstance(node, IntNeuron) and node.fires else np.int64


def _step_sum(value: A) -> A:
    """Σ over the steps, exactly."""
    return value.sum(0, dtype=np.int64 if value.dtype.kind in "biu" else np.float64).astype(
        np.int64
    )


class Runner:
    """The executors of all nodes, with the states of one block of samples at a time."""

    def __init__(self, plan: Plan, layers: dict[str, Layer]) -> None:
        self.plan, self.layers = plan, layers
        self.totals = {
            name: Total(plan, name) for name in plan.graph.nodes if plan.graph.sources(name)
        }
        self.scratch = _memory(plan)
        self.populations: dict[str, Population | IntPopulation] = {}
        self.delays: dict[str, _Queue] = {}
        self.values: dict[str, A] = {}
        for name, node in plan.graph.nodes.items():
            self._prepare(name, node)

    def _prepare(self, name: str, node: Node) -> None:
        plan = self.plan
        if isinstance(node, IntNeuron):
            ports = plan.ports.get(name, set()) & {"u", "v"}
            self.populations[name] = population(node, plan.total_bound(name), ports)
        elif isinstance(node, Delay):
            self.delays[name] = _Queue(node.steps, plan.shape(name))

    def run(self, block: slice, sinks: Sinks, tell: Callable[[float], None]) -> None:
        """Runs the samples of `block` through all steps."""
        plan, samples = self.plan, block.stop - block.start
        for name, state in self.populations.items():
            state.start((samples, *plan.shape(name)))
        for queue in self.delays.values():
            queue.start(samples)
        for start in range(0, plan.steps, plan.tile_steps):
            steps = min(plan.tile_steps, plan.steps - start)
            self._tile(block, start, steps)
            sinks.take(self, block, start, steps)
            tell(steps / plan.steps)

    def events(self) -> dict[str, dict[str, int]]:
        """Counts of all blocks so far, by neuron layer."""
        nodes = self.plan.graph.nodes
        return {name: self.populations[name].events for name in nodes if name in self.populations}

    def read(self, name: str, port: str) -> A:
        """Output (`s`) or state (`u`, `v`) of a node over the tile, (step or 1, sample, …).

        Raises:
            GraphError: the node has no such state.
        """
        if port == "s":
            return self.values[name]
        if name not in self.populations:
            raise GraphError(name, f"has no state {port!r}", "only neuron layers have states")
        return self.populations[name].records[port]

    def _tile(self, block: slice, start: int, steps: int) -> None:
        plan = self.plan
        for name in plan.order:
            if name not in plan.fused and (start == 0 or not plan.once(name)):
                self.values[name] = self._value(name, block, start, steps)
        for name in plan.closing:
            self.delays[name].push(self._total(name), steps)

    def _value(self, name: str, block: slice, start: int, steps: int) -> A:
        match self.plan.graph.nodes[name]:
            case Input():
                return self._input(name, block, start, steps)
            case Delay() if name in self.plan.closing:
                return self.delays[name].first(steps)
            case Delay():
                return self.delays[name].push(self._total(name), steps)
            case IntNeuron():
                scaled = self.plan.graph.sources(name)[0] in self.plan.folded
                x, scratch = self._total(name), self.scratch[name]
                return self.populations[name].run(x, scaled, steps, scratch)
            case Output():
                return self._total(name)
            case _:
                return self.layers[name](self._total(name), self.scratch[name])

    def _input(self, name: str, block: slice, start: int, steps: int) -> A:
        """(step, sample, …), in one byte where the values fit."""
        x = self.plan.arrays[name][block]
        x = x[None] if self.plan.once(name) else x[:, start : start + steps].swapaxes(0, 1)
        bound = self.plan.bounds[name]
        if x.dtype.itemsize == 1 or bound > 127:
            return x
        small = self.scratch[name].take("input", (x.shape[1], x.shape[0], *x.shape[2:]), np.int8)
        np.copyto(small, x.swapaxes(0, 1), casting="unsafe")
        return small.swapaxes(0, 1)

    def _total(self, name: str) -> A:
        return self.totals[name](self.values, self.scratch[name])


def _memory(plan: Plan) -> dict[str, Scratch]:
    """The memory of each node for one thread."""
    places, work = slots(plan), Memory()
    shared = {slot: Memory() for slot in places.values()}
    return {
        name: Scratch(None if slot == LASTING else shared[slot], work)
        for name, slot in places.items()
    }


_LAYERS: WeakKeyDictionary[Node, dict[object, Layer]] = WeakKeyDictionary()
"""Prepared layers by node (nodes never change) and by what else they depend on. None may refer to
its node, which would then never be freed."""


def _layers(plan: Plan) -> dict[str, Layer]:
    """The layers without states, prepared once for all threads and, where possible, all runs."""
    table: dict[str, Layer] = {}
    for name, node in plan.graph.nodes.items():
        if isinstance(node, Input | Output | IntNeuron | Delay):
            continue
        shape, fold = plan.graph.input_signal(name).shape, plan.folded.get(name, 0)
        key = (shape, plan.total_bound(name), fold)
        known = _LAYERS.setdefault(node, {})
        if key not in known:
            known[key] = _layer(plan, name, node)
        table[name] = known[key]
    return table


def _layer(plan: Plan, name: str, node: Node) -> Layer:
    source = plan.graph.input_signal(name).shape
    bound, fold = plan.total_bound(name), plan.folded.get(name, 0)
    match node:
        case Linear():
            return Dense(node, bound, fold)
        case Sparse():
            return Rows(node, bound, fold)
        case Conv() | ConvTranspose() if _by_tap(node):
            return Depthwise(node, source, bound, fold)
        case Conv():
            return Convolution(node, source, bound, fold)
        case ConvTranspose():
            return Transposed(node, source, bound, fold)
        case _:
            return _weightless(plan, name, node)


def _weightless(plan: Plan, name: str, node: Node) -> Layer:
    match node:
        case MatMul():
            return Product(node, plan.total_bound(name), plan.bounds[name])
        case Pool() if node.mode == "sum":
            return SumPool(node, plan.graph.input_signal(name).shape, plan.bounds[name])
        case Flatten():
            shape = plan.shape(name)
            return lambda x, scratch: x.reshape(*x.shape[:2], *shape)
        case Gather():
            return Gathered(node)
        case Sum():
            return lambda x, scratch: x
        case Place():
            return partial(_placed, node.start, node.extent)
        case _:
            raise GraphError(
                name,
                f"a {type(node).__name__} with real numbers can't be in an integer graph",
                "quantise the graph first",
            )


def _by_tap(node: Conv | ConvTranspose) -> bool:
    """Whether no channels mix and products by tap are the fastest way."""
    one_tap = isinstance(node, ConvTranspose) or max(node.kernel) == 1
    return one_tap and node.weight.shape[1] == 1


def _placed(start: int, extent: int, x: A, scratch: Scratch) -> A:
    y = scratch.result((*x.shape[:2], extent, *x.shape[3:]), x.dtype)
    y[...] = 0
    y[:, :, start : start + x.shape[2]] = x
    return y


class _Queue:
    """A Delay: the last `steps` steps of its input."""

    def __init__(self, steps: int, shape: tuple[int, ...]) -> None:
        self.steps, self.shape = steps, shape

    def start(self, samples: int) -> None:
        """Begins a block: zeros come out first."""
        self.waiting: A = np.zeros((self.steps, samples, *self.shape), bool)

    def first(self, steps: int) -> A:
        """The next outputs, which must be waiting already."""
        return self.waiting[:steps]

    def push(self, x: A, steps: int) -> A:
        """Takes the inputs of a tile and returns its outputs."""
        x = np.broadcast_to(x, (steps, *x.shape[1:]))
        both = np.concatenate([self.waiting, x])
        self.waiting = both[steps:]
        return both[:steps]


__all__ = ["run"]
