import numpy as np
import pytest

from snnc.targets.cores.timing import queues
from snnc.targets.cores.timing.queues import (
    begins,
    finishes,
    fits,
    grouped,
    in_order,
    last_finishes,
    sorted_keys,
)

BITS = 20


def random_queues(rng):
    """Packets (queue, cycle, rank, load), no two with the same first three."""
    rows = rng.integers(0, [4, rng.integers(1, 60), 7, 50], (rng.integers(0, 80), 4))
    return {tuple(row[:3]): int(row[3]) for row in rows.tolist()}


def columns(packets, rng):
    rows = np.array([[*key, load] for key, load in packets.items()], np.int64).reshape(-1, 4)
    return rng.permutation(rows).T


def cycle_by_cycle(arrivals, takes):
    """Begins of packets [(arrival, work)] at a unit that takes a packet for `takes(work)`."""
    waiting, found, clock, free = [], [], 0, 0
    arrivals = list(arrivals)
    while arrivals or waiting:
        while arrivals and arrivals[0][0] == clock:
            waiting.append(arrivals.pop(0))
        while waiting and clock >= free:
            work = takes(waiting.pop(0)[1])
            found.append(clock)
            free = clock + work
        clock += 1
    return found


def test_order_is_that_of_moments_then_ranks():
    rng = np.random.default_rng(1)
    for _ in range(300):
        packets = random_queues(rng)
        queue, cycle, rank, load = columns(packets, rng)
        moment, expected = (queue << BITS) + cycle, sorted(packets)
        keys = (moment << 9) + (rank << 6) + load
        for at, found in (in_order(moment, rank, load), sorted_keys(keys, 3, 6)):
            assert at.tolist() == [(q << BITS) + a for q, a, _ in expected]
            assert found.tolist() == [packets[key] for key in expected]


def test_largest_key_still_fits():
    moment = np.array([(1 << 50) - 1, 0, (1 << 50) - 1])
    rank, load = np.array([7, 7, 0]), np.array([1023, 1, 1022])
    assert fits(1 << 50, 13)
    assert not fits((1 << 50) + 1, 13)
    at, found = sorted_keys((moment << 13) + (rank << 10) + load, 3, 10)
    assert at.tolist() == [0, (1 << 50) - 1, (1 << 50) - 1]
    assert found.tolist() == [1, 1022, 1023]


@pytest.mark.parametrize("spacing", [1, 2, 3, 4])
def test_port_begins_as_cycle_by_cycle(spacing):
    rng = np.random.default_rng(spacing)
    for _ in range(300):
        packets = sorted(random_queues(rng))
        found = begins(np.array([(q << BITS) + a for q, a, _ in packets], np.int64), spacing)
        expected = []
        for queue in range(4):
            arrivals = [(a, 0) for q, a, _ in packets if q == queue]
            times = cycle_by_cycle(arrivals, lambda work: spacing)
            expected += [(queue << BITS) + begin for begin in times]
        assert found.tolist() == expected


def test_unit_finishes_as_cycle_by_cycle():
    rng = np.random.default_rng(7)
    for _ in range(500):
        table = random_queues(rng)
        packets = sorted(table)
        moment = np.array([(q << BITS) + a for q, a, _ in packets], np.int64)
        work = np.array([table[key] for key in packets], np.int64)
        expected, last, first = [], [], []
        for queue in range(4):
            mine = [(key[1], table[key]) for key in packets if key[0] == queue]
            begun = cycle_by_cycle(mine, lambda work: work)
            ends = [(queue << BITS) + b + w for b, (_, w) in zip(begun, mine, strict=True)]
            if ends:
                first.append(len(expected))
                last.append(ends[-1])
            expected += ends
        assert finishes(moment, work).tolist() == expected
        if first:
            assert last_finishes(moment, work, np.array(first)).tolist() == last


@pytest.mark.parametrize("key_bits", [63, 5])
@pytest.mark.parametrize("top", [1, 9, 2**20, 2**26, 2**40, 2**56, 2**57])
def test_groups_keep_their_order(monkeypatch, top, key_bits):
    monkeypatch.setattr(queues, "KEY_BITS", key_bits)
    rng = np.random.default_rng(top)
    for size in (0, 1, 31, 32, 100):
        number = rng.integers(0, top, size)
        number[1::2] = top - 1
        expected = sorted(range(size), key=lambda i, n=number: n[i])
        assert grouped(number).tolist() == expected
