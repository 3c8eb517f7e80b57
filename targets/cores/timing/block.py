"""The timing engine's work on a block of episodes: messages, packets, ports, input units.

All numbers here are *moments* (see `queues`): a packet's is episode · 2^t + cycle, to which a
stage adds its ports. Arrays over packets are cut to fit the processor's cache: there, sorting takes
5 ns a packet, a maximum over what lies before 2.5, a gather 1, all else a fraction of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Cycles
from snnc.targets.cores.timing.queues import begins, finishes, grouped, in_order, last_finishes
from snnc.targets.cores.timing.streams import Neurons, Streams

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class StreamStage:
    """A stage of the routes, stream by stream.

    Attributes:
        runs: streams that take part, as ranges [first, last).
        streams: int64, the same ones by index.
        port, side: int64, of each of them.
        delay: int64, cycles since the previous stage, or since the message began.
        ports: number of ports.
    """

    runs: tuple[tuple[int, int], ...]
    streams: A
    port: A
    side: A
    delay: A
    ports: int


@dataclass(frozen=True, eq=False)
class Tables:
    """All that doesn't depend on what is sent.

    Attributes:
        neurons, streams: see there; streams from `varied` on vary, those from `irregular` on, which
            do so too, are flows of irregular senders.
        stream_of: int64 (flow,) which of the latter is an irregular sender's flow.
        stages: ports on the way; the last stage is that of the ports to the cores.
        cycles: of the architecture.
        side_bits: bits of a side.
        span: cycles that any output unit can take at most, plus one.
        delay: cycles that any packet can travel without waiting.
        by_flow: order of the streams by flow.
        flow_first: int64 (flow,) index into `by_flow` of a flow's first stream.
        target_first: int64 (used target,) first flow to it.
        targets: int64 (used target,) cores.
    """

    neurons: Neurons
    streams: Streams
    varied: int
    irregular: int
    stream_of: A
    stages: tuple[StreamStage, ...]
    cycles: Cycles
    side_bits: int
    span: int
    delay: int
    by_flow: A
    flow_first: A
    target_first: A
    targets: A

    def horizon(self, sent: int, packets: int) -> int:
        """A bound on cycles of packets where output units are done after at most `sent`, with
        `packets` packets in an episode."""
        return sent + self.delay + len(self.stages) * self.cycles.link * packets


@dataclass(frozen=True, eq=False)
class BlockTiming:
    """What a block's episodes came to; int64 (…, episode)."""

    send: A
    receive: A
    packets: A
    operations: A
    words: A
    longest_wait: int


def time_block(tables: Tables, sent: Sequence[A]) -> BlockTiming:
    """Times of a block: `send` by sender as in `neurons`, `receive` by used target, the rest by
    flow; `longest_wait` is -1 where there were no packets.

    Args:
        sent: bool (episode, neuron), by sender.
    """
    return _Block(tables, sent).run()


