"""snnTorch neurons as canonical neurons (snntorch/_neurons/{leaky,lapicque,synaptic}.py, 1.0.0).

With R = [mem(t−1) > θ], the spike of the step before, the sources compute:

* Leaky `subtract`: mem = β·mem + x − R·θ (soft, after); `zero`: mem = β·((1 − R)·mem) + x, so the
  input is kept (hard, before).
* Lapicque: mem = (Δ/C)·x + (1 − Δ/(R·C))·mem; Synaptic: syn = α·syn + x, mem = β·mem + syn.
  `subtract` as Leaky; `zero` subtracts R times the new membrane, which swallows the step's input
  (hard, after); Synaptic's current is kept.
* `reset_delay=False` subtracts (spk − R)·θ on top, or (spk − R)·mem. With `subtract` this is the
  guarded soft reset; with `zero` and θ ≥ 0 the membrane never starts a step above θ, so R = 0
  and it is a hard reset at once.

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
    return Unsupported(
        module, where, "use Leaky, Lapicque or Synaptic; recurrent neurons come in a later release"
    )


class SnnTorchNeuron(NeuronAdapter):
    """Leaky, Lapicque or Synaptic."""

    def __init__(self, module: nn.Module, where: str, base: type[nn.Module]) -> None:
        super().__init__(module, where)
        self.neuron: Any = module
        self.base, self.kind = base, base.__name__
        self.states = ("u", "v") if self.kind == "Synaptic" else ("v",)

    def check(self) -> None:
        """Refuses what the canonical neuron can't say."""
        self.must_inherit(self.base)
        neuron = self.neuron
        if neuron.inhibition:
            raise self.fail("inhibition=True lets only the strongest neuron fire", "train without")
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
            raise self.fail(f"its state function {name} is unknown")
        return STATE_FUNCTIONS[name]

    def _reset_at(self) -> ResetAt:
        if self.mechanism == "none":
            return "now"
        if not getattr(self.neuron, "reset_delay", True):
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
        if self.kind == "Synaptic":
            decays["a_u"] = np.clip(self.parameter("alpha", neuron.alpha, shape), 0, 1)
        return decays

    def clear(self) -> None:
        nothing = torch.zeros(0, device=self.neuron.mem.device)
        self.neuron.mem = nothing
        if self.kind == "Synaptic":
            self.neuron.syn = nothing.clone()

    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        names = ("input_", "syn", "mem") if self.kind == "Synaptic" else ("input_", "mem")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        ports: dict[str, Port] = {"syn": "u", "mem": "v"}
        passed = {ports[n]: given[n] for n in names[1:] if given.get(n) is not None}
        return given.get("input_"), passed

    def held(self, port: Port) -> object:
        return self.neuron.syn if port == "u" else self.neuron.mem

    def returned(self, result: object) -> list[tuple[Tensor, Port]]:
        if isinstance(result, Tensor):
            return [(result, "s")]
        assert isinstance(result, tuple)
        return list(zip(result, ("s", *self.states), strict=True))
