"""Seats are real and apart, fill the mesh chip by chip, and swaps shorten the way."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Mesh, read_architecture
from snnc.targets.cores.mapper.mapper import map_program, traffic_of
from snnc.targets.cores.mapper.place import curve, hops, place
from snnc.targets.cores.program import all_synapses
from tests.targets.cores.networks import gesture
from tests.targets.cores.stored import lists

LOIHI1 = read_architecture(CHIPS / "loihi1.toml")
MESH = Mesh(columns=4, rows=3, cores_per_tile=2, chips=(3, 2), host=(0, 0))


def drawn(count: int, seed: int, share: float = 0.2) -> tuple[Any, Any]:
    """Random traffic between cores and from the host."""
    rng = np.random.default_rng(seed)
    met = rng.integers(1, 50, (count, count)) * (rng.random((count, count)) < share)
    return sparse.csr_array(met), rng.integers(0, 20, count)


def spelled_out(traffic: Any, host: Any, seats: Any, mesh: Mesh) -> int:
    """Links that all messages cross, message by message."""
    total = 0
    table = traffic.toarray()
    for i, (x, y, _) in enumerate(seats):
        total += int(host[i]) * (abs(x - mesh.host[0]) + abs(y - mesh.host[1]))
        for j, (a, b, _) in enumerate(seats):
            total += int(table[i, j]) * (abs(x - a) + abs(y - b))
    return int(total)


@pytest.mark.parametrize("width", range(1, 13))
@pytest.mark.parametrize("height", range(1, 13))
def test_the_curve_goes_through_all_tiles_side_by_side(width: int, height: int) -> None:
    tiles = curve(width, height)
    assert sorted(tiles) == [(x, y) for x in range(width) for y in range(height)]
    assert tiles[0] == (0, 0)
    steps = np.abs(np.diff(np.asarray(tiles), axis=0))
    assert (steps.max(1) == 1).all() if len(steps) else True
    assert (steps.sum(1) > 1).sum() <= (1 if width % 2 and height > 1 else 0)


@pytest.mark.parametrize("count", [1, 2, 7, 24, 25, 49, 144])
def test_seats_are_apart_and_fill_tiles_and_chips(count: int) -> None:
    seats = place(*drawn(count, count), MESH)
    assert len({tuple(seat) for seat in seats.tolist()}) == count
    assert (seats >= 0).all()
    assert (seats < (*MESH.extent, MESH.cores_per_tile)).all()
    assert len({(a, b) for a, b, _ in seats.tolist()}) == -(-count // MESH.cores_per_tile)
    chips = {(a // MESH.columns, b // MESH.rows) for a, b, _ in seats.tolist()}
    assert len(chips) == -(-count // MESH.cores_per_chip)


@pytest.mark.parametrize("seed", range(5))
def test_no_swap_is_left_that_makes_the_way_shorter(seed: int) -> None:
    traffic, host = drawn(20, seed)
    host_at = [(0, 0), (5, 2)][seed % 2]
    mesh = Mesh(MESH.columns, MESH.rows, MESH.cores_per_tile, MESH.chips, host_at)
    seats = place(traffic, host, mesh)
    least = spelled_out(traffic, host, seats, mesh)
    assert hops(traffic, host, seats, mesh) == least
    for i in range(20):
        for j in range(i):
            swapped = seats.copy()
            swapped[[i, j]] = swapped[[j, i]]
            assert spelled_out(traffic, host, swapped, mesh) >= least


def test_a_chain_lies_along_the_curve_and_a_scrambled_one_is_drawn_together() -> None:
    mesh = Mesh(8, 8, 1, (1, 1), (0, 0))
    host = np.zeros(64, int)
    scrambled = np.random.default_rng(0).permutation(64)
    for order, most in ((np.arange(64), 63), (scrambled, 2.5 * 63)):
        ends = (order[:-1], order[1:])
        traffic = sparse.coo_array((np.ones(63, int), ends), (64, 64)).tocsr()
        assert hops(traffic, host, place(traffic, host, mesh), mesh) <= most


def test_traffic_is_counted_axon_by_axon() -> None:
    program = gesture()
    mapping = map_program(program, LOIHI1)
    held = [core.slices for core in mapping.cores]
    traffic, host = traffic_of(program, held, LOIHI1.synapses)
    counted = np.zeros((len(held) + 1, len(held)), int)
    home = {name: np.full(node.size, len(held)) for name, node in program.populations.items()}
    for name, parts in mapping.slices().items():
        for core, part in parts:
            home[name][part.index(program.populations[name].shape)] = core
    for group in all_synapses(program):
        shape = program.populations[group.target].shape
        for core, part in mapping.slices()[group.target]:
            met = lists(group, shape, part, LOIHI1.synapses).operations > 0
            np.add.at(counted, (home[group.source][met], core), 1)
    np.testing.assert_array_equal(traffic.toarray(), counted[:-1])
    np.testing.assert_array_equal(host, counted[-1])


def test_two_thousand_cores_take_seconds() -> None:
    traffic, host = drawn(2000, 0, share=0.01)
    mesh = Mesh(8, 8, 1, (8, 8), (0, 0))
    start = time.process_time()
    seats = place(traffic, host, mesh)
    assert time.process_time() - start < 20
    straight = place(sparse.csr_array((2000, 2000), dtype=int), np.zeros(2000, int), mesh)
    assert hops(traffic, host, seats, mesh) < 0.9 * hops(traffic, host, straight, mesh)
