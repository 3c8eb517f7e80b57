"""Two energy reports side by side, for the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from snnc.energy.difference import Change, Comparison, Difference
from snnc.report.tables import new_table, paragraph
from snnc.report.units import count, energy, factor


def difference_tables(found: Difference) -> list[RenderableType]:
    """Warnings, then one table per convention with what changed, then layers of one report only."""
    parts: list[RenderableType] = [
        Text(f"{found.models[0]} → {found.models[1]}", style="bold"),
        *(paragraph(line, "!", "yellow") for line in found.warnings),
        *(_comparison_table(item) for item in found.comparisons),
    ]
    for model, names in zip(found.models, (found.only_first, found.only_second), strict=True):
        if names:
            parts.append(paragraph(f"only in {model}: {', '.join(names)}"))
    return parts


def _comparison_table(found: Comparison) -> Table:
    before, after = found.energy
    table = new_table(
        f"{found.convention}: {energy(before)} → {energy(after)} per sample"
        + (f" ({factor(found.ratio)})" if found.ratio is not None else ""),
        "layer", "cause", "op", "count", "→ count", "energy", "→ energy", "ratio",
    )  # fmt: skip
    table.columns[1].justify = table.columns[2].justify = "left"
    changes = [item for item in found.changes if item.changed]
    for change in changes:
        table.add_row(
            change.layer, change.cause.value, change.op, *map(count, change.count),
            *_energies(change), factor(change.ratio),
        )  # fmt: skip
    same = len(found.changes) - len(changes)
    if same:
        table.caption = f"{same} more rows are the same in both"
        table.caption_justify = "left"
    return table


def _energies(change: Change) -> tuple[str, str]:
    first, second = (
        "" if counted is None else ("no price" if spent is None else energy(spent))
        for counted, spent in zip(change.count, change.energy, strict=True)
    )
    return first, second
