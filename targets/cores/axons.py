"""Axons: what follows from a mapping, packet by packet.

The timed simulators know nothing of populations and kernels, only these tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtefactError
from snnc.targets.cores.architecture import Architecture
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import Program, Source, all_synapses
from snnc.targets.cores.storage.sizes import ends

A = NDArray[Any]
HOST = -1
"""The number that stands for the host where cores are numbered."""


@dataclass(frozen=True, eq=False)
class Sender:
    """The neurons of a core, or those that the host sends, in their order, with their axons.

    Attributes:
        parts: (population, indices into it, flattened, ascending or not) one behind the other.
        compartments: int64 (neuron,) of each; 0 on the host.
        indptr: int64 (neuron + 1,): neuron n has axons indptr[n]…indptr[n + 1].
        target: int32 (axon,) core that the axon leads to; ascending within a neuron.
        group: int32 (axon,) synapse group, as `all_synapses` numbers them; ascending within a
            neuron's axons to one core.
        operations: int32 (axon,) synapses in the list there, 1 or more.
        words: int32 (axon,) words of memory that hold the list.
    """

    parts: tuple[tuple[str, A], ...]
    compartments: A
    indptr: A
    target: A
    group: A
    operations: A
    words: A

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.indptr) - 1


@dataclass(frozen=True, eq=False)
class Axons:
    """All senders: the used cores by number, and the host."""

    cores: Sequence[Sender]
    host: Sender


def build_axons(program: Program, mapping: Mapping, architecture: Architecture) -> Axons:
    """The senders of a mapped program, in time and memory that grow with neurons and axons.

    Raises:
        ArtefactError: a neuron that does not lie on exactly one core.
        RefusedError: weights or delays wider than the chip's synapses.
    """
    senders = [_placed(program, number, core) for number, core in enumerate(mapping.cores)]
    senders.append(_sent(program))
    numbers = _numbers(program, senders)
    bundles = list(_bundles(program, mapping, architecture, numbers))
    indptr, table = _by_neuron(bundles, sum(map(_count, senders)))
    made: list[Sender] = []
    start = 0
    for parts in senders:
        stop = start + _count(parts)
        first, last = indptr[start], indptr[stop]
        sizes = [len(index) for _, index in parts]
        made.append(
            Sender(
                parts, np.repeat(_compartments(program, parts), sizes),
                indptr[start : stop + 1] - first, *table[:, first:last],
            )
        )  # fmt: skip
        start = stop
    return Axons(made[:-1], made[-1])


Parts = tuple[tuple[str, A], ...]


@dataclass(frozen=True, eq=False)
class _Bundle:
    """The axons of a synapse group that end on a core.

    Attributes:
        neuron: int64 (axon,) where each starts, counted over all senders; each at most once.
        operations, words: int32 (axon,) of its list.
    """

    target: int
    group: int
    neuron: A
    operations: A
    words: A


def _placed(program: Program, number: int, core: Core) -> Parts:
    for part in core.slices:
        node = program.populations.get(part.population)
        if node is None or not _inside(part, node.shape):
            raise ArtefactError(
                f"core {number}",
                f"holds {part.start}…{part.stop} of {part.population}, of which there are"
                f" {'none' if node is None else node.shape}",
                "compile again",
            )
    return tuple(
        (part.population, part.index(program.populations[part.population].shape))
        for part in core.slices
    )


def _inside(part: Slice, shape: Sequence[int]) -> bool:
    same = len(part.start) == len(part.stop) == len(shape)
    axes = zip(part.start, part.stop, shape, strict=False)
    return same and all(0 <= start < stop <= extent for start, stop, extent in axes)


def _sent(program: Program) -> Parts:
    return tuple(
        (name, np.arange(node.size))
        for name, node in program.populations.items()
        if isinstance(node, Source)
    )


def _count(parts: Parts) -> int:
    return sum(len(index) for _, index in parts)


def _compartments(program: Program, parts: Parts) -> A:
    nodes = (program.populations[name] for name, _ in parts)
    found = [0 if isinstance(node, Source) else node.compartments for node in nodes]
    return np.asarray(found, np.int64)


def _numbers(program: Program, senders: Sequence[Parts]) -> dict[str, A]:
    """By population, the number of each of its neurons, counted over all senders."""
    numbers = {name: np.full(node.size, -1) for name, node in program.populations.items()}
    placed = dict.fromkeys(numbers, 0)
    start = 0
    for parts in senders:
        for name, index in parts:
            numbers[name][index] = np.arange(start, start + len(index))
            placed[name] += len(index)
            start += len(index)
    for name, number in numbers.items():
        missing = int(np.count_nonzero(number < 0))
        twice = placed[name] - len(number) + missing
        if missing or twice:
            raise ArtefactError(
                "mapping",
                f"of the {len(number):,} neurons of {name}, {missing:,} lie nowhere and"
                f" {twice:,} twice",
                "compile again",
            )
    return numbers


def _bundles(
    program: Program, mapping: Mapping, architecture: Architecture, numbers: dict[str, A]
) -> Iterator[_Bundle]:
    """All bundles, by target core and then by group."""
    groups = all_synapses(program)
    into: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        into.setdefault(group.target, []).append(number)
    for target, core in enumerate(mapping.cores):
        arriving = [
            (number, part) for part in core.slices for number in into.get(part.population, ())
        ]
        for number, part in sorted(arriving, key=lambda pair: pair[0]):
            group = groups[number]
            shape = program.populations[group.target].shape
            found = ends(group, shape, part, architecture.synapses)
            yield _Bundle(
                target, number, numbers[group.source][found.source],
                found.operations.astype(np.int32), found.words.astype(np.int32),
            )  # fmt: skip


def _by_neuron(bundles: Sequence[_Bundle], neurons: int) -> tuple[A, A]:
    """Where each neuron's axons begin, and (target, group, operations, words) of all, in order.

    Bundles come in the order that a neuron's axons have, so each axon is put behind those that
    the neuron already has; nothing is sorted.
    """
    indptr = np.zeros(neurons + 1, np.int64)
    for bundle in bundles:
        indptr[bundle.neuron + 1] += 1
    np.cumsum(indptr, out=indptr)
    table = np.empty((4, int(indptr[-1])), np.int32)
    behind = indptr[:-1].copy()
    for bundle in bundles:
        at = behind[bundle.neuron]
        table[0, at], table[1, at] = bundle.target, bundle.group
        table[2, at], table[3, at] = bundle.operations, bundle.words
        behind[bundle.neuron] += 1
    return indptr, table


__all__ = ["HOST", "Axons", "Sender", "build_axons"]
