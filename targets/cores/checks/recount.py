"""The lists of a synapse group on all cores, counted from its synapses (docs/mapping.md).

A group is a set of pairs (target neuron, column), a column being all source neurons whose lists are
alike: one for a dense matrix, a position of each block of channels for a convolution. Sorted by
column and neuron, the lists lie one behind the other. Memory grows with neurons × taps of a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtefactError
from snnc.targets.cores.architecture import SynapseFormat
from snnc.targets.cores.program import Conv, Dense, Sparse, Synapse

A = NDArray[Any]
BLOCK = 1 << 20
"""Pairs that are sorted at once, more only for a single core."""


@dataclass(frozen=True, eq=False)
class Recount:
    """What a group stores.

    Attributes:
        core, column, operations, words: int64 (list,) of each list; one stands for those of all
            source neurons of the column. Of a shared kernel, words are those of its valid taps.
        stored: int64 (core,) words of all that is stored, what is shared once.
        shared: bool (core,) whether lists or the kernel are shared there.
    """

    core: A
    column: A
    operations: A
    words: A
    stored: A
    shared: A


def recount(group: Synapse, owner: A, cores: int, layout: SynapseFormat) -> Recount:
    """The lists of `group`, whose target neuron n lies on core `owner`[n] of `cores`.

    Raises:
        ArtefactError: weights or a delay wider than `layout` can store.
    """
    bits = _weight_bits(group, layout) + _delay_bits(group, layout)
    stored, shared, lists = np.zeros(cores, np.int64), np.zeros(cores, bool), []
    for neurons in _blocks(group, owner):
        block = owner[neurons].astype(np.int64)
        if isinstance(group, Conv) and layout.shared != "nothing":
            shared[block] = _in_boxes(group, neurons, block)
        runs = _runs(group, neurons, block)
        held = np.bincount(block, minlength=cores)
        counts = columns(group)[1] * _kept(group, runs, shared[runs.core])
        words, total = _best(runs, held, counts, bits, layout)
        if isinstance(group, Conv) and layout.shared == "kernels":
            of_taps, of_kernel = _kernel_words(group, neurons, block, runs, bits, layout, cores)
            words = np.where(shared[runs.core], of_taps, words)
            total = np.where(shared, of_kernel, total)
        stored += total
        lists.append((runs.core, runs.column, runs.synapses, words))
    core, column, synapses, words = (np.concatenate(rows) for rows in zip(*lists, strict=True))
    return Recount(core, column, synapses, words, stored, shared)


def fans(group: Synapse) -> tuple[A, A]:
    """Synapses of each target neuron and of each source neuron, without the mapping."""
    match group:
        case Dense():
            out, into = group.weight.shape
            return np.full(out, into), np.full(into, out)
        case Sparse():
            out = np.bincount(group.indices, minlength=group.matrix_shape[1])
            return np.diff(group.indptr), out
        case _:
            assert isinstance(group, Conv)
            met = [_met(group, axis) for axis in (0, 1)]
            inside = [(m >= 0) & (m < n) for m, n in zip(met, group.in_shape[1:], strict=True)]
            (channels, per_group), share = group.weight.shape[:2], len(group.weight) // group.groups
            into = np.multiply.outer(*(i.sum(1) for i in inside)) * per_group
            out = share * np.multiply.outer(
                *(np.bincount(m[i], minlength=n)
                  for m, i, n in zip(met, inside, group.in_shape[1:], strict=True))
            )  # fmt: skip
            return np.tile(into.reshape(-1), channels), np.tile(out.reshape(-1), group.in_shape[0])


def _met(group: Conv, axis: int) -> A:
    """(position of the output, tap) the position of the input along an axis, maybe outside."""
    outputs, taps = group.out_shape[1 + axis], group.weight.shape[2 + axis]
    first = np.arange(outputs)[:, None] * group.stride[axis] - group.padding[axis]
    return first + np.arange(taps) * group.dilation[axis]


def columns(group: Synapse) -> tuple[int, int]:
    """How many columns a group has, and how many source neurons one stands for."""
    match group:
        case Dense():
            return 1, group.weight.shape[1]
        case Sparse():
            return group.matrix_shape[1], 1
        case _:
            assert isinstance(group, Conv)
            return group.groups * math.prod(group.in_shape[1:]), group.weight.shape[1]


def column_of(group: Synapse, neuron: A) -> A:
    """The columns of source neurons."""
    match group:
        case Dense():
            return np.zeros_like(neuron)
        case Sparse():
            return neuron
        case _:
            assert isinstance(group, Conv)
            channel, position = np.divmod(neuron, plane := math.prod(group.in_shape[1:]))
            return channel // group.weight.shape[1] * plane + position


def _pairs(group: Synapse, neurons: A) -> tuple[A, A, A]:
    """The synapses of target neurons: which of `neurons`, the column, the tap of a kernel."""
    match group:
        case Dense():
            row = np.arange(len(neurons))
            return row, np.zeros_like(row), np.zeros_like(row)
        case Sparse():
            counts = np.diff(group.indptr)[neurons].astype(np.int64)
            row = np.repeat(np.arange(len(neurons)), counts)
            before = np.cumsum(counts) - counts
            entry = np.arange(len(row)) + (group.indptr[neurons] - before)[row]
            return row, group.indices[entry].astype(np.int64), np.zeros_like(row)
        case _:
            assert isinstance(group, Conv)
            (height, width), kernel = group.in_shape[1:], group.weight.shape[2:]
            channel, y, x = np.unravel_index(neurons, group.out_shape)
            block = channel // (len(group.weight) // group.groups)
            y, x = _met(group, 0)[y][:, :, None], _met(group, 1)[x][:, None, :]
            row, *tap = np.nonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
            column = ((block[:, None, None] * height + y) * width + x)[row, *tap]
            return row, column, np.ravel_multi_index(tuple(tap), kernel)


def _weight_bits(group: Synapse, layout: SynapseFormat) -> int:
    assert isinstance(group, Dense | Sparse | Conv)
    weights = group.data if isinstance(group, Sparse) else group.weight
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    common = int(np.bitwise_or.reduce(weights, axis=None)) or 1
    step = common & -common
    low, high = low // step, high // step
    for width in layout.weight_bits:
        sign = 1 << (width - 1) if low < 0 else 0
        if -sign <= low and high < (1 << width) - sign:
            return width
    raise wrong(
        f"{group.source} → {group.target}",
        f"its weights are {low}…{high}, the widest has {layout.weight_bits[-1]} bits",
    )


def _delay_bits(group: Synapse, layout: SynapseFormat) -> int:
    bits = group.delay.bit_length()
    if bits > layout.delay_bits:
        raise wrong(
            f"{group.source} → {group.target}",
            f"a delay of {group.delay} takes {bits} bits of {layout.delay_bits}",
        )
    return bits


def _blocks(group: Synapse, owner: A) -> Iterator[A]:
    """Target neurons by core, ascending in each; whole cores of about `BLOCK` synapses at once."""
    order = np.argsort(owner, kind="stable")
    match group:
        case Sparse():
            sizes = np.diff(group.indptr)[order]
        case _:
            taps = math.prod(group.weight.shape[2:]) if isinstance(group, Conv) else 1
            sizes = np.full(len(order), taps)
    ends = np.flatnonzero(np.diff(owner[order], append=-1)) + 1
    block = np.cumsum(sizes, dtype=np.int64)[ends - 1] // BLOCK
    yield from np.split(order, ends[np.flatnonzero(np.diff(block))])


def _in_boxes(group: Conv, neurons: A, cores: A) -> A:
    """Whether the neurons of a core, ascending by core, are a box of the kernel's output."""
    first = np.flatnonzero(np.diff(cores, prepend=-1))
    counts = np.diff(first, append=len(cores))
    volume = np.ones(len(first), np.int64)
    for place in np.unravel_index(neurons, group.out_shape):
        volume *= np.maximum.reduceat(place, first) - np.minimum.reduceat(place, first) + 1
    return np.repeat(volume == counts, counts)


