"""A chip of cores as data: what a core holds, how synapses are stored, the mesh, times, energies.

Read from the chip's TOML file, in which every figure is a table with `value` and `source`, and a
`note` where sources disagree or a figure is estimated. docs/architecture.md describes the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from snnc.errors import ChipFileError
from snnc.passes.chip_file import Figure, figures, load, text_of
from snnc.passes.limits import NAMES

A = NDArray[Any]


@dataclass(frozen=True)
class CoreLimits:
    """What one core holds; 0 means no limit.

    Attributes:
        compartments: compartments; most neurons are one.
        populations: slices of different populations, each with its own settings.
        words: words of synaptic memory.
        in_axons: entries for axons that end here.
        out_axons: entries for axons that start here.
        fan_in: synapses of one neuron.
        delay_slots: compartments × slots of the accumulator, a power of two above the largest
            delay of the synapses of a core.
    """

    compartments: int
    populations: int
    words: int
    in_axons: int
    out_axons: int
    fan_in: int
    delay_slots: int


@dataclass(frozen=True)
class SynapseFormat:
    """How a list of synapses, all from one axon, is stored.

    Attributes:
        word_bits: bits of a word of synaptic memory.
        header_bits: bits in front of each entry of a list.
        entry_synapses: most synapses of an entry; a list is as many entries as it needs, each of
            whole words.
        weight_bits: widths that a weight may have, ascending, sign included.
        delay_bits: most bits of a delay; a group without delays spends none.
        formats: ways of saying which neuron a synapse is for: `dense` (every neuron from the
            first to the last), `sparse` (an index each), `runlength` (how many are skipped).
        skip_bits: widths that the skips of `runlength` may have, ascending.
        shared: what of a convolution is stored once: `nothing`, `patterns` (the list of all
            positions with the same taps) or `kernels` (the kernel).
        axon_entries: entries that an axon takes, on either side.
        shared_axon_entries: the same where kernels are shared: of an axon (`patterns`), of all
            axons of a position and a group of channels (`kernels`).
    """

    word_bits: int
    header_bits: int
    entry_synapses: int
    weight_bits: tuple[int, ...]
    delay_bits: int
    formats: tuple[str, ...]
    skip_bits: tuple[int, ...]
    shared: str
    axon_entries: int
    shared_axon_entries: int


@dataclass(frozen=True)
class Mesh:
    """Tiles and cores: `columns` × `rows` tiles of `cores_per_tile` cores on a chip, `chips` =
    (across, down) of them, the host at tile `host` = (x, y)."""

    columns: int
    rows: int
    cores_per_tile: int
    chips: tuple[int, int]
    host: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """Tiles of all chips along x and y."""
        return self.columns * self.chips[0], self.rows * self.chips[1]

    @property
    def cores_per_chip(self) -> int:
        """Number of cores of a chip."""
        return self.columns * self.rows * self.cores_per_tile

    @property
    def cores(self) -> int:
        """Number of cores of all chips."""
        return self.cores_per_chip * self.chips[0] * self.chips[1]


@dataclass(frozen=True)
class Cycles:
    """Times in cycles of `ns` nanoseconds; docs/machine.md says what each means."""

    ns: float
    update: int
    axon_out: int
    host_out: int
    link: int
    hop_x: int
    hop_y: int
    local: int
    axon_in: int
    word: int
    synapse: int
    barrier: tuple[tuple[int, int], ...]
    chip_barrier: int

    def of_list(self, operations: A, words: A) -> A:
        """Cycles that a packet takes in the input unit which leads to such lists."""
        return self.axon_in + words * self.word + operations * self.synapse

    def barrier_of(self, tiles: int, chips: int) -> int:
        """Cycles of the barrier of `tiles` used tiles on `chips` used chips."""
        more = self.chip_barrier if chips > 1 else 0
        before = self.barrier[0]
        for line in self.barrier:
            if tiles <= line[0]:
                span = line[0] - before[0]
                share = (line[1] - before[1]) * (tiles - before[0]) // span if span else 0
                return before[1] + share + more
            before = line
        return before[1] + more


@dataclass(frozen=True)
class Energies:
    """pJ per event (docs/machine.md), and watts of leakage per chip."""

    update: float
    spike: float
    axon_out: float
    hop_x: float
    hop_y: float
    local: float
    axon_in: float
    word: float
    synapse: float
    barrier: float
    leakage: float


@dataclass(frozen=True)
class Architecture:
    """A chip; `figures` has the provenance of each figure by its key, `section.name`."""

    chip: str
    summary: str
    core: CoreLimits
    synapses: SynapseFormat
    mesh: Mesh
    cycles: Cycles
    energy: Energies
    figures: Mapping[str, Figure]


SECTIONS: Mapping[str, type] = {
    "core": CoreLimits, "synapses": SynapseFormat, "mesh": Mesh, "cycles": Cycles,
    "energy": Energies,
}  # fmt: skip
FROM_ONE = {
    "synapses.word_bits", "synapses.entry_synapses", "synapses.axon_entries",
    "synapses.shared_axon_entries", "mesh.columns", "mesh.rows", "mesh.cores_per_tile",
    "cycles.axon_out", "cycles.host_out", "cycles.link", "cycles.hop_x", "cycles.hop_y",
    "core.compartments",
}  # fmt: skip
"""Figures that make no sense below 1; none makes sense below 0."""
FORMATS = ("dense", "sparse", "runlength")
SHARED = ("nothing", "patterns", "kernels")


def architecture_of(table: Mapping[str, Any], origin: str) -> Architecture:
    """The chip of cores in a chip's file.

    Raises:
        ChipFileError: a figure is missing, unknown or makes no sense.
    """
    known = {"chip", "summary", *NAMES, *SECTIONS}
    for key in table:
        if key not in known:
            raise ChipFileError(origin, f"[{key}] means nothing", "see docs/architecture.md")
    found: dict[str, Figure] = {}
    parts: dict[str, Any] = {
        name: _section(name, kind, table.get(name), found, origin)
        for name, kind in SECTIONS.items()
    }
    layout: SynapseFormat = parts["synapses"]
    if layout.formats == ("runlength",) and not layout.skip_bits:
        raise ChipFileError(
            origin, "[synapses.skip_bits] is empty, and runlength is the only format", "give some"
        )
    chip, summary = (text_of(table, key, origin) for key in ("chip", "summary"))
    return Architecture(chip, summary, **parts, figures=found)


def _section(name: str, kind: type, given: Any, found: dict[str, Figure], origin: str) -> Any:
    names = [item.name for item in fields(kind)]
    if not isinstance(given, dict):
        raise ChipFileError(origin, f"has no figures of [{name}]", f"it needs {', '.join(names)}")
    for key in given:
        if key not in names:
            raise ChipFileError(
                origin, f"[{name}.{key}] means nothing", f"one of {', '.join(names)}"
            )
    values, provenance = figures(given, names, f"{name}.", origin)
    found |= {f"{name}.{key}": figure for key, figure in provenance.items()}
    try:
        part: Any = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ChipFileError(origin, f"[{name}]: {error}") from error
    for key in names:
        _check(origin, f"{name}.{key}", getattr(part, key))
    return part


def read_architecture(path: Path) -> Architecture:
    """The chip of cores in the file at `path`."""
    return architecture_of(load(path), str(path))


def _check(origin: str, key: str, value: Any) -> None:
    least = 1 if key in FROM_ONE else 0
    numbers = [value] if isinstance(value, int | float | str) else list(_flat(value))
    if any(not least <= number < 1e15 for number in numbers if not isinstance(number, str)):
        raise ChipFileError(origin, f"[{key}] = {value}", f"figures are at least {least}")
    fix = _fault(key, value, numbers)
    if fix:
        raise ChipFileError(origin, f"[{key}] = {value}", fix)


def _fault(key: str, value: Any, numbers: Sequence[Any]) -> str:
    """What a figure would have to be, '' where it is."""
    match key:
        case "cycles.ns" if value <= 0:
            return "a cycle takes some time"
        case "synapses.formats" if not numbers or not set(numbers) <= set(FORMATS):
            return f"any of {', '.join(FORMATS)}"
        case "synapses.shared" if value not in SHARED:
            return f"one of {', '.join(SHARED)}"
        case "synapses.weight_bits" if not _ascends(numbers):
            return "widths in ascending order"
        case "synapses.skip_bits" if numbers and not _ascends(numbers):
            return "widths in ascending order"
        case "cycles.barrier" if not _ascends(numbers[::2]):
            return "lines of [tiles, cycles], tiles ascending"
        case "mesh.chips" if min(numbers) < 1:
            return "at least one chip"
    return ""


def _flat(values: Sequence[Any]) -> list[Any]:
    return [x for item in values for x in (_flat(item) if isinstance(item, tuple) else [item])]


def _ascends(numbers: Sequence[Any]) -> bool:
    rises = all(a < b for a, b in pairwise(numbers))
    return bool(numbers) and numbers[0] >= 1 and rises


__all__ = [
    "Architecture",
    "CoreLimits",
    "Cycles",
    "Energies",
    "Mesh",
    "SynapseFormat",
    "architecture_of",
    "read_architecture",
]
