"""The ways of the flows through the mesh, and the ports at which packets can wait.

Where all packets come from one side and are already as far apart as the port needs, none can ever
wait, and the port is no more than a distance. The others form *stages*: a port is one stage later
than the last one before it on any way, so that all ports of a stage can be computed at once. XY
routes have no cycles, so there always is such an order; the ports to the cores are the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Architecture
from snnc.targets.cores.axons import HOST
from snnc.targets.cores.mapping import Mapping
from snnc.targets.cores.timing.streams import Flows

A = NDArray[Any]

STEPS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
"""Directions of ports: east, west, north, south. What leaves to the east enters from the west: so
direction d enters from side d of west, east, south, north, the order of precedence."""
SIDES = 4
"""Sides before those of the tile's own cores."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Ports whose queues are computed at once; arrays int64 (flow of the stage,).

    Attributes:
        flows: those that pass one of the stage's ports, ascending.
        port: which one, counted from 0 within the stage.
        ports: how many there are.
        side: where from.
        delay: cycles from the beginning with a packet at its previous stage, or from its entry
            into the first router, until it is in the queue here.
    """

    flows: A
    port: A
    ports: int
    side: A
    delay: A


@dataclass(frozen=True, eq=False)
class Routes:
    """All ways.

    Attributes:
        stages: in order; the last is that of the ports to the cores, `port` the target there.
        links: int64 (link, 4): tiles (x, y, to x, to y) of the links that any flow crosses.
        crossing: int64 (crossing,) flow of every crossing of a link, link by link.
        crossing_first: int64 (link,) index of each link's first one.
        hops: int64 (flow, 2): links along x and along y.
        side_bits: how many bits a side takes.
    """

    stages: tuple[Stage, ...]
    links: A
    crossing: A
    crossing_first: A
    hops: A
    side_bits: int


@dataclass(frozen=True, eq=False)
class _Ways:
    """(flow, hop) each: port, -1 behind the way; side from which it is reached; its distance in
    cycles from the first router without waits. `last_side` and `distance` are those at the end."""

    port: A
    side: A
    before: A
    last_side: A
    distance: A


def find_routes(flows: Flows, mapping: Mapping, architecture: Architecture) -> Routes:
    """Routes of all flows."""
    mesh, cycles = architecture.mesh, architecture.cycles
    tiles = np.array([core.tile for core in mapping.cores] + [mesh.host], np.int64)
    slots = [core.slot for core in mapping.cores] + [mesh.cores_per_tile]
    starts = SIDES + np.array(slots, np.int64)[flows.sender]
    tight = np.where(flows.sender == HOST, cycles.host_out, cycles.axon_out) < cycles.link
    columns = mesh.extent[0]
    ways = _walk(tiles[flows.sender], tiles[flows.target], starts, columns, architecture)
    ports, port = np.unique(ways.port[ways.port >= 0], return_inverse=True)
    numbered = np.full(ways.port.shape, -1)
    numbered[ways.port >= 0] = port.reshape(-1)
    level = _levels(numbered, _crowded(numbered, ways.side, tight, len(ports)))
    hop, flow = np.nonzero(numbered.T >= 0)
    crossed = numbered[flow, hop]
    along_x = ways.port % SIDES < 2
    return Routes(
        stages=_stages(numbered, level, ways, flows.target),
        links=_links(ports, columns),
        crossing=flow[np.argsort(crossed, kind="stable")],
        crossing_first=np.searchsorted(np.sort(crossed), np.arange(len(ports))),
        hops=np.stack([(along_x & (numbered >= 0)).sum(1), (~along_x & (numbered >= 0)).sum(1)], 1),
        side_bits=(SIDES + mesh.cores_per_tile).bit_length(),
    )


def _walk(at: A, to: A, side: A, columns: int, architecture: Architecture) -> _Ways:
    """Goes all ways at once, one hop a turn."""
    cost = np.array([architecture.cycles.hop_x] * 2 + [architecture.cycles.hop_y] * 2, np.int64)
    at, side, distance = at.copy(), side.copy(), np.zeros(len(at), np.int64)
    hops = int(np.abs(at - to).sum(1).max(initial=0))
    shape = (hops, len(at))
    port, sides, before = np.full(shape, -1), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for hop in range(hops):
        east, north = to[:, 0] - at[:, 0], to[:, 1] - at[:, 1]
        way = np.select([east > 0, east < 0, north > 0, north < 0], [0, 1, 2, 3], -1)
        on = np.flatnonzero(way >= 0)
        way = way[on]
        port[hop, on] = (at[on, 1] * columns + at[on, 0]) * SIDES + way
        sides[hop, on], before[hop] = side[on], distance
        at[on] += STEPS[way]
        side[on] = way
        distance[on] += cost[way]
    return _Ways(port.T, sides.T, before.T, side, distance)


def _crowded(port: A, side: A, tight: A, ports: int) -> A:
    """(port,) whether packets can wait there: they come from several sides, or from a sender
    that is faster than a port."""
    there = port >= 0
    pairs = np.unique(np.stack([port[there], side[there]]), axis=1)
    crowded = np.bincount(pairs[0], minlength=ports) > 1
    first = port[:, :1][tight]
    crowded[first[first >= 0]] = True
    return crowded


def _levels(port: A, crowded: A) -> A:
    """(port,) 1, 2, … of those where packets can wait, 0 of the others."""
    level = crowded.astype(np.int64)
    while True:
        before, past = level.copy(), np.zeros(len(port), np.int64)
        for hop in port.T:
            on = np.flatnonzero(hop >= 0)
            on = on[crowded[hop[on]]]
            np.maximum.at(level, hop[on], past[on] + 1)
            past[on] = level[hop[on]]
        if np.array_equal(before, level):
            return level


def _stages(port: A, level: A, ways: _Ways, target: A) -> tuple[Stage, ...]:
    passed = np.zeros(len(port), np.int64)
    stages = []
    reached = np.where(port >= 0, level[port], 0) if port.size else np.zeros(port.shape, np.int64)
    for number in range(1, int(level.max(initial=0)) + 1):
        flow, hop = np.nonzero(reached == number)
        ports, within = np.unique(port[flow, hop], return_inverse=True)
        before = ways.before[flow, hop]
        stages.append(
            Stage(flow, within.reshape(-1), len(ports), ways.side[flow, hop], before - passed[flow])
        )
        passed[flow] = before
    cores = int(target.max(initial=-1)) + 1
    end = Stage(np.arange(len(port)), target, cores, ways.last_side, ways.distance - passed)
    return (*stages, end)


def _links(ports: A, columns: int) -> A:
    tile, way = ports // SIDES, ports % SIDES
    begin = np.stack([tile % columns, tile // columns], 1)
    return np.concatenate([begin, begin + STEPS[way]], 1)


__all__ = ["Routes", "Stage", "find_routes"]