@dataclass(frozen=True, eq=False)
class _Runs:
    """Lists before they are stored, int64 (list,).

    Attributes:
        core, column: which list it is. synapses: of it.
        span: neurons from the first to the last, further synapses of a neuron counted as well.
        first, last: taps of the first and last synapse.
        starts: where each begins among all synapses. gaps: int64 (synapse,) neurons left out
            before each; without meaning at `starts`.
    """

    core: A
    column: A
    synapses: A
    span: A
    first: A
    last: A
    starts: A
    gaps: A


def _runs(group: Synapse, neurons: A, cores: A) -> _Runs:
    """The lists on some cores, whose neurons are ascending by core and, within it, by number."""
    row, column, tap = _pairs(group, neurons)
    taps = _taps(group)
    row, tap = np.divmod(np.sort((column * len(neurons) + row) * taps + tap), taps)
    column, row = np.divmod(row, len(neurons))
    core = cores[row]
    starts = np.flatnonzero((np.diff(column, prepend=-1) != 0) | (np.diff(core, prepend=-1) != 0))
    synapses = np.diff(starts, append=len(row))
    ends = starts + synapses - 1
    ahead = np.diff(row, prepend=0)
    again = np.cumsum(ahead == 0)
    return _Runs(
        core[starts], column[starts], synapses,
        row[ends] - row[starts] + 1 + again[ends] - again[starts],
        tap[starts], tap[ends], starts, np.maximum(ahead - 1, 0),
    )  # fmt: skip


