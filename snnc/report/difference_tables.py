"""Two energy reports side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        *(part for item in found.comparisons for part in _comparison(item)),
    ]
    for model, names in zip(found.models, (found.only_first, found.only_second), strict=True):
        if names:
            parts.append(paragraph(f"only in {model}: {', '.join(names)}"))
    return parts


def _comparison(found: Comparison) -> Iterator[RenderableType]:
    before, after = found.energy
    times = "" if found.ratio is None else f" ({factor(found.ratio)})"
    yield Text("")
    yield Text(f"{found.convention}: {energy(before)} → {energy(after)} per sample{times}", "bold")
    changes = [item for item in found.changes if item.changed]
    if changes:
        yield _changes_table(changes)
    same = len(found.changes) - len(changes)
    if same:
        yield paragraph(f"{same} {'more ' if changes else ''}rows are the same in both")


def _changes_table(changes: Sequence[Change]) -> Table:
    table = new_table("", "layer", "cause", "op", "count", "→ count", "energy", "→ energy", "ratio")
    table.columns[1].justify = table.columns[2].justify = "left"
    for change in changes:
        table.add_row(
            change.layer, change.cause.value, change.op, *map(count, change.count),
            *_energies(change), factor(change.ratio),
        )  # fmt: skip
    return table


def _energies(change: Change) -> tuple[str, str]:
    first, second = (
        "" if counted is None else ("no price" if spent is None else energy(spent))
        for counted, spent in zip(change.count, change.energy, strict=True)
    )
    return first, second
