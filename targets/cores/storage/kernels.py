"""Which taps of a convolution lead from where into a box of its output.

Found along each axis by itself, as they are independent: kernels are never written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Conv

A = NDArray[Any]
Span = tuple[int, int]
Box = tuple[Span, Span, Span]


@dataclass(frozen=True, eq=False)
class Reach:
    """The channels, rows or columns of the input from which taps lead into a box.

    Attributes:
        position: int64 (position,) ascending.
        taps: int64 (position,) how many taps, 1 or more; of a channel, how many output channels.
        first: int64 (position,) the first of the taps; with their number, it says which. Of a
            channel, 0 where it is the first of its group, else 1.
        step: how far apart in the box neighbouring taps lead.
    """

    position: A
    taps: A
    first: A
    step: int

    def kinds(self) -> tuple[A, A, A, A]:
        """The different pairs of `taps` and `first`, int64 (kind,) each; how many positions have
        each; and for each position, which it has."""
        wide = int(self.first.max(initial=0)) + 1
        pairs, number, count = np.unique(
            self.taps * wide + self.first, return_inverse=True, return_counts=True
        )
        return pairs // wide, pairs % wide, count, number


def box_of(group: Conv, shape: Sequence[int], part: Slice) -> Box | None:
    """A slice of a population of `shape` as a box of the kernel's output, None if it is none.

    They differ where a population is flattened, or has one axis and the kernel two.
    """
    start, stop = part.start, part.stop
    if tuple(shape) != group.out_shape:
        index = part.index(shape)
        low, high = (np.unravel_index(index[end], group.out_shape) for end in (0, -1))
        start, stop = tuple(map(int, low)), tuple(int(x) + 1 for x in high)
        box = Slice(part.population, start, stop)
        if box.size != len(index) or not np.array_equal(box.index(group.out_shape), index):
            return None
    channels, rows, columns = zip(start, stop, strict=True)
    return channels, rows, columns


def _channels(group: Conv, start: int, stop: int) -> Reach:
    """Input channels whose kernels have some of the output channels start…stop."""
    share, per_group = len(group.weight) // group.groups, group.weight.shape[1]
    block = np.arange(start // share, (stop - 1) // share + 1)
    outputs = np.minimum(stop, (block + 1) * share) - np.maximum(start, block * share)
    position = np.arange(block[0] * per_group, (block[-1] + 1) * per_group)
    first = (position % per_group > 0).astype(np.int64)
    return Reach(position, np.repeat(outputs, per_group), first, 1)


def _along(group: Conv, axis: int, start: int, stop: int) -> Reach:
    """Input rows or columns with a tap to the output rows or columns start…stop."""
    stride, padding, dilation = group.stride[axis], group.padding[axis], group.dilation[axis]
    kernel, extent = group.weight.shape[2 + axis], group.in_shape[1 + axis]
    low = max(0, start * stride - padding)
    high = min(extent, (stop - 1) * stride - padding + dilation * (kernel - 1) + 1)
    position = np.arange(low, high)
    at = position[:, None] + padding - dilation * np.arange(kernel)
    valid = (at % stride == 0) & (at >= start * stride) & (at < stop * stride)
    taps, first = valid.sum(1), valid.argmax(1)
    kept = taps > 0
    step = dilation // math.gcd(stride, dilation)
    return Reach(position[kept], taps[kept], first[kept], step)


class Taps:
    """The kinds of axons by which a convolution reaches a box: all triples of those along the axes.

    Attributes:
        synapses: int64 (kind,) of an axon.
        outputs: int64 (kind,) output channels that it leads to.
        valid: int64 (kind,) taps by which it leads there.
        leads: bool (kind,) whether it starts at the first channel of a group.
        axons: int64 (kind,) how many there are.
        channels: int64 (kind,) input channels that have some.
        outputs_of_channel: int64 (input channel,) output channels of the box that each connected
            one leads to.
    """

    def __init__(self, group: Conv, box: Box) -> None:
        self.extents, self.in_shape = [b - a for a, b in box], group.in_shape
        self.reach = _channels(group, *box[0]), _along(group, 0, *box[1]), _along(group, 1, *box[2])
        taps, first, count, self.number = zip(*(item.kinds() for item in self.reach), strict=True)
        self.outputs, self.rows, self.columns = _triples(taps)
        self.valid = self.rows * self.columns
        self.synapses = self.outputs * self.valid
        self.leads = _triples(first)[0] == 0
        self.channels, in_rows, in_columns = _triples(count)
        self.axons = self.channels * in_rows * in_columns
        self.outputs_of_channel = self.reach[0].taps
        self.grid = [len(item) for item in taps]

    @property
    def spread(self) -> A:
        """int64 (kind,): neurons of the box from the first to the last that an axon leads to."""
        return (self.outputs - 1) * math.prod(self.extents[1:]) + self._in_channel + 1

    def skips(self, bits: int) -> A:
        """int64 (kind,): for each run of neurons between them, how many times 2^`bits` it has.

        Taps along each axis are an arithmetic progression, and so are their targets.
        """
        found = self.outputs * self.rows * (self.columns - 1) * ((self.reach[2].step - 1) >> bits)
        found += self.outputs * (self.rows - 1) * ((self._next_row - self._in_row - 1) >> bits)
        between = math.prod(self.extents[1:]) - self._in_channel - 1
        return found + (self.outputs - 1) * (between >> bits)

    def place(self) -> tuple[A, A]:
        """Source neuron, ascending, and kind of every axon, int64 (axon,) each."""
        source = np.ravel_multi_index(
            np.ix_(*(item.position for item in self.reach)), self.in_shape
        )
        kind = np.ravel_multi_index(np.ix_(*self.number), self.grid)
        return source.reshape(-1), kind.reshape(-1)

    @property
    def _in_row(self) -> A:
        return (self.columns - 1) * self.reach[2].step

    @property
    def _next_row(self) -> int:
        return self.reach[1].step * self.extents[2]

    @property
    def _in_channel(self) -> A:
        return (self.rows - 1) * self._next_row + self._in_row


def _triples(axes: Sequence[A]) -> list[A]:
    return [item.reshape(-1) for item in np.broadcast_arrays(*np.ix_(*axes))]


def boxes_met(group: Conv, parts: Sequence[Slice]) -> A:
    """int64 (source neuron,): how many boxes of a grid over the kernel's output it has taps to."""
    if not parts:
        return np.zeros(math.prod(group.in_shape), np.int64)
    counts = [np.zeros(extent, np.int64) for extent in group.in_shape]
    for axis, count in enumerate(counts):
        for span in {(part.start[axis], part.stop[axis]) for part in parts}:
            reach = _along(group, axis - 1, *span) if axis else _channels(group, *span)
            count[reach.position] += 1
    channels, rows, columns = counts
    return (channels[:, None, None] * rows[:, None] * columns).reshape(-1)


