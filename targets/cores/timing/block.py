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
from snnc.targets.cores.timing.queues import (
    begins,
    finishes,
    fits,
    grouped,
    in_order,
    last_finishes,
    sorted_keys,
)
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
        work: int64 (stream,) cycles of a packet in the input unit, 0 if they vary.
        work_bits: bits of these, of those that vary, too.
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
    work: A
    work_bits: int
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


@dataclass(frozen=True, eq=False)
class _Messages:
    """Messages of some senders, in the order of senders, episodes and neurons.

    Attributes:
        neuron, begin: int64 (message,) who sends it; the moment at which the output unit begins
            with it.
        counts: int64 (sender, episode).
    """

    neuron: A
    begin: A
    counts: A

    def split(self, senders: int) -> tuple[_Messages, _Messages]:
        """Those of the first senders, and of the others."""
        at = int(self.counts[:senders].sum())
        return (
            _Messages(self.neuron[:at], self.begin[:at], self.counts[:senders]),
            _Messages(self.neuron[at:], self.begin[at:], self.counts[senders:]),
        )


class _Block:
    """A block on its way."""

    def __init__(self, tables: Tables, sent: Sequence[A]) -> None:
        self.tables, self.sent, self.episodes = tables, sent, len(sent[0])
        self.episode_bits = (self.episodes - 1).bit_length()

    def run(self) -> BlockTiming:
        """All times and counts."""
        tables = self.tables
        messages, send = self._messages()
        regular, irregular = messages.split(tables.neurons.regular)
        moment, axon, counts = self._regular(regular)
        if len(irregular.neuron):
            parts = (moment, axon, counts), self._irregular(irregular)
            moment, axon, counts = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        else:
            counts = np.pad(counts, [(0, len(tables.streams) - len(counts)), (0, 0)])
        self.lengths = counts.sum(1)
        self.first = np.concatenate([[0], np.cumsum(self.lengths)])
        operations, words, work = self._work(axon, counts)
        flows = self._by_flow(counts)
        waits = self._stages(moment)
        received = np.add.reduceat(flows, tables.target_first, axis=0)
        receive, wait = self._receive(moment, work, received)
        longest = max(waits, wait) if len(moment) else -1
        return BlockTiming(send, receive, flows, operations, words, longest)

    def _messages(self) -> tuple[_Messages, A]:
        """All messages, and (sender, episode) when the output unit was done."""
        neurons, span, episodes = self.tables.neurons, self.tables.span, self.episodes
        at = _set([part.reshape(-1) for part in self.sent])
        episode = np.arange(episodes)
        rows = neurons.first[:, None] * episodes + neurons.sizes[:, None] * episode
        edges = np.append(np.searchsorted(at, rows.reshape(-1)), len(at))
        counts = np.diff(edges)
        cell = np.repeat(np.arange(len(counts)), counts)
        neuron = at - (rows - neurons.first[:, None]).reshape(-1).take(cell)
        unit = np.arange(len(counts)) * span
        busy = neurons.busy.take(neuron)
        ready = neurons.ready.take(neuron)
        ready += unit.take(cell)
        done = finishes(ready, busy)
        send = np.zeros(len(counts), np.int64)
        some = counts > 0
        send[some] = done[edges[1:][some] - 1] - unit[some]
        packets = min(int(neurons.axons.take(neuron).sum()), len(neurons.operations))
        self.time_bits = self.tables.horizon(int(send.max(initial=0)), packets).bit_length()
        done -= busy
        done += (np.tile(episode << self.time_bits, len(rows)) - unit).take(cell)
        found = _Messages(neuron, done, counts.reshape(-1, episodes))
        return found, send.reshape(-1, episodes)

    def _regular(self, messages: _Messages) -> tuple[A, A, A]:
        """Packets of messages of regular senders, stream by stream: the moment at which the
        message began, and the axon if the stream varies; counts by stream and episode."""
        tables, streams = self.tables, self.tables.streams
        neuron, begin, counts = self._by_kind(messages)
        kind = streams.kind[: tables.irregular]
        totals = counts.sum(1)
        lengths, start = totals[kind], (np.cumsum(totals) - totals)[kind]
        first = np.cumsum(lengths) - lengths
        message = np.repeat(start - first, lengths)
        message += np.arange(len(message))
        varied = int(lengths[: tables.varied].sum())
        axon = tables.neurons.axon.take(neuron.take(message[varied:]))
        axon += np.repeat(streams.place[tables.varied : tables.irregular], lengths[tables.varied :])
        return begin.take(message), axon, counts[kind]

    def _by_kind(self, messages: _Messages) -> tuple[A, A, A]:
        """Neurons and moments in the order of kinds, episodes and neurons; messages of each kind
        and episode."""
        neurons, episodes = self.tables.neurons, self.episodes
        plain, mixed = messages.split(neurons.uniform)
        if not len(mixed.counts):
            return plain.neuron, plain.begin, plain.counts
        kind = neurons.kind.take(mixed.neuron)
        kind -= neurons.uniform
        kinds = neurons.kinds - neurons.uniform
        row = kind * episodes
        row += mixed.begin >> self.time_bits
        more = np.bincount(row, minlength=kinds * episodes).reshape(kinds, episodes)
        order = grouped(kind)
        return (
            np.concatenate([plain.neuron, mixed.neuron.take(order)]),
            np.concatenate([plain.begin, mixed.begin.take(order)]),
            np.concatenate([plain.counts, more]),
        )

    def _irregular(self, messages: _Messages) -> tuple[A, A, A]:
        """As `_regular`, of irregular senders; the moments are those of entry into the router."""
        tables, neurons, episodes = self.tables, self.tables.neurons, self.episodes
        neuron, begin = messages.neuron, messages.begin
        rows = len(tables.streams) - tables.irregular
        lengths, pace = neurons.axons.take(neuron), neurons.pace.take(neuron)
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
        """(flow, episode) operations and words, and cycles in the input unit of the last packets.

        Args:
            axon: of the packets whose streams vary, which are the last.
        """
        tables, streams, neurons = self.tables, self.tables.streams, self.tables.neurons
        totals = []
        parts = counts[tables.varied :]
        edges = np.concatenate([[0], np.cumsum(parts)])
        loads = neurons.operations.take(axon), neurons.words.take(axon)
        for each, load in zip((streams.operations, streams.words), loads, strict=True):
            made = counts * each[:, None]
            upto = np.concatenate([[0], np.cumsum(load)])
            made[tables.varied :] = np.diff(upto[edges]).reshape(parts.shape)
            totals.append(self._by_flow(made))
        return totals[0], totals[1], tables.cycles.of_list(*loads)

    def _stages(self, moment: A) -> int:
        """Takes packets through all stages but the last: from when their messages began to when
        their last port began with them. Returns the longest wait."""
        longest, none = 0, np.zeros(1, np.int64)
        for stage in self.tables.stages[:-1]:
            parts = [slice(self.first[a], self.first[b]) for a, b in stage.runs]
            index = np.concatenate([np.arange(part.start, part.stop) for part in parts])
            at = np.concatenate([moment[part] for part in parts])
            at, index = self._queued(at, stage, none, index, len(moment).bit_length())
            begin = begins(at, self.tables.cycles.link)
            longest = max(longest, int((begin - at).max(initial=0)))
            begin &= (1 << (self.episode_bits + self.time_bits)) - 1
            moment[index] = begin
        return longest

    def _queued(
        self, moment: A, stage: StreamStage, loads: A, more: A, load_bits: int
    ) -> tuple[A, A]:
        """Packets in the order in which the ports of a stage take them: their moments there, and
        their loads of `load_bits` bits.

        Args:
            moment: of the stage's packets, stream by stream.
            loads: int64 (stream of the stage,), and `more` of the last packets on top.
        """
        lengths, side_bits = self.lengths[stage.streams], self.tables.side_bits
        bits = self.episode_bits + self.time_bits
        ports = (stage.port << bits) + stage.delay
        last = slice(len(moment) - len(more), None)
        if not fits(stage.ports, bits + side_bits + load_bits):
            load = np.repeat(np.broadcast_to(loads, len(lengths)), lengths)
            load[last] += more
            return in_order(
                moment + np.repeat(ports, lengths), np.repeat(stage.side, lengths), load
            )
        key = moment << (side_bits + load_bits)
        key += np.repeat((((ports << side_bits) + stage.side) << load_bits) + loads, lengths)
        key[last] += more
        return sorted_keys(key, side_bits, load_bits)

    def _receive(self, moment: A, work: A, received: A) -> tuple[A, int]:
        """(used target, episode) when input units were done, and the longest wait at their
        ports.

        Args:
            work: cycles in the input unit of the last packets, whose streams vary.
        """
        tables = self.tables
        at, work = self._queued(moment, tables.stages[-1], tables.work, work, tables.work_bits)
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

    numpy looks at them without a branch only where more than a tenth is set, but that takes half
    the time from a thirtieth on: so some more are set behind the end.
    """
    count, size = sum(map(np.count_nonzero, parts)), sum(map(len, parts))
    more = size // 8 if count * 30 > size else 0
    return np.flatnonzero(np.concatenate([*parts, np.ones(more, bool)]))[:count]


__all__ = ["BlockTiming", "StreamStage", "Tables", "time_block"]
