"""Our numpy model of Lava's fixed-point rules: runs a Program, many samples at once.

It is written from Lava's process models, not from snnc's own executors, and runs in hardware
time, process by process, with the one-step buffers of synapses and the staggered resets of
populations (lava-nc 0.10.0: proc/dense/models.py PyDenseModelBitAcc, proc/sparse/models.py
PySparseModelBitAcc, proc/conv/models.py PyConvModelFixed, proc/lif/models.py
PyLifResetModelBitAcc; our neurons: lava_neuron.py, lava_compartment.py). Lava computes in 32-bit
integers; where a sum or a state would leave them, the run is refused rather than wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Input, Rate
from snnc.reference.trace import (
    Inputs,
    Port,
    Ports,
    Trace,
    collect,
    sample_count,
    step_count,
    wanted_ports,
)
from snnc.targets.base import Progress
from snnc.targets.cores.program import Neurons, Program, Source
from snnc.targets.loihi.states import neuron_state
from snnc.targets.loihi.synapses import Running

A = NDArray[Any]
LANE_VALUES = 1 << 20
"""States per block of lanes: keeps a block's arrays in the caches."""

Streams = dict[str, A]
"""By source, the host's data (lane, step, …)."""


def run_model(
    program: Program,
    graph: Graph,
    inputs: Inputs,
    record: Ports | None,
    progress: Progress = lambda _: None,
    back_to_back: bool = False,
) -> Trace:
    """Runs `program`, lowered from `graph`, and removes its lags from what it returns.

    Args:
        inputs, record: as `snnc.reference.run_int` takes them; only populations can be recorded.
        back_to_back: run the samples one after another on one chip, as hardware does, rather
            than each on a lane of its own. The result is the same. A program that needs a cleared
            chip for every sample runs them on lanes in any case.

    Raises:
        InputError: values out of an input's range. OptionError: a record of what is no
            population. RefusedError: a sum or state that leaves 32 bits.
    """
    wanted = population_ports(graph, program, record)
    streams, steps = host_streams(graph, inputs)
    samples = sample_count(graph, inputs)
    back_to_back = back_to_back and not program.cleared
    sizes = sum(population.size for population in program.populations.values())
    block = samples if back_to_back else max(1, min(samples, LANE_VALUES // sizes))
    parts: list[dict[tuple[str, Port], A]] = []
    events = {name: {"wrap": 0, "clip": 0, "disputed": 0} for name in graph.neurons}
    for first in range(0, samples, block):
        chunk = {name: data[first : first + block] for name, data in streams.items()}
        machine = Machine(program, steps, chunk, back_to_back)
        report = _share(progress, first / samples, min(block, samples - first) / samples)
        parts.append(machine.run(wanted, report))
        for name, parts_of_layer in program.layers.items():
            for part in parts_of_layer:
                for kind, count in machine.events.get(part, {}).items():
                    events[name][kind] += count
    kept = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    progress(1.0)
    return collect(graph, widened(graph, kept), record, Trace(events=events))


def _share(progress: Progress, start: float, extent: float) -> Progress:
    return lambda done: progress(start + done * extent)


def population_ports(graph: Graph, program: Program, record: Ports | None) -> dict[str, set[Port]]:
    """Ports to keep, by population.

    Raises:
        OptionError: a record of a node that is no population of the chip.
    """
    wanted = wanted_ports(graph, record)
    for name, ports in wanted.items():
        if name not in program.layers:
            raise OptionError(
                name,
                "no population of the chip: its sums exist only inside a synapse",
                "record a neuron layer or an input: " + ", ".join(program.layers),
            )
        allowed = program.ports(name)
        if not ports <= allowed:
            raise OptionError(
                name,
                f"has no ports {sorted(ports - allowed)}",
                f"any of {', '.join(sorted(allowed))}",
            )
    return wanted


def widened(graph: Graph, kept: Mapping[tuple[str, Port], A]) -> dict[tuple[str, Port], A]:
    """What the outputs read as int64, the rest as it is kept."""
    read = {source for name in graph.outputs for source in graph.sources(name)}
    return {key: x.astype(np.int64) if key[0] in read else x for key, x in kept.items()}


def host_streams(graph: Graph, inputs: Inputs) -> tuple[Streams, int]:
    """What the host sends, (sample, step, …) by input, and the number of steps.

    Raises:
        InputError: values out of the input's range, or not integers.
    """
    steps = step_count(graph, inputs)
    streams: Streams = {}
    for name in graph.inputs:
        node = graph.nodes[name]
        assert isinstance(node, Input)
        data = np.asarray(inputs[name])
        _check_values(name, node, data)
        if node.rate is Rate.SAMPLE:
            data = np.broadcast_to(data[:, None], (len(data), steps, *node.shape))
        streams[name] = data
    return streams, steps


def _check_values(name: str, node: Input, data: A) -> None:
    if data.dtype.kind not in "iub":
        raise InputError(name, f"holds {data.dtype}, the chip takes integers", "encode it first")
    low, high = node.range
    if data.size and not (low <= data.min() and data.max() <= high):
        raise InputError(
            name, f"values {data.min()}…{data.max()} outside {low}…{high}", "encode it first"
        )


class Machine:
    """The whole chip over one block of lanes."""

    def __init__(self, program: Program, steps: int, streams: Streams, back_to_back: bool) -> None:
        self.program, self.steps = program, steps
        self.samples = len(next(iter(streams.values())))
        if back_to_back:
            streams = {n: x.reshape(1, -1, *x.shape[2:]) for n, x in streams.items()}
        self.lanes, self.span = next(iter(streams.values())).shape[:2]
        self.streams = {n: x.reshape(self.lanes, self.span, -1) for n, x in streams.items()}
        self.synapses = [Running(synapse, self.lanes) for synapse in program.synapses]
        self.neurons = {
            name: neuron_state(name, population, self.lanes)
            for name, population in program.populations.items()
            if isinstance(population, Neurons)
        }

    @property
    def events(self) -> dict[str, dict[str, int]]:
        """Counts of wraps, clips and disputed entries in the valid steps, by population."""
        return {name: neuron.events for name, neuron in self.neurons.items()}

    def run(self, wanted: Mapping[str, set[Port]], progress: Progress) -> dict[
        tuple[str, Port], A
    ]:  # fmt: skip
        """Runs all steps; what is wanted comes back as (sample, step, …), lags removed."""
        kept: dict[tuple[str, Port], list[A]] = {
            (name, port): [] for name, ports in wanted.items() for port in ports
        }
        total = self.span + self.program.max_lag
        for h in range(1, total + 1):
            messages = self.step(h)
            for (name, port), sequence in kept.items():
                t = h - 1 - self.program.lag(name)
                if 0 <= t < self.span:
                    sequence.append(self._read(name, port, messages))
            progress(h / total)
        return {
            (name, port): np.stack(sequence, 1).reshape(
                self.samples, self.steps, *self.program.shape(name)
            )
            for (name, port), sequence in kept.items()
        }

    def step(self, h: int) -> dict[str, A]:
        """One hardware step: the messages (lane, neuron) of every population."""
        sums: dict[str, A] = {}
        for running in self.synapses:
            target, total = running.synapse.target, running.deliver()
            sums[target] = sums[target] + total if target in sums else total
        messages: dict[str, A] = {}
        for name, population in self.program.populations.items():
            if isinstance(population, Source):
                messages[name] = self._host(name, h)
                continue
            t = h - 1 - population.lag
            neuron = self.neurons[name]
            if t % self.steps == 0:
                neuron.reset(begun=t >= 0)
            messages[name] = neuron.step(sums[name], valid=0 <= t < self.span)
        for running in self.synapses:
            running.take(self._sent(running, messages, h))
        return messages

    def _host(self, name: str, h: int) -> A:
        data = self.streams[name]
        return data[:, h - 1] if h <= self.span else np.zeros_like(data[:, 0])

    def _sent(self, running: Running, messages: Mapping[str, A], h: int) -> A:
        synapse = running.synapse
        sent = messages[synapse.source]
        phase = (h - 1 - self.program.populations[synapse.source].lag) % self.steps
        if phase >= self.steps - synapse.gate:
            return np.zeros_like(sent)
        return sent if synapse.message_bits else sent.astype(bool)

    def _read(self, layer: str, port: Port, messages: Mapping[str, A]) -> A:
        parts = self.program.layers[layer]
        if port != "s":
            states = {name: self.neurons[name].read(port).astype(np.int32) for name in parts}
            return self.program.together(layer, states)
        graded = any(self.program.populations[name].graded for name in parts)
        dtype = np.int32 if graded else np.int8
        sent = {name: messages[name].astype(dtype) for name in parts}
        return self.program.together(layer, sent)


__all__ = ["Machine", "host_streams", "population_ports", "run_model"]
