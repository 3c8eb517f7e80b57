"""One call of a function of torch on signals: what its rule sees and can do."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from snnc.energy.counts import Cause, Op, Operation
from snnc.energy.meter.labels import NONE, Labels, Mark, varies
from snnc.energy.meter.neurons import tensors
from snnc.energy.meter.records import (
    Columns,
    LineRecord,
    SynapseRecord,
    summed,
)
from snnc.energy.meter.rules import Marks
from snnc.energy.meter.weights import (
    Plan,
    check_finite,
    check_whole,
    measured,
    plan,
)
from snnc.frontends.neurons import to_numpy
from snnc.frontends.source_lines import is_library
from snnc.ir import Kind, Linear

if TYPE_CHECKING:
    from snnc.energy.meter.mode import Meter

Shape = tuple[int, ...]
KEPT_MAX = 1024
"""Plans that are kept."""


class Call:
    """One call of a function of torch, after it has run."""

    def __init__(
        self, meter: Meter, name: str, func: Any, args: Any, kwargs: Any, result: Any
    ) -> None:
        self.meter, self.book, self.name, self.func = meter, meter.book, name, func
        self.args, self.kwargs, self.result = args, dict(kwargs), result

    def like(self, func: Any, args: Any, result: Any) -> Call:
        """A call that this one is made of, under the same name."""
        return Call(self.meter, self.name, func, args, {}, result)

    @cached_property
    def place(self) -> str:
        """What the operation is called in the counts."""
        return self.meter.place(self.name)

    @property
    def tensor(self) -> Tensor:
        """The tensor that the function returned, or the first of several."""
        result = self.result[0] if isinstance(self.result, list | tuple) else self.result
        assert isinstance(result, Tensor)
        return result

    @cached_property
    def everything(self) -> list[Any]:
        """All arguments."""
        return flat((self.args, self.kwargs))

    @staticmethod
    def flat(items: Any) -> list[Any]:
        """All values in nested lists and dicts."""
        return flat(items)

    def settings(self) -> str:
        """The arguments that are no tensors."""
        return repr([x for x in self.everything if not isinstance(x, Tensor)])

    def mark(self, x: object) -> Mark | None:
        """The mark of an argument."""
        return self.meter.mark(x)

    def needed(self, x: Any) -> Mark:
        """The mark of an argument that must have one; else that of the first that has."""
        mark = self.mark(x)
        return mark if mark is not None else self.marks(self.everything)[0]

    def marks(self, items: Iterable[Any]) -> list[Mark]:
        """The marks of those that have one."""
        return [m for m in map(self.meter.mark, items) if m is not None]

    def kind_of(self, items: Iterable[Any]) -> tuple[Kind, bool]:
        """Type of what holds values of all these, and whether none is negative; constants have
        the type of their own values."""
        kinds, natural = [], True
        for x in items:
            mark = self.mark(x)
            if mark is not None:
                kinds.append(mark.kind)
                natural &= mark.natural
            elif x is not None:
                kind, positive = constant_kind(x), bool((torch.as_tensor(x) >= 0).all())
                kinds.append(kind)
                natural &= positive
        return common_kind(kinds), natural

    def made(
        self, kind: Kind, labels: Labels, marks: Sequence[Mark], natural: bool = False,
        weighted: bool = False,
    ) -> Mark:  # fmt: skip
        """The mark of a result that was computed from `marks`."""
        return Mark(
            kind, labels, all(m.static for m in marks), False, natural and kind is not Kind.ANALOG,
            weighted, self.place,
        )  # fmt: skip

    def joined(self, items: Iterable[Any]) -> Labels:
        """Labels of a result that is computed value by value."""
        labels = [m.labels for m in self.marks(items)]
        return self.book.joined(labels, self.tensor.dim())

    def pair(self, x: Any, y: Any) -> tuple[list[Mark], int]:
        """The marks of two operands, and the values of the result in one evaluation."""
        marks = self.marks([x, y])
        return marks or self.marks(self.everything), self.values(self.tensor)

    def share(self, values: int, steps: int) -> int:
        """Values of one sample and one of `steps` evaluations."""
        samples = self.meter.samples
        return values // (samples * steps) if values % (samples * steps) == 0 else values // samples

    def values(self, x: Tensor) -> int:
        """Values of a tensor in one evaluation."""
        mark = self.mark(x)
        labels = mark.labels if mark else self.joined(self.everything)
        return self.share(x.numel(), self.meter.evaluations(labels))

    def line(
        self, cause: Cause, what: str, work: Mapping[Op, int], follows: Mark | None = None,
        labels: Labels | None = None,
    ) -> None:  # fmt: skip
        """Counts one call of an operation, whose work is that of one evaluation."""
        meter = self.meter
        work = {op: count for op, count in work.items() if count}
        if meter.inside or not work:
            return
        marks = self.marks(self.everything)
        labels = labels or self.joined(self.everything)
        steps = meter.evaluations(labels)
        first = next(x for x in self.everything if self.mark(x) is not None)
        inputs = self.share(first.numel(), steps)
        outputs = self.share(self.tensor.numel(), steps)
        static = all(m.static for m in marks)
        key = (self.place, cause, what, inputs, outputs, tuple(work.items()))
        foldable = follows is not None and follows.weighted
        record = meter.site(key, static, marks[0].source, lambda: LineRecord(
            self.place, cause, what, static, inputs, outputs, work, meter.samples, foldable
        ))  # fmt: skip
        record.evaluations += steps

    def over_rows(self, mark: Mark, axes: Iterable[int]) -> Labels:
        """Labels of what is normalised along some axes."""
        rank = mark.labels.sample.dim()
        axes = [axis % rank for axis in axes]
        parts = (mark.labels.sample, mark.labels.step)
        if any(part.shape[axis] > 1 for part in parts for axis in axes):
            return self.book.reduced(mark.labels, axes)
        return mark.labels

    def over_steps(self, mark: Mark, new: Sequence[int]) -> Mark:
        """A static signal that was repeated for every step, along a new axis."""
        asked, shape = self.meter.asked, tuple(self.tensor.shape)
        fits = [axis for axis in new if asked is not None and asked > 1 and shape[axis] == asked]
        still = mark.labels.step.numel() == 1 and int(mark.labels.step) == NONE
        if not mark.static or not still or len(fits) != 1:
            return mark
        step = self.book.along(fits[0], shape[fits[0]], len(shape))
        return replace(mark, labels=Labels(mark.labels.sample, step))

    def window_labels(self, mark: Mark, rank: int) -> Labels:
        """Labels behind windows over the last `rank` axes."""
        return self.book.reduced(mark.labels, range(-rank, 0))

    def unknown(self) -> Marks:
        """A function without a rule: it makes the totals incomplete."""
        meter = self.meter
        results = [t for t in tensors(self.result) if t.is_floating_point() or t.is_complex()]
        if not results:
            return None
        self.uncounted()
        for result in results:
            meter.set(result, self._unknown(result))
        return None

    def uncounted(self) -> None:
        """Names the function as one without a rule."""
        self.meter.uncounted[self.place] = self.name

    def _unknown(self, result: Tensor) -> Mark:
        operands = [x for x in self.everything if self.mark(x) is not None]
        shape = tuple(result.shape)
        alike = [x for x in operands if tuple(x.shape) == shape]
        marks = self.marks(alike or operands)
        if alike:
            labels = self.book.joined([m.labels for m in marks], len(shape))
        else:
            fitted = [
                self.book.refitted(m.labels, tuple(x.shape), shape)
                for m, x in zip(marks, operands, strict=True)
            ]
            labels = self.book.joined(fitted, len(shape))
        return self.made(Kind.ANALOG, labels, self.marks(operands))

    def changed(self, x: Tensor, mark: Mark) -> None:
        """Gives an argument that was changed its mark."""
        self.meter.set(x, mark)
        self.meter._changed_in_place(x, mark)

    def book_constant(self, rank: int) -> Labels:
        """Labels of a constant."""
        return Labels(*(self.book.constant(NONE, rank),) * 2)

    def spiking(self, mark: Mark) -> Mark:
        """What a comparison gives: spikes of its own step, whatever it remembers."""
        meter = self.meter
        meter.spiked = True
        if meter.sequences or varies(mark.labels.step):
            steps = meter.evaluations(mark.labels) if varies(mark.labels.step) else 1
            meter.steps = max(meter.steps, steps)
            return replace(mark, static=False)
        key = (self.place, self.name, _user_line())
        step = meter.calls.get(key, 0)
        meter.calls[key] = step + 1
        meter.steps = max(meter.steps, step + 1)
        rank = self.tensor.dim()
        labels = Labels(mark.labels.sample, self.book.constant(step, rank))
        return replace(mark, static=False, labels=labels)

    def layer(
        self, operation: Operation, x: Tensor, weight: Tensor, make: Callable[[Any], Any],
        settings: tuple[Any, ...], features: Sequence[int], biased: bool,
    ) -> Mark:  # fmt: skip
        """A Linear of the last axis but one or the last."""
        rank = x.dim()
        axes = tuple(axis % rank for axis in features)
        key = (self.name, settings, rank)
        return self._weighted(
            operation, x, weight, lambda: make(to_numpy(weight)), key, axes, biased
        )

    def window(
        self, operation: Operation, x: Tensor, weight: Tensor, make: Callable[[Any, Any], Any],
        settings: tuple[Any, ...], rank: int, biased: bool,
    ) -> Mark:  # fmt: skip
        """A convolution; axes of steps that it only passes along are not its own (slayer)."""
        mark = self.needed(x)
        first = x.dim() - rank
        plain = [
            a for a in range(rank)
            if weight.shape[2 + a] == 1 and settings[0][a] == 1 and settings[1][a] == 0
            and mark.labels.step.shape[first + a] > 1
        ]  # fmt: skip
        kept = [a for a in range(rank) if a not in plain]
        axes = (first - 1, *(first + a for a in kept))

        def node() -> Any:
            values = to_numpy(weight)
            return make(values.squeeze(tuple(2 + a for a in plain)), kept)

        key = (self.name, settings, tuple(kept))
        return self._weighted(operation, x, weight, node, key, axes, biased)

    def _weighted(
        self, operation: Operation, x: Tensor, weight: Tensor, make: Callable[[], Any],
        key: Any, axes: Shape, biased: bool,
    ) -> Mark:  # fmt: skip
        meter, mark = self.meter, self.needed(x)
        plans = meter.plans
        if len(plans) > KEPT_MAX:
            plans.clear()
        full = (id(weight), weight._version, key, tuple(x.shape), id(mark.labels.sample),
                id(mark.labels.step), meter.samples)  # fmt: skip
        # Of weights that a forward computes anew, only the last are kept.
        slot = full if id(weight) in meter.own else (self.place, key)
        known, _, layout = plans.get(slot, (None, None, None))
        if known != full:
            layout = plan(
                operation, make(), tuple(x.shape), axes, mark.labels, meter.samples, self.book,
                self.place,
            )  # fmt: skip
            plans[slot] = (full, weight, layout)
        counts = measured(x.detach(), mark, layout, meter.activity, self.place)
        self._count(layout, mark, weight, axes, biased, counts)
        labels = self.book.reduced(mark.labels, axes)
        return self.made(Kind.ANALOG, labels, [mark], weighted=True)

    def _count(
        self, layout: Plan, mark: Mark, weight: Tensor, axes: Shape, biased: bool,
        counts: Mapping[str, Any],
    ) -> None:  # fmt: skip
        node, result = layout.node, self.tensor
        tokens = layout.in_shape[: len(layout.in_shape) - len(axes)]
        out = (*tokens, *(result.shape[a] for a in axes))
        own = id(weight) if isinstance(weight, nn.Parameter) else None
        key = (self.place, own, layout.operation, layout.in_shape, out, mark.kind, mark.direct)
        keys = layout.cells.keys
        window = None if isinstance(node, Linear) else node
        record = self.meter.site(key, mark.static, mark.source, lambda: SynapseRecord(
            self.place, layout.operation, mark.kind, mark.direct and mark.kind is Kind.ANALOG,
            mark.static, layout.in_shape, out, layout.dense, layout.taps,
            Columns(self.meter.samples), window.kernel if window else (),
            window.stride if window else (), window.groups if window else 1, weight.numel(),
            biased,
        ), lambda known: not known.columns.taken(keys))  # fmt: skip
        record.columns.add(keys, counts)

    def attention(self, x: Tensor, y: Tensor) -> Mark:
        """A·B of two signals."""
        meter, place, book = self.meter, self.place, self.book
        a, b = self.needed(x), self.needed(y)
        x, y = x.detach(), y.detach()
        rank = self.tensor.dim()
        sides = [book.reduced(m.labels, (-1, -2)) for m in (a, b)]
        labels = book.joined(sides, rank)
        shape = (*self.tensor.shape[:-2], 1, 1)
        spot = meter.rows(labels, shape, place)
        kind = common_kind([a.kind, b.kind])
        for t, m in ((x, a), (y, b)):
            if m.kind is Kind.ANALOG and not bool(torch.isfinite(t.sum())):
                check_finite(t, place)

        def sums(values: Tensor, axis: int, m: Mark, t: Tensor) -> Tensor:
            found = summed(values, (values.dim() + axis,))
            if m.kind is not Kind.ANALOG:
                check_whole(found, t, (t.dim() + axis,), m.kind, place)
            return found.squeeze(axis).double()

        def over(values: Tensor) -> Any:
            wide = values.expand(shape[:-2])
            rest = tuple(i for i in range(wide.dim()) if i not in spot.axes)
            return spot.count((wide.sum(rest) if rest else wide).numpy())

        left = sums(meter.activity.events(x, a), -2, a, x)
        right = sums(meter.activity.events(y, b), -1, b, y)
        met = over((left * right).sum(-1))
        events, second = over(left.sum(-1)), over(right.sum(-1))
        value, done = np.zeros_like(met), met
        if kind is not Kind.ANALOG:
            large = sums(meter.activity.sizes(x, a), -2, a, x)
            other = sums(meter.activity.sizes(y, b), -1, b, y)
            done, value = over((large * other).sum(-1)), over(large.sum(-1))
        heads = math.prod(shape) // (meter.samples * len(spot.keys))
        rows, inner, columns = x.shape[-2], x.shape[-1], y.shape[-1]
        dense = heads * rows * inner * columns
        static = a.static and b.static
        key = (place, "attention", heads, rows, inner, columns, kind)
        source = f"{a.source} {b.source}"
        record = meter.site(key, static, source, lambda: SynapseRecord(
            place, "attention", kind, False, static, (heads, rows, inner), (heads, rows, columns),
            dense, dense, Columns(meter.samples), second_size=heads * inner * columns,
        ), lambda known: not known.columns.taken(spot.keys))  # fmt: skip
        measured_now = {
            "events": events, "value": value, "products": met, "operations": done,
            "products_nonzero": met, "operations_nonzero": done, "second_events": second,
        }  # fmt: skip
        record.columns.add(spot.keys, measured_now)
        whole = kind is not Kind.ANALOG
        natural = a.natural and b.natural
        return self.made(
            Kind.GRADED if whole else Kind.ANALOG, labels, [a, b], natural=whole and natural
        )


def flat(items: Any) -> list[Any]:
    """All values in nested lists, tuples and dicts."""
    found: list[Any] = []
    for item in items.values() if isinstance(items, dict) else items:
        if isinstance(item, list | tuple | dict):
            found += flat(item)
        else:
            found.append(item)
    return found


def common_kind(kinds: Sequence[Kind]) -> Kind:
    """Type of what holds values of all these types."""
    if Kind.ANALOG in kinds:
        return Kind.ANALOG
    return Kind.GRADED if Kind.GRADED in kinds else Kind.SPIKE


def constant_kind(x: Any) -> Kind:
    """Type of a constant, which its own values say."""
    values = torch.as_tensor(x)
    if bool(((values == 0) | (values == 1)).all()):
        return Kind.SPIKE
    return Kind.GRADED if bool((values == values.round()).all()) else Kind.ANALOG


_OWN = str(Path(__file__).parent)


def _user_line() -> tuple[str, int] | None:
    """File and line of the innermost frame that is no library's."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OWN) and not is_library(name):
            return name, frame.f_lineno
        frame = frame.f_back
    return None
