"""What a timed run found, for the terminal: made for 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from snnc.report.layout_tables import counted
from snnc.report.simulation_facts import Critical, Mean, SimulationFacts
from snnc.report.tables import new_table, paragraph
from snnc.report.units import count, digits, energy
from snnc.targets.sim.simulation import PICO

CAUSES = {
    "neuron": "neurons are updated",
    "spike": "neurons make messages",
    "axon": "cores send packets",
    "hop": "packets cross links",
    "delivery": "packets enter cores",
    "synapse": "synaptic operations",
    "barrier": "cores wait for each other",
    "leakage": "leakage, all the time",
}
MOST_CRITICAL = 4
"""Critical cores with a line each."""
MOST_LAYERS = 6
"""Layers of a core that are named."""
_LONG, _MILLION = 1e5, 1e6
_PREFIXES = (
    (1e-15, "f"), (1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""), (1e3, "k"),
    (1e6, "M"), (1e9, "G"), (1e12, "T"),
)  # fmt: skip


def simulation_tables(
    facts: SimulationFacts, steps: bool = False, cores: bool = False, links: bool = False
) -> list[RenderableType]:
    """All of a simulation: layers, energy by cause, times, what decided them, what is estimated.

    Args:
        steps, cores, links: whether every one of these has a line in a table of its own.
    """
    return [
        *_head(facts),
        *_layer_table(facts),
        _energy_table(facts),
        *([_step_table(facts)] if steps else []),
        *([_core_table(facts)] if cores else []),
        *([_link_table(facts)] if links else []),
        *_results(facts),
        *_critical(facts),
        *_estimates(facts),
    ]


def si(number: float, unit: str) -> str:
    """Four digits with the prefix that gives 1 to 1000."""
    factor, name = _scale(number, unit)
    return f"{digits(number / factor)} {name}"


def spread(found: Mean, unit: str) -> str:
    """Mean ± standard deviation, if any, with one unit and as many decimals for both."""
    factor, name = _scale(found.mean, unit)
    mean, std = found.mean / factor, found.std / factor
    decimals = max(0, 4 - len(f"{abs(mean):.0f}"))
    more = f" ± {std:.{decimals}f}" if std else ""
    return f"{mean:.{decimals}f}{more} {name}"


def _scale(number: float, unit: str) -> tuple[float, str]:
    # Four digits round 999.96 up to 1000, which belongs to the next prefix.
    fitting = [item for item in _PREFIXES if abs(number) >= 0.99995 * item[0]]
    factor, prefix = (fitting or _PREFIXES[:1])[-1] if number else (1.0, "")
    return factor, prefix + unit


def _count(number: float) -> str:
    """An integer from 1,000 on, four digits below."""
    return count(round(number)) if number >= 1000 else digits(number)


def _counts(mean: float, std: float) -> str:
    return _count(mean) + (f" ± {std:,.{0 if mean >= 100 else 1}f}" if std else "")


def _head(facts: SimulationFacts) -> Iterator[RenderableType]:
    simulation = facts.simulation
    cores, tiles, chips = simulation.used
    right = "" if facts.accuracy is None else f", {facts.accuracy:.2%} of them right"
    means = ": mean ± standard deviation" if simulation.samples > 1 else ""
    lag = f" + {simulation.lag} until the last layer is done" if simulation.lag else ""
    yield Text(
        f"{simulation.architecture.chip}: {counted(cores, 'core')} on {counted(tiles, 'tile')},"
        f" {counted(chips, 'chip')}",
        "bold",
    )
    yield Text(f"{counted(simulation.samples, 'sample')}{right}{means}")
    yield Text(f"{counted(facts.hardware_steps, 'step')} per sample: T = {simulation.steps}{lag}")
    yield Text("")


def _layer_table(facts: SimulationFacts) -> Iterator[RenderableType]:
    simulation = facts.simulation
    table = new_table(
        "layers, per sample", "layer", "cores", "messages", "packets", "synaptic\noperations",
        "neuron\nenergy", "message\nenergy", "synapse\nenergy",
    )  # fmt: skip
    for row, (layer, cores) in enumerate(
        zip(simulation.layers, simulation.layer_cores, strict=True)
    ):
        messages = simulation.layer["messages"]
        table.add_row(
            layer, f"{len(cores):,}",
            _counts(float(messages.mean[row]), float(messages.std[row])),
            *(_count(float(simulation.layer[name].mean[row])) for name in ("sent", "operations")),
            *(_spent(float(part[row])) for part in facts.layer_energy.values()),
        )  # fmt: skip
    table.add_section()
    total, by_cause = facts.totals, {name: item.mean for name, item in facts.energy.items()}
    table.add_row(
        "all layers", f"{simulation.used[0]:,}",
        _counts(total["messages"].mean, total["messages"].std),
        _count(total["packets"].mean - total["host_packets"].mean),
        _count(total["operations"].mean), _spent(by_cause["neuron"]),
        _spent(by_cause["spike"] + by_cause["axon"]), _spent(by_cause["synapse"]),
    )  # fmt: skip
    yield table
    host = total["host_packets"].mean
    if host:
        yield paragraph(f"the host sends {_count(host)} packets more, the input")
    yield Text("")


def _spent(picojoules: float) -> str:
    return energy(picojoules) if picojoules else "0"


def _energy_table(facts: SimulationFacts) -> Table:
    head = "mean ± sd" if facts.simulation.samples > 1 else "energy"
    table = new_table("energy per inference", "cause", "spent when", head, "share")
    table.columns[1].justify = "left"
    total = facts.total.mean
    for cause, found in facts.energy.items():
        cells = (_joules(found), _share(found.mean, total)) if found.mean else ("0", "")
        table.add_row(cause, CAUSES[cause], *cells)
    table.add_section()
    table.add_row("total", "", _joules(facts.total), _share(total, total))
    return table


def _joules(found: Mean) -> str:
    return spread(Mean(found.mean * PICO, found.std * PICO), "J")


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _step_table(facts: SimulationFacts) -> Table:
    table = new_table(
        "steps, means over the samples", "step", "cycles", "time", "messages", "packets",
        "synaptic\noperations", "hops", "energy without\nleakage",
    )  # fmt: skip
    found, ns = facts.steps, facts.simulation.architecture.cycles.ns
    for step in range(facts.hardware_steps):
        at = {name: float(values[step]) for name, values in found.items()}
        table.add_row(
            str(step), _count(at["cycles"]), si(at["cycles"] * ns * 1e-9, "s"),
            _count(at["messages"]), _count(at["packets"]), _count(at["operations"]),
            _count(at["hops_x"] + at["hops_y"]), _spent(at["energy"]),
        )  # fmt: skip
    return table


def _core_table(facts: SimulationFacts) -> Table:
    table = new_table(
        "cores, per sample; when their units are done, as a share of the steps' length",
        "core", "tile", "layers", "mes-\nsages", "packets\nin", "\nout", "opera-\ntions",
        "neu-\nron", "out-\nput", "in-\nput", "last\nin", "energy",
    )  # fmt: skip
    table.columns[2].justify = "left"
    mean = {name: part.mean for name, part in facts.simulation.cores.items()}
    for core, (x, y) in enumerate(facts.simulation.tiles.tolist()):
        table.add_row(
            str(core), f"{x}, {y}", _names(facts.held[core], "\n"),
            *(_short(float(mean[n][core])) for n in ("messages", "received", "sent", "operations")),
            *(f"{float(share[core]):.0%}" for share in facts.done.values()),
            _count(float(mean["critical"][core])), _spent(float(facts.core_energy[core])),
        )  # fmt: skip
    return table


def _short(number: float) -> str:
    """At most seven characters, for many columns."""
    return _count(number) if number < _LONG else si(number, "")


def _link_table(facts: SimulationFacts) -> RenderableType:
    table = new_table("links, per sample", "from tile", "to tile", "packets", "in use", "energy")
    simulation = facts.simulation
    if not len(simulation.links):
        return paragraph("no packet crosses a link between tiles")
    for link, (x, y, to_x, to_y) in enumerate(simulation.links.tolist()):
        table.add_row(
            f"{x}, {y}", f"{to_x}, {to_y}",
            _counts(float(simulation.crossings.mean[link]), float(simulation.crossings.std[link])),
            f"{float(facts.link_busy[link]):.2%}", _spent(float(facts.link_energy[link])),
        )  # fmt: skip
    return table


def _results(facts: SimulationFacts) -> Iterator[RenderableType]:
    simulation, ns = facts.simulation, facts.simulation.architecture.cycles.ns
    slowest = int(simulation.seconds.argmax())
    longest, sample, step = facts.longest_step
    mean = facts.totals["cycles"].mean / facts.hardware_steps
    rows = {
        "time per inference": f"{spread(facts.seconds, 's')}, the slowest"
        f" {si(float(simulation.seconds[slowest]), 's')} (sample {slowest})",
        "a step": f"{_count(mean)} cycles ({si(mean * ns * 1e-9, 's')})",
        "the longest step": f"{longest:,} cycles ({si(longest * ns * 1e-9, 's')}), step {step} of"
        f" sample {sample}",
        "inferences per second": _number(facts.inferences_per_second)
        + ", one after another, without what the host does",
        "energy per inference": _joules(facts.total),
        "power": "–" if facts.watts is None else f"{si(facts.watts, 'W')} on average",
        "energy × delay": spread(facts.energy_delay, "J·s"),
        "operations per second": _number(facts.operations_per_second),
        "way of a packet": f"{_number(facts.hops_per_packet)} links,"
        f" {counted(simulation.longest_queue, 'packet')} in the longest queue",
    }  # fmt: skip
    grid = Table.grid(padding=(0, 2))
    for name, said in rows.items():
        grid.add_row(Text(name), Text(said))
    yield grid


def _number(found: float | None) -> str:
    if found is None:
        return "–"
    return _count(found) if found < _MILLION else si(found, "")


def _critical(facts: SimulationFacts) -> Iterator[RenderableType]:
    """Who decided how long the steps were."""
    yield Text("")
    found, steps = facts.critical, facts.hardware_steps
    yield Text(f"what decides how long the {counted(steps, 'step')} of a sample take", "bold")
    for item in found[:MOST_CRITICAL]:
        yield paragraph(_critical_line(item))
    rest = found[MOST_CRITICAL:]
    if rest:
        whole = sum(item.steps for item in rest)
        yield paragraph(f"{counted(len(rest), 'other core')}: {_steps(whole)}")
    if facts.host_steps > 1e-9 * steps:
        yield paragraph(f"the host, which sends the input: {_steps(facts.host_steps)}")


def _critical_line(item: Critical) -> str:
    return (
        f"core {item.core}: {_steps(item.steps)}; its {item.unit} unit is done last,"
        f" it holds {_names(item.layers, ', ')}"
    )


def _steps(number: float) -> str:
    return f"{digits(number)} " + ("step" if number == 1 else "steps")


def _names(layers: Sequence[str], between: str) -> str:
    more = len(layers) - MOST_LAYERS
    return between.join([*layers[:MOST_LAYERS], *([f"and {more} more"] if more > 0 else [])])


def _estimates(facts: SimulationFacts) -> Iterator[RenderableType]:
    """Which of the chip's figures are no published ones, and which are 0; equal notes said once."""
    chip, number = facts.simulation.architecture.chip, len(facts.simulation.estimates)
    yield Text("")
    if facts.no_event_published:
        yield paragraph(
            f"of {chip} no time and no energy of a single event stands as published: take the"
            " counts for what they are, and times and energies as a guess",
            "!", "bold red",
        )  # fmt: skip
    if number:
        yield paragraph(
            f"{number} of the {len(facts.figures)} figures of times and energies of {chip} are"
            " estimated, disputed or not published, and no result is better than they are:",
            "!", "bold red",
        )  # fmt: skip
        for note, keys in facts.notes.items():
            yield paragraph(f"{_grouped(keys)}: {note}", "   -")
    if facts.free:
        yield paragraph("without an energy of their own, and counted as 0:")
        for source, keys in facts.free.items():
            yield paragraph(f"{_grouped(keys)}: {source}", "   -")


def _grouped(keys: Sequence[str]) -> str:
    """`cycles.update, link; energy.spike`: the section said once."""
    sections: dict[str, list[str]] = {}
    for key in keys:
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(name)
    return "; ".join(f"{section}.{', '.join(names)}" for section, names in sections.items())


__all__ = ["CAUSES", "si", "simulation_tables", "spread"]
