"""What there is to say of a layout: per layer, per core, and per link between tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import CoreLimits
from snnc.targets.cores.axons import Sender
from snnc.targets.cores.layout import Layout
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Source, all_synapses

A = NDArray[Any]
Tile = tuple[int, int]


@dataclass(frozen=True)
class LayerUse:
    """A layer on its cores.

    Attributes:
        populations: those that hold it; several where the chip splits it.
        cores: numbers of its cores, ascending.
        largest: shape of its largest slice.
        synapses: synapses that lead into it.
        full: by limit, the share of it that is used where most is, among the layer's cores with
            all that they hold.
    """

    name: str
    populations: tuple[str, ...]
    cores: tuple[int, ...]
    neurons: int
    largest: tuple[int, ...]
    synapses: int
    full: Mapping[str, float]


class LayoutFacts:
    """Facts of a layout, each found when it is first asked for."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @cached_property
    def limits(self) -> dict[str, int]:
        """The limits that a core of the chip has, by their key in the chip's file."""
        core = self.layout.architecture.core
        names = (item.name for item in fields(CoreLimits))
        return {name: getattr(core, name) for name in names if getattr(core, name)}

    @cached_property
    def full(self) -> dict[str, A]:
        """By limit, float64 (core,) the share that is used."""
        usage = self.layout.usage
        return {name: getattr(usage, name) / limit for name, limit in self.limits.items()}

    def fullest(self, cores: Sequence[int]) -> dict[str, float]:
        """By limit, the largest share that is used of any of `cores`."""
        return {name: float(share[list(cores)].max()) for name, share in self.full.items()}

    @cached_property
    def layer_of(self) -> dict[str, str]:
        """By population, its layer."""
        layers = self.layout.program.layers
        return {part: layer for layer, parts in layers.items() for part in parts}

    @cached_property
    def held(self) -> list[dict[str, int]]:
        """By core, how many neurons it has of each of its layers."""
        found: list[dict[str, int]] = []
        for core in self.layout.mapping.cores:
            held: dict[str, int] = {}
            for part in core.slices:
                layer = self.layer_of[part.population]
                held[layer] = held.get(layer, 0) + part.size
            found.append(held)
        return found

    @cached_property
    def layers(self) -> list[LayerUse]:
        """The layers on cores, in the program's order."""
        program, slices = self.layout.program, self.layout.mapping.slices()
        found: list[LayerUse] = []
        for name, parts in program.layers.items():
            if isinstance(program.populations[parts[0]], Source):
                continue
            own = [item for part in parts for item in slices[part]]
            cores = tuple(sorted({core for core, _ in own}))
            largest = max((part for _, part in own), key=lambda part: part.size)
            found.append(
                LayerUse(
                    name, parts, cores, sum(part.size for _, part in own), largest.shape,
                    sum(self._synapses[part] for part in parts), self.fullest(cores),
                )
            )  # fmt: skip
        return found

    @cached_property
    def senders(self) -> tuple[Sender, ...]:
        """The cores and, last, the host."""
        return (*self.layout.axons.cores, self.layout.axons.host)

    @cached_property
    def _synapses(self) -> dict[str, int]:
        """By population, how many synapses lead into it."""
        groups = all_synapses(self.layout.program)
        found = dict.fromkeys(self.layout.program.populations, 0)
        for sender in self.senders:
            ending = np.bincount(sender.group, sender.operations, len(groups))
            for group, count in zip(groups, ending, strict=True):
                found[group.target] += int(count)
        return found

    @cached_property
    def links(self) -> dict[tuple[Tile, Tile], int]:
        """By link, from a tile to its neighbour, how many axons cross it: first along x, then
        along y. Links that none crosses are left out."""
        mapping, host = self.layout.mapping, self.layout.architecture.mesh.host
        tiles = np.asarray([*(core.tile for core in mapping.cores), host])
        low = tiles.min(0)
        across, down = tiles.max(0) - low + 1
        starts = tiles - low
        # Axons from a to b add to all links between: +n where they begin, −n where they end.
        changes = np.zeros((2, 2, across, down), np.int64)  # axis, upwards or not, tile
        for (x, y), sender in zip(starts, self.senders, strict=True):
            count = np.bincount(sender.target, minlength=len(mapping.cores))
            met = np.flatnonzero(count)
            to_x, to_y = starts[met].T
            for axis, (at, to, row) in enumerate(((x, to_x, y), (y, to_y, to_x))):
                up = (to > at).astype(np.intp)
                for end, amount in ((np.minimum(at, to), 1), (np.maximum(at, to), -1)):
                    place = (end, row) if axis == 0 else (row, end)
                    np.add.at(changes[axis], (up, *place), amount * count[met])
        crossing = (changes[0].cumsum(1), changes[1].cumsum(2))
        return _by_link(crossing, (int(low[0]), int(low[1])))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for `--json`."""
        layout = self.layout
        mesh = layout.architecture.mesh
        return {
            "chip": layout.architecture.chip,
            "cores": len(layout.mapping.cores),
            "cores_available": mesh.cores,
            "tiles": len(layout.mapping.tiles()),
            "chips": sorted(layout.mapping.chips(layout.architecture)),
            "chips_available": list(mesh.chips),
            "limits": self.limits,
            "axons": {
                "cores": sum(len(sender.target) for sender in layout.axons.cores),
                "host": len(layout.axons.host.target),
            },
            "layers": {
                layer.name: {
                    "populations": layer.populations,
                    "cores": layer.cores,
                    "neurons": layer.neurons,
                    "largest_slice": layer.largest,
                    "synapses": layer.synapses,
                    "full": layer.full,
                    "tightest": tightest(layer.full),
                }
                for layer in self.layers
            },
            "per_core": [self._core(number) for number in range(len(layout.mapping.cores))],
            "links": [
                {"from": start, "to": end, "axons": count}
                for (start, end), count in self.links.items()
            ],
        }

    def _core(self, number: int) -> dict[str, Any]:
        core, usage = self.layout.mapping.cores[number], self.layout.usage
        return {
            "tile": core.tile,
            "slot": core.slot,
            "slices": [
                {
                    "layer": self.layer_of[part.population],
                    "population": part.population,
                    "start": part.start,
                    "stop": part.stop,
                }
                for part in core.slices
            ],
            "usage": {item.name: int(getattr(usage, item.name)[number]) for item in fields(usage)},
        }


def _by_link(crossing: tuple[A, A], low: Tile) -> dict[tuple[Tile, Tile], int]:
    found: dict[tuple[Tile, Tile], int] = {}
    for axis, table in enumerate(crossing):
        for up, x, y in np.argwhere(table).tolist():
            near = (x + low[0], y + low[1])
            far = (near[0] + (axis == 0), near[1] + (axis == 1))
            found[(near, far) if up else (far, near)] = int(table[up, x, y])
    return dict(sorted(found.items()))


def tightest(full: Mapping[str, float]) -> str:
    """The limit of which most is used; of equals, the first."""
    return max(full, key=lambda name: full[name])


def box_text(part: Slice, shape: Sequence[int]) -> str:
    """A slice as numpy writes it: `name[0:8,:,2:4]`, `name` where it is all."""
    bounds = list(zip(part.start, part.stop, shape, strict=True))
    if all((a, b) == (0, n) for a, b, n in bounds):
        return part.population
    words = (":" if (a, b) == (0, n) else f"{a}:{b}" for a, b, n in bounds)
    return f"{part.population}[{','.join(words)}]"


__all__ = ["LayerUse", "LayoutFacts", "Tile", "box_text", "tightest"]