def taps_met(group: Conv) -> A:
    """int64 (output row, output column): taps that fall inside the input, of one channel."""
    rows, columns = ((_met(group, axis) >= 0).sum(1) for axis in (0, 1))
    return rows[:, None] * columns


def written_out(group: Conv, index: A) -> tuple[A, A]:
    """Source neurons of all synapses of some outputs, and which of these outputs each leads to."""
    per_group, share = group.weight.shape[1], len(group.weight) // group.groups
    channel, row, column = np.unravel_index(index, group.out_shape)
    y = _met(group, 0)[row][:, None, :, None]
    x = _met(group, 1)[column][:, None, None, :]
    inputs = (channel // share * per_group)[:, None] + np.arange(per_group)
    source = (inputs[:, :, None, None] * group.in_shape[1] + y) * group.in_shape[2] + x
    met = np.broadcast_to((y >= 0) & (x >= 0), source.shape)
    return source[met], np.nonzero(met)[0]


def _met(group: Conv, axis: int) -> A:
    """int64 (output row or column, tap): input row or column that the tap falls on; negative where
    it falls outside."""
    extent, kernel = group.in_shape[1 + axis], group.weight.shape[2 + axis]
    at = group.stride[axis] * np.arange(group.out_shape[1 + axis])[:, None] - group.padding[axis]
    at = at + group.dilation[axis] * np.arange(kernel)
    return np.where(at < extent, at, -1)


__all__ = ["Box", "Taps", "box_of", "boxes_met", "taps_met", "written_out"]
