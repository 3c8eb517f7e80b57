"""A program as Lava processes. Only Lava's child process imports this file, after its shim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv as LavaConv
from lava.proc.dense.process import DelayDense
from lava.proc.dense.process import Dense as LavaDense
from lava.proc.io.sink import RingBuffer
from lava.proc.io.source import RingBuffer as Playback
from lava.proc.lif.process import LIFReset
from lava.proc.monitor.process import Monitor
from lava.proc.sparse.process import DelaySparse
from lava.proc.sparse.process import Sparse as LavaSparse
from lava.utils.weightutils import SignMode
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    Conv,
    Dense,
    Lif,
    MultiCompartment,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
)
from snnc.targets.loihi.lava_compartment import (
    JoinedCompartments,
    JoinedModel,
    SingleCompartment,
    SingleModel,
)
from snnc.targets.loihi.lava_neuron import canonical

A = NDArray[Any]
CHUNKS = 20
"""Pieces that a run is cut into, to tell its progress."""


class Network:
    """A program as Lava processes, for one run."""

    def __init__(self, program: Program, streams: Mapping[str, A], steps: int) -> None:
        self.program, self.steps = program, steps
        self.models: dict[Any, Any] = {}
        self.outs: dict[tuple[str, int], Any] = {}
        self.ins: dict[str, Any] = {}
        self.neurons: dict[str, Any] = {}
        self.total = program.max_lag + max(len(data) for data in streams.values())
        for name, population in program.populations.items():
            if isinstance(population, Source):
                self._host(name, population, streams[name])
            else:
                self._neuron(name, population)
        for synapse in program.synapses:
            self._connect(synapse)

    def _host(self, name: str, source: Source, data: Any) -> None:
        for gate in {0, *self.program.gates[name]}:
            sent = np.zeros((source.size, self.total), np.int32)
            sent[:, : len(data)] = data.reshape(len(data), -1).T
            phase = np.arange(self.total) % self.steps
            sent[:, phase >= self.steps - gate] = 0
            self.outs[name, gate] = Playback(data=sent).s_out

    def _neuron(self, name: str, population: Population) -> None:
        offset = (1 + population.lag) % self.steps
        process: Any
        if isinstance(population, Lif):
            process = self._lif(population, offset)
            self.outs[name, 0] = process.s_out
        elif isinstance(population, Compartment | MultiCompartment):
            process = self._compartments(population)
            self.outs[name, 0] = process.s_out
        else:
            assert isinstance(population, Canonical)
            gates = tuple(sorted({0, *self.program.gates[name]}))
            process = self._program(population, offset, gates)
            for index, gate in enumerate(gates):
                self.outs[name, gate] = getattr(process, f"out_{index}")
        self.neurons[name], self.ins[name] = process, process.a_in

    def _lif(self, lif: Lif, offset: int) -> Any:
        return LIFReset(
            shape=(lif.size,),
            du=lif.du,
            dv=lif.dv,
            vth=lif.vth,
            bias_mant=np.broadcast_to(lif.bias_mant, lif.shape).reshape(-1).astype(np.int32),
            bias_exp=lif.bias_exp,
            reset_interval=self.steps,
            reset_offset=offset,
        )

    def _compartments(self, node: Compartment | MultiCompartment) -> Any:
        parameters = {
            slot.name: getattr(node, slot.name)
            for slot in fields(node)
            if slot.name not in ("shape", "lag")
        }
        bias = node.bias_mant.astype(np.int32) << node.bias_exp
        for key, values in (("bias", bias), ("v_init", node.v_init)):
            parameters[key] = np.broadcast_to(values, node.shape).reshape(-1).astype(np.int32)
        single = isinstance(node, Compartment)
        made = (SingleCompartment if single else JoinedCompartments)(
            shape=(node.size,),
            parameters=parameters,
            first_step=1 + node.lag,
            interval=self.steps,
        )
        self.models[made] = SingleModel if single else JoinedModel
        return made

    def _program(self, node: Canonical, offset: int, gates: tuple[int, ...]) -> Any:
        parameters = {
            key: np.broadcast_to(getattr(node, key), node.shape).reshape(-1).astype(np.int32)
            for key in Canonical.ARRAYS
        }
        for key in ("shift", "reset", "reset_at", "order", "fires", "state_bits"):
            parameters[key] = getattr(node, key)
        process, model = canonical(len(gates))
        made = process(
            shape=(node.size,),
            parameters=parameters,
            reset_interval=self.steps,
            reset_offset=offset,
            gates=gates,
        )
        self.models[made] = model
        return made

    def _connect(self, synapse: Synapse) -> None:
        out, into = self.outs[synapse.source, synapse.gate], self.ins[synapse.target]
        match synapse:
            case Conv():
                process = _conv(synapse)
                if synapse.delay:
                    relay = _relay(synapse)
                    out.connect(relay.s_in)
                    out = relay.a_out
                out.reshape(synapse.in_shape).transpose([2, 1, 0]).connect(process.s_in)
                process.a_out.transpose([2, 1, 0]).flatten().connect(into)
                return
            case Dense():
                process = _dense(synapse)
            case _:
                assert isinstance(synapse, Sparse)
                process = _sparse(synapse)
        out.connect(process.s_in)
        process.a_out.connect(into)

    def run(
        self, ports: list[tuple[str, str]], progress: Callable[[float], None]
    ) -> dict[tuple[str, str], A]:
        """Runs all steps; (step, neuron) by layer and port, lags removed."""
        parts = {(part, port) for name, port in ports for part in self.program.layers[name]}
        for name, _ in tuple(parts):
            parts.add((name, "s"))
        sinks = {key: self._sink(*key) for key in sorted(parts)}
        config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=self.models)
        root = next(iter(self.neurons.values()))
        done = 0
        for end in sorted({self.total * i // CHUNKS for i in range(1, CHUNKS + 1)}):
            if end > done:
                root.run(condition=RunSteps(num_steps=end - done), run_cfg=config)
                done = end
            progress(done / self.total)
        data = {key: self._data(key, sink) for key, sink in sinks.items()}
        root.stop()
        return {(name, port): self._together(name, port, data) for name, port in ports}

    def _sink(self, name: str, port: str) -> Any:
        if port == "s":
            sink = RingBuffer(shape=(self.program.populations[name].size,), buffer=self.total)
            self.outs[name, 0].connect(sink.a_in)
        else:
            sink = Monitor()
            sink.probe(getattr(self.neurons[name], port), self.total)
        return sink

    def _data(self, key: tuple[str, str], sink: Any) -> A:
        name, port = key
        lag = self.program.populations[name].lag
        if port == "s":
            values = sink.data.get().T
        else:
            values = sink.get_data()[self.neurons[name].name][port]
        return np.asarray(values[lag : lag + self.total - self.program.max_lag], np.int32)

    def _together(self, layer: str, port: str, data: dict[tuple[str, str], A]) -> A:
        """A layer as the host reads it, from its populations."""
        values: dict[str, A] = {}
        for name in self.program.layers[layer]:
            population = self.program.populations[name]
            values[name] = data[name, port]
            if port == "v" and isinstance(population, MultiCompartment):
                values[name] = data[name, port] - population.read_less * data[name, "s"]
        return self.program.together(layer, values)


def _relay(synapse: Conv) -> Any:
    """An identity that waits as long as `synapse`, whose own process can't; it takes one of the
    steps itself. Twice the message, shifted right once: weights of both signs are even."""
    size = int(np.prod(synapse.in_shape))
    ones = np.arange(size + 1, dtype=np.int32)
    identity = Sparse(
        synapse.source,
        synapse.target,
        synapse.delay - 1,
        synapse.gate,
        synapse.message_bits,
        -1,
        np.full(size, 2, np.int16),
        ones[:-1],
        ones,
        (size, size),
    )
    return _sparse(identity)


def _dense(synapse: Dense) -> Any:
    weights = synapse.weight.astype(np.int32)
    if synapse.delay == 0:
        return LavaDense(weights=weights, **_common(synapse))
    delays = np.full(weights.shape, synapse.delay)
    return DelayDense(weights=weights, delays=delays, **_common(synapse))


def _sparse(synapse: Sparse) -> Any:
    def rows(data: Any) -> Any:
        """A copy, since Lava sorts the indices in place."""
        entries = (data, synapse.indices, synapse.indptr)
        return csr_matrix(entries, shape=synapse.matrix_shape, copy=True)

    weights = rows(synapse.data.astype(np.int32))
    if synapse.delay == 0:
        return LavaSparse(weights=weights, **_common(synapse))
    delays = rows(np.full(synapse.data.shape, synapse.delay, np.int64))
    return DelaySparse(weights=weights, delays=delays, max_delay=synapse.delay, **_common(synapse))


def _common(synapse: Synapse) -> dict[str, Any]:
    return {
        "weight_exp": synapse.exp,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": synapse.message_bits,
    }


def _conv(synapse: Conv) -> Any:
    """Lava's convolution flips its kernel, has (W, H, C) axes and ignores exponents."""
    exp, weight = synapse.exp, synapse.weight.astype(np.int32)
    weight = weight << exp if exp >= 0 else weight >> -exp
    channels, height, width = synapse.in_shape
    return LavaConv(
        weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)),
        input_shape=(width, height, channels),
        stride=synapse.stride[::-1],
        padding=synapse.padding[::-1],
        dilation=synapse.dilation[::-1],
        groups=synapse.groups,
        num_message_bits=synapse.message_bits,
    )


__all__ = ["Network"]
