"""Slices keep the limits, are as few as can be, and packed cores keep the limits too."""

from __future__ import annotations

import math
import re
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.errors import RefusedError
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Architecture, CoreLimits, read_architecture
from snnc.targets.cores.mapper.grids import cut, grids
from snnc.targets.cores.mapper.mapper import map_program
from snnc.targets.cores.mapper.packing import pack
from snnc.targets.cores.mapper.partition import Partition, Piece, slots_of
from snnc.targets.cores.mapper.refine import packed, refine
from snnc.targets.cores.mapper.refusals import NOUNS, REMEDIES
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import (
    Conv,
    MultiCompartment,
    Program,
    Source,
    Synapse,
    all_synapses,
)
from snnc.targets.cores.storage.kernels import box_of
from tests.targets.cores.networks import Network, gesture, million, mnist, pilot, resnet
from tests.targets.cores.stored import Lists, lists

LOIHI1, LOIHI2, ARRAY = (
    read_architecture(CHIPS / f"{chip}.toml") for chip in ("loihi1", "loihi2", "array")
)


def limited(**limits: int) -> Architecture:
    """The array chip with other limits of a core, 0 where not named."""
    none = CoreLimits(1 << 20, 0, 0, 0, 0, 0, 0)
    return replace(ARRAY, core=replace(none, **limits))


def demand(
    program: Program, cores: list[list[Slice]], architecture: Architecture
) -> list[Counter[str]]:
    """What every core takes, from the lists alone."""
    taken: list[Counter[str]] = [Counter() for _ in cores]
    home = {name: np.full(node.size, -1) for name, node in program.populations.items()}
    for core, parts in enumerate(cores):
        for part in parts:
            node = program.populations[part.population]
            home[part.population][part.index(node.shape)] = core
            taken[core]["populations"] += 1
            taken[core]["compartments"] += part.size * node.compartments
    for core, parts in enumerate(cores):
        for part in parts:
            fan_in: Any = 0
            for group in (g for g in all_synapses(program) if g.target == part.population):
                shape = program.populations[part.population].shape
                found = lists(group, shape, part, architecture.synapses)
                taken[core]["words"] += found.stored
                taken[core]["in_axons"] += int(found.entries.sum())
                taken[core]["delay"] = max(taken[core]["delay"], group.delay)
                fan_in = fan_in + found.fan_in
                sent = entries_sent(group, part, home[group.source], found, architecture, shape)
                for sender, counts in enumerate(taken):
                    counts["out_axons"] += int(sent[home[group.source] == sender].sum())
            taken[core]["fan_in"] = max(taken[core]["fan_in"], int(np.max(fan_in)))
    for counts in taken:
        counts["delay_slots"] = counts["compartments"] * slots_of(counts.pop("delay", 0))
    return taken


def entries_sent(
    group: Synapse, part: Slice, home: Any, found: Lists, chip: Architecture, shape: tuple[int, ...]
) -> Any:
    """(source neuron,) entries where its axon to `part` starts."""
    if not isinstance(group, Conv) or chip.synapses.shared != "kernels":
        return found.entries
    if box_of(group, shape, part) is None:
        return found.entries
    plane, sent = group.in_shape[1] * group.in_shape[2], np.zeros(len(home), int)
    for source in np.flatnonzero(found.operations):
        first = source // plane % group.weight.shape[1] == 0
        if first or home[source - plane] != home[source]:
            sent[source] = chip.synapses.shared_axon_entries
    return sent


def over(taken: Counter[str], architecture: Architecture) -> list[str]:
    """The limits that a core breaks."""
    limits = {key: getattr(architecture.core, key) for key in taken}
    return [key for key, limit in limits.items() if limit and taken[key] > limit]


def split_up(program: Program, chip: Architecture) -> tuple[Piece, ...]:
    """The slices before any is made finer to fill gaps."""
    return Partition(program, chip).pieces()


def slices(pieces: tuple[Piece, ...]) -> dict[str, list[Slice]]:
    """Slices by population."""
    found: dict[str, list[Slice]] = {}
    for piece in pieces:
        found.setdefault(piece.part.population, []).append(piece.part)
    return found


