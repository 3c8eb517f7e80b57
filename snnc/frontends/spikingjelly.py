"""SpikingJelly neurons as canonical neurons (spikingjelly/_ops/{if_,lif,plif}/reference.py, 2.0.0).

With r = v_reset, or 0 where v_reset is None, and 1/τ = sigmoid(w) for ParametricLIFNode:

* IF: h = v + x.
* LIF, decay_input: h = v + (x − (v − r))/τ, so a_v = 1 − 1/τ, g = 1/τ, b = r/τ; without it
  h = v − (v − r)/τ + x, so g = 1.
* s = surrogate(h − θ); v = r where s (hard), or h − s·θ where v_reset is None (soft).

v starts at the reset value of the registered memory `v`.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.frontends.neurons import Arguments, NeuronAdapter, Unsupported
from snnc.ir import Neuron
from snnc.ir.ops import Port

F64 = NDArray[np.float64]
SUPPORTED = ("IFNode", "LIFNode", "ParametricLIFNode", "SimpleIFNode", "SimpleLIFNode")


def adapter(module: nn.Module, where: str) -> NeuronAdapter | None:
    """The adapter of a SpikingJelly neuron, None for any other module."""
    base: Any = sys.modules.get("spikingjelly.activation_based.base")
    neuron: Any = sys.modules.get("spikingjelly.activation_based.neuron")
    if base is None or neuron is None:
        return None
    for name in SUPPORTED:
        if isinstance(module, getattr(neuron, name)):
            own = type(module)
            if own is getattr(neuron, name) or not own.__module__.startswith("spikingjelly."):
                return JellyNeuron(module, where, getattr(neuron, name))
    traced = _is_dropout(module) or is_container(module)
    if _is_neuron(module) or (isinstance(module, base.MemoryModule) and not traced):
        return Unsupported(module, where, f"use one of {', '.join(SUPPORTED)}")
    return None


CONTAINERS = ("ElementWiseRecurrentContainer", "LinearRecurrentContainer")


def is_container(module: nn.Module) -> bool:
    """Whether it is a layer of SpikingJelly that feeds the output of the step before back, in
    functions of torch around its submodule."""
    layer: Any = sys.modules.get("spikingjelly.activation_based.layer")
    if layer is None:
        return False
    return isinstance(module, tuple(getattr(layer, name) for name in CONTAINERS))


def clear_container(module: Any) -> None:
    """Puts a container into the state that it has before the first step."""
    module._memories = copy.deepcopy(module._memories_rv)


def _is_neuron(module: nn.Module) -> bool:
    return any(
        cls.__module__.startswith("spikingjelly.activation_based.neuron")
        and issubclass(cls, nn.Module)
        for cls in type(module).__mro__
    )


def _is_dropout(module: nn.Module) -> bool:
    layer: Any = sys.modules.get("spikingjelly.activation_based.layer")
    return layer is not None and type(module) in (layer.Dropout, layer.Dropout2d)


class JellyNeuron(NeuronAdapter):
    """IFNode, LIFNode, ParametricLIFNode, SimpleIFNode or SimpleLIFNode."""

    def __init__(self, module: nn.Module, where: str, base: type[nn.Module]) -> None:
        super().__init__(module, where)
        self.neuron: Any = module
        self.base, self.kind = base, base.__name__

    @property
    def multi_step(self) -> bool:
        return bool(self.neuron.step_mode == "m")

    def check(self) -> None:
        """Refuses what the canonical neuron can't say."""
        self.must_inherit(self.base)
        if getattr(self.neuron, "_neuron_precision", None) is not None:
            raise self.fail(
                f"its arithmetic was set to {self.neuron._neuron_precision}",
                "export it in its default precision",
            )
        if set(self.neuron._memories) != {"v"}:
            raise self.fail(
                f"it keeps the states {sorted(self.neuron._memories)}, not only v",
                f"use {self.kind} as it is, without states of your own",
            )
        rest = self.neuron._memories_rv["v"]
        if isinstance(rest, bool) or not isinstance(rest, int | float):
            raise self.fail("its initial membrane is a tensor", "use one number for all neurons")

    def canonical(self, shape: tuple[int, ...]) -> Neuron:
        self.check()
        neuron = self.neuron
        hard = neuron.v_reset is not None
        reset = self.parameter("v_reset", neuron.v_reset if hard else 0.0, shape)
        a_v, g, b = self._charge(reset, shape)
        return Neuron(
            a_v=a_v,
            g=g,
            b=b,
            theta=self.parameter("v_threshold", neuron.v_threshold, shape),
            v_reset=reset,
            v_init=np.asarray(float(neuron._memories_rv["v"])),
            reset="hard" if hard else "soft",
            reset_at="now",
            compare=self.comparison(neuron.surrogate_function),
        )

    def _charge(self, reset: F64, shape: tuple[int, ...]) -> tuple[F64, F64, F64]:
        """a_v, g and b."""
        one, zero = np.asarray(1.0), np.asarray(0.0)
        if self.kind in ("IFNode", "SimpleIFNode"):
            return one, one, zero
        rate = self._rate(shape)
        g = rate if self.neuron.decay_input else one
        return np.asarray(1.0 - rate), g, np.asarray(reset * rate)

    def _rate(self, shape: tuple[int, ...]) -> F64:
        """1/τ."""
        if self.kind == "ParametricLIFNode":
            w = self.parameter("w", self.neuron.w, shape)
            return np.asarray(1 / (1 + np.exp(-w)))
        return np.asarray(1 / self.parameter("tau", self.neuron.tau, shape))

    def clear(self) -> None:
        self.neuron._memories = copy.deepcopy(self.neuron._memories_rv)

    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        given = [*args, *kwargs.values()]
        if len(given) != 1:
            raise self.fail(f"it is called with {len(given)} arguments", "pass its input only")
        return given[0], {}

    def held(self, port: Port) -> object:
        return self.neuron._memories["v"]

    def returned(self, result: object) -> list[tuple[Tensor, Port]]:
        assert isinstance(result, Tensor)
        return [(result, "s")]

    def sequences(self) -> list[tuple[Tensor, Port]]:
        kept = getattr(self.neuron, "v_seq", None)
        return [(kept, "v")] if self.multi_step and isinstance(kept, Tensor) else []
