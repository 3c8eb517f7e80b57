"""Checks a mapping after every compile: counts neurons, synapses, axons and words again.

Shares no code with what finds the mapping. Every synapse is counted three times: at its source, at
its target, and in the lists that `recount` puts together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Architecture, Mesh, SynapseFormat
from snnc.targets.cores.axons import Axons, Sender
from snnc.targets.cores.checks.recount import Recount, column_of, columns, fans, recount, wrong
from snnc.targets.cores.mapping import Mapping, Slice
from snnc.targets.cores.program import Conv, Program, Source, Synapse, all_synapses

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Usage:
    """What is used of every core, int64 (core,) each.

    Attributes:
        compartments, neurons: their numbers. populations: slices.
        words: words of synaptic memory. synapses: synapses stored; of shared lists, all they serve.
        in_axons, out_axons: entries of the axons that end and start here.
        fan_in: most synapses of a neuron. delay_slots: slots of the accumulators.
    """

    compartments: A
    neurons: A
    populations: A
    words: A
    synapses: A
    in_axons: A
    out_axons: A
    fan_in: A
    delay_slots: A


LIMITS = (
    "compartments", "populations", "words", "in_axons", "out_axons", "fan_in", "delay_slots",
)  # fmt: skip


def validate(program: Program, mapping: Mapping, axons: Axons, architecture: Architecture) -> Usage:
    """Checks a mapping and its axons against the rules and limits of docs/mapping.md.

    Time and memory are linear in neurons, axons and weights, up to sorting.

    Raises:
        ArtefactError: the first rule or limit that is broken, by core, population or group.
    """
    _check_seats(mapping, architecture)
    owners = _owners(program, mapping)
    groups = all_synapses(program)
    pairs = _check_senders(program, mapping, axons, groups)
    usage = _count(program, mapping, owners)
    fan_in = {name: np.zeros(len(owner), np.int64) for name, owner in owners.items()}
    for number, group in enumerate(groups):
        owner = owners[group.target]
        fan_in[group.target] += _count_group(
            number, group, axons, owner, architecture.synapses, usage
        )
    for name, owner in owners.items():
        np.maximum.at(usage.fan_in, owner, fan_in[name])
    for core, delay in enumerate(usage.delay_slots):
        usage.delay_slots[core] = usage.compartments[core] << (int(delay) + 1).bit_length()
    _check_limits(usage, architecture)
    _check_routes(pairs, mapping, architecture.mesh)
    return usage


# Cores and neurons


def _check_seats(mapping: Mapping, architecture: Architecture) -> None:
    if mapping.chip != architecture.chip:
        raise wrong("mapping", f"is for chip {mapping.chip}, not {architecture.chip}")
    across, down = architecture.mesh.extent
    slots, taken = architecture.mesh.cores_per_tile, dict[tuple[int, int, int], int]()
    for number, core in enumerate(mapping.cores):
        (x, y), slot = core.tile, core.slot
        if not (0 <= x < across and 0 <= y < down and 0 <= slot < slots):
            raise wrong(
                f"core {number}",
                f"tile ({x}, {y}), slot {slot}: there are {across} × {down} tiles of {slots} slots",
            )
        other = taken.setdefault((x, y, slot), number)
        if other != number:
            raise wrong(
                f"core {number}", f"tile ({x}, {y}), slot {slot} is that of core {other}, too"
            )


def _owners(program: Program, mapping: Mapping) -> dict[str, A]:
    """By population on cores, int32 (neuron,) the core of each neuron."""
    owners = {
        name: np.full(population.shape, -1, np.int32)
        for name, population in program.populations.items()
        if not isinstance(population, Source)
    }
    for number, core in enumerate(mapping.cores):
        names = [part.population for part in core.slices]
        if not names:
            raise wrong(f"core {number}", "holds no neurons")
        for part in core.slices:
            if names.count(part.population) > 1:
                raise wrong(f"core {number}", f"holds several slices of {part.population}")
            _own(number, part, owners)
    for name, owner in owners.items():
        missing = int((owner < 0).sum())
        if missing:
            first = int(np.argmax(owner.reshape(-1) < 0))
            raise wrong(name, f"{missing:,} neurons lie on no core, the first is {first:,}")
    return {name: owner.reshape(-1) for name, owner in owners.items()}


def _own(number: int, part: Slice, owners: dict[str, A]) -> None:
    owner = owners.get(part.population)
    if owner is None:
        raise wrong(f"core {number}", f"holds {part.population}, no population of the chip")
    box, shape = (part.start, part.stop), owner.shape
    fits = {len(part.start), len(part.stop)} == {len(shape)}
    if not fits or not all(0 <= a < b <= n for a, b, n in zip(*box, shape, strict=True)):
        raise wrong(
            f"core {number}",
            f"holds {part.start}…{part.stop} of {part.population}, whose shape is {shape}",
        )
    inside = owner[tuple(map(slice, *box))] if shape else owner
    if (inside >= 0).any():
        others = ", ".join(str(other) for other in np.unique(inside[inside >= 0])[:4])
        raise wrong(
            part.population,
            f"{int((inside >= 0).sum()):,} neurons of core {number} lie on core {others}, too",
        )
    inside[...] = number


def _count(program: Program, mapping: Mapping, owners: dict[str, A]) -> Usage:
    """Counts the neurons; all else is 0 yet, with delays in the place of slots."""
    usage = Usage(*(np.zeros(len(mapping.cores), np.int64) for _ in Usage.__annotations__))
    for name, owner in owners.items():
        held = np.bincount(owner, minlength=len(mapping.cores))
        usage.neurons[:] += held
        usage.populations[:] += held > 0
        usage.compartments[:] += held * program.populations[name].compartments
    return usage


# Senders


def _check_senders(
    program: Program, mapping: Mapping, axons: Axons, groups: Sequence[Synapse]
) -> A:
    """Checks that the axons are lists of axons; returns the pairs (sender, core) that they join,
    (pair, 2), the host being the sender behind the last core."""
    if len(axons.cores) != len(mapping.cores):
        raise wrong("axons", f"of {len(axons.cores)} cores, there are {len(mapping.cores)}")
    joined = []
    for number, (place, sender) in enumerate(_senders(axons)):
        slices = mapping.cores[number].slices if number < len(mapping.cores) else None
        _check_parts(place, sender, slices, program)
        _check_lists(place, sender, groups, len(mapping.cores))
        met = np.flatnonzero(np.bincount(sender.target, minlength=1))
        joined.append(np.stack([np.full(len(met), number), met], 1))
    return np.concatenate(joined)


def _senders(axons: Axons) -> Iterator[tuple[str, Sender]]:
    for number, sender in enumerate(axons.cores):
        yield f"core {number}", sender
    yield "host", axons.host


def _check_parts(
    place: str, sender: Sender, slices: Sequence[Slice] | None, program: Program
) -> None:
    """Checks that a sender has the neurons that the mapping gives it (None: the host)."""
    populations, parts = program.populations, [name for name, _ in sender.parts]
    if slices is None:
        names = [name for name, node in populations.items() if isinstance(node, Source)]
        found = [np.arange(populations[name].size) for name in names]
        compartments = [0] * len(names)
    else:
        names = [part.population for part in slices]
        found = [_flat(populations[part.population].shape, part) for part in slices]
        compartments = [populations[name].compartments for name in names]
    if parts != names:
        raise wrong(place, f"sends for {', '.join(parts)}, it holds {', '.join(names)}")
    for (name, index), other in zip(sender.parts, found, strict=True):
        if not np.array_equal(index, other):
            raise wrong(place, f"sends for other neurons of {name} than it holds")
    sizes = [len(index) for index in found]
    if not np.array_equal(sender.compartments, np.repeat(compartments, sizes)):
        raise wrong(place, f"its neurons have other than {compartments} compartments each")
    if sender.size != sum(sizes):
        raise wrong(place, f"has axon lists for {sender.size:,} neurons, it has {sum(sizes):,}")


def _flat(shape: Sequence[int], part: Slice) -> A:
    box = tuple(map(slice, part.start, part.stop))
    return np.arange(math.prod(shape)).reshape(shape)[box].reshape(-1)


def _check_lists(place: str, sender: Sender, groups: Sequence[Synapse], cores: int) -> None:
    """Checks that what a sender says of its axons has sense, each on its own, and their order."""
    said = (sender.target, sender.group, sender.operations, sender.words)
    ends, count = sender.indptr, len(sender.target)
    sound = ends[0] == 0 and ends[-1] == count and (np.diff(ends) >= 0).all()
    if not sound or any(len(column) != count for column in said):
        raise wrong(place, f"its lists of axons don't make up its {count:,} axons")
    if not count:
        return
    bounds = (("core", cores), ("group", len(groups)))
    for (what, end), column in zip(bounds, said, strict=False):
        if column.min() < 0 or column.max() >= end:
            raise wrong(
                place, f"an axon names {what} {column.min()} or {column.max()}, there are {end}"
            )
    if min(sender.operations.min(), sender.words.min()) < 1:
        raise wrong(place, "an axon leads to a list of less than one operation or word")
    key = sender.target.astype(np.int64) * len(groups) + sender.group
    rises = np.diff(key) > 0
    starts = ends[(ends > 0) & (ends < count)]
    rises[starts - 1] = True
    if not rises.all():
        number = int(np.searchsorted(ends, np.argmin(rises), "right")) - 1
        raise wrong(place, f"the axons of its neuron {number:,} are doubled or in no order")
    first = 0
    for name, index in sender.parts:
        own = slice(int(ends[first]), int(ends[first + len(index)]))
        for number in np.flatnonzero(np.bincount(sender.group[own], minlength=1)):
            if groups[number].source != name:
                raise wrong(place, f"{name} has an axon of group {number}, not one of its own")
        first += len(index)


# Synapses


@dataclass(frozen=True, eq=False)
class _Leaving:
    """The axons of a group, (axon,), neuron by neuron: the source neuron, the sender, and what
    `Sender` says."""

    neuron: A
    sender: A
    target: A
    operations: A
    words: A


def _count_group(
    number: int, group: Synapse, axons: Axons, owner: A, layout: SynapseFormat, usage: Usage
) -> A:
    """Compares the axons of a group with its synapses and adds them to `usage`.

    Returns int64 (target neuron,) the synapses of each.
    """
    name, cores = f"group {number}, {group.source} → {group.target}", len(usage.neurons)
    leaving = _leaving(number, group.source, axons)
    into, out = fans(group)
    _check_sums(name, "neuron", np.bincount(leaving.neuron, leaving.operations, len(out)), out)
    arrived = np.bincount(leaving.target, leaving.operations, cores)
    _check_sums(name, "core", arrived, np.bincount(owner, into, cores))
    lists = recount(group, owner, cores, layout)
    _check_axons(name, group, leaving, lists, len(out))
    ending, starting = _entries(group, leaving, lists.shared, layout, len(out))
    usage.synapses[:] += arrived.astype(np.int64)
    usage.in_axons[:] += np.bincount(leaving.target, ending, cores).astype(np.int64)
    sent = np.bincount(leaving.sender, starting, cores + 1)[:cores]
    usage.out_axons[:] += sent.astype(np.int64)
    usage.words[:] += lists.stored
    np.maximum.at(usage.delay_slots, lists.core, group.delay)
    return into


def _entries(
    group: Synapse, leaving: _Leaving, shared: A, layout: SynapseFormat, size: int
) -> tuple[A, A]:
    """Entries of each axon where it ends and where it starts, at one of `size` neurons.

    Where kernels are shared, the first channel's count for its block; where axons start, also those
    of every channel whose predecessor starts elsewhere.
    """
    where = shared[leaving.target]
    ending = np.where(where, layout.shared_axon_entries, layout.axon_entries)
    if not isinstance(group, Conv) or layout.shared != "kernels":
        return ending, ending
    plane = math.prod(group.in_shape[1:])
    first = leaving.neuron // plane % group.weight.shape[1] == 0
    way = (leaving.sender.astype(np.int64) * len(shared) + leaving.target) * size
    heads = first | ~np.isin(way + leaving.neuron - plane, way + leaving.neuron)
    return ending * (first | ~where), ending * (heads | ~where)


def _leaving(number: int, source: str, axons: Axons) -> _Leaving:
    rows: list[tuple[A, ...]] = []
    for place, sender in enumerate((*axons.cores, axons.host)):
        first = 0
        for name, index in sender.parts:
            ends = sender.indptr[first : first + len(index) + 1]
            first += len(index)
            if name != source:
                continue
            own = slice(int(ends[0]), int(ends[-1]))
            kept = sender.group[own] == number
            said = (sender.target, sender.operations, sender.words)
            target, operations, words = (column[own][kept] for column in said)
            neuron = np.repeat(index, np.diff(ends))[kept]
            rows.append((neuron, np.full(len(neuron), place, np.int32), target, operations, words))
    return _Leaving(*map(np.concatenate, zip(*rows, strict=True)))


def _check_sums(name: str, what: str, found: A, wanted: A) -> None:
    other = np.flatnonzero(found != wanted)
    if len(other):
        first = other[0]
        raise wrong(
            name,
            f"the axons of {what} {first:,} lead to {int(found[first]):,} of its"
            f" {int(wanted[first]):,} synapses; {len(other):,} {what}s are wrong",
        )


def _check_axons(name: str, group: Synapse, leaving: _Leaving, lists: Recount, size: int) -> None:
    """Checks that the axons of each source neuron, of `size`, are those to the lists of its column.

    Both are in the order of cores.
    """
    order = np.lexsort((lists.core, lists.column))
    counts = np.bincount(lists.column, minlength=columns(group)[0])
    first = np.flatnonzero(np.diff(leaving.neuron, prepend=-1))
    given = np.diff(first, append=len(leaving.neuron))
    neurons = leaving.neuron[first]
    column = column_of(group, neurons)
    wanted = counts[column_of(group, np.arange(size))]
    _check_equal(name, "axons", np.bincount(neurons, given, size), wanted, np.arange(size))
    begin = np.cumsum(counts) - counts
    at = np.arange(len(leaving.neuron)) + np.repeat(begin[column] - first, given)
    for what in ("target", "operations", "words"):
        right = lists.core if what == "target" else getattr(lists, what)
        _check_equal(name, what, getattr(leaving, what), right[order][at], leaving.neuron)


def _check_equal(name: str, what: str, found: A, right: A, neurons: A) -> None:
    other = np.flatnonzero(found != right)
    if len(other):
        n = other[0]
        raise wrong(
            name, f"{what} of neuron {neurons[n]:,}: {int(found[n]):,}, should be {right[n]:,}"
        )


# Limits and routes


def _check_limits(usage: Usage, architecture: Architecture) -> None:
    for name in LIMITS:
        limit, used = getattr(architecture.core, name), getattr(usage, name)
        over = np.flatnonzero((used > limit) & (limit > 0))
        if len(over):
            raise wrong(f"core {over[0]}", f"{used[over[0]]:,} {name}, the chip has {limit:,}")


def _check_routes(pairs: A, mapping: Mapping, mesh: Mesh) -> None:
    """Walks from every sender to the cores of its axons, along x and then along y."""
    tiles = np.asarray([*(core.tile for core in mapping.cores), mesh.host], np.int64)
    here, there = tiles[pairs[:, 0]], tiles[pairs[:, 1]]
    corner = np.stack([there[:, 0], here[:, 1]], 1)
    for axis, (start, end) in enumerate(((here, corner), (corner, there))):
        legs = np.unique(np.concatenate([start, end], 1), axis=0)
        _walk(legs[:, :2], legs[:, 2:], axis, mesh)


def _walk(at: A, end: A, axis: int, mesh: Mesh) -> None:
    extent = np.asarray(mesh.extent)
    for _ in range(extent[axis]):
        outside = ((at < 0) | (at >= extent)).any(1)
        if outside.any():
            x, y = at[outside][0]
            raise wrong("routes", f"a packet comes to ({x}, {y}), outside the mesh")
        under_way = (at != end).any(1)
        at, end = at[under_way], end[under_way]
        if not len(at):
            return
        at[:, axis] += np.sign(end[:, axis] - at[:, axis])
    raise wrong("routes", f"a packet to {tuple(end[0])} doesn't arrive")


__all__ = ["Usage", "validate"]
