"""Rules of the tracer for what normalises by the values themselves: layer norm, softmax, L2.

`Normalise` works on equal parts of the flattened signal. Axes that are not the last ones are
brought there, and back, by a `Gather` each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape, settled
from snnc.frontends.host import applied, real_input
from snnc.frontends.layers import batch_norm
from snnc.frontends.reductions import axes_of, pooled
from snnc.frontends.values import Value
from snnc.frontends.windows import batch_then
from snnc.ir import Normalise, Scale

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Kind = Literal["layer", "l2", "softmax", "log_softmax"]


def normalised(
    call: Call, value: Value, axes: Sequence[int], kind: Kind, eps: float = 0.0, label: str = ""
) -> Value:
    """`value` normalised over some of its feature axes, counted among the features."""
    shape = own_shape(call, value)
    order = [*(i for i in range(len(shape)) if i not in axes), *sorted(axes)]
    index = numbered(shape).transpose(order)
    node = Normalise(math.prod(shape) // math.prod(shape[i] for i in axes), kind, eps)
    if np.array_equal(index.reshape(-1), np.arange(index.size)):
        return call.emit(node, value, label=label)
    moved = arranged(call, value, index, value.axes, "rows")
    result = call.emit(node, moved, label=label)
    back = numbered(index.shape).transpose(np.argsort(order))
    return arranged(call, result, back, value.axes, "back")


def along(call: Call, x: Tensor, dim: Any) -> tuple[Value, list[int]]:
    """What a function along `dim` takes of `x`, and the positions of these axes.

    Raises:
        TraceError: they are not all features.
    """
    value = real_input(call, x)
    positions = axes_of(call, x, dim)
    if any(value.axes[i] == "T" for i in positions):
        value = settled(call, x, value)
    if any(value.axes[i] != "F" for i in positions):
        raise call.fail(
            f"works along the steps of {call.describe(value)}",
            "work along features; for the steps, take their sum or mean",
        )
    return value, positions


def _along(call: Call, x: Tensor, dim: Any, kind: Kind, eps: float = 0.0) -> Value:
    value, positions = along(call, x, dim)
    return normalised(call, value, [value.features.index(i) for i in positions], kind, eps)


def softmax(call: Call, x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Value:
    """softmax and log_softmax along features."""
    if dim is None:
        raise call.fail("leaves open along which axis it works", "pass dim=")
    _require_same_type(call, x)
    return _along(call, x, dim, "log_softmax" if "log" in call.name else "softmax")


def _require_same_type(call: Call, x: Tensor) -> None:
    if call.result_tensor.dtype.itemsize < x.dtype.itemsize:
        raise call.fail(
            f"rounds {x.dtype} to {call.result_tensor.dtype}", f"calculate in {x.dtype}"
        )


def l2(call: Call, x: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Value:
    """F.normalize: x / max(‖x‖₂, eps)."""
    _require_euclidean(call, p)
    return _along(call, x, dim, "l2", eps)


def _require_euclidean(call: Call, order: Any) -> None:
    if order not in (None, "fro", 2):
        raise call.fail(f"takes the norm of order {order}", "use the Euclidean norm, 2")


def length(
    call: Call,
    x: Tensor,
    p: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    dtype: object = None,
) -> Value:
    """x.norm, torch.norm and linalg.vector_norm: √Σx² over features."""
    _require_euclidean(call, p)
    _require_same_type(call, x)
    value, positions = along(call, x, dim)
    squares = applied(call, value, "square", label="square")
    return applied(call, pooled(call, squares, positions, keepdim), "sqrt")


def vector_norm(
    call: Call,
    x: Tensor,
    ord: Any = 2,  # noqa: A002
    *args: Any,
    **kwargs: Any,
) -> Value:
    """linalg.vector_norm, and linalg.norm of vectors."""
    dims = kwargs.get("dim", args[0] if args else None)
    if call.name == "linalg_norm" and not isinstance(dims, int) and len(dims or "") != 1:
        raise call.fail("takes the norm of matrices", "use torch.linalg.vector_norm")
    return length(call, x, ord, *args, **kwargs)


def layer_norm(
    call: Call,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Value:
    """F.layer_norm over the last axes."""
    count = len(normalized_shape)
    value, positions = along(call, x, list(range(x.dim() - count, x.dim())))
    at = [value.features.index(i) for i in positions]
    label = "" if weight is None and bias is None else "norm"
    result = normalised(call, value, at, "layer", eps, label)
    return _affine(call, result, weight, bias)


def group_norm(
    call: Call,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Value:
    """F.group_norm: of (batch, channel, …), group by group of channels."""
    value = batch_then(call, x, real_input(call, x), x.dim() - 1)
    label = "" if weight is None and bias is None else "norm"
    result = call.emit(Normalise(num_groups, "layer", eps), value, label=label)
    return _affine(call, result, weight, bias, per_channel=True)


def instance_norm(
    call: Call,
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """F.instance_norm: channel by channel, or a batch norm where it has running statistics."""
    if not use_input_stats:
        return batch_norm(call, x, running_mean, running_var, weight, bias, eps=eps)
    return group_norm(call, x, int(x.shape[1]), weight, bias, eps)


def _affine(
    call: Call,
    value: Value,
    weight: Tensor | None,
    bias: Tensor | None,
    per_channel: bool = False,
) -> Value:
    """weight·value + bias: of the channels, or of the last axes."""
    if weight is None and bias is None:
        return value
    shape = own_shape(call, value)
    wide = shape[:1] if per_channel else shape
    factor = np.ones(()) if weight is None else call.constant("weight", weight)
    factor = np.broadcast_to(np.asarray(factor, np.float64), wide).copy()
    offset = None if bias is None else np.asarray(call.constant("bias", bias), np.float64)
    offset = None if offset is None else np.broadcast_to(offset, wide).copy()
    return call.emit(Scale(factor, offset), value)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "softmax": softmax,
    "log_softmax": softmax,
    "special_softmax": softmax,
    "special_log_softmax": softmax,
    "normalize": l2,
    "norm": length,
    "linalg_vector_norm": vector_norm,
    "linalg_norm": vector_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
}
"""By name of the function."""
