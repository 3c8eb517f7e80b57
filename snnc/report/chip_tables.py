"""A chip's figures with their sources, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from snnc.passes.chip_file import Figure, figures, load
from snnc.passes.limits import NAMES, read_limits
from snnc.report.tables import new_table
from snnc.targets.cores.architecture import SECTIONS, read_architecture

NUMBERS = "number formats"
"""The section of what stands at the top of a chip's file."""


@dataclass(frozen=True)
class ChipFigures:
    """All figures of a chip's file: by section and key, the value and where it comes from."""

    chip: str
    summary: str
    sections: Mapping[str, Mapping[str, tuple[Any, Figure]]]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for `--json`."""
        sections = {
            section: {
                key: {"value": value, "source": figure.source, "note": figure.note}
                for key, (value, figure) in found.items()
            }
            for section, found in self.sections.items()
        }
        return {"chip": self.chip, "summary": self.summary, **sections}


def read_figures(path: Path) -> ChipFigures:
    """The figures in a chip's file, once it is known to make sense.

    Raises:
        ChipFileError: it can't be read, or a figure is missing, unknown or makes no sense.
    """
    limits, chip = read_limits(path), read_architecture(path)
    notes = figures(load(path), NAMES, "", str(path))[1]
    sections = {NUMBERS: {name: (getattr(limits, name), notes[name]) for name in NAMES}}
    for section, kind in SECTIONS.items():
        part, names = getattr(chip, section), [item.name for item in fields(kind)]
        sections[section] = {
            name: (getattr(part, name), chip.figures[f"{section}.{name}"]) for name in names
        }
    return ChipFigures(chip.chip, chip.summary, sections)


def chip_tables(chip: ChipFigures) -> list[RenderableType]:
    """A table for each section."""
    parts: list[RenderableType] = [Text(f"{chip.chip}: {chip.summary}", "bold"), Text("")]
    wide = max(len(key) for found in chip.sections.values() for key in found)
    for section, found in chip.sections.items():
        table = new_table(section, "figure", "value", "source", numbers=False)
        table.columns[0].min_width, table.columns[1].min_width = wide, _VALUE
        for key, (value, figure) in found.items():
            note = f"\nnote: {figure.note}" if figure.note else ""
            table.add_row(key, _words(value), f"{figure.source}{note}")
        parts.append(table)
    return parts


_VALUE = 12


def _words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case tuple() if value and isinstance(value[0], tuple):
            return "\n".join(f"[{_words(line)}]" for line in value)
        case tuple():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)


__all__ = ["NUMBERS", "ChipFigures", "chip_tables", "read_figures"]
