"""Where a network lies on its cores, for the terminal: made for 100 columns."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from string import ascii_letters, digits

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from snnc.report.layout_facts import LayoutFacts, Tile, box_text, tightest
from snnc.report.pictures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from snnc.report.tables import new_table
from snnc.targets.cores.layout import Layout

HEADS = {
    "compartments": "compart-\nments",
    "populations": "popula-\ntions",
    "words": "words",
    "in_axons": "in\naxons",
    "out_axons": "out\naxons",
    "fan_in": "fan\nin",
    "delay_slots": "delay\nslots",
}
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)
MARKS = ascii_letters + digits + "αβγδεζηθικλμνξοπρστυφχψω"
"""A letter for each layer; those beyond share `REST`."""
SEVERAL, REST, EMPTY = "+", "#", "·"
MOST_ROWS = 32
"""Of chips with more rows of tiles, only the used ones are shown."""
MOST_SLOTS = 8
"""Slots of a tile in one line."""
_GAP = 3


def layout_tables(layout: Layout, cores: bool = False) -> list[RenderableType]:
    """All of a layout: how much is used, the layers, how full their cores are, the mesh.

    Args:
        cores: whether every core has a line in a table of its own.
    """
    facts = LayoutFacts(layout)
    return [
        *_head(facts),
        _layer_table(facts),
        _full_table(facts),
        *([_core_table(facts)] if cores else []),
        MeshPicture(facts),
        *_legend(facts),
    ]


def _head(facts: LayoutFacts) -> Iterator[RenderableType]:
    layout, chip = facts.layout, facts.layout.architecture
    mapping, mesh = layout.mapping, chip.mesh
    chips, there = len(mapping.chips(chip)), mesh.chips[0] * mesh.chips[1]
    tiles = counted(len(mapping.tiles()), "tile")
    yield Text(
        f"{chip.chip}: {len(mapping.cores):,} of {counted(mesh.cores, 'core')} on {tiles},"
        f" {chips:,} of {counted(there, 'chip')}",
        "bold",
    )
    host, links = len(layout.axons.host.target), facts.links
    inner = sum(len(sender.target) for sender in layout.axons.cores)
    busiest = f", {max(links.values()):,} over the busiest link" if links else ""
    yield Text(f"{counted(inner, 'axon')} from cores, {host:,} from the host{busiest}")
    yield Text("")


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _layer_table(facts: LayoutFacts) -> Table:
    table = new_table("layers", "layer", "shape", "neurons", "cores", "largest slice", "synapses")
    for layer in facts.layers:
        shape = facts.layout.program.shape(layer.name)
        table.add_row(
            layer.name, _extents(shape), f"{layer.neurons:,}", f"{len(layer.cores):,}",
            _extents(layer.largest), f"{layer.synapses:,}",
        )  # fmt: skip
    table.add_section()
    table.add_row(
        "all layers", "", f"{sum(layer.neurons for layer in facts.layers):,}",
        f"{len(facts.layout.mapping.cores):,}", "",
        f"{sum(layer.synapses for layer in facts.layers):,}",
    )  # fmt: skip
    return table


def _extents(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))


def _full_table(facts: LayoutFacts) -> Table:
    heads = [HEADS[name] for name in facts.limits]
    table = new_table("how full the fullest core is", "layer", *heads, "tightest")
    table.columns[-1].justify = "left"
    for layer in facts.layers:
        table.add_row(layer.name, *_shares(layer.full), _words(tightest(layer.full)))
    table.add_section()
    full = facts.fullest(range(len(facts.layout.mapping.cores)))
    table.add_row("all layers", *_shares(full), _words(tightest(full)))
    return table


def _words(limit: str) -> str:
    return limit.replace("_", " ")


def _shares(full: Mapping[str, float]) -> list[str]:
    return [f"{share:.1%}" for share in full.values()]


def _core_table(facts: LayoutFacts) -> Table:
    heads = [HEADS[name] for name in facts.limits]
    table = new_table("cores", "core", "tile", "slot", "holds", "neurons", *heads)
    table.columns[3].justify = "left"
    populations = facts.layout.program.populations
    for number, core in enumerate(facts.layout.mapping.cores):
        x, y = core.tile
        holds = [box_text(part, populations[part.population].shape) for part in core.slices]
        shares = {name: float(share[number]) for name, share in facts.full.items()}
        table.add_row(
            str(number), f"{x}, {y}", str(core.slot), "\n".join(holds), f"{core.size:,}",
            *_shares(shares),
        )  # fmt: skip
    return table


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each layer: told apart by everybody while there are few, else along the
    colours of the rainbow, in turn light and dark."""
    if len(names) <= len(PALETTE):
        return dict(zip(names, PALETTE, strict=False))
    found: dict[str, str] = {}
    for number, name in enumerate(names):
        parts = colorsys.hls_to_rgb(0.85 * number / len(names), (0.42, 0.62)[number % 2], 0.65)
        found[name] = "#" + "".join(f"{round(255 * part):02X}" for part in parts)
    return found


def _marks(facts: LayoutFacts) -> dict[str, str]:
    marks = chain(MARKS, (REST for _ in facts.layers))
    return {layer.name: mark for layer, mark in zip(facts.layers, marks, strict=False)}


