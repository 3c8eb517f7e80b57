"""Which function of torch is traced how: the tables of all rules, and why others are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnc.frontends import (
    branches,
    constants,
    gates,
    host,
    layers,
    moves,
    norms,
    picking,
    products,
    reductions,
    reshape,
    sampling,
    windows,
)
from snnc.frontends.values import Value

if TYPE_CHECKING:
    from snnc.frontends.call import Call

Rule = Callable[..., Value | list[Value]]


def unchanged(call: Call, x: Tensor, *args: object, **kwargs: object) -> Value:
    """clone, contiguous, to and their like, where no value is rounded."""
    old, new = x.dtype, call.result_tensor.dtype
    value = call.value(x)
    wide = new in (torch.float32, torch.float64) and not old.is_floating_point
    exact = old == new or wide or torch.promote_types(old, new) == new or call.is_spikes(value)
    if not exact:
        raise call.fail(f"rounds {old} to {new}", f"give the example as {new}")
    return value


BY_FUNCTION: dict[Any, Rule] = {
    **layers.RULES,
    torch.nn.functional.unfold: sampling.moved,
}
"""By function. A rule takes the call and the function's own arguments."""

BY_NAME: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "clone", "contiguous", "detach", "detach_", "cpu", "data.get", "to", "type", "float",
            "double", "half", "bfloat16", "type_as", "requires_grad_", "bool", "int", "long",
        ),
        unchanged,
    ),
    **reshape.RULES,
    **moves.RULES,
    **picking.RULES,
    **branches.RULES,
    **constants.RULES,
    **reductions.RULES,
    **gates.RULES,
    **host.RULES,
    **norms.RULES,
    **windows.RULES,
    **sampling.RULES,
    **products.RULES,
}  # fmt: skip
"""By name, which functions, methods and operators share."""

IN_PLACE = host.IN_PLACE | {"add_", "sub_", "mul_", "neg_", "__ior__", "__iand__"}
"""Change their first argument; the rule sees it as it was before."""

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

OF_ANOTHER = frozenset(("expand_as", "view_as", "reshape_as", "type_as", "to"))
"""Take only shape or dtype of their second argument: a constant first stays a constant."""

_THREE_AXES = (
    "works on three spatial axes, graphs have one or two",
    "use the 1-d or 2-d layer, or make the third axis time or channels",
)

REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("conv3d", "conv_transpose3d", "max_pool3d", "avg_pool3d", "adaptive_avg_pool3d",
         "adaptive_max_pool3d"),
        _THREE_AXES,
    ),
    **dict.fromkeys(
        ("max_pool1d_with_indices", "max_pool2d_with_indices"),
        ("returns the places of its maxima", "use return_indices=False and unpool by upsampling"),
    ),
    **dict.fromkeys(
        ("celu", "prelu", "rrelu", "mish", "glu", "hardswish", "softsign", "logsigmoid", "log1p",
         "expm1", "log2", "log10", "exp2", "sin", "cos", "erf", "_threshold"),
        ("this function of real values is not known",
         "use relu, leaky_relu, elu, gelu, silu, sigmoid, tanh, softplus, clamp, exp, log or sqrt"),
    ),
    **dict.fromkeys(
        ("std", "var", "std_mean", "var_mean", "rms_norm", "local_response_norm"),
        ("it normalises by the values of each sample", "use layer_norm, or BatchNorm"),
    ),
    "softmin": ("this function is not known", "use softmax(-x)"),
    "cosine_similarity": (
        "this function is not known", "use F.linear(F.normalize(x), F.normalize(weight))"
    ),
    **dict.fromkeys(
        ("__bool__", "item", "tolist", "numpy", "__array__", "__float__", "__int__", "__index__",
         "__contains__", "equal", "allclose", "__eq__", "eq", "gt", "lt", "ge", "le", "ne",
         "__lt__", "__le__", "__gt__", "__ge__", "__ne__", "greater", "less", "argmax", "argmin",
         "topk", "nonzero", "sort", "argsort", "isnan", "isfinite", "isinf"),
        ("the values of a traced tensor are read", "a graph can't depend on values; do it outside"),
    ),
    **dict.fromkeys(
        ("where", "__rpow__", "cumsum", "cumprod", "floor", "ceil", "round", "sign", "fmod",
         "remainder", "__mod__", "__floordiv__"),
        ("arithmetic that graphs have no node for", "do it outside, or use layers and spikes"),
    ),
    "scaled_dot_product_attention": (
        "several operations in one",
        "write (q @ k.mT * scale).softmax(-1) @ v, or (q @ k.mT) @ v of spikes",
    ),
    "dropout": ("dropout called in an unknown way", "use nn.Dropout"),
}  # fmt: skip
"""Cause and fix for functions that are refused, by name."""
