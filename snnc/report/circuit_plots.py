"""Pictures of encoder circuits, as SVG or PNG. The same design and seed give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.circuits.dac import CapacitorDac, FloatArray, LadderDac, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.encodings import uwe
from snnc.circuits.metrics.static import dnl, inl_endpoint, transition_levels
from snnc.circuits.sar import SarAdc
from snnc.circuits.switching import SwitchedArrayDac, ladder_energy
from snnc.circuits.yields import SweepPoint
from snnc.errors import OptionError
from snnc.report.circuit_tables import UNITS, design_words, impairment_words
from snnc.report.pictures import BLUE, GREEN, GREY, VERMILION, check_picture, save_picture
from snnc.report.units import energy_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PIXELS = 256
"""Columns of the raster; deeper ramps are thinned out evenly."""

_PER_CODE = 16
_MOST_INPUTS = 1 << 16
_MANY = 4096  # points from which on a line in an SVG is an image
_DECADES = 100.0


def plot_design(design: Design, path: str | Path, seed: int = 0) -> None:
    """Draws one instance: transfer curve, DNL and INL, energy per code, spikes of a ramp.

    Args:
        design: its mismatch is drawn once, its noise for every decision.
        path: `.svg` or `.png`.
        seed: of both.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`, or it can't be written.
        InputError: so large a mismatch that an element isn't positive or no step is left.
        ToolError: matplotlib isn't installed.
    """
    file = check_picture(path)
    save_picture(lambda: _design_picture(design, seed), file)


def plot_sweep(
    design: Design, parameter: str, points: Sequence[SweepPoint], path: str | Path
) -> None:
    """Draws the yield and its interval against one parameter.

    Args:
        design: the rest of the converter.
        parameter: a name in `UNITS`.
        points: as `sweep` found them.
        path: `.svg` or `.png`.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`, or it can't be written.
        ToolError: matplotlib isn't installed.
    """
    file = check_picture(path)
    save_picture(lambda: _sweep_picture(design, parameter, points), file)


def _design_picture(design: Design, seed: int) -> Figure:
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    adc = design.make(1, rng)
    picture = Figure(figsize=(10.0, 8.5), layout="constrained")
    picture.get_layout_engine().set(h_pad=0.1, w_pad=0.1)  # type: ignore[union-attr, call-arg]
    picture.suptitle(f"{design_words(design)}\none instance: {impairment_words(design)}")
    (transfer, steps), (cost, raster) = picture.subplots(2, 2)
    _draw_transfer(transfer, adc, rng)
    _draw_steps(steps, adc)
    _draw_energy(cost, adc, design.slot)
    _draw_raster(raster, adc, rng)
    return picture


def _draw_transfer(axes: Axes, adc: SarAdc, rng: np.random.Generator) -> None:
    codes, v_ref = 2**adc.bits, adc.dac.v_ref
    count = min(codes * _PER_CODE, _MOST_INPUTS)
    inputs = (np.arange(count) + 0.5) * (v_ref / count)
    found = adc.convert(inputs, rng)[0]
    ideal = np.floor(inputs * (codes / v_ref))
    look = {"drawstyle": "steps-mid", "rasterized": count > _MANY}
    axes.plot(inputs, ideal, color=GREY, linewidth=2.5, label="ideal", **look)
    axes.plot(inputs, found, color=BLUE, linewidth=1.0, label="this instance", **look)
    axes.set_xlabel("input (V)")
    axes.set_ylabel("code")
    axes.set_title("transfer curve", loc="left")
    axes.legend(loc="upper left")


def _draw_steps(axes: Axes, adc: SarAdc) -> None:
    axes.set_title("non-linearity of the thresholds, between their ends", loc="left")
    if adc.bits == 1:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "one threshold has no steps", ha="center", va="center")
        return
    thresholds = transition_levels(adc.dac.levels())
    many = thresholds.size > _MANY
    for label, values, colour in (
        ("INL", inl_endpoint(thresholds)[0], BLUE),
        ("DNL", dnl(thresholds)[0], VERMILION),
    ):
        at = np.arange(1, values.size + 1)
        axes.plot(at, values, color=colour, linewidth=1.0, label=label, rasterized=many)
    # Without mismatch both are 0 but for rounding, which would fill the axis.
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.1), max(high, 0.1))
    axes.set_xlabel("code")
    axes.set_ylabel("LSB")
    axes.legend(loc="upper left", ncols=2)


def _draw_energy(axes: Axes, adc: SarAdc, slot: float) -> None:
    joules, what = _energies(adc, slot)
    picojoules = 1e12 * joules
    scale, unit = energy_unit(float(picojoules.max()))
    if picojoules.max() < scale:
        scale, unit = 1e-3, "fJ"
    axes.plot(picojoules / scale, color=GREEN, linewidth=1.0, rasterized=joules.size > _MANY)
    mean = float(picojoules.mean()) / scale
    axes.axhline(mean, color=GREY, linestyle="--", linewidth=1.0, label=f"mean {mean:.4g} {unit}")
    axes.set_ylim(0, None)
    axes.set_xlabel("code")
    axes.set_ylabel(f"energy per conversion ({unit})")
    axes.set_title(f"energy from the reference\n{what}", loc="left")
    axes.legend(loc="lower right")


def _energies(adc: SarAdc, slot: float) -> tuple[FloatArray, str]:
    """J of every code, (2^bits,), and of which elements."""
    dac = adc.dac
    if isinstance(dac, LadderDac):
        words = f"R = {dac.unit:g} ohm, {slot:g} s per decision"
        return ladder_energy(dac, slot)[0], words
    if isinstance(dac, CapacitorDac):
        dac = SwitchedArrayDac.of(dac)
    if not isinstance(dac, SwitchedArrayDac):
        raise OptionError("plot", "knows no energy of this converter", "draw an array or a ladder")
    joules = dac.switching_energy()[0] * (dac.unit * dac.v_ref**2)
    return joules, f"switching of the array, C_u = {dac.unit * 1e15:g} fF"


def _draw_raster(axes: Axes, adc: SarAdc, rng: np.random.Generator) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.lines import Line2D

    codes = 2**adc.bits
    count = min(codes, MOST_PIXELS)
    pixels = np.linspace(0, codes - 1, count).round().astype(np.int64)
    spikes = adc.planes(mid_bins(adc.bits, adc.dac.v_ref)[pixels], rng)[0]
    wrong = spikes != uwe(pixels, adc.bits)
    shown: NDArray[np.int64] = spikes + 2 * wrong.astype(np.int64)
    kinds = {"spike": "#222222", "spike missing": "#56B4E9", "spike too many": VERMILION}
    colours = ListedColormap(["#FFFFFF", *kinds.values()])
    axes.imshow(
        shown, cmap=colours, vmin=0, vmax=3, aspect="auto", interpolation="none",
        extent=(-0.5, count - 0.5, adc.bits - 0.5, -0.5),
    )  # fmt: skip
    ticks = np.unique(np.minimum(np.arange(5) * count // 4, count - 1))
    axes.set_xticks(ticks, [str(pixels[tick]) for tick in ticks])
    axes.set_yticks(range(adc.bits), [str(step + 1) for step in range(adc.bits)])
    axes.set_xlabel("pixel code at its mid-bin voltage")
    axes.set_ylabel("cycle, MSB first")
    lost = int((wrong.any(axis=0)).sum())
    axes.set_title(f"spikes of a ramp of pixels\n{lost} of {count} pixels are wrong", loc="left")
    marks = [
        Line2D([], [], color=colour, marker="s", linestyle="", label=label)
        for label, colour in kinds.items()
        if lost or label == "spike"
    ]
    axes.legend(handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=8)


def _sweep_picture(design: Design, parameter: str, points: Sequence[SweepPoint]) -> Figure:
    from matplotlib.figure import Figure

    ordered = sorted(points, key=lambda point: point.value)
    unit = UNITS[parameter]
    at = np.asarray([point.value for point in ordered]) * (1 if unit else 100)
    good = 100 * np.asarray([point.share.value for point in ordered])
    ends = 100 * np.asarray([point.share.interval for point in ordered])
    picture = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = picture.subplots()
    share = ordered[0].share
    reach = (good - ends[:, 0], ends[:, 1] - good)
    axes.errorbar(at, good, reach, color=BLUE, ecolor=GREY, marker="o", markersize=4, capsize=3)
    if at.min() > 0 and at.max() >= _DECADES * at.min():
        axes.set_xscale("log")
    axes.set_ylim(-3, 103)
    axes.set_xlabel(f"{parameter} ({unit or '%'})")
    axes.set_ylabel(f"yield (%), {100 * share.confidence:g} % CI")
    axes.set_title(
        f"{design_words(design)}\n{share.total:,} instances each; besides {parameter}:"
        f" {impairment_words(design, 'nothing else')}",
        loc="left",
    )
    return picture
