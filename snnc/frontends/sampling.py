"""Rules of the tracer for changes of resolution and padding: index maps and fixed matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape
from snnc.frontends.constants import offset
from snnc.frontends.values import Value
from snnc.frontends.windows import batch_then, image, probed
from snnc.ir import ConvTranspose

if TYPE_CHECKING:
    from snnc.frontends.call import Call

NEAREST = ("nearest", "nearest-exact")


def interpolate(
    call: Call,
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Value:
    """F.interpolate: nearest by whole factors is a transposed convolution with ones, other nearest
    sizes are an index map, the other modes a fixed matrix."""
    rank = x.dim() - 2
    value = image(call, x, rank)
    if mode not in NEAREST:
        return probed(call, x, value)
    index = _indices(call, value)
    shape = own_shape(call, value)
    factors = [m // n for n, m in zip(shape, index.shape, strict=True)]
    whole = np.array_equal(index, _repeated(numbered(shape), factors))
    if not whole or rank > 2 or math.prod(factors) == 1:
        return arranged(call, value, index, value.axes)
    kernel = tuple(factors[1:])
    ones, none = np.ones((shape[0], 1, *kernel)), (0,) * rank
    node = ConvTranspose(ones, None, kernel, none, none, (1,) * rank, shape[0])
    result = call.emit(node, value)
    if call.is_spikes(value):
        call.tracer.binary.add(result.node)
    return result


def _repeated(index: Any, factors: Sequence[int]) -> Any:
    for axis, factor in enumerate(factors):
        index = np.repeat(index, max(1, factor), axis)
    return index


def _indices(call: Call, value: Value) -> Any:
    """The index map of a function on one image: its result on the numbers 1, 2, …; 0 is nothing."""
    numbers = torch.from_numpy(numbered(own_shape(call, value)) + 1).to(torch.float64)[None]
    moved = call.func(numbers, *call.args[1:], **call.kwargs)[0]
    return moved.round().to(torch.int64).numpy() - 1


def moved(call: Call, x: Tensor, *args: object, **kwargs: object) -> Value:
    """A function of images, (batch, channel, …), that only moves values."""
    value = batch_then(call, x, call.layer_input(x), x.dim() - 1)
    index = _indices(call, value)
    axes = (*value.axes[:1], *value.axes[-1:] * index.ndim)
    return arranged(call, value, index, axes)


def pad(
    call: Call, x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Value:
    """F.pad of feature axes, in all modes."""
    known = call.layer_input(x)
    touched = {x.dim() - 1 - i // 2 for i, width in enumerate(pad) if width}
    if any(known.axes[i] != "F" for i in touched):
        raise call.fail(
            f"pads {call.describe(known)} along other axes than features", "pad features only"
        )
    shape = [n if a == "F" else 1 for n, a in zip(x.shape, known.axes, strict=True)]
    numbers = torch.from_numpy(numbered(shape) + 1).to(torch.float64)
    index = torch.nn.functional.pad(numbers, tuple(pad), mode).to(torch.int64).numpy() - 1
    features = index.reshape([index.shape[i] for i in known.features])
    result = arranged(call, known, features, known.axes)
    if mode != "constant" or not value:
        return result
    border = np.where(index < 0, float(value), 0.0)
    return offset(call, result, torch.from_numpy(border))


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "interpolate": interpolate,
    "upsample": interpolate,
    "pad": pad,
    "pixel_shuffle": moved,
    "pixel_unshuffle": moved,
    "channel_shuffle": moved,
    "native_channel_shuffle": moved,
}
"""By name of the function."""
