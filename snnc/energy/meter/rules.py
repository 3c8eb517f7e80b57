"""What every function of torch does to types and labels, and what it costs, as a module runs.

A rule takes the call, whose function has run, and the function's own arguments; it gives the marks
of the results. `snnc.energy.rules` says what the operations cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnc.energy import rules
from snnc.energy.counts import Cause, Op
from snnc.energy.meter.labels import Mark
from snnc.energy.meter.moves import (
    concatenated,
    constant,
    copied,
    moved,
    padded,
    permuted,
    repeated,
    reshaped,
    same,
    stacked,
    transposed,
    written,
)
from snnc.frontends.windows import per_axis
from snnc.ir import Conv, ConvTranspose, Kind, Linear

if TYPE_CHECKING:
    from snnc.energy.meter.call import Call

Marks = Mark | list[Mark] | None
Rule = Callable[..., Marks]


def added(call: Call, x: Any, y: Any, *args: object, alpha: Any = 1, **kwargs: object) -> Marks:
    """x + y and x − y: branches that meet, or a constant that is added."""
    marks, values = call.pair(x, y)
    minus = "sub" in call.name
    kind, natural = call.kind_of([x, y])
    if len(marks) == 2:
        call.line(Cause.ADD, "sum of branches", {Op.AC: values})
    elif minus and "r" in call.name and _is(y, 1) and marks[0].kind is Kind.SPIKE:
        call.line(Cause.FUNCTION, "complement", {Op.AC: values})
        return call.made(Kind.SPIKE, call.joined([x, y]), marks, natural=True)
    elif _is(y, 0) or _is(x, 0):
        return marks[0].moved(call.joined([x, y]))
    else:
        call.line(Cause.BIAS, "constant added", {Op.AC: values})
    if kind is Kind.SPIKE:
        kind = Kind.GRADED
    if kind is Kind.GRADED and (alpha != 1 or isinstance(x, float) or isinstance(y, float)):
        kind = Kind.ANALOG
    return call.made(kind, call.joined([x, y]), marks, natural=natural and not minus)


def multiplied(call: Call, x: Any, y: Any, *args: object, **kwargs: object) -> Marks:
    """x·y: a product of signals value by value, or a factor."""
    marks, values = call.pair(x, y)
    if len(marks) == 1:
        if _is(x, 1) or _is(y, 1):
            return marks[0].moved(call.joined([x, y]))
        call.line(Cause.NORM, "factor", {Op.MUL: values}, marks[0])
        return call.made(Kind.ANALOG, call.joined([x, y]), marks)
    call.line(Cause.FUNCTION, "product", {Op.MUL: values})
    kind, natural = call.kind_of([x, y])
    return call.made(kind, call.joined([x, y]), marks, natural=natural)


def divided(call: Call, x: Any, y: Any, *args: object, **kwargs: object) -> Marks:
    """x / y; by a constant it is a factor."""
    marks, values = call.pair(x, y)
    top = y if call.name.startswith("__r") else x
    if len(marks) == 1 and call.mark(top) is not None:
        call.line(Cause.NORM, "factor", {Op.MUL: values}, marks[0])
    else:
        call.line(Cause.FUNCTION, "division", {Op.FUNCTION: values})
    return call.made(Kind.ANALOG, call.joined([x, y]), marks)


def powered(call: Call, x: Any, y: Any, *args: object) -> Marks:
    """x**y."""
    marks, values = call.pair(x, y)
    name = "square" if _is(y, 2) else "power"
    call.line(Cause.FUNCTION, name, rules.function(name, values))
    return call.made(Kind.ANALOG, call.joined([x, y]), marks)


def negated(call: Call, x: Tensor, *args: object) -> Marks:
    """−x."""
    mark = call.needed(x)
    call.line(Cause.NORM, "factor", {Op.MUL: call.values(call.tensor)})
    kind = Kind.GRADED if mark.kind is Kind.SPIKE else mark.kind
    return call.made(kind, mark.labels, [mark])


def compared(call: Call, x: Any, y: Any = None, *args: object, **kwargs: object) -> Marks:
    """Comparisons, and logic on what they give: 0 or 1. What a hand-written neuron ends with."""
    marks, values = call.pair(x, y)
    logic = not any(m.kind is Kind.ANALOG for m in marks) and call.result.dtype == torch.bool and \
        any(word in call.name for word in ("logical", "and", "or", "not", "invert"))  # fmt: skip
    what = "logic" if logic else "comparison"
    call.line(Cause.FUNCTION, what, {Op.COMPARE: values})
    labels = call.joined([x, y])
    if logic:
        return call.made(Kind.SPIKE, labels, marks, natural=True)
    return call.spiking(call.made(Kind.SPIKE, labels, marks, natural=True))


def chosen(call: Call, condition: Tensor, x: Any = None, y: Any = None, **kwargs: object) -> Marks:
    """torch.where: a choice moves data."""
    if x is None or y is None:
        return call.unknown()
    kind, natural = call.kind_of([x, y])
    marks = call.marks([condition, x, y])
    return call.made(kind, call.joined([condition, x, y]), marks, natural=natural)


def filled(call: Call, x: Tensor, mask: Any, value: Any, *args: object) -> Marks:
    """masked_fill."""
    kind, natural = call.kind_of([x, value])
    marks = call.marks([x, mask])
    return call.made(kind, call.joined([x, mask]), marks, natural=natural)


def mapped(name: str) -> Rule:
    """A function value by value, by its name in `Map`."""

    def rule(call: Call, x: Any, *args: object, **kwargs: object) -> Marks:
        mark = call.needed(x)
        call.line(Cause.FUNCTION, name, rules.function(name, call.values(call.tensor)))
        whole = name in ("relu", "abs") and mark.kind is not Kind.ANALOG
        return call.made(mark.kind if whole else Kind.ANALOG, mark.labels, [mark], natural=whole)

    return rule


def rounded(call: Call, x: Tensor, *args: object, **kwargs: object) -> Marks:
    """round, floor, ceil, sign: integers."""
    mark = call.needed(x)
    call.line(Cause.FUNCTION, call.name, {Op.FUNCTION: call.values(call.tensor)})
    return call.spiking(call.made(Kind.GRADED, mark.labels, [mark]))


def larger(call: Call, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Marks:
    """maximum(x, y), or the maximum along an axis."""
    if not isinstance(y, Tensor):
        dim = kwargs.get("dim", y)
        return _reduction(call, x, dim, bool(kwargs.get("keepdim", args[0] if args else False)))
    marks, values = call.pair(x, y)
    call.line(Cause.FUNCTION, "larger of two", {Op.COMPARE: values})
    kind, natural = call.kind_of([x, y])
    return call.made(kind, call.joined([x, y]), marks, natural=natural)


def totalled(
    call: Call, x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: object
) -> Marks:
    """sum and mean."""
    return _reduction(call, x, dim, keepdim)


def _reduction(call: Call, x: Tensor, dim: Any, keepdim: bool) -> Marks:
    mark = call.needed(x)
    several = isinstance(call.result, tuple)
    result = call.result[0] if several else call.tensor
    axes = tuple(range(x.dim())) if dim is None or dim == () else (
        (dim,) if isinstance(dim, int) else tuple(dim)
    )  # fmt: skip
    labels = call.book.reduced(mark.labels, axes)
    if not keepdim or dim is None:
        labels = call.book.squeezed(labels, axes) if result.dim() < x.dim() else labels
    name = call.name.strip("_")
    steps = call.meter.evaluations(labels)
    if name in ("sum", "mean"):
        sizes = call.share(x.numel(), steps), call.share(result.numel(), steps)
        work = rules.reduction(*sizes, name == "mean")
    else:
        work = {Op.COMPARE: call.share(x.numel() - result.numel(), steps)}
    call.line(Cause.POOL, name, work, labels=labels)
    whole = name != "mean" and mark.kind is not Kind.ANALOG
    kind = Kind.ANALOG if not whole else Kind.GRADED if name == "sum" else mark.kind
    reduced = call.made(kind, labels, [mark], natural=whole and mark.natural)
    if not several:
        return reduced
    return [reduced, *(replace(reduced, kind=Kind.ANALOG) for _ in call.result[1:])]


def cumulated(call: Call, x: Tensor, dim: int, **kwargs: object) -> Marks:
    """cumsum."""
    mark = call.needed(x)
    count = call.values(x) - call.values(x) // x.shape[dim]
    call.line(Cause.ADD, "cumulative sum", {Op.AC: count})
    kind = Kind.ANALOG if mark.kind is Kind.ANALOG else Kind.GRADED
    mixes = mark.labels.sample.shape[dim] > 1
    labels = call.over_rows(mark, [dim]) if mixes else mark.labels
    return call.made(kind, labels, [mark], natural=mark.natural)


def batch_norm(
    call: Call, x: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, *args: object, **kwargs: object,
) -> Marks:  # fmt: skip
    """F.batch_norm with the statistics of training."""
    mark = call.needed(x)
    if training or mean is None:
        return call.unknown()
    call.line(Cause.NORM, "affine", rules.affine(call.values(x), True, True), mark)
    return call.made(Kind.ANALOG, mark.labels, [mark])


def layer_norm(
    call: Call, x: Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None,
    eps: float = 1e-5, *args: object, **kwargs: object,
) -> Marks:  # fmt: skip
    """F.layer_norm."""
    return _normalised(
        call, x, range(-len(shape), 0), math.prod(shape), weight is not None, bias is not None
    )


def group_norm(
    call: Call, x: Tensor, groups: int, weight: Any = None, bias: Any = None,
    *args: object, **kwargs: object,
) -> Marks:  # fmt: skip
    """F.group_norm."""
    row = math.prod(x.shape[1:]) // groups
    return _normalised(call, x, range(1, x.dim()), row, weight is not None, bias is not None)


def instance_norm(
    call: Call, x: Tensor, mean: Any = None, var: Any = None, weight: Any = None,
    bias: Any = None, use_input_stats: bool = True, *args: object, **kwargs: object,
) -> Marks:  # fmt: skip
    """F.instance_norm."""
    if not use_input_stats:
        return batch_norm(call, x, mean, var, weight, bias)
    row = math.prod(x.shape[2:])
    return _normalised(call, x, range(2, x.dim()), row, weight is not None, bias is not None)


def _normalised(
    call: Call, x: Tensor, axes: Sequence[int], row: int, factor: bool, shift: bool
) -> Marks:
    mark = call.needed(x)
    values = call.values(x)
    call.line(Cause.NORM, "layer", rules.layer_norm(values, values // row, factor, shift))
    return call.made(Kind.ANALOG, call.over_rows(mark, axes), [mark])


def softmax(call: Call, x: Tensor, dim: Any = None, *args: object, **kwargs: object) -> Marks:
    """softmax and log_softmax."""
    if not isinstance(dim, int):
        return call.unknown()
    mark = call.needed(x)
    values, log = call.values(x), "log" in call.name
    work = rules.softmax(values, values // x.shape[dim], log)
    call.line(Cause.NORM, "log_softmax" if log else "softmax", work)
    return call.made(Kind.ANALOG, call.over_rows(mark, [dim]), [mark])


def windowed(
    call: Call, x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, *args: Any,
    **kwargs: Any,
) -> Marks:  # fmt: skip
    """Max and average pooling."""
    rank = next(int(c) for c in call.name if c.isdigit())
    mode = "max" if "max" in call.name else "avg"
    result = call.result[0] if isinstance(call.result, tuple) else call.tensor
    stride = kernel if stride is None or stride == [] else stride
    spread = kwargs.get("dilation", args[0] if args else 1) if mode == "max" else 1
    k, s, p, d = (per_axis(v, rank) for v in (kernel, stride, padding, spread))
    taps = rules.window_taps(x.shape[-rank:], k, s, p, d, result.shape[-rank:])
    return _pooled(call, x, result, taps, rank, mode)


def power_pooled(
    call: Call, x: Tensor, power: float, kernel: Any, stride: Any = None, *args: object,
    **kwargs: object,
) -> Marks:  # fmt: skip
    """F.lp_pool of the first power, which sums (sinabs' SumPool2d). It multiplies averages, which
    gives integers again where the window is a power of two."""
    if power != 1:
        return call.unknown()
    rank = next(int(c) for c in call.name if c.isdigit())
    k = per_axis(kernel, rank)
    s = k if stride is None else per_axis(stride, rank)
    result = call.tensor
    taps = rules.window_taps(x.shape[-rank:], k, s, (0,) * rank, (1,) * rank, result.shape[-rank:])
    mark = call.needed(x)
    labels = call.window_labels(mark, rank)
    channels = call.share(result.numel(), call.meter.evaluations(labels)) // taps.size
    call.line(Cause.POOL, "sum pool", rules.pool(taps, channels, "sum"), labels=labels)
    exact = mark.kind is not Kind.ANALOG and math.prod(k).bit_count() == 1
    kind = Kind.GRADED if exact else Kind.ANALOG
    return call.made(kind, labels, [mark], natural=mark.natural)


def adaptive(call: Call, x: Tensor, size: Any, *args: Any, **kwargs: Any) -> Marks:
    """Adaptive pooling: window i covers ⌊i·n/m⌋ … ⌈(i + 1)·n/m⌉ − 1."""
    rank = next(int(c) for c in call.name if c.isdigit())
    result = call.result[0] if isinstance(call.result, tuple) else call.tensor
    taps = np.ones((1,) * rank, np.int64)
    for axis, (n, m) in enumerate(zip(x.shape[-rank:], result.shape[-rank:], strict=True)):
        i = np.arange(m)
        count = -(-(i + 1) * n // m) - i * n // m
        taps = taps * count.reshape(-1, *(1,) * (rank - axis - 1))
    return _pooled(call, x, result, taps, rank, "max" if "max" in call.name else "avg")


def _pooled(call: Call, x: Tensor, result: Tensor, taps: Any, rank: int, mode: str) -> Marks:
    mark = call.needed(x)
    labels = call.window_labels(mark, rank)
    channels = call.share(result.numel(), call.meter.evaluations(labels)) // taps.size
    call.line(Cause.POOL, f"{mode} pool", rules.pool(taps, channels, mode), labels=labels)
    whole = mode == "max" and mark.kind is not Kind.ANALOG
    if mode == "avg" and mark.kind is not Kind.ANALOG:
        call.meter.averaged(call.place)
    kind = mark.kind if whole else Kind.ANALOG
    pooled = call.made(kind, labels, [mark], natural=whole and mark.natural)
    if not isinstance(call.result, tuple):
        return pooled
    return [pooled, *(replace(pooled, kind=Kind.ANALOG) for _ in call.result[1:])]


def resized(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Marks:
    """F.interpolate: nearest moves data, a linear one weighs 2 neighbours per axis."""
    mark = call.needed(x)
    mode = kwargs.get("mode", args[2] if len(args) > 2 else "nearest")
    rank = x.dim() - 2
    labels = call.window_labels(mark, rank)
    if mode in ("nearest", "nearest-exact"):
        return mark.moved(labels)
    taps = {"linear": 2, "bilinear": 4, "trilinear": 8}.get(mode)
    if taps is None or kwargs.get("antialias"):
        return call.unknown()
    values = call.share(call.tensor.numel(), call.meter.evaluations(labels))
    call.line(Cause.FUNCTION, f"{mode} interpolation", {Op.MAC: taps * values}, labels=labels)
    return call.made(Kind.ANALOG, labels, [mark])


def shuffled(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Marks:
    """pixel_shuffle and its like, F.unfold: moves inside of each sample."""
    mark = call.needed(x)
    return mark.moved(call.window_labels(mark, x.dim() - 2))


def dropped(
    call: Call, x: Tensor, p: float = 0.5, training: bool = True, *args: object, **kwargs: object
) -> Marks:
    """Dropout, which does nothing in evaluation."""
    if training and p > 0:
        return call.unknown()
    return call.needed(x)


def linear(call: Call, x: Tensor, weight: Tensor, bias: Any = None) -> Marks:
    """F.linear."""
    if call.mark(weight) is not None:
        return call.unknown()
    return call.layer(
        "linear",
        x,
        weight,
        lambda w: Linear(w.reshape(-1, w.shape[-1])),
        (),
        (-1,),
        bias is not None,
    )


def conv(
    call: Call, x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Marks:  # fmt: skip
    """F.conv1d, 2d and 3d; padding="same" with an uneven rest pads the end by one more."""
    if call.mark(weight) is not None:
        return call.unknown()
    rank = weight.dim() - 2
    spread = per_axis(dilation, rank)
    total = [d * (k - 1) for d, k in zip(spread, weight.shape[2:], strict=True)]
    if padding == "same" and any(n % 2 for n in total):
        return call.unknown()
    if isinstance(padding, str):
        padding = [n // 2 for n in total] if padding == "same" else 0
    settings = (per_axis(stride, rank), per_axis(padding, rank), spread, groups)

    def node(w: Any, axes: Sequence[int]) -> Conv:
        s, p, d = ([v[a] for a in axes] for v in settings[:3])
        return Conv(w, None, tuple(s), tuple(p), tuple(d), groups)

    return call.window("conv", x, weight, node, settings, rank, bias is not None)


def conv_transpose(
    call: Call, x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Marks:  # fmt: skip
    """F.conv_transpose1d, 2d and 3d, whose weight is (in, out / groups, *kernel)."""
    if call.mark(weight) is not None:
        return call.unknown()
    rank = weight.dim() - 2
    settings = (per_axis(stride, rank), per_axis(padding, rank), per_axis(dilation, rank), groups,
                per_axis(output_padding, rank))  # fmt: skip

    def node(w: Any, axes: Sequence[int]) -> ConvTranspose:
        grouped = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
        s, p, d, o = ([settings[i][a] for a in axes] for i in (0, 1, 2, 4))  # type: ignore[index]
        return ConvTranspose(
            np.ascontiguousarray(grouped.reshape(-1, *grouped.shape[2:])), None,
            tuple(s), tuple(p), tuple(o), tuple(d), groups,
        )  # fmt: skip

    return call.window("conv_transpose", x, weight, node, settings, rank, bias is not None)


def product(call: Call, x: Tensor, y: Tensor, *args: object, **kwargs: object) -> Marks:
    """x @ y: attention of two signals, or a Linear."""
    if call.name.startswith("__r"):
        x, y = y, x
    first, second = call.mark(x), call.mark(y)
    if first is not None and second is not None:
        return call.attention(x, y) if min(x.dim(), y.dim()) > 1 else call.unknown()
    if first is not None and y.dim() == 2:
        return call.layer("linear", x, y, lambda w: Linear(w.T), ("right",), (-1,), False)
    if second is not None and x.dim() == 2 and y.dim() > 1:
        return call.layer("linear", y, x, Linear, ("left",), (-2,), False)
    return call.unknown()


def biased_product(call: Call, start: Tensor, x: Tensor, weight: Tensor, **kwargs: Any) -> Marks:
    """addmm: start + x @ weight."""
    plain = call.mark(start) is None and call.mark(weight) is None and weight.dim() == 2
    if not plain or kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
        return call.unknown()
    return call.layer("linear", x, weight, lambda w: Linear(w.T), ("right",), (-1,), True)


def _is(x: object, number: float) -> bool:
    return isinstance(x, int | float) and x == number


def _words(names: str) -> list[str]:
    return names.split()


def _names(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(_words(names), rule)


_VALUE_BY_VALUE = _words(
    "elu gelu sigmoid tanh silu softplus exp log sqrt rsqrt reciprocal selu celu mish hardswish "
    "hardsigmoid logsigmoid softsign log1p expm1 sin cos erf exp2 log2 log10 sigmoid_ tanh_ silu_ "
    "elu_ exp_ log_ sqrt_"
)

RULES: dict[str, Rule] = {
    **_names(
        same,
        "clone contiguous detach detach_ cpu data.get requires_grad_ to type type_as float double "
        "half bfloat16 bool int long short byte alias positive __pos__ real.get",
    ),
    **_names(
        reshaped,
        "view reshape flatten unflatten squeeze unsqueeze squeeze_ unsqueeze_ view_as "
        "reshape_as ravel _unsafe_view atleast_1d",
    ),
    **_names(permuted, "permute transpose swapaxes swapdims movedim moveaxis transpose_"),
    **_names(transposed, "T.get mT.get H.get mH.get t"),
    **_names(repeated, "expand expand_as repeat tile broadcast_to"),
    **_names(
        moved,
        "__getitem__ select narrow chunk split unbind tensor_split unfold diagonal flip "
        "roll index_select repeat_interleave take gather split_with_sizes hsplit vsplit "
        "fliplr flipud rot90 as_strided",
    ),
    "stack": stacked,
    **_names(concatenated, "cat concat concatenate"),
    "pad": padded,
    "__setitem__": written,
    "copy_": copied,
    **_names(constant, "zero_ fill_"),
    **_names(
        added, "add sub add_ sub_ __add__ __radd__ __sub__ __rsub__ __iadd__ __isub__ subtract rsub"
    ),
    **_names(multiplied, "mul mul_ __mul__ __rmul__ __imul__ multiply"),
    **_names(divided, "div div_ true_divide divide __truediv__ __rtruediv__ __itruediv__ __rdiv__"),
    **_names(powered, "pow __pow__ square float_power"),
    **_names(negated, "neg __neg__ neg_ negative"),
    **_names(
        compared,
        "gt ge lt le eq ne greater greater_equal less less_equal not_equal __gt__ "
        "__ge__ __lt__ __le__ __eq__ __ne__ heaviside logical_and logical_or logical_not "
        "logical_xor __and__ __or__ __xor__ __invert__ bitwise_and bitwise_or bitwise_not "
        "bitwise_xor __rand__ __ror__",
    ),
    "where": chosen,
    **_names(filled, "masked_fill masked_fill_"),
    **_names(mapped("relu"), "relu relu_ relu6"),
    **_names(mapped("clip"), "clamp clamp_ clip clip_ clamp_min clamp_max hardtanh hardtanh_"),
    **_names(mapped("leaky_relu"), "leaky_relu leaky_relu_ prelu"),
    **_names(mapped("abs"), "abs absolute __abs__"),
    **{name: mapped(name) for name in _VALUE_BY_VALUE},
    **_names(rounded, "round floor ceil sign trunc"),
    **_names(larger, "max min maximum minimum amax amin"),
    **_names(totalled, "sum mean"),
    "cumsum": cumulated,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    **_names(softmax, "softmax log_softmax"),
    **_names(
        windowed,
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d "
        "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices",
    ),
    **_names(
        adaptive,
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    **_names(power_pooled, "lp_pool1d lp_pool2d lp_pool3d"),
    "interpolate": resized,
    **_names(shuffled, "pixel_shuffle pixel_unshuffle channel_shuffle"),
    **_names(
        dropped,
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout dropout_",
    ),
    "linear": linear,
    **_names(conv, "conv1d conv2d conv3d"),
    **_names(conv_transpose, "conv_transpose1d conv_transpose2d conv_transpose3d"),
    **_names(product, "matmul __matmul__ __rmatmul__ mm bmm"),
    "addmm": biased_product,
}
"""By name, which functions, methods and operators share."""

LAYERS = frozenset(
    _words(
        "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul "
        "__matmul__ __rmatmul__ mm bmm addmm"
    )
)
"""What makes synaptic operations: counted inside neurons too."""

QUIET = frozenset(
    _words(
        "__bool__ item tolist numpy __array__ __float__ __int__ __index__ __contains__ equal "
        "allclose any all isnan isfinite isinf is_nonzero nonzero argmax argmin argsort numpy_T "
        "__repr__ _is_view storage untyped_storage data_ptr backward register_hook _version.get "
        "is_nested.get is_neg is_conj resolve_conj resolve_neg __deepcopy__ __iter__ device.get"
    )
)
"""Reads values for decisions of the program, or gives no signal."""
