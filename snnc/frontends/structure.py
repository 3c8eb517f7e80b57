"""Rules of the tracer for functions that only rearrange axes, pick steps or sum over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnc.frontends.values import MERGED, SPLIT, Axis, Value, joined, regroup
from snnc.ir import Flatten

if TYPE_CHECKING:
    from snnc.frontends.call import Call

NO_BRANCHES = "joining two branches comes in a later release; use one chain of layers"


def unchanged(call: Call, x: Tensor, *args: object, **kwargs: object) -> Value:
    """clone, contiguous, to and their like, where no value is rounded."""
    old, new = x.dtype, call.result_tensor.dtype
    value = call.value(x)
    wide = new in (torch.float32, torch.float64) and not old.is_floating_point
    exact = old == new or wide or torch.promote_types(old, new) == new or call.is_spikes(value)
    if not exact:
        raise call.fail(f"rounds {old} to {new}", f"give the example as {new}")
    return value


def flatten(call: Call, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Value:
    """torch.flatten."""
    first, last = start_dim % x.dim(), end_dim % x.dim()
    new = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    groups = [
        *((range(i, i + 1), range(i, i + 1)) for i in range(first)),
        (range(first, last + 1), range(first, first + 1)),
        *(
            (range(i, i + 1), range(i - last + first, i - last + first + 1))
            for i in range(last + 1, x.dim())
        ),
    ]
    return _regrouped(call, x, groups, new)


def reshape(call: Call, x: Tensor, *shape: Any, **kwargs: object) -> Value:
    """reshape and view, where axes are only merged, or a merged time and batch axis split."""
    if 0 in x.shape or any(isinstance(i, torch.dtype) for i in (*shape, *kwargs.values())):
        raise call.fail("this form of reshape is not supported", "use flatten(1)")
    new = tuple(call.result_tensor.shape)
    return _regrouped(call, x, list(regroup(tuple(x.shape), new)), new)


def squeeze(call: Call, x: Tensor, dim: int | Sequence[int] | None = None) -> Value:
    """torch.squeeze: drops a time axis of one step, or merges feature axes of extent 1."""
    if isinstance(dim, int) and call.value(x).axes[dim] == "T" and x.shape[dim] == 1:
        return call.value(x).without_axis(dim % x.dim())
    return reshape(call, x)


def unflatten(call: Call, x: Tensor, dim: int, sizes: Sequence[int]) -> Value:
    """torch.unflatten of an axis that merged time and batch."""
    return reshape(call, x)


def _regrouped(
    call: Call, x: Tensor, groups: Sequence[tuple[range, range]], new: Sequence[int]
) -> Value:
    value = call.value(x)
    axes: list[Axis] = []
    merges: list[tuple[int, int]] = []
    for olds, news in groups:
        labels = [value.axes[i] for i in olds]
        if set(labels) == {"F"} and len(news) == 1:
            merges.append((axes.count("F"), len(labels)))
            axes.append("F")
        else:
            axes += _relabelled(call, value, labels, [new[i] for i in news])
    for first, count in merges:
        if count > 1:
            value = _merged_features(call, x, value, first, count)
    return value.with_axes(axes)


def _relabelled(
    call: Call, value: Value, labels: Sequence[Axis], sizes: Sequence[int]
) -> Sequence[Axis]:
    """Labels of a group of axes after a reshape that doesn't merge features."""
    if len(labels) == len(sizes) == 1:
        return labels
    if len(sizes) == 1 and tuple(labels) in MERGED:
        return [MERGED[tuple(labels)]]
    if len(labels) == 1 and labels[0] in SPLIT:
        extents = {"T": value.count, "B": call.batch}
        if [extents[axis] for axis in SPLIT[labels[0]]] == list(sizes):
            return SPLIT[labels[0]]
    raise call.fail(
        f"reshapes the axes {' '.join(labels)} into {tuple(sizes)}, which is more than merging"
        " features, or time and batch",
        "flatten features with flatten(1), and give inputs with the axes that the layers take",
    )


