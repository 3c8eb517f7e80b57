"""The plain simulator: examples worked out by hand, and spikes that equal the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.reference import run_int
from snnc.targets.cores.architecture import (
    Architecture,
    CoreLimits,
    Cycles,
    Energies,
    Mesh,
    SynapseFormat,
)
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.oracle.machine import MachineRun, run_machine
from snnc.targets.cores.program import (
    Compartment,
    Conv,
    Dense,
    MultiCompartment,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
    all_synapses,
)
from snnc.targets.loihi.model import Machine
from snnc.targets.loihi.synapses import Running
from tests.targets.cores.cases import case, lowered_cases

A = NDArray[Any]
PRIMES = Cycles(
    ns=1.0, update=3, axon_out=5, host_out=7, link=2, hop_x=11, hop_y=13, local=17, axon_in=19,
    word=23, synapse=29, barrier=((1, 100), (3, 200)), chip_barrier=1000,
)  # fmt: skip
FREE = replace(PRIMES, update=0, axon_in=0, word=0, synapse=0, barrier=((1, 0),))
"""Only the network takes time."""
LAYOUT = SynapseFormat(
    word_bits=64, header_bits=10, entry_synapses=60, weight_bits=(1, 2, 4, 8), delay_bits=6,
    formats=("dense",), skip_bits=(), shared="patterns", axon_entries=1, shared_axon_entries=1,
)  # fmt: skip


def chip(cycles: Cycles = PRIMES, layout: SynapseFormat = LAYOUT, **mesh: Any) -> Architecture:
    """A chip of 4 × 4 tiles of one core, the host at (0, 0)."""
    base = {"columns": 4, "rows": 4, "cores_per_tile": 1, "chips": (1, 1), "host": (0, 0)}
    return Architecture(
        "test", "", CoreLimits(999, 0, 0, 0, 0, 0, 0), layout, Mesh(**base | mesh), cycles,
        Energies(*[1.0] * 11), {},
    )  # fmt: skip


def firing(pattern: Sequence[int], lag: int = 0) -> Compartment:
    """Neurons without memory that fire at each of their steps, or never: v = bias > 0."""
    bias, zero = np.asarray(pattern), np.asarray(0)
    return Compartment(
        (len(pattern),), lag, du=4096, dv=4096, vth=0, bias_mant=bias, bias_exp=0, v_init=zero,
        hold=0,
    )  # fmt: skip


def dense(source: str, target: str, weight: Any, delay: int = 0, bits: int = 0) -> Dense:
    return Dense(source, target, delay, 0, bits, 0, np.asarray(weight, np.int16))


def sparse(source: str, target: str, rows: Any) -> Sparse:
    """Synapses where the matrix (out, in) is not 0."""
    rows = np.asarray(rows, np.int16)
    out, into = np.nonzero(rows)
    indptr = np.searchsorted(out, np.arange(len(rows) + 1))
    return Sparse(source, target, 0, 0, 0, 0, rows[out, into], into, indptr, rows.shape)


def core(tile: tuple[int, int], *slices: tuple[Any, ...], slot: int = 0) -> Core:
    """A core with slices of (population, start, stop) along one axis."""
    return Core(tile, slot, tuple(Slice(name, (a,), (b,)) for name, a, b in slices))


def run(
    populations: dict[str, Population], synapses: Sequence[Synapse], cores: Sequence[Core],
    architecture: Architecture, steps: int = 1, **streams: Any,
) -> MachineRun:  # fmt: skip
    """One sample; a source without data, `clock`, says that there is one."""
    populations = {"clock": Source((1,), 0, 0, False), **populations}
    data = {"clock": np.zeros((1, steps, 1), int)}
    data |= {name: np.asarray(values)[None] for name, values in streams.items()}
    program = Program(populations, tuple(synapses))
    return run_machine(program, Mapping("test", tuple(cores)), architecture, data, steps)


def test_one_packet_between_two_cores() -> None:
    found = run(
        {"a": firing([0, 1]), "b": firing([0, 0, 0], lag=1)},
        [dense("a", "b", np.ones((3, 2)))],
        [core((0, 0), ("a", 0, 2)), core((2, 1), ("b", 0, 3))],
        chip(),
    )
    # Neuron 1 of a is visited from 3 to 6; its only axon takes until 11. East at 11 and 22, north
    # at 33, at the core's port at 46 and in its input queue at 63. The list: 10 + 3 · 1 bits, so
    # one word; 19 + 23 + 3 · 29 = 129 cycles. Two tiles: a barrier of 150.
    assert found.update[0, 0].tolist() == [6, 9]
    assert found.send[0, 0].tolist() == [11, 0]
    assert found.receive[0, 0].tolist() == [0, 63 + 129]
    assert found.cycles[0, 0] == 192 + 150
    assert found.operations[0, 0].tolist() == [0, 3]
    assert found.words[0, 0].tolist() == [0, 1]
    assert found.packets[0, 0].tolist() == [[0, 1], [0, 0], [0, 0]]
    # In the next step a has had its steps and is silent; b fires without axons, in no time.
    assert found.spikes["a"].tolist() == [[[0, 1]]]
    assert found.spikes["b"].tolist() == [[[1, 1, 1]]]
    assert found.messages[0].tolist() == [[1, 0, 0], [0, 3, 0]]
    assert found.send[0, 1].tolist() == found.receive[0, 1].tolist() == [0, 0]
    assert found.cycles[0].tolist() == [192 + 150, 9 + 150]
    crossed = {((0, 0), (1, 0)), ((1, 0), (2, 0)), ((2, 0), (2, 1))}
    assert found.links.keys() == crossed
    assert all(count.tolist() == [[1, 0]] for count in found.links.values())
    assert found.longest_queue == 1


SIDES: dict[str, tuple[tuple[int, int], int, int]] = {
    "west": ((0, 1), 0, 0), "east": ((2, 1), 0, 0), "south": ((1, 0), 0, 0),
    "north": ((1, 2), 0, 0), "first": ((1, 1), 0, 4), "second": ((1, 1), 1, 4),
}  # fmt: skip
"""In order of precedence: tile, slot, and how many silent neurons come before the one that fires,
such that all packets enter the router of tile (1, 1) at cycle 6."""


@pytest.mark.parametrize(("earlier", "later"), list(combinations([*SIDES, "host"], 2)))
def test_of_packets_in_the_same_cycle_the_order_is_that_of_the_sides(
    earlier: str, later: str
) -> None:
    sizes = {earlier: 1, later: 8}
    populations: dict[str, Population] = {"host": Source((1,), 0, 0, False)}
    synapses, cores = [], []
    for side in reversed(sizes):
        silent = SIDES[side][2] if side in SIDES else 0
        synapses.append(sparse(side, "z", [[1] * (1 + silent)] * sizes[side]
                               + [[0] * (1 + silent)] * (8 - sizes[side])))  # fmt: skip
        if side in SIDES:
            tile, slot, _ = SIDES[side]
            populations[side] = firing([0] * silent + [1])
            cores.append(core(tile, (side, 0, silent + 1), slot=slot))
    populations["z"] = firing([0] * 8, lag=1)
    cores.append(core((1, 1), ("z", 0, 8), slot=2))
    cycles = replace(FREE, update=1, axon_out=1, host_out=6, hop_x=4, hop_y=4, link=20, local=1,
                     synapse=1)  # fmt: skip
    architecture = chip(cycles, cores_per_tile=3, host=(1, 1))
    found = run(populations, synapses, cores, architecture, host=[[int(later == "host")]])
    # The core's port begins with one at 6 and with the other at 26; what is in the queue at 7
    # takes 1 or 8 cycles, what is there at 27 the other.
    assert found.receive[0, 0, -1] == 27 + 8
    assert found.longest_queue == 2


def test_two_packets_for_one_link() -> None:
    found = run(
        {"a": firing([1]), "b": firing([1]), "c": firing([0, 0], lag=1)},
        [dense("a", "c", [[1], [1]]), sparse("b", "c", [[1], [0]])],
        [core((0, 0), ("a", 0, 1)), core((1, 0), ("b", 0, 1)), core((3, 0), ("c", 0, 2))],
        chip(replace(FREE, update=3, link=12, axon_in=1, synapse=10)),
    )
    # b's packet enters (1, 0) at 3 + 5 = 8, and goes on at once: (2, 0) at 19, (3, 0) at 30, in
    # the queue at 47, done at 58. a's enters (0, 0) at 8, (1, 0) at 19, where the port east is
    # free only at 20: (2, 0) at 31. There the port began at 19, so that 31 is just right: (3, 0)
    # at 42, where the core's port began at 30: in the queue at 59, done at 59 + 21.
    assert found.receive[0, 0].tolist() == [0, 0, 80]
    assert found.links[(1, 0), (2, 0)][0, 0] == 2
    assert found.longest_queue == 1


def test_a_busy_input_unit() -> None:
    found = run(
        {"a": firing([1, 1, 1]), "b": firing([0, 0], lag=1)},
        [sparse("a", "b", [[1, 1, 1], [0, 1, 0]])],
        [core((0, 0), ("a", 0, 3)), core((0, 1), ("b", 0, 2))],
        chip(replace(PRIMES, update=100, axon_in=36, synapse=50, word=1),
             replace(LAYOUT, word_bits=1, header_bits=4)),
    )  # fmt: skip
    # Out at 105, 205, 305; in the queue 13 + 17 later, at 135, 235, 335. Lists of 5, 6 and 5
    # words: they take 91, 142, 91 cycles: 135…226, idle, 235…377, and the third waits: 377…468.
    assert found.receive[0, 0, 1] == 468
    assert found.operations[0, 0, 1] == 4


def test_a_busy_output_unit_with_three_axons() -> None:
    found = run(
        {"a": firing([1, 0, 1]), "b": firing([0, 0], lag=1)},
        [dense("a", "b", np.ones((2, 3))), sparse("a", "b", [[0, 0, 0], [1, 1, 0]])],
        [core((0, 1), ("b", 1, 2)), core((0, 0), ("a", 0, 3)), core((1, 0), ("b", 0, 1))],
        chip(),
    )
    # Neuron 0 is there at 3, with axons to core 0 (groups 0 and 1) and core 2 (group 0): out at 8,
    # 13 and 18. Neuron 2, there at 9, waits for these, and has two axons: 23 and 28. A packet
    # takes 19 + 23 + 29 = 71. Core 0: in the queue at 38, 43 and 53, done at 38 + 3 · 71. Core 2:
    # out at 18 and 28, 11 + 17 later in the queue; 46…117, then until 188.
    assert found.send[0, 0].tolist() == [0, 28, 0]
    assert found.receive[0, 0].tolist() == [38 + 3 * 71, 0, 188]
    assert found.packets[0, 0, 1].tolist() == [3, 0, 2]


def test_an_output_unit_serves_messages_only_once_they_are_there() -> None:
    found = run(
        {"a": firing([1, 0, 0, 0, 1])},
        [sparse("a", "a", [[1, 0, 0, 0, 1]] + [[0] * 5] * 4)],
        [core((0, 0), ("a", 0, 5))],
        chip(),
    )
    # Out at 3 + 5, then idle until neuron 4 has been visited at 15.
    assert found.send[0, 0, 0] == 15 + 5
    # In the queue at 25, done at 96, when the second, in the queue at 37, begins.
    assert found.receive[0, 0, 0] == 25 + 71 + 71
    assert not found.links


@pytest.mark.parametrize(
    ("table", "cycles"),
    [
        # (21 − 10)/3 = 3.67 per tile; flat beyond the table, on both sides.
        (((1, 10), (4, 21)), [10, 13, 17, 21, 21]),
        # A table that falls is rounded down, too: 10 − 2.5.
        (((1, 10), (3, 5)), [10, 7, 5, 5, 5]),
        (((2, 8), (3, 9)), [8, 8, 9, 9, 9]),
    ],
)
def test_the_barrier_between_the_lines_of_its_table(table: Any, cycles: list[int]) -> None:
    for tiles, wanted in enumerate(cycles, 1):
        # Two cores on each tile.
        cores = [core((n // 2, 0), ("a", n, n + 1), slot=n % 2) for n in range(2 * tiles)]
        architecture = chip(replace(FREE, barrier=table), cores_per_tile=2, columns=5)
        found = run({"a": firing([0] * 2 * tiles)}, [], cores, architecture)
        assert found.cycles.tolist() == [[wanted]]


def test_several_chips_are_one_mesh_with_a_slower_barrier() -> None:
    populations = {"a": firing([1]), "b": firing([0], lag=1)}
    cores = [core((1, 1), ("a", 0, 1)), core((2, 0), ("b", 0, 1))]
    synapses = [dense("a", "b", [[1]])]
    # Out at 8, east at 8, south at 19, in the queue at 32 + 17; 71 more.
    for columns, chips, barrier in ((2, (2, 1), 1150), (4, (1, 1), 150)):
        found = run(populations, synapses, cores, chip(columns=columns, rows=2, chips=chips))
        assert found.receive[0, 0].tolist() == [0, 120]
        assert found.cycles[0, 0] == 120 + barrier
        assert set(found.links) == {((1, 1), (2, 1)), ((2, 1), (2, 0))}


def test_the_host() -> None:
    found = run(
        {"x": Source((2,), 0, 0, False), "y": Source((1,), 0, 4, True), "a": firing([0, 0], lag=1)},
        [dense("y", "a", [[1], [1]], bits=4), dense("x", "a", [[1, 1], [1, 1]])],
        [core((0, 3), ("a", 1, 2)), core((2, 3), ("a", 0, 1))],
        chip(host=(1, 3)),
        steps=3,
        x=[[0, 1], [0, 0], [0, 0]],
        y=[[-3], [0], [5]],
    )
    # x1 to cores 0 and 1 at 7 and 14, then y at 21 and 28. West and east, 11 + 17 more: core 0
    # takes 71 from 35 and from 106, core 1 from 42 and from 113. An integer 0 is no message.
    assert found.host.tolist() == [[28, 0, 14, 0]]
    assert found.receive[0].tolist() == [[177, 184], [0, 0], [106, 113], [0, 0]]
    assert found.messages[0, :, -1].tolist() == [2, 0, 1, 0]
    assert found.packets[0, 0].tolist() == [[0, 0], [0, 0], [2, 2]]
    # Payloads count: 1 − 3 < 0, then nothing, then 5.
    assert found.spikes["a"].tolist() == [[[0, 0], [0, 0], [1, 1]]]
    assert found.cycles[0].tolist() == [184 + 150, 6 // 2 + 150, 113 + 150, 3 + 150]


def test_delays_count_steps_and_exponents_floor_the_sum_of_each_group() -> None:
    late = replace(dense("x", "a", [[3, 3]], delay=2), exp=-1)
    found = run(
        {"x": Source((2,), 0, 0, False), "a": replace(firing([0], lag=1), vth=2)},
        [late],
        [core((0, 0), ("a", 0, 1))],
        chip(),
        steps=4,
        x=[[1, 1], [1, 0], [0, 0], [0, 0]],
    )
    # (3 + 3) / 2 = 3 > 2 arrives two steps late; 3 / 2 floored is 1. Then 4 is the last step.
    assert found.spikes["a"].tolist() == [[[0], [0], [1], [0]]]


def test_joined_compartments_take_an_update_each_and_feed_back_by_axons() -> None:
    node = MultiCompartment(
        (2,), 0, du=4096, dv=0, vth=1, bias_mant=np.asarray(70), bias_exp=0,
        v_init=np.asarray(0), weights=(-1, -1), exps=(0, 0), fires=True, read_less=0,
    )  # fmt: skip
    found = run({"a": node}, [], [core((0, 0), ("a", 0, 2))], chip(), steps=4)
    # v: 70 spikes (> 64), 70 + 70 − 128 = 12, 82 spikes, 82 + 70 − 128 = 24.
    assert found.spikes["a"][0].T.tolist() == [[1, 0, 1, 0]] * 2
    assert found.update[0, :, 0].tolist() == [18] * 4
    assert found.packets[0, :, 0, 0].tolist() == [2, 0, 2, 0]
    assert found.operations[0, :, 0].tolist() == [4, 0, 4, 0]


def test_spikes_come_from_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    node = MultiCompartment(
        (1,), 1, du=4096, dv=0, vth=1, bias_mant=np.asarray(0), bias_exp=0,
        v_init=np.asarray(70), weights=(-2,), exps=(0,), fires=True, read_less=0,
    )  # fmt: skip

    def spikes() -> list[Any]:
        populations = {"a": firing([1]), "b": firing([0], 1), "c": node}
        cores = [core((0, 0), ("a", 0, 1), ("b", 0, 1), ("c", 0, 1))]
        found = run(populations, [dense("a", "b", [[1]])], cores, chip(), steps=2)
        return [found.spikes[name].reshape(-1).tolist() for name in "abc"]

    assert spikes() == [[1, 1], [1, 1], [1, 0]]
    monkeypatch.setattr("snnc.targets.cores.oracle.expand.Layout._add", lambda *_: None)
    assert spikes() == [[1, 1], [0, 0], [1, 1]]


def test_a_queue_counts_whoever_has_not_begun_before() -> None:
    found = run(
        {"a": firing([1] * 5), "b": firing([0], lag=1)},
        [dense("a", "b", [[1] * 5])],
        [core((0, 0), ("a", 0, 5)), core((1, 0), ("b", 0, 1))],
        chip(replace(FREE, axon_out=2, link=5)),
    )
    # Joins at 2, 4, 6, 8, 10; begins at 2, 7, 12, 17, 22. At 10, those of 12, 17 and 22 wait.
    assert found.longest_queue == 3


def words(weight: Any, layout: SynapseFormat, delay: int = 0) -> list[int]:
    """Words of the list of each of the neurons that feed one core by a sparse matrix."""
    group = replace(sparse("a", "b", weight), delay=delay)
    count = []
    for neuron in range(np.shape(weight)[1]):
        pattern = np.eye(np.shape(weight)[1], dtype=int)[neuron]
        found = run(
            {"a": firing(list(pattern)), "b": firing([0] * len(weight), lag=1 + delay)},
            [group],
            [core((0, 0), ("a", 0, len(pattern))), core((1, 0), ("b", 0, len(weight)))],
            chip(layout=layout),
        )
        count.append(int(found.words[0, 0, 1]))
    return count


TINY = replace(LAYOUT, word_bits=1, header_bits=0)
"""Words are bits."""


@pytest.mark.parametrize(
    ("layout", "weights", "delay", "wanted"),
    [
        # Neurons 1…4: 4 items of 1 bit.
        ({"formats": ("dense",)}, [0, 1, 0, 0, 1, 0], 0, 4),
        # 2 items of 1 + 3 bits: the last index is 5.
        ({"formats": ("sparse",)}, [0, 1, 0, 0, 1, 0], 0, 8),
        # r = 1: 2 items and 2 >> 1 more, 2 bits each.
        ({"formats": ("runlength",), "skip_bits": (1,)}, [0, 1, 0, 0, 1, 0], 0, 6),
        # r = 2: 2 items, no more, of 3 bits: as many. The same words.
        ({"formats": ("runlength",), "skip_bits": (2,)}, [0, 1, 0, 0, 1, 0], 0, 6),
        ({"formats": ("sparse", "dense")}, [0, 1, 0, 0, 1, 0], 0, 4),
        # Dense 8 items of 1 bit, sparse 2 of 1 + 3.
        ({"formats": ("runlength", "sparse"), "skip_bits": (1, 2, 3)}, [1, *[0] * 6, 1], 0, 8),
        # Two's complement of −2…1 is 2 bits, of 2 bits, of 4; 8 divides −16 and 8.
        ({"formats": ("dense",)}, [-2, 1], 0, 4),
        ({"formats": ("dense",)}, [-2, 3], 0, 8),
        ({"formats": ("dense",)}, [-16, 8], 0, 4),
        # −1 and 0 are one bit in two's complement; −4 alone is −1.
        ({"formats": ("dense",)}, [-4, -4], 0, 2),
        # Unsigned: 3 is 2 bits, 4 is a power of two, 5 is 3 bits and takes 4.
        ({"formats": ("dense",)}, [1, 3], 0, 4),
        ({"formats": ("dense",)}, [4, 4], 0, 2),
        ({"formats": ("dense",)}, [1, 5], 0, 8),
        # A delay of 4 is 3 bits.
        ({"formats": ("dense",)}, [1, 1], 4, 8),
        # An index takes a bit even where there is one neuron.
        ({"formats": ("sparse",)}, [1], 0, 2),
        # 5 items in entries of 2: 7 + 2, 7 + 2 and 7 + 1 bits, in words of 4 bits.
        ({"entry_synapses": 2, "header_bits": 7, "word_bits": 4}, [1] * 5, 0, 3 + 3 + 2),
        ({"entry_synapses": 2, "header_bits": 7, "word_bits": 4}, [1] * 4, 0, 3 + 3),
    ],
)
def test_words_of_a_list(
    layout: dict[str, Any], weights: list[int], delay: int, wanted: int
) -> None:
    column = np.asarray(weights)[:, None]
    assert words(column, replace(TINY, **layout), delay) == [wanted]


def test_the_format_is_that_of_the_whole_group() -> None:
    # Dense takes 8 + 2 + 2 + 2 bits, sparse 2 items of 1 + 3 bits for each of the four.
    near = np.zeros((8, 4), int)
    near[[0, 7, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3]] = 1
    layout = replace(TINY, formats=("dense", "sparse"))
    assert words(near, layout) == [8, 2, 2, 2]
    # Dense 16 + 16 + 2, sparse 2 items of 1 + 4 for each of the three: even for the last.
    far = np.zeros((16, 3), int)
    far[[0, 15, 0, 15, 0, 1], [0, 0, 1, 1, 2, 2]] = 1
    assert words(far, layout) == [10, 10, 10]


@pytest.mark.parametrize(
    ("columns", "shared", "wanted"),
    [
        (34, "patterns", 28 + 56 + 30 * 42),
        (34, "nothing", 66 + 68 + 30 * 35),
        (18, "patterns", 34 + 36 + 14 * 19),
    ],
)
def test_shared_lists_count_once_in_the_choice_of_a_format(
    columns: int, shared: str, wanted: int
) -> None:
    weight = np.ones((2, 1, 1, 3), np.int16)
    shape, out = (1, 1, columns), (2, columns - 2)
    conv = Conv("a", "b", 0, 0, 0, 0, weight, shape, (1, 1), (0, 0), (1, 1), 1)
    found = run(
        {"a": firing([1] * columns), "b": replace(firing([0], lag=1), shape=out)},
        [conv],
        [core((0, 0), ("a", 0, columns)), Core((1, 0), 0, (Slice("b", (0, 0), out),))],
        chip(layout=replace(TINY, formats=("dense", "sparse"), shared=shared)),
    )
    # Of 34 columns, the first and last have one tap, their neighbours two, 30 all three, of 2
    # channels each. From the first neuron in one channel to the last in the other, dense takes
    # 33, 34 or 35 bits; sparse takes 2, 4 or 6 items of 1 + 6. Alone: dense 1184, sparse 1344.
    # Shared, the 30 columns count once: dense 169, sparse 126. Of 18 columns: dense 17, 18 or 19
    # bits, 89 in all; sparse items of 1 + 5, 108 in all, though less for a single tap.
    assert found.words[0, 0, 1] == wanted


def read(conv: Conv, shape: tuple[int, ...], boxes: Sequence[Any], **layout: Any) -> A:
    """Words that the axon of each input reads on each of the cores that hold these boxes of b."""
    slices = [Slice("b", *box) for box in boxes]
    cores = [Core((x, 1), 0, (part,)) for x, part in enumerate(slices)]
    inputs = np.eye(int(np.prod(conv.in_shape)), dtype=int)
    populations = {
        "a": Source(inputs.shape[1:], 0, 0, False),
        "b": replace(firing([0], lag=1 + conv.delay), shape=shape),
    }
    architecture = chip(layout=replace(TINY, **layout))
    found = run(populations, [conv], cores, architecture, steps=len(inputs), a=inputs)
    return found.words[0, : len(inputs)]


def row_kernel(weight: Any, columns: int, delay: int = 0, **window: Any) -> Conv:
    """A kernel (out, in / groups, columns) over rows of so many columns."""
    weight = np.asarray(weight, np.int16)[:, :, None]
    steps = {name: (1, window.get(name, 1)) for name in ("stride", "dilation")}
    groups, padding = window.get("groups", 1), (0, window.get("padding", 0))
    shape = (weight.shape[1] * groups, 1, columns)
    return Conv("a", "b", delay, 0, 0, 0, weight, shape, **steps, padding=padding, groups=groups)


def test_an_axon_reads_the_valid_taps_of_a_kernel_in_whole_words() -> None:
    # Two groups of 2 channels to 3, of 2 bits; 3 taps every 2 columns, so that of 7 columns 0, 2,
    # 4 and 6 meet taps 0, 2 and 0, 2 and 0, and 2, and the others tap 1.
    conv = row_kernel(np.full((6, 2, 3), 3), 7, stride=2, groups=2)
    found = read(conv, (6, 3), [((0, 0), (4, 3)), ((4, 0), (6, 3))], word_bits=4, header_bits=99,
                 entry_synapses=1, shared="kernels")  # fmt: skip
    # Words of a tap: of the first core's channels 3 · 2 bits for the first group and 1 · 2 for the
    # second, of the second core's none and 2 · 2.
    taps = np.asarray([1, 1, 2, 1, 2, 1, 1])
    wanted = np.stack([np.outer([2, 2, 1, 1], taps), np.outer([0, 0, 1, 1], taps)], -1)
    assert found.reshape(4, 7, 2).tolist() == wanted.tolist()


def test_only_taps_that_end_inside_the_slice_are_read() -> None:
    # Columns 0…4 and a column of padding on either side; outputs 0 and 1, then 2…4. A delay of 2
    # is 2 bits, and a weight of one: 2 channels of 3 bits.
    conv = row_kernel(np.ones((2, 1, 3)), 5, padding=1, delay=2)
    found = read(conv, (2, 5), [((0, 0), (2, 2)), ((0, 2), (2, 5))], word_bits=5, shared="kernels")
    assert (found / 2).T.tolist() == [[2, 2, 1, 0, 0], [0, 1, 2, 3, 2]]


def test_a_kernel_in_two_dimensions() -> None:
    # 2 × 3 taps at every position of 3 × 4: 2 rows by 2 columns of outputs. A depthwise kernel of
    # 8 bits in words of 8 bits: one for each tap, however many channels there are.
    weight = np.full((2, 1, 2, 3), 255, np.int16)
    conv = Conv("a", "b", 0, 0, 0, 0, weight, (2, 3, 4), (1, 1), (0, 0), (1, 1), 2)
    boxes = [((0, 0, 0), (2, 2, 1)), ((0, 0, 1), (2, 2, 2))]
    found = read(conv, (2, 2, 2), boxes, word_bits=8, shared="kernels")
    one = np.outer([1, 2, 1], [1, 1, 1, 0])
    wanted = np.stack([one, one[:, ::-1]], -1)
    assert found.reshape(2, 3, 4, 2).tolist() == [wanted.tolist()] * 2


@pytest.mark.parametrize("shared", ["kernels", "patterns"])
def test_a_slice_that_is_no_box_shares_nothing(shared: str) -> None:
    # 2 channels of 3 outputs, as 6 neurons: four of them, which are no box, and two, which are.
    conv = row_kernel(np.ones((2, 1, 2)), 4)
    found = read(conv, (6,), [((0,), (4,)), ((4,), (6,))], word_bits=1, header_bits=5,
                 shared=shared)  # fmt: skip
    # The first has lists of 5 bits and one for every neuron from the first to the last: for inputs
    # 0 and 1 these are 0…3, for input 2 they are 1 and 2, for input 3 it is 2. On the second,
    # inputs 1, 2 and 3 have one valid tap, two, and one.
    second = [0, 1, 2, 1] if shared == "kernels" else [0, 6, 7, 6]
    assert found.T.tolist() == [[9, 9, 7, 6], second]


def test_a_list_is_in_the_order_of_the_slice() -> None:
    # The first column of a population of 2 × 4: neurons 0 and 4, but the slice's 0 and 1.
    slices = [Slice("b", (0, 0), (2, 1)), Slice("b", (0, 1), (2, 4))]
    found = run(
        {"a": firing([1]), "b": replace(firing([0], lag=1), shape=(2, 4))},
        [dense("a", "b", np.ones((8, 1)))],
        [core((0, 0), ("a", 0, 1)), *(Core((n, 1), 0, (part,)) for n, part in enumerate(slices))],
        chip(layout=TINY),
    )
    assert found.words[0, 0].tolist() == [0, 2, 6]


def test_spikes_are_those_of_the_reference_wherever_neurons_lie() -> None:
    spikes = 0
    for graph, inputs, given in lowered_cases(60, 1):
        found = run_machine(
            given.program, given.mapping, given.architecture, given.streams, given.steps
        )
        wanted = run_int(graph, inputs, dict.fromkeys(graph.neurons, ("s",)))
        for name in graph.neurons:
            sent = wanted.records[name, "s"]
            together = given.program.together(name, found.spikes).reshape(sent.shape)
            np.testing.assert_array_equal(together, sent, err_msg=name)
            spikes += int(np.count_nonzero(sent))
    assert spikes > 1000


def test_programs_of_all_kinds_send_what_the_model_says() -> None:
    for seed in range(120):
        given = case(seed)
        found = run_machine(
            given.program, given.mapping, given.architecture, given.streams, given.steps
        )
        model = Machine(given.program, given.steps, dict(given.streams), back_to_back=False)
        wanted = model.run({name: {"s"} for name in found.spikes}, lambda _: None)
        for name, sent in found.spikes.items():
            expected = wanted[name, "s"].reshape(sent.shape)
            np.testing.assert_array_equal(sent, expected, err_msg=f"{seed}: {name}")


def test_packets_take_the_shortest_way_and_every_synapse_of_a_message_counts() -> None:
    for seed in range(200, 230):
        given = case(seed)
        found = run_machine(
            given.program, given.mapping, given.architecture, given.streams, given.steps
        )
        tiles = np.asarray([core.tile for core in given.mapping.cores])
        ends = np.vstack([tiles, given.architecture.mesh.host])
        distance = np.abs(ends[:, None] - tiles).sum(-1)
        crossed = sum(count.sum() for count in found.links.values())
        assert crossed == (found.packets * distance).sum()
        sent = found.spikes | {name: x.reshape(*x.shape[:2], -1) for name, x in
                               given.streams.items()}  # fmt: skip
        each = dict.fromkeys(given.program.populations, 0)
        for group in all_synapses(given.program):
            each[group.source] = each[group.source] + fan_out(given.program, group)
        wanted = sum(((sent[name] != 0) * count).sum() for name, count in each.items())
        assert found.operations.sum() == wanted
        assert found.messages.sum() == sum(np.count_nonzero(x) for x in sent.values())


def fan_out(program: Program, group: Synapse) -> A:
    """Synapses of each source neuron, counted by the sums that one message leads to."""
    source = program.populations[group.source].size
    if isinstance(group, Sparse):
        return np.bincount(group.indices, minlength=source)
    ones = replace(group, weight=np.ones_like(group.weight), exp=0, delay=0)  # type: ignore[attr-defined]
    running = Running(ones, source)
    running.take(np.eye(source, dtype=np.int64))
    running.deliver()
    return running.deliver().sum(1)
