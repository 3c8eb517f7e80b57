"""What the timing engine knows of senders before anything is sent.

Neurons of a sender whose axons lead to the same lists are one *kind*; a *stream* is one place in
the list of axons of a kind. All packets of a stream take the same way, at the same distance from
the beginning of their message, and mostly make the same work: what holds for a packet is looked
up once per stream. A dense layer is one kind; a convolution's slice has an inside and borders.
Senders with nearly as many kinds as neurons are *irregular*: their streams are their flows, and
their packets are put in order one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Cycles
from snnc.targets.cores.axons import HOST, Axons, Sender

A = NDArray[Any]

FEW = 8
"""Least neurons per kind, on average, of a sender that isn't irregular."""


@dataclass(frozen=True, eq=False)
class Flows:
    """Packets from a sender to a core by one synapse group; ordered by target, sender, group.

    Attributes:
        sender, target, group: int64 (flow,); the sender is a core or HOST.
    """

    sender: A
    target: A
    group: A

    def __len__(self) -> int:
        return len(self.sender)


@dataclass(frozen=True, eq=False)
class Neurons:
    """Neurons of all senders that have axons at all, sender by sender.

    The senders whose neurons are all of one kind come first: sender i of these has kind i. The
    irregular ones come last.

    Attributes:
        senders: (sender,) numbers of cores, HOST.
        uniform: how many senders have only one kind.
        regular: how many aren't irregular.
        sizes, first: int64 (sender,) number of its neurons, index of its first one.
        ready: int64 (neuron,) cycle at which its message is in the output queue. 0 where it has no
            axons: such a message is never waited for.
        busy: int64 (neuron,) cycles that its message takes in the output unit.
        pace: int64 (neuron,) cycles that each of its packets takes there.
        kind: int64 (neuron,), 0 in irregular senders.
        kinds: how many there are.
        axon: int64 (neuron,) index of its first axon.
        axons: int64 (neuron,) number of its axons.
        operations, words: int64 (axon,).
        flow: int64 (axon,) of the irregular senders' axons, else 0.
    """

    senders: tuple[int, ...]
    uniform: int
    regular: int
    sizes: A
    first: A
    ready: A
    busy: A
    pace: A
    kind: A
    kinds: int
    axon: A
    axons: A
    operations: A
    words: A
    flow: A


@dataclass(frozen=True, eq=False)
class Streams:
    """One place in the axons of one kind, or a flow; all arrays int64 (stream,), save `varied`.

    Attributes:
        kind, place: the place counts from 0; -1 for the flow of an irregular sender.
        offset: cycles from the beginning of a message until the packet enters the router; 0 for
            the flow of an irregular sender.
        flow: what it is part of.
        operations, words: of a packet, if they don't vary.
        varied: bool, whether they vary.
    """

    kind: A
    place: A
    offset: A
    flow: A
    operations: A
    words: A
    varied: A

    def __len__(self) -> int:
        return len(self.kind)

    def reordered(self, order: A) -> Streams:
        """The same streams in another order."""
        return Streams(*(getattr(self, name)[order] for name in self.__dataclass_fields__))


def read_senders(axons: Axons, cycles: Cycles) -> tuple[Neurons, Streams, Flows]:
    """The tables of all senders."""
    listed = [(i, sender) for i, sender in enumerate(axons.cores)] + [(HOST, axons.host)]
    found = [(i, sender, _kinds(sender)) for i, sender in listed if len(sender.target)]
    found.sort(key=lambda item: (item[2].min() < 0, item[2].max() > 0))
    numbers = tuple(i for i, _, _ in found)
    senders, kinds = [sender for _, sender, _ in found], [kind for _, _, kind in found]
    counts = np.array([int(kind.max()) + 1 for kind in kinds], np.int64)
    sizes = np.array([sender.size for sender in senders], np.int64)
    pace = [cycles.host_out if i == HOST else cycles.axon_out for i in numbers]
    paces = np.repeat(np.array(pace, np.int64), sizes)
    axon_counts = _joined([np.diff(sender.indptr) for sender in senders])
    ends = _joined([np.cumsum(sender.compartments) * cycles.update for sender in senders])
    owner = np.repeat(np.repeat(np.array(numbers, np.int64), sizes), axon_counts)
    flow, flows = _flows(
        _joined([sender.target for sender in senders]), owner,
        _joined([sender.group for sender in senders]),
    )  # fmt: skip
    kind = _joined(kinds)
    neurons = Neurons(
        senders=numbers,
        uniform=int(np.count_nonzero(counts == 1)),
        regular=int(np.count_nonzero(counts > 0)),
        sizes=sizes,
        first=_starts(sizes),
        ready=np.where(axon_counts > 0, ends, 0),
        busy=axon_counts * paces,
        pace=paces,
        kind=np.where(kind < 0, 0, kind + np.repeat(_starts(counts), sizes)),
        kinds=int(counts.sum()),
        axon=_starts(axon_counts),
        axons=axon_counts,
        operations=_joined([sender.operations for sender in senders]),
        words=_joined([sender.words for sender in senders]),
        flow=np.where(np.repeat(kind < 0, axon_counts), flow, 0),
    )
    return neurons, _streams(neurons, kind >= 0, flow), flows


