"""Neuron modules inside the tracer: the k-th call is step k, on the neuron's own state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.ir import Neuron
from snnc.ir.ops import Compare, Port

Arguments = tuple[object, Mapping[Port, object]]
"""The input of a call and the states that were passed to it, by port."""

PROBE = (-1e3, -1.0, -1e-3, -1e-30, 0.0, 1e-30, 1e-3, 1.0, 1e3)


class NeuronAdapter(ABC):
    """Reads one neuron object of a framework.

    Attributes:
        module: the neuron.
        where: its path in the model, for errors.
    """

    states: tuple[Port, ...] = ("v",)

    def __init__(self, module: nn.Module, where: str) -> None:
        self.module, self.where = module, where
        self.own_attributes = frozenset(vars(module))

    @property
    def multi_step(self) -> bool:
        """Whether one call takes a whole sequence (step, batch, …)."""
        return False

    @abstractmethod
    def canonical(self, shape: tuple[int, ...]) -> Neuron:
        """The neuron as a setting of the canonical one, for neurons of `shape`.

        Raises:
            TraceError: an option that the canonical neuron can't say.
        """

    @abstractmethod
    def clear(self) -> None:
        """Puts the module into the state that it has before the first step."""

    @abstractmethod
    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """What a call passes."""

    def with_feedback(self, x: Tensor, passed: Mapping[Port, object]) -> Tensor:
        """The input of a call with what the neuron itself adds from its own spikes."""
        return x

    def inner(self) -> set[nn.Module]:
        """The modules that only run inside the neuron's own forward."""
        return set(self.module.modules())

    @abstractmethod
    def held(self, port: Port) -> object:
        """The state that the module keeps: a tensor, a number, or None."""

    @abstractmethod
    def returned(self, result: object) -> list[tuple[Tensor, Port]]:
        """The tensors of a call's result with their ports; the first one is the spikes."""

    def sequences(self) -> list[tuple[Tensor, Port]]:
        """State sequences that the module keeps after a multi-step call."""
        return []

    def fail(self, cause: str, fix: str) -> TraceError:
        """An error about this neuron."""
        return TraceError(f"{self.where} ({type(self.module).__name__})", cause, fix)

    def parameter(self, label: str, value: object, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """A parameter as float64, scalar or with as many axes as the neurons.

        The framework broadcasts it against (batch, *shape), so it may lack leading axes.

        Raises:
            TraceError: it doesn't fit, or differs over the batch.
        """
        array = np.asarray(to_numpy(value) if isinstance(value, Tensor) else value, np.float64)
        if array.size == 1:
            return array.reshape(())
        if array.ndim == len(shape) + 1 and array.shape[0] == 1:
            array = array[0]
        wide = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        if wide.ndim > len(shape) or any(
            n not in (1, m) for n, m in zip(wide.shape, shape, strict=True)
        ):
            raise self.fail(
                f"{label} has shape {array.shape}, the neurons have shape {shape}",
                "give one value, one per channel as (C, 1, 1), or one per neuron",
            )
        return wide.copy()

    def comparison(self, surrogate: Callable[[Tensor], Tensor]) -> Compare:
        """Whether the spike function fires at v = θ, found by asking it.

        Raises:
            TraceError: it is not a step at 0 from 0 to 1.
        """
        with torch.no_grad():
            answers = [surrogate(torch.tensor(PROBE)).double().tolist() for _ in range(2)]
        middle = len(PROBE) // 2
        below, at, above = answers[0][:middle], answers[0][middle], answers[0][middle + 1 :]
        if answers[0] != answers[1] or any(below) or any(y != 1 for y in above) or at not in (0, 1):
            raise self.fail(
                f"its spike function returns {answers[0]} at {PROBE}, so it is not a step"
                " from 0 to 1 at the threshold",
                "use a surrogate whose forward is the Heaviside function",
            )
        return ">=" if at else ">"

    def must_inherit(self, base: type[nn.Module]) -> None:
        """Refuses a class or an object that replaces methods of `base`.

        Raises:
            TraceError: a method that may define the neuron is overridden.
        """
        harmless = {"__init__", "extra_repr", "__repr__"}
        for cls in base.__mro__[: base.__mro__.index(nn.Module)]:
            for name, member in vars(cls).items():
                if name in harmless or not callable(member):
                    continue
                own, theirs = getattr(type(self.module), name), getattr(base, name)
                replaced = getattr(own, "__func__", own) is not getattr(theirs, "__func__", theirs)
                if replaced or name in self.own_attributes:
                    raise self.fail(
                        f"its class overrides {base.__name__}.{name}",
                        f"use {base.__name__} itself; changed dynamics can't be traced",
                    )


class Unsupported(NeuronAdapter):
    """A neuron or stateful layer that is refused when it is called."""

    def __init__(self, module: nn.Module, where: str, fix: str) -> None:
        super().__init__(module, where)
        self.fix = fix

    def canonical(self, shape: tuple[int, ...]) -> Neuron:
        raise self.fail("this stateful module is not supported", self.fix)

    def clear(self) -> None:
        """Nothing to clear: it is never run."""

    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        raise self.fail("this stateful module is not supported", self.fix)

    def held(self, port: Port) -> object:
        return None

    def returned(self, result: object) -> list[tuple[Tensor, Port]]:
        return []


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's values; half-precision ones as float32, which holds them exactly."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return np.asarray(tensor.detach().cpu().numpy())


def is_constant(x: object, wanted: float) -> bool:
    """Whether a number, or every value of a tensor, equals `wanted`; None stands for 0."""
    if x is None:
        return wanted == 0
    if isinstance(x, Tensor):
        return bool((x == wanted).all())
    return isinstance(x, int | float) and float(x) == wanted
