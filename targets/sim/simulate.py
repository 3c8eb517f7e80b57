"""The timed simulator: the sim engine's spikes, and the cycles that they take on their cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import ConservationError, InputError
from snnc.ir import Graph
from snnc.processors import processors
from snnc.reference import Inputs, Trace
from snnc.reference.trace import sample_count, step_count
from snnc.targets.cores.axons import HOST, Axons, Sender
from snnc.targets.cores.checks.recount import fans
from snnc.targets.cores.layout import Layout
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Source, all_synapses
from snnc.targets.cores.timing.streams import Flows
from snnc.targets.cores.timing.timer import Timer, Timing
from snnc.targets.loihi.model import host_streams
from snnc.targets.sim.bools import per_column, per_row
from snnc.targets.sim.engine import run
from snnc.targets.sim.simulation import (
    CORE_COUNTS,
    LAYER_COUNTS,
    STEP_COUNTS,
    Simulation,
    Spread,
)

A = NDArray[Any]
BLOCK_BYTES = 1 << 28
"""Most bytes of messages and counts of the samples that are simulated together."""
CLOSE = 1e-9
"""Relative difference between two sums of the same energies in another order."""

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Sent:
    """Who sends what: the neurons of a core, or those that the host sends.

    Attributes:
        table: bool (sample · step of the hardware, neuron).
        steps: int64 (sample · step, slice) messages of each of the sender's slices.
        neurons: int64 (neuron,) messages of each.
    """

    table: A
    steps: A
    neurons: A


class Simulator:
    """Times samples of a network on its cores, batch by batch.

    Args:
        graph: the integer graph (S2).
        layout: where it lies.

    Raises:
        RefusedError: a step could take more cycles than can be counted.
    """

    def __init__(self, graph: Graph, layout: Layout) -> None:
        self.graph, self.layout, self.program = graph, layout, layout.program
        self.timer = Timer(layout.axons, layout.mapping, layout.architecture)
        self.record = {name: ("s",) for name in self.program.layers if name in graph.neurons}
        self.lying = {
            name: parts
            for name, parts in self.program.layers.items()
            if not isinstance(self.program.populations[parts[0]], Source)
        }
        self.tables = _Incidence(self)
        self._found: _Found | None = None

    def add(self, inputs: Inputs, progress: Progress = lambda _: None) -> Trace:
        """Simulates samples, each on its own from a cleared machine, and counts them in.

        Args:
            inputs: by input name, integers, as the sim engine takes them.

        Returns:
            the outputs, as the sim engine returns them.

        Raises:
            InputError: inputs of a wrong shape or range, or of another T than before.
            ConservationError: two counts of the same differ, a bug.
        """
        samples = sample_count(self.graph, inputs)
        steps = step_count(self.graph, inputs)
        found = self._found or _Found(self, steps)
        if steps != found.steps:
            raise InputError(
                ", ".join(self.graph.inputs), f"{steps} steps, {found.steps} before",
                "simulate samples of different lengths apart",
            )  # fmt: skip
        size = max(1, self.timer.episodes(BLOCK_BYTES) // found.hardware_steps)
        traces = []
        for first in range(0, samples, size):
            part = {name: data[first : first + size] for name, data in inputs.items()}
            traces.append(run(self.graph, part, self.record))
            found.add(self._sent(part, traces[-1], steps))
            progress(min(1.0, (first + size) / samples))
        self._found = found
        return _joined(traces)

    def result(self) -> Simulation:
        """All samples so far.

        Raises:
            InputError: there are none. ConservationError: see `add`.
        """
        if self._found is None:
            raise InputError("samples", "there are none to simulate", "give at least one")
        return self._found.simulation()

    def _sent(self, inputs: Inputs, trace: Trace, steps: int) -> list[Sent]:
        """Who sends in which step, by sender, the host last."""
        values = dict(self._populations(host_streams(self.graph, inputs)[0], trace))
        cores, host = self.layout.mapping.cores, self.layout.axons.host
        held = [core.slices for core in cores]
        held.append(tuple(
            Slice(name, (0,) * len(self._shape(name)), self._shape(name)) for name, _ in host.parts
        ))  # fmt: skip
        found: dict[int, Sent] = {}
        workers = min(processors(), len(held))

        def work(first: int) -> None:
            for number in range(first, len(held), workers):
                found[number] = self._sent_by(held[number], values, steps)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
        return [found[number] for number in range(len(held))]

    def _sent_by(self, slices: Sequence[Slice], values: Mapping[str, A], steps: int) -> Sent:
        samples, lag = len(next(iter(values.values()))), self.program.max_lag
        ends = np.cumsum([0, *(part.size for part in slices)])
        table = np.zeros((samples, steps + lag, ends[-1]), bool)
        for part, at in zip(slices, ends, strict=False):
            first = self.program.populations[part.population].lag
            into = table[:, first : first + steps, at : at + part.size]
            box = tuple(slice(a, b) for a, b in zip(part.start, part.stop, strict=True))
            chosen = values[part.population][:, :, *box]
            np.not_equal(chosen, 0, out=into.reshape(chosen.shape))
        rows = table.reshape(samples * (steps + lag), ends[-1])
        counts = [per_row(np.ascontiguousarray(rows[:, a:b])) for a, b in pairwise(ends)]
        return Sent(rows, np.stack(counts, 1), per_column(rows))

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.program.populations[name].shape

    def _populations(self, streams: Mapping[str, A], trace: Trace) -> Iterator[tuple[str, A]]:
        """(sample, step, …) of every population."""
        for layer, parts in self.program.layers.items():
            whole = trace.records[layer, "s"] if layer in self.record else streams[layer]
            split = self.program.splits.get(layer)
            if split is None:
                yield layer, whole.reshape(*whole.shape[:2], *self._shape(layer))
                continue
            flat = whole.reshape(*whole.shape[:2], -1)
            for part in parts:
                yield (
                    part,
                    flat[:, :, split.parts[part]].reshape(*whole.shape[:2], *self._shape(part)),
                )


def _joined(traces: list[Trace]) -> Trace:
    """The outputs of batches that follow each other."""
    return Trace({
        name: np.concatenate([trace.outputs[name] for trace in traces])
        for name in traces[0].outputs
    })  # fmt: skip


class _Incidence:
    """Which flows begin, end and carry what: csr (flow, …), to add up columns of counts; and what
    every batch is checked against."""

    def __init__(self, simulator: Simulator) -> None:
        flows, layout = simulator.timer.flows, simulator.layout
        groups = all_synapses(simulator.program)
        cores, count = len(layout.mapping.cores), len(flows)
        self.layer_of = layer_of = {
            part: i for i, parts in enumerate(simulator.lying.values()) for part in parts
        }
        sources = np.array([layer_of.get(group.source, HOST) for group in groups], np.int64)
        targets = np.array([layer_of[group.target] for group in groups], np.int64)
        self.sender = _pick(flows.sender, cores, count)
        self.target = _pick(flows.target, cores, count)
        self.source_layer = _pick(sources[flows.group], len(simulator.lying), count)
        self.target_layer = _pick(targets[flows.group], len(simulator.lying), count)
        self.hops = simulator.timer.routes.hops
        self.from_host = flows.sender == HOST
        self.axon_flow = _axon_flows(layout.axons, flows, len(groups))
        senders = (*layout.axons.cores, layout.axons.host)
        self.axon_counts = np.concatenate([np.diff(sender.indptr) for sender in senders])
        self.fan_outs = [fans(group)[1] for group in groups]


def _axon_flows(axons: Axons, flows: Flows, groups: int) -> A:
    """int64 (axon of all cores and the host,): the flow that its packets are of."""
    senders, cores = (*axons.cores, axons.host), len(axons.cores)

    def code(target: A, sender: A, group: A) -> A:
        return (target.astype(np.int64) * (cores + 1) + sender + 1) * groups + group

    numbers = (*range(cores), HOST)
    lengths = [len(sender.target) for sender in senders]
    target = np.concatenate([sender.target for sender in senders])
    group = np.concatenate([sender.group for sender in senders])
    wanted = code(target, np.repeat(numbers, lengths), group)
    known = code(flows.target, flows.sender, flows.group)
    found = np.searchsorted(known, wanted)
    assert np.array_equal(known[found], wanted), "every axon is of a flow"
    return found


def _pick(column: A, columns: int, rows: int) -> Any:
    """1 at (row, column[row]), nothing where that is HOST."""
    kept = np.flatnonzero(column != HOST)
    ones = np.ones(len(kept), np.int64)
    return sparse.csr_array((ones, (kept, column[kept])), shape=(rows, columns))


class _Found:
    """Adds up batches of samples."""

    def __init__(self, simulator: Simulator, steps: int) -> None:
        self.simulator, self.steps = simulator, steps
        self.hardware_steps = steps + simulator.program.max_lag
        cores, layers = len(simulator.layout.mapping.cores), len(simulator.lying)
        self.counts: dict[str, list[A]] = {name: [] for name in STEP_COUNTS}
        self.cores = {name: Spread(cores) for name in CORE_COUNTS}
        self.layer = {name: Spread(layers) for name in LAYER_COUNTS}
        self.crossings = Spread(len(simulator.timer.routes.links))
        self.longest_queue = 0

    def add(self, sent: Sequence[Sent]) -> None:
        """Times one batch: who sends, the host last."""
        timing = self.simulator.timer.run([sender.table for sender in sent])
        cores = self.simulator.layout.axons.cores
        messages = np.zeros((len(timing.cycles), len(cores)), np.int64)
        layers = np.zeros((len(timing.cycles), len(self.simulator.lying)), np.int64)
        for number, (sender, own) in enumerate(zip(cores, sent, strict=False)):
            messages[:, number] = own.steps.sum(1)
            for (name, _), count in zip(sender.parts, own.steps.T, strict=True):
                layers[:, self.simulator.tables.layer_of[name]] += count
        _check(self.simulator, sent, timing)
        self._steps(timing, messages)
        packets, operations, words = (
            self._per_sample(x).sum(1) for x in (timing.packets, timing.operations, timing.words)
        )
        tables = self.simulator.tables
        self._units(timing)
        by_core = {
            "messages": self._per_sample(messages).sum(1),
            "sent": packets @ tables.sender,
            "received": packets @ tables.target,
            "operations": operations @ tables.target,
            "words": words @ tables.target,
        }
        by_layer = {
            "messages": self._per_sample(layers).sum(1),
            "sent": packets @ tables.source_layer,
            "operations": operations @ tables.target_layer,
            "words": words @ tables.target_layer,
        }
        for spreads, found in ((self.cores, by_core), (self.layer, by_layer)):
            for name, values in found.items():
                spreads[name].add(values)
        self.crossings.add(self.simulator.timer.crossings(packets))
        self.longest_queue = max(self.longest_queue, timing.longest_queue)

    def _per_sample(self, values: A) -> A:
        return values.reshape(-1, self.hardware_steps, *values.shape[1:])

    def _steps(self, timing: Timing, messages: A) -> None:
        tables = self.simulator.tables
        packets = timing.packets
        hops = packets @ tables.hops
        found = {
            "cycles": timing.cycles,
            "messages": messages.sum(1),
            "packets": packets.sum(1),
            "operations": timing.operations.sum(1),
            "words": timing.words.sum(1),
            "hops_x": hops[:, 0],
            "hops_y": hops[:, 1],
            "host_packets": packets[:, tables.from_host].sum(1),
        }
        for name, values in found.items():
            self.counts[name].append(self._per_sample(values))

    def _units(self, timing: Timing) -> None:
        """When the units of each core were done, and which core was the last."""
        units = np.maximum(np.maximum(timing.update, timing.send), timing.receive)
        last = np.zeros(units.shape, np.int64)
        if units.shape[1]:
            first = units.argmax(1)
            rows = np.arange(len(units))
            last[rows, first] = units[rows, first] >= timing.host
        found = {
            "update": timing.update, "send": timing.send, "receive": timing.receive,
            "critical": last,
        }  # fmt: skip
        for name, values in found.items():
            self.cores[name].add(self._per_sample(values).sum(1))

    def simulation(self) -> Simulation:
        """All batches together, energies checked."""
        simulator, layout = self.simulator, self.simulator.layout
        mapping = layout.mapping
        lying, populations = mapping.slices(), simulator.program.populations
        result = Simulation(
            architecture=layout.architecture,
            steps=self.steps,
            lag=simulator.program.max_lag,
            used=(
                len(mapping.cores), len(mapping.tiles()), len(mapping.chips(layout.architecture)),
            ),
            tiles=np.array([core.tile for core in mapping.cores], np.int64).reshape(-1, 2),
            layers=tuple(simulator.lying),
            layer_cores=tuple(
                tuple(sorted({number for part in parts for number, _ in lying[part]}))
                for parts in simulator.lying.values()
            ),
            layer_compartments=np.array(
                [
                    sum(populations[p].size * populations[p].compartments for p in parts)
                    for parts in simulator.lying.values()
                ],
                np.int64,
            ),
            counts={name: np.concatenate(parts) for name, parts in self.counts.items()},
            cores=self.cores,
            layer=self.layer,
            links=simulator.timer.routes.links,
            crossings=self.crossings,
            compartments=layout.usage.compartments,
            longest_queue=self.longest_queue,
        )  # fmt: skip
        _check_energy(result)
        return result


def _check(simulator: Simulator, sent: Sequence[Sent], timing: Timing) -> None:
    """Packets as the axons have them, and operations as the program has them without a mapping."""
    axons, flows = simulator.layout.axons, simulator.timer.flows
    groups, senders = all_synapses(simulator.program), (*axons.cores, axons.host)
    fired = {
        name: np.zeros(node.size, np.int64) for name, node in simulator.program.populations.items()
    }
    for sender, own in zip(senders, sent, strict=True):
        for name, index, columns in _columns(sender):
            fired[name][index] = own.neurons[columns]
    tables = simulator.tables
    each = np.repeat(np.concatenate([own.neurons for own in sent]), tables.axon_counts)
    wanted = np.bincount(tables.axon_flow, each, len(flows)).astype(np.int64)
    came = timing.packets.sum(0)
    for flow in np.flatnonzero(came != wanted):
        number = flows.sender[flow]
        raise ConservationError(
            "the host" if number == HOST else f"core {number}",
            f"sent {wanted[flow]} packets to core {flows.target[flow]}, {came[flow]} came",
        )
    wanted = np.array(
        [
            int(fired[group.source] @ fan_out)
            for group, fan_out in zip(groups, tables.fan_outs, strict=True)
        ],
        np.int64,
    )
    done = np.bincount(flows.group, timing.operations.sum(0), len(groups)).astype(np.int64)
    for number in np.flatnonzero(done != wanted):
        raise ConservationError(
            f"{groups[number].source} → {groups[number].target}",
            f"its messages make {wanted[number]} operations, {done[number]} were done",
        )


def _columns(sender: Sender) -> Iterator[tuple[str, A, slice]]:
    """Population, indices into it, and where they stand among the sender's neurons."""
    at = 0
    for name, index in sender.parts:
        yield name, index, slice(at, at + len(index))
        at += len(index)


def _check_energy(result: Simulation) -> None:
    """The energies of all cores and links are those of all samples, but for leakage."""
    total = sum(float(part.mean()) for cause, part in result.energy.items() if cause != "leakage")
    parts = sum(float(part.sum()) for part in result.core_energy.values())
    parts += float(result.link_energy.sum())
    if abs(total - parts) > CLOSE * max(total, 1.0):
        raise ConservationError(
            result.architecture.chip, f"samples take {total} pJ, cores and links {parts} pJ"
        )


__all__ = ["Simulator"]
