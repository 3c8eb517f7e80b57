"""Pictures of energy reports, as SVG or PNG. The same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnc.energy.counts import Cause
from snnc.energy.report import Report
from snnc.energy.results import Reading
from snnc.errors import OptionError
from snnc.report.pictures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    check_picture,
    save_picture,
)
from snnc.report.units import energy, energy_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    Cause.SYNAPSES: BLUE,
    Cause.BIAS: SKY,
    Cause.NORM: ORANGE,
    Cause.ADD: PURPLE,
    Cause.POOL: YELLOW,
    Cause.NEURON: GREEN,
    Cause.FUNCTION: GREY,
    Cause.ENCODER: VERMILION,
}
MOST_ROWS = 80
"""Layers that a picture shows by name; those with less energy share one bar."""

_WIDTH = 9.0
_ROW = 0.2
_FRAME = 1.3
"""Inches: width of the picture, height of a row, and what title and axis take."""


def plot_report(report: Report, path: str | Path) -> None:
    """Draws energy per layer stacked by cause, rates over time and the conventions side by side,
    one below the other.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`, there is nothing to draw, or it
            can't be written.
        ToolError: matplotlib isn't installed.
    """
    file = check_picture(path)
    save_picture(lambda: _picture(report), file)


def _picture(report: Report) -> Figure:
    from matplotlib.figure import Figure

    panels: list[tuple[float, Any]] = []
    if report.figures:
        rows = _energies(report)
        panels.append((len(rows) * _ROW, lambda axes: _draw_layers(axes, report, rows)))
    if report.rates:
        panels.append((len(report.rates) * _ROW, lambda axes: _draw_rates(axes, report)))
    if report.figures:
        bars = 3 * _ROW * 1.1 * len(report.figures)
        panels.append((bars, lambda axes: _draw_conventions(axes, report)))
    if not panels:
        raise OptionError(
            report.model, "this report holds nothing to draw", "count with a --convention"
        )
    heights = [max(height, 3 * _ROW) + _FRAME for height, _ in panels]
    picture = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    picture.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg]
    grid = picture.subplots(len(panels), squeeze=False, height_ratios=heights)
    for axes, (_, draw) in zip(grid[:, 0], panels, strict=True):
        draw(axes)
    return picture


def _energies(report: Report) -> dict[str, dict[Cause, float]]:
    """pJ by layer and cause, in the order of the network; the smallest are put together."""
    reading = report.figures[0].reading(report.settings.first_layer)
    found: dict[str, dict[Cause, float]] = {}
    for item in reading.items:
        causes = found.setdefault(item.layer, {})
        causes[item.cause] = causes.get(item.cause, 0.0) + (item.energy or 0.0)
    if len(found) <= MOST_ROWS:
        return found
    largest = sorted(found, key=lambda name: -sum(found[name].values()))[: MOST_ROWS - 1]
    kept = {name: causes for name, causes in found.items() if name in largest}
    rest: dict[Cause, float] = {}
    for name in found.keys() - largest:
        for cause, spent in found[name].items():
            rest[cause] = rest.get(cause, 0.0) + spent
    return {**kept, f"{len(found) - len(kept)} smaller layers": rest}


def _draw_layers(axes: Axes, report: Report, rows: Mapping[str, Mapping[Cause, float]]) -> None:
    figure = report.figures[0]
    reading = figure.reading(report.settings.first_layer)
    largest = max((sum(causes.values()) for causes in rows.values()), default=0.0)
    scale, unit = energy_unit(largest)
    left = np.zeros(len(rows))
    for cause, colour in COLOURS.items():
        spent = np.asarray([causes.get(cause, 0.0) / scale for causes in rows.values()])
        if spent.any():
            axes.barh(range(len(rows)), spent, 0.8, left, color=colour, label=cause.value)
            left += spent
    _name_rows(axes, list(rows))
    axes.set_xlabel(f"energy per sample ({unit})")
    axes.margins(y=0.5 / len(rows) if rows else 0)
    if left.any():
        axes.set_xlim(0, 1.03 * left.max())
    state = "" if figure.complete and not report.uncounted else ", INCOMPLETE"
    axes.set_title(
        f"{report.model}: energy per layer by cause\n{figure.convention}, {figure.priced_with},"
        f" static layers {_words(reading)}: {energy(reading.energy.mean)} per sample{state}",
        loc="left",
    )
    if left.any():
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="cause")


def _draw_rates(axes: Axes, report: Report) -> None:
    from matplotlib.ticker import MaxNLocator

    longest = max(layer.steps for layer in report.rates)
    grid = np.full((len(report.rates), longest), np.nan)
    for row, layer in zip(grid, report.rates, strict=True):
        row[: layer.steps] = layer.rates
    top = float(np.nanmax(grid)) or 1.0
    image = axes.imshow(grid, cmap="cividis", aspect="auto", vmin=0, vmax=top, interpolation="none")
    _name_rows(axes, [layer.name for layer in report.rates])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_title("spikes per neuron and step, mean over the samples", loc="left")
    axes.get_figure(root=True).colorbar(  # type: ignore[union-attr]
        image, cax=axes.inset_axes((1.02, 0.0, 0.02, 1.0)), label="rate"
    )


def _draw_conventions(axes: Axes, report: Report) -> None:
    alike = all(figure.alike for figure in report.figures)
    bars: list[tuple[str, str, list[float | None]]] = [
        (
            "SNN" if alike else "SNN, static layers\nper step",
            BLUE,
            [_mean(f.per_step) for f in report.figures],
        ),
        (
            "SNN, static layers\nonce",
            SKY,
            [None if f.alike else _mean(f.once) for f in report.figures],
        ),
        ("ANN of the\nsame shape", GREY, [f.per_step.ann for f in report.figures]),
    ]
    positive = [value for _, _, values in bars for value in values if value]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    # Bars on a logarithmic axis begin at a decade below all of them.
    start = 10.0 ** (np.floor(np.log10(low)) - 1)
    for index, (label, colour, values) in enumerate(bars):
        at = np.arange(len(values)) + 0.27 * (index - 1)
        known = [(row, value) for row, value in zip(at, values, strict=True) if value is not None]
        if not known:
            continue
        rows, lengths = zip(*known, strict=True)
        axes.barh(rows, np.maximum(lengths, start), 0.25, color=colour, label=label)
        for row, value in known:
            axes.annotate(f" {energy(value)}", (max(value, start), row), va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(start, high * 6)
    names = [
        f"{item.convention}{'' if item.complete else ', INCOMPLETE'}\n{item.priced_with}"
        for item in report.figures
    ]
    _name_rows(axes, names)
    axes.set_xlabel("energy per sample (pJ)")
    axes.set_title("conventions side by side", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _mean(reading: Reading) -> float:
    return reading.energy.mean


def _words(reading: Reading) -> str:
    return "per step" if reading.first_layer == "per_step" else "once"


def _name_rows(axes: Axes, names: list[str]) -> None:
    """Names on the left, the first one on top."""
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=8)
    axes.tick_params(axis="y", length=0)
    if not axes.yaxis_inverted():
        axes.invert_yaxis()


def _short(name: str) -> str:
    """The end of a long path, which tells layers apart."""
    return name if len(name) <= 40 or "\n" in name else "…" + name[-39:]
