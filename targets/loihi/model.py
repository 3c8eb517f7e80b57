"""Our numpy model of Lava's fixed-point rules: runs a Program, many samples at once.

It is written from Lava's process models, not from snnc's own executors, and runs in hardware
time, process by process, with the one-step buffers of synapses and the staggered resets of
populations (lava-nc 0.10.0: proc/dense/models.py PyDenseModelBitAcc, proc/sparse/models.py
PySparseModelBitAcc, proc/conv/models.py PyConvModelFixed, proc/lif/models.py
PyLifResetModelBitAcc; our neuron program: lava_neuron.py). Lava computes in 32-bit integers;
where a sum or a state would leave them, the run is refused rather than wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError, OptionError, RefusedError
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
from snnc.targets.loihi.program import Canonical, Lif, Population, Program, Source
from snnc.targets.loihi.synapses import Running

A = NDArray[Any]
INT32 = (1 << 31) - 1
UNITY = 1 << 12
ACCUMULATOR = 1 << 15
"""Beyond a 16-bit synaptic accumulator open Loihi emulators differ: counted as disputed."""
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
            than each on a lane of its own. The result is the same.

    Raises:
        InputError: values out of an input's range. OptionError: a record of what is no
            population. RefusedError: a sum or state that leaves 32 bits.
    """
    wanted = population_ports(graph, program, record)
    streams, steps = host_streams(graph, inputs)
    samples = sample_count(graph, inputs)
    sizes = sum(population.size for population in program.populations.values())
    block = samples if back_to_back else max(1, min(samples, LANE_VALUES // sizes))
    parts: list[dict[tuple[str, Port], A]] = []
    events = {name: {"wrap": 0, "clip": 0, "disputed": 0} for name in graph.neurons}
    for first in range(0, samples, block):
        chunk = {name: data[first : first + block] for name, data in streams.items()}
        machine = Machine(program, steps, chunk, back_to_back)
        report = _share(progress, first / samples, min(block, samples - first) / samples)
        parts.append(machine.run(wanted, report))
        for name, counts in machine.events.items():
            for kind, count in counts.items():
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
        population = program.populations.get(name)
        if population is None:
            raise OptionError(
                name,
                "no population of the chip: its sums exist only inside a synapse",
                "record a neuron layer or an input: " + ", ".join(program.populations),
            )
        allowed = {"s"} if isinstance(population, Source) else {"s", "u", "v"}
        if not ports <= allowed:
            raise OptionError(
                name, f"has the ports {sorted(allowed)}, not {sorted(ports - allowed)}"
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
        self.neurons: dict[str, LifState | ProgramState] = {}
        for name, population in program.populations.items():
            if isinstance(population, Lif):
                self.neurons[name] = LifState(name, population, self.lanes)
            elif isinstance(population, Canonical):
                self.neurons[name] = ProgramState(name, population, self.lanes)

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
                t = h - 1 - self.program.populations[name].lag
                if 0 <= t < self.span:
                    sequence.append(self._read(name, port, messages[name]))
            progress(h / total)
        return {
            (name, port): np.stack(sequence, 1).reshape(
                self.samples, self.steps, *self.program.populations[name].shape
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
                neuron.reset()
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

    def _read(self, name: str, port: Port, message: A) -> A:
        if port != "s":
            return getattr(self.neurons[name], port).astype(np.int32)
        population = self.program.populations[name]
        graded = (isinstance(population, Source) and population.bits > 0) or (
            isinstance(population, Canonical) and not population.fires
        )
        return message.astype(np.int32 if graded else np.int8)


def _in_32_bits(name: str, *states: A) -> None:
    for state in states:
        if state.size and max(state.max(), -state.min()) > INT32:
            raise RefusedError(
                name,
                f"its sum or state reaches {max(state.max(), -state.min())}, beyond the 32 bits"
                " in which Lava computes",
                "use smaller weights, exponents or inputs",
            )


def _per_neuron(values: A, population: Population) -> A:
    """A parameter as one row, or as one value where it is the same for all."""
    wide = np.broadcast_to(values, population.shape).reshape(1, -1).astype(np.int64)
    return wide[:, :1] if (wide == wide[0, 0]).all() else wide


def _keep(x: A, factor: A) -> A:
    """(|x|·factor) >> 12 with the sign of x."""
    if factor.size == 1 and factor.flat[0] in (0, UNITY):
        return x if factor.flat[0] else np.zeros_like(x)
    product = x * factor
    return np.where(product < 0, -(-product >> 12), product >> 12)


class LifState:
    """A LIFReset population: states (lane, neuron)."""

    def __init__(self, name: str, lif: Lif, lanes: int) -> None:
        self.name = name
        self.keep_u = np.asarray([[UNITY - (lif.du + 1)]])
        self.keep_v = np.asarray([[UNITY - lif.dv]])
        self.bias = _per_neuron(lif.bias_mant.astype(np.int64) << lif.bias_exp, lif)
        self.theta = lif.vth << 6
        self.u = np.zeros((lanes, lif.size), np.int64)
        self.v = np.zeros_like(self.u)
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}

    def reset(self) -> None:
        """u = v = 0, as LIFReset does at the start of a sample."""
        self.u, self.v = np.zeros_like(self.u), np.zeros_like(self.v)

    def step(self, total: A, valid: bool) -> A:
        """The spikes of one step for the sums (lane, neuron)."""
        x = _keep(self.u, self.keep_u) + (total << 6)
        self.u = _wrapped(x, 1 << 23)
        drive = self.u + self.bias
        y = _keep(self.v, self.keep_v) + drive
        _in_32_bits(self.name, x, y)
        limit = (1 << 23) - 1
        self.v = np.minimum(np.maximum(y, -limit), limit)
        if valid:
            _count(self.events, 1 << 23, total, x, y, drive)
        spikes = self.v > self.theta
        self.v[spikes] = 0
        return spikes


class ProgramState:
    """A population of our neuron program."""

    def __init__(self, name: str, node: Canonical, lanes: int) -> None:
        self.name, self.node = name, node
        p = {key: _per_neuron(getattr(node, key), node) for key in Canonical.ARRAYS}
        self.keep_u, self.keep_v = UNITY - p["du"], UNITY - p["dv"]
        self.theta, self.v_sub, self.v_init = p["theta"], p["v_sub"], p["v_init"]
        self.bias_u, self.bias_v = p["bias_u"], p["bias_v"]
        self.modulus = 1 << (node.state_bits - 1)
        self.size = (lanes, node.size)
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}
        self.reset()

    def reset(self) -> None:
        """The states of the start of a sample."""
        self.u = np.zeros(self.size, np.int64)
        self.v = np.broadcast_to(self.v_init, self.size).copy()
        self.fired = np.zeros(self.size, bool)

    def step(self, total: A, valid: bool) -> A:
        """The messages of one step for the sums (lane, neuron)."""
        node = self.node
        armed = self.v <= self.theta
        before = self.u
        x = _keep(self.u, self.keep_u) + (total << node.shift) + self.bias_u
        self.u = _wrapped(x, self.modulus)
        drive = self.bias_v + (before if node.order == "vu" else self.u)
        y = _keep(self.v, self.keep_v) + drive
        late = node.reset_at == "after"
        if late and node.reset == "soft":
            y = np.where(self.fired, y - self.v_sub, y)
        _in_32_bits(self.name, x, y)
        self.v = np.minimum(np.maximum(y, 1 - self.modulus), self.modulus - 1)
        if late and node.reset == "hard":
            self.v[self.fired] = 0
        if valid:
            _count(self.events, self.modulus, total, x, y, drive)
        if not node.fires:
            return self.v
        seen = self.v
        if node.reset_at == "guarded":
            seen = np.where(armed, self.v, self.v - self.v_sub)
        self.fired = seen > self.theta
        if not late and node.reset == "soft":
            self.v = np.where(self.fired, self.v - self.v_sub, self.v)
        elif not late and node.reset == "hard":
            self.v = np.where(self.fired, 0, self.v)
        return self.fired


def _wrapped(x: A, modulus: int) -> A:
    """One wrap: +modulus itself stays, −modulus becomes +modulus."""
    if x.size and (x.max() > modulus or x.min() <= -modulus):
        return x - 2 * modulus * (x > modulus) + 2 * modulus * (x <= -modulus)
    return x


def _count(events: dict[str, int], modulus: int, total: A, x: A, y: A, drive: A) -> None:
    events["wrap"] += int(np.count_nonzero((x > modulus) | (x <= -modulus)))
    events["clip"] += int(np.count_nonzero(np.abs(y) >= modulus))
    zone = np.abs(total) > ACCUMULATOR
    zone |= np.abs(x) >= modulus
    zone |= np.abs(drive) >= modulus
    events["disputed"] += int(np.count_nonzero(zone))


__all__ = ["Machine", "host_streams", "population_ports", "run_model"]
