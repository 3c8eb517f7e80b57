"""Populations cut into slices that each fit on a core (docs/mapping.md), from outputs to inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.targets.cores.architecture import Architecture
from snnc.targets.cores.mapper import refusals
from snnc.targets.cores.mapper.grids import areas_of, box_sums, cut, grids, middle
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Conv, Dense, Program, Source, Synapse, all_synapses
from snnc.targets.cores.storage.sizes import Starts, Totals, fan_in, starts, totals

A = NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """A slice and what it takes of a core.

    Attributes:
        slots: steps that the accumulator of each of its compartments holds.
    """

    part: Slice
    compartments: int
    words: int
    in_axons: int
    out_axons: int
    slots: int


def slots_of(delay: int) -> int:
    """Slots of an accumulator for delays of up to `delay`: a power of two, at least delay + 2."""
    return 1 << (delay + 1).bit_length()


class Partition:
    """A program whose populations are split into as few slices as can be.

    Raises:
        RefusedError: a limit of the core that not even a single neuron keeps, or more cores than
            the mesh has.

    Attributes:
        populations: those that the chip computes, in the program's order.
        splits: slices of the populations that are split.
        starts: by synapse group, what its axons take where they start, as far as the targets are
            split.
        known: what slices take of each group; slices that differ in place only are alike.
    """

    def __init__(self, program: Program, architecture: Architecture) -> None:
        self.architecture, self.limits = architecture, architecture.core
        self.groups = all_synapses(program)
        self.populations = {
            name: node for name, node in program.populations.items() if not isinstance(node, Source)
        }
        self.into: dict[str, list[int]] = {name: [] for name in program.populations}
        self.out: dict[str, list[int]] = {name: [] for name in program.populations}
        for number, group in enumerate(self.groups):
            self.into[group.target].append(number)
            self.out[group.source].append(number)
        self.splits: dict[str, tuple[Slice, ...]] = {}
        self.starts: dict[int, Starts] = {}
        self.known: dict[tuple[Any, ...], Totals] = {}

        self._check_network()
        for name in reversed(self.populations):
            self._split(name, 1)
        self._settle()

    def pieces(self) -> tuple[Piece, ...]:
        """All slices, in the program's order."""
        return tuple(piece for name in self.populations for piece in self._described(name))

    def divided(self, name: str, least: int) -> Partition | None:
        """The same with `least` slices of a population or more, and the others as fine as they
        then must be; None if that can't be."""
        other = copy(self)
        other.splits, other.starts = dict(self.splits), dict(self.starts)
        try:
            other._split(name, least)
            other._settle()
        except RefusedError:
            return None
        return other

    def _settle(self) -> None:
        """Splits finer what starts more axons than it may, until nothing does; ends, as slices
        only get more."""
        order = list(reversed(self.populations))
        while late := [name for name in order if not self._sends(name, self.splits[name])]:
            for name in late:
                self._split(name, len(self.splits[name]) + 1)

    def _split(self, name: str, least: int) -> None:
        self._check_neurons(name)
        self.splits[name] = self._search(name, least)
        for number in self.into[name]:
            self.starts[number] = self._starts(number, self.splits[name])

    def _search(self, name: str, least: int) -> tuple[Slice, ...]:
        """The split into the fewest slices, at least `least`, that keep all limits."""
        node = self.populations[name]
        load = areas_of(self._least_load(name), node.shape)
        most = min(node.size, self.architecture.mesh.cores)
        broken = {"out_axons"}
        for count in range(max(least, self._least(name)), most + 1):
            tried = {grid: self._broken(name, grid, load) for grid in grids(node.shape, count)}
            fitting = [cut(name, node.shape, grid) for grid, key in tried.items() if not key]
            if fitting:
                # Of equals the last, which cuts earlier axes: its neurons lie together in memory.
                return min(reversed(fitting), key=self._cost)
            broken = set(tried.values()) or broken
        raise refusals.split(name, node.size, broken, self.architecture)

    def _least(self, name: str) -> int:
        """The fewest slices that hold a population and the axons from it to others."""
        size, limits = self.populations[name].size, self.limits
        taken = {key: (size * each, limit // each * each) for key, each, limit in self._each(name)}
        taken["out_axons"] = int(self._least_load(name).sum()), limits.out_axons
        needed = {key: -(-value // limit) for key, (value, limit) in taken.items() if limit}
        key = max(needed, key=lambda key: needed[key])
        if needed[key] > self.architecture.mesh.cores:
            raise refusals.layer(name, key, taken[key][0], needed[key], self.architecture)
        return needed[key]

    def _room(self, name: str) -> int:
        """Most neurons of a slice, by their compartments and delays."""
        return min(limit // each for _, each, limit in self._each(name) if limit)

    def _each(self, name: str) -> tuple[tuple[str, int, int], ...]:
        """Limits that neurons take by their number: what each takes, and the limit."""
        each, limits = self.populations[name].compartments, self.limits
        return (
            ("compartments", each, limits.compartments),
            ("delay_slots", each * self._slots(name), limits.delay_slots),
        )

    def _slots(self, name: str) -> int:
        return slots_of(max((self.groups[number].delay for number in self.into[name]), default=0))

    def _broken(self, name: str, grid: Sequence[int], load: A) -> str:
        """A limit that a slice of a grid breaks, or nothing.

        If any does, one in the middle mostly does, so that one comes first.
        """
        shape = self.populations[name].shape
        if math.prod(-(-n // k) for n, k in zip(shape, grid, strict=True)) > self._room(name):
            return "compartments"
        if broken := self._overfull(middle(name, shape, grid)):
            return broken
        if not _within(int(box_sums(load, grid).max()), self.limits.out_axons):
            return "out_axons"
        parts = cut(name, shape, grid)
        if broken := next(filter(None, map(self._overfull, parts)), ""):
            return broken
        return "" if self._sends(name, parts) else "out_axons"

    def _overfull(self, part: Slice) -> str:
        """The limit of what leads to a slice that it breaks, or nothing."""
        words, axons = self._received(part)
        if not _within(words, self.limits.words):
            return "words"
        return "" if _within(axons, self.limits.in_axons) else "in_axons"

    def _received(self, part: Slice) -> tuple[int, int]:
        """Words of the lists of a slice and entries of the axons that end there."""
        found = [self._totals(number, part) for number in self.into[part.population]]
        return sum(item.stored for item in found), sum(item.entries for item in found)

    def _sends(self, name: str, parts: Sequence[Slice]) -> bool:
        limit = self.limits.out_axons
        return not limit or int(self._sent(name, parts).max()) <= limit

    def _sent(self, name: str, parts: Sequence[Slice]) -> A:
        """int64 (slice,): entries of the axons that start there."""
        shape = self.populations[name].shape
        owner = np.zeros(shape, np.int64)
        for number, part in enumerate(parts):
            owner[tuple(map(slice, part.start, part.stop))] = number
        owner = owner.reshape(-1)
        found = np.zeros(len(parts))
        for axons in self._sending(name, parts):
            found += np.bincount(owner, axons.on(owner), len(parts))
        return found.astype(np.int64)

    def _least_load(self, name: str) -> A:
        """int64 (neuron,): entries that its axons take, if neurons share as many as they can."""
        none = np.zeros(self.populations[name].size, np.int64)
        return sum((axons.least for axons in self._sending(name)), none)

    def _sending(self, name: str, parts: Sequence[Slice] = ()) -> Iterator[Starts]:
        """What axons from a population take; those to itself if it is cut into `parts`."""
        for number in self.out[name]:
            if self.groups[number].target == name:
                yield self._starts(number, parts)
            elif number in self.starts:
                yield self.starts[number]

    def _starts(self, number: int, parts: Sequence[Slice]) -> Starts:
        group = self.groups[number]
        shape = self.populations[group.target].shape
        return starts(group, shape, parts, self.architecture.synapses)

    def _cost(self, parts: Sequence[Slice]) -> int:
        return sum(sum(self._received(part)) for part in parts)

    def _totals(self, number: int, part: Slice) -> Totals:
        group, shape = self.groups[number], self.populations[part.population].shape
        key = (number, *_likeness(group, shape, part))
        if key not in self.known:
            self.known[key] = totals(group, shape, part, self.architecture.synapses)
        return self.known[key]

    def _described(self, name: str) -> Iterator[Piece]:
        parts, each = self.splits[name], self.populations[name].compartments
        for part, sent in zip(parts, self._sent(name, parts), strict=True):
            words, axons = self._received(part)
            yield Piece(part, part.size * each, words, axons, int(sent), self._slots(name))

    def _check_network(self) -> None:
        """Refuses a layer, or a network, of more compartments than all cores have."""
        limit = self.limits.compartments
        taken = {name: node.size * node.compartments for name, node in self.populations.items()}
        cores = -(-sum(taken.values()) // limit)
        if cores > self.architecture.mesh.cores:
            most = max(taken, key=lambda name: taken[name])
            self._least(most)
            raise refusals.network(most, -(-taken[most] // limit), cores, self.architecture)

    def _check_neurons(self, name: str) -> None:
        """Refuses a population with a neuron that takes more than a core has."""
        node, limits = self.populations[name], self.limits
        whole = Slice(name, (0,) * len(node.shape), node.shape)
        groups = (self.groups[number] for number in self.into[name])
        synapses = sum((fan_in(group, node.shape, whole) for group in groups), np.zeros(1, int))
        most = tuple(map(int, np.unravel_index(int(synapses.argmax()), node.shape)))
        one = Slice(name, most, tuple(at + 1 for at in most))
        words, axons = self._received(one)
        taken = {
            "compartments": node.compartments,
            "delay_slots": node.compartments * self._slots(name),
            "fan_in": int(synapses.max()),
            "words": words,
            "in_axons": axons,
            "out_axons": self._most_sent(name, one),
        }
        for key, value in taken.items():
            if not _within(value, getattr(limits, key)):
                raise refusals.neuron(name, key, value, self.architecture)

    def _most_sent(self, name: str, one: Slice) -> int:
        """Most entries that a neuron's axons take; of those to its own population, to `one`."""
        none = np.zeros(self.populations[name].size, np.int64)
        return int(sum((axons.most for axons in self._sending(name, (one,))), none).max())


def _within(value: int, limit: int) -> bool:
    return not limit or value <= limit


def _likeness(group: Synapse, shape: Sequence[int], part: Slice) -> tuple[Any, ...]:
    """What determines the size of a group's lists on a slice."""
    if isinstance(group, Dense):
        return (part.size,)
    if not isinstance(group, Conv) or tuple(shape) != group.out_shape:
        return part.start, part.stop
    share = len(group.weight) // group.groups
    first, last = part.start[0], part.stop[0] - 1
    found = [first % share if first // share != last // share else 0, last - first]
    for axis in (0, 1):
        stride, kernel = group.stride[axis], group.weight.shape[2 + axis]
        low = part.start[axis + 1] * stride - group.padding[axis]
        high = (part.stop[axis + 1] - 1) * stride - group.padding[axis]
        beyond = high + group.dilation[axis] * (kernel - 1) + 1 - group.in_shape[axis + 1]
        found += [high - low, min(low, 0), max(beyond, 0)]
    return tuple(found)


__all__ = ["Partition", "Piece", "slots_of"]
