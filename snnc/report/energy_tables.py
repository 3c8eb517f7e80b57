"""Energy reports for the terminal: made for 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.text import Text

from snnc.energy.conventions.base import Convention
from snnc.energy.counts import Cause, Op, Place
from snnc.energy.encoder import EncoderEnergy
from snnc.energy.prices import Prices
from snnc.energy.report import Report
from snnc.energy.results import FigureResult, FiringRates, ItemResult, Reading, operands
from snnc.energy.verdicts import Sign, Threshold
from snnc.report.tables import new_table, paragraph
from snnc.report.units import count, digits, energy, energy_unit, factor

WORDS = {"per_step": "per step", "once": "once"}
STEPS_SHOWN = 8
"""Steps that have a column each in the table of rates."""
NAMES_SHOWN = 8
"""Layers named in a line; a saved report has them all."""
BARS = "▁▂▃▄▅▆▇█"
BAR_CELLS = 32


def energy_tables(report: Report) -> list[RenderableType]:
    """All of a report: what it is, energy per layer, counts, rates, conventions, notes."""
    figures = report.figures
    return [
        *_head(report),
        *_missing(report, main=True),
        *_verdict(report),
        *(_layer_table(report, figures[0]) if figures else []),
        *_operation_tables(report),
        *(_rate_table(report.rates) if report.rates else []),
        *([*_convention_table(report), *_extremes(report)] if figures else []),
        *_missing(report, main=False),
        *_thresholds(report.verdicts.thresholds),
        *_encoder(report.encoder),
        *_notes(report),
        *_papers(report),
    ]


def _head(report: Report) -> Iterator[RenderableType]:
    """The answer, and what it rests on."""
    steps = "T differs by layer" if report.steps is None else f"T = {report.steps}"
    samples = f"{report.samples:,} sample" + ("s" if report.samples != 1 else "")
    run = f"stage {report.stage}, {samples}, {steps}"
    if not report.figures:
        yield Text(f"energy of {report.model}: {run}", "bold")
        return
    figure = report.figures[0]
    reading = figure.reading(report.settings.first_layer)
    title = Text(f"energy of {report.model}: {_with_interval(reading)}", "bold")
    if report.uncounted or not figure.complete:
        title.append(" INCOMPLETE", "bold red")
    yield title
    yield Text(f"{figure.convention}, {figure.priced_with}; {run}")
    yield Text(_operations(reading))
    yield Text(_static_layers(report))
    if not report.settings.zero_weights:
        yield Text("products with weights that are 0: left out of effective")


def _with_interval(reading: Reading) -> str:
    words = f"{energy(reading.energy.mean)} per sample"
    return words if reading.energy.low is None else f"{words} (95 % CI {_interval(reading)})"


def _operations(reading: Reading) -> str:
    """How many ACs and MACs, and which of them are synaptic."""
    synapses = _by_op(item for item in reading.items if item.cause is Cause.SYNAPSES)
    every = _by_op(reading.items)
    ac, mac = (
        f"{count(every.get(op, 0.0))} {op.upper()} ({count(synapses.get(op, 0.0))} in synapses)"
        for op in (Op.AC, Op.MAC)
    )
    return f"{ac} and {mac} per sample"


def _static_layers(report: Report) -> str:
    figure, first = report.figures[0], report.settings.first_layer
    words = "static layers (same input at every step)"
    if figure.alike:
        return f"{words}: counted per step or once, {figure.convention} is the same here"
    other = figure.once if first == "per_step" else figure.per_step
    return (
        f"{words} are counted {WORDS[first]};"
        f" counted {WORDS[other.first_layer]}: {energy(other.energy.mean)} per sample"
    )


def _layer_table(report: Report, figure: FigureResult) -> Iterator[RenderableType]:
    """One row per layer and cause."""
    reading = figure.reading(report.settings.first_layer)
    yield Text("")
    yield _title(f"energy by layer and cause, {figure.convention}, {figure.priced_with}")
    table = new_table("", "layer", "cause", "AC", "MAC", "other", "energy", "share")
    table.columns[1].justify = "left"
    foldable = {line.name for line in report.lines if line.foldable}
    last = None
    for (layer, place, cause), items in _by_cause(reading.items):
        spent = [item.energy for item in items if item.energy is not None]
        total = sum(spent)
        shown = layer if layer != last else ""
        words = cause.value
        if cause is Cause.NORM and layer in foldable:
            words += " (foldable)"
        words += " (host)" if place == "host" else ""
        table.add_row(
            shown, words, _of(items, Op.AC), _of(items, Op.MAC), _others(items),
            *_spent(total, len(spent) == len(items), reading),
        )  # fmt: skip
        last = layer
    table.add_section()
    rest = _by_op(reading.items)
    table.add_row(
        "all layers", "all", count(rest.pop(Op.AC, None)), count(rest.pop(Op.MAC, None)),
        ", ".join(f"{count(number)} {op}" for op, number in rest.items()),
        energy(reading.energy.mean), _share(reading.energy.mean, reading),
    )  # fmt: skip
    for cause, items in _by_cause_only(reading.items).items():
        spent = [item.energy for item in items if item.energy is not None]
        cells = _spent(sum(spent), len(spent) == len(items), reading)
        table.add_row("", cause.value, _of(items, Op.AC), _of(items, Op.MAC), "", *cells)
    yield table


def _title(text: str) -> Text:
    """Above a table, not in it: a title of rich's own is only as wide as its table."""
    return Text(text, "bold")


