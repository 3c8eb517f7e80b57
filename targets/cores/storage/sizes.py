"""How many words of synaptic memory a synapse group takes on a slice (docs/mapping.md).

Most of a group's axons are alike: all of a dense matrix, those of a convolution with the same taps
along each axis. So sizes are found for the different *kinds* of axons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import SynapseFormat
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Conv, Dense, Sparse, Synapse
from snnc.targets.cores.storage.formats import Place, Shapes, fewest_words, width
from snnc.targets.cores.storage.kernels import Taps, box_of, boxes_met, taps_met, written_out

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ends:
    """The axons of a synapse group that end on a slice, in the order of their neurons.

    Attributes:
        source: int64 (axon,) neuron of the source population, flattened, where it starts.
        operations: int64 (axon,) synapses in its list, 1 or more.
        words: int64 (axon,) words of that list.
        entries: int64 (axon,) entries that it takes where it ends.
    """

    source: A
    operations: A
    words: A
    entries: A


@dataclass(frozen=True)
class Totals:
    """What a synapse group takes on a slice: axons that end there, entries that they take there,
    words of all lists."""

    axons: int
    entries: int
    stored: int


@dataclass(frozen=True, eq=False)
class Starts:
    """What the axons of a synapse group take where they start.

    Attributes:
        alone: int64 (source neuron,) entries that its axons take, each by itself.
        together: int64 (source neuron,) entries that its axons take together with those of the
            channels of their group that follow one another on a core, at the same position.
        leads: bool (source neuron,) whether it is of a group's first channel.
        plane: neurons from one channel to the next.
    """

    alone: A
    together: A
    leads: A
    plane: int

    @property
    def least(self) -> A:
        """int64 (source neuron,): entries that it takes wherever the others lie."""
        return self.alone + self.together * self.leads

    @property
    def most(self) -> A:
        """int64 (source neuron,): entries that it takes if it lies alone."""
        return self.alone + self.together

    def on(self, owner: A) -> A:
        """int64 (source neuron,): entries that it adds to its core, number `owner`[neuron]."""
        heads = self.leads.copy()
        heads[self.plane :] |= owner[self.plane :] != owner[: -self.plane]
        return self.alone + self.together * heads


def ends(group: Synapse, shape: Sequence[int], part: Slice, layout: SynapseFormat) -> Ends:
    """The axons of `group` that end on `part`, a slice of its target population, whose shape is
    `shape`, in time and memory that grow with their number only.

    Raises:
        RefusedError: weights or a delay wider than `layout` can store.
    """
    kinds = _kinds(group, shape, part, layout)
    source, kind = kinds.place()
    return Ends(source, kinds.synapses[kind], kinds.words[kind], kinds.entries[kind])


def totals(group: Synapse, shape: Sequence[int], part: Slice, layout: SynapseFormat) -> Totals:
    """The sums over the same; for a kernel or a dense matrix, without going through its neurons.

    Raises:
        RefusedError: weights or a delay wider than `layout` can store.
    """
    kinds = _kinds(group, shape, part, layout)
    return Totals(int(kinds.axons.sum()), int(kinds.entries @ kinds.axons), kinds.stored)


def starts(
    group: Synapse, shape: Sequence[int], parts: Sequence[Slice], layout: SynapseFormat
) -> Starts:
    """What the axons of `group` to a whole population, cut into `parts`, take where they start.

    Args:
        shape: of the target population. parts: boxes of a grid: all of them, one, or none.
    """
    if isinstance(group, Conv):
        return _kernel_starts(group, shape, parts, layout)
    met = len(parts) if isinstance(group, Dense) else _parts_met(group, shape, parts)
    count = sources(group)
    alone = np.broadcast_to(np.asarray(met * layout.axon_entries), count)
    return Starts(alone, np.zeros(count, np.int64), np.ones(count, bool), count)


def _kernel_starts(
    group: Conv, shape: Sequence[int], parts: Sequence[Slice], layout: SynapseFormat
) -> Starts:
    count, plane = sources(group), math.prod(group.in_shape[1:])
    shared, alone = np.zeros((2, count), np.int64)
    if tuple(shape) == group.out_shape:
        shared = boxes_met(group, parts)
    else:
        for part in parts:
            boxed = box_of(group, shape, part) is not None
            (shared if boxed else alone)[ends(group, shape, part, layout).source] += 1
    alone *= layout.axon_entries
    if layout.shared != "kernels":
        each = layout.shared_axon_entries if layout.shared == "patterns" else layout.axon_entries
        return Starts(alone + shared * each, np.zeros_like(shared), np.ones(count, bool), count)
    leads = np.arange(count) // plane % group.weight.shape[1] == 0
    return Starts(alone, shared * layout.shared_axon_entries, leads, plane)


def fan_in(group: Synapse, shape: Sequence[int], part: Slice) -> A:
    """int64 (neuron of the slice,): synapses of the group that each has."""
    if isinstance(group, Dense):
        return np.full(part.size, group.weight.shape[1], np.int64)
    index = part.index(shape)
    if isinstance(group, Sparse):
        return np.diff(group.indptr)[index].astype(np.int64)
    assert isinstance(group, Conv)
    taps = group.weight.shape[1] * taps_met(group).reshape(-1)
    return taps[index % len(taps)]


def sources(group: Synapse) -> int:
    """Number of neurons of a group's source."""
    match group:
        case Dense():
            return int(group.weight.shape[1])
        case Sparse():
            return group.matrix_shape[1]
    assert isinstance(group, Conv)
    return math.prod(group.in_shape)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """The different kinds of axons that a group has on a slice.

    Attributes:
        synapses, words, entries: int64 (kind,) of an axon.
        axons: int64 (kind,) how many there are.
        stored: words of all lists.
    """

    synapses: A
    words: A
    entries: A
    axons: A
    stored: int
    place: Place


