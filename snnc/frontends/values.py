"""What the tracer knows of a tensor: which node it comes from, at which steps, with which axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from snnc.ir.ops import Port

Axis = Literal["B", "T", "TB", "BT", "F"]
"""Batch, time, both merged (`TB`: time is the slower one), or a feature axis."""

Axes = tuple[Axis, ...]

MERGED: dict[tuple[Axis, ...], Axis] = {("T", "B"): "TB", ("B", "T"): "BT"}
SPLIT: dict[Axis, tuple[Axis, Axis]] = {"TB": ("T", "B"), "BT": ("B", "T")}


def feature_axes(count: int) -> Axes:
    """Labels of `count` feature axes."""
    axis: Axis = "F"
    return (axis,) * count


@dataclass(frozen=True)
class Value:
    """The meaning of a tensor.

    Attributes:
        node: graph node that it comes from.
        axes: one label per axis; the feature axes are those of the node, in order.
        time: `static` the same at every step; `steps` the steps start..stop − 1; `total` their sum
            over `divisor`.
        port: `s` the node's output, `u`, `v` a state of a neuron.
        start, stop: range of the steps; with `static`, stop − start is the extent of the time axis.
        broken: why the tensor can't be used any more, empty where it can.
    """

    node: str
    axes: Axes
    time: Literal["static", "steps", "total"] = "static"
    port: Port = "s"
    start: int = 0
    stop: int = 1
    divisor: float = 1.0
    broken: str = ""

    @property
    def undecided(self) -> int | None:
        """Position of an axis of extent 1 that unsqueeze made: one step, or a feature axis."""
        return self.axes.index("T") if "T" in self.axes and self.count == 1 else None

    @property
    def has_time_axis(self) -> bool:
        """Whether an axis runs over steps."""
        return any(axis in ("T", "TB", "BT") for axis in self.axes)

    @property
    def features(self) -> list[int]:
        """Positions of the feature axes."""
        return [i for i, axis in enumerate(self.axes) if axis == "F"]

    @property
    def count(self) -> int:
        """Number of steps."""
        return self.stop - self.start

    def steps(self, start: int, stop: int) -> Value:
        """The steps `start`..`stop` − 1 of this value's own range."""
        if self.time == "static":
            return replace(self, start=0, stop=stop - start)
        return replace(self, start=self.start + start, stop=self.start + stop)

    def with_axes(self, axes: Sequence[Axis]) -> Value:
        """The same value under other axes."""
        return replace(self, axes=tuple(axes))

    def without_axis(self, position: int) -> Value:
        """The same value with an axis removed."""
        return self.with_axes((*self.axes[:position], *self.axes[position + 1 :]))

    def with_axis(self, position: int, axis: Axis) -> Value:
        """The same value with an axis inserted before `position`."""
        return self.with_axes((*self.axes[:position], axis, *self.axes[position:]))

    def sum_with(self, other: Value) -> Value | None:
        """The total of two neighbouring ranges of steps, None if they don't add up to one."""
        mine = replace(self, time="steps", start=0, stop=0)
        theirs = replace(other, time="steps", start=0, stop=0)
        if "static" in (self.time, other.time) or mine != theirs or self.stop != other.start:
            return None
        if self.has_time_axis or self.divisor != 1:
            return None
        return replace(self, time="total", stop=other.stop)


AXIS_NAMES: dict[Axis, str] = {
    "B": "batch",
    "T": "step",
    "F": "feature",
    "TB": "step·batch",
    "BT": "batch·step",
}


def describe(value: Value) -> str:
    """The axes of a value in words."""
    return f"({', '.join(AXIS_NAMES[axis] for axis in value.axes)})"


def joined(values: Sequence[Value]) -> Value | None:
    """Values of neighbouring steps as one value over all of them, None if they are not such.

    Their axes stay as they are; the caller inserts or keeps the time axis.
    """
    first = values[0]
    if first.time == "total":
        return None
    stop = first.start
    for value in values:
        same = replace(value, start=0, stop=0) == replace(first, start=0, stop=0)
        if not same or (value.time == "steps" and value.start != stop):
            return None
        stop += value.count
    return replace(first, stop=stop)