def _kept(group: Synapse, runs: _Runs, shared: A) -> A:
    """Which lists are stored: of those that are shared, one of each kind.

    The taps along an axis that lead from a position into a box are evenly spaced, so the first
    and the last say which they are.
    """
    kept = ~shared
    if shared.any():
        assert isinstance(group, Conv)
        block = runs.column // math.prod(group.in_shape[1:])
        key = (runs.core * group.groups + block) * _taps(group) + runs.first
        key = (key * _taps(group) + runs.last)[shared]
        kept[np.flatnonzero(shared)[np.unique(key, return_index=True)[1]]] = True
    return kept


def _kernel_words(
    group: Conv, neurons: A, core: A, runs: _Runs, bits: int, layout: SynapseFormat, cores: int
) -> tuple[A, A]:
    """Words of the valid taps of each list, and of the kernel by core, for slices that are boxes.

    Then each valid tap of a list has a synapse for every output channel of its block on the core.
    """
    channels, per_group = group.weight.shape[:2]
    held = np.unique(core * channels + neurons // math.prod(group.out_shape[1:]))
    blocks, outputs = np.unique(held // (channels // group.groups), return_counts=True)
    tap = -(-outputs * bits // layout.word_bits)
    block = runs.core * group.groups + runs.column // math.prod(group.in_shape[1:])
    at = np.searchsorted(blocks, block)
    total = np.bincount(blocks // group.groups, tap * per_group * _taps(group), cores)
    return runs.synapses // outputs[at] * tap[at], total.astype(np.int64)


def _best(runs: _Runs, held: A, counts: A, bits: int, layout: SynapseFormat) -> tuple[A, A]:
    """Words of each list, in the best format of its core; words of all by core.

    Args:
        held: (core,) neurons of the slice. counts: (list,) how many of a list are stored.
    """
    choices = np.stack(list(_choices(runs, held, bits, layout)))
    totals = np.stack([np.bincount(runs.core, row * counts, len(held)) for row in choices])
    best = np.argmin(totals, 0)
    words = choices[best[runs.core], np.arange(len(runs.core))]
    return words, totals.min(0).astype(np.int64)


def _choices(runs: _Runs, held: A, bits: int, layout: SynapseFormat) -> Iterator[A]:
    """Words of each list, format by format."""
    if "dense" in layout.formats:
        yield _words(runs.span, bits, layout)
    if "sparse" in layout.formats:
        index = np.maximum(1, np.frexp(held - 1)[1])
        yield _words(runs.synapses, bits + index[runs.core], layout)
    if "runlength" in layout.formats:
        for skip in layout.skip_bits:
            more = np.cumsum(runs.gaps >> skip)
            more = more[runs.starts + runs.synapses - 1] - more[runs.starts]
            yield _words(runs.synapses + more, bits + skip, layout)


def _words(items: A, item_bits: A | int, layout: SynapseFormat) -> A:
    entries = items // layout.entry_synapses
    loose = items - entries * layout.entry_synapses
    whole = layout.header_bits + layout.entry_synapses * item_bits
    part = (layout.header_bits + loose * item_bits) * (loose > 0)
    up = layout.word_bits - 1
    return entries * ((whole + up) // layout.word_bits) + (part + up) // layout.word_bits


def _taps(group: Synapse) -> int:
    return math.prod(group.weight.shape[2:]) if isinstance(group, Conv) else 1


def wrong(where: str, cause: str) -> ArtefactError:
    """The error for a mapping that breaks a rule; what doesn't fit is refused before."""
    return ArtefactError(where, cause, "compile again; if that doesn't help, please report a bug")


__all__ = ["Recount", "column_of", "columns", "fans", "recount", "wrong"]
