"""What an energy run found, as plain data: shown, saved, compared and drawn without the run.

A report holds statistics over the samples, not the samples. Every figure stands in it in both
readings of the first layer, with the price table and its bit width.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from snnc.atomic import write_whole
from snnc.energy.conventions.base import Convention, Figure, Item, Settings
from snnc.energy.conventions.effective import Effective
from snnc.energy.conventions.lemaire2022 import Lemaire2022
from snnc.energy.conventions.parts import rate_times_flops, spike_rate
from snnc.energy.counts import Counts, FirstLayer, Line, Population, Synapses
from snnc.energy.encoder import EncoderEnergy
from snnc.energy.prices import Prices
from snnc.energy.results import (
    FigureResult,
    FiringRates,
    ItemResult,
    LayerCounts,
    LineCounts,
    Operations,
    Reading,
)
from snnc.energy.statistics import spread, statistics
from snnc.energy.verdicts import Activity, Verdicts, verdicts
from snnc.errors import InputError, ModelFileError, OptionError

FORMAT = "snnc-energy-1"
READINGS: tuple[FirstLayer, ...] = ("per_step", "once")

CSV_COLUMNS = (
    "convention", "first_layer", "price_table", "bits", "layer", "place", "cause", "what", "op",
    "mean_count", "sd_count", "price_pJ", "mean_energy_pJ", "sd_energy_pJ",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Everything that an energy run found.

    Attributes:
        model: its name or file.
        stage: where it ran: `torch`, `s1`, `s2`, `sim`.
        samples, steps: how many samples, and T (None where layers differ in it).
        settings: what the user chose of the counting.
        figures: one per convention; the first one is the main one.
        verdicts: against the ANN and the published break-even points, in the chosen reading.
        encoder: what the circuit takes that makes the spikes; in no total. None if not asked for.
        layers, lines, rates: counts per layer, in the order of the network.
        uncounted: operations without a rule, by place.
        notes: what was assumed.
    """

    model: str
    stage: str
    samples: int
    steps: int | None
    settings: Settings
    figures: tuple[FigureResult, ...]
    verdicts: Verdicts
    encoder: EncoderEnergy | None
    layers: tuple[LayerCounts, ...]
    lines: tuple[LineCounts, ...]
    rates: tuple[FiringRates, ...]
    uncounted: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every operation has a rule and a price."""
        return not self.uncounted and all(figure.complete for figure in self.figures)

    def figure(self, convention: str | None = None) -> FigureResult:
        """The figure of a convention; the first one without a name.

        Raises:
            OptionError: the report doesn't hold it.
        """
        for figure in self.figures:
            if convention in (None, figure.convention):
                return figure
        names = ", ".join(figure.convention for figure in self.figures)
        raise OptionError(
            str(convention), f"this report holds {names or 'no figures'}", "make another report"
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON, with its format and a checksum."""
        plain = {"format": FORMAT, **_plain(self)}
        return {**plain, "sha256": _digest(plain)}

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON, whole or not at all.

        Raises:
            OptionError: the name doesn't end in `.json`, or it can't be written.
        """
        file = check_report_name(path)
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_whole(file, text.encode() + b"\n", OptionError)

    def csv(self) -> str:
        """One row per line of every figure and reading (RFC 4180), with a head row; an empty cell
        is what is not known: a spread of one sample, or an energy without a price."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(CSV_COLUMNS)
        for figure in self.figures:
            head = (figure.convention, figure.prices.name, figure.prices.bits)
            for reading in figure.readings:
                writer.writerows(_row(head, reading.first_layer, item) for item in reading.items)
        return text.getvalue()

    def table(self, width: int = 100) -> str:
        """The tables of the terminal as text, `width` columns wide."""
        # What a report looks like is for `snnc.report`, which knows this module.
        from snnc.report.energy_tables import energy_tables
        from snnc.report.tables import rendered

        return rendered(energy_tables(self), width)

    def plot(self, path: str | Path) -> None:
        """Draws energy per layer by cause, rates over time and the conventions side by side.

        Raises:
            OptionError: the name doesn't end in `.svg` or `.png`, or it can't be written.
            ToolError: matplotlib isn't installed.
        """
        from snnc.report.energy_plots import plot_report

        plot_report(self, path)