def _kinds(group: Synapse, shape: Sequence[int], part: Slice, layout: SynapseFormat) -> _Kinds:
    bits = width(group, layout)
    box = box_of(group, shape, part) if isinstance(group, Conv) else None
    if box is None:
        return _listed(_pairs(group, shape, part), part.size, bits, layout.axon_entries, layout)
    assert isinstance(group, Conv)
    taps = Taps(group, box)
    if layout.shared == "kernels":
        return _whole(group, taps, bits, layout)
    shared = layout.shared == "patterns"
    shapes = Shapes(
        taps.synapses, taps.spread, taps.skips, taps.axons,
        taps.channels if shared else taps.axons, taps.place,
    )  # fmt: skip
    entries = layout.shared_axon_entries if shared else layout.axon_entries
    return _listed(shapes, part.size, bits, entries, layout)


def _whole(group: Conv, taps: Taps, bits: int, layout: SynapseFormat) -> _Kinds:
    """The kernel itself, tap by tap."""

    def words(outputs: A) -> A:
        return -(-outputs * bits // layout.word_bits)

    entries = np.where(taps.leads, layout.shared_axon_entries, 0)
    stored = int(words(taps.outputs_of_channel).sum()) * math.prod(group.weight.shape[2:])
    return _Kinds(
        taps.synapses, taps.valid * words(taps.outputs), entries, taps.axons, stored, taps.place
    )


def _listed(shapes: Shapes, size: int, bits: int, entries: int, layout: SynapseFormat) -> _Kinds:
    """Lists, each with a header."""
    words = fewest_words(shapes, size, bits, layout)
    return _Kinds(
        shapes.synapses, words, np.full_like(words, entries), shapes.axons,
        int(words @ shapes.copies), shapes.place,
    )  # fmt: skip


def _pairs(group: Synapse, shape: Sequence[int], part: Slice) -> Shapes:
    match group:
        case Dense():
            return _full(group, part.size)
        case Sparse():
            return _one_by_one(*_rows(group, part.index(shape)), part.size)
    assert isinstance(group, Conv)
    return _one_by_one(*written_out(group, part.index(shape)), part.size)


def _full(group: Dense, size: int) -> Shapes:
    every, count = np.asarray([size]), np.asarray([sources(group)])
    return Shapes(
        every, every, lambda _: np.zeros(1, np.int64), count, count,
        lambda: (np.arange(count[0]), np.zeros(count[0], np.int64)),
    )  # fmt: skip


def _rows(group: Sparse, rows: A) -> tuple[A, A]:
    """Source of every synapse of some rows, and which of these rows it is in."""
    counts = np.diff(group.indptr)[rows].astype(np.int64)
    at = np.repeat(group.indptr[rows] - np.cumsum(counts) + counts, counts)
    at += np.arange(len(at))
    return group.indices[at], np.repeat(np.arange(len(rows)), counts)


def _parts_met(group: Synapse, shape: Sequence[int], parts: Sequence[Slice]) -> A:
    """int64 (source neuron,): parts that it has synapses to."""
    assert isinstance(group, Sparse)
    owner = np.full(len(group.indptr) - 1, len(parts), np.int64)
    for number, part in enumerate(parts):
        owner[part.index(shape)] = number
    row = np.repeat(owner, np.diff(group.indptr))
    pairs = np.unique(group.indices.astype(np.int64) * (len(parts) + 1) + row)
    pairs = pairs[pairs % (len(parts) + 1) < len(parts)]
    return np.bincount(pairs // (len(parts) + 1), minlength=sources(group))


def _one_by_one(source: A, target: A, size: int) -> Shapes:
    """Synapses one by one, from a neuron to one of the `size` neurons of the slice."""
    source, target = np.divmod(np.sort(source.astype(np.int64) * size + target), size)
    first = np.flatnonzero(np.diff(source, prepend=-1))
    count = np.diff(first, append=len(source))
    ahead = np.diff(target, prepend=0)
    ahead[first] = 1
    again = np.add.reduceat(ahead == 0, first, dtype=np.int64)
    gaps = np.maximum(ahead - 1, 0)
    once = np.ones(len(first), np.int64)
    return Shapes(
        count, target[first + count - 1] - target[first] + 1 + again,
        lambda bits: np.add.reduceat(gaps >> bits, first), once, once,
        lambda: (source[first], np.arange(len(first))),
    )  # fmt: skip


__all__ = ["Ends", "Starts", "Totals", "ends", "fan_in", "sources", "starts", "totals"]
