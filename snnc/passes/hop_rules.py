"""Exact rules that turn two neighbouring linear operations of a hop into fewer or simpler ones.

The operations have no offsets here: `merge_hops` takes those out first. Convolutions are composed
on the grid of their taps; where the padding of one would meet what another cut off, no rule
applies and the hop is written out as a matrix (`hop_matrix`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import (
    Conv,
    ConvTranspose,
    Flatten,
    Gather,
    Linear,
    Node,
    Place,
    Pool,
    Scale,
    Sparse,
    Weighted,
)
from snnc.passes import hop_gathers
from snnc.reference.windows import tap

A = NDArray[Any]
Shape = tuple[int, ...]

UNGROUPED_MAX = 1 << 20
"""Most weights that a grouped kernel may grow to when its groups have to be written out."""


@dataclass(frozen=True, eq=False)
class Gain(Node):
    """y = factor·x: only lives between two rules."""

    factor: float


def pair(a: Node, b: Node, shape: Shape, between: Shape) -> list[Node] | None:
    """What `a` then `b` do, as one or two nodes that are nearer to the normal form.

    Args:
        shape: of the input of `a`. between: of the input of `b`.

    Returns:
        None where no rule applies.
    """
    merged = (
        _merged_gains(a, b, shape, between)
        or _merged_parts(a, b, shape)
        or _merged_gathers(a, b, shape, between)
        or _merged_weights(a, b, shape, between)
    )
    return [merged] if merged is not None else _swapped(a, b, shape, between)


def _merged_gains(a: Node, b: Node, shape: Shape, between: Shape) -> Node | None:
    match a, b:
        case Gain(), Gain():
            return Gain(a.factor * b.factor)
        case Gain(), Linear() | Conv() | ConvTranspose() | Sparse() | Scale():
            return replace(b, weight=real(b.weight) * a.factor)
        case Linear() | Conv() | ConvTranspose() | Sparse() | Scale(), Gain():
            return replace(a, weight=real(a.weight) * b.factor)
        case Scale(), Scale():
            return Scale(_product_of_gains(a, b, shape))
        case Linear() | Conv() | ConvTranspose() | Sparse(), Scale():
            return scaled_rows(a, real(b.weight), between)
        case Scale(), Linear() | Conv() | ConvTranspose():
            return _scaled_inputs(a, b)
        case _:
            return None


def _merged_parts(a: Node, b: Node, shape: Shape) -> Node | None:
    match a, b:
        case Place(), Place():
            return Place(a.start + b.start, b.extent)
        case Place(), Linear() | Conv() | ConvTranspose():
            return _placed_inputs(a, b, shape)
        case Linear() | Conv() | ConvTranspose(), Place():
            return _placed_rows(a, b)
        case Place(), Gather():
            return _placed_gather(a, b, shape)
        case Gather(), Gather():
            return Gather(np.where(b.index < 0, -1, a.index.ravel()[b.index]))
        case Flatten(), Gather():
            return b
        case _:
            return None


def _merged_gathers(a: Node, b: Node, shape: Shape, between: Shape) -> Node | None:
    match a, b:
        case Gather(), Flatten():
            first, last = b.start % a.index.ndim, b.end % a.index.ndim
            extents = a.index.shape
            return Gather(a.index.reshape(*extents[:first], -1, *extents[last + 1 :]))
        case Gather(), Place():
            return hop_gathers.placed(a, b)
        case Gather(), Conv() if (merged := hop_gathers.padded(a, b, shape)) is not None:
            return merged
        case Gather(), Pool() if b.mode == "sum":
            return hop_gathers.padded(a, as_conv(b, between[0]), shape)
        case Gather(), Conv() | ConvTranspose() if (one := _one_group(b)) is not None:
            return hop_gathers.inputs(a, one, shape)
        case Conv() | ConvTranspose(), Gather() if (one := _one_group(a)) is not None:
            return hop_gathers.rows(one, b, between)
        case Linear(), Gather():
            return hop_gathers.rows(a, b, between)
        case _:
            return None


def _merged_weights(a: Node, b: Node, shape: Shape, between: Shape) -> Node | None:
    match a, b:
        case Linear(), Linear():
            return Linear(real(b.weight) @ real(a.weight))
        case Conv(), Pool() | Conv() if composes(a, b.padding, shape, between):
            return compose_convs(a, as_conv(b, len(a.weight)))
        case ConvTranspose(), Conv():
            return _conv_after_transposed(a, b)
        case Conv(), ConvTranspose():
            return _transposed_after_conv(a, b)
        case _:
            return None


def _swapped(a: Node, b: Node, shape: Shape, between: Shape) -> list[Node] | None:
    """`a` moved behind `b`, towards the weights that it can merge with."""
    match a, b:
        case Gather(), Linear():
            return hop_gathers.columns(a, b, shape)
        case Gather(), Pool() if later := hop_gathers.behind_pool(a, b, shape, between):
            return [b, later]
        case Gain(), Flatten() | Pool() | Place() | Gather():
            return [b, a]
        case Scale(), Pool() if a.weight.ndim == 1:
            return [b, a]
        case Scale(), Flatten():
            return [b, Scale(_flattened_gain(a, b, shape))]
        case Scale(), Place():
            ones = np.ones((b.extent, *a.weight.shape[1:]))
            ones[b.start : b.start + shape[0]] = a.weight
            return [b, Scale(ones)]
        case Scale(), Gather():
            gain = per_value(real(a.weight), shape).ravel()
            return [b, Scale(np.where(b.index < 0, 1.0, gain[b.index]))]
        case Place(), Pool():
            return [b, a]
        case Place(), Flatten():
            return _placed_flatten(a, b, shape)
        case _:
            return None


def real(values: A) -> A:
    """As float64."""
    return values.astype(np.float64)


def per_value(values: A, shape: Shape) -> A:
    """Values per channel, or per value, as one per value."""
    if values.ndim < len(shape):
        values = values.reshape(-1, *(1,) * (len(shape) - 1))
    return np.broadcast_to(values, shape)


def per_channel(values: A) -> A | None:
    """Values (channel, …) as one per channel, None where they differ within one."""
    flat = values.reshape(len(values), -1)
    return flat[:, 0] if bool((flat == flat[:, :1]).all()) else None


def _product_of_gains(a: Scale, b: Scale, shape: Shape) -> A:
    if a.weight.ndim == b.weight.ndim:
        return real(a.weight) * real(b.weight)
    return per_value(real(a.weight), shape) * per_value(real(b.weight), shape)


def _flattened_gain(scale: Scale, flatten: Flatten, shape: Shape) -> A:
    """The gains behind a Flatten, per channel where they can stay so."""
    if scale.weight.ndim == 1 and flatten.start % len(shape) > 0:
        return scale.weight
    first, last = flatten.start % len(shape), flatten.end % len(shape)
    return per_value(real(scale.weight), shape).reshape(*shape[:first], -1, *shape[last + 1 :])


def scaled_rows(node: Weighted, gain: A, shape: Shape) -> Weighted | None:
    """gain·(W·x) for a gain per channel or value of the output `shape`; None if not by rows."""
    if isinstance(node, Sparse):
        each = per_value(gain, shape).ravel()
        return replace(node, weight=real(node.weight) * np.repeat(each, np.diff(node.indptr)))
    rows = gain if gain.ndim == 1 else per_channel(gain)
    if rows is None:
        return None
    return replace(
        node, weight=real(node.weight) * rows.reshape(-1, *(1,) * (node.weight.ndim - 1))
    )


def _scaled_inputs(scale: Scale, node: Linear | Conv | ConvTranspose) -> Weighted | None:
    """W·(gain·x)."""
    gain = real(scale.weight) if scale.weight.ndim == 1 else per_channel(real(scale.weight))
    if gain is None:
        return None
    if isinstance(node, Linear):
        return replace(node, weight=real(node.weight) * gain)
    out, per_group = node.weight.shape[:2]
    each = np.repeat(gain.reshape(node.groups, per_group), out // node.groups, axis=0)
    return replace(
        node, weight=real(node.weight) * each.reshape(out, per_group, *(1,) * len(node.kernel))
    )


# ---- parts of a concatenation


def _placed_inputs(
    place: Place, node: Linear | Conv | ConvTranspose, shape: Shape
) -> Weighted | None:
    """Only the weights of the channels that are there."""
    channels = slice(place.start, place.start + shape[0])
    if isinstance(node, Linear):
        return replace(node, weight=node.weight[:, channels])
    one = _one_group(node)
    return None if one is None else replace(one, weight=one.weight[:, channels])


def _placed_rows(
    node: Linear | Conv | ConvTranspose, place: Place
) -> Linear | Conv | ConvTranspose | None:
    """Rows without weights for the channels of the other parts."""
    one = node if isinstance(node, Linear) else _one_group(node)
    if one is None:
        return None
    node = one
    weight = np.zeros((place.extent, *node.weight.shape[1:]), node.weight.dtype)
    weight[place.start : place.start + len(node.weight)] = node.weight
    return replace(node, weight=weight)


def _placed_gather(place: Place, node: Gather, shape: Shape) -> Gather:
    inner = int(np.prod(shape[1:], dtype=np.int64))
    index = node.index - place.start * inner
    return Gather(np.where((index < 0) | (index >= shape[0] * inner), -1, index))


def _placed_flatten(place: Place, node: Flatten, shape: Shape) -> list[Node]:
    first, last = node.start % len(shape), node.end % len(shape)
    if first > 0:
        return [node, place]
    inner = int(np.prod(shape[1 : last + 1], dtype=np.int64))
    return [node, Place(place.start * inner, place.extent * inner)]


# ---- convolutions


def as_conv(node: Conv | Pool, channels: int) -> Conv:
    """A sum pool as a depthwise convolution; a convolution as it is."""
    if isinstance(node, Conv):
        return node
    ones = np.ones((channels, 1, *node.kernel))
    return Conv(ones, None, node.stride, node.padding, (1,) * len(node.kernel), channels)


def ungrouped(node: Conv | ConvTranspose) -> A:
    """Weights of shape (out, in, *kernel), zero between groups."""
    if node.groups == 1:
        return node.weight
    out, per_group = node.weight.shape[:2]
    share = out // node.groups
    weight = np.zeros((out, per_group * node.groups, *node.kernel), node.weight.dtype)
    for group in range(node.groups):
        rows = slice(group * share, (group + 1) * share)
        weight[rows, group * per_group : (group + 1) * per_group] = node.weight[rows]
    return weight


def _one_group(node: Conv | ConvTranspose) -> Conv | ConvTranspose | None:
    """The same with its groups written out, None where they are too many."""
    if node.groups == 1:
        return node
    if node.weight.size * node.groups > UNGROUPED_MAX:
        return None
    return replace(node, weight=ungrouped(node), groups=1)


def composes(a: Conv, padding: Shape, shape: Shape, between: Shape) -> bool:
    """Whether a window behind `a`, which maps `shape` to `between`, can be padded in front of `a`
    instead: what `a` would compute beyond its output then lies beyond its input, too."""
    return all(
        not pad or (d * (k - 1) < s + own and s * m - own >= n)
        for pad, k, s, d, own, n, m in zip(
            padding, a.kernel, a.stride, a.dilation, a.padding, shape[1:], between[1:], strict=True
        )
    )


def _tap_products(a: Conv | ConvTranspose, b: Conv | ConvTranspose) -> tuple[Any, bool]:
    """(b's tap j → its product with every tap of a, (out, in, *kernel of a)), depthwise?"""
    depthwise = a.groups == b.groups == len(a.weight) == len(b.weight)
    first = real(a.weight if depthwise else ungrouped(a))
    second = real(b.weight if depthwise else ungrouped(b))
    subscripts = "oi,oi...->oi..." if depthwise else "om,mc...->oc..."

    def product(j: tuple[int, ...]) -> A:
        return np.asarray(np.einsum(subscripts, second[tap(j)], first))

    return product, depthwise


def compose_convs(a: Conv, b: Conv) -> Conv:
    """b(a(x)) as one convolution; exact where `composes` says so.

    Tap j of b meets tap k of a at offset s_a·d_b·j + d_a·k of the input; strides multiply, and
    b's padding counts in steps of a.
    """
    product, depthwise = _tap_products(a, b)
    step = tuple(s * d for s, d in zip(a.stride, b.dilation, strict=True))
    weight, dilation = _laid_out(product, len(b.weight), a, b.kernel, step, flip=False)
    stride = tuple(x * y for x, y in zip(a.stride, b.stride, strict=True))
    padding = tuple(p + s * q for p, s, q in zip(a.padding, a.stride, b.padding, strict=True))
    return Conv(weight, None, stride, padding, dilation, len(weight) if depthwise else 1)


def _laid_out(
    product: Any, out: int, a: Conv | ConvTranspose, taps: Shape, step: Shape, flip: bool
) -> tuple[A, Shape]:
    """(kernel, dilation): product(j)'s tap k lies at step·j + d_a·k, j counted backwards if
    `flip`; the dilation is the largest that all of these are multiples of."""
    axes = list(zip(step, taps, a.dilation, a.kernel, strict=True))
    dilation = tuple(math.gcd(s * (kb > 1), d * (ka > 1)) or 1 for s, kb, d, ka in axes)
    step = tuple(s // g for s, g in zip(step, dilation, strict=True))
    apart = tuple(max(d // g, 1) for d, g in zip(a.dilation, dilation, strict=True))
    extents = tuple(
        s * (kb - 1) + d * (ka - 1) + 1
        for s, kb, d, ka in zip(step, taps, apart, a.kernel, strict=True)
    )
    first = product((0,) * len(taps))
    weight = np.zeros((out, first.shape[1], *extents))
    for j in np.ndindex(*taps):
        place = tuple(k - 1 - i for i, k in zip(j, taps, strict=True)) if flip else j
        window = tuple(
            slice(s * i, s * i + d * (k - 1) + 1, d)
            for s, i, d, k in zip(step, place, apart, a.kernel, strict=True)
        )
        weight[tap(window)] += product(j)
    return weight, dilation


def _conv_after_transposed(a: ConvTranspose, b: Conv) -> ConvTranspose | None:
    """Upsampling, then a convolution: one transposed convolution.

    With z[s·p + d_a·i] += T[i]·x[p] and y[q] = Σ_j W[j]·z[q − P + d_b·j], x[p] meets y at
    q = s·p + d_a·i + P − d_b·j: the kernel index is d_a·i + d_b·(k_b − 1 − j), the padding
    d_b·(k_b − 1) − P. Exact where `a` cuts nothing off that b's kernel would have met; behind
    one tap that is what `a` cuts off itself.
    """
    padding = tuple(
        own + d * (k - 1) - p
        for own, d, k, p in zip(a.padding, b.dilation, b.kernel, b.padding, strict=True)
    )
    met = any(
        own and (k > 1 or p) for own, k, p in zip(a.padding, b.kernel, b.padding, strict=True)
    )
    if met or any(s != 1 for s in b.stride) or min(padding) < 0:
        return None
    product, depthwise = _tap_products(a, b)
    weight, dilation = _laid_out(product, len(b.weight), a, b.kernel, b.dilation, flip=True)
    groups = len(weight) if depthwise else 1
    return ConvTranspose(weight, None, a.stride, padding, a.output_padding, dilation, groups)


def _transposed_after_conv(a: Conv, b: ConvTranspose) -> ConvTranspose | None:
    """A convolution, then pixel shuffle or its like: one transposed convolution.

    y[s·P + d_b·i] += T[i]·W[j]·x[P − p + d_a·j]: x[q] meets y at s·q + s·p − s·d_a·j + d_b·i,
    so the kernel index is d_b·i + s·d_a·(k_a − 1 − j), the padding s·(d_a·(k_a − 1) − p). Exact
    where b's windows don't overlap: what positions beyond the map would add is then cut off.
    """
    apart = all(
        d * (k - 1) + 1 <= s for d, k, s in zip(b.dilation, b.kernel, b.stride, strict=True)
    )
    padding = tuple(
        s * (d * (k - 1) - p)
        for s, d, k, p in zip(b.stride, a.dilation, a.kernel, a.padding, strict=True)
    )
    plain = not any(b.padding) and not any(b.output_padding) and all(s == 1 for s in a.stride)
    if not (apart and plain) or min(padding) < 0:
        return None
    full = all(d * (k - 1) + 1 == s for d, k, s in zip(b.dilation, b.kernel, b.stride, strict=True))
    if not full and any(k > 1 for k in a.kernel):
        return None
    backwards = (slice(None), slice(None), *(slice(None, None, -1),) * len(a.kernel))
    spread = tuple(s * d for s, d in zip(b.stride, a.dilation, strict=True))
    flipped = replace(a, weight=a.weight[backwards], dilation=spread)
    product, depthwise = _tap_products(flipped, b)
    weight, dilation = _laid_out(product, len(b.weight), flipped, b.kernel, b.dilation, flip=False)
    groups = len(weight) if depthwise else 1
    none = (0,) * len(dilation)
    return ConvTranspose(weight, None, b.stride, padding, none, dilation, groups)
