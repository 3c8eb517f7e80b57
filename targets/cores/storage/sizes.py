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
from snnc.targets.cores.storage.kernels import Taps, box_of, taps_met, written_out

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ends:
    """The axons of a synapse group that end on a slice, in the order of their neurons.

    Attributes:
        source: int64 (axon,) neuron of the source population, flattened, where it starts.
        operations: int64 (axon,) synapses in its list, 1 or more.
        words: int64 (axon,) words of that list.
        entries: int64 (axon,) entries that it takes on either side.
    """

    source: A
    operations: A
    words: A
    entries: A


@dataclass(frozen=True)
class Totals:
    """What a synapse group takes on a slice: axons that end there, entries of all of them on
    either side, words of all lists."""

    axons: int
    entries: int
    stored: int


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


__all__ = ["Ends", "Totals", "ends", "fan_in", "sources", "totals"]
