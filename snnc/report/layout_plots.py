"""Pictures of layouts, as SVG or PNG. The same layout gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.report.layout_facts import LayoutFacts, Tile
from snnc.report.layout_tables import colours, counted, shown
from snnc.report.pictures import (
    FACE,
    GREY,
    HOST,
    INK,
    LINK,
    check_picture,
    frame_mesh,
    save_picture,
)
from snnc.targets.cores.layout import Layout

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

A = NDArray[Any]
MOST_TILES = 64
"""Of meshes with more tiles along x or y, only the used part is drawn."""
MOST_NAMES = 40
"""Layers named in the legend."""

_TILE, _INSET, _CHIP_GAP, _HOST_AWAY = 0.70, 0.05, 0.35, 0.12  # of the distance of two tiles
_LARGEST, _WIDEST, _NARROWEST = 0.75, 13.0, 6.0  # inches: of a tile, and of the picture
_LINE = 0.2  # inches of the legend
_THICKEST = 0.18  # of the distance of two tiles
_EDGE = "#C4C4C4"


def plot_layout(layout: Layout, path: str | Path) -> None:
    """Draws the mesh: cores filled to the share of the limit of which they use most, links as wide
    as axons cross them.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`, or it can't be written.
        ToolError: matplotlib isn't installed.
    """
    file = check_picture(path)
    save_picture(lambda: _picture(LayoutFacts(layout)), file)


def _picture(facts: LayoutFacts) -> Figure:
    from matplotlib.figure import Figure

    plan = _Plan(facts)
    across, down = (plan.high - plan.low).tolist()
    tile = min(_LARGEST, _WIDEST / max(across, down))
    marks = _legend(facts, plan, _THICKEST * 72 * tile)
    width = max(_NARROWEST, tile * across + 0.4)
    columns = max(1, int(width / 1.5))
    below = _LINE * math.ceil(len(marks) / columns)
    picture = Figure(figsize=(width, tile * down + below + 0.75), layout="constrained")
    axes = picture.subplots()
    _draw_chips(axes, facts, plan)
    _draw_links(axes, facts, plan, _THICKEST * 72 * tile)
    _draw_cores(axes, facts, plan)
    if plan.host is not None:
        axes.plot(*plan.host, **HOST, zorder=6)
    _draw_axes(axes, plan)
    axes.set_title(_title(facts), loc="left")
    picture.legend(handles=marks, loc="outside lower left", ncols=columns, fontsize=8)
    return picture


def _title(facts: LayoutFacts) -> str:
    chip, mapping = facts.layout.architecture, facts.layout.mapping
    cores = f"{len(mapping.cores):,} of {counted(chip.mesh.cores, 'core')}"
    return f"{chip.chip}: {cores}, filled as far as the limit of which they use most"


class _Plan:
    """Where tiles and slots are drawn; one unit is the distance of two tiles."""

    def __init__(self, facts: LayoutFacts) -> None:
        mesh = facts.layout.architecture.mesh
        used = facts.layout.mapping.chips(facts.layout.architecture)
        self.pitch = (mesh.columns, mesh.rows)
        self.tiles: list[range] = []
        for axis, extent in enumerate(self.pitch):
            chips = [chip[axis] for chip in used]
            first, count = min(chips) * extent, (max(chips) - min(chips) + 1) * extent
            places = [tile[axis] for tile in facts.layout.mapping.tiles()]
            self.tiles.append(shown(places, first, count, MOST_TILES))
        margin = (1 - _TILE + _CHIP_GAP) / 2
        self.low = self.place(self.tiles[0][0], self.tiles[1][0]) - margin
        self.high = self.place(self.tiles[0][-1], self.tiles[1][-1]) + _TILE + margin
        inside = all(n in part for n, part in zip(mesh.host, self.tiles, strict=True))
        self.host = self.place(*mesh.host) - _HOST_AWAY if inside else None
        side = math.ceil(math.sqrt(mesh.cores_per_tile))
        self.slots = (math.ceil(mesh.cores_per_tile / side), side)  # rows, columns

    def place(self, x: Any, y: Any) -> A:
        """Lower left corners of tiles, (…, 2)."""
        at = (np.asarray(x), np.asarray(y))
        parts = [n + _CHIP_GAP * (n // pitch) for n, pitch in zip(at, self.pitch, strict=True)]
        return np.stack(parts, -1).astype(float)

    def boxes(self, tiles: A, slots: A) -> A:
        """Corners of cores, (core, 4): left, low, width, height; slot 0 at the upper left."""
        rows, columns = self.slots
        inside = _TILE - _INSET
        size = (inside / columns - _INSET, inside / rows - _INSET)
        left = (slots % columns) * inside / columns
        low = (rows - 1 - slots // columns) * inside / rows
        corner = self.place(tiles[:, 0], tiles[:, 1]) + _INSET
        return np.stack(
            [corner[:, 0] + left, corner[:, 1] + low, *(np.full(len(slots), s) for s in size)], -1
        )


def _rectangles(boxes: A, **look: Any) -> Collection:
    """All in one artist."""
    from matplotlib.collections import PolyCollection

    left, low, width, height = boxes.T
    corners = [(left, low), (left + width, low), (left + width, low + height), (left, low + height)]
    return PolyCollection(list(np.stack([np.stack(pair, -1) for pair in corners], 1)), **look)


def _draw_chips(axes: Axes, facts: LayoutFacts, plan: _Plan) -> None:
    """Tiles and empty cores, and a frame around each chip."""
    grid = np.stack(np.meshgrid(*plan.tiles), -1).reshape(-1, 2)
    corners = plan.place(grid[:, 0], grid[:, 1])
    tiles = np.concatenate([corners, np.full_like(corners, _TILE)], 1)
    axes.add_collection(_rectangles(tiles, facecolor=FACE, edgecolor="none", zorder=2))
    count = facts.layout.architecture.mesh.cores_per_tile
    slots = plan.boxes(np.repeat(grid, count, 0), np.tile(np.arange(count), len(grid)))
    axes.add_collection(
        _rectangles(slots, facecolor="white", edgecolor=_EDGE, linewidth=0.4, zorder=3)
    )
    frames = []
    margin = (1 - _TILE) / 2 + 0.12
    for xs in _by_chip(plan.tiles[0], plan.pitch[0]):
        for ys in _by_chip(plan.tiles[1], plan.pitch[1]):
            low = plan.place(xs[0], ys[0]) - margin
            high = plan.place(xs[-1], ys[-1]) + _TILE + margin
            frames.append([*low, *(high - low)])
    axes.add_collection(
        _rectangles(np.asarray(frames), facecolor="none", edgecolor=GREY, linewidth=0.8, zorder=0)
    )


def _by_chip(tiles: range, pitch: int) -> list[range]:
    """A range of tiles, chip by chip."""
    starts = range(tiles[0] // pitch * pitch, tiles[-1] + 1, pitch)
    return [range(max(s, tiles[0]), min(s + pitch, tiles[-1] + 1)) for s in starts]


def _draw_links(axes: Axes, facts: LayoutFacts, plan: _Plan, points: float) -> None:
    from matplotlib.collections import LineCollection

    both = _both_ways(facts)
    if not both:
        return
    ends = np.asarray(list(both))
    lines = plan.place(ends[..., 0], ends[..., 1]) + _TILE / 2
    widths = np.asarray(list(both.values())) / max(both.values()) * points
    axes.add_collection(
        LineCollection(
            list(lines), linewidths=np.maximum(widths, 0.25), colors=LINK, capstyle="butt",
            zorder=1,
        )
    )  # fmt: skip


def _both_ways(facts: LayoutFacts) -> dict[tuple[Tile, Tile], int]:
    """Axons over each link, to and fro."""
    found: dict[tuple[Tile, Tile], int] = {}
    for (start, end), count in facts.links.items():
        link = (min(start, end), max(start, end))
        found[link] = found.get(link, 0) + count
    return found


def _draw_cores(axes: Axes, facts: LayoutFacts, plan: _Plan) -> None:
    """A core's layers stand side by side, as wide as they have neurons."""
    cores, styles = facts.layout.mapping.cores, colours([layer.name for layer in facts.layers])
    boxes = plan.boxes(
        np.asarray([core.tile for core in cores]), np.asarray([core.slot for core in cores])
    )
    full = np.max(list(facts.full.values()), 0)
    filled, faces = [], []
    for (left, low, width, height), held, share in zip(boxes, facts.held, full, strict=True):
        neurons = sum(held.values())
        for layer, count in held.items():
            part = width * count / neurons
            filled.append((left, low, part, height * share))
            faces.append(styles[layer])
            left = left + part
    axes.add_collection(
        _rectangles(np.asarray(filled), facecolors=faces, edgecolor="none", zorder=4)
    )
    axes.add_collection(
        _rectangles(boxes, facecolor="none", edgecolor=INK, linewidth=0.5, zorder=5)
    )


def _draw_axes(axes: Axes, plan: _Plan) -> None:
    """Numbers of tiles below and at the left, as many as have room."""
    xs, ys = (tiles[:: -(-len(tiles) // 32)] for tiles in plan.tiles)
    middle = _TILE / 2
    axes.set_xticks(plan.place(xs, np.zeros_like(xs))[:, 0] + middle, list(map(str, xs)))
    axes.set_yticks(plan.place(np.zeros_like(ys), ys)[:, 1] + middle, list(map(str, ys)))
    frame_mesh(axes, plan.low, plan.high)


def _legend(facts: LayoutFacts, plan: _Plan, points: float) -> Sequence[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    styles = colours([layer.name for layer in facts.layers])
    named = list(styles.items())[:MOST_NAMES]
    marks: list[Artist] = [Patch(facecolor=colour, label=name) for name, colour in named]
    rest = len(styles) - len(named)
    if rest:
        marks.append(Patch(facecolor="none", label=f"… and {counted(rest, 'layer')} more"))
    both = _both_ways(facts)
    if both:
        label = f"{counted(max(both.values()), 'axon')}, both ways"
        marks.append(Line2D([], [], color=LINK, linewidth=points, label=label))
    if plan.host is not None:
        marks.append(Line2D([], [], **HOST, label="host"))
    return marks


__all__ = ["plot_layout"]
