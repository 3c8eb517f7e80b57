"""Rules of the tracer for torch's stateless layers: one function of torch, one node.

`nn.Linear`, `nn.Conv2d` and their like all end in these functions, also inside SpikingJelly's
layers and users' own modules, so no rule knows a module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.values import Value
from snnc.ir import Conv, Linear, Pool, Scale

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Ints = int | Sequence[int]


def linear(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Value:
    """F.linear."""
    value = call.layer_input(x)
    if len(value.features) != 1 or value.axes[-1] != "F":
        raise call.fail(
            f"Linear works on the last of the feature axes {call.feature_shape(x, value)}",
            "flatten the features before it",
        )
    node = Linear(call.constant("weight", weight), call.optional("bias", bias))
    return call.emit(node, value, value.axes)


def conv1d(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Value:
    """F.conv1d."""
    return _conv(call, x, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Value:
    """F.conv2d."""
    return _conv(call, x, weight, bias, stride, padding, dilation, groups, 2)


def _conv(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: str | Ints,
    dilation: Ints,
    groups: int,
    rank: int,
) -> Value:
    value = call.layer_input(x)
    _require_batch_then(call, value, rank + 1)
    kernel = tuple(weight.shape[2:])
    spread = _per_axis(dilation, rank)
    node = Conv(
        call.constant("weight", weight),
        call.optional("bias", bias),
        _per_axis(stride, rank),
        _padding(call, padding, kernel, spread),
        spread,
        groups,
    )
    return call.emit(node, value, value.axes)


def _padding(
    call: Call, padding: str | Ints, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    if padding == "valid":
        return (0,) * len(kernel)
    if padding != "same":
        assert not isinstance(padding, str)
        return _per_axis(padding, len(kernel))
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(n % 2 for n in total):
        raise call.fail(
            f"padding='same' of the kernel {kernel} pads one side more than the other",
            "use an odd kernel, or pad by numbers",
        )
    return tuple(n // 2 for n in total)


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
    value = call.layer_input(x)
    _require_batch_then(call, value, len(value.features))
    if training or running_mean is None or running_var is None:
        raise call.fail(
            "it normalises by the statistics of the batch it is given",
            "use track_running_stats=True and evaluation mode",
        )
    mean = _float64(call, "running_mean", running_mean)
    gamma = np.ones_like(mean) if weight is None else _float64(call, "weight", weight)
    beta = np.zeros_like(mean) if bias is None else _float64(call, "bias", bias)
    scale = gamma / np.sqrt(_float64(call, "running_var", running_var) + eps)
    return call.emit(Scale(scale, beta - mean * scale), value, value.axes)


def _float64(call: Call, label: str, tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(call.constant(label, tensor), np.float64)


def avg_pool1d(
    call: Call,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """F.avg_pool1d."""
    return _avg_pool(call, x, kernel_size, stride, padding, count_include_pad, None, 1)


def avg_pool2d(
    call: Call,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """F.avg_pool2d; with `divisor_override=1` it is a sum."""
    return _avg_pool(call, x, kernel_size, stride, padding, count_include_pad, divisor_override, 2)


def _avg_pool(
    call: Call,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    count_include_pad: bool,
    divisor: int | None,
    rank: int,
) -> Value:
    value = call.layer_input(x)
    _require_batch_then(call, value, rank + 1)
    kernel = _per_axis(kernel_size, rank)
    given = stride is not None and (isinstance(stride, int) or len(stride) > 0)
    steps = _per_axis(stride, rank) if given and stride is not None else kernel
    pads = _per_axis(padding, rank)
    node = Pool(kernel, steps, pads, "sum" if divisor == 1 and np.prod(kernel) != 1 else "avg")
    if divisor not in (None, 1, node.window):
        raise call.fail(
            f"divisor_override={divisor} is neither the window ({node.window}) nor 1",
            "use an average or a sum and scale the next layer's weights",
        )
    if any(pads) and not count_include_pad and divisor is None:
        raise call.fail(
            "count_include_pad=False divides by less at the border",
            "pad nothing, or use count_include_pad=True",
        )
    return call.emit(node, value, value.axes)


def adaptive_avg_pool1d(call: Call, x: Tensor, output_size: Ints) -> Value:
    """F.adaptive_avg_pool1d where the output divides the input."""
    return _adaptive(call, x, output_size, 1)


def adaptive_avg_pool2d(call: Call, x: Tensor, output_size: Ints | Sequence[int | None]) -> Value:
    """F.adaptive_avg_pool2d where the output divides the input."""
    return _adaptive(call, x, output_size, 2)


def _adaptive(call: Call, x: Tensor, output_size: Any, rank: int) -> Value:
    value = call.layer_input(x)
    _require_batch_then(call, value, rank + 1)
    extents = call.feature_shape(x, value)[1:]
    wanted = [output_size] * rank if isinstance(output_size, int) else list(output_size)
    sizes = [n if size is None else int(size) for n, size in zip(extents, wanted, strict=True)]
    if any(size == 0 or n % size for n, size in zip(extents, sizes, strict=True)):
        raise call.fail(
            f"windows of unequal size: {tuple(extents)} does not divide by {tuple(sizes)}",
            "use AvgPool with a fixed kernel",
        )
    kernel = tuple(n // size for n, size in zip(extents, sizes, strict=True))
    return call.emit(Pool(kernel, kernel, (0,) * rank), value, value.axes)


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


def _per_axis(value: Ints, rank: int) -> tuple[int, ...]:
    """One integer per axis."""
    if isinstance(value, int):
        return (value,) * rank
    values = tuple(int(item) for item in value)
    return values * rank if len(values) == 1 else values


def _require_batch_then(call: Call, value: Value, features: int) -> None:
    """Checks for the axes (batch, feature…), where time may be merged into the batch axis."""
    if value.axes[0] not in ("B", "TB", "BT") or value.axes[1:] != ("F",) * features:
        raise call.fail(
            f"it takes (batch, {features} feature axes), but the axes of its input are"
            f" {call.describe(value)}",
            "give the example with its batch axis; pass time_axis= if an axis is time",
        )


RULES: dict[Any, Callable[..., Value]] = {
    torch.nn.functional.linear: linear,
    torch.conv1d: conv1d,
    torch.conv2d: conv2d,
    torch.nn.functional.conv1d: conv1d,
    torch.nn.functional.conv2d: conv2d,
    torch.nn.functional.batch_norm: batch_norm,
    torch.nn.functional.avg_pool1d: avg_pool1d,
    torch.avg_pool1d: avg_pool1d,
    torch.nn.functional.avg_pool2d: avg_pool2d,
    torch.nn.functional.adaptive_avg_pool1d: adaptive_avg_pool1d,
    torch.adaptive_avg_pool1d: adaptive_avg_pool1d,
    torch.nn.functional.adaptive_avg_pool2d: adaptive_avg_pool2d,
    torch.nn.functional.dropout: dropout,
    torch.nn.functional.dropout1d: dropout,
    torch.nn.functional.dropout2d: dropout,
    torch.nn.functional.dropout3d: dropout,
    torch.nn.functional.alpha_dropout: dropout,
    torch.nn.functional.feature_alpha_dropout: dropout,
}
"""By function of torch. A rule takes the call and the function's own arguments."""