def _spent(total: float, priced: bool, reading: Reading) -> tuple[str, str]:
    """Energy and share; where a part has no price, the part that has one."""
    if priced:
        return energy(total), _share(total, reading)
    return ("no price", "") if not total else (f"> {energy(total)}", _share(total, reading))


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


def _by_cause_only(items: Iterable[ItemResult]) -> Mapping[Cause, list[ItemResult]]:
    groups: dict[Cause, list[ItemResult]] = {}
    for item in items:
        groups.setdefault(item.cause, []).append(item)
    return groups


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
        "", "layer", "", "dense,\nformula", "dense,\nreal taps", "rate·T·\nFLOPs", "effective",
        "without\n0-weights",
    )  # fmt: skip
    inputs = new_table(
        "", "layer", "operation", "input", "values", "non-zero", "rate", "spikes/\nsynapse"
    )
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
    yield _title(f"synaptic operations per sample over all steps, static layers {WORDS[first]}")
    yield sums
    yield _title("what enters the layers with synapses, per sample")
    yield inputs


def _rate_table(rates: Sequence[FiringRates]) -> Iterator[RenderableType]:
    """Steps as columns where there is room, else as bars."""
    yield _title("firing rates: spikes per neuron and step, mean over the samples")
    longest = max(layer.steps for layer in rates)
    highest = max((rate for layer in rates for rate in layer.rates), default=0.0)
    if longest > STEPS_SHOWN:
        table = new_table("", "layer", "neurons", "spikes", "mean", f"steps (█ = {highest:.3g})")
        table.columns[-1].justify = "left"
        for layer in rates:
            table.add_row(*_rate_cells(layer), _bars(layer.rates, highest))
        yield table
        return
    steps = [f"t={step}" for step in range(longest)]
    table = new_table("", "layer", "neurons", "spikes", "mean", *steps)
    for layer in rates:
        table.add_row(*_rate_cells(layer), *(f"{rate:.3f}" for rate in layer.rates))
    yield table


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


def _convention_table(report: Report) -> Iterator[RenderableType]:
    """A row per convention, or two where static layers at every step and once differ."""
    tables = {figure.priced_with for figure in report.figures}
    same = f", {report.figures[0].priced_with}" if len(tables) == 1 else ""
    names = ["convention", "static", "mean ± sd", "95 % CI", "ANN", "ANN/SNN"]
    yield _title(f"conventions side by side, energy per sample{same}")
    table = new_table("", *names, *([] if same else ["prices"]))
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
    yield table


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
    if report.samples == 1:
        return
    figure = report.figures[0]
    found = figure.reading(report.settings.first_layer).energy
    yield paragraph(
        f"{figure.convention}, {figure.priced_with}: best sample {found.best_sample} with"
        f" {energy(found.best)}, worst sample {found.worst_sample} with {energy(found.worst)}"
        " (the first one is 0)"
    )


def _verdict(report: Report) -> Iterator[RenderableType]:
    """Which network needs less energy."""
    found = report.verdicts
    for words, sign in (
        ("by operations alone", found.by_operations),
        ("with memory accesses", found.with_memory),
    ):
        if sign is not None:
            yield paragraph(
                f"{words} ({sign.convention}): {_sign(sign)}{_turned(sign, report)}"
                f"{_incomplete(sign, report)}"
            )


def _incomplete(sign: Sign, report: Report) -> str:
    if sign.complete:
        return ""
    shown = any(figure.convention == sign.convention for figure in report.figures)
    return f"; INCOMPLETE{'' if shown else f', --convention {sign.convention} says why'}"


def _sign(sign: Sign) -> str:
    both = f"SNN {energy(sign.snn)}, ANN of the same shape {energy(sign.ann)}"
    if sign.winner == "equal":
        return f"both need the same ({both})"
    dear, cheap = (sign.snn, sign.ann) if sign.winner == "ANN" else (sign.ann, sign.snn)
    return f"the {sign.winner} needs less{f', by {factor(dear / cheap)}' if cheap else ''} ({both})"