def drawn(seed: int, loops: bool) -> Program:
    """A small network of all kinds of synapses, with shortcuts and, if asked for, loops."""
    net = Network(seed=seed)
    rng = np.random.default_rng(seed)
    first = net.host(2, 8, 9) if rng.random() < 0.5 else net.lif("in", 2, 8, 9)
    a = net.conv(first, "a", 4, 3, int(rng.integers(1, 3)), padding=int(rng.integers(0, 2)))
    channels = net.populations[a].shape[0]
    b = net.conv(a, "b", channels, 3, padding=1, groups=2)
    net.conv(a, b, channels, 1, groups=channels)
    c = net.sparse(b, "c", 5, 4)
    d = net.dense(c, "d", 7)
    net.sparse(first, d, share=0.1)
    if loops:
        net.dense(d, d)
        net.sparse(c, c, share=0.1)
        net.dense(d, c, delay=2)
    return net.program()


def chip_for(program: Program, seed: int) -> Architecture:
    """Limits that make the program need some cores, or be refused."""
    rng = np.random.default_rng(seed)
    base = (LOIHI1, LOIHI2, ARRAY)[seed % 3]
    size = max(node.size for node in program.populations.values())
    limits = CoreLimits(
        int(rng.integers(size // 6, size)), int(rng.integers(0, 4)),
        int(rng.integers(60, 300)), int(rng.integers(160, 400)), int(rng.integers(60, 300)), 0,
        int(rng.integers(2, 8)) * size,
    )  # fmt: skip
    return replace(base, core=limits)


@pytest.mark.parametrize("loops", [False, True])
def test_slices_cover_every_neuron_once_and_keep_all_limits(loops: bool) -> None:
    mapped = 0
    for seed in range(24):
        program = drawn(seed, loops)
        chip = chip_for(program, seed)
        try:
            pieces = split_up(program, chip)
        except RefusedError:
            continue
        mapped += 1
        for name, node in program.populations.items():
            index = [part.index(node.shape) for part in slices(pieces).get(name, [])]
            wanted = [] if isinstance(node, Source) else list(range(node.size))
            assert sorted(np.concatenate([[], *index])) == wanted
        taken = demand(program, [[piece.part] for piece in pieces], chip)
        for piece, counts in zip(pieces, taken, strict=True):
            assert not over(counts, chip)
            for key in ("compartments", "words", "in_axons", "out_axons"):
                assert getattr(piece, key) == counts[key], (seed, key)
            assert piece.compartments * piece.slots == counts["delay_slots"]
    assert mapped >= 12


def test_fewer_slices_would_break_a_limit() -> None:
    cut_finer = 0
    for seed in range(5):
        program = drawn(seed, loops=False)
        chip = chip_for(program, seed)
        try:
            found = slices(split_up(program, chip))
        except RefusedError:
            continue
        for name, parts in found.items():
            shape = program.populations[name].shape
            others = [[part] for key, held in found.items() if key != name for part in held]
            for count in range(1, len(parts)):
                for grid in grids(shape, count):
                    mine = cut(name, shape, grid)
                    taken = demand(program, [*([part] for part in mine), *others], chip)
                    assert any(over(counts, chip) for counts in taken[: len(mine)]), (seed, name)
                    cut_finer += 1
    assert cut_finer > 20


def test_grids_are_all_ways_to_cut_into_equal_boxes() -> None:
    shape = (3, 5, 7)
    for count in range(1, 30):
        found = set(grids(shape, count))
        wanted = {
            (a, b, c) for a in range(1, 4) for b in range(1, 6) for c in range(1, 8)
            if a * b * c == count
        }  # fmt: skip
        assert found == wanted
        for grid in found:
            parts = cut("n", shape, grid)
            assert len(parts) == count == len({part.start for part in parts})
            for axis in range(3):
                extents = {part.shape[axis] for part in parts}
                assert max(extents) - min(extents) <= 1


def test_slots_are_the_power_of_two_from_delay_plus_two() -> None:
    for delay in range(70):
        assert slots_of(delay) == 1 << math.ceil(math.log2(delay + 2))


def test_equal_splits_take_the_one_with_the_fewest_axons_and_words() -> None:
    net = Network()
    net.conv(net.host(8, 32, 8), "a", 4, 3, padding=1)
    found = slices(split_up(net.program(), limited(compartments=256)))["a"]
    cost = {}
    for grid in grids((4, 32, 8), 4):
        parts = cut("a", (4, 32, 8), grid)
        counts = demand(net.program(), [[part] for part in parts], ARRAY)
        cost[grid] = sum(taken["in_axons"] + taken["words"] for taken in counts)
    best = min(cost, key=lambda grid: cost[grid])
    assert cost[best] < next(iter(cost.values()))
    assert tuple(found) == cut("a", (4, 32, 8), best)


def test_of_splits_alike_the_one_along_earlier_axes_is_taken() -> None:
    net = Network()
    net.conv(net.host(2, 8, 8), "a", 2, 3, padding=1)
    found = slices(split_up(net.program(), limited(compartments=64)))["a"]
    assert tuple(found) == cut("a", (2, 8, 8), (1, 2, 1))
    dense = Network()
    dense.dense(dense.host(3), "a", 4, 4)
    found = slices(split_up(dense.program(), limited(compartments=8)))["a"]
    assert tuple(found) == cut("a", (4, 4), (2, 1))


def test_a_split_makes_room_for_axons_that_start_on_it() -> None:
    """Targets on n cores take n entries of each source neuron; the source splits accordingly."""
    net = Network()
    net.dense(net.lif("a", 60), "b", 100)
    program = net.program()
    found = slices(split_up(program, limited(compartments=60, words=2000, out_axons=100)))
    each = len(found["b"])
    assert each > 1
    assert len(found["a"]) == math.ceil(60 / (100 // each))


def test_loops_split_again_until_their_axons_fit() -> None:
    """a is split after b, to which it leads, and which leads back to it."""
    net = Network()
    net.lif("a", 64)
    net.dense("a", "b", 64)
    net.dense("b", "a")
    net.dense("b", "b")
    chip = limited(compartments=16, out_axons=120)
    pieces = split_up(net.program(), chip)
    assert len(slices(pieces)["b"]) > 4
    for counts in demand(net.program(), [[piece.part] for piece in pieces], chip):
        assert not over(counts, chip)


@pytest.mark.parametrize(("shared", "entries"), [("nothing", 48), ("nothing", 64), ("kernels", 12)])
def test_a_loop_is_split_into_as_few_slices_as_can_be(shared: str, entries: int) -> None:
    net, shape = Network(), (4, 5, 6)
    net.conv(net.lif("a", *shape), "a", 4, 3, padding=1)
    chip = limited(compartments=120, out_axons=entries)
    chip = replace(chip, synapses=replace(chip.synapses, shared=shared))
    parts = slices(split_up(net.program(), chip))["a"]
    assert len(parts) > 1
    for count in range(1, len(parts)):
        for grid in grids(shape, count):
            taken = demand(net.program(), [[part] for part in cut("a", shape, grid)], chip)
            assert any(over(counts, chip) for counts in taken), grid


def test_joined_compartments_and_their_feedback_count() -> None:
    net = Network()
    net.dense(net.host(4), "a", 30)
    bias, start = np.zeros(1, np.int64), np.zeros(1, np.int64)
    net.populations["a"] = MultiCompartment((30,), 0, 1, 1, 1, bias, 0, start, (3,), (0,), True, 0)
    pieces = split_up(net.program(), limited(compartments=45))
    assert [piece.compartments for piece in pieces] == [45, 45]
    assert [piece.in_axons for piece in pieces] == [4 + 15] * 2
    assert [piece.out_axons for piece in pieces] == [15] * 2


@pytest.mark.parametrize(
    ("limits", "key", "value"),
    [
        ({"in_axons": 99}, "in_axons", 100),
        ({"fan_in": 99}, "fan_in", 100),
        ({"words": 99}, "words", 100),
        ({"delay_slots": 7}, "delay_slots", 8),
        ({"compartments": 2, "out_axons": 9}, "out_axons", 10),
    ],
)
def test_a_neuron_that_fits_nowhere_is_refused_with_its_numbers(
    limits: dict[str, int], key: str, value: int
) -> None:
    net = Network()
    net.dense(net.lif("a", 100), "b", 20, delay=5)
    with pytest.raises(RefusedError) as refused:
        split_up(net.program(), limited(**limits))
    assert refused.value.where == ("a" if key == "out_axons" else "b")
    assert f"takes {value} {NOUNS[key]} (core.{key});" in refused.value.cause
    assert f"array has {next(reversed(limits.values()))}" in refused.value.cause
    assert refused.value.fix.startswith(REMEDIES[key])


def test_a_refusal_says_what_a_user_knows() -> None:
    net = Network()
    net.dense(net.host(4705), "out", 3)
    with pytest.raises(RefusedError) as refused:
        map_program(net.program(), LOIHI1)
    assert str(refused.value) == (
        "out: one of its neurons takes 4,705 entries for input axons (core.in_axons); a core of"
        " loihi1 has 4,096\n  fix: give its neurons fewer inputs: a smaller kernel, fewer channels,"
        " groups, or pooling before it; or take a chip with more"
    )


def test_more_cores_than_there_are_is_refused() -> None:
    small = replace(ARRAY.mesh, columns=2, rows=1, chips=(1, 1))
    net = Network()
    net.dense(net.dense(net.host(3), "a", 8), "b", 8)
    chip = replace(limited(compartments=5), mesh=small)
    with pytest.raises(RefusedError, match="fills 4 cores, 2 of them with this layer; array has 2"):
        map_program(net.program(), chip)
    with pytest.raises(RefusedError, match="fills 4 cores, 2 of them with this layer; array has 2"):
        map_program(net.program(), replace(limited(compartments=4), mesh=small))
    with pytest.raises(
        RefusedError, match=r"takes 8 compartments .* fill 3 cores of 3; array has 2"
    ):
        map_program(net.program(), replace(limited(compartments=3), mesh=small))


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (
            {"compartments": 20, "delay_slots": 20},
            r"b: it takes 80 slots for delays \(core.delay_slots\), which fill 4 cores of 20; array"
            r" has 2",
        ),
        (
            {"compartments": 20, "words": 40, "out_axons": 14},
            r"a: it takes 40 entries for output axons \(core.out_axons\), which fill 3 cores of 14;"
            r" array has 2",
        ),
        (
            {"compartments": 20, "words": 30},
            r"b: no split of its 20 neurons over the 2 cores of array keeps core.words \(30\)$",
        ),
        (
            {"compartments": 20, "in_axons": 30},
            r"a: no split of its 20 neurons over the 2 cores of array keeps core.in_axons \(30\)$",
        ),
    ],
)
def test_a_layer_that_fits_no_cores_is_refused_with_what_it_breaks(
    limits: dict[str, int], cause: str
) -> None:
    net = Network()
    net.lif("a", 20)
    if "in_axons" in limits:
        net.sparse(net.host(61), "a", share=0.2)
    net.dense("a", "b", 20, delay=1 if "delay_slots" in limits else 0)
    chip = replace(limited(**limits), mesh=replace(ARRAY.mesh, columns=2, rows=1, chips=(1, 1)))
    with pytest.raises(RefusedError) as refused:
        map_program(net.program(), chip)
    assert re.match(cause, f"{refused.value.where}: {refused.value.cause}")
    assert refused.value.fix


def test_a_number_of_cores_that_no_grid_has_is_refused_too() -> None:
    net = Network()
    net.conv(net.host(1, 6, 6), "a", 2, 3)
    mesh = replace(ARRAY.mesh, columns=11, rows=1, chips=(1, 1))
    with pytest.raises(RefusedError, match=r"32 neurons over the 11 cores .* core.in_axons \(11\)"):
        map_program(net.program(), replace(limited(in_axons=11), mesh=mesh))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seconds"), [(192, 1), (96, 40)])
def test_what_can_never_fit_is_refused_soon(size: int, seconds: float) -> None:
    """More neurons than all cores hold at once; fewer, once their axons are counted."""
    net = Network()
    last = net.conv(net.host(3, size, size), "first", 64, 3, padding=1)
    for name in ("second", "third", "fourth"):
        last = net.conv(last, name, 64, 3, padding=1, stride=1 + (name == "third"))
    start = time.process_time()
    with pytest.raises(RefusedError, match=r"the network fills .* cores"):
        map_program(net.program(), LOIHI1)
    assert time.process_time() - start < seconds


def test_six_thousand_neurons_with_random_synapses_map_in_seconds() -> None:
    net = Network()
    net.lif("a", 6000)
    net.sparse(net.host(1000), "a", share=1 / 60)
    net.sparse("a", "a", share=1 / 60)
    start = time.process_time()
    assert cores_of(net.program(), LOIHI1) <= 122
    assert time.process_time() - start < 10


def test_packed_cores_keep_all_limits() -> None:
    shared = 0
    for seed in range(40):
        program = drawn(seed, loops=seed % 2 == 0)
        chip = chip_for(program, seed)
        try:
            pieces = split_up(program, chip)
        except RefusedError:
            continue
        cores = pack(pieces, chip.core)
        assert sorted(number for core in cores for number in core) == list(range(len(pieces)))
        held = [[pieces[number].part for number in core] for core in cores]
        for parts, counts in zip(held, demand(program, held, chip), strict=True):
            assert not over(counts, chip)
            assert len({part.population for part in parts}) == len(parts)
        shared += len(pieces) - len(cores)
    assert shared > 20


def test_packing_fills_gaps() -> None:
    """Sizes 6, 5, 4, 3, 2 of 10 go on two cores, in whatever order they come."""
    whole = CoreLimits(10, 0, 0, 0, 0, 0, 0)
    sizes = (2, 6, 4, 5, 3)
    pieces = [Piece(Slice(str(n), (0,), (n,)), n, 0, 0, 0, 1) for n in sizes]
    cores = pack(pieces, whole)
    assert sorted(sum(sizes[n] for n in core) for core in cores) == [10, 10]
    assert len(pack(pieces, replace(whole, populations=1))) == 5
    # Two slots each: 2 × (6 + 4) and 2 × (5 + 3 + 2) both take 20.
    assert len(pack([replace(p, slots=2) for p in pieces], replace(whole, delay_slots=20))) == 2
    assert len(pack([replace(p, slots=2) for p in pieces], replace(whole, delay_slots=19))) == 3


def test_two_slices_of_a_population_never_share_a_core() -> None:
    pieces = [Piece(Slice("a", (n,), (n + 1,)), 1, 0, 0, 0, 1) for n in range(3)]
    pieces.append(Piece(Slice("b", (0,), (1,)), 1, 0, 0, 0, 1))
    assert pack(pieces, CoreLimits(10, 0, 0, 0, 0, 0, 0)) == [[0, 3], [1], [2]]


def cores_of(program: Program, chip: Architecture) -> int:
    """Number of cores of a mapping that places every neuron."""
    mapping = map_program(program, chip)
    neurons = sum(n.size for n in program.populations.values() if not isinstance(n, Source))
    assert sum(core.size for core in mapping.cores) == neurons
    return len(mapping.cores)


@pytest.mark.parametrize(
    ("program", "chip", "published", "cores"),
    [(mnist, LOIHI2, 5, 3), (gesture, LOIHI1, 42, 29), (pilot, LOIHI2, 74, 41)],
)
def test_published_networks_take_no_more_cores_than_published(
    program: Callable[[], Program], chip: Architecture, published: int, cores: int
) -> None:
    assert cores_of(program(), chip) <= cores <= published


def test_more_slices_can_take_fewer_cores() -> None:
    """Three layers of 60 neurons take three cores of 90; halves of one fill the others' gaps."""
    net = Network()
    for name in "abc":
        net.dense(net.host(1), name, 60)
    chip = limited(compartments=90)
    partition = Partition(net.program(), chip)
    assert len(packed(partition, chip.core).cores) == 3
    found = refine(partition, chip.core)
    assert len(found.cores) == 2
    assert len(partition.pieces()) == 3
    held = [[found.pieces[number].part for number in core] for core in found.cores]
    for counts in demand(net.program(), held, chip):
        assert not over(counts, chip)


def test_what_refines_keeps_all_limits() -> None:
    fewer = 0
    for seed in range(16):
        program = drawn(seed, loops=seed % 2 == 0)
        chip = chip_for(program, seed)
        try:
            partition = Partition(program, chip)
        except RefusedError:
            continue
        found = refine(partition, chip.core)
        held = [[found.pieces[number].part for number in core] for core in found.cores]
        assert sum(map(len, held)) == len(found.pieces)
        for counts in demand(program, held, chip):
            assert not over(counts, chip)
        fewer += len(packed(partition, chip.core).cores) - len(found.cores)
    assert fewer > 0


def test_the_same_program_gives_the_same_mapping() -> None:
    assert map_program(gesture(), LOIHI1) == map_program(gesture(), LOIHI1)


@pytest.mark.slow
def test_eleven_million_weights_map_in_seconds() -> None:
    """Kernels are never written out; two of the eight chips hold them."""
    program = resnet()
    assert sum(group.count for group in program.synapses) > 11_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    assert cores_of(program, LOIHI2) <= 250
    assert time.process_time() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.slow
def test_a_million_neurons_map_in_seconds() -> None:
    start = time.process_time()
    assert cores_of(million(), ARRAY) <= 979
    assert time.process_time() - start < 30


def test_cores_are_numbered_in_the_order_of_the_signal() -> None:
    mapping = map_program(gesture(), LOIHI1)
    names = list(gesture().populations)
    first = [min(names.index(part.population) for part in core.slices) for core in mapping.cores]
    assert all(a <= b for a, b in pairwise(first))
