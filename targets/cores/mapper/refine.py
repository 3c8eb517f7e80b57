"""More slices where these leave fewer cores: small ones fill gaps that large ones can't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snnc.targets.cores.architecture import CoreLimits
from snnc.targets.cores.mapper.packing import SUMMED, pack
from snnc.targets.cores.mapper.partition import Partition, Piece

WORK = 8_000
"""Slices that all trials together may have, so that large networks take seconds, too."""


@dataclass(frozen=True, eq=False)
class Packed:
    """The pieces of a partition, and the numbers of those on each core."""

    partition: Partition
    pieces: Sequence[Piece]
    cores: Sequence[Sequence[int]]

    def goal(self, limits: CoreLimits) -> tuple[int, float]:
        """What is to be small: cores, then what is taken of their limits."""
        bounds = [(key, getattr(limits, key)) for key in SUMMED if getattr(limits, key)]
        taken = (getattr(piece, key) / limit for piece in self.pieces for key, limit in bounds)
        return len(self.cores), sum(taken)


def packed(partition: Partition, limits: CoreLimits) -> Packed:
    """A partition on cores."""
    pieces = partition.pieces()
    return Packed(partition, pieces, pack(pieces, limits))


def refine(partition: Partition, limits: CoreLimits) -> Packed:
    """A partition on fewer cores, if need be with more slices than the fewest.

    One population after the other gets other numbers of slices, up to twice as many; what is
    best is kept. Ends when nothing helps, when cores are as few as the compartments need, or after
    `WORK`.
    """
    best, work = packed(partition, limits), 0
    names = list(reversed(partition.populations))
    unchanged, fewest = 0, _fewest(best.pieces, limits)
    while unchanged < len(names) and len(best.cores) > fewest:
        name = names.pop(0)
        names.append(name)
        unchanged += 1
        before = best
        for trial in _others(before, name):
            found = packed(trial, limits)
            work += len(found.pieces)
            if found.goal(limits) < best.goal(limits):
                best, unchanged = found, 0
            if work > WORK:
                return best
    return best


def _fewest(pieces: Sequence[Piece], limits: CoreLimits) -> int:
    """Cores that the compartments alone need; however they are cut, these stay the same."""
    return -(-sum(piece.compartments for piece in pieces) // limits.compartments)


def _others(before: Packed, name: str) -> Iterator[Partition]:
    """The partition with other numbers of slices of a population, as few as can be first.

    Never with more than there are cores: each of its slices has a core of its own.
    """
    now, least = len(before.partition.splits[name]), 1
    while least <= min(2 * now, len(before.cores)):
        found = before.partition.divided(name, least)
        if found is None:
            return
        count = len(found.splits[name])
        if count != now:
            yield found
        least = count + 1


__all__ = ["Packed", "packed", "refine"]
