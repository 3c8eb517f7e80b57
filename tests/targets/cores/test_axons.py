"""Axons of mapped programs, against their synapses written out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import ArtefactError
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Architecture, read_architecture
from snnc.targets.cores.axons import Axons, Sender, build_axons
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import (
    Dense,
    MultiCompartment,
    Population,
    Program,
    Source,
    Synapse,
    all_synapses,
)
from tests.targets.cores.storage.test_sizes import convolution, layouts, matrix, values, written_out
from tests.targets.cores.stored import lists

A = NDArray[Any]
LOIHI1 = read_architecture(CHIPS / "loihi1.toml")


def neurons(shape: tuple[int, ...], weights: tuple[int, ...] = ()) -> MultiCompartment:
    """Two compartments each, three where they feed `weights` back."""
    exps = (0,) * len(weights)
    return MultiCompartment(
        shape, 0, 4096, 0, 100, np.zeros(1, np.int16), 0, np.zeros(1, np.int32), weights, exps,
        True, 0,
    )  # fmt: skip


def between(group: Synapse, source: str, target: str) -> Synapse:
    return replace(group, source=source, target=target)


def drawn(rng: np.random.Generator) -> Program:
    """Two sources, a kernel, loose synapses, a loop, and neurons that feed themselves."""
    kernel = convolution(rng)
    inside, outside = int(np.prod(kernel.in_shape)), int(np.prod(kernel.out_shape))
    populations: dict[str, Population] = {
        "one": Source(kernel.in_shape, 0, 0, False),
        "map": neurons(kernel.out_shape, (-1, -2)[: rng.integers(3)]),
        "two": Source((3,), 0, 0, False),
        "last": neurons((inside,), (-3,)),
    }
    groups = (
        between(kernel, "one", "map"),
        between(matrix(rng, inside, outside), "map", "last"),
        Dense("two", "last", 0, 0, 0, 0, values(rng, (inside, 3))),
        between(kernel, "last", "map"),
        between(matrix(rng, inside, inside), "last", "last"),
    )
    return Program(populations, groups)


def pieces(rng: np.random.Generator, name: str, shape: Sequence[int]) -> list[Slice]:
    """Boxes that make up a population, cut along two axes."""
    boxes = [Slice(name, (0,) * len(shape), tuple(shape))]
    for axis in rng.integers(len(shape), size=2):
        cut = int(rng.integers(shape[axis] + 1))
        boxes = [part for box in boxes for part in halves(box, int(axis), cut)]
    return boxes


def halves(box: Slice, axis: int, cut: int) -> list[Slice]:
    if not box.start[axis] < cut < box.stop[axis]:
        return [box]
    stop = (*box.stop[:axis], cut, *box.stop[axis + 1 :])
    start = (*box.start[:axis], cut, *box.start[axis + 1 :])
    return [replace(box, stop=stop), replace(box, start=start)]


def mapped(rng: np.random.Generator, program: Program) -> Mapping:
    """Slices in any order on cores, of a population at most one to each."""
    held: list[list[Slice]] = [[] for _ in range(5)]
    for name, node in program.populations.items():
        if not isinstance(node, Source):
            parts = pieces(rng, name, node.shape)
            for core, part in zip(rng.permutation(5), parts, strict=False):
                held[core].insert(int(rng.integers(2)), part)
    return Mapping("loihi1", tuple(Core((0, 0), 0, tuple(parts)) for parts in held if parts))


def neurons_of(sender: Sender) -> list[tuple[str, int]]:
    return [(name, int(neuron)) for name, index in sender.parts for neuron in index]


def check(program: Program, mapping: Mapping, architecture: Architecture, found: Axons) -> int:
    """Compares every axon with the synapses that it stands for; returns how many there are."""
    groups = all_synapses(program)
    shapes = {name: node.shape for name, node in program.populations.items()}
    wanted: dict[tuple[str, int], dict[tuple[int, int], list[int]]] = {}
    for core, place in enumerate(mapping.cores):
        for part in place.slices:
            inside = set(part.index(shapes[part.population]).tolist())
            for number, group in enumerate(groups):
                if group.target != part.population:
                    continue
                stored = lists(group, shapes[group.target], part, architecture.synapses)
                for source, target, _ in written_out(group):
                    if target in inside:
                        of = wanted.setdefault((group.source, source), {})
                        of.setdefault((core, number), [0, int(stored.words[source])])[0] += 1
    for sender in (*found.cores, found.host):
        for n, neuron in enumerate(neurons_of(sender)):
            own = slice(sender.indptr[n], sender.indptr[n + 1])
            table = (sender.target, sender.group, sender.operations, sender.words)
            axons = list(zip(*(column[own].tolist() for column in table), strict=True))
            expected = sorted((*key, *item) for key, item in wanted.pop(neuron, {}).items())
            assert axons == expected
        assert sender.indptr[-1] == len(sender.target) == len(sender.words)
    assert not wanted
    return sum(len(sender.target) for sender in (*found.cores, found.host))


def test_axons_stand_for_the_synapses() -> None:
    total = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        program = drawn(rng)
        mapping = mapped(rng, program)
        layout = replace(layouts(rng), weight_bits=(4, 16))
        architecture = replace(LOIHI1, synapses=layout)
        found = build_axons(program, mapping, architecture)
        assert len(found.cores) == len(mapping.cores)
        for core, sender in zip(mapping.cores, found.cores, strict=True):
            assert [name for name, _ in sender.parts] == [part.population for part in core.slices]
            for (name, index), part in zip(sender.parts, core.slices, strict=True):
                shape = program.populations[name].shape
                np.testing.assert_array_equal(index, part.index(shape))
            nodes = [program.populations[name] for name, _ in neurons_of(sender)]
            assert sender.compartments.tolist() == [node.compartments for node in nodes]
        total += check(program, mapping, architecture, found)
    assert total > 5000


def small() -> tuple[Program, Mapping]:
    """Two inputs, all to all of three neurons that feed themselves back, two on core 1."""
    program = Program(
        {"in": Source((2,), 0, 0, False), "n": neurons((3,), (-1, -2))},
        (Dense("in", "n", 0, 0, 0, 0, np.ones((3, 2), np.int16)),),
    )
    parts = (Slice("n", (2,), (3,)), Slice("n", (0,), (2,)))
    return program, Mapping("loihi1", tuple(Core((0, 0), i, (p,)) for i, p in enumerate(parts)))


def test_a_small_program_by_hand() -> None:
    found = build_axons(*small(), LOIHI1)
    host, (first, second) = found.host, found.cores
    assert [name for name, _ in host.parts] == ["in"]
    assert (host.indptr.tolist(), host.target.tolist()) == ([0, 2, 4], [0, 1, 0, 1])
    assert (host.group.tolist(), host.operations.tolist()) == ([0] * 4, [1, 2, 1, 2])
    assert (host.compartments.tolist(), host.words.tolist()) == ([0, 0], [1] * 4)
    assert (first.indptr.tolist(), first.target.tolist()) == ([0, 1], [0])
    assert (second.indptr.tolist(), second.target.tolist()) == ([0, 1, 2], [1, 1])
    assert (second.group.tolist(), second.operations.tolist()) == ([1, 1], [2, 2])
    assert (first.compartments.tolist(), second.compartments.tolist()) == ([3], [3, 3])
    assert {sender.target.dtype for sender in (host, first)} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    ("slices", "cause"),
    [
        ((Slice("n", (0,), (2,)),), "of the 3 neurons of n, 1 lie nowhere and 0 twice"),
        (
            (Slice("n", (0,), (2,)), Slice("n", (1,), (3,))),
            "of the 3 neurons of n, 0 lie nowhere and 1 twice",
        ),
        ((Slice("n", (0,), (4,)),), "of n, of which there are"),
        ((Slice("n", (1,), (1,)),), "of n, of which there are"),
        ((Slice("n", (0, 0), (3, 1)),), "of n, of which there are"),
        ((Slice("m", (0,), (3,)),), "of m, of which there are none"),
        ((Slice("n", (0,), (3,)), Slice("in", (0,), (2,))), "neurons of in, 0 lie nowhere and 2"),
    ],
)
def test_neurons_that_do_not_lie_on_one_core_are_refused(
    slices: tuple[Slice, ...], cause: str
) -> None:
    program, mapping = small()
    wrong = replace(mapping, cores=tuple(Core((0, 0), i, (p,)) for i, p in enumerate(slices)))
    with pytest.raises(ArtefactError, match=cause):
        build_axons(program, wrong, LOIHI1)
