"""Random programs, architectures, placements and inputs: all from a seed.

`case(seed)` is built directly: inputs (spikes and graded), neurons of all kinds of all chips,
dense, sparse and convolutional synapses, several into one population, delays, loops.
`lowered_cases` are what random graphs become on Loihi 1 and 2. All are small, so that the plain
simulator takes some milliseconds for each.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc.targets.cores.architecture import (
    SHARED,
    Architecture,
    CoreLimits,
    Cycles,
    Energies,
    Mesh,
    SynapseFormat,
)
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    Conv,
    Dense,
    Lif,
    MultiCompartment,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
    all_synapses,
)
from snnc.targets.loihi.model import host_streams
from tests.targets.graphs import Wanted, int_cases
from tests.targets.loihi.cases import chip_cases, drawn
from tests.targets.loihi.nets import LOIHI1, LOIHI2, carried

A = NDArray[Any]
Rng = np.random.Generator
GRADED_BITS = 24
"""Payload of a neuron that never fires."""


@dataclass(frozen=True, eq=False)
class Case:
    """A program, where it lies, on what, and the host's data (sample, step, …) for T = `steps`."""

    program: Program
    mapping: Mapping
    architecture: Architecture
    streams: Table[str, A]
    steps: int


def case(seed: int) -> Case:
    """A case built directly."""
    rng = np.random.default_rng(seed)
    program, steps = program_of(rng), int(rng.integers(1, 6))
    streams = streams_of(rng, program, int(rng.integers(1, 3)), steps)
    return placed(rng, program, streams, steps)


def placed(rng: Rng, program: Program, streams: Table[str, A], steps: int) -> Case:
    """Any program on a random architecture, in a random place."""
    architecture = architecture_of(rng)
    return Case(program, mapping_of(rng, program, architecture), architecture, streams, steps)