def _merged_features(call: Call, x: Tensor, value: Value, first: int, count: int) -> Value:
    if value.time == "total":
        raise call.fail("reshapes a sum over the steps", "reshape before summing")
    if value.port != "s":
        raise call.fail("reshapes a membrane", "return the membrane as it is")
    node = Flatten(first, first + count - 1)
    start = value.features[first]
    axes = (*value.axes[: start + 1], *value.axes[start + count :])
    return call.emit(node, value, axes, check=False)


def permute(call: Call, x: Tensor, *dims: Any) -> Value:
    """permute; the order of the feature axes must stay."""
    order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    value = call.value(x)
    positions = [int(d) % x.dim() for d in order]
    kept = [d for d in positions if value.axes[d] == "F"]
    if kept != sorted(kept):
        raise call.fail("changes the order of the feature axes", "store the input in that order")
    return value.with_axes([value.axes[d] for d in positions])


def transpose(call: Call, x: Tensor, dim0: int, dim1: int) -> Value:
    """transpose and swapaxes."""
    order = list(range(x.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(call, x, *order)


def movedim(call: Call, x: Tensor, source: Any, destination: Any) -> Value:
    """movedim of one axis."""
    if not isinstance(source, int) or not isinstance(destination, int):
        raise call.fail("moves several axes at once", "use permute")
    order = [i for i in range(x.dim()) if i != source % x.dim()]
    order.insert(destination % x.dim(), source % x.dim())
    return permute(call, x, *order)


def unsqueeze(call: Call, x: Tensor, dim: int) -> Value:
    """unsqueeze: a new axis of extent 1 is time, the only axis that can be missing."""
    return _with_time(call, call.value(x), dim % (x.dim() + 1))


def _with_time(call: Call, value: Value, position: int) -> Value:
    if value.has_time_axis or value.time == "total":
        raise call.fail(
            "adds an axis that is neither batch, time nor a feature axis",
            "give the input with its channel axis",
        )
    return value.with_axis(position, "T")


def expand(call: Call, x: Tensor, *sizes: Any) -> Value:
    """expand and repeat of a value that is the same at every step, along time."""
    value, old, new = call.value(x), tuple(x.shape), tuple(call.result_tensor.shape)
    if len(new) == len(old) + 1 and not value.has_time_axis:
        value, old = value.with_axis(0, "T"), (1, *old)
    changed = [i for i, (n, m) in enumerate(zip(old, new, strict=False)) if n != m]
    along_time = all(value.axes[i] == "T" and old[i] == 1 for i in changed)
    if len(new) != len(old) or not along_time or value.time != "static":
        raise call.fail(
            f"repeats {call.describe(value)} to the shape {new}",
            "repeat only along a time axis: x.unsqueeze(0).repeat(T, 1, …)",
        )
    return replace(value, start=0, stop=new[changed[0]]) if changed else value


def getitem(call: Call, x: Tensor, index: Any) -> Value:
    """x[…] with a step, a range of steps, or everything."""
    value = call.value(x)
    old = new = 0
    for item in _explicit(call, index, x.dim()):
        if item is None:
            value = _with_time(call, value, new)
            new += 1
            continue
        extent = x.shape[old]
        whole = isinstance(item, slice) and item.indices(extent) == (0, extent, 1)
        if not whole:
            value = _picked(call, value, new, item, extent)
        old, new = old + 1, new + isinstance(item, slice)
    return value


def _explicit(call: Call, index: Any, rank: int) -> Iterator[Any]:
    """The items of an index with `...` written out."""
    items = index if isinstance(index, tuple) else (index,)
    if any(not (item is None or item is Ellipsis or type(item) in (int, slice)) for item in items):
        raise call.fail("is indexed by a mask, list or tensor", "pick steps by numbers")
    used = sum(item is not None and item is not Ellipsis for item in items)
    for item in items:
        if item is Ellipsis:
            yield from [slice(None)] * (rank - used)
        else:
            yield item


def _picked(call: Call, value: Value, position: int, item: Any, extent: int) -> Value:
    if value.axes[position] != "T":
        what = {"B": "the batch axis", "F": "a feature axis"}.get(value.axes[position], "axes")
        raise call.fail(
            f"indexes {what} with {item}",
            "only steps can be picked; pass time_axis= if this axis is time",
        )
    if isinstance(item, slice):
        start, stop, stride = item.indices(extent)
        if stride != 1 or stop <= start:
            raise call.fail(f"picks every {stride}th step", "use every step")
        return value.steps(start, stop)
    step = item % extent
    return value.steps(step, step + 1).without_axis(position)


def select(call: Call, x: Tensor, dim: int, index: int) -> Value:
    """x.select(dim, index)."""
    position = dim % x.dim()
    return _picked(call, call.value(x), position, index, x.shape[position])


def unbind(call: Call, x: Tensor, dim: int = 0) -> list[Value]:
    """unbind, and so iterating over a tensor."""
    position = dim % x.dim()
    n = x.shape[position]
    return [_picked(call, call.value(x), position, i, n) for i in range(n)]


def stack(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    """torch.stack of the steps of one value, in order."""
    values = [call.value(x) for x in tensors]
    whole = joined(values)
    if whole is None or whole.has_time_axis:
        raise call.fail(
            "stacks tensors that are not the consecutive steps of one value",
            f"stack one layer's outputs step by step; {NO_BRANCHES}",
        )
    return whole.with_axis(dim % (len(whole.axes) + 1), "T")


def cat(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    """torch.cat of consecutive ranges of steps along time."""
    values = [call.value(x) for x in tensors]
    whole = joined(values)
    if whole is None or whole.axes[dim] != "T":
        raise call.fail("concatenates along another axis than time", NO_BRANCHES)
    return whole


def total(call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: object) -> Value:
    """sum over all steps."""
    value = call.value(x)
    position = _single_axis(call, x, dim)
    if position is None or value.axes[position] != "T" or value.time != "steps" or keepdim:
        raise call.fail(
            f"reduces {call.describe(value)} over dim={dim}",
            "reduce over the time axis only, without keepdim",
        )
    return replace(value.without_axis(position), time="total")


def mean(call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: object) -> Value:
    """mean over all steps."""
    value = total(call, x, dim, keepdim, **kwargs)
    return replace(value, divisor=value.count)


def _single_axis(call: Call, x: Tensor, dim: Any) -> int | None:
    if isinstance(dim, list | tuple) and len(dim) == 1:
        dim = dim[0]
    return dim % x.dim() if isinstance(dim, int) else None


def add(call: Call, left: Any, right: Any, alpha: float = 1) -> Value:
    """A running sum over steps: 0 + x[0] + x[1] + …"""
    for one, other in ((left, right), (right, left)):
        if not call.is_tracked(one):
            if not call.is_zero(one, other):
                raise call.fail(
                    "adds a constant",
                    "put it into the bias of the layer before; feeding back the spikes of the step"
                    " before comes in a later release",
                )
            return call.value(other)
    value = call.value(left).sum_with(call.value(right)) if alpha == 1 else None
    if value is None:
        raise call.fail("adds two values that are not consecutive steps of one", NO_BRANCHES)
    return value


def add_in_place(call: Call, left: Tensor, right: Any, alpha: float = 1) -> Value:
    """total += x[t], where `total` started as a tensor of zeros (`before_add_in_place`)."""
    if call.is_tracked(left):
        return add(call, left, right, alpha)
    value = call.value(right)
    if value.has_time_axis or value.time != "steps" or alpha != 1:
        raise call.fail("adds something else than a step in place", "write total = total + x")
    return replace(value, time="total")


def before_add_in_place(call: Call, left: Tensor, right: Any, alpha: float = 1) -> None:
    """Looks at `total` before it changes."""
    if call.is_tracked(left):
        if call.value(left).time != "total":
            raise call.fail("changes a traced tensor in place", "write total = total + x")
    elif left.shape != right.shape or not call.is_zero(left, right):
        raise call.fail("adds to a constant in place", "start from zeros of the same shape")


def divide(call: Call, x: Tensor, other: Any, rounding_mode: str | None = None) -> Value:
    """A sum over steps divided by a number."""
    if (
        not call.is_tracked(x)
        or call.value(x).time != "total"
        or not isinstance(other, int | float)
    ):
        raise call.fail(
            "divides a value inside the network", "put the factor into the weights of a layer"
        )
    if rounding_mode is not None or other == 0:
        raise call.fail("rounds the quotient or divides by 0", "divide by the number of steps")
    value = call.value(x)
    return replace(value, divisor=value.divisor * other)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    **dict.fromkeys(
        (
            "clone", "contiguous", "detach", "detach_", "cpu", "data.get", "to", "type", "float",
            "double", "half", "bfloat16", "type_as", "requires_grad_",
        ),
        unchanged,
    ),
    "flatten": flatten,
    "reshape": reshape,
    "view": reshape,
    "squeeze": squeeze,
    "unflatten": unflatten,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "movedim": movedim,
    "unsqueeze": unsqueeze,
    "expand": expand,
    "repeat": expand,
    "__getitem__": getitem,
    "select": select,
    "unbind": unbind,
    "stack": stack,
    "cat": cat,
    "concat": cat,
    "sum": total,
    "mean": mean,
    "add": add,
    "add_": add_in_place,
    "div": divide,
    "true_divide": divide,
}  # fmt: skip
"""By name of the function. A rule takes the call and the function's own arguments."""

CHECKS: dict[str, Callable[..., None]] = {"add_": before_add_in_place}
"""By name, for functions that change an argument: what must hold before they run."""

QUERIES = frozenset((
    "shape.get", "dtype.get", "device.get", "ndim.get", "size", "dim", "ndimension", "numel",
    "nelement", "__len__", "is_floating_point", "is_complex", "layout.get", "is_cuda.get",
    "requires_grad.get", "is_contiguous", "stride", "element_size", "__hash__", "__repr__",
    "__format__", "get_device", "is_sparse.get", "is_quantized.get", "is_mps.get", "is_meta.get",
    "names.get", "grad_fn.get", "is_leaf.get",
))  # fmt: skip
"""Answered from the tensor's type and shape alone (or printed)."""

CREATORS = frozenset((
    "zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full",
    "new_empty", "rand_like", "randn_like", "result_type",
))  # fmt: skip
"""Make a new tensor of which the traced one only gives shape and dtype."""

REASONS = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "adaptive_max_pool2d", "adaptive_max_pool1d"),
        ("max pooling comes in a later release", "use AvgPool2d or a strided convolution"),
    ),
    **dict.fromkeys(
        ("softmax", "log_softmax", "sigmoid", "tanh", "relu", "gelu", "leaky_relu"),
        ("an activation that is no spiking neuron", "apply it outside, on the output"),
    ),
    **dict.fromkeys(
        ("layer_norm", "group_norm", "instance_norm"),
        ("it normalises by the values of each sample", "use BatchNorm, which folds into weights"),
    ),
    **dict.fromkeys(
        ("__bool__", "item", "tolist", "numpy", "__array__", "__float__", "__int__", "__index__",
         "__contains__", "equal", "allclose", "__eq__", "eq", "gt", "lt", "ge", "le", "ne", "any",
         "all", "argmax", "max", "min", "topk", "nonzero"),
        ("the values of a traced tensor are read", "a graph can't depend on values; do it outside"),
    ),
    **dict.fromkeys(
        ("mul", "__rsub__", "sub", "rsub", "neg", "__pow__", "where", "mul_", "sub_"),
        ("arithmetic between layers", "put constant factors into weights and biases"),
    ),
    **dict.fromkeys(
        ("__matmul__", "matmul", "mm", "bmm", "einsum"),
        ("a product outside a layer", "use nn.Linear or F.linear with a constant weight"),
    ),
    "pad": ("padding outside a convolution", "use the padding= of the layer"),
    "dropout": ("dropout called in an unknown way", "use nn.Dropout"),
}  # fmt: skip
"""Cause and fix for functions that are refused, by name."""
