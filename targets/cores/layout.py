"""S3: a program laid out on the cores of a chip, checked, and as files of an artefact."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnc.errors import ArtefactError
from snnc.passes.chip_file import parse
from snnc.targets.cores.architecture import Architecture, architecture_of
from snnc.targets.cores.axons import Axons, build_axons
from snnc.targets.cores.checks.validate import Usage, validate
from snnc.targets.cores.mapper.mapper import map_program
from snnc.targets.cores.mapping import Mapping, from_json, to_json
from snnc.targets.cores.program import Program

Chip = Table[str, Any]
MAPPING = "mapping.json"
CHIP = "chip.toml"


@dataclass(frozen=True, eq=False)
class Layout:
    """A program on its cores.

    Attributes:
        chip_text: the chip's file, as it was when the program was laid out.
        usage: what every core holds, as the validator counted it.
    """

    program: Program
    architecture: Architecture
    chip_text: str
    mapping: Mapping
    axons: Axons
    usage: Usage

    def files(self) -> dict[str, bytes]:
        """What an artefact keeps of it."""
        return {MAPPING: to_json(self.mapping), CHIP: self.chip_text.encode()}

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        lying = self.mapping.slices()
        return {
            "cores": len(self.mapping.cores),
            "tiles": len(self.mapping.tiles()),
            "chips": len(self.mapping.chips(self.architecture)),
            "cores_per_layer": {
                layer: len({number for part in parts for number, _ in lying[part]})
                for layer, parts in self.program.layers.items()
                if parts[0] in lying
            },
        }


def lay_out(program: Program, chip_file: Path) -> Layout:
    """Maps a program onto the chip described in `chip_file`, and checks the result.

    Raises:
        RefusedError: it doesn't fit. ChipFileError: the file is wrong.
    """
    text = chip_file.read_text(encoding="utf-8")
    architecture = architecture_of(parse(text, str(chip_file)), str(chip_file))
    return _checked(program, architecture, text, map_program(program, architecture))


def stored_chip(files: Table[str, bytes], origin: str) -> Chip:
    """The chip's file that `Layout.files` wrote, as tables.

    Raises:
        ArtefactError: there is no layout. ChipFileError: the chip's file is no TOML.
    """
    if MAPPING not in files or CHIP not in files:
        raise ArtefactError(
            origin, "has no layout on cores", "compile it again for a chip of cores"
        )
    return parse(files[CHIP].decode(errors="replace"), f"{origin}: {CHIP}")


def read_layout(program: Program, chip: Chip, files: Table[str, bytes], origin: str) -> Layout:
    """The layout that `Layout.files` wrote, checked again.

    Args:
        chip: what `stored_chip` gives.

    Raises:
        ArtefactError: it breaks a rule. ChipFileError: its chip's file is wrong.
    """
    text = files[CHIP].decode(errors="replace")
    architecture = architecture_of(chip, f"{origin}: {CHIP}")
    return _checked(program, architecture, text, from_json(files[MAPPING], origin))


def _checked(program: Program, architecture: Architecture, text: str, mapping: Mapping) -> Layout:
    axons = build_axons(program, mapping, architecture)
    usage = validate(program, mapping, axons, architecture)
    return Layout(program, architecture, text, mapping, axons, usage)


__all__ = ["Layout", "lay_out", "read_layout", "stored_chip"]