def lowered_cases(count: int, seed: int) -> list[tuple[Graph, dict[str, A], Case]]:
    """(graph, inputs, case): half of them of Loihi 1's own neurons, half of Loihi 2's; those that
    the chip refuses, and the large ones, are left out."""
    loihi2 = drawn(count - count // 2, seed, int_cases(Wanted(products=False, depth=3), 2))
    loihi1 = drawn(count // 2, seed, chip_cases(samples=2))
    rng = np.random.default_rng(seed)
    found = []
    for limits, graphs in ((LOIHI2, loihi2), (LOIHI1, loihi1)):
        for graph, inputs in graphs:
            program = carried(graph, limits)
            if program is not None and sum(map(_synapses, all_synapses(program))) < 5000:
                found.append((graph, inputs, placed(rng, program, *host_streams(graph, inputs))))
    return found


def _synapses(group: Synapse) -> int:
    """The group's synapses, or a few more."""
    positions = int(np.prod(group.out_shape[1:])) if isinstance(group, Conv) else 1
    return group.count * positions


# Programs


def program_of(rng: Rng) -> Program:
    """One or two inputs and one to four populations, the later fed by some of the earlier."""
    names = [f"in{n}" for n in range(rng.integers(1, 3))]
    table: dict[str, Population] = {name: _source(rng) for name in names}
    synapses: list[Synapse] = []
    for number in range(int(rng.integers(1, 5))):
        silent = [name for name in names if _silent(table[name])]
        heard = [name for name in names if name not in silent]
        sources = [str(name) for name in rng.choice(heard, rng.integers(1, min(3, len(heard)) + 1))]
        lag = 1 + max(table[name].lag for name in sources) + int(rng.integers(0, 3) == 0)
        name = f"n{number}"
        first, shape = _hop(rng, table, sources[0], name, lag)
        table[name] = _neurons(rng, shape, lag)
        synapses += [first, *(_matrix(rng, table, source, name) for source in sources[1:])]
        names.append(name)
    synapses += _loops(rng, table)
    synapses = [synapses[n] for n in rng.permutation(len(synapses))]
    return Program(table, tuple(synapses))


def _silent(population: Population) -> bool:
    """Whether nothing can listen: Loihi 1 has no payload for what never fires."""
    return isinstance(population, MultiCompartment) and not population.fires


def _shape(rng: Rng) -> tuple[int, ...]:
    axes = int(rng.choice([1, 2, 3, 3]))
    return tuple(int(n) for n in rng.integers(1, (13, 7, 6)[axes - 1], axes))


def _source(rng: Rng) -> Source:
    bits, signed = int(rng.choice([0, 0, 2, 5])), bool(rng.integers(2))
    return Source(_shape(rng), 0, bits, signed)


def _hop(
    rng: Rng, table: Table[str, Population], source: str, target: str, lag: int
) -> tuple[Synapse, tuple[int, ...]]:
    """A synapse group into a population that is to be, and its shape."""
    node = table[source]
    if len(node.shape) > 1 and not _wide(node) and rng.random() < 0.75:
        conv = _conv(rng, table, source, target, lag)
        shape = conv.out_shape
        if len(node.shape) == 2:
            shape = (shape[0], shape[2])
        return conv, shape if rng.random() < 0.85 else (int(np.prod(shape)),)
    shape = _shape(rng)
    return _matrix(rng, {**table, target: Source(shape, lag, 0, False)}, source, target), shape


def _wide(population: Population) -> bool:
    return isinstance(population, Canonical) and not population.fires


def _common(
    rng: Rng, source: Population, names: tuple[str, str], lag: int
) -> tuple[str, str, int, int, int, int]:
    """Everything but weights; the graph's own delay, which is the gate, is 0 or more."""
    least = max(0, source.lag - lag + 1)
    late = least + int(rng.choice([0, 0, 0, 1, 2, 5]))
    bits = source.bits if isinstance(source, Source) else GRADED_BITS * source.graded
    exp = -8 if _wide(source) else int(rng.choice([0, 0, 0, 1, 3, -1, -3]))
    return *names, lag - source.lag - 1 + late, late, bits, exp


def _weights(rng: Rng, source: Population, shape: tuple[int, ...]) -> A:
    """Of different widths and signs; small behind a state of 24 bits."""
    size = 1 if _wide(source) else int(rng.choice([1, 3, 40, 256]))
    low = -size if rng.random() < 0.7 else 0
    weights = rng.integers(low, size, shape) << int(rng.choice([0, 0, 1, 3]) * (size < 32))
    return (weights * (rng.random(shape) < rng.choice([0.3, 1.0]))).astype(np.int16)


def _matrix(rng: Rng, table: Table[str, Population], source: str, target: str) -> Synapse:
    a, b = table[source], table[target]
    common = _common(rng, a, (source, target), b.lag)
    weight = _weights(rng, a, (b.size, a.size))
    if rng.random() < 0.5:
        return Dense(*common, weight)
    stored = rng.random(weight.shape) < rng.choice([0.1, 0.5, 0.9])
    rows, columns = np.nonzero(stored)
    indptr = np.concatenate([[0], np.cumsum(stored.sum(1))]).astype(np.int32)
    return Sparse(*common, weight[rows, columns], columns.astype(np.int32), indptr, weight.shape)


def _conv(rng: Rng, table: Table[str, Population], source: str, target: str, lag: int) -> Conv:
    """Over rows and columns, or over one row where the input has no rows."""
    node = table[source]
    shape = node.shape if len(node.shape) == 3 else (node.shape[0], 1, node.shape[1])
    groups = int(rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    kernel, stride, padding, dilation = zip(
        *(_window(rng, extent) for extent in shape[1:]), strict=True
    )
    weight = _weights(rng, node, (groups * int(rng.integers(1, 4)), shape[0] // groups, *kernel))
    common = _common(rng, node, (source, target), lag)
    return Conv(*common, weight, shape, stride, padding, dilation, groups)


def _window(rng: Rng, extent: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation along an axis, such that something comes out."""
    if extent == 1:
        return 1, 1, 0, 1
    while True:
        kernel, stride, padding, dilation = (
            int(rng.integers(*bounds)) for bounds in ((1, 4), (1, 4), (0, 3), (1, 3))
        )
        if dilation * (kernel - 1) < extent + 2 * padding:
            return kernel, stride, padding, dilation


def _loops(rng: Rng, table: Table[str, Population]) -> list[Synapse]:
    """Some hops from neurons that fire to themselves or to those before them."""
    neurons = [name for name in table if not isinstance(table[name], Source)]
    firing = [name for name in neurons if not table[name].graded]
    return [
        _matrix(rng, table, source, target)
        for source in firing for target in neurons
        if table[source].lag >= table[target].lag and rng.random() < 0.25
    ]  # fmt: skip


def _neurons(rng: Rng, shape: tuple[int, ...], lag: int) -> Population:
    def some(low: int, high: int) -> A:
        form = shape if rng.random() < 0.5 else ()
        return np.asarray(rng.integers(low, high, form), np.int64)

    def decay() -> int:
        return int(rng.choice([0, 1, 400, 2048, 4095, 4096]))

    vth, bias_exp = int(rng.choice([0, 3, 30, 300])), int(rng.integers(0, 4))
    bias = np.broadcast_to(some(-20, 100) << int(rng.integers(0, 5)), shape)
    chip = {"vth": vth, "bias_mant": bias, "bias_exp": bias_exp}
    kind = rng.integers(5)
    if kind == 0:
        return Lif(shape, lag, du=min(decay(), 4095), dv=min(decay(), 4095), **chip)
    chip |= {"du": decay(), "dv": decay(), "v_init": some(-500, 500)}
    if kind == 1:
        return Compartment(shape, lag, hold=int(rng.integers(0, 3)), **chip)
    if kind == 2:
        fed = int(rng.integers(0, 3))
        weights = tuple(int(w) for w in rng.choice([-128, -7, -1, 5], fed))
        exps = tuple(int(e) for e in rng.integers(-2, 4, fed))
        fires = fed > 0 or rng.random() < 0.7
        return MultiCompartment(shape, lag, weights=weights, exps=exps, fires=fires, read_less=0,
                                **chip)  # fmt: skip
    fires = rng.random() < 0.8
    reset, reset_at = [("hard", "now"), ("hard", "after"), ("soft", "now"), ("soft", "after"),
                       ("soft", "guarded"), ("none", "now")][rng.integers(6)]  # fmt: skip
    return Canonical(
        shape, lag, du=some(0, 4097), dv=some(0, 4097), theta=some(0, 5000), bias_v=some(-99, 999),
        bias_u=some(-9, 9), v_sub=some(0, 3000), v_init=some(-900, 900),
        shift=int(rng.choice([6, 3, 0])), reset=reset if fires else "none",
        reset_at=reset_at if fires else "now", order=str(rng.choice(["uv", "vu"])), fires=fires,
        state_bits=GRADED_BITS,
    )  # fmt: skip


def streams_of(rng: Rng, program: Program, samples: int, steps: int) -> dict[str, A]:
    """Random data for every source, of random density."""
    table: dict[str, A] = {}
    for name, node in program.populations.items():
        if isinstance(node, Source):
            high = 1 << max(0, node.bits - node.signed)
            low = -high if node.signed and node.bits else 0
            size = (samples, steps, *node.shape)
            values = rng.integers(low, high, size) if node.bits else np.ones(size, np.int64)
            table[name] = values * (rng.random(size) < rng.choice([0.1, 0.5, 0.9]))
    return table


# Architectures and placements


def architecture_of(rng: Rng) -> Architecture:
    """Short times, small meshes, formats of any kind; no limits but those that always hold."""

    def to(high: int, low: int = 0) -> int:
        return int(rng.integers(low, high + 1))

    mesh = Mesh(to(4, 1), to(4, 1), to(4, 1), (to(2, 1), to(2, 1)), (0, 0))
    width, height = mesh.extent
    mesh = replace(mesh, host=(to(width - 1), to(height - 1)))
    tiles = sorted({1, *(to(20, 2) for _ in range(to(2)))})
    return Architecture(
        chip="random", summary="drawn at random",
        core=CoreLimits(1 << 20, 0, 0, 0, 0, 0, 0),
        synapses=_layout(rng, to),
        mesh=mesh,
        cycles=Cycles(
            ns=1.0, update=to(3), axon_out=to(3, 1), host_out=to(3, 1), link=to(3, 1),
            hop_x=to(4, 1), hop_y=to(4, 1), local=to(3), axon_in=to(4), word=to(3), synapse=to(3),
            barrier=tuple((n, to(50)) for n in tiles), chip_barrier=to(99),
        ),
        energy=Energies(*(float(to(9)) for _ in range(11))),
        figures={},
    )  # fmt: skip


def _layout(rng: Rng, to: Any) -> SynapseFormat:
    formats = [str(name) for name in rng.permutation(["dense", "sparse", "runlength"])]
    formats = formats[: to(3, 1)]
    least = int("runlength" in formats)
    skips = sorted(int(r) for r in rng.choice(range(1, 6), to(3, least), replace=False))
    widths = sorted(int(w) for w in rng.choice(range(1, 9), to(6), replace=False))
    return SynapseFormat(
        word_bits=to(64, 4), header_bits=to(16), entry_synapses=to(12, 1),
        weight_bits=(*widths, 9), delay_bits=6, formats=tuple(formats), skip_bits=tuple(skips),
        shared=SHARED[to(2)], axon_entries=to(2, 1), shared_axon_entries=to(3, 1),
    )  # fmt: skip


def mapping_of(rng: Rng, program: Program, architecture: Architecture) -> Mapping:
    """Boxes between random cuts along each axis, on random ones of some random cores."""
    mesh = architecture.mesh
    width, height = mesh.extent
    places = [
        ((x, y), slot)
        for x, y, slot in product(range(width), range(height), range(mesh.cores_per_tile))
    ]
    most = min(len(places), 12)
    chosen = rng.permutation(len(places))[: rng.integers(1, most + 1)]
    slices: list[list[Slice]] = [[] for _ in chosen]
    neurons = [name for name, node in program.populations.items() if not isinstance(node, Source)]
    for name in rng.permutation(neurons):
        shape = program.populations[str(name)].shape
        boxes = _boxes(rng, str(name), shape, len(chosen))
        for box, core in zip(boxes, rng.permutation(len(chosen))[: len(boxes)], strict=True):
            slices[core].append(box)
    cores = [
        Core(*places[place], tuple(held))
        for place, held in zip(chosen, slices, strict=True) if held
    ]  # fmt: skip
    return Mapping(architecture.chip, tuple(cores))


def _boxes(rng: Rng, name: str, shape: tuple[int, ...], most: int) -> list[Slice]:
    """A partition of a population into at most so many boxes, in any order."""
    cuts = [[0, extent] for extent in shape]
    while True:
        axis = int(rng.integers(len(shape)))
        tried = [list(c) for c in cuts]
        tried[axis] = sorted({*tried[axis], int(rng.integers(0, shape[axis] + 1))})
        if rng.random() < 0.2 or np.prod([len(c) - 1 for c in tried]) > most:
            break
        cuts = tried
    boxes = list(product(*map(pairwise, cuts)))
    return [
        Slice(name, *(tuple(ends) for ends in zip(*boxes[n], strict=True)))
        for n in rng.permutation(len(boxes))
    ]
