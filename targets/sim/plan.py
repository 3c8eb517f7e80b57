"""What is decided once per run: order, ranges, number formats, tile sizes.

Ranges. Every signal gets a bound on |value|, from the weights and from the range that the inputs
really have. A sum whose bound Σ|w|·max|x| is at most 2^24 is exact in float32 in any order of
summation, since every partial sum is an integer of that range; at most 2^53, in float64; all else
is summed in int64.

Tiles. A tile is a number of samples times a number of steps that runs through the whole graph
before the next one starts; states are carried from tile to tile. Where the graph has loops, a
tile has no more steps than the shortest Delay that closes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, InputError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Graph,
    Input,
    IntNeuron,
    Linear,
    MatMul,
    Node,
    Place,
    Pool,
    Rate,
    Sparse,
    Weighted,
)
from snnc.reference import Inputs, Ports
from snnc.reference.trace import sample_count, step_count, wanted_ports

EXACT32, EXACT64 = 1 << 24, 1 << 53
"""Largest integers up to which every integer is a float32, a float64."""

UNBOUNDED = 1 << 63
"""Stands for a loop of weights without a neuron, whose values have no bound but int64's."""

STATE_ELEMENTS = 1 << 17
"""Neurons × samples of the widest layer in a tile: 1 MB of float64, half of an L2 cache of 2 MB.
Smaller tiles would stay in it more surely, but then the threads spend their time handing each
other the interpreter's lock: a numpy call on a tile should take 20 µs or more."""

TILE_BYTES = 24 << 20
"""Most bytes of the widest signal over all steps of a tile: four per sum, one per other value. It
is written and read once each, so it may lie in the outer cache; more steps mean larger GEMMs."""

THREAD_ELEMENTS = 1 << 13
"""Fewest neurons × samples of the widest layer for which one more thread is started: below that,
numpy calls are so short (2 µs) that threads only wait for the interpreter's lock."""

ROW_ELEMENTS = 1 << 18
"""Weights that are looked at together."""

