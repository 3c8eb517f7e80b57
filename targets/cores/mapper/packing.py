"""Slices of different populations on the same core, as long as all limits hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import CoreLimits
from snnc.targets.cores.mapper.partition import Piece

A = NDArray[Any]
NONE = np.iinfo(np.int64).max
SUMMED = ("compartments", "words", "in_axons", "out_axons")


def pack(pieces: Sequence[Piece], limits: CoreLimits) -> list[list[int]]:
    """Numbers of the pieces of each core, ascending: first fit, the largest pieces first.

    A piece is as large as the largest share that it takes of a limit. Cores are in the order of
    their first pieces.
    """
    takes = np.asarray([[getattr(piece, key) for key in SUMMED] for piece in pieces], np.int64)
    slots = np.asarray([piece.slots for piece in pieces], np.int64)
    room = np.asarray([getattr(limits, key) or NONE for key in SUMMED], np.int64)
    names = {piece.part.population: number for number, piece in enumerate(pieces)}
    kind = np.asarray([names[piece.part.population] for piece in pieces])
    shares = (takes / room).max(1)
    if limits.delay_slots:
        shares = np.maximum(shares, takes[:, 0] * slots / limits.delay_slots)
    cores = _Cores(len(pieces), room, limits)
    for number in np.argsort(-shares, kind="stable"):
        cores.put(int(number), takes[number], int(slots[number]), int(kind[number]))
    return sorted(sorted(found) for found in cores.held)


class _Cores:
    """What the cores hold so far; there are never more than pieces."""

    def __init__(self, most: int, room: A, limits: CoreLimits) -> None:
        self.room = room
        self.populations = limits.populations or NONE
        self.delay_slots = limits.delay_slots or NONE
        self.held: list[list[int]] = []
        self.taken = np.zeros((most, len(room)), np.int64)
        self.slots = np.zeros(most, np.int64)
        self.counts = np.zeros(most, np.int64)
        self.having: dict[int, list[int]] = {}

    def put(self, number: int, takes: A, slots: int, kind: int) -> None:
        """Puts a piece on the first core where it fits, or on a new one."""
        used = len(self.held)
        taken = self.taken[:used] + takes
        wide = np.maximum(self.slots[:used], slots)
        fits = (taken <= self.room).all(1) & (taken[:, 0] * wide <= self.delay_slots)
        fits &= self.counts[:used] < self.populations
        fits[self.having.setdefault(kind, [])] = False
        core = int(fits.argmax()) if fits.any() else used
        if core == used:
            self.held.append([])
        self.held[core].append(number)
        self.having[kind].append(core)
        self.taken[core] += takes
        self.slots[core] = max(int(self.slots[core]), slots)
        self.counts[core] += 1


__all__ = ["pack"]
