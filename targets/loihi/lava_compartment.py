"""Loihi 1's compartments as Lava processes with fixed-point process models.

Only Lava's child process imports this file. One function is the rule of a compartment, in Lava's
own LIF arithmetic (32-bit arrays that hold 24-bit states); the models only say which compartments
there are, what is joined into what, and what a spike feeds back.
"""

from __future__ import annotations

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
MODULUS = np.int32(1 << 23)


def compartment(
    u: Any, v: Any, total: Any, joined: Any, du: int, dv: int, bias: Any
) -> tuple[Any, Any]:
    """u and v of a compartment after a step.

    Args:
        total: synaptic sum. joined: what its dendrites pass on in the same step.
        du, dv: 0…4096, the largest forgets.
    """
    current = wrap(decay(u, du) + (total << 6))
    membrane = decay(v, dv) + joined + current + bias
    return current, np.clip(membrane, 1 - MODULUS, MODULUS - 1)


def decay(x: Any, d: int) -> Any:
    """x·(4096 − d) >> 12, truncated towards zero, in 64 bits between, as Lava's LIF."""
    product = np.int64(x) * (UNITY - d)
    return np.int32(np.sign(product) * (np.abs(product) >> 12))


def wrap(x: Any) -> Any:
    """One wrap of 24 bits, as Lava's LIF."""
    wrapped = np.where(x > MODULUS, x - 2 * MODULUS, x)
    return np.where(wrapped <= -MODULUS, x + 2 * MODULUS, wrapped)


class Compartments(AbstractProcess):  # type: ignore[misc]
    """A population of neurons of one or more compartments.

    Args:
        shape: (neurons,).
        parameters: the fields of `snnc.targets.cores.program.Compartment` or `MultiCompartment`,
            arrays as rows, and `bias` = bias_mant << bias_exp.
        first_step, interval: the host writes states and biases when the first sample of the
            population begins, at this time step, and the states at every such interval after it.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        parameters: dict[str, Any],
        first_step: int,
        interval: int,
    ) -> None:
        super().__init__(
            shape=shape, parameters=parameters, first_step=first_step, interval=interval
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)
        self.after = Var(shape=shape, init=0)


class CompartmentsModel(PyLoihiProcessModel):  # type: ignore[misc]
    """What both kinds share; `after` is what a spike leaves to the next step."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    after: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.p = proc_params["parameters"]
        self.first, self.interval = proc_params["first_step"], proc_params["interval"]
        self.bias = 0 * self.p["bias"]

    def run_spk(self) -> None:
        """One time step: receive, begin a sample where it starts, update, send."""
        total = self.a_in.recv().astype(np.int32)
        since = self.time_step - self.first
        if since >= 0 and since % self.interval == 0:
            self.u[:], self.v[:], self.after[:] = 0, self.p["v_init"], 0
            self.bias = self.p["bias"]
        self.s_out.send(self.update(total).astype(np.int32))

    def update(self, total: Any) -> Any:
        """The states, in place; returns what is sent."""
        raise NotImplementedError


class SingleCompartment(Compartments):
    """One compartment; `after` counts the steps of its refractory period."""


class JoinedCompartments(Compartments):
    """Current, membrane and soma; `after` holds the spikes on their way back to the membrane."""


@implements(proc=SingleCompartment, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SingleModel(CompartmentsModel):
    """Fixed-point model of `SingleCompartment`."""

    def update(self, total: Any) -> Any:
        p = self.p
        self.u[:], self.v[:] = compartment(self.u, self.v, total, 0, p["du"], p["dv"], self.bias)
        refractory = self.after > 0
        self.v[refractory] = 0
        spikes = self.v > p["vth"] << 6
        self.v[spikes] = 0
        self.after[refractory] -= 1
        self.after[spikes] = p["hold"]
        return spikes


@implements(proc=JoinedCompartments, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class JoinedModel(CompartmentsModel):
    """Fixed-point model of `JoinedCompartments`."""

    def update(self, total: Any) -> Any:
        p = self.p
        self.u[:], _ = compartment(self.u, 0, total, 0, p["du"], UNITY, 0)
        back = sum(
            (w * self.after) << e if e >= 0 else (w * self.after) >> -e
            for w, e in zip(p["weights"], p["exps"], strict=True)
        )
        back = back + np.zeros_like(self.after)
        _, self.v[:] = compartment(0, self.v, back, self.u, UNITY, p["dv"], self.bias)
        if not p["fires"]:
            return self.v
        _, soma = compartment(0, 0, 0 * total, self.v, UNITY, UNITY, 0)
        self.after[:] = soma > p["vth"] << 6
        return self.after


__all__ = ["JoinedCompartments", "JoinedModel", "SingleCompartment", "SingleModel"]
