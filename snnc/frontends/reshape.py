"""Rules of the tracer for reshapes: features in any way, time and batch merged and split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape, settled
from snnc.frontends.values import MERGED, SPLIT, Axes, Axis, Value, feature_axes

if TYPE_CHECKING:
    from snnc.frontends.call import Call


def flatten(call: Call, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Value:
    """torch.flatten."""
    first, last = start_dim % x.dim(), end_dim % x.dim()
    value = call.value(x)
    if "F" in value.axes[first : last + 1] and "T" in value.axes[first : last + 1]:
        value = settled(call, x, value)
    labels = value.axes[first : last + 1]
    merged = MERGED.get(labels, labels[0])
    if set(labels) != {"F"} and labels not in MERGED and len(labels) > 1:
        raise _more_than_merging(call, labels, (math.prod(x.shape[first : last + 1]),))
    axes = (*value.axes[:first], merged, *value.axes[last + 1 :])
    sizes = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return _features_as(call, value, axes, sizes)


def _features_as(call: Call, value: Value, axes: Axes, sizes: Sequence[int]) -> Value:
    """`value` in the same order under other axes, of these extents."""
    shape = [n for n, axis in zip(sizes, axes, strict=True) if axis == "F"]
    return arranged(call, value, numbered(shape), axes)


def reshape(call: Call, x: Tensor, *shape: Any, **kwargs: object) -> Value:
    """reshape and view: features in any way, time and batch merged, split, or left alone."""
    if 0 in x.shape or any(isinstance(i, torch.dtype) for i in (*shape, *kwargs.values())):
        raise call.fail("this form of reshape is not supported", "use flatten(1)")
    value, new = call.value(x), tuple(call.result_tensor.shape)
    axes = _relabelled(call, value, tuple(x.shape), new)
    if axes is None:
        raise _more_than_merging(call, value.axes, new)
    return _features_as(call, value, axes, new)


def _more_than_merging(call: Call, labels: Sequence[Axis], sizes: Sequence[int]) -> Exception:
    return call.fail(
        f"reshapes the axes {' '.join(labels)} into {tuple(sizes)}, which is more than merging or"
        " splitting features, or time and batch",
        "flatten features with flatten(1), and give inputs with the axes that the layers take",
    )


def _relabelled(
    call: Call, value: Value, old: tuple[int, ...], new: tuple[int, ...]
) -> Axes | None:
    """Axes after a reshape, where those of batch and time keep their order."""
    lead = tuple(axis for axis in value.axes if axis != "F")
    if value.axes[: len(lead)] != lead:
        return _relabelled_anywhere(value, old, new)
    features = math.prod(old[len(lead) :])
    known = {"B": call.batch, "T": value.count, "TB": call.batch * value.count}
    known["BT"] = known["TB"]
    for labels in _leads(value, lead, len(new) == len(old) + 1):
        rest = new[len(labels) :]
        same = new[: len(labels)] == tuple(known[label] for label in labels)
        if same and math.prod(rest) == features:
            return (*labels, *feature_axes(len(rest)))
    return None


def _leads(value: Value, lead: Axes, longer: bool) -> list[Axes]:
    """What the axes of batch and time may become, the likeliest first.

    With one sample in the example several can fit: a longer shape then splits what is merged.
    """
    split: list[Axes] = [("T", "B")] if lead == ("TB",) else []
    split += [("B", "T")] if lead == ("BT",) else []
    found: list[Axes] = [*split, lead] if longer else [lead, *split]
    if value.undecided is not None:
        found.append(tuple(axis for axis in lead if axis != "T"))
    if lead in MERGED:
        found.append((MERGED[lead],))
    if not value.has_time_axis and value.time != "total":
        found.append(("T", *lead))
    return found


def _relabelled_anywhere(value: Value, old: Sequence[int], new: Sequence[int]) -> Axes | None:
    """Axes after a reshape that only splits or merges neighbouring features."""
    axes: list[Axis] = []
    for label, run in itertools.groupby(zip(value.axes, old, strict=True), lambda pair: pair[0]):
        first, wanted = len(axes), math.prod(n for _, n in run)
        while math.prod(new[first : len(axes)]) < wanted or len(axes) == first:
            if len(axes) == len(new):
                return None
            axes.append(label)
        if math.prod(new[first : len(axes)]) != wanted or (label != "F" and len(axes) > first + 1):
            return None
    rest = new[len(axes) :]
    return (*axes, *feature_axes(len(rest))) if math.prod(rest) == 1 else None


def unflatten(call: Call, x: Tensor, dim: int, sizes: Sequence[int]) -> Value:
    """torch.unflatten of features, or of an axis that merged time and batch."""
    value, at = call.value(x), dim % x.dim()
    label, new = value.axes[at], tuple(call.result_tensor.shape)
    count = len(new) - x.dim() + 1
    if label == "F":
        axes = (*value.axes[:at], *feature_axes(count), *value.axes[at + 1 :])
        return _features_as(call, value, axes, new)
    extents = {"T": value.count, "B": call.batch}
    parts = SPLIT.get(label, ())
    if new[at : at + count] != tuple(extents[axis] for axis in parts):
        raise _more_than_merging(call, (label,), new[at : at + count])
    return value.with_axes((*value.axes[:at], *parts, *value.axes[at + 1 :]))


def squeeze(call: Call, x: Tensor, dim: int | Sequence[int] | None = None) -> Value:
    """torch.squeeze of feature axes and of a time axis of one step."""
    value = call.value(x)
    asked = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {d % x.dim() for d in asked if x.shape[d] == 1}
    if any(value.axes[d] not in ("F", "T") for d in gone):
        raise call.fail("drops the batch axis", "say which axis to squeeze, or use flatten(1)")
    kept = [d for d in range(x.dim()) if d not in gone]
    axes = tuple(value.axes[d] for d in kept)
    return _features_as(call, value, axes, [x.shape[d] for d in kept])


def unsqueeze(call: Call, x: Tensor, dim: int) -> Value:
    """unsqueeze: a new axis of extent 1."""
    return with_new_axis(call, call.value(x), dim % (x.dim() + 1))


def with_new_axis(call: Call, value: Value, position: int) -> Value:
    """`value` with an axis of extent 1: time where there is none yet, else a feature axis.

    What is called time here becomes a feature axis where a layer takes it as one (`settled`).
    """
    if not value.has_time_axis and value.time != "total":
        value = value if value.time == "steps" else replace(value, start=0, stop=1)
        return value.with_axis(position, "T")
    shape = list(own_shape(call, value))
    shape.insert(value.axes[:position].count("F"), 1)
    axes = (*value.axes[:position], *feature_axes(1), *value.axes[position:])
    return arranged(call, value, numbered(shape), axes)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "flatten": flatten,
    "ravel": flatten,
    "reshape": reshape,
    "view": reshape,
    "reshape_as": reshape,
    "view_as": reshape,
    "unflatten": unflatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
}
"""By name of the function."""
