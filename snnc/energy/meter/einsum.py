"""torch.einsum of two operands: a product of matrices with other names for its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnc.energy.meter.labels import Mark
from snnc.energy.meter.moves import permuted, reshaped
from snnc.energy.meter.rules import Marks, product

if TYPE_CHECKING:
    from snnc.energy.meter.call import Call


@dataclass(frozen=True)
class Axes:
    """The letters of an equation by their part in the product."""

    batch: str
    rows: str
    inner: str
    columns: str


def contracted(call: Call, equation: Any, *operands: Any) -> Marks:
    """Counts a product of two operands as the matrix product that it is; an axis that only one
    operand has and that is summed, a diagonal and an ellipsis have no rule."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or len(operands) != 2:
        return call.unknown()
    left, _, rest = equation.replace(" ", "").partition(",")
    right, arrow, out = rest.partition("->")
    axes = _axes(left, right, out) if arrow else None
    if axes is None:
        return call.unknown()
    x, y = operands
    a = _arranged(call, x, left, (axes.batch, axes.rows, axes.inner))
    b = _arranged(call, y, right, (axes.batch, axes.inner, axes.columns))
    order = axes.batch + axes.rows + axes.columns
    sizes = dict(zip(out, call.tensor.shape, strict=True))
    met = call.tensor.permute([out.index(letter) for letter in order])
    groups = [*axes.batch, axes.rows, axes.columns]
    result = met.reshape([math.prod(sizes[letter] for letter in group) for group in groups])
    mark = product(call.like(product, (a, b), result), a, b)
    if not isinstance(mark, Mark):
        return mark
    call.meter.set(result, mark)
    whole = _moved(call, reshaped, torch.Tensor.reshape, result, tuple(sizes[n] for n in order))
    return call.mark(_moved(call, permuted, torch.Tensor.permute, whole, _places(order, out)))


def _axes(left: str, right: str, out: str) -> Axes | None:
    letters = (left, right, out)
    if any(not part.isalpha() or len(set(part)) < len(part) for part in letters):
        return None
    axes = Axes(
        batch="".join(n for n in out if n in left and n in right),
        rows="".join(n for n in out if n in left and n not in right),
        inner="".join(n for n in left if n in right and n not in out),
        columns="".join(n for n in out if n in right and n not in left),
    )
    whole = sorted(axes.batch + axes.rows + axes.inner) == sorted(left)
    same = sorted(axes.batch + axes.inner + axes.columns) == sorted(right)
    return axes if whole and same and axes.inner else None


def _places(letters: str, wanted: str) -> tuple[int, ...]:
    return tuple(letters.index(letter) for letter in wanted)


def _arranged(call: Call, x: Tensor, letters: str, groups: Sequence[str]) -> Tensor:
    """An operand as (batch…, rows, columns) of a matrix product."""
    order = "".join(groups)
    sizes = dict(zip(letters, x.shape, strict=True))
    moved = _moved(call, permuted, torch.Tensor.permute, x, _places(letters, order))
    shape = [math.prod(sizes[n] for n in group) for group in (*groups[0], *groups[1:])]
    return _moved(call, reshaped, torch.Tensor.reshape, moved, tuple(shape))


def _moved(call: Call, rule: Any, func: Any, x: Tensor, to: tuple[int, ...]) -> Tensor:
    """A tensor moved by a function of torch, with its mark if it has one."""
    y: Tensor = func(x, to)
    if call.mark(x) is not None:
        mark = rule(call.like(func, (x, to), y), x, to)
        call.meter.set(y, mark)
    return y