STEPS_MAX = 512
"""Most steps of a tile."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a run that doesn't depend on the values of a tile."""

    graph: Graph
    inputs: Inputs
    record: Ports | None

    @cached_property
    def samples(self) -> int:
        """Number of samples."""
        return sample_count(self.graph, self.inputs)

    @cached_property
    def steps(self) -> int:
        """Number of steps of the run."""
        return step_count(self.graph, self.inputs)

    @cached_property
    def ports(self) -> dict[str, set[str]]:
        """Ports that are recorded or read, by node."""
        return wanted_ports(self.graph, self.record)

    def once(self, name: str) -> bool:
        """Whether the node's output is the same at every step."""
        return self.graph.signals[name].rate is Rate.SAMPLE

    def shape(self, name: str) -> tuple[int, ...]:
        """Feature shape of the node's output."""
        return self.graph.signals[name].shape

    @cached_property
    def closing(self) -> frozenset[str]:
        """Delays that close a loop: their output is taken before their input is known."""
        return frozenset(
            name
            for name, node in self.graph.nodes.items()
            if isinstance(node, Delay) and self._reaches_itself(name)
        )

    def _reaches_itself(self, start: str) -> bool:
        seen: set[str] = set()
        front = [start]
        while front:
            for target in self.graph.targets(front.pop()):
                if target == start:
                    return True
                if target not in seen:
                    seen.add(target)
                    front.append(target)
        return False

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names so that all but the closing Delays come after all of their sources."""
        graph, done = self.graph, list(self.closing)
        waiting = {n: len(graph.sources(n)) for n in graph.nodes if n not in self.closing}
        ready = [name for name, count in waiting.items() if count == 0]
        front = list(done)
        while front or ready:
            name = front.pop() if front else ready.pop(0)
            if name not in self.closing:
                done.append(name)
            for target in graph.targets(name):
                if target in waiting:
                    waiting[target] -= 1
                    if waiting[target] == 0:
                        ready.append(target)
        return tuple(done)

    @cached_property
    def _ranges(self) -> dict[str, int]:
        return {name: largest(x) for name, x in self.arrays.items()}

    @cached_property
    def bounds(self) -> dict[str, int]:
        """Largest |value| that each node's output can have."""
        table = dict.fromkeys(self.graph.nodes, 0)
        changed: set[str] = set()
        # A bound passes at most every closing Delay once, unless a loop makes it grow for ever.
        for _ in range(len(self.closing) + 2):
            before = dict(table)
            for name in (*self.order, *sorted(self.closing)):
                table[name] = self._bound(name, table)
            changed = {name for name in self.closing if before[name] != table[name]}
            if not changed:
                return table
        return table | dict.fromkeys(self._fed_by(changed), UNBOUNDED)

    def _fed_by(self, names: set[str]) -> set[str]:
        """The nodes whose values depend on `names` other than through a neuron."""
        fed = set(names)
        for _ in self.order:
            fed |= {
                target
                for name in fed
                for target in self.graph.targets(name)
                if not isinstance(self.graph.nodes[target], IntNeuron)
            }
        return fed

    def _total(self, name: str, table: dict[str, int]) -> int:
        """Largest sum of the sources' bounds in any channel."""
        whole, edges = 0, []
        for source in self.graph.sources(name):
            node, bound = self.graph.nodes[source], table[source]
            if not isinstance(node, Place):
                whole += bound
                continue
            channels = self.graph.input_signal(source).shape[0]
            edges += [(node.start, bound), (node.start + channels, -bound)]
        return whole + max(accumulate(change for _, change in sorted(edges)), default=0)

    @cached_property
    def fused(self) -> frozenset[str]:
        """Places whose value nobody needs but sums, which copy its parts themselves."""
        done: set[str] = set()
        for name in self.order:
            if isinstance(self.graph.nodes[name], Place) and name not in self.ports:
                sources = self.graph.sources(name)
                if len(sources) == 1 and sources[0] not in done:
                    done.add(name)
        return frozenset(done)

    def total_bound(self, name: str) -> int:
        """Largest |value| of the summed input of a node."""
        return min(self._total(name, self.bounds), UNBOUNDED)

    def _bound(self, name: str, table: dict[str, int]) -> int:
        match node := self.graph.nodes[name]:
            case Input():
                return self._ranges[name]
            case IntNeuron():
                return 1 if node.fires else state_bound(node)
            case Linear() | Conv() | ConvTranspose() | Sparse():
                return min(synapse_bound(node, self._total(name, table)), UNBOUNDED)
            case Pool():
                return min(node.window * self._total(name, table), UNBOUNDED)
            case MatMul():
                return min(node.inner * self._total(name, table) ** 2, UNBOUNDED)
            case _:
                return self._total(name, table)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inputs as integers.

        Raises:
            InputError: a wrong shape, or numbers that aren't integers.
        """
        return {name: self._array(name) for name in self.graph.inputs}

    def _array(self, name: str) -> NDArray[Any]:
        x, rate = np.asarray(self.inputs[name]), self.graph.signals[name].rate
        axes = (self.samples,) if rate is Rate.SAMPLE else (self.samples, self.steps)
        if x.shape != (*axes, *self.shape(name)):
            raise InputError(
                name,
                f"has shape {x.shape}, the network takes {(*axes, *self.shape(name))}",
                "axes are sample, step (unless given once per sample), then the layer's own",
            )
        if x.dtype.kind in "iub":
            return x
        whole = x.astype(np.int64) if x.dtype.kind == "f" else None
        if whole is None or not np.array_equal(whole, x):
            raise InputError(
                name, f"of dtype {x.dtype} isn't made of integers", "quantise the input first"
            )
        return whole

    @cached_property
    def folded(self) -> dict[str, int]:
        """Synapses whose weights can carry their neuron's left shift, with that shift.

        A power of two changes no digit of a float, so it costs nothing there.
        """
        table: dict[str, int] = {}
        for name, node in self.graph.nodes.items():
            if isinstance(node, IntNeuron) and all(
                self._can_fold(source, node.shift) for source in self.graph.sources(name)
            ):
                table |= dict.fromkeys(self.graph.sources(name), node.shift)
        return table

    def _can_fold(self, name: str, shift: int) -> bool:
        node = self.graph.nodes[name]
        if not isinstance(node, Weighted) or node.exp < 0 or name in self.ports:
            return False
        total = self._total(name, self.bounds)
        if synapse_bound(node, total) << shift > EXACT64:
            return False
        return len(self.graph.targets(name)) == 1

    @cached_property
    def tile_steps(self) -> int:
        """Most steps of a tile."""
        loops = [_delay_steps(name, self.graph.nodes[name]) for name in self.closing]
        per_step = self._widest_bytes * self.tile_samples
        most = max(1, min([self.steps, STEPS_MAX, TILE_BYTES // per_step, *loops]))
        tiles = -(-self.steps // most)
        return max(1, -(-self.steps // max(1, tiles)))

    @cached_property
    def tile_samples(self) -> int:
        """Most samples of a tile."""
        most = min(STATE_ELEMENTS // self._widest_state, TILE_BYTES // self._widest_bytes)
        return max(1, min(self.samples, most))

    @cached_property
    def _widest_bytes(self) -> int:
        return max(
            signal.size * (4 if isinstance(self.graph.nodes[name], Weighted | MatMul) else 1)
            for name, signal in self.graph.signals.items()
        )

    @cached_property
    def _widest_state(self) -> int:
        sizes = [self.graph.signals[name].size for name in self.graph.neurons]
        return max(sizes, default=max(signal.size for signal in self.graph.signals.values()))

    def workers(self, cores: int) -> int:
        """Threads that are worth starting on so many processors."""
        return max(1, min(cores, self.samples * self._widest_state // THREAD_ELEMENTS))

    def blocks(self, workers: int) -> list[slice]:
        """The samples in blocks of one tile each, a multiple of `workers` of them if possible."""
        if self.samples == 0:
            return []
        count = -(-self.samples // self.tile_samples)
        count = min(-(-count // workers) * workers, self.samples)
        edges = [self.samples * i // count for i in range(count + 1)]
        return [slice(a, b) for a, b in pairwise(edges)]


def _delay_steps(name: str, node: Node) -> int:
    assert isinstance(node, Delay)
    if node.steps < 1:
        raise GraphError(name, f"a Delay of {node.steps} steps", "a Delay takes one step or more")
    return node.steps


def largest(values: NDArray[Any]) -> int:
    """Largest |value| of an integer array, 0 if it is empty."""
    if values.size == 0:
        return 0
    top = int(values.max())
    return top if values.dtype.kind in "bu" else max(top, -int(values.min()))


_ROW_SUMS: WeakKeyDictionary[Node, tuple[int, int]] = WeakKeyDictionary()
"""By node (nodes never change): largest Σ|w| of an output, largest |b|."""


def _row_sums(node: Weighted) -> tuple[int, int]:
    known = _ROW_SUMS.get(node)
    if known is None:
        bias = 0 if node.bias is None else largest(np.asarray(node.bias).astype(np.int64))
        known = _ROW_SUMS[node] = (_largest_row(node), bias)
    return known


def _largest_row(node: Weighted) -> int:
    if isinstance(node, Sparse):
        ends = np.cumsum(np.abs(node.weight.astype(np.int64)), dtype=np.uint64)
        before = np.concatenate([np.zeros(1, np.uint64), ends])[node.indptr]
        return int(np.diff(before).max())
    rows = node.weight.reshape(len(node.weight), -1)
    # Not all at once: int64 takes eight times the memory of weights in one byte.
    count = max(1, ROW_ELEMENTS // rows.shape[1])
    parts = (rows[i : i + count].astype(np.int64) for i in range(0, len(rows), count))
    return max(largest(np.abs(part).sum(1)) for part in parts)


def row_bound(node: Weighted, x: int) -> int:
    """Largest |Σ w·x + b| of a synapse before its exponent, and of any part of that sum."""
    rows, bias = _row_sums(node)
    return rows * x + bias


def synapse_bound(node: Weighted, x: int) -> int:
    """Largest |value| of a synapse's output for inputs up to `x`."""
    total = row_bound(node, x)
    return total << node.exp if node.exp >= 0 else -(-total >> -node.exp)


def state_bound(node: IntNeuron) -> int:
    """Largest |v| that a neuron can hold after any step."""
    biggest = max(
        largest(np.asarray(getattr(node, p)).astype(np.int64)) for p in ("v_sub", "v_init")
    )
    return (1 << (node.state_bits - 1)) + biggest
