"""What there is to say of a timed run: per sample, step, layer, core and link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.atomic import write_whole
from snnc.energy.report import check_report_name
from snnc.errors import OptionError
from snnc.targets.cores.architecture import SECTIONS
from snnc.targets.sim.simulation import CORE_COUNTS, PICO, STEP_COUNTS, Simulation, Spread

A = NDArray[Any]
FORMAT = "snnc-simulation-1"
UNITS = {"update": "neuron", "send": "output", "receive": "input"}
"""The units of a core (docs/machine.md), by the count of their cycles."""
_NO_EVENTS = {"ns", "barrier", "chip_barrier", "leakage"}


@dataclass(frozen=True)
class Mean:
    """Over the samples; the standard deviation of one sample is 0."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: A) -> Mean:
        """From (sample,) values."""
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return cls(float(values.mean()), spread)

    def to_dict(self) -> dict[str, float]:
        """As plain data."""
        return {"mean": self.mean, "std": self.std}


@dataclass(frozen=True)
class Critical:
    """A core that was the last to be done in `steps` steps of a sample, on average; `unit` of it
    is done last, on average over all steps."""

    core: int
    steps: float
    unit: str
    layers: tuple[str, ...]


class SimulationFacts:
    """Facts of a simulation, each found when it is first asked for.

    Args:
        accuracy: share of right classes, if there are labels.
    """

    def __init__(self, simulation: Simulation, accuracy: float | None = None) -> None:
        self.simulation, self.accuracy = simulation, accuracy

    @property
    def hardware_steps(self) -> int:
        """T + lag."""
        return int(self.simulation.counts["cycles"].shape[1])

    @cached_property
    def totals(self) -> dict[str, Mean]:
        """By name of STEP_COUNTS, of a sample."""
        return {name: Mean.of(self.simulation.counts[name].sum(1)) for name in STEP_COUNTS}

    @cached_property
    def seconds(self) -> Mean:
        """Of a sample."""
        return Mean.of(self.simulation.seconds)

    @cached_property
    def energy(self) -> dict[str, Mean]:
        """pJ of a sample, by cause."""
        return {cause: Mean.of(part) for cause, part in self.simulation.energy.items()}

    @cached_property
    def sample_energy(self) -> A:
        """(sample,) pJ, all causes."""
        found: A = np.sum(list(self.simulation.energy.values()), axis=0)
        return found

    @cached_property
    def total(self) -> Mean:
        """pJ of a sample, all causes."""
        return Mean.of(self.sample_energy)

    @cached_property
    def energy_delay(self) -> Mean:
        """J·s of a sample: its energy times its time."""
        return Mean.of(self.sample_energy * PICO * self.simulation.seconds)

    @property
    def watts(self) -> float | None:
        """All energy over all time."""
        return ratio(self.total.mean * PICO, self.seconds.mean)

    @property
    def inferences_per_second(self) -> float | None:
        """One after another."""
        return ratio(1.0, self.seconds.mean)

    @property
    def operations_per_second(self) -> float | None:
        """All synaptic operations over all time."""
        return ratio(self.totals["operations"].mean, self.seconds.mean)

    @property
    def hops_per_packet(self) -> float | None:
        """Links crossed by a packet, those of the host too."""
        hops = self.totals["hops_x"].mean + self.totals["hops_y"].mean
        return ratio(hops, self.totals["packets"].mean)

    @cached_property
    def longest_step(self) -> tuple[int, int, int]:
        """Cycles, sample and step of the longest step of all samples, the first of equal ones."""
        cycles = self.simulation.counts["cycles"]
        sample, step = np.unravel_index(int(cycles.argmax()), cycles.shape)
        return int(cycles[sample, step]), int(sample), int(step)

    @cached_property
    def steps(self) -> dict[str, A]:
        """By name of STEP_COUNTS, and `energy` (pJ without leakage): (step,) means."""
        n = {name: self.simulation.counts[name].mean(0) for name in STEP_COUNTS}
        energy: A = np.sum(list(self.simulation.event_energy(n, steps=1).values()), axis=0)
        return {**n, "energy": energy}

    @cached_property
    def held(self) -> list[tuple[str, ...]]:
        """By core, its layers."""
        found: list[list[str]] = [[] for _ in self.simulation.tiles]
        for layer, cores in zip(self.simulation.layers, self.simulation.layer_cores, strict=True):
            for core in cores:
                found[core].append(layer)
        return [tuple(layers) for layers in found]

    @cached_property
    def layer_energy(self) -> dict[str, A]:
        """(layer,) mean pJ of a sample for its neurons, their messages (and sending the packets
        that carry them) and the synapses that lead into it."""
        simulation, costs = self.simulation, self.simulation.architecture.energy
        n = {name: spread.mean for name, spread in simulation.layer.items()}
        return {
            "neurons": costs.update * simulation.layer_compartments * self.hardware_steps,
            "messages": costs.spike * n["messages"] + costs.axon_out * n["sent"],
            "synapses": costs.synapse * n["operations"] + costs.word * n["words"],
        }

    @cached_property
    def core_causes(self) -> dict[str, A]:
        """By cause, (core,) mean pJ of a sample."""
        return self.simulation.core_energy

    @cached_property
    def core_energy(self) -> A:
        """(core,) mean pJ of a sample, all causes that belong to a core."""
        found: A = np.sum(list(self.core_causes.values()), axis=0)
        return found

    @cached_property
    def link_energy(self) -> A:
        """(link,) mean pJ of a sample."""
        return self.simulation.link_energy

    @cached_property
    def done(self) -> dict[str, A]:
        """By name of UNITS, (core,) when it was done, as a share of the steps' length."""
        cycles = self.totals["cycles"].mean
        found = {name: self.simulation.cores[name].mean for name in UNITS}
        return {name: mean / cycles if cycles else mean for name, mean in found.items()}

    @cached_property
    def critical(self) -> list[Critical]:
        """Cores that decided how long a step was, most often first."""
        steps = self.simulation.cores["critical"].mean
        names = list(UNITS)
        last = np.stack([self.done[name] for name in names]).argmax(0)
        order = np.argsort(-steps, kind="stable")
        return [
            Critical(int(core), float(steps[core]), UNITS[names[last[core]]], self.held[core])
            for core in order
            if steps[core]
        ]

    @property
    def host_steps(self) -> float:
        """Steps of a sample, on average, that the host decided."""
        return self.hardware_steps - float(self.simulation.cores["critical"].mean.sum())

    @cached_property
    def link_busy(self) -> A:
        """(link,) share of the time in which the link takes packets, on average."""
        found = self.simulation.crossings.mean * self.simulation.architecture.cycles.link
        cycles = self.totals["cycles"].mean
        return found / cycles if cycles else found

    @cached_property
    def figures(self) -> dict[str, dict[str, Any]]:
        """Every time and energy of the chip with where it comes from, by key."""
        chip = self.simulation.architecture
        return {
            f"{section}.{name}": {
                "value": getattr(getattr(chip, section), name),
                "source": chip.figures[f"{section}.{name}"].source,
                "note": chip.figures[f"{section}.{name}"].note,
            }
            for section in ("cycles", "energy")
            for name in (item.name for item in fields(SECTIONS[section]))
        }

    @cached_property
    def notes(self) -> dict[str, list[str]]:
        """By note on estimated or disputed figures, their keys; the most frequent first."""
        found: dict[str, list[str]] = {}
        for key, note in self.simulation.estimates.items():
            found.setdefault(note, []).append(key)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    @cached_property
    def no_event_published(self) -> bool:
        """Whether there is a note on every figure for a single event, but those that are 0."""
        notes = [
            figure["note"]
            for key, figure in self.figures.items()
            if key.partition(".")[2] not in _NO_EVENTS and figure["value"]
        ]
        return bool(notes) and all(notes)

    @cached_property
    def free(self) -> dict[str, list[str]]:
        """By source, keys of the energies that are 0."""
        found: dict[str, list[str]] = {}
        for key, figure in self.figures.items():
            if key.startswith("energy.") and not figure["value"]:
                found.setdefault(figure["source"], []).append(key)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: energies in pJ, times in seconds or cycles, per sample."""
        simulation = self.simulation
        cores, tiles, chips = simulation.used
        cycles, sample, step = self.longest_step
        return {
            "format": FORMAT,
            "chip": simulation.architecture.chip,
            "samples": simulation.samples,
            "steps": simulation.steps,
            "lag": simulation.lag,
            "cores": cores,
            "tiles": tiles,
            "chips": chips,
            **({} if self.accuracy is None else {"accuracy": self.accuracy}),
            "seconds": {**self.seconds.to_dict(), "max": float(simulation.seconds.max())},
            "inferences_per_second": self.inferences_per_second,
            "energy_pJ": {**self.total.to_dict(), "by_cause": _means(self.energy)},
            "watts": self.watts,
            "energy_delay_Js": self.energy_delay.to_dict(),
            "counts": _means(self.totals),
            "longest_step": {"cycles": cycles, "sample": sample, "step": step},
            "operations_per_second": self.operations_per_second,
            "hops_per_packet": self.hops_per_packet,
            "longest_queue": simulation.longest_queue,
            "host_steps": self.host_steps,
            "layers": self._layers(),
            "per_core": [self._core(core) for core in range(cores)],
            "per_link": self._links(),
            "per_step": self._steps(),
            "per_sample": {
                "cycles": simulation.counts["cycles"].sum(1).tolist(),
                "energy_pJ": self.sample_energy.tolist(),
            },
            "figures": self.figures,
        }

    def save(self, path: str | Path) -> None:
        """Writes it as JSON, whole or not at all.

        Raises:
            OptionError: the name doesn't end in `.json`, or it can't be written.
        """
        file = check_report_name(path)
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_whole(file, text.encode() + b"\n", OptionError)

    def table(self, width: int = 100) -> str:
        """The tables of the terminal as text, `width` columns wide."""
        # What they look like is for `simulation_tables`, which knows this module.
        from snnc.report.simulation_tables import simulation_tables
        from snnc.report.tables import rendered

        return rendered(simulation_tables(self), width)

    def _layers(self) -> dict[str, Any]:
        simulation = self.simulation
        rows = enumerate(zip(simulation.layers, simulation.layer_cores, strict=True))
        return {
            layer: {
                "cores": list(cores),
                **{name: _at(spread, row) for name, spread in simulation.layer.items()},
                "energy_pJ": {name: float(x[row]) for name, x in self.layer_energy.items()},
            }
            for row, (layer, cores) in rows
        }

    def _core(self, core: int) -> dict[str, Any]:
        simulation = self.simulation
        energy = self.core_causes.items()
        return {
            "tile": simulation.tiles[core].tolist(),
            "layers": list(self.held[core]),
            "compartments": int(simulation.compartments[core]),
            **{name: _at(simulation.cores[name], core) for name in CORE_COUNTS},
            "energy_pJ": {cause: float(part[core]) for cause, part in energy},
        }

    def _links(self) -> list[dict[str, Any]]:
        simulation = self.simulation
        return [
            {
                "from": [x, y],
                "to": [to_x, to_y],
                "packets": _at(simulation.crossings, link),
                "busy": float(self.link_busy[link]),
                "energy_pJ": float(self.link_energy[link]),
            }
            for link, (x, y, to_x, to_y) in enumerate(simulation.links.tolist())
        ]

    def _steps(self) -> dict[str, list[float]]:
        cycles = self.simulation.counts["cycles"]
        means = {name: values.tolist() for name, values in self.steps.items() if name != "energy"}
        return {
            **means,
            "fewest_cycles": cycles.min(0).tolist(),
            "most_cycles": cycles.max(0).tolist(),
            "energy_without_leakage_pJ": self.steps["energy"].tolist(),
        }


def ratio(above: float, below: float) -> float | None:
    """None where there is none."""
    return above / below if below else None


def _at(spread: Spread, column: int) -> dict[str, float]:
    return {"mean": float(spread.mean[column]), "std": float(spread.std[column])}


def _means(table: Mapping[str, Mean]) -> dict[str, dict[str, float]]:
    return {name: item.to_dict() for name, item in table.items()}


__all__ = ["FORMAT", "UNITS", "Critical", "Mean", "SimulationFacts", "ratio"]