def _joined(parts: Sequence[A]) -> A:
    return np.concatenate([np.zeros(0, np.int64), *(part.astype(np.int64) for part in parts)])


def _starts(counts: A) -> A:
    return np.cumsum(counts) - counts


def _kinds(sender: Sender) -> A:
    """(neuron,) numbers 0, 1, … of kinds, -1 if it is irregular."""
    where = _numbered(sender.target.astype(np.int64), sender.group.astype(np.int64))
    what = _numbered(sender.operations.astype(np.int64), sender.words.astype(np.int64))
    for code in (_numbered(where, what), where):
        kind = _by_axons(sender, code)
        if not kind.any() or (int(kind.max()) + 1) * FEW <= sender.size:
            return kind
    return np.full(sender.size, -1)


def _by_axons(sender: Sender, code: A) -> A:
    """(neuron,) numbers, the same for two neurons where all axons have the same codes."""
    lengths = np.diff(sender.indptr)
    kind = lengths.astype(np.int64)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        new = _numbered(kind[there], code[sender.indptr[there] + place])
        kind[there] = new + int(kind.max()) + 1
    return np.unique(kind, return_inverse=True)[1].reshape(-1)


def _numbered(a: A, b: A) -> A:
    """Numbers 0, 1, … of the different pairs."""
    pairs = a * (int(b.max(initial=0)) + 1) + b
    return np.unique(pairs, return_inverse=True)[1].reshape(-1)


def _flows(target: A, sender: A, group: A) -> tuple[A, Flows]:
    """(axon,) each axon's flow, and the flows."""
    senders, groups = int(sender.max(initial=0)) + 2, int(group.max(initial=0)) + 1
    code = (target * senders + sender + 1) * groups + group
    table, flow = np.unique(code, return_inverse=True)
    pair = table // groups
    return flow.reshape(-1), Flows(pair % senders - 1, pair // senders, table % groups)


def _streams(neurons: Neurons, regular: A, flow: A) -> Streams:
    """The streams; `regular` says of which neurons a kind is known."""
    model = np.zeros(neurons.kinds, np.int64)
    known = np.flatnonzero(regular)[::-1]
    model[neurons.kind[known]] = known
    lengths = neurons.axons[model]
    kind = np.repeat(np.arange(neurons.kinds), lengths)
    place = np.arange(len(kind)) - np.repeat(_starts(lengths), lengths)
    axon = neurons.axon[model[kind]] + place
    more = np.unique(flow[np.repeat(~regular, neurons.axons)])
    none, nothing = np.full(len(more), -1), np.zeros(len(more), np.int64)
    return Streams(
        kind=np.append(kind, none),
        place=np.append(place, none),
        offset=np.append((place + 1) * neurons.pace[model[kind]], nothing),
        flow=np.append(flow[axon], more),
        operations=np.append(neurons.operations[axon], nothing),
        words=np.append(neurons.words[axon], nothing),
        varied=np.append(_varied(neurons, regular, _starts(lengths), axon), none < 0),
    )


def _varied(neurons: Neurons, regular: A, first: A, model: A) -> A:
    """(stream of a kind,) whether its axons differ in their work from that of the model."""
    there = np.flatnonzero(np.repeat(regular, neurons.axons))
    begin = (first[neurons.kind[regular]] - neurons.axon[regular]).astype(np.int64)
    stream = np.repeat(begin, neurons.axons[regular]) + there
    like = model[stream]
    other = neurons.operations[there] != neurons.operations[like]
    other |= neurons.words[there] != neurons.words[like]
    found = np.zeros(len(model), bool)
    found[stream[other]] = True
    return found


__all__ = ["Flows", "Neurons", "Streams", "read_senders"]
