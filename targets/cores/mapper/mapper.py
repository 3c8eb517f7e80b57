"""From a program to its mapping: slices, what shares a core, and where cores lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.targets.cores.architecture import Architecture, SynapseFormat
from snnc.targets.cores.mapper import refusals
from snnc.targets.cores.mapper.partition import Partition
from snnc.targets.cores.mapper.place import place
from snnc.targets.cores.mapper.refine import refine
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import Program, all_synapses
from snnc.targets.cores.storage.sizes import ends

A = NDArray[Any]
Held = Sequence[Sequence[Slice]]


def map_program(program: Program, architecture: Architecture) -> Mapping:
    """Lays a program out on the cores of a chip; the same program gives the same mapping.

    Raises:
        RefusedError: what takes more than a core has, or more cores than there are; names the
            population, or the link where weights or a delay are too wide.
    """
    found = refine(Partition(program, architecture), architecture.core)
    held = [[found.pieces[n].part for n in core] for core in found.cores]
    _check_count(held, architecture)
    traffic, host = traffic_of(program, held, architecture.synapses)
    seats = place(traffic, host, architecture.mesh)
    cores = (
        Core((int(x), int(y)), int(slot), tuple(parts))
        for (x, y, slot), parts in zip(seats, held, strict=True)
    )
    return Mapping(architecture.chip, tuple(cores))


def traffic_of(program: Program, held: Held, layout: SynapseFormat) -> tuple[Any, A]:
    """Axons from core to core, a csr_array (core, core), and from the host, int64 (core,).

    Args:
        held: slices of each core.
    """
    core_of = {
        name: np.full(node.size, len(held), np.int64) for name, node in program.populations.items()
    }
    shapes = {name: node.shape for name, node in program.populations.items()}
    parts = [(core, part) for core, slices in enumerate(held) for part in slices]
    for core, part in parts:
        core_of[part.population][part.index(shapes[part.population])] = core
    counts: list[tuple[A, A, A]] = []
    groups = all_synapses(program)
    for core, part in parts:
        for group in (group for group in groups if group.target == part.population):
            found = ends(group, shapes[group.target], part, layout).source
            axons = np.bincount(core_of[group.source][found], minlength=len(held) + 1)
            senders = np.flatnonzero(axons)
            counts.append((axons[senders], senders, np.full(len(senders), core)))
    axons, senders, targets = (
        (np.concatenate([np.zeros(0, np.int64), *column]) for column in zip(*counts, strict=True))
        if counts
        else np.zeros((3, 0), np.int64)
    )
    square = (len(held) + 1, len(held))
    table = sparse.coo_array((axons, (senders, targets)), shape=square).tocsr()
    return table[:-1], table[-1:].toarray()[0]


def _check_count(held: Held, architecture: Architecture) -> None:
    mesh = architecture.mesh
    if len(held) <= mesh.cores:
        return
    counts: dict[str, int] = {}
    for part in (part for slices in held for part in slices):
        counts[part.population] = counts.get(part.population, 0) + 1
    most = max(counts, key=lambda name: counts[name])
    raise refusals.network(most, counts[most], len(held), architecture)


__all__ = ["map_program", "traffic_of"]
