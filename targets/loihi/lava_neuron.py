"""The canonical neuron in integers as a Lava process with a fixed-point process model.

Only Lava's child process imports this file. Its arithmetic is that of Lava's own fixed-point
LIF (32-bit arrays that hold 24-bit states), with the settings of `snnc.ir.IntNeuron`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

UNITY = 4096


class CanonicalNeuron(AbstractProcess):  # type: ignore[misc]
    """A population of the neuron program.

    Args:
        shape: (neurons,).
        parameters: the fields of `snnc.targets.cores.program.Canonical`; arrays as rows.
        reset_interval, reset_offset: u, v and the carried spikes start anew at every time step h
            with h mod interval = offset mod interval, as in Lava's LIFReset.
        gates: one output port `out_0`, `out_1`, … each: the last `gate` steps before a reset are
            not sent through it.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        parameters: dict[str, Any],
        reset_interval: int,
        reset_offset: int,
        gates: tuple[int, ...],
    ) -> None:
        super().__init__(
            shape=shape,
            parameters=parameters,
            reset_interval=reset_interval,
            reset_offset=reset_offset,
            gates=gates,
        )
        self.a_in = InPort(shape=shape)
        for index in range(len(gates)):
            setattr(self, f"out_{index}", OutPort(shape=shape))
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=parameters["v_init"])
        self.fired = Var(shape=shape, init=0)


class CanonicalModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Fixed-point model of `CanonicalNeuron`; subclasses add its output ports."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    u: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    fired: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=1)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.p = proc_params["parameters"]
        self.interval = proc_params["reset_interval"]
        self.offset = proc_params["reset_offset"]
        self.gates = proc_params["gates"]
        self.modulus = np.int32(1 << (self.p["state_bits"] - 1))

    def run_spk(self) -> None:
        """One time step: receive, reset where a sample starts, update, send."""
        total = self.a_in.recv().astype(np.int32)
        phase = (self.time_step - self.offset) % self.interval
        if phase == 0:
            self.u[:], self.v[:], self.fired[:] = 0, self.p["v_init"], 0
        message = self.update(total)
        for index, gate in enumerate(self.gates):
            closed = phase >= self.interval - gate
            getattr(self, f"out_{index}").send(np.zeros_like(message) if closed else message)

    def update(self, total: Any) -> Any:
        """The canonical neuron, in place; returns what it sends."""
        p = self.p
        above = self.v > p["theta"]
        old = self.u.copy()
        self.u[:] = self.wrap(self.decay(old, p["du"]) + (total << p["shift"]) + p["bias_u"])
        drive = (self.u if p["order"] == "uv" else old) + p["bias_v"]
        raised = self.decay(self.v, p["dv"]) + drive
        if (p["reset"], p["reset_at"]) == ("soft", "after"):
            raised = raised - p["v_sub"] * self.fired
        self.v[:] = np.clip(raised, 1 - self.modulus, self.modulus - 1)
        if (p["reset"], p["reset_at"]) == ("hard", "after"):
            self.v[self.fired == 1] = 0
        if not p["fires"]:
            return self.v.copy()
        compared = self.v - p["v_sub"] * above if p["reset_at"] == "guarded" else self.v
        spikes = compared > p["theta"]
        self.fired[:] = spikes
        if p["reset_at"] != "after":
            self.restore(spikes)
        return spikes.astype(np.int32)

    def restore(self, spikes: Any) -> None:
        """The reset in the same step."""
        if self.p["reset"] == "hard":
            self.v[spikes] = 0
        elif self.p["reset"] == "soft":
            self.v[:] = self.v - self.p["v_sub"] * spikes

    @staticmethod
    def decay(x: Any, d: Any) -> Any:
        """x·(4096 − d) >> 12, truncated towards zero, in 64 bits between, as Lava's LIF."""
        product = np.int64(x) * (UNITY - d)
        return np.int32(np.sign(product) * (np.abs(product) >> 12))

    def wrap(self, x: Any) -> Any:
        """One wrap of 24 bits, as Lava's LIF."""
        wrapped = np.where(x > self.modulus, x - 2 * self.modulus, x)
        return np.where(wrapped <= -self.modulus, x + 2 * self.modulus, wrapped)


@cache
def canonical(ports: int) -> tuple[type[CanonicalNeuron], type[CanonicalModel]]:
    """The process and its fixed-point model with so many output ports."""
    process = type(f"CanonicalNeuron{ports}", (CanonicalNeuron,), {})
    outs = {
        f"out_{index}": LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
        for index in range(ports)
    }
    model = type(f"CanonicalModel{ports}", (CanonicalModel,), outs)
    model = implements(proc=process, protocol=LoihiProtocol)(model)
    return process, tag("fixed_pt")(requires(CPU)(model))


__all__ = ["canonical"]
