"""The timing engine: what docs/machine.md defines, in numpy, for whole batches of steps at once.

A step's spikes are known when it begins, and it begins with empty queues: so every step of every
sample is an *episode* of its own. Neither neurons nor packets are looped over; what takes turns is
ports that lie behind one another (`routes`), and blocks of episodes (`block`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.processors import processors
from snnc.targets.cores.architecture import Architecture, Cycles
from snnc.targets.cores.axons import HOST, Axons
from snnc.targets.cores.mapping import Mapping
from snnc.targets.cores.timing.block import BlockTiming, StreamStage, Tables, time_block
from snnc.targets.cores.timing.routes import Routes, Stage, find_routes
from snnc.targets.cores.timing.streams import Flows, Neurons, Streams, read_senders

A = NDArray[Any]

BLOCK_PACKETS = 1 << 16
"""Packets of a block, about: half a MB per array, some of which fit in an L2 cache of 2 MB."""
MOMENT_BITS = 61
"""Most bits of a moment (see `queues`), with room for sums."""
PROBES = 32
"""Episodes that are looked at to say how many make a block: any ones, as all that are so many apart
can be the same step of their samples."""
LEAST_PACKETS = 1 << 13
"""Packets that a block should have at least: with fewer, calls take more time than packets."""


@dataclass(frozen=True, eq=False)
class Timing:
    """What happened in every episode. All arrays are int64; times are cycles.

    Attributes:
        update: (episode, core): when the neuron unit was done.
        send: (episode, core): when the output unit was done, 0 if it sent nothing.
        receive: (episode, core): when the input unit was done, 0 if nothing came.
        host: (episode,): when the host was done, 0 if it sent nothing.
        cycles: (episode,): length of the step, barrier included.
        packets, operations, words: (episode, flow), as in `Timer.flows`: packets, synaptic
            operations and words read.
        longest_queue: most packets in a port's queue: a packet that joins at cycle a finds those
            in front of it with which the port begins at a or later, and counts itself; so at least
            1, and 0 where nothing was sent.
    """

    update: A
    send: A
    receive: A
    host: A
    cycles: A
    packets: A
    operations: A
    words: A
    longest_queue: int


class Timer:
    """Times steps of a mapped program.

    Args:
        axons: of all senders.
        mapping: which cores there are.
        architecture: the chip.

    Attributes:
        flows: pairs of sender and core that are linked by a synapse group, by (target, sender,
            group): the columns of counts.
        routes: their ways; `routes.hops` has each flow's links along x and y.

    Raises:
        RefusedError: a step could take more cycles than can be counted.
    """

    def __init__(self, axons: Axons, mapping: Mapping, architecture: Architecture) -> None:
        self.architecture, cycles = architecture, architecture.cycles
        total = _total(axons, architecture)
        self._check(total)
        self._senders = [*axons.cores, axons.host]
        neurons, streams, self.flows = read_senders(axons, cycles)
        self.routes: Routes = find_routes(self.flows, mapping, architecture)
        self._tables = _tables(neurons, streams, self.flows, self.routes, cycles)
        self._update = np.array(
            [int(core.compartments.sum()) * cycles.update for core in axons.cores], np.int64
        )
        used = mapping.chips(architecture)
        self._barrier = cycles.barrier_of(len(mapping.tiles()), len(used))
        self._most = self._most_episodes(total)

    def run(self, sent: Sequence[A]) -> Timing:
        """Times of episodes.

        Args:
            sent: bool (episode, neuron) by sender, cores by number and the host last: which
                neurons send a message.
        """
        assert [part.shape[1] for part in sent] == [one.size for one in self._senders]
        episodes, numbers = len(sent[0]), self._tables.neurons.senders
        result = self._empty(episodes)
        if not numbers:
            return self._finished(result)
        parts = [sent[number] for number in numbers]
        blocks = self._blocks(parts, episodes)

        def work(block: tuple[int, int]) -> int:
            found = time_block(self._tables, [part[slice(*block)] for part in parts])
            self._keep(result, slice(*block), found)
            return found.longest_wait

        with ThreadPoolExecutor(min(processors(), max(1, len(blocks)))) as pool:
            wait = max(pool.map(work, blocks), default=-1)
        longest = wait // self.architecture.cycles.link + 1 if wait >= 0 else 0
        return self._finished(replace(result, longest_queue=longest))

    def episodes(self, size: int) -> int:
        """How many episodes, at least one, take at most `size` bytes: inputs and results."""
        inputs = sum(sender.size for sender in self._senders)
        results = 8 * (3 * len(self._update) + 2 + 3 * len(self.flows))
        return max(1, size // (inputs + results))

    def crossings(self, packets: A) -> A:
        """(…, link) packets that cross each link of `routes.links`, from (…, flow) packets."""
        routes = self.routes
        if not len(routes.links):
            return np.zeros((*packets.shape[:-1], 0), np.int64)
        return np.add.reduceat(packets[..., routes.crossing], routes.crossing_first, axis=-1)

    def _empty(self, episodes: int) -> Timing:
        def zeros(*more: int) -> A:
            return np.zeros((episodes, *more), np.int64)

        cores, flows = len(self._update), len(self.flows)
        return Timing(
            update=np.broadcast_to(self._update, (episodes, cores)), send=zeros(cores),
            receive=zeros(cores), host=zeros(), cycles=zeros(), packets=zeros(flows),
            operations=zeros(flows), words=zeros(flows), longest_queue=0,
        )  # fmt: skip

    def _keep(self, result: Timing, block: slice, found: BlockTiming) -> None:
        for number, send in zip(self._tables.neurons.senders, found.send, strict=True):
            if number == HOST:
                result.host[block] = send
            else:
                result.send[block, number] = send
        result.receive[block, self._tables.targets] = found.receive.T
        result.packets[block] = found.packets.T
        result.operations[block] = found.operations.T
        result.words[block] = found.words.T

    def _finished(self, result: Timing) -> Timing:
        units = (result.update, result.send, result.receive)
        last = [unit.max(axis=1, initial=0) for unit in units]
        result.cycles[:] = np.maximum.reduce([*last, result.host]) + self._barrier
        return result

    def _most_episodes(self, total: int) -> int:
        """Episodes whose moments fit, even if every neuron sends; `total` as of `_total`."""
        tables, neurons = self._tables, self._tables.neurons
        horizon = tables.horizon(tables.span, len(neurons.operations))
        queues = max([len(neurons.senders), *(stage.ports for stage in tables.stages)])
        most = max(total, horizon << queues.bit_length())
        self._check(most)
        return 1 << MOMENT_BITS - most.bit_length()

    def _check(self, most: int) -> None:
        if most.bit_length() > MOMENT_BITS:
            raise RefusedError(
                self.architecture.chip,
                f"a step could take so many cycles that numbers up to {most:,} would be needed",
                "give its file a longer cycle (cycles.ns), and all other times in multiples of it",
            )

    def _blocks(self, parts: Sequence[A], episodes: int) -> list[tuple[int, int]]:
        """Ranges of episodes with about BLOCK_PACKETS packets each, and as many for each processor,
        as long as they have LEAST_PACKETS."""
        if not episodes:
            return []
        neurons, seen = self._tables.neurons, 0
        some = np.random.default_rng(0).integers(0, episodes, PROBES)
        for part, first, size in zip(parts, neurons.first, neurons.sizes, strict=True):
            seen += int((part[some] @ neurons.axons[first : first + size]).sum())
        packets = max(1, seen) / PROBES
        step = min(self._most, max(1, int(BLOCK_PACKETS / packets)))
        workers = min(processors(), max(1, int(packets * episodes / LEAST_PACKETS)))
        rounds = -(-episodes // (step * workers))
        step = -(-episodes // (rounds * workers))
        return list(pairwise([*range(0, episodes, step), episodes]))


def _total(axons: Axons, architecture: Architecture) -> int:
    """Cycles of all units together, and the longest way, if every neuron sends."""
    cycles, mesh = architecture.cycles, architecture.mesh
    total = mesh.extent[0] * cycles.hop_x + mesh.extent[1] * cycles.hop_y + cycles.local
    for sender in (*axons.cores, axons.host):
        each = cycles.axon_in + (cycles.host_out if sender is axons.host else cycles.axon_out)
        total += int(sender.compartments.sum()) * cycles.update + len(sender.target) * each
        total += int(sender.words.sum(dtype=np.int64)) * cycles.word
        total += int(sender.operations.sum(dtype=np.int64)) * cycles.synapse
    return total


def _tables(
    neurons: Neurons, streams: Streams, flows: Flows, routes: Routes, cycles: Cycles
) -> Tables:
    takes = np.zeros((len(routes.stages), len(flows)), bool)
    for row, stage in zip(takes, routes.stages, strict=True):
        row[stage.flows] = True
    order = np.lexsort([*takes[:, streams.flow], streams.varied, streams.kind < 0])
    streams = streams.reordered(order)
    by_flow = np.argsort(streams.flow, kind="stable")
    stages, offset = [], streams.offset.copy()
    work = np.where(streams.varied, 0, cycles.of_list(streams.operations, streams.words))
    most = int(cycles.of_list(neurons.operations, neurons.words).max(initial=0))
    for stage in routes.stages:
        stages.append(_stream_stage(stage, streams.flow, offset, len(flows)))
        offset[stages[-1].streams] = 0
    sums = np.add.reduceat(neurons.busy, neurons.first) if len(neurons.first) else np.zeros(1)
    irregular = int(np.count_nonzero(streams.kind >= 0))
    stream_of = np.zeros(len(flows), np.int64)
    stream_of[streams.flow[irregular:]] = np.arange(len(streams) - irregular)
    targets, target_first = np.unique(flows.target, return_index=True)
    return Tables(
        neurons=neurons, streams=streams, varied=int(np.count_nonzero(~streams.varied)),
        irregular=irregular, stream_of=stream_of, stages=tuple(stages), work=work,
        work_bits=most.bit_length(), cycles=cycles,
        side_bits=routes.side_bits, span=int(neurons.ready.max(initial=0)) + int(sums.max()) + 1,
        delay=sum(int(stage.delay.max(initial=0)) for stage in stages), by_flow=by_flow,
        flow_first=np.searchsorted(streams.flow[by_flow], np.arange(len(flows))),
        target_first=target_first, targets=targets,
    )  # fmt: skip


def _stream_stage(stage: Stage, flow: A, offset: A, flows: int) -> StreamStage:
    """A stage by stream; `offset` are the cycles that a stream still has to add."""
    at = np.full(flows, -1)
    at[stage.flows] = np.arange(len(stage.flows))
    streams = np.flatnonzero(at[flow] >= 0)
    rows = at[flow[streams]]
    edges = [*np.flatnonzero(np.diff(streams, prepend=-2) != 1).tolist(), len(streams)]
    runs = tuple((int(streams[a]), int(streams[b - 1]) + 1) for a, b in pairwise(edges))
    return StreamStage(
        runs, streams, stage.port[rows], stage.side[rows],
        stage.delay[rows] + offset[streams], stage.ports,
    )  # fmt: skip


__all__ = ["Timer", "Timing"]
