"""Which modules are neurons, and what each puts out.

snnTorch's and SpikingJelly's are known by the frontends, which say what an update costs; those of
sinabs, Norse and lava-dl's slayer by the names of their classes, and those of a user by being
named: their spikes and synapses count, their updates have no rule.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends import spikingjelly
from snnc.frontends.neurons import NeuronAdapter, Unsupported
from snnc.frontends.tracer import neuron_adapter
from snnc.ir import Kind, Neuron

PACKAGES = {
    "sinabs": ("sinabs", ("StatefulLayer",)),
    "norse": ("norse.torch.module", ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")),
    "slayer": ("lava.lib.dl.slayer.neuron", ("Neuron",)),
}
"""By framework: where the base classes of its neurons are, and their names."""

READOUTS = ("LI", "LICell", "LILinearCell", "ExpLeak", "ExpLeakSqueeze")
"""Integrators among them, whose output is a membrane."""

RESETS = ("reset_mem", "reset_states", "reset")
"""Methods that put a neuron into the state before the first step, by framework."""


@dataclass(frozen=True, eq=False)
class Known:
    """A neuron module.

    Attributes:
        kind: type of its output; ANALOG for an integrator.
        adapter: of the frontends, where they know it.
        fires: False for an integrator.
        weighted: whether it holds weights of its own, so that its forward is looked into.
    """

    module: nn.Module
    kind: Kind
    adapter: NeuronAdapter | None
    fires: bool
    weighted: bool

    @property
    def multi_step(self) -> bool | None:
        """Whether a call takes a whole sequence; None if that is not known."""
        if self.adapter is None or isinstance(self.adapter, Unsupported):
            jelly = getattr(self.module, "step_mode", None)
            return {"m": True, "s": False}.get(jelly) if isinstance(jelly, str) else None
        return self.adapter.multi_step

    def canonical(self, shape: tuple[int, ...]) -> Neuron | None:
        """The neuron as a setting of the canonical one, None where there is none."""
        if self.adapter is None:
            return None
        try:
            return self.adapter.canonical(shape)
        except TraceError:
            return None

    def clear(self) -> None:
        """Puts it into the state before the first step."""
        if self.adapter is not None and not isinstance(self.adapter, Unsupported):
            self.adapter.clear()
            return
        reset = next((getattr(self.module, n) for n in RESETS if hasattr(self.module, n)), None)
        if callable(reset):
            reset()


def known_neuron(module: nn.Module, where: str, own: Sequence[type[nn.Module]]) -> Known | None:
    """What a module is as a neuron, None if it is none."""
    adapter = neuron_adapter(module, where)
    memory = isinstance(adapter, Unsupported) and not _spikes(module)
    if isinstance(module, tuple(own)):
        return _known(module, None)
    if adapter is not None and not memory:
        return _known(module, adapter)
    return _known(module, None) if _named(module) else None


def _known(module: nn.Module, adapter: NeuronAdapter | None) -> Known:
    fires = type(module).__name__ not in READOUTS
    weighted = any(p.dim() > 1 for part in module.children() for p in part.parameters())
    kind = _kind(module) if fires else Kind.ANALOG
    return Known(module, kind, adapter, fires, weighted or _holds_matrices(module))


def _holds_matrices(module: nn.Module) -> bool:
    return any(name.startswith("weight") and p.dim() > 1 for name, p in module.named_parameters())


def _spikes(module: nn.Module) -> bool:
    """Whether a module that the frontends refuse is a neuron; other layers with a state are
    looked into instead."""
    snn: Any = sys.modules.get("snntorch")
    if snn is not None and isinstance(module, snn.SpikingNeuron):
        return True
    return spikingjelly._is_neuron(module)


def _named(module: nn.Module) -> bool:
    return any(
        cls.__name__ in names and cls.__module__.startswith(package)
        for cls in type(module).__mro__
        for package, names in PACKAGES.values()
    )


def _kind(module: nn.Module) -> Kind:
    """sinabs' MultiSpike counts several spikes in a step; slayer's graded ones carry a value."""
    spike = getattr(module, "spike_fn", None)
    if getattr(spike, "__name__", "") in ("MultiSpike", "MaxSpike") or (
        spike is not None and type(spike).__name__ == "MaxSpike"
    ):
        return Kind.GRADED
    factor = getattr(module, "graded_spikes_factor", 1)
    plain = bool((factor == 1).all()) if isinstance(factor, Tensor) else factor == 1
    return Kind.SPIKE if plain and not getattr(module, "graded_spike", False) else Kind.ANALOG


def tensors(result: Any) -> Iterator[Tensor]:
    """All tensors of what a call returned or was given."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from (t for item in result.values() for t in tensors(item))
    elif isinstance(result, list | tuple):
        yield from (t for item in result for t in tensors(item))
    elif hasattr(result, "__dataclass_fields__"):
        yield from (t for item in vars(result).values() for t in tensors(item))
