"""One call of a torch function on traced tensors: what its rule sees and can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import GraphError, TraceError
from snnc.frontends import layers, structure
from snnc.frontends.neurons import is_constant, to_numpy
from snnc.frontends.values import Axes, Value, describe
from snnc.ir import Kind, Node

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
        rule = self._rule()
        if rule is None or "out" in self.kwargs:
            cause, fix = structure.REASONS.get(
                self.name, ("this function is not supported", "see the list of supported layers")
            )
            raise self.fail(cause, fix)
        if "input" in self.kwargs:
            self.args = (self.kwargs.pop("input"), *self.args)
        if self.name in structure.CHECKS:
            structure.CHECKS[self.name](self, *self.args, **self.kwargs)
        self.result = self.func(*self.args, **self.kwargs)
        try:
            named = {_SPELLINGS.get(key, key): value for key, value in self.kwargs.items()}
            meaning = rule(self, *self.args, **named)
        except TypeError as error:
            raise self.fail(f"called in an unknown way ({error})", "use its usual form") from error
        results = self.result if isinstance(meaning, list) else [self.result]
        for tensor, value in zip(results, meaning if isinstance(meaning, list) else [meaning],
                                 strict=True):  # fmt: skip
            self.tracer.track(tensor, value)
        return self.result

    def _rule(self) -> Callable[..., Any] | None:
        return layers.RULES.get(self.func) or structure.RULES.get(self.name)

    @property
    def result_tensor(self) -> Tensor:
        """The tensor that the function returned."""
        assert isinstance(self.result, Tensor)
        return self.result

    @property
    def batch(self) -> int:
        """Samples in the example."""
        return self.tracer.batch

    def fail(self, cause: str, fix: str = "") -> TraceError:
        """An error about this call."""
        return self.tracer.fail(self.name, cause, fix)

    def describe(self, value: Value) -> str:
        """The axes of a value in words."""
        return describe(value)

    def is_tracked(self, x: object) -> bool:
        """Whether `x` depends on the input."""
        return self.tracer.is_tracked(x)

    def is_zero(self, x: object, other: Tensor) -> bool:
        """Whether adding `x` to `other` changes neither values nor shape."""
        if isinstance(x, Tensor) and np.broadcast_shapes(x.shape, other.shape) != other.shape:
            return False
        return is_constant(x, 0.0)

    def is_spikes(self, value: Value) -> bool:
        """Whether the value can only be 0 or 1, which every dtype holds."""
        return value.port == "s" and self.tracer.signals[value.node].kind is Kind.SPIKE

    def value(self, x: object) -> Value:
        """The meaning of an argument.

        Raises:
            TraceError: it doesn't depend on the input.
        """
        if not self.is_tracked(x):
            raise self.fail(
                "mixes a constant with values of the network",
                "keep constants in weights and biases",
            )
        return self.tracer.values[id(x)][1]

    def layer_input(self, x: object) -> Value:
        """The meaning of a layer's input.

        Raises:
            TraceError: a membrane or a sum over the steps can't feed a layer.
        """
        value = self.value(x)
        if value.time == "total":
            raise self.fail(
                "a layer after a sum over the steps", "let the sum be the output; read it out there"
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

    def emit(self, node: Node, source: Value, axes: Axes, check: bool = True) -> Value:
        """The value of a layer's output: its node is made at the first step and found again.

        Raises:
            TraceError: torch's result has another shape than the node's.
        """
        tracer = self.tracer
        path = next((p for p in reversed(tracer.path) if p), "")
        key = (path, self.name, source.node)
        known = tracer.layers.setdefault(key, [])
        name = next((n for n in known if _same(tracer.nodes[n], node)), None)
        if name is None:
            wanted = path if path in tracer.leaves else f"{path}.{self.name}".lstrip(".")
            try:
                name = tracer.add(wanted, node, source.node)
            except GraphError as error:
                raise self.fail(error.cause, error.fix) from error
            known.append(name)
        value = replace(source, node=name, axes=axes)
        inferred = tracer.signals[name].shape
        if check and self.feature_shape(self.result_tensor, value) != inferred:
            raise self.fail(
                f"gives {self.feature_shape(self.result_tensor, value)} where plain windows give"
                f" {inferred}",
                "use ceil_mode=False",
            )
        return value


_SPELLINGS = {"axis": "dim", "keepdims": "keepdim"}
"""numpy's names of arguments, which torch takes too."""


def _same(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operation with the same numbers."""
    return type(a) is type(b) and all(
        _same_field(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)
    )


def _same_field(a: object, b: object) -> bool:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return type(a) is type(b) and bool(a == b)
    place_a, place_b = a.__array_interface__, b.__array_interface__
    if all(place_a[key] == place_b[key] for key in ("data", "strides", "shape", "typestr")):
        return True
    return a.dtype == b.dtype and np.array_equal(a, b)
