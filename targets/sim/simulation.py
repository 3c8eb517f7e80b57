"""What a timed simulation found: counts, cycles and energy, over samples.

Arrays are float64 or int64 and keep the sample axis where it stays small; per core, layer and link
there are means over the samples and their standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Architecture

A = NDArray[Any]
PICO = 1e-12
STEP_COUNTS = (
    "cycles", "messages", "packets", "operations", "words", "hops_x", "hops_y", "host_packets",
)  # fmt: skip
"""Counted in every step: its length; messages of neurons on cores; packets into cores, those of
the host too; synaptic operations and words read; links crossed; packets of the host."""
CORE_COUNTS = (
    "messages", "sent", "received", "operations", "words", "update", "send", "receive", "critical",
)  # fmt: skip
"""Counted on every core: messages; packets sent and received; synaptic operations and words read;
cycles until its neuron, output and input unit were done, added up over the steps; steps in which
it was the last to be done."""
LAYER_COUNTS = ("messages", "sent", "operations", "words")
"""Counted for every layer: messages; packets that carry them; synaptic operations and words read at
its inputs."""


class Spread:
    """Mean and standard deviation over samples, one value per column, added up batch by batch."""

    def __init__(self, columns: int) -> None:
        self.samples = 0
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)

    def add(self, values: A) -> None:
        """Takes (sample, column) values; Chan et al.'s update keeps the digits of the variance."""
        count = len(values)
        if not count:
            return
        mean = values.mean(0, dtype=np.float64)
        total = self.samples + count
        shift = mean - self._mean
        self._squares += ((values - mean) ** 2).sum(0)
        self._squares += shift**2 * (self.samples * count / total)
        self._mean += shift * (count / total)
        self.samples = total

    @property
    def mean(self) -> A:
        """(column,)."""
        return self._mean

    @property
    def std(self) -> A:
        """(column,) of the sample; 0 for a single one."""
        return np.sqrt(self._squares / max(1, self.samples - 1))


@dataclass(frozen=True, eq=False)
class Simulation:
    """The result of a timed run.

    Attributes:
        architecture: of the chip.
        steps, lag: T, and what the last layer lags behind: a sample takes T + lag steps.
        used: (cores, tiles, chips) used.
        tiles: int64 (core, 2) tile of each core.
        layers: names of the layers on cores.
        layer_cores: numbers of the cores of each layer.
        layer_compartments: compartments of each layer, int64 (layer,).
        counts: by name of STEP_COUNTS, int64 (sample, step), in steps of the hardware.
        cores: by name of CORE_COUNTS, per core and sample.
        layer: by name of LAYER_COUNTS, per layer and sample.
        links: int64 (link, 4): tiles x, y → x, y of links that can be crossed.
        crossings: packets over each link, per sample.
        compartments: compartments on each core, int64 (core,).
        longest_queue: most packets in a port's queue.
    """

    architecture: Architecture
    steps: int
    lag: int
    used: tuple[int, int, int]
    tiles: A
    layers: tuple[str, ...]
    layer_cores: tuple[tuple[int, ...], ...]
    layer_compartments: A
    counts: Table[str, A]
    cores: Table[str, Spread]
    layer: Table[str, Spread]
    links: A
    crossings: Spread
    compartments: A
    longest_queue: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.counts["cycles"])

    @property
    def seconds(self) -> A:
        """(sample,) seconds from the first to the last step of a sample."""
        found: A = self.counts["cycles"].sum(1) * (self.architecture.cycles.ns * 1e-9)
        return found

    @property
    def energy(self) -> dict[str, A]:
        """pJ per sample (sample,), by the causes of docs/machine.md."""
        steps = self.counts["cycles"].shape[1]
        n = {name: values.sum(1) for name, values in self.counts.items()}
        chips = self.used[2]
        leakage = self.architecture.energy.leakage * chips * self.seconds / PICO
        return {**self.event_energy(n, steps), "leakage": leakage}

    def event_energy(self, counts: Table[str, A], steps: int) -> dict[str, A]:
        """pJ by cause, but for leakage, of `counts` by name of STEP_COUNTS in `steps` steps."""
        costs, n = self.architecture.energy, counts
        every = np.full(np.shape(n["messages"]), steps)
        return {
            "neuron": costs.update * int(self.compartments.sum()) * every,
            "spike": costs.spike * n["messages"],
            "axon": costs.axon_out * (n["packets"] - n["host_packets"]),
            "hop": costs.hop_x * n["hops_x"] + costs.hop_y * n["hops_y"],
            "delivery": (costs.local + costs.axon_in) * n["packets"],
            "synapse": costs.synapse * n["operations"] + costs.word * n["words"],
            "barrier": costs.barrier * self.used[0] * every,
        }

    @property
    def core_energy(self) -> dict[str, A]:
        """Mean pJ per sample on each core (core,), by cause, without what belongs to none."""
        costs, n = self.architecture.energy, {k: v.mean for k, v in self.cores.items()}
        steps = self.counts["cycles"].shape[1]
        return {
            "neuron": costs.update * self.compartments * steps,
            "spike": costs.spike * n["messages"],
            "axon": costs.axon_out * n["sent"],
            "delivery": (costs.local + costs.axon_in) * n["received"],
            "synapse": costs.synapse * n["operations"] + costs.word * n["words"],
            "barrier": np.full(len(self.compartments), costs.barrier * steps),
        }

    @property
    def link_energy(self) -> A:
        """Mean pJ per sample on each link (link,)."""
        costs = self.architecture.energy
        along_x = self.links[:, 1] == self.links[:, 3]
        found: A = np.where(along_x, costs.hop_x, costs.hop_y) * self.crossings.mean
        return found

    @property
    def estimates(self) -> dict[str, str]:
        """Notes on the figures of times and energies that are estimated or disputed, by figure."""
        return {
            key: figure.note
            for key, figure in self.architecture.figures.items()
            if key.startswith(("cycles.", "energy.")) and figure.note
        }


__all__ = ["CORE_COUNTS", "LAYER_COUNTS", "STEP_COUNTS", "Simulation", "Spread"]
