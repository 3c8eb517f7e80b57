"""S3: which neurons lie on which core. Everything else (axons, memory, routes) follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtefactError
from snnc.targets.cores.architecture import Architecture

A = NDArray[Any]
SCHEMA = 1


@dataclass(frozen=True)
class Slice:
    """A box of a population's neurons: `start`…`stop` (exclusive) along each axis of its shape."""

    population: str
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the box."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    def index(self, shape: Sequence[int]) -> A:
        """Indices of its neurons in the flattened population of `shape`, in the core's order."""
        found = np.zeros((), np.int64)
        for extent, a, b in zip(shape, self.start, self.stop, strict=True):
            found = found[..., None] * extent + np.arange(a, b)
        return found.reshape(-1)


@dataclass(frozen=True)
class Core:
    """A core at tile (x, y), counted over all chips, in one of the tile's slots."""

    tile: tuple[int, int]
    slot: int
    slices: tuple[Slice, ...]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(part.size for part in self.slices)


@dataclass(frozen=True)
class Mapping:
    """The used cores, by number; the first slice of a core has its first neurons."""

    chip: str
    cores: tuple[Core, ...]

    def tiles(self) -> set[tuple[int, int]]:
        """Tiles with a used core."""
        return {core.tile for core in self.cores}

    def chips(self, architecture: Architecture) -> set[tuple[int, int]]:
        """Chips with a used core, (across, down)."""
        mesh = architecture.mesh
        return {(x // mesh.columns, y // mesh.rows) for x, y in self.tiles()}

    def slices(self) -> dict[str, list[tuple[int, Slice]]]:
        """By population, its slices with the numbers of their cores, in the order of these."""
        table: dict[str, list[tuple[int, Slice]]] = {}
        for number, core in enumerate(self.cores):
            for part in core.slices:
                table.setdefault(part.population, []).append((number, part))
        return table


def to_json(mapping: Mapping) -> bytes:
    """The mapping as a file: the same mapping gives the same bytes."""
    table = {"schema": SCHEMA, **msgspec.to_builtins(mapping)}
    return msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n"


def from_json(data: bytes, origin: str) -> Mapping:
    """Reads what `to_json` wrote.

    Raises:
        ArtefactError: no mapping, or one of another schema.
    """
    try:
        table: Table[str, Any] = msgspec.json.decode(data)
        if table.get("schema") != SCHEMA:
            raise ArtefactError(
                origin, f"mapping schema {table.get('schema')}, this snnc reads {SCHEMA}",
                "compile again",
            )  # fmt: skip
        found = {key: value for key, value in table.items() if key != "schema"}
        return msgspec.convert(found, Mapping)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise ArtefactError(origin, f"is no mapping ({error})", "compile again") from error


__all__ = ["Core", "Mapping", "Slice", "from_json", "to_json"]
