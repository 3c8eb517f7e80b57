"""Which sample and which step the values of a running module belong to.

A label is an integer tensor of the rank of the tensor that it describes, with extent 1 along every
axis on which it does not vary. Labels go through the module's own data movement: the same function
is applied to them. They stay as small as the sample and step axes, so that they cost next to
nothing; equal labels are one object, so that whatever was derived from them can be looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from snnc.ir import Kind

NONE = -1
"""Of no sample, or the same at every step: constants and static values."""
MIXED = -2
"""Values of several samples in one."""

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Labels:
    """Sample and step of every value, int64 tensors of the rank of what they describe."""

    sample: Tensor
    step: Tensor


@dataclass(frozen=True, eq=False)
class Partial:
    """Sums over the channels of spikes, made once for the neurons and for the layer behind them.

    Attributes:
        sums: (rows, 1, …), for spikes of shape (rows, channels, …), contiguous.
        place: memory, number of values and version of the tensor that was summed.
    """

    sums: Tensor
    place: tuple[int, int, int]

    def fits(self, x: Tensor, axes: Shape) -> bool:
        """Whether these are the sums of `x` over `axes`."""
        rows, _, *rest = self.sums.shape
        return (
            axes == (1,)
            and x.shape[0] == rows
            and list(x.shape[2:]) == rest
            and x.is_contiguous()
            and place_of(x) == self.place
        )


def place_of(x: Tensor) -> tuple[int, int, int]:
    """Where a tensor's values are, and which ones."""
    return x.data_ptr(), x.numel(), x._version


@dataclass(frozen=True, eq=False)
class Mark:
    """What is known of a tensor that depends on the module's input.

    Attributes:
        kind: static type of its values.
        labels: whose values they are.
        static: made from inputs that are the same at every step, without any state.
        direct: an analog input of the module, moved at most.
        natural: integers that can't be negative.
        weighted: what a layer with weights put out, moved at most.
        source: name of the operation that made it.
        partial: sums over its channels, as long as it is reshaped at most.
    """

    kind: Kind
    labels: Labels
    static: bool = False
    direct: bool = False
    natural: bool = False
    weighted: bool = False
    source: str = ""
    partial: Partial | None = None

    def moved(self, labels: Labels) -> Mark:
        """The same values in another order."""
        return replace(self, labels=labels, partial=None)


class Book:
    """All labels of a measurement; equal ones are the same object."""

    def __init__(self) -> None:
        self._parts: dict[tuple[Shape, bytes], Tensor] = {}
        self._known: dict[Any, Any] = {}

    def part(self, values: Tensor) -> Tensor:
        """The one tensor with these values, without the axes on which they don't vary."""
        values = compact(values)
        key = (tuple(values.shape), values.contiguous().numpy().tobytes())
        return self._parts.setdefault(key, values)

    def constant(self, value: int, rank: int) -> Tensor:
        """The same label for everything."""
        return self.part(torch.full((1,) * rank, value))

    def along(self, axis: int, extent: int, rank: int) -> Tensor:
        """0, 1, 2, … along an axis."""
        shape = [1] * rank
        shape[axis] = extent
        return self.part(torch.arange(extent).reshape(shape))

    def looked_up(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once per key."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def by_part(
        self, what: Any, labels: Labels, change: Callable[[Tensor, bool], Tensor]
    ) -> Labels:
        """The labels with both parts changed in the same way; `change` is told which is which."""

        def changed(part: Tensor, is_step: bool) -> Tensor:
            key = (what, id(part), is_step)
            return self.looked_up(key, lambda: self.part(change(part, is_step)))

        return Labels(changed(labels.sample, False), changed(labels.step, True))

    def joined(self, parts: Sequence[Labels], rank: int) -> Labels:
        """Labels of what is computed value by value, with torch's broadcasting."""
        first = parts[0]
        if all(p is first for p in parts) and first.sample.dim() == rank:
            return first
        samples, steps = [p.sample for p in parts], [p.step for p in parts]
        return Labels(self._merged(samples, rank, False), self._merged(steps, rank, True))

    def _merged(self, parts: Sequence[Tensor], rank: int, is_step: bool) -> Tensor:
        different = list({id(part): part for part in parts}.values())
        if len(different) == 1 and different[0].dim() == rank:
            return different[0]
        key = ("join", tuple(map(id, different)), rank, is_step)
        return self.looked_up(key, lambda: self.part(_merge(different, rank, is_step)))

    def reduced(self, labels: Labels, axes: Iterable[int]) -> Labels:
        """Labels of what is computed from all values along some axes, which stay with extent 1."""
        chosen = tuple(sorted(axis % labels.sample.dim() for axis in axes))
        return self.by_part(("reduce", chosen), labels, lambda p, s: _reduce(p, chosen, s))

    def squeezed(self, labels: Labels, axes: Iterable[int]) -> Labels:
        """Labels without axes along which they don't vary."""
        rank = labels.sample.dim()
        gone = {axis % rank for axis in axes}

        def change(part: Tensor, _: bool) -> Tensor:
            return part.reshape([n for i, n in enumerate(part.shape) if i not in gone])

        return self.by_part(("squeeze", tuple(sorted(gone))), labels, change)

    def reshaped(self, labels: Labels, old: Shape, new: Shape) -> Labels:
        """Labels of a reshaped tensor (row-major, as torch has it)."""
        if old == new:
            return labels
        return self.by_part(("shape", old, new), labels, lambda p, _: _reshape(p, old, new))

    def refitted(self, labels: Labels, old: Shape, new: Shape) -> Labels:
        """Labels of a result of another shape whose leading axes are those of its input; other
        axes keep no label of their own."""
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        whole = self.reduced(labels, range(same, len(old)))
        lead = self.squeezed(whole, range(same, len(old)))

        def change(part: Tensor, _: bool) -> Tensor:
            return part.reshape(*part.shape, *(1,) * (len(new) - same))

        return self.by_part(("refit", len(new) - same), lead, change)

    def written(
        self, target: Labels, shape: Shape, value: Labels, write: Callable[[Tensor, Tensor], None]
    ) -> Labels:
        """Labels of a tensor into a part of which another one is written."""
        parts = []
        for old, new in ((target.sample, value.sample), (target.step, value.step)):
            whole = old.expand(shape).clone()
            write(whole, new)
            parts.append(self.part(whole))
        return Labels(*parts)

    def moved(
        self, key: Any, labels: Sequence[Labels], run: Callable[[Sequence[Tensor]], Any]
    ) -> list[Labels]:
        """Labels of the results of any data movement.

        Args:
            key: of the function with its arguments and shapes; None if they can't be told.
            run: the function on stand-ins of its tensors: real numbers, 0 for no label.
        """
        rows = []
        for kind in ("sample", "step"):
            parts = [getattr(item, kind) for item in labels]

            def make(parts: list[Tensor] = parts) -> list[Tensor]:
                result = run([(part + 1).double() for part in parts])
                results = [result] if isinstance(result, Tensor) else list(result)
                return [self.part(_small(r).round().long() - 1) for r in results]

            if key is None:
                rows.append(make())
            else:
                rows.append(self.looked_up((key, tuple(map(id, parts))), make))
        return [Labels(*pair) for pair in zip(*rows, strict=True)]


