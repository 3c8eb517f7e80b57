"""Energy reports for the terminal: made for 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from snnc.energy.conventions.base import Convention
from snnc.energy.counts import Cause, Op, Place
from snnc.energy.encoder import EncoderEnergy
from snnc.energy.prices import Prices
from snnc.energy.report import Report
from snnc.energy.results import FigureResult, FiringRates, ItemResult, Reading, operands
from snnc.energy.verdicts import Sign, Threshold, Verdicts
from snnc.report.tables import new_table, paragraph
from snnc.report.units import count, digits, energy, energy_unit, factor

WORDS = {"per_step": "per step", "once": "once"}
WIDTH = 100
"""Columns that the tables are made for."""
STEPS_SHOWN = 8
"""Steps that have a column each in the table of rates."""
BARS = "▁▂▃▄▅▆▇█"
BAR_CELLS = 32


def energy_tables(report: Report) -> list[RenderableType]:
    """All of a report: what it is, energy per layer, counts, rates, conventions, notes."""
    figures = report.figures
    return [
        *_head(report),
        *([_layer_table(report, figures[0])] if figures else []),
        *_operation_tables(report),
        *([_rate_table(report.rates)] if report.rates else []),
        *([_convention_table(report), *_extremes(report)] if figures else []),
        *_verdicts(report.verdicts),
        *_encoder(report.encoder),
        *_missing(report),
        *_papers(report),
        *_notes(report),
    ]


def _head(report: Report) -> Iterator[RenderableType]:
    steps = "T differs by layer" if report.steps is None else f"T = {report.steps}"
    samples = f"{report.samples:,} sample" + ("s" if report.samples != 1 else "")
    title = Text(f"energy of {report.model}: stage {report.stage}, {samples}, {steps}", "bold")
    if report.uncounted or not all(figure.complete for figure in report.figures[:1]):
        title.append(" INCOMPLETE", "bold red")
    yield title
    zero = "counted" if report.settings.zero_weights else "left out"
    first = WORDS[report.settings.first_layer]
    yield Text(
        f"static layers (same input at every step): counted {first};"
        f" products with weights that are 0: {zero}"
    )


def _state(reading: Reading, report: Report) -> str:
    return " INCOMPLETE" if reading.left_out or report.uncounted else ""


def _layer_table(report: Report, figure: FigureResult) -> Table:
    """One row per layer and cause."""
    reading = figure.reading(report.settings.first_layer)
    table = new_table(
        f"{figure.convention}, {figure.priced_with}:"
        f" {energy(reading.energy.mean)} per sample{_state(reading, report)}",
        "layer", "cause", "AC", "MAC", "other", "energy", "share",
    )  # fmt: skip
    table.columns[1].justify = "left"
    last = None
    for (layer, place, cause), items in _by_cause(reading.items):
        spent = [item.energy for item in items if item.energy is not None]
        total = sum(spent)
        shown = layer if layer != last else ""
        words = cause.value + (" (host)" if place == "host" else "")
        table.add_row(
            shown, words, _of(items, Op.AC), _of(items, Op.MAC), _others(items),
            energy(total) if len(spent) == len(items) else "no price", _share(total, reading),
        )  # fmt: skip
        last = layer
    table.add_section()
    rest = _by_op(reading.items)
    table.add_row(
        "all layers", "all", count(rest.pop(Op.AC, None)), count(rest.pop(Op.MAC, None)),
        ", ".join(f"{count(number)} {op}" for op, number in rest.items()),
        energy(reading.energy.mean), _share(reading.energy.mean, reading),
    )  # fmt: skip
    for cause, total in _by_cause_only(reading.items).items():
        table.add_row("", cause.value, "", "", "", energy(total), _share(total, reading))
    return table


def _share(total: float, reading: Reading) -> str:
    return f"{total / reading.energy.mean:.1%}" if reading.energy.mean else ""


def _by_cause(
    items: Sequence[ItemResult],
) -> Iterator[tuple[tuple[str, Place, Cause], list[ItemResult]]]:
    """Items of the same layer, place and cause; layers in the order in which they first appear."""
    layers = list(dict.fromkeys(item.layer for item in items))
    rank = {name: index for index, name in enumerate(layers)}
    groups: dict[tuple[str, Place, Cause], list[ItemResult]] = {}
    for item in sorted(items, key=lambda item: rank[item.layer]):
        groups.setdefault((item.layer, item.place, item.cause), []).append(item)
    yield from groups.items()


def _by_cause_only(items: Iterable[ItemResult]) -> Mapping[Cause, float]:
    totals: dict[Cause, float] = {}
    for item in items:
        totals[item.cause] = totals.get(item.cause, 0.0) + (item.energy or 0.0)
    return totals


def _by_op(items: Iterable[ItemResult]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for item in items:
        totals[item.op] = totals.get(item.op, 0.0) + item.count
    return totals


def _of(items: Sequence[ItemResult], op: Op) -> str:
    found = [item.count for item in items if item.op == op]
    return count(sum(found)) if found else ""


def _others(items: Sequence[ItemResult]) -> str:
    rest = [item for item in items if item.op not in (Op.AC, Op.MAC)]
    return ", ".join(f"{count(item.count)} {item.op}" for item in rest)


def _operation_tables(report: Report) -> Iterator[RenderableType]:
    if not report.layers:
        return
    first = report.settings.first_layer
    sums = new_table(
        f"synaptic operations per sample over all steps, static layers {WORDS[first]}",
        "layer", "", "dense formula", "dense taps", "rate·T·FLOPs", "effective", "w/o 0-weights",
    )  # fmt: skip
    inputs = new_table(
        "inputs of the layers with synapses",
        "layer", "operation", "input", "values", "non-zero", "rate", "spikes/synapse",
    )  # fmt: skip
    sums.columns[1].justify = inputs.columns[1].justify = inputs.columns[2].justify = "left"
    for layer in report.layers:
        now = layer.reading(first)
        sums.add_row(
            layer.name, layer.op.upper(), count(now.dense), count(now.taps),
            count(now.rate_formula), count(now.effective), count(now.effective_nonzero),
        )  # fmt: skip
        words = ", ".join(
            word for word, said in (("direct", layer.direct), ("static", layer.static)) if said
        )
        per_synapse = layer.spikes_per_synapse
        size = layer.in_shape
        inputs.add_row(
            layer.name,
            layer.operation.replace("_", " "),
            layer.kind + (f" ({words})" if words else ""),
            "×".join(map(str, size)),
            count(layer.events),
            f"{layer.input_rate:.4f}",
            "" if per_synapse is None else f"{per_synapse:.4f}",
        )
    totals = [layer.reading(first) for layer in report.layers]
    sums.add_section()
    sums.add_row(
        "all layers", "",
        count(sum(item.dense for item in totals)), count(sum(item.taps for item in totals)),
        count(sum(item.rate_formula for item in totals)),
        count(sum(item.effective for item in totals)),
        count(sum(item.effective_nonzero for item in totals)),
    )  # fmt: skip
    yield sums
    yield inputs


def _rate_table(rates: Sequence[FiringRates]) -> Table:
    """Steps as columns where there is room, else as bars."""
    longest = max(layer.steps for layer in rates)
    highest = max((rate for layer in rates for rate in layer.rates), default=0.0)
    title = "firing rates: spikes per neuron and step, mean over the samples"
    if longest > STEPS_SHOWN:
        table = new_table(title, "layer", "neurons", "spikes", "mean", f"steps (█ = {highest:.3g})")
        table.columns[-1].justify = "left"
        for layer in rates:
            table.add_row(*_rate_cells(layer), _bars(layer.rates, highest))
        return table
    steps = [f"t={step}" for step in range(longest)]
    table = new_table(title, "layer", "neurons", "spikes", "mean", *steps)
    for layer in rates:
        table.add_row(*_rate_cells(layer), *(f"{rate:.3f}" for rate in layer.rates))
    return table


def _rate_cells(layer: FiringRates) -> tuple[str, str, str, str]:
    name = layer.name if layer.fires else f"{layer.name} (read out)"
    return name, count(layer.size), count(layer.spikes), f"{layer.rate:.4f}"


def _bars(rates: Sequence[float], highest: float) -> str:
    """One cell per step; the mean of neighbouring steps where there are too many."""
    cells = min(len(rates), BAR_CELLS)
    edges = [len(rates) * cell // cells for cell in range(cells + 1)]
    means = [sum(rates[low:high]) / (high - low) for low, high in pairwise(edges)]
    top = len(BARS) - 1
    return "".join(BARS[round(top * mean / highest)] if highest else BARS[0] for mean in means)


def _convention_table(report: Report) -> Table:
    """A row per convention, or two where static layers at every step and once differ."""
    tables = {figure.priced_with for figure in report.figures}
    same = f", {report.figures[0].priced_with}" if len(tables) == 1 else ""
    names = ["convention", "static", "mean ± sd", "95 % CI", "ANN", "ANN/SNN"]
    table = new_table(
        f"conventions side by side, energy per sample{same}",
        *names, *([] if same else ["prices"]),
    )  # fmt: skip
    table.columns[1].justify = "left"
    for figure in report.figures:
        for index, reading in enumerate(figure.readings[: 1 if figure.alike else 2]):
            table.add_row(
                "" if index else figure.convention,
                "either" if figure.alike else WORDS[reading.first_layer],
                _spread(reading),
                _interval(reading),
                "" if reading.ann is None else energy(reading.ann),
                factor(reading.ratio),
                *([] if same else [figure.priced_with]),
            )
        if not figure.complete or report.uncounted:
            table.add_row("  INCOMPLETE")
    return table


def _spread(reading: Reading) -> str:
    found = reading.energy
    if found.sd is None:
        return energy(found.mean)
    scale, unit = energy_unit(found.mean)
    return f"{digits(found.mean / scale)} ± {found.sd / scale:.3g} {unit}"


def _interval(reading: Reading) -> str:
    found = reading.energy
    if found.low is None or found.high is None:
        return "none (n = 1)"
    scale, unit = energy_unit(found.mean)
    return f"{digits(found.low / scale)} … {digits(found.high / scale)} {unit}"


def _extremes(report: Report) -> Iterator[RenderableType]:
    """Best and worst sample of the main figure."""
    figure = report.figures[0]
    found = figure.reading(report.settings.first_layer).energy
    yield paragraph(
        f"{figure.convention}, {figure.priced_with}: best sample {found.best_sample} with"
        f" {energy(found.best)}, worst sample {found.worst_sample} with {energy(found.worst)}"
    )


def _verdicts(found: Verdicts) -> Iterator[RenderableType]:
    """Whether it is worth being a spiking network."""
    table = new_table(
        "spiking or not: break-even points as published", "source", "of", "point", "here", "so"
    )
    table.columns[1].justify = table.columns[4].justify = "left"
    for item in found.thresholds:
        table.add_row(
            item.source,
            item.quantity,
            _band(item),
            "" if item.measured is None else digits(item.measured),
            item.side + (f": {item.reason}" if item.reason else ""),
        )
    if found.thresholds:
        yield table
    for words, sign in (
        ("by operations alone", found.by_operations),
        ("with memory accesses", found.with_memory),
    ):
        if sign is not None:
            yield paragraph(
                f"{words} ({sign.convention}): {_sign(sign)}"
                f"{'' if sign.complete else ', INCOMPLETE'}"
            )


def _band(item: Threshold) -> str:
    if item.low is None or item.high is None:
        return ""
    return digits(item.low) if item.low == item.high else f"{digits(item.low)}–{digits(item.high)}"


def _sign(sign: Sign) -> str:
    both = f"SNN {energy(sign.snn)}, ANN of the same shape {energy(sign.ann)}"
    if sign.winner == "equal":
        return f"both need the same ({both})"
    return f"the {sign.winner} needs less ({both}, ANN/SNN {digits(sign.ratio)})"


def _encoder(found: EncoderEnergy | None) -> Iterator[RenderableType]:
    if found is not None:
        yield paragraph(
            f"encoder, in no total: {found.pixels:,} conversions of {found.bits} bits per sample:"
            f" {energy(found.typical)}, published range {energy(found.low)} to"
            f" {energy(found.high)}; {found.rule} ({found.source})"
        )


def _papers(report: Report) -> Iterator[RenderableType]:
    """What each convention counts and where it is published; where the prices come from."""
    for figure in report.figures:
        yield paragraph(f"{figure.convention}: {figure.rule} ({figure.paper})")
        notes = dict.fromkeys(note for reading in figure.readings for note in reading.notes)
        yield from (paragraph(note, "   -") for note in notes)
    for prices in {figure.prices.name: figure.prices for figure in report.figures}.values():
        yield paragraph(f"{prices.name}: {prices.source}")
        yield from (paragraph(note, "   -") for note in prices.notes)


def _missing(report: Report) -> Iterator[RenderableType]:
    """What has no rule or no price, by the figures that are incomplete by it."""
    by_line: dict[str, dict[str, None]] = {}
    for figure in report.figures:
        for reading in figure.readings:
            for line in reading.left_out:
                by_line.setdefault(line, {})[figure.convention] = None
    by_names: dict[tuple[str, ...], list[str]] = {}
    for line, names in by_line.items():
        by_names.setdefault(tuple(names), []).append(line)
    for place, what in report.uncounted.items():
        if not any(line.startswith(f"{place}:") for line in by_line):
            yield paragraph(f"left out: {place}: {what}: no rule", "!", "bold red")
    for who, lines in by_names.items():
        figures = "every figure" if len(who) == len(report.figures) else ", ".join(who)
        yield paragraph(f"left out of {figures}: {'; '.join(lines)}", "!", "bold red")


def _notes(report: Report) -> Iterator[RenderableType]:
    for line in report.notes:
        yield paragraph(line)


def convention_tables(
    conventions: Iterable[Convention], tables: Iterable[Prices]
) -> list[RenderableType]:
    """What there is to choose from, with papers and sources."""
    rules = new_table("conventions", "convention", "paper", "what it counts", numbers=False)
    for item in conventions:
        rules.add_row(item.name, item.paper, item.rule)
    prices = new_table("price tables", "table", "operands", "pJ", numbers=False)
    sources: dict[str, list[str]] = {}
    for table in tables:
        words = ", ".join(f"{op} {digits(price)}" for op, price in table.operations.items())
        prices.add_row(table.name, operands(table), words)
        sources.setdefault(table.source, []).append(table.name)
    return [rules, prices, *(paragraph(f"{', '.join(n)}: {s}") for s, n in sources.items())]
