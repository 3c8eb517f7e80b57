"""Pictures of timed runs, as SVG or PNG. The same run gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.report.layout_tables import counted
from snnc.report.pictures import (
    BLUE,
    FACE,
    GREEN,
    HOST,
    INK,
    LINK,
    SKY,
    check_picture,
    frame_mesh,
    save_picture,
)
from snnc.report.simulation_facts import SimulationFacts
from snnc.report.simulation_tables import CAUSES, si
from snnc.report.units import energy, energy_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

A = NDArray[Any]
MOST_NUMBERS = 100
"""Cores that are numbered."""

_WIDTH, _LEFT, _RIGHT = 11.0, 1.0, 1.15  # inches, and the shares of the columns
_LEAST, _MOST = 5.0, 8.0  # inches of height
_TILE = 0.62  # of the distance of two tiles
_ROOM, _SMALLEST = 0.5, 1.6  # the same: around the tiles, and of the whole mesh
_HOST_AWAY = 0.42  # the same
_LANE = 0.07  # of the distance of two tiles: from the middle to a link's one direction
_THICKEST, _THINNEST = 5.0, 0.4  # points
_POINTS = 72  # of an inch
_MARKED_STEPS = 64


def plot_simulation(facts: SimulationFacts, path: str | Path) -> None:
    """Draws the length of the steps, the energy by cause, and operations and packets on the mesh.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`, or it can't be written.
        ToolError: matplotlib isn't installed.
    """
    file = check_picture(path)
    save_picture(lambda: _picture(facts), file)


def _picture(facts: SimulationFacts) -> Figure:
    from matplotlib.figure import Figure

    plan = _Plan(facts)
    across, up = (plan.high - plan.low).tolist()
    mesh = _WIDTH * _RIGHT / (_LEFT + _RIGHT) * up / across
    picture = Figure(figsize=(_WIDTH, min(_MOST, max(_LEAST, mesh + 1.2))), layout="constrained")
    # Apart, so that room for the mesh's legend is not taken from the others.
    grid = picture.add_gridspec(1, 2, width_ratios=(_LEFT, _RIGHT))
    left, right = (picture.add_subfigure(place) for place in (grid[0], grid[1]))
    above, below = left.subplots(2)
    _draw_steps(above, facts)
    _draw_energy(below, facts)
    _draw_mesh(right.subplots(), facts, plan)
    picture.suptitle(_title(facts), fontsize=11)
    return picture


def _title(facts: SimulationFacts) -> str:
    simulation = facts.simulation
    return (
        f"{simulation.architecture.chip}, {counted(simulation.samples, 'sample')}:"
        f" {si(facts.seconds.mean, 's')} and {energy(facts.total.mean)} per inference"
    )


def _draw_steps(axes: Axes, facts: SimulationFacts) -> None:
    """Mean over the samples, and a band from the shortest to the longest."""
    from matplotlib.ticker import MaxNLocator

    cycles = facts.simulation.counts["cycles"]
    steps = np.arange(cycles.shape[1])
    if len(cycles) > 1:
        axes.fill_between(
            steps, cycles.min(0), cycles.max(0), color=SKY, alpha=0.35, linewidth=0,
            label="shortest to longest",
        )  # fmt: skip
    marker = "o" if len(steps) <= _MARKED_STEPS else ""
    axes.plot(steps, cycles.mean(0), color=BLUE, marker=marker, markersize=3, label="mean")
    axes.set_title("length of the steps", loc="left")
    axes.set_xlabel("step of the chip")
    axes.set_ylabel("cycles")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    micro = facts.simulation.architecture.cycles.ns * 1e-3
    times = axes.secondary_yaxis("right", functions=_scaling(micro))
    times.set_ylabel("µs")
    times.spines["right"].set_visible(True)
    if len(cycles) > 1:
        axes.legend(fontsize=8)


def _scaling(factor: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """To another unit, and back."""
    return (lambda value: value * factor), (lambda value: value / factor)


def _draw_energy(axes: Axes, facts: SimulationFacts) -> None:
    """A bar for each cause that takes any, with the standard deviation."""
    spent = {cause: item for cause, item in facts.energy.items() if item.mean}
    factor, unit = energy_unit(max((item.mean for item in spent.values()), default=0.0))
    means = [item.mean / factor for item in spent.values()]
    rows = np.arange(len(spent))
    axes.barh(
        rows, means, xerr=[item.std / factor for item in spent.values()], color=GREEN,
        error_kw={"elinewidth": 0.8, "ecolor": INK}, height=0.7,
    )  # fmt: skip
    for row, item in enumerate(spent.values()):
        words = f"{energy(item.mean)}, {item.mean / facts.total.mean:.1%}"
        end = (item.mean + item.std) / factor
        axes.annotate(
            words, (end, row), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(rows, [CAUSES[cause] for cause in spent])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, max(means, default=1.0) * 1.45)
    axes.set_xlabel(f"{unit} per inference")
    axes.set_title("energy by cause", loc="left")


class _Plan:
    """Where tiles and cores are drawn; one unit is the distance of two tiles, about `points`."""

    def __init__(self, facts: SimulationFacts) -> None:
        simulation = facts.simulation
        ends = simulation.links.reshape(-1, 2)
        self.used = np.unique(np.concatenate([simulation.tiles, ends]), axis=0)
        low, high = self.used.min(0), self.used.max(0)
        around = np.maximum(_ROOM, (_SMALLEST - (high - low)) / 2)
        self.low, self.high = low - around, high + around
        across = _WIDTH * _RIGHT / (_LEFT + _RIGHT) * _POINTS
        self.points = across / float((self.high - self.low).max())
        host = np.asarray(simulation.architecture.mesh.host)
        self.host = host if bool(((host > self.low) & (host < self.high)).all()) else None
        _, tile, count = np.unique(
            simulation.tiles, axis=0, return_inverse=True, return_counts=True
        )
        tile = tile.reshape(-1)
        order = np.argsort(tile, kind="stable")
        place = np.empty(len(tile), np.int64)
        place[order] = np.arange(len(tile)) - np.repeat(np.cumsum(count) - count, count)
        self.place, side = place, math.ceil(math.sqrt(int(count.max())))
        self.grid = (math.ceil(int(count.max()) / side), side)  # rows, columns

    def cells(self, tiles: A) -> A:
        """(core, 4): left, low, width, height; the cores of a tile from the upper left on."""
        rows, columns = self.grid
        width, height = _TILE / columns, _TILE / rows
        left = tiles[:, 0] - _TILE / 2 + self.place % columns * width
        low = tiles[:, 1] + _TILE / 2 - (self.place // columns + 1) * height
        return np.stack([left, low, np.full(len(left), width), np.full(len(left), height)], 1)


def _draw_mesh(axes: Axes, facts: SimulationFacts, plan: _Plan) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    simulation = facts.simulation
    operations, cells = simulation.cores["operations"].mean, plan.cells(simulation.tiles)
    numbered = len(cells) <= MOST_NUMBERS
    corners = plan.used - _TILE / 2
    tiles = [Rectangle((x, y), _TILE, _TILE) for x, y in corners.tolist()]
    axes.add_collection(PatchCollection(tiles, facecolor=FACE, edgecolor="none", zorder=2))
    cores = PatchCollection(
        [Rectangle((x, y), w, h) for x, y, w, h in cells.tolist()],
        cmap="Blues", edgecolor=INK, linewidth=0.6, zorder=3,
    )  # fmt: skip
    cores.set_array(operations)
    cores.set_clim(0, float(operations.max()))
    axes.add_collection(cores)
    bar = axes.figure.colorbar(
        cores, ax=axes, location="bottom", shrink=0.7, pad=0.02, aspect=30,
        format=lambda value, _: si(value, ""),
    )  # fmt: skip
    bar.set_label("synaptic operations per inference")
    if numbered:
        _draw_numbers(axes, operations, cells)
    _draw_links(axes, facts, plan)
    _draw_host(axes, plan)
    _draw_axes(axes, plan)
    title = "cores by number" if numbered else "cores"
    axes.set_title(f"{title}, and packets over the links", loc="left")


def _draw_numbers(axes: Axes, operations: A, cells: A) -> None:
    dark = operations > 0.6 * operations.max()
    for core, (x, y, w, h) in enumerate(cells.tolist()):
        axes.text(
            x + w / 2, y + h / 2, str(core), ha="center", va="center", fontsize=8, zorder=4,
            color="white" if dark[core] else INK,
        )  # fmt: skip


def _draw_host(axes: Axes, plan: _Plan) -> None:
    """The host, where it is near, and the legend of what has been drawn."""
    if plan.host is not None:
        x, y = (plan.host - _HOST_AWAY).tolist()
        axes.plot(x, y, **HOST, label="host", zorder=5)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.04), ncols=2, fontsize=8)


def _draw_links(axes: Axes, facts: SimulationFacts, plan: _Plan) -> None:
    """Each direction on its own side, keeping to the right, as wide as packets cross it."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    links, packets = facts.simulation.links, facts.simulation.crossings.mean
    if not packets.any():
        return
    start, end = links[:, :2].astype(float), links[:, 2:].astype(float)
    way = end - start
    aside = np.stack([way[:, 1], -way[:, 0]], 1) * _LANE
    lines = np.stack([start + aside, end + aside], 1)
    thickest = min(_THICKEST, 2 * _LANE * plan.points)
    widths = np.maximum(packets / packets.max() * thickest, _THINNEST)
    axes.add_collection(
        LineCollection(list(lines), linewidths=widths, colors=LINK, capstyle="butt", zorder=1)
    )
    label = f"{float(packets.max()):,.0f} packets per inference; each way keeps to its right"
    axes.add_artist(Line2D([], [], color=LINK, linewidth=thickest, label=label))


def _draw_axes(axes: Axes, plan: _Plan) -> None:
    xs, ys = (
        range(low, high + 1, max(1, math.ceil((high - low) / 32)))
        for low, high in zip(plan.used.min(0).tolist(), plan.used.max(0).tolist(), strict=True)
    )
    axes.set_xticks(list(xs), list(map(str, xs)))
    axes.set_yticks(list(ys), list(map(str, ys)))
    frame_mesh(axes, plan.low, plan.high)


__all__ = ["plot_simulation"]