def varies(part: Tensor) -> tuple[int, ...]:
    """Axes along which a label varies."""
    return tuple(axis for axis, extent in enumerate(part.shape) if extent > 1)


def compact(part: Tensor) -> Tensor:
    """The same labels, with extent 1 where they don't vary; what has no label fits any."""
    for axis, extent in enumerate(part.shape):
        if extent == 1:
            continue
        high = part.amax(axis, keepdim=True)
        if bool(((part == high) | (part == NONE)).all()) and not bool((high == MIXED).any()):
            part = high
        elif bool((part == part.narrow(axis, 0, 1)).all()):
            part = part.narrow(axis, 0, 1)
    return part


def _merge(parts: Sequence[Tensor], rank: int, is_step: bool) -> Tensor:
    total = None
    for part in parts:
        wide = part.reshape((1,) * (rank - part.dim()) + tuple(part.shape))
        if total is None:
            total = wide
        elif is_step:
            total = torch.maximum(total, wide)
        else:
            agreed = torch.where(total == NONE, wide, total)
            clash = (agreed != wide) & (wide != NONE)
            total = torch.where(clash, MIXED, agreed)
    assert total is not None
    return total


def _reduce(part: Tensor, axes: Shape, is_step: bool) -> Tensor:
    for axis in axes:
        if part.shape[axis] == 1:
            continue
        high = part.amax(axis, keepdim=True)
        if not is_step:
            clash = ((part != high) & (part != NONE)).any(axis, keepdim=True)
            high = torch.where(clash, MIXED, high)
        part = high
    return part


def _reshape(part: Tensor, old: Shape, new: Shape) -> Tensor:
    """Only the groups of axes along which the labels vary are spread out."""
    middle: list[int] = []
    result: list[int] = []
    for before, after in _groups(old, new):
        spread = any(part.shape[axis] > 1 for axis in before)
        middle += [old[axis] if spread else 1 for axis in before]
        result += [new[axis] if spread else 1 for axis in after]
    return part.expand(middle).reshape(result)


def _groups(old: Shape, new: Shape) -> Iterable[tuple[list[int], list[int]]]:
    """The smallest runs of axes of both shapes that hold the same number of values."""
    i = j = 0
    while i < len(old) or j < len(new):
        before, after, left, right = [], [], 1, 1
        if i < len(old):
            before.append(i)
            left, i = old[i], i + 1
        if j < len(new):
            after.append(j)
            right, j = new[j], j + 1
        while left != right:
            if left < right:
                before.append(i)
                left, i = left * old[i], i + 1
            else:
                after.append(j)
                right, j = right * new[j], j + 1
        yield before, after


def _small(values: Tensor) -> Tensor:
    """Without the axes that only repeat the same memory."""
    for axis, stride in enumerate(values.stride()):
        if stride == 0 and values.shape[axis] > 1:
            values = values.narrow(axis, 0, 1)
    return values
