"""One call of a torch function on traced tensors: what its rule sees and can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import GraphError, TraceError
from snnc.frontends import rules
from snnc.frontends.neurons import to_numpy
from snnc.frontends.same_node import same_node
from snnc.frontends.values import Axes, Value, describe
from snnc.ir import Neuron, Node

if TYPE_CHECKING:
    from snnc.frontends.tracer import Tracer


@dataclass
class Call:
    """One call of a torch function on traced tensors."""

    tracer: Tracer
    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any = None

    def run(self) -> Any:
        """Runs the function and gives its result the meaning that its rule says."""
        if (self.name, *self.args[1:]) in (("__eq__", None), ("__ne__", None), ("type",)):
            return self.func(*self.args, **self.kwargs)
        rule = rules.BY_FUNCTION.get(self.func) or rules.BY_NAME.get(self.name)
        if rule is None or self.kwargs.pop("out", None) is not None:
            cause, fix = rules.REASONS.get(
                self.name, ("this function is not supported", "see the list of supported layers")
            )
            raise self.fail(cause, fix)
        if "input" in self.kwargs:
            self.args = (self.kwargs.pop("input"), *self.args)
        before = self._before_change() if self.name in rules.IN_PLACE else self.args
        self.result = self.func(*self.args, **self.kwargs)
        try:
            named = {_SPELLINGS.get(key, key): value for key, value in self.kwargs.items()}
            meaning = rule(self, *before, **named)
        except TypeError as error:
            raise self.fail(f"called in an unknown way ({error})", "use its usual form") from error
        self._track(meaning)
        return self.result

    def _before_change(self) -> tuple[Any, ...]:
        """The arguments as they are before the function changes the first of them."""
        first = self.args[0]
        if self.is_tracked(first):
            return self.args
        if first._base is not None:
            raise self.fail("changes a part of a constant in place", "write total = total + x")
        return (first.clone(), *self.args[1:])

    def _track(self, meaning: Value | list[Value]) -> None:
        """Gives the result its meaning, after checking that it has the shape that this says."""
        several = isinstance(meaning, list)
        results = list(self.result) if several else [self.result]
        values = meaning if isinstance(meaning, list) else [meaning]
        for tensor, value in zip(results, values, strict=True):
            self._check_shape(tensor, value)
            if self.name in rules.IN_PLACE:
                self.tracer.forget_aliases(tensor)
            self.tracer.track(tensor, value)

    def _check_shape(self, tensor: Tensor, value: Value) -> None:
        if value.broken:
            return
        features = iter(self.tracer.signals[value.node].shape)
        known = {"B": self.batch, "T": value.count, "TB": self.batch * value.count}
        known["BT"] = known["TB"]
        wanted = tuple(next(features, 0) if a == "F" else known[a] for a in value.axes)
        if tuple(tensor.shape) != wanted or next(features, None) is not None:
            raise self.fail(
                f"gives the shape {tuple(tensor.shape)} where the graph gives {wanted}",
                "please report this model; nothing was written",
            )

    @property
    def result_tensor(self) -> Tensor:
        """The tensor that the function returned."""
        assert isinstance(self.result, Tensor)
        return self.result

    @property
    def batch(self) -> int:
        """Samples in the example."""
        return self.tracer.batch

    def fail(self, cause: str, fix: str) -> TraceError:
        """An error about this call."""
        return self.tracer.fail(self.name, cause, fix)

    def describe(self, value: Value) -> str:
        """The axes of a value in words."""
        return describe(value)

    def is_tracked(self, x: object) -> bool:
        """Whether `x` depends on the input."""
        return self.tracer.is_tracked(x)

    def is_spikes(self, value: Value) -> bool:
        """Whether the value can only be 0 or 1, which every dtype holds."""
        return value.port == "s" and value.time != "total" and value.node in self.tracer.binary

    def value(self, x: object) -> Value:
        """The meaning of an argument.

        Raises:
            TraceError: it doesn't depend on the input, or its tensor was changed meanwhile.
        """
        if not self.is_tracked(x):
            raise self.fail(
                "mixes a constant with values of the network",
                "keep constants in weights and biases",
            )
        value = self.tracer.values[id(x)][1]
        if value.broken:
            raise self.fail(value.broken, "use the result of the function instead")
        return value

    def layer_input(self, x: object, linear: bool = True) -> Value:
        """The meaning of a layer's input; a linear layer also takes a sum over the steps.

        Raises:
            TraceError: a membrane can't feed a layer, nor a sum one that is not linear.
        """
        value = self.value(x)
        if value.time == "total" and not linear:
            raise self.fail(
                "it is not linear, and its input is a sum over the steps",
                "apply it at every step, before the sum",
            )
        if value.port != "s":
            raise self.fail(
                f"a layer reads the state {value.port} of {value.node}", "feed it the spikes"
            )
        return value

    def feature_shape(self, x: Tensor, value: Value) -> tuple[int, ...]:
        """Extents of the feature axes."""
        return tuple(x.shape[i] for i in value.features)

    def constant(self, label: str, tensor: object) -> NDArray[Any]:
        """A parameter's values.

        Raises:
            TraceError: it depends on the input or isn't a plain tensor.
        """
        if not isinstance(tensor, Tensor) or self.is_tracked(tensor):
            raise self.fail(f"its {label} depends on the input", "use constant parameters")
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise self.fail(f"its {label} is not a dense real tensor", "convert it before tracing")
        return to_numpy(tensor)

    def optional(self, label: str, tensor: object) -> NDArray[Any] | None:
        """A parameter that may be missing."""
        return None if tensor is None else self.constant(label, tensor)

    def emit(
        self,
        node: Node,
        sources: Value | Sequence[Value],
        axes: Axes | None = None,
        label: str = "",
    ) -> Value:
        """The value of a layer's output: its node is made at the first step and found again.

        Args:
            sources: one or several different nodes, that agree in steps and axes.
            axes: of the output, if other than those of the sources.
            label: of a node that only helps the layer's own, as a suffix of its name.

        A bias after a sum over N steps that is divided by d is d/N per step.

        Raises:
            TraceError: the node doesn't fit its sources.
        """
        tracer = self.tracer
        parts = [sources] if isinstance(sources, Value) else list(sources)
        node, names = _per_step(node, parts[0]), tuple(part.node for part in parts)
        path = next((p for p in reversed(tracer.path) if p), "")
        known = tracer.layers.setdefault((path, f"{self.name}.{label}", names), [])
        name = next((n for n in known if same_node(tracer.nodes[n], node)), None)
        if name is None:
            plain = path if path in tracer.leaves else f"{path}.{self.name}".lstrip(".")
            try:
                name = tracer.add(f"{plain}.{label}" if label else plain, node, *names)
            except GraphError as error:
                raise self.fail(error.cause, error.fix) from error
            known.append(name)
        return replace(parts[0], node=name, axes=parts[0].axes if axes is None else axes)

    def emit_neuron(self, node: Neuron, source: Value, spikes: Tensor, axes: Axes) -> Value:
        """A neuron that computes what torch did: `spikes`, recorded to be compared with it.

        Raises:
            TraceError: torch's result holds something else than 0 and 1.
        """
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise self.fail("its result is not 0 or 1 everywhere", "use smaller padding")
        value = self.emit(node, source, axes)
        self.tracer.record(value, spikes)
        return value


def _per_step(node: Node, source: Value) -> Node:
    bias = getattr(node, "bias", None)
    if source.time != "total" or bias is None or source.divisor == source.count:
        return node
    return replace(node, bias=np.asarray(bias, np.float64) * (source.divisor / source.count))  # type: ignore[call-arg]


_SPELLINGS = {"axis": "dim", "keepdims": "keepdim"}
"""numpy's names of arguments, which torch takes too."""
