"""Rules of the tracer for torch's layers with weights: one function of torch, one node.

`nn.Linear`, `nn.Conv2d` and their like all end in these functions, also inside SpikingJelly's
layers and users' own modules, so no rule knows a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.values import Value
from snnc.frontends.windows import Ints, batch_then, image, per_axis
from snnc.ir import Conv, ConvTranspose, Gather, Linear, Scale

if TYPE_CHECKING:
    from snnc.frontends.call import Call

A = NDArray[Any]


def linear(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Value:
    """F.linear, on the last of one or more feature axes."""
    value = call.layer_input(x)
    return linear_last(call, value, call.constant("weight", weight), call.optional("bias", bias))


def linear_last(call: Call, value: Value, weight: A, bias: A | None = None) -> Value:
    """y[…, o] = Σ_c W[o, c]·x[…, c] + b[o]: one Linear, or a 1×1 Conv where there are more axes."""
    if value.axes[-1] != "F":
        raise call.fail(
            f"works on the last axis of {call.describe(value)}", "bring the features to the end"
        )
    shape = own_shape(call, value)
    if len(shape) == 1:
        return call.emit(Linear(weight, bias), value)
    lead = tuple(axis for axis in value.axes if axis != "F")
    index = np.moveaxis(numbered(shape), -1, 0).reshape(shape[-1], -1)
    channels = arranged(call, value, index, (*lead, "F", "F"), "channels")
    kernel = weight.reshape(*weight.shape, 1)
    result = call.emit(Conv(kernel, bias, (1,), (0,), (1,)), channels)
    back = np.moveaxis(numbered((len(weight), *shape[:-1])), 0, -1)
    return arranged(call, result, back, value.axes, "tokens")


def conv(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Value:
    """F.conv1d and conv2d."""
    rank = 1 if "1d" in call.name else 2
    value = image(call, x, rank)
    kernel, spread = tuple(weight.shape[2:]), per_axis(dilation, rank)
    value, pads = _padded(call, value, padding, kernel, spread)
    node = Conv(
        call.constant("weight", weight),
        call.optional("bias", bias),
        per_axis(stride, rank),
        pads,
        spread,
        groups,
    )
    return call.emit(node, value)


def _padded(
    call: Call,
    value: Value,
    padding: str | Ints,
    kernel: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[Value, tuple[int, ...]]:
    """The input and the padding on both sides; an uneven rest is put around the input first."""
    rank = len(kernel)
    if not isinstance(padding, str):
        return _unpadded(call, value, per_axis(padding, rank))
    if padding == "valid":
        return _unpadded(call, value, (0,) * rank)
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    half = tuple(n // 2 for n in total)
    if any(n % 2 for n in total):
        index = numbered(own_shape(call, value))
        index = np.pad(index, [(0, 0), *((0, n % 2) for n in total)], constant_values=-1)
        return arranged(call, value, index, value.axes, "border"), half
    return _unpadded(call, value, half)


def _unpadded(call: Call, value: Value, padding: tuple[int, ...]) -> tuple[Value, tuple[int, ...]]:
    """Takes a zero border that is the same on both sides of each axis into the padding."""
    node = call.tracer.nodes[value.node]
    if not isinstance(node, Gather) or value.port != "s":
        return value, padding
    (source,) = call.tracer.sources[value.node]
    shape, wide = call.tracer.signals[source].shape, node.index.shape
    if len(shape) != len(wide) or any(m < n for n, m in zip(shape, wide, strict=True)):
        return value, padding
    sides = [(m - n) // 2 for n, m in zip(shape, wide, strict=True)]
    border = np.pad(numbered(shape), [(n, n) for n in sides], constant_values=-1)
    if sides[0] or not np.array_equal(border, node.index):
        return value, padding
    both = tuple(p + n for p, n in zip(padding, sides[1:], strict=True))
    return replace(value, node=source), both


def conv_transpose(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Value:
    """F.conv_transpose1d and 2d, whose weight is (in, out / groups, *kernel)."""
    rank = 1 if "1d" in call.name else 2
    value = image(call, x, rank)
    stored = call.constant("weight", weight)
    grouped = stored.reshape(groups, -1, *stored.shape[1:]).swapaxes(1, 2)
    node = ConvTranspose(
        np.ascontiguousarray(grouped.reshape(-1, *grouped.shape[2:])),
        call.optional("bias", bias),
        per_axis(stride, rank),
        per_axis(padding, rank),
        per_axis(output_padding, rank),
        per_axis(dilation, rank),
        groups,
    )
    return call.emit(node, value)


def batch_norm(
    call: Call,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """F.batch_norm in evaluation: y = γ·(x − mean)/√(var + eps) + β, as one factor and offset."""
    value = batch_then(call, x, call.layer_input(x), x.dim() - 1)
    if training or running_mean is None or running_var is None:
        raise call.fail(
            "it normalises by the statistics of the batch it is given",
            "use track_running_stats=True and evaluation mode",
        )
    mean = _float64(call, "running_mean", running_mean)
    gamma = np.ones_like(mean) if weight is None else _float64(call, "weight", weight)
    beta = np.zeros_like(mean) if bias is None else _float64(call, "bias", bias)
    scale = gamma / np.sqrt(_float64(call, "running_var", running_var) + eps)
    return call.emit(Scale(scale, beta - mean * scale), value)


def _float64(call: Call, label: str, tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(call.constant(label, tensor), np.float64)


def dropout(
    call: Call, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    """F.dropout and its like, which change nothing in evaluation."""
    if training and p > 0:
        raise call.fail(
            "it drops values at random even in evaluation mode",
            "pass training=self.training, or use nn.Dropout",
        )
    return call.value(x)


RULES: dict[Any, Callable[..., Value]] = {
    torch.nn.functional.linear: linear,
    torch.conv1d: conv,
    torch.conv2d: conv,
    torch.conv_transpose1d: conv_transpose,
    torch.conv_transpose2d: conv_transpose,
    torch.nn.functional.batch_norm: batch_norm,
    torch.nn.functional.dropout: dropout,
    torch.nn.functional.dropout1d: dropout,
    torch.nn.functional.dropout2d: dropout,
    torch.nn.functional.dropout3d: dropout,
    torch.nn.functional.alpha_dropout: dropout,
    torch.nn.functional.feature_alpha_dropout: dropout,
}
"""By function of torch. A rule takes the call and the function's own arguments."""
