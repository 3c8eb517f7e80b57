"""Queues in numpy: many first-come-first-served queues at once, without a loop over packets.

A *moment* is a queue's number and a cycle in one integer, queue · 2^k + cycle, with 2^k above all
cycles that occur, waits included. So moments in ascending order are the packets of one queue
after those of the other, each in order of arrival, and a maximum over what lies before never
reaches from one queue into the next: the queue's number alone is larger than any cycle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

A = NDArray[Any]

KEY_BITS = 63
"""Bits of a key that is sorted as one int64. Sorting whole integers takes a fifth of the time of
sorting their indices."""
SHORT_BITS = 31
"""Bits of one that is sorted as an int32, in half the time."""


def fits(queues: int, bits: int) -> bool:
    """Whether the number of one of `queues` queues and `bits` more bits fit into a key."""
    return (queues - 1).bit_length() + bits <= KEY_BITS


def sorted_keys(key: A, rank_bits: int, load_bits: int) -> tuple[A, A]:
    """Packets by moment and, where it is the same, by rank.

    Args:
        key: int64 (packet,), 0 or more: moments, ranks of `rank_bits` bits and loads of
            `load_bits` bits, from the highest bits to the lowest; written over. No two packets
            have the same moment and rank.

    Returns:
        moments and loads in the new order.
    """
    key.sort()
    load = key & ((1 << load_bits) - 1)
    key >>= rank_bits + load_bits
    return key, load


def in_order(moment: A, rank: A, load: A) -> tuple[A, A]:
    """The same for numbers that don't fit into a key."""
    order = np.lexsort((rank, moment))
    return moment[order], load[order]


def grouped(number: A) -> A:
    """Indices that put items in order of their numbers (item,), 0 or more; stable."""
    bits = len(number).bit_length()
    need = bits + int(number.max(initial=0)).bit_length()
    if need > KEY_BITS:
        return np.argsort(number, kind="stable")
    key = (number << bits) + np.arange(len(number))
    if need <= SHORT_BITS:
        key = key.astype(np.int32)
    key.sort()
    key &= (1 << bits) - 1
    return key


def begins(moment: A, spacing: int) -> A:
    """The moments at which a port begins with its packets, at least `spacing` cycles apart.

    With b_i = max(a_i, b_{i−1} + s), b_i − i·s is the largest of all a_j − j·s up to there.

    Args:
        moment: int64 (packet,) of arrival, ascending.
    """
    lead = np.arange(0, len(moment) * spacing, spacing)
    found = moment - lead
    np.maximum.accumulate(found, out=found)
    found += lead
    return found


def finishes(moment: A, work: A) -> A:
    """The moments at which a unit is done with its packets, one by one, in `work` cycles each.

    Args:
        moment: int64 (packet,) from which a packet is there, ascending.
        work: int64 (packet,).
    """
    done = np.cumsum(work)
    found = moment - done
    found += work
    np.maximum.accumulate(found, out=found)
    found += done
    return found


def last_finishes(moment: A, work: A, first: A) -> A:
    """As `finishes`, only of the last packet of each queue: each has one, `first` are the indices
    of the first ones, the first of them 0."""
    done = np.cumsum(work)
    found = moment - done
    found += work
    last = np.append(first[1:], len(moment)) - 1
    return np.maximum.reduceat(found, first) + done[last]


__all__ = [
    "KEY_BITS", "begins", "finishes", "fits", "grouped", "in_order", "last_finishes", "sorted_keys",
]  # fmt: skip
