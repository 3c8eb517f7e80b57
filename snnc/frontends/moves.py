"""Rules of the tracer for axes in another order, and features moved or repeated along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from snnc.frontends.arrange import arranged, by_index, numbered, own_shape, settled
from snnc.frontends.values import Value, feature_axes

if TYPE_CHECKING:
    from snnc.frontends.call import Call


def permute(call: Call, x: Tensor, *dims: Any) -> Value:
    """permute."""
    order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return reordered(call, call.value(x), [int(d) % x.dim() for d in order])


def reordered(call: Call, value: Value, order: Sequence[int], label: str = "") -> Value:
    """`value` with its axes in another order."""
    features = [value.features.index(d) for d in order if value.axes[d] == "F"]
    index = numbered(own_shape(call, value)).transpose(features)
    return arranged(call, value, index, tuple(value.axes[d] for d in order), label)


def transpose(call: Call, x: Tensor, dim0: int, dim1: int) -> Value:
    """transpose, swapaxes and swapdims."""
    order = list(range(x.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return reordered(call, call.value(x), order)


def transposed(call: Call, x: Tensor, *args: object) -> Value:
    """x.mT, and x.T and x.t() of two axes."""
    order = list(range(x.dim()))
    if x.dim() > 2 and call.name != "mT.get":
        raise call.fail("reverses all axes", "use permute")
    return reordered(call, call.value(x), [*order[:-2], *order[:-3:-1]])


def movedim(call: Call, x: Tensor, source: Any, destination: Any) -> Value:
    """movedim."""
    sources = [source] if isinstance(source, int) else list(source)
    places = [destination] if isinstance(destination, int) else list(destination)
    moved = {p % x.dim(): s % x.dim() for s, p in zip(sources, places, strict=True)}
    others = iter(d for d in range(x.dim()) if d not in moved.values())
    order = [moved[d] if d in moved else next(others) for d in range(x.dim())]
    return reordered(call, call.value(x), order)


def expand(call: Call, x: Tensor, *sizes: Any, **kwargs: object) -> Value:
    """expand, repeat and tile: features, and what is the same at every step along time."""
    value, new = call.value(x), tuple(call.result_tensor.shape)
    old = (1,) * (len(new) - x.dim()) + tuple(x.shape)
    if len(old) == x.dim() + 1 and not value.has_time_axis and value.time == "static":
        value = replace(value.with_axis(0, "T"), stop=1)
    elif len(old) > x.dim():
        raise _repeats(call, value, new)
    changed = [i for i, (n, m) in enumerate(zip(old, new, strict=True)) if n != m]
    along = {value.axes[i] for i in changed}
    if along == {"T"} and value.time == "static" and old[changed[0]] == 1:
        return replace(value, start=0, stop=new[changed[0]])
    value = settled(call, x, value) if "T" in along else value
    if not {value.axes[i] for i in changed} <= {"F"}:
        raise _repeats(call, value, new)
    features = value.features
    index = numbered(own_shape(call, value))
    times = [new[i] // old[i] for i in features]
    return arranged(call, value, np.tile(index, times), value.axes)


def _repeats(call: Call, value: Value, new: tuple[int, ...]) -> Exception:
    return call.fail(
        f"repeats {call.describe(value)} to the shape {new}",
        "repeat features, or what is the same at every step: x.unsqueeze(0).repeat(T, 1, …)",
    )


def flip(call: Call, x: Tensor, *dims: Any) -> Value:
    """flip of feature axes."""
    asked = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    _require_features(call, x, asked)
    return by_index(call, x)


def roll(call: Call, x: Tensor, shifts: Any, dims: Any = None) -> Value:
    """roll along feature axes."""
    _require_features(call, x, range(x.dim()) if dims is None else dims)
    return by_index(call, x)


def repeat_interleave(call: Call, x: Tensor, repeats: Any, dim: int | None = None) -> Value:
    """repeat_interleave along a feature axis."""
    _require_features(call, x, range(x.dim()) if dim is None else dim)
    return by_index(call, x)


def sliding(call: Call, x: Tensor, dimension: int, size: int, step: int) -> Value:
    """x.unfold: windows along a feature axis, as a new last axis."""
    _require_features(call, x, dimension)
    return by_index(call, x, (*call.value(x).axes, *feature_axes(1)))


def _require_features(call: Call, x: Tensor, dims: Any) -> None:
    value = call.value(x)
    named = [value.axes[d] for d in ([dims] if isinstance(dims, int) else dims)]
    if any(axis != "F" for axis in named):
        raise call.fail(
            f"moves values along {' '.join(named)} of {call.describe(value)}",
            "move feature axes only; for time, do it outside, on the example",
        )


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    **dict.fromkeys(("t", "T.get", "mT.get"), transposed),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to", "repeat", "tile"), expand),
    "permute": permute,
    "flip": flip,
    "roll": roll,
    "repeat_interleave": repeat_interleave,
    "unfold": sliding,
}
"""By name of the function."""