def _turned(sign: Sign, report: Report) -> str:
    """The other reading of static layers, where it turns the verdict."""
    for figure in report.figures:
        first = report.settings.first_layer
        other = figure.once if first == "per_step" else figure.per_step
        if figure.convention != sign.convention or other.ann is None:
            continue
        mean = other.energy.mean
        winner = "equal" if mean == other.ann else "SNN" if mean < other.ann else "ANN"
        if winner not in (sign.winner, "equal"):
            return (
                f"; with static layers {WORDS[other.first_layer]} the {winner} does"
                f" (SNN {energy(mean)})"
            )
    return ""


def _thresholds(found: Sequence[Threshold]) -> Iterator[RenderableType]:
    """Published break-even points by the quantity that they are of; then those that don't apply."""
    lines: dict[str, list[str]] = {}
    for item in found:
        if item.side != "not applicable":
            measured = "" if item.measured is None else digits(item.measured)
            head = f"break-even points as published, {item.quantity}: here {measured}"
            lines.setdefault(head, []).append(f"{_band(item)} ({item.source}): {_SIDES[item.side]}")
    for item in found:
        if item.side == "not applicable":
            head = f"break-even points that do not apply: {item.reason}"
            point = _band(item)
            lines.setdefault(head, []).append(f"{point}: {item.source}" if point else item.source)
    for head, points in lines.items():
        yield paragraph(head)
        yield from (paragraph(point, "   -") for point in points)


_SIDES = {
    "below": "below it, which favours the SNN",
    "above": "above it, which favours the ANN",
    "inside the contested band": "inside this contested band",
}


def _band(item: Threshold) -> str:
    if item.low is None or item.high is None:
        return ""
    return digits(item.low) if item.low == item.high else f"{digits(item.low)}–{digits(item.high)}"


def _encoder(found: EncoderEnergy | None) -> Iterator[RenderableType]:
    if found is not None:
        yield paragraph(
            f"encoder, in no total: {found.pixels:,} conversions of {found.bits} bits per sample:"
            f" {energy(found.typical)}, published range {energy(found.low)} to"
            f" {energy(found.high)}; {found.rule} ({found.source})"
        )


def _papers(report: Report) -> Iterator[RenderableType]:
    """What each convention counts and where it is published, what several of them have in common
    said once; where the prices come from."""
    users: dict[str, dict[str, None]] = {}
    for figure in report.figures:
        for note in (note for reading in figure.readings for note in reading.notes):
            users.setdefault(note, {})[figure.convention] = None
    for figure in report.figures:
        yield paragraph(f"{figure.convention}: {figure.rule} ({figure.paper})")
        own = (note for note, who in users.items() if list(who) == [figure.convention])
        yield from (paragraph(note, "   -") for note in own)
    shared: dict[tuple[str, ...], list[str]] = {}
    for note, who in users.items():
        if len(who) > 1:
            shared.setdefault(tuple(who), []).append(note)
    for names, notes in shared.items():
        yield paragraph(", ".join(names))
        yield from (paragraph(note, "   -") for note in notes)
    for prices in {figure.prices.name: figure.prices for figure in report.figures}.values():
        yield paragraph(f"{prices.name}: {prices.source}")
        yield from (paragraph(note, "   -") for note in prices.notes)


def _missing(report: Report, main: bool) -> Iterator[RenderableType]:
    """What has no rule or no price, by the figures that are incomplete by it: the main one with
    others, or only others."""
    first = report.figures[0].convention if report.figures else ""
    by_line: dict[str, dict[str, None]] = {}
    for figure in report.figures:
        for reading in figure.readings:
            for line in reading.left_out:
                by_line.setdefault(line, {})[figure.convention] = None
    by_names: dict[tuple[str, ...], list[str]] = {}
    for line, names in by_line.items():
        by_names.setdefault(tuple(names), []).append(line)
    for place, what in report.uncounted.items():
        if main and not any(line.startswith(f"{place}:") for line in by_line):
            yield paragraph(f"left out: {place}: {what}: no rule", "!", "bold red")
    for who, lines in by_names.items():
        if (first in who) is not main:
            continue
        figures = "every figure" if len(who) == len(report.figures) else ", ".join(who)
        yield paragraph(f"left out of {figures}: {_by_reason(lines)}", "!", "bold red")


def _by_reason(lines: Iterable[str]) -> str:
    """`layer: reason` of many layers, each reason once."""
    places: dict[str, list[str]] = {}
    for line in lines:
        place, _, reason = line.partition(": ")
        places.setdefault(reason, []).append(place)
    return "; ".join(
        ", ".join(names[:NAMES_SHOWN])
        + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
        + (f": {reason}" if reason else "")
        for reason, names in places.items()
    )


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