def build_report(
    model: str,
    counts: Counts,
    conventions: Sequence[Convention],
    prices: Prices,
    settings: Settings,
    encoder: EncoderEnergy | None = None,
) -> Report:
    """The report of what was counted.

    Args:
        model: name for the reader.
        counts: of all samples.
        conventions: in the order of the report; the first one is the main one.
        prices: for every convention.
        settings: the reading of the first layer that is printed first; both are in the report.
        encoder: what the circuit takes that makes the spikes.

    Raises:
        InputError: no samples.
    """
    if not counts.samples:
        raise InputError("data", "holds no samples", "give at least one")
    found = [_readings(convention, counts, prices, settings) for convention in conventions]
    figures = [pair[settings.first_layer] for pair in found]
    names = {figure.convention for figure in figures}
    # Both verdicts, by operations and with memory, whatever was asked for.
    both = (item for item in (Effective(), Lemaire2022()) if item.name not in names)
    figures += [item.figure(counts, prices, settings) for item in both]
    verdict = verdicts(counts, figures, settings)
    activities = zip(counts.synapses, verdict.layers, strict=True)
    return Report(
        model=model,
        stage=counts.stage,
        samples=counts.samples,
        steps=counts.steps,
        settings=settings,
        figures=tuple(_figure(pair, counts.samples, counts.order) for pair in found),
        verdicts=verdict,
        encoder=encoder,
        layers=tuple(_layer(*pair) for pair in activities),
        lines=tuple(_line(item) for item in counts.lines),
        rates=tuple(_rates(item) for item in counts.populations),
        uncounted=dict(counts.uncounted),
        notes=(*counts.notes, *(_attention(item) for item in counts.synapses if item.second_size)),
    )


def _attention(item: Synapses) -> str:
    """Order and gating of a product of signals, with what other gatings would count."""
    assert item.second_events is not None
    heads, rows, inner = item.in_shape
    columns = item.out_shape[-1]
    done, first, second = (
        f"{counts.sum(1).mean() * fan_out:,.10g}"
        for counts, fan_out in (
            (item.products, 1), (item.events, columns), (item.second_events, rows)
        )
    )  # fmt: skip
    return (
        f"{item.name}: A·B in the order of the code,"
        f" {heads} × ({rows}×{inner})·({inner}×{columns}), gated by both operands: {done} products"
        f" per sample; gated by A alone {first}, by B alone {second},"
        f" dense {item.dense * item.steps:,}"
    )


def check_report_name(path: str | Path) -> Path:
    """The file, if a report can have that name.

    Raises:
        OptionError: the name doesn't end in `.json`.
    """
    file = Path(path)
    if file.suffix != ".json":
        raise OptionError(str(path), "reports are .json files", f"{file.stem or 'report'}.json")
    return file


def read_report(path: str | Path) -> Report:
    """Reads a saved report.

    Raises:
        ModelFileError: missing, no report, another format, truncated or altered.
    """
    try:
        data = json.loads(Path(path).read_bytes(), parse_constant=_no_constant)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise ModelFileError(str(path), f"can't be read ({reason})") from cause
    except (ValueError, RecursionError) as cause:
        raise ModelFileError(
            str(path), f"is no report: not whole JSON ({cause})", "save the report again"
        ) from cause
    return _checked_report(str(path), data)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _checked_report(path: str, data: Any) -> Report:
    if not isinstance(data, dict) or "format" not in data:
        raise ModelFileError(path, "is no energy report", "`snnc energy MODEL … -o` writes one")
    if data["format"] != FORMAT:
        raise ModelFileError(
            path,
            f"is in format {str(data['format'])[:40]!r}, this snnc reads {FORMAT!r}",
            "make the report again",
        )
    stored = data.pop("sha256", None)
    if stored != _digest(data):
        raise ModelFileError(path, "was altered: its checksum differs", "make the report again")
    del data["format"]
    try:
        report = msgspec.convert(data, Report)
    except msgspec.ValidationError as cause:
        raise ModelFileError(path, f"is damaged: {cause}", "make the report again") from cause
    if _plain(report) != data:
        raise ModelFileError(path, "holds fields that no report has", "make the report again")
    return report


