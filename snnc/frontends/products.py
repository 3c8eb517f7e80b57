"""Rules of the tracer for matrix products: of two traced values, and with a constant matrix.

A product of two values is a `MatMul`, one pair of matrices per head; its operands are put one
behind the other. A product with a constant is a linear layer. An einsum of two operands is
brought to one of both by reordering its axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from snnc.frontends.arrange import arranged, numbered, own_shape, settled
from snnc.frontends.branches import common_steps
from snnc.frontends.constants import multiplied
from snnc.frontends.layers import linear_last
from snnc.frontends.values import Axes, Value, feature_axes
from snnc.ir import MatMul, Place, Scale

if TYPE_CHECKING:
    from snnc.frontends.call import Call

FORMS = "write it as a matrix product: q @ k.transpose(-2, -1), or with a constant matrix"


def matmul(call: Call, left: Any, right: Any) -> Value:
    """left @ right, bmm and mm."""
    if not call.is_tracked(right):
        return _times_constant(call, left, right)
    if not call.is_tracked(left):
        return _constant_times(call, left, right)
    a, b, factor = _matrices(call, left, right)
    return multiplied(call, product(call, a, b), factor, "scale")


def _times_constant(call: Call, x: Tensor, constant: Tensor) -> Value:
    """x @ W, with W of shape (in, out) or (in,)."""
    weight = call.constant("matrix", constant)
    if weight.ndim > 2:
        raise call.fail("multiplies by a constant of more than two axes", FORMS)
    value = linear_last(call, call.layer_input(x), weight.reshape(len(weight), -1).T.copy())
    return value if weight.ndim == 2 else _without_last(call, value)


def _without_last(call: Call, value: Value) -> Value:
    return arranged(call, value, numbered(own_shape(call, value)[:-1]), value.axes[:-1])


def _constant_times(call: Call, constant: Tensor, x: Tensor) -> Value:
    """W @ x, with W of shape (out, in): a linear layer along the last axis but one."""
    weight, value = call.constant("matrix", constant), call.layer_input(x)
    if weight.ndim != 2 or value.axes[-2:] != ("F", "F"):
        raise call.fail(f"multiplies a constant by {call.describe(value)}", FORMS)
    turned = _turned(call, value)
    return _turned(call, linear_last(call, turned, weight))


def _turned(call: Call, value: Value) -> Value:
    index = numbered(own_shape(call, value)).swapaxes(-2, -1)
    return arranged(call, value, index, value.axes, "turned")


def _operands(call: Call, left: Tensor, right: Tensor) -> tuple[list[Value], float]:
    """The operands over the same steps without their constant factors, and the product of these.

    (c·A)·B = c·(A·B): the factor of spiking attention must not make real values of its spikes.
    """
    values = common_steps(call, [call.layer_input(x, linear=False) for x in (left, right)])
    (a, first), (b, second) = (_without_factor(call, value) for value in values)
    return [a, b], first * second


def _without_factor(call: Call, value: Value) -> tuple[Value, float]:
    node = call.tracer.nodes[value.node]
    if not isinstance(node, Scale) or node.bias is not None or np.ptp(node.weight) != 0:
        return value, 1.0
    (source,) = call.tracer.sources[value.node]
    return replace(value, node=source), float(node.weight.flat[0])


def _matrices(call: Call, left: Tensor, right: Tensor) -> tuple[Value, Value, float]:
    """Both operands as (…, heads…, rows, columns) over the same steps and heads, and a factor."""
    values, factor = _operands(call, left, right)
    if any(value.axes[-2:] != ("F", "F") for value in values) or left.dim() != right.dim():
        values = [settled(call, x, v) for x, v in zip((left, right), values, strict=True)]
    a, b = values
    if a.axes != b.axes or a.axes[-2:] != ("F", "F"):
        raise call.fail(
            f"multiplies {call.describe(a)} by {call.describe(b)}",
            "give both the axes (batch, …, rows, columns)",
        )
    heads = np.broadcast_shapes(own_shape(call, a)[:-2], own_shape(call, b)[:-2])
    return _with_heads(call, a, heads), _with_heads(call, b, heads), factor


def _with_heads(call: Call, value: Value, heads: tuple[int, ...]) -> Value:
    shape = own_shape(call, value)
    index = np.broadcast_to(numbered(shape), (*heads, *shape[-2:])).copy()
    return arranged(call, value, index, value.axes, "heads")


def product(call: Call, a: Value, b: Value) -> Value:
    """a @ b of (heads…, rows, inner) and (heads…, inner, columns)."""
    (*heads, rows, inner), columns = own_shape(call, a), own_shape(call, b)[-1]
    node = MatMul(math.prod(heads), rows, inner, columns)
    lead: Axes = tuple(axis for axis in a.axes if axis != "F")
    parts, start = [], 0
    for name, operand, size in zip("ab", (a, b), node.sizes, strict=True):
        flat = arranged(call, operand, numbered((size,)), (*lead, "F"), f"{name}_flat")
        place = Place(start, sum(node.sizes))
        parts.append(call.emit(place, flat, label=name))
        start += size
    result = call.emit(node, parts, (*lead, *feature_axes(3)))
    return arranged(call, result, numbered((*heads, rows, columns)), a.axes, "shape")


def einsum(call: Call, equation: str, *operands: Any) -> Value:
    """einsum of two operands: letters in both and in the result are heads, in both only are summed
    over."""
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    left, arrow, wanted = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    plain = all(len(set(t)) == len(t) and t.isalpha() for t in (*terms, wanted or "a"))
    if len(tensors) != 2 or not arrow or not plain or not isinstance(equation, str):
        raise call.fail(f"the einsum {equation} is no product of two matrices", FORMS)
    if not call.is_tracked(tensors[0]):
        tensors, terms = tensors[::-1], terms[::-1]
    form = _Form(terms[0], terms[1], wanted)
    if any(letter not in "".join((terms[1], wanted)) for letter in terms[0]) or any(
        letter not in "".join((terms[0], wanted)) for letter in terms[1]
    ):
        raise call.fail(f"the einsum {equation} sums one operand alone", FORMS)
    if call.is_tracked(tensors[1]):
        return _einsum_of_two(call, form, *tensors)
    return _einsum_with_constant(call, form, *tensors)


class _Form:
    """The letters of an einsum by what they are."""

    def __init__(self, left: str, right: str, wanted: str) -> None:
        self.left, self.right, self.wanted = left, right, wanted
        self.inner = [c for c in left if c in right and c not in wanted]
        self.heads = [c for c in left if c in right and c in wanted]
        self.rows = [c for c in left if c not in right]
        self.columns = [c for c in right if c not in left]


def _einsum_of_two(call: Call, form: _Form, left: Tensor, right: Tensor) -> Value:
    (a, b), factor = _operands(call, left, right)
    axis = {c: a.axes[i] for i, c in enumerate(form.left)}
    axis |= {c: b.axes[i] for i, c in enumerate(form.right) if c not in axis}
    extent = {c: left.shape[i] for i, c in enumerate(form.left)}
    extent |= {c: right.shape[i] for i, c in enumerate(form.right)}
    lead = [c for c in form.heads if axis[c] != "F"]
    same = all(b.axes[form.right.index(c)] == axis[c] for c in form.heads + form.inner)
    moved = [c for c in form.inner + form.rows + form.columns if axis[c] != "F"]
    if moved or not same:
        raise call.fail("the einsum mixes steps or samples", FORMS)
    heads = [c for c in form.heads if axis[c] == "F"]
    sizes = {
        name: math.prod(extent[c] for c in letters)
        for name, letters in (
            ("h", heads), ("i", form.inner), ("r", form.rows), ("c", form.columns),
        )
    }  # fmt: skip
    labels: Axes = tuple(axis[c] for c in lead)
    first = _grouped(call, a, form.left, [*heads, *form.rows, *form.inner], labels,
                     (sizes["h"], sizes["r"], sizes["i"]))  # fmt: skip
    second = _grouped(call, b, form.right, [*heads, *form.inner, *form.columns], labels,
                      (sizes["h"], sizes["i"], sizes["c"]))  # fmt: skip
    order = [*heads, *form.rows, *form.columns]
    scaled = multiplied(call, product(call, first, second), factor, "scale")
    return _as_wanted(call, scaled, form, order, extent, axis)


def _grouped(
    call: Call,
    value: Value,
    letters: str,
    order: Sequence[str],
    lead: Axes,
    sizes: tuple[int, ...],
) -> Value:
    """Features reordered as `order`, merged into axes of `sizes`."""
    features = [c for i, c in enumerate(letters) if value.axes[i] == "F"]
    index = numbered(own_shape(call, value)).transpose([features.index(c) for c in order])
    axes = (*lead, *feature_axes(len(sizes)))
    return arranged(call, value, index.reshape(sizes), axes, "operand")


def _as_wanted(
    call: Call,
    value: Value,
    form: _Form,
    order: Sequence[str],
    extent: dict[str, int],
    axis: dict[str, Any],
) -> Value:
    """The product's features split into the letters of `order`, in the order of the result."""
    index = numbered([extent[c] for c in order])
    wanted = [c for c in form.wanted if c in order]
    index = index.transpose([order.index(c) for c in wanted])
    return arranged(call, value, index, tuple(axis[c] for c in form.wanted), "result")


