"""snnTorch neurons as canonical neurons (snntorch/_neurons/*.py, 1.0.0).

With R = [mem(t−1) > θ], the spike of the step before, the sources compute:

* Leaky `subtract`: mem = β·mem + x − R·θ (soft, after); `zero`: mem = β·((1 − R)·mem) + x, so the
  input is kept (hard, before).
* Lapicque: mem = (Δ/C)·x + (1 − Δ/(R·C))·mem; Synaptic: syn = α·syn + x, mem = β·mem + syn.
  `subtract` as Leaky; `zero` subtracts R times the new membrane, which swallows the step's input
  (hard, after); Synaptic's current is kept.
* `reset_delay=False` subtracts (spk − R)·θ on top, or (spk − R)·mem. With `subtract` this is the
  guarded soft reset; with `zero` and θ ≥ 0 the membrane never starts a step above θ, so R = 0
  and it is a hard reset at once.

* RLeaky and RSynaptic add recurrent(spk(t−1)) to x, and are Leaky and Synaptic else, save that the
  `zero` of RLeaky is that of Synaptic (hard, after). RSynaptic takes reset_delay and ignores it:
  its forward changes a variable that it doesn't keep.

β and α are clamped to [0, 1] where the source clamps them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnc.frontends.neurons import Arguments, NeuronAdapter, Unsupported
from snnc.ir import Neuron
from snnc.ir.ops import Port, Reset, ResetAt

RESETS: dict[str, Reset] = {"subtract": "soft", "zero": "hard", "none": "none"}
STATE_FUNCTIONS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


def adapter(module: nn.Module, where: str) -> NeuronAdapter | None:
    """The adapter of an snnTorch neuron, None for any other module."""
    snn: Any = sys.modules.get("snntorch")
    if snn is None or not isinstance(module, snn.SpikingNeuron):
        return None
    for base in (snn.Leaky, snn.Lapicque, snn.Synaptic):
        if isinstance(module, base):
            return SnnTorchNeuron(module, where, base)
    for base in (snn.RLeaky, snn.RSynaptic):
        if isinstance(module, base):
            return Recurrent(module, where, base)
    return Unsupported(module, where, "use Leaky, Lapicque, Synaptic, RLeaky or RSynaptic")


STATES: dict[str, Port] = {"spk": "s", "syn": "u", "mem": "v"}
"""Their names in snnTorch, in the order of the arguments."""


class SnnTorchNeuron(NeuronAdapter):
    """Leaky, Lapicque or Synaptic."""

    def __init__(self, module: nn.Module, where: str, base: type[nn.Module]) -> None:
        super().__init__(module, where)
        self.neuron: Any = module
        self.base, self.kind = base, base.__name__
        self.states = ("u", "v") if self.has_current else ("v",)

    @property
    def has_current(self) -> bool:
        """Whether it has a synaptic current."""
        return self.kind.endswith("Synaptic")

    def check(self) -> None:
        """Refuses what the canonical neuron can't say."""
        self.must_inherit(self.base)
        neuron = self.neuron
        if neuron.inhibition:
            raise self.fail(
                "inhibition=True lets only the strongest neuron fire", "train without it"
            )
        if neuron.state_quant:
            raise self.fail("state_quant rounds the membrane", "export without it")
        if bool((torch.as_tensor(neuron.graded_spikes_factor) != 1).any()):
            raise self.fail("graded_spikes_factor is not 1", "multiply the next layer's weights")
        declared = list(RESETS)[int(neuron.reset_mechanism_val)]
        if declared != self.mechanism:
            raise self.fail(
                f"reset_mechanism says {declared} but the neuron was built with {self.mechanism}"
                " and still computes that",
                "build the neuron with the reset mechanism that the state dict has",
            )

    @property
    def mechanism(self) -> str:
        """The reset that is computed: the state function is fixed when the object is built."""
        name = self.neuron.state_function.__name__
        if name not in STATE_FUNCTIONS:
            raise self.fail(
                f"its state function {name} is unknown",
                "build it anew with its reset_mechanism; a function of your own can't be traced",
            )
        return STATE_FUNCTIONS[name]

    def _reset_at(self) -> ResetAt:
        if self.mechanism == "none":
            return "now"
        if self.kind != "RSynaptic" and not getattr(self.neuron, "reset_delay", True):
            return "guarded" if self.mechanism == "subtract" else "now"
        return "before" if (self.kind, self.mechanism) == ("Leaky", "zero") else "after"

    def canonical(self, shape: tuple[int, ...]) -> Neuron:
        self.check()
        theta = self.parameter("threshold", self.neuron.threshold, shape)
        compare = self.comparison(self.neuron.spike_grad)
        reset_at = self._reset_at()
        if self.mechanism != "none" and bool((theta < 0 if compare == ">" else theta <= 0).any()):
            raise self.fail(
                f"the threshold {float(theta.min()):g} is at or below the resting membrane, so the"
                " delayed reset acts before the first spike",
                "use positive thresholds",
            )
        if reset_at == "guarded" and compare == ">=":
            raise self.fail(
                "reset_delay=False with a spike function that fires at v = θ",
                "use one of snnTorch's own surrogates, which fire above θ",
            )
        common: dict[str, Any] = {
            "theta": theta,
            "reset": RESETS[self.mechanism],
            "reset_at": reset_at,
            "compare": compare,
        }
        return Neuron(**common, **self._dynamics(shape))

    def _dynamics(self, shape: tuple[int, ...]) -> dict[str, Any]:
        neuron = self.neuron
        if self.kind == "Lapicque":
            r = self.parameter("R", neuron.R, shape)
            c = self.parameter("C", neuron.C, shape)
            dt = self.parameter("time_step", neuron.time_step, shape)
            return {"a_v": 1 - dt / (r * c), "g": np.asarray(r * (1 / (r * c)) * dt)}
        decays = {"a_v": np.clip(self.parameter("beta", neuron.beta, shape), 0, 1)}
        if self.has_current:
            decays["a_u"] = np.clip(self.parameter("alpha", neuron.alpha, shape), 0, 1)
        return decays

    def clear(self) -> None:
        for name in self._names():
            setattr(self.neuron, name, torch.zeros(0, device=self.neuron.mem.device))

    def _names(self) -> list[str]:
        return [name for name, port in STATES.items() if port in self.states]

    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        names = self._names()
        given = {**dict(zip(("input_", *names), args, strict=False)), **kwargs}
        passed = {STATES[n]: given[n] for n in names if given.get(n) is not None}
        return given.get("input_"), passed

    def held(self, port: Port) -> object:
        return getattr(self.neuron, next(n for n, p in STATES.items() if p == port))

    def returned(self, result: object) -> list[tuple[Tensor, Port]]:
        if isinstance(result, Tensor):
            return [(result, "s")]
        assert isinstance(result, tuple)
        ports = [port for port in STATES.values() if port in ("s", *self.states)]
        return list(zip(result, ports, strict=True))


class Recurrent(SnnTorchNeuron):
    """RLeaky or RSynaptic: a neuron whose own spikes of the step before add to its input."""

    def __init__(self, module: nn.Module, where: str, base: type[nn.Module]) -> None:
        super().__init__(module, where, base)
        self.states = ("s", *self.states)

    def with_feedback(self, x: Tensor, passed: Mapping[Port, object]) -> Tensor:
        spikes = passed.get("s", self.held("s"))
        if not isinstance(spikes, Tensor) or spikes.shape != x.shape:
            spikes = torch.zeros_like(x)
        fed: Tensor = x + self.neuron.recurrent(spikes)
        return fed

    def inner(self) -> set[nn.Module]:
        return super().inner() - set(self.neuron.recurrent.modules())
