"""Populations of the numpy model: states (lane, neuron) and one step of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    Lif,
    MultiCompartment,
    Neurons,
    Population,
)

A = NDArray[Any]
INT32 = (1 << 31) - 1
UNITY = 1 << 12
STATE = 1 << 23
"""M of a 24-bit state."""
ACCUMULATOR = 1 << 15
"""Beyond a 16-bit synaptic accumulator open Loihi emulators differ: counted as disputed."""


def neuron_state(name: str, population: Neurons, lanes: int) -> State:
    """The state of a population that the chip computes."""
    match population:
        case Lif():
            return LifState(name, population, lanes)
        case Compartment():
            return CompartmentState(name, population, lanes)
        case MultiCompartment():
            return MultiCompartmentState(name, population, lanes)
        case Canonical():
            return ProgramState(name, population, lanes)


class State:
    """What a population holds: u and v (lane, neuron), and its counts of events."""

    def __init__(self, name: str, population: Population, lanes: int) -> None:
        self.name = name
        self.size = (lanes, population.size)
        self.u = np.zeros(self.size, np.int64)
        self.v = np.zeros(self.size, np.int64)
        self.bias = np.zeros((1, 1), np.int64)
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}

    def reset(self, begun: bool) -> None:
        """The states of the start of a sample; `begun` is false before the first."""
        raise NotImplementedError

    def step(self, total: A, valid: bool) -> A:
        """The messages of one step for the sums (lane, neuron); counts events where `valid`."""
        raise NotImplementedError

    def read(self, port: str) -> A:
        """u or v as the host reads them at the end of a step."""
        return self.u if port == "u" else self.v

    def begin(self, cell: Cell, v_init: A, begun: bool) -> None:
        """What the host writes: states and bias of a sample; all 0 before the first."""
        self.u = np.zeros(self.size, np.int64)
        self.v = np.broadcast_to(v_init * begun, self.size).copy()
        self.bias = cell.bias * begun

    def compartment(self, total: A, fed: A | int, p: Cell, valid: bool) -> None:
        """One step of u and v in a compartment, `fed` joined into its membrane."""
        x = _keep(self.u, p.keep_u) + (total << 6)
        self.u = _wrapped(x, STATE)
        drive = self.u + self.bias
        y = _keep(self.v, p.keep_v) + drive + fed
        _in_32_bits(self.name, x, y)
        self.v = np.minimum(np.maximum(y, 1 - STATE), STATE - 1)
        if valid:
            _count(self.events, STATE, total, x, y, drive)


class Cell:
    """The numbers of a compartment: factors that keep u and v, bias, threshold."""

    def __init__(self, cell: Lif | Compartment | MultiCompartment) -> None:
        """Lava's LIF counts its current decay from −1."""
        du = cell.du + 1 if isinstance(cell, Lif) else cell.du
        self.keep_u = np.asarray([[UNITY - du]])
        self.keep_v = np.asarray([[UNITY - cell.dv]])
        self.bias = _per_neuron(cell.bias_mant.astype(np.int64) << cell.bias_exp, cell)
        self.theta = cell.vth << 6


class LifState(State):
    """A LIFReset population."""

    def __init__(self, name: str, lif: Lif, lanes: int) -> None:
        super().__init__(name, lif, lanes)
        self.cell = Cell(lif)
        self.bias = self.cell.bias

    def reset(self, begun: bool) -> None:
        self.u, self.v = np.zeros_like(self.u), np.zeros_like(self.v)

    def step(self, total: A, valid: bool) -> A:
        self.compartment(total, 0, self.cell, valid)
        spikes = self.v > self.cell.theta
        self.v[spikes] = 0
        return spikes


class CompartmentState(State):
    """A population of single compartments with a refractory period."""

    def __init__(self, name: str, node: Compartment, lanes: int) -> None:
        super().__init__(name, node, lanes)
        self.cell, self.hold = Cell(node), node.hold
        self.v_init = _per_neuron(node.v_init, node)
        self.reset(begun=False)

    def reset(self, begun: bool) -> None:
        self.begin(self.cell, self.v_init, begun)
        self.held = np.zeros(self.size, np.int64)

    def step(self, total: A, valid: bool) -> A:
        self.compartment(total, 0, self.cell, valid)
        self.v[self.held > 0] = 0
        spikes = self.v > self.cell.theta
        self.v[spikes] = 0
        self.held = np.where(spikes, self.hold, np.maximum(self.held - 1, 0))
        return spikes


class MultiCompartmentState(State):
    """A population of joined compartments: u is that of C, v that of I."""

    def __init__(self, name: str, node: MultiCompartment, lanes: int) -> None:
        super().__init__(name, node, lanes)
        self.cell, self.node = Cell(node), node
        self.v_init = _per_neuron(node.v_init, node)
        self.reset(begun=False)

    def reset(self, begun: bool) -> None:
        self.begin(self.cell, self.v_init, begun)
        self.spikes = np.zeros(self.size, bool)

    def step(self, total: A, valid: bool) -> A:
        self.compartment(total, self.spikes * self.node.feedback, self.cell, valid)
        if not self.node.fires:
            return self.v
        self.spikes = self.v > self.cell.theta
        return self.spikes

    def read(self, port: str) -> A:
        return self.u if port == "u" else self.v - self.node.read_less * self.spikes


def _in_32_bits(name: str, *states: A) -> None:
    for state in states:
        if state.size and max(state.max(), -state.min()) > INT32:
            raise RefusedError(
                name,
                f"its sum or state reaches {max(state.max(), -state.min())}, beyond the 32 bits"
                " in which Lava computes",
                "use fewer input bits (--input-bits), or smaller weights or exponents",
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


class ProgramState(State):
    """A population of our neuron program."""

    def __init__(self, name: str, node: Canonical, lanes: int) -> None:
        super().__init__(name, node, lanes)
        self.node = node
        p = {key: _per_neuron(getattr(node, key), node) for key in Canonical.ARRAYS}
        self.keep_u, self.keep_v = UNITY - p["du"], UNITY - p["dv"]
        self.theta, self.v_sub, self.v_init = p["theta"], p["v_sub"], p["v_init"]
        self.bias_u, self.bias_v = p["bias_u"], p["bias_v"]
        self.modulus = 1 << (node.state_bits - 1)
        self.reset(begun=False)

    def reset(self, begun: bool) -> None:
        self.u = np.zeros(self.size, np.int64)
        self.v = np.broadcast_to(self.v_init, self.size).copy()
        self.fired = np.zeros(self.size, bool)

    def step(self, total: A, valid: bool) -> A:
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


__all__ = ["neuron_state"]