def _styles(facts: LayoutFacts) -> dict[str, str]:
    return colours([layer.name for layer in facts.layers])


def _legend(facts: LayoutFacts) -> Iterator[RenderableType]:
    marks, styles = _marks(facts), _styles(facts)
    named = [(mark, name, styles[name]) for name, mark in marks.items() if mark != REST]
    rest = len(marks) - len(named)
    if rest:
        named.append((REST, f"{rest} more layers", ""))
    if any(len(held) > 1 for held in facts.held):
        named.append((SEVERAL, "several layers", ""))
    named.append((EMPTY, "empty", ""))
    lines = [Text.assemble((mark, style), f" {name}") for mark, name, style in named]
    yield Columns(lines, padding=(0, _GAP))


@dataclass(frozen=True)
class MeshPicture:
    """The used chips, north up: a letter for each used core, tiles as groups of their slots."""

    facts: LayoutFacts

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        letters = _letters(self.facts)
        chips = self.facts.layout.mapping.chips(self.facts.layout.architecture)
        for down in sorted({chip[1] for chip in chips}, reverse=True):
            blocks = [
                block
                for chip in sorted(chips)
                if chip[1] == down
                for block in _blocks(self.facts, chip, letters, options.max_width)
            ]
            yield from _side_by_side(blocks, options.max_width)


Letters = Mapping[tuple[Tile, int], tuple[str, str]]
"""By tile and slot, a letter and its style."""


def _letters(facts: LayoutFacts) -> Letters:
    marks, styles = _marks(facts), _styles(facts)
    found: dict[tuple[Tile, int], tuple[str, str]] = {}
    for core, held in zip(facts.layout.mapping.cores, facts.held, strict=True):
        layer = next(iter(held))
        one = (marks[layer], styles[layer])
        found[core.tile, core.slot] = one if len(held) == 1 else (SEVERAL, "bold")
    return found


def shown(used: Iterable[int], first: int, count: int, most: int) -> range:
    """The columns or rows to show: all `count` from `first` on, or if those are too many, from
    the first to the last used one."""
    if count <= most:
        return range(first, first + count)
    places = list(used)
    return range(min(places), max(places) + 1)


def _blocks(facts: LayoutFacts, chip: Tile, letters: Letters, width: int) -> Iterator[list[Text]]:
    """A chip as lines; where it is wider than `width`, in blocks of the columns that are used."""
    mesh = facts.layout.architecture.mesh
    cell = min(mesh.cores_per_tile, MOST_SLOTS)
    left, low = chip[0] * mesh.columns, chip[1] * mesh.rows
    label = len(str(low + mesh.rows - 1))
    most = max(1, (width - label - 1) // (cell + 1))
    used = [
        (x, y)
        for x, y in facts.layout.mapping.tiles()
        if (x // mesh.columns, y // mesh.rows) == chip
    ]
    columns = shown((x for x, _ in used), left, mesh.columns, most)
    rows = shown((y for _, y in used), low, mesh.rows, MOST_ROWS)
    for start in range(0, len(columns), most):
        part = columns[start : start + most]
        if any(x in part for x, _ in used):
            yield _block(f"chip {chip[0]}, {chip[1]}", part, rows, label, mesh.cores_per_tile,
                         letters)  # fmt: skip


def _block(
    title: str, columns: range, rows: range, label: int, slots: int, letters: Letters
) -> list[Text]:
    lines = [Text(title, "bold")]
    for y in reversed(rows):
        for first in range(0, slots, MOST_SLOTS):
            line = Text(f"{'' if first else y:>{label}}")
            cell = range(first, min(first + MOST_SLOTS, slots))
            for x in columns:
                line.append(" ")
                for slot in cell:
                    line.append(*letters.get(((x, y), slot), (EMPTY, "dim")))
                line.append(" " * (min(slots, MOST_SLOTS) - len(cell)))
            lines.append(line)
    return [*lines, Text(" " * label + _numbers(columns, min(slots, MOST_SLOTS) + 1), "dim")]


def _numbers(columns: range, pitch: int) -> str:
    """Numbers below the columns, as many as have room."""
    every = -(-(len(str(columns[-1])) + 1) // pitch)
    return "".join(f" {x:<{pitch * every - 1}}" for x in columns[::every]).rstrip()


def _side_by_side(blocks: Sequence[list[Text]], width: int) -> Iterator[Text]:
    """Blocks of as many lines each, as many beside each other as there is room for."""
    wide = max(line.cell_len for block in blocks for line in block)
    many = max(1, (width + _GAP) // (wide + _GAP))
    for start in range(0, len(blocks), many):
        for lines in zip(*_level(blocks[start : start + many]), strict=True):
            joined = Text(no_wrap=True)
            for line in lines:
                joined.append(line)
                joined.append(" " * (wide - line.cell_len + _GAP))
            joined.rstrip()
            yield joined
        yield Text()


def _level(blocks: Sequence[list[Text]]) -> list[list[Text]]:
    """Blocks with empty lines below until all have as many."""
    most = max(map(len, blocks))
    return [[*block, *(Text() for _ in range(most - len(block)))] for block in blocks]


__all__ = ["MARKS", "MeshPicture", "colours", "counted", "layout_tables", "shown"]
