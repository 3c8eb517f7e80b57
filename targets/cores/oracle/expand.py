"""Which axons a mapping gives to which neuron, expanded synapse by synapse (docs/mapping.md).

It is slow, and there to be right: a part of the plain simulator (`machine`), which shares no code
with what is compared with it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as Table
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from snnc.targets.cores.architecture import Architecture, SynapseFormat
from snnc.targets.cores.mapping import Mapping, Slice
from snnc.targets.cores.program import (
    Conv,
    Dense,
    Program,
    Source,
    Sparse,
    Synapse,
    all_synapses,
)


class _Reach(NamedTuple):
    """A synapse: flattened neurons, weight, and of a convolution (out channel, ky, kx)."""

    source: int
    target: int
    weight: int
    tap: tuple[int, int, int] | None = None


def _reaches(group: Synapse) -> Iterator[_Reach]:
    """All synapses of a group."""
    match group:
        case Conv():
            yield from _taps(group)
        case Sparse():
            for row, (first, last) in enumerate(pairwise(group.indptr)):
                for entry in range(first, last):
                    yield _Reach(int(group.indices[entry]), row, int(group.data[entry]))
        case _:
            assert isinstance(group, Dense)
            for (row, column), weight in np.ndenumerate(group.weight):
                yield _Reach(column, row, int(weight))


def _taps(group: Conv) -> Iterator[_Reach]:
    _, rows, columns = group.in_shape
    channels, height, width = group.out_shape
    for (channel, i, ky, kx), weight in np.ndenumerate(group.weight):
        source = channel // (channels // group.groups) * group.weight.shape[1] + i
        for y, x in product(range(height), range(width)):
            at_y = y * group.stride[0] - group.padding[0] + ky * group.dilation[0]
            at_x = x * group.stride[1] - group.padding[1] + kx * group.dilation[1]
            if 0 <= at_y < rows and 0 <= at_x < columns:
                yield _Reach(
                    (source * rows + at_y) * columns + at_x,
                    (channel * height + y) * width + x, int(weight), (channel, ky, kx),
                )  # fmt: skip


class Axon(NamedTuple):
    """An axon, by the numbers of its core and its synapse group, and the list to which it leads.

    Attributes:
        synapses: (target neuron, weight) of each. words: of memory that are read for them.
    """

    core: int
    group: int
    synapses: list[tuple[int, int]]
    words: int


class Layout:
    """Where neurons lie, and their axons; a neuron is (population, flattened index).

    Attributes:
        neurons: by core, in the core's order. host: those that the host sends, in its order.
        axons: by neuron, in the order in which packets are sent; none where there is no entry.
    """

    def __init__(self, program: Program, mapping: Mapping, architecture: Architecture) -> None:
        self.program, self.mapping, self.architecture = program, mapping, architecture
        self.neurons = [
            [(part.population, neuron) for part in core.slices for neuron in self._numbers(part)]
            for core in mapping.cores
        ]
        self.host = [
            (name, neuron)
            for name, node in program.populations.items() if isinstance(node, Source)
            for neuron in range(node.size)
        ]  # fmt: skip
        self.axons: dict[tuple[str, int], list[Axon]] = defaultdict(list)
        groups = [(group, list(_reaches(group))) for group in all_synapses(program)]
        for core, placed in enumerate(mapping.cores):
            for number, (group, reaches) in enumerate(groups):
                for part in placed.slices:
                    if part.population == group.target:
                        self._add(core, number, group, reaches, self._numbers(part))

    def _numbers(self, part: Slice) -> list[int]:
        """Flattened indices of a slice's neurons, last axis fastest."""
        numbers = [0]
        extents = self.program.populations[part.population].shape
        for extent, start, stop in zip(extents, part.start, part.stop, strict=True):
            numbers = [n * extent + at for n, at in product(numbers, range(start, stop))]
        return numbers

    def _add(
        self, core: int, number: int, group: Synapse, reaches: list[_Reach], numbers: list[int]
    ) -> None:
        """The axons of a group to a slice; called core by core, and there group by group."""
        position = {neuron: at for at, neuron in enumerate(numbers)}
        lists: dict[int, list[_Reach]] = defaultdict(list)
        for reach in reaches:
            if reach.target in position:
                lists[reach.source].append(reach)
        for found in lists.values():
            found.sort(key=lambda reach: position[reach.target])
        words = _words(group, lists, position, self.architecture.synapses)
        for source, found in lists.items():
            synapses = [(reach.target, reach.weight) for reach in found]
            self.axons[group.source, source].append(Axon(core, number, synapses, words[source]))