def _plain(report: Report) -> dict[str, Any]:
    """The fields as JSON holds them."""
    return cast("dict[str, Any]", json.loads(msgspec.json.encode(report)))


def _digest(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _row(head: tuple[str, str, int], first_layer: str, item: ItemResult) -> tuple[Any, ...]:
    convention, table, bits = head
    return (
        convention, first_layer, table, bits, item.layer, item.place, item.cause.value, item.what,
        item.op, item.count, item.count_sd, item.price, item.energy, item.energy_sd,
    )  # fmt: skip


def _readings(
    convention: Convention, counts: Counts, prices: Prices, settings: Settings
) -> dict[FirstLayer, Figure]:
    return {
        first_layer: convention.figure(counts, prices, replace(settings, first_layer=first_layer))
        for first_layer in READINGS
    }


def _figure(pair: Mapping[FirstLayer, Figure], samples: int, order: Sequence[str]) -> FigureResult:
    figure = pair["per_step"]
    return FigureResult(
        convention=figure.convention,
        paper=figure.paper,
        rule=figure.rule,
        prices=figure.prices,
        per_step=_reading("per_step", figure, samples, order),
        once=_reading("once", pair["once"], samples, order),
    )


def _reading(
    first_layer: FirstLayer, figure: Figure, samples: int, order: Sequence[str]
) -> Reading:
    place = {name: index for index, name in enumerate(order)}
    items = sorted(figure.items, key=lambda item: place.get(item.layer, len(place)))
    return Reading(
        first_layer=first_layer,
        energy=statistics(np.broadcast_to(figure.energy, (samples,))),
        items=tuple(_item(item) for item in items),
        ann=None if figure.ann is None else float(figure.ann),
        left_out=figure.left_out,
        notes=figure.notes,
    )


def _item(item: Item) -> ItemResult:
    energy = None if item.price is None else item.energy
    return ItemResult(
        layer=item.layer,
        cause=item.cause,
        what=item.what,
        op=str(item.op),
        place=item.place,
        count=_mean(item.count),
        count_sd=spread(np.asarray(item.count)),
        price=item.price,
        energy=None if energy is None else _mean(energy),
        energy_sd=None if energy is None else spread(energy),
    )


def _layer(item: Synapses, activity: Activity) -> LayerCounts:
    return LayerCounts(
        name=item.name,
        operation=item.operation,
        kind=item.kind.value,
        op=item.op.value,
        direct=item.direct,
        static=item.static,
        place=item.place,
        in_shape=item.in_shape,
        out_shape=item.out_shape,
        kernel=item.kernel,
        stride=item.stride,
        groups=item.groups,
        weights=item.weights,
        bias=item.bias,
        events=_mean(item.events.sum(1)),
        input_rate=_mean(spike_rate(item)),
        spikes_per_synapse=activity.spikes_per_synapse,
        per_step=_operations(item, "per_step"),
        once=_operations(item, "once"),
    )


def _operations(item: Synapses, first_layer: FirstLayer) -> Operations:
    evaluations = 1 if item.static and first_layer == "once" else item.steps
    return Operations(
        evaluations=evaluations,
        dense=item.dense * evaluations,
        taps=item.taps * evaluations,
        rate_formula=_mean(rate_times_flops(item)) * evaluations / item.steps,
        effective=_mean(item.effective(first_layer, zero_weights=True)),
        effective_nonzero=_mean(item.effective(first_layer, zero_weights=False)),
    )


def _line(item: Line) -> LineCounts:
    per_step, once = (
        {str(op): _mean(item.effective(op, reading)) for op in item.operations}
        for reading in READINGS
    )
    return LineCounts(
        name=item.name,
        cause=item.cause,
        what=item.what,
        place=item.place,
        static=item.static,
        foldable=item.foldable,
        steps=item.steps,
        per_step=per_step,
        once=once,
    )


def _rates(item: Population) -> FiringRates:
    return FiringRates(
        name=item.name,
        size=item.size,
        leaks=item.leaks,
        fires=item.fires,
        steps=item.steps,
        spikes=_mean(item.spikes.sum(1)),
        rate=item.rate,
        rates=tuple(float(rate) for rate in item.rates),
    )


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values))