def _einsum_with_constant(call: Call, form: _Form, x: Tensor, constant: Tensor) -> Value:
    value = call.layer_input(x)
    axis = {c: value.axes[i] for i, c in enumerate(form.left)}
    if form.heads or any(axis[c] != "F" for c in form.inner):
        raise call.fail("the einsum multiplies by constants that differ along an axis", FORMS)
    extent = {c: x.shape[i] for i, c in enumerate(form.left)}
    extent |= {c: constant.shape[i] for i, c in enumerate(form.right)}
    axis |= dict.fromkeys(form.columns, "F")
    rows = [c for c in form.rows if axis[c] == "F"]
    lead = [c for c in form.rows if axis[c] != "F"]
    inner = math.prod(extent[c] for c in form.inner)
    sizes = (*(extent[c] for c in rows), inner)
    labels: Axes = tuple(axis[c] for c in lead)
    grouped = _grouped(call, value, form.left, [*rows, *form.inner], labels, sizes)
    matrix = call.constant("matrix", constant).transpose(
        [form.right.index(c) for c in (*form.columns, *form.inner)]
    )
    result = linear_last(call, grouped, np.ascontiguousarray(matrix.reshape(-1, inner)))
    return _as_wanted(call, result, form, [*rows, *form.columns], extent, axis)


RULES: dict[str, Callable[..., Value | list[Value]]] = {
    "matmul": matmul,
    "__matmul__": matmul,
    "__rmatmul__": lambda call, x, other: matmul(call, other, x),
    "mm": matmul,
    "bmm": matmul,
    "mv": matmul,
    "einsum": einsum,
}
"""By name of the function."""
