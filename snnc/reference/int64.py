"""The int64 executor: it defines what an integer graph (S2) means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError
from snnc.ir import Graph, IntNeuron
from snnc.reference.executor import Executor
from snnc.reference.trace import Inputs, Port, Ports, Trace, sample_count

A = NDArray[Any]

DISPUTED_SUM = 1 << 15
"""|A| above this overflows a 16-bit synaptic accumulator; open emulators differ from there on."""


def run_int(graph: Graph, inputs: Inputs, record: Ports | None = None) -> Trace:
    """Runs an integer graph step by step.

    Args:
        inputs: by input name, integers of the input's range, (sample, step, …) or (sample, …).
        record: ports to keep, by node; states are the integers that they are.

    Returns:
        The trace; `events` counts, per neuron layer, `wrap` (u left 24 bits), `clip` (v did) and
        `disputed` (|A| > 2^15, or a state in the corner where open Loihi emulators differ).
    """
    samples = sample_count(graph, inputs)
    states = {
        name: IntState(node, (samples, *graph.signals[name].shape))
        for name, node in graph.nodes.items()
        if isinstance(node, IntNeuron)
    }
    integers = {name: _integers(name, inputs[name]) for name in graph.inputs}
    trace = Executor(graph, integers, states).run(record)
    trace.events = {name: state.events for name, state in states.items()}
    return trace


def _integers(name: str, values: A) -> A:
    given = np.asarray(values)
    whole = given.astype(np.int64)
    if not np.array_equal(whole, given):
        raise InputError(
            name, "an integer graph takes integers", "encode the input first: round(x / scale)"
        )
    return whole


def decayed(x: A, d: A) -> A:
    """t0(x, d) = sign(x)·((|x|·(4096 − d)) >> 12): a decay that truncates towards zero."""
    return np.sign(x) * ((np.abs(x) * (4096 - d)) >> 12)


class IntState:
    """u, v and the carried spikes of one population; `step` is the definition in `IntNeuron`."""

    def __init__(self, node: IntNeuron, shape: tuple[int, ...]) -> None:
        self.node = node
        self.p = {p: np.asarray(getattr(node, p), np.int64) for p in node.PARAMETERS}
        self.limit = 1 << (node.state_bits - 1)
        self.u = np.zeros(shape, np.int64)
        self.v = np.broadcast_to(self.p["v_init"], shape).astype(np.int64)
        self.carried = np.zeros(shape, bool)
        self.output: A = np.zeros(shape, np.int64)
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}

    def step(self, total: A) -> A:
        """Output of the population for the summed input A = `total`."""
        self.output = self._updated(total)
        return self.output

    def read(self, port: Port) -> A:
        """Output (`s`) or state (`u`, `v`) after the step."""
        return {"s": self.output, "u": self.u, "v": self.v}[port]

    def _updated(self, total: A) -> A:
        node, p, limit = self.node, self.p, self.limit
        above = self.v > p["theta"]
        old_u = self.u
        x = decayed(self.u, p["du"]) + (total << node.shift) + p["bias_u"]
        self.u = np.where(x > limit, x - 2 * limit, np.where(x <= -limit, x + 2 * limit, x))
        drive = (self.u if node.order == "uv" else old_u) + p["bias_v"]
        y = decayed(self.v, p["dv"]) + drive
        if node.reset == "soft" and node.reset_at == "after":
            y = y - self.carried * p["v_sub"]
        self.v = np.clip(y, 1 - limit, limit - 1)
        if node.reset == "hard" and node.reset_at == "after":
            self.v = np.where(self.carried, 0, self.v)
        self._count(total, x, y, drive)
        if not node.fires:
            return self.v
        compared = self.v - above * p["v_sub"] if node.reset_at == "guarded" else self.v
        spikes = compared > p["theta"]
        if node.reset != "none" and node.reset_at != "after":
            self.v = np.where(spikes, self.v - p["v_sub"] if node.reset == "soft" else 0, self.v)
        self.carried = spikes
        return spikes.astype(np.int64)

    def _count(self, total: A, x: A, y: A, drive: A) -> None:
        limit = self.limit
        disputed = (np.abs(total) > DISPUTED_SUM) | (np.abs(x) >= limit) | (np.abs(drive) >= limit)
        self.events["wrap"] += int(np.count_nonzero(x != self.u))
        self.events["clip"] += int(np.count_nonzero(np.abs(y) >= limit))
        self.events["disputed"] += int(np.count_nonzero(disputed))
