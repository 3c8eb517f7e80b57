"""Data movement in a running module: what becomes of types and labels. It costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnc.energy.meter.labels import Labels, Mark
from snnc.ir import Kind

if TYPE_CHECKING:
    from snnc.energy.meter.call import Call

Marks = Mark | list[Mark] | None


def same(call: Call, x: Any, *args: object, **kwargs: object) -> Marks:
    """The same values, perhaps of another dtype."""
    mark = call.mark(x)
    result = call.result
    if mark is None or not isinstance(result, Tensor):
        return None
    call.meter.aliased(call.name, x, result)
    if result.dtype == torch.bool:
        return replace(mark, kind=Kind.SPIKE, natural=True)
    if not result.dtype.is_floating_point and mark.kind is Kind.ANALOG:
        return replace(mark, kind=Kind.GRADED, direct=False, natural=False)
    return mark


def reshaped(call: Call, x: Tensor, *args: object, **kwargs: object) -> Marks:
    """view, flatten and their like."""
    mark = call.needed(x)
    if args and isinstance(args[0], torch.dtype):
        return call.unknown()
    labels = call.book.reshaped(mark.labels, tuple(x.shape), tuple(call.tensor.shape))
    return replace(mark, labels=labels)


def permuted(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Marks:
    """permute, transpose and their like."""
    mark = call.needed(x)
    key = (call.name, repr(args), repr(kwargs))
    labels = call.book.by_part(key, mark.labels, lambda p, _: call.func(p, *args, **kwargs))
    return mark.moved(labels)


def transposed(call: Call, x: Tensor, *args: object) -> Marks:
    """x.T, x.mT, x.t()."""
    mark = call.needed(x)
    labels = call.book.by_part(call.name, mark.labels, lambda p, _: call.func(p))
    return mark.moved(labels)


def repeated(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Marks:
    """expand, repeat and their like."""
    mark = call.needed(x)
    shape, old = tuple(call.tensor.shape), tuple(x.shape)
    lead = len(shape) - len(old)

    def change(part: Tensor, _: bool) -> Tensor:
        wide = part.reshape((1,) * lead + tuple(part.shape))
        return wide.repeat([
            shape[a] // n if n > 1 else 1 for a, n in enumerate(wide.shape)
        ])  # fmt: skip

    labels = call.book.by_part((call.name, shape, old), mark.labels, change)
    new = [a for a, n in enumerate(shape) if n > 1 and (a < lead or old[a - lead] == 1)]
    return call.over_steps(mark.moved(labels), new)


def stacked(call: Call, parts: Sequence[Tensor], dim: int = 0, **kwargs: object) -> Marks:
    """torch.stack."""
    rank = call.tensor.dim()
    axis = dim % rank
    marks = call.marks(parts)
    kind, natural = call.kind_of(parts)
    labels = [m.labels for m in marks]
    if all(item is labels[0] for item in labels):
        joined = call.book.by_part(("stack", axis), labels[0], lambda p, _: p.unsqueeze(axis))
    else:
        joined = _put_together(call, parts, lambda rows: torch.stack(rows, axis))
    mark = call.made(kind, joined, marks, natural=natural)
    mark = replace(mark, direct=all(m.direct for m in marks))
    return call.over_steps(mark, [axis])


def concatenated(call: Call, parts: Sequence[Tensor], dim: int = 0, **kwargs: object) -> Marks:
    """torch.cat."""
    axis = dim % call.tensor.dim()
    marks = call.marks(parts)
    kind, natural = call.kind_of(parts)
    first = marks[0].labels
    whole = first.sample.shape[axis] == 1 and first.step.shape[axis] == 1
    if whole and all(m.labels is first for m in marks):
        labels = first
    else:
        labels = _put_together(call, parts, lambda rows: torch.cat(rows, axis))
    mark = call.made(kind, labels, marks, natural=natural)
    return replace(mark, direct=all(m.direct for m in marks))


def _put_together(
    call: Call, parts: Sequence[Tensor], run: Callable[[list[Tensor]], Tensor]
) -> Labels:
    marks = [call.mark(x) for x in parts]
    shapes = [tuple(x.shape) for x in parts]
    known = [m.labels for m in marks if m is not None]

    def on(rows: Sequence[Tensor]) -> Tensor:
        given = iter(rows)
        wide = [
            torch.zeros(1, dtype=torch.float64).expand(shape) if m is None
            else next(given).expand(shape)
            for m, shape in zip(marks, shapes, strict=True)
        ]  # fmt: skip
        return run(wide)

    key = (call.name, call.settings(), tuple(shapes), tuple(m is None for m in marks))
    return call.book.moved(key, known, on)[0]


def moved(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Marks:
    """Any other selection, reordering or padding of the values of one tensor."""
    mark = call.needed(x)
    shape = tuple(x.shape)
    if any(call.mark(a) is not None for a in call.flat((args, kwargs))):
        return call.unknown()
    plain = not any(isinstance(a, Tensor) for a in call.flat((args, kwargs)))
    key = (call.name, shape, repr(args), repr(kwargs)) if plain else None

    def run(rows: Sequence[Tensor]) -> Any:
        return call.func(rows[0].expand(shape), *args, **kwargs)

    found = call.book.moved(key, [mark.labels], run)
    marks = [mark.moved(labels) for labels in found]
    return marks if isinstance(call.result, list | tuple) else marks[0]


def padded(
    call: Call, x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Marks:
    """F.pad; another constant than 0 is a value of its own."""
    mark = call.needed(x)
    axes = range(x.dim() - len(pad) // 2, x.dim())
    known = all(p.shape[a] == 1 for p in (mark.labels.sample, mark.labels.step) for a in axes)
    result = mark if known else moved(call, x, pad, mode, value)
    if mode == "constant" and value not in (None, 0) and isinstance(result, Mark):
        return replace(result, kind=Kind.ANALOG, natural=False)
    return result


def written(call: Call, target: Tensor, index: Any, value: Any) -> Marks:
    """target[index] = value. An index that is a signal chooses values, as torch.where does."""
    old, new = call.mark(target), call.mark(value)
    rank, shape = target.dim(), tuple(target.shape)
    base = old.labels if old is not None else call.book_constant(rank)
    kind, natural = call.kind_of([target, value])
    chosen = call.marks(call.flat([[index]]))
    known = [m for m in (old, new, *chosen) if m is not None]
    if chosen and (new is not None or not _masks(index, target)):
        call.uncounted()
        kind, natural = Kind.ANALOG, False
    if chosen:
        labels = call.book.joined([base, *(m.labels for m in (*chosen, *known[:1]))], rank)
    elif new is None:
        labels = base
    else:
        wide, given = tuple(value.shape), new.labels

        def write(whole: Tensor, part: Tensor) -> None:
            whole[index] = part.expand(wide)

        labels = call.book.written(base, shape, given, write)
    call.changed(target, call.made(kind, labels, known, natural=natural))
    return None


def _masks(index: Any, target: Tensor) -> bool:
    return isinstance(index, Tensor) and index.dtype == torch.bool and index.shape == target.shape


def copied(call: Call, x: Tensor, source: Any, *args: object, **kwargs: object) -> Marks:
    """x.copy_(source)."""
    mark = call.mark(source)
    if mark is None:
        return constant(call, x, source)
    if not x.dtype.is_floating_point and mark.kind is Kind.ANALOG:
        return call.unknown()
    shape = tuple(x.shape)
    return mark.moved(call.book.joined([call.book_constant(len(shape)), mark.labels], len(shape)))


def constant(call: Call, x: Tensor, value: Any = 0, *args: object) -> Marks:
    """x.fill_(value) and x.zero_()."""
    kind, natural = call.kind_of([value])
    return call.made(kind, call.joined([x, value]), call.marks([x, value]), natural=natural)