def _words(
    group: Synapse, lists: Table[int, list[_Reach]], position: Table[int, int],
    layout: SynapseFormat,
) -> dict[int, int]:  # fmt: skip
    """By source neuron, words that its axon reads."""
    kinds: dict[int, Any] = {source: source for source in lists}
    if isinstance(group, Conv) and _is_box(position, group.out_shape):
        if layout.shared == "kernels":
            return _kernel_words(group, lists, position, layout)
        if layout.shared == "patterns":
            plane = group.in_shape[1] * group.in_shape[2]
            taps = {source: frozenset(r.tap for r in found) for source, found in lists.items()}
            kinds = {source: (source // plane, taps[source]) for source in lists}
    return _format_words(group, lists, position, layout, kinds)


def _is_box(numbers: Collection[int], shape: tuple[int, int, int]) -> bool:
    """Whether these neurons of a kernel's output are all of some channels, rows and columns."""
    places = {np.unravel_index(number, shape) for number in numbers}
    return len(places) == math.prod(len(set(axis)) for axis in zip(*places, strict=True))


def _kernel_words(
    group: Conv, lists: Table[int, list[_Reach]], numbers: Collection[int], layout: SynapseFormat
) -> dict[int, int]:
    """Of each valid tap, the weights of the slice's channels that the axon's channel is in."""
    outputs, inputs = len(group.weight) // group.groups, group.weight.shape[1]
    channels = {number // (group.out_shape[1] * group.out_shape[2]) for number in numbers}
    bits = _weight_bits(group, layout) + group.delay.bit_length()
    words = {}
    for source, found in lists.items():
        block = source // (group.in_shape[1] * group.in_shape[2]) // inputs
        weights = sum(channel // outputs == block for channel in channels)
        valid = {reach.tap[1:] for reach in found if reach.tap}
        words[source] = len(valid) * -(-weights * bits // layout.word_bits)
    return words


def _format_words(
    group: Synapse, lists: Table[int, list[_Reach]], position: Table[int, int],
    layout: SynapseFormat, kinds: Table[int, Any],
) -> dict[int, int]:  # fmt: skip
    """Words in the format that takes the fewest in all, a list of each kind being stored."""
    forms = [("dense", 0), ("sparse", 0), *(("runlength", r) for r in layout.skip_bits)]
    weight_bits, index_bits = _weight_bits(group, layout), (len(position) - 1).bit_length()
    found: list[dict[int, int]] = []
    for form, skip in forms:
        if form in layout.formats:
            index = {"dense": 0, "sparse": max(1, index_bits), "runlength": skip}[form]
            bits = weight_bits + group.delay.bit_length() + index
            found.append({
                source: _list_words(_items([position[r.target] for r in reaches], form, skip),
                                    bits, layout)
                for source, reaches in lists.items()
            })  # fmt: skip
    stored = {kinds[source]: source for source in lists}
    return min(found, key=lambda words: sum(words[source] for source in stored.values()))


def _weight_bits(group: Synapse, layout: SynapseFormat) -> int:
    assert isinstance(group, Dense | Sparse | Conv)
    given = group.data if isinstance(group, Sparse) else group.weight
    weights = [int(weight) for weight in given.flat]
    while any(weights) and not any(weight % 2 for weight in weights):
        weights = [weight // 2 for weight in weights]
    signed = any(weight < 0 for weight in weights)

    def holds(bits: int) -> bool:
        low, end = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
        return all(low <= weight < end for weight in weights)

    return next(bits for bits in layout.weight_bits if holds(bits))


def _items(at: Sequence[int], form: str, skip: int) -> int:
    """Items of a list whose synapses are for the neurons at these positions, ascending."""
    gaps = [max(0, b - a - 1) for a, b in pairwise(at)]
    more = {"dense": sum(gaps), "sparse": 0, "runlength": sum(gap >> skip for gap in gaps)}
    return len(at) + more[form]


def _list_words(items: int, bits: int, layout: SynapseFormat) -> int:
    full, rest = divmod(items, layout.entry_synapses)
    entries = [layout.entry_synapses] * full + [rest] * (rest > 0)
    return sum(-(-(layout.header_bits + n * bits) // layout.word_bits) for n in entries)


__all__ = ["Axon", "Layout"]
