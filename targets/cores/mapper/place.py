"""Which core lies where: along a curve through the mesh, then swapped to shorten the traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Mesh

A = NDArray[Any]
Links = Any
"""A scipy csr_array, which has no types of its own."""
Tile = tuple[int, int]
SWEEPS = 16
"""Most rounds of swaps; later ones gain next to nothing."""


def place(traffic: Links, host: A, mesh: Mesh) -> A:
    """Seats of cores, int64 (core, 3): x and y of the tile, and the slot.

    Fills tile by tile and chip by chip, so that the fewest tiles and chips are used.

    Args:
        traffic: (core, core) messages from one to another, a csr_array.
        host: int64 (core,) messages from the host.
    """
    seats = _seats(len(host), mesh)
    both = (traffic + traffic.T).tocsr()
    both.setdiag(0)
    both.eliminate_zeros()
    return seats[_Swaps(both, host, seats[:, :2], mesh.host).settled()]


def hops(traffic: Links, host: A, seats: A, mesh: Mesh) -> int:
    """Links that all messages cross together, by XY routing."""
    pairs = traffic.tocoo()
    ways = np.abs(seats[pairs.row, :2] - seats[pairs.col, :2]).sum(1)
    return int(pairs.data @ ways + host @ np.abs(seats[:, :2] - mesh.host).sum(1))


def curve(width: int, height: int) -> list[Tile]:
    """A Hilbert curve of any width and height from (0, 0) to (width − 1, 0): all tiles, each
    beside the one before (for odd widths of more than one row, at times across a corner)."""
    return list(_curve(0, 0, width, 0, 0, height))


def _curve(x: int, y: int, ax: int, ay: int, bx: int, by: int) -> Iterator[Tile]:
    """From (x, y) along a, filling the box that a and b span (Červený's generalised curve)."""
    width, height = abs(ax + ay), abs(bx + by)
    along, up = (np.sign(ax), np.sign(ay)), (np.sign(bx), np.sign(by))
    if height == 1 or width == 1:
        step = along if height == 1 else up
        for i in range(max(width, height)):
            yield x + i * int(step[0]), y + i * int(step[1])
        return
    hax, hay, hbx, hby = (int(n / 2) for n in (ax, ay, bx, by))
    if 2 * width > 3 * height:
        if abs(hax + hay) % 2 and width > 2:
            hax, hay = hax + int(along[0]), hay + int(along[1])
        yield from _curve(x, y, hax, hay, bx, by)
        yield from _curve(x + hax, y + hay, ax - hax, ay - hay, bx, by)
        return
    if abs(hbx + hby) % 2 and height > 2:
        hbx, hby = hbx + int(up[0]), hby + int(up[1])
    yield from _curve(x, y, hbx, hby, hax, hay)
    yield from _curve(x + hbx, y + hby, ax, ay, bx - hbx, by - hby)
    yield from _curve(
        x + ax - int(along[0]) + hbx - int(up[0]), y + ay - int(along[1]) + hby - int(up[1]),
        -hbx, -hby, hax - ax, hay - ay,
    )  # fmt: skip


def _seats(count: int, mesh: Mesh) -> A:
    """The first seats, int64 (seat, 3): tiles along a curve, chips along one of the same kind."""
    inside = np.asarray(curve(mesh.columns, mesh.rows))
    tiles = [inside + np.multiply(chip, (mesh.columns, mesh.rows)) for chip in curve(*mesh.chips)]
    used = np.concatenate(tiles)[: -(-count // mesh.cores_per_tile)]
    slots = np.tile(np.arange(mesh.cores_per_tile), len(used))
    return np.column_stack([np.repeat(used, mesh.cores_per_tile, axis=0), slots])[:count]


class _Swaps:
    """Pairs of cores change seats as long as that makes the traffic's way shorter.

    Along each axis, `way[at, core]` is what the way of a core's messages would be if the core were
    there and all others where they are, and `now[core]` what it is, so that what a swap gains is a
    sum of a few values.
    """

    def __init__(self, traffic: Links, host: A, tiles: A, door: Tile) -> None:
        self.traffic = traffic
        self.seat = np.arange(len(tiles))
        self.at = [tiles[:, axis].copy() for axis in (0, 1)]
        self.rulers = [np.arange(int(at.max(initial=0)) + 1) for at in self.at]
        self.way, self.now = [], []
        for at, ruler, end in zip(self.at, self.rulers, door, strict=True):
            way = (traffic @ np.abs(at[:, None] - ruler)).T + np.abs(ruler - end)[:, None] * host
            self.way.append(np.ascontiguousarray(way))
            self.now.append(way[at, self.seat])

    def settled(self) -> A:
        """The seat of each core when no swap gains anything, or after `SWEEPS` rounds."""
        for _ in range(SWEEPS):
            if not sum([self._improve(core) for core in range(len(self.seat))]):
                break
        return self.seat

    def _improve(self, core: int) -> bool:
        gains = self._gains(core)
        other = int(gains.argmax())
        if gains[other] <= 0:
            return False
        pair = [core, other]
        places = [(at[core], at[other]) for at in self.at]
        self._move(core, places)
        self._move(other, [(there, here) for here, there in places])
        for at, way, now in zip(self.at, self.way, self.now, strict=True):
            at[pair] = at[pair[::-1]]
            now[pair] = way[at[pair], pair]
        self.seat[pair] = self.seat[pair[::-1]]
        return True

    def _gains(self, core: int) -> A:
        """int64 (core,): by how much the way gets shorter if `core` swaps with each."""
        near, messages = self._neighbours(core)
        gains = np.zeros(len(self.seat), np.int64)
        for at, way, now in zip(self.at, self.way, self.now, strict=True):
            gains += now + now[core] - way[at[core]] - way[:, core][at]
            gains[near] -= 2 * messages * np.abs(at[near] - at[core])
        return gains

    def _move(self, core: int, ways: Sequence[tuple[int, int]]) -> None:
        """What a core's move, from and to along each axis, changes for those it talks with."""
        near, messages = self._neighbours(core)
        for axis, (old, new) in enumerate(ways):
            ruler = self.rulers[axis]
            change = np.abs(ruler - new) - np.abs(ruler - old)
            self.way[axis][:, near] += change[:, None] * messages
            self.now[axis][near] += change[self.at[axis][near]] * messages

    def _neighbours(self, core: int) -> tuple[A, A]:
        span = slice(self.traffic.indptr[core], self.traffic.indptr[core + 1])
        return self.traffic.indices[span], self.traffic.data[span]


__all__ = ["curve", "hops", "place"]