class _Block:
    """A block on its way."""

    def __init__(self, tables: Tables, sent: Sequence[A]) -> None:
        self.tables, self.sent, self.episodes = tables, sent, len(sent[0])
        self.episode_bits = (self.episodes - 1).bit_length()

    def run(self) -> BlockTiming:
        """All times and counts."""
        tables = self.tables
        neuron, moment, counts, send = self._messages()
        packets = min(int(tables.neurons.axons[neuron].sum()), len(tables.neurons.operations))
        self.time_bits = tables.horizon(int(send.max(initial=0)), packets).bit_length()
        episode = np.tile(np.arange(self.episodes) << self.time_bits, len(counts))
        moment += np.repeat(episode, counts.reshape(-1))
        regular = int(counts[: tables.neurons.regular].sum())
        parts = [
            self._regular(neuron[:regular], moment[:regular], counts[: tables.neurons.regular]),
            self._irregular(neuron[regular:], moment[regular:]),
        ]
        moment, axon, counts = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        self.first = np.concatenate([[0], np.cumsum(counts.sum(1))])
        operations, words, work = self._work(axon, counts)
        flows = self._by_flow(counts)
        waits = self._stages(moment)
        received = np.add.reduceat(flows, tables.target_first, axis=0)
        receive, wait = self._receive(moment, work, received)
        longest = max(waits, wait) if packets else -1
        return BlockTiming(send, receive, flows, operations, words, longest)

    def _messages(self) -> tuple[A, A, A, A]:
        """Of each message, in the order of senders, episodes and neurons: the neuron and the cycle
        at which the output unit begins with it; messages of each sender and episode; when the
        output unit was done."""
        neurons, span = self.tables.neurons, self.tables.span
        at = _set([part.reshape(-1) for part in self.sent])
        episode = np.arange(self.episodes)
        rows = neurons.first[:, None] * self.episodes + neurons.sizes[:, None] * episode
        edges = np.append(np.searchsorted(at, rows.reshape(-1)), len(at))
        counts = np.diff(edges)
        neuron = at - np.repeat((rows - neurons.first[:, None]).reshape(-1), counts)
        unit = np.arange(len(counts)) * span
        units = np.repeat(unit, counts)
        busy = neurons.busy[neuron]
        done = finishes(neurons.ready[neuron] + units, busy)
        send = np.zeros(len(counts), np.int64)
        some = counts > 0
        send[some] = done[edges[1:][some] - 1] - unit[some]
        done -= busy
        done -= units
        return neuron, done, counts.reshape(-1, self.episodes), send.reshape(-1, self.episodes)

    def _regular(self, neuron: A, begin: A, counts: A) -> tuple[A, A, A]:
        """Packets of messages of regular senders, stream by stream: the moment at which the
        message began, and the axon if the stream varies; counts by stream and episode."""
        tables, streams = self.tables, self.tables.streams
        neuron, begin, counts = self._by_kind(neuron, begin, counts)
        kind = streams.kind[: tables.irregular]
        totals = counts.sum(1)
        lengths, start = totals[kind], (np.cumsum(totals) - totals)[kind]
        first = np.cumsum(lengths) - lengths
        message = np.repeat(start - first, lengths)
        message += np.arange(len(message))
        varied = int(lengths[: tables.varied].sum())
        axon = tables.neurons.axon[neuron[message[varied:]]]
        axon += np.repeat(streams.place[tables.varied : tables.irregular], lengths[tables.varied :])
        return begin[message], axon, counts[kind]

    def _by_kind(self, neuron: A, begin: A, counts: A) -> tuple[A, A, A]:
        """Messages in the order of kinds, episodes and neurons; messages of each kind and
        episode."""
        neurons, episodes = self.tables.neurons, self.episodes
        plain, mixed = counts[: neurons.uniform], counts[neurons.uniform :]
        if not len(mixed):
            return neuron, begin, plain
        start = int(plain.sum())
        kind = neurons.kind[neuron[start:]] - neurons.uniform
        row = kind * episodes
        row += np.repeat(np.tile(np.arange(episodes), len(mixed)), mixed.reshape(-1))
        kinds = neurons.kinds - neurons.uniform
        more = np.bincount(row, minlength=kinds * episodes).reshape(kinds, episodes)
        order = grouped(kind)
        neuron[start:], begin[start:] = neuron[start:][order], begin[start:][order]
        return neuron, begin, np.concatenate([plain, more])

    def _irregular(self, neuron: A, begin: A) -> tuple[A, A, A]:
        """As `_regular`, of irregular senders; the moments are those of entry into the router."""
        tables, neurons, episodes = self.tables, self.tables.neurons, self.episodes
        rows = len(tables.streams) - tables.irregular
        if not rows:
            return begin, neuron, np.zeros((0, episodes), np.int64)
        lengths, pace = neurons.axons[neuron], neurons.pace[neuron]
        first = np.cumsum(lengths) - lengths
        packet = np.arange(int(lengths.sum()))
        axon = np.repeat(neurons.axon[neuron] - first, lengths) + packet
        moment = np.repeat(begin + (1 - first) * pace, lengths)
        moment += packet * np.repeat(pace, lengths)
        stream = tables.stream_of[neurons.flow[axon]]
        row = stream * episodes + np.repeat(begin >> self.time_bits, lengths)
        counts = np.bincount(row, minlength=rows * episodes).reshape(rows, episodes)
        order = grouped(stream)
        return moment[order], axon[order], counts

    def _by_flow(self, counts: A) -> A:
        """(flow, episode) sums of (stream, episode) counts."""
        return np.add.reduceat(counts[self.tables.by_flow], self.tables.flow_first, axis=0)

    def _work(self, axon: A, counts: A) -> tuple[A, A, A]:
        """(flow, episode) operations and words, and (packet,) cycles in the input unit.

        Args:
            axon: of the packets whose streams vary, which are the last.
        """
        tables, streams, neurons = self.tables, self.tables.streams, self.tables.neurons
        work = np.repeat(self._cycles(streams.operations, streams.words), np.diff(self.first))
        totals = []
        parts = counts[tables.varied :]
        edges = np.concatenate([[0], np.cumsum(parts)])
        loads = neurons.operations[axon], neurons.words[axon]
        for each, load in zip((streams.operations, streams.words), loads, strict=True):
            made = counts * each[:, None]
            upto = np.concatenate([[0], np.cumsum(load)])
            made[tables.varied :] = np.diff(upto[edges]).reshape(parts.shape)
            totals.append(self._by_flow(made))
        work[len(work) - len(axon) :] = self._cycles(*loads)
        return totals[0], totals[1], work

    def _cycles(self, operations: A, words: A) -> A:
        cycles = self.tables.cycles
        return cycles.axon_in + words * cycles.word + operations * cycles.synapse

    def _stages(self, moment: A) -> int:
        """Takes packets through all stages but the last: from when their messages began to when
        their last port began with them. Returns the longest wait."""
        longest = 0
        for stage in self.tables.stages[:-1]:
            parts = [slice(self.first[a], self.first[b]) for a, b in stage.runs]
            index = np.concatenate([np.arange(part.start, part.stop) for part in parts])
            at, side = self._arrivals(np.concatenate([moment[part] for part in parts]), stage)
            at, index = in_order(at, side, index, self.tables.side_bits, len(moment).bit_length())
            begin = begins(at, self.tables.cycles.link)
            longest = max(longest, int((begin - at).max(initial=0)))
            begin &= (1 << (self.episode_bits + self.time_bits)) - 1
            moment[index] = begin
        return longest

    def _arrivals(self, at: A, stage: StreamStage) -> tuple[A, A]:
        """Moments at the ports of a stage, and the sides from which the packets come."""
        lengths = np.diff(self.first)[stage.streams]
        at += np.repeat((stage.port << (self.episode_bits + self.time_bits)) + stage.delay, lengths)
        return at, np.repeat(stage.side, lengths)

    def _receive(self, moment: A, work: A, received: A) -> tuple[A, int]:
        """(used target, episode) when input units were done, and the longest wait at their
        ports."""
        tables = self.tables
        at, side = self._arrivals(moment, tables.stages[-1])
        bits = int(work.max(initial=0)).bit_length()
        at, work = in_order(at, side, work, tables.side_bits, bits)
        begin = begins(at, tables.cycles.link)
        wait = int((begin - at).max(initial=0))
        counts = received.reshape(-1)
        some = counts > 0
        first = (np.cumsum(counts) - counts)[some]
        receive = np.zeros(len(counts), np.int64)
        if len(first):
            begin += tables.cycles.local
            base = at[first] >> self.time_bits << self.time_bits
            receive[some] = last_finishes(begin, work, first) - base
        return receive.reshape(received.shape), wait


def _set(parts: Sequence[A]) -> A:
    """Indices of what is set in all parts (bool), one behind the other.

    Where more than a tenth is set, numpy looks at all of them without a branch, which takes half
    the time that it takes with one from a thirtieth on: so some more are set behind the end.
    """
    count, size = sum(map(np.count_nonzero, parts)), sum(map(len, parts))
    more = size // 8 if count * 30 > size else 0
    return np.flatnonzero(np.concatenate([*parts, np.ones(more, bool)]))[:count]


__all__ = ["BlockTiming", "StreamStage", "Tables", "time_block"]
