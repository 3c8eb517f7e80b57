"""Synaptic operations of a running module: what enters its layers, against the exact fan-out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.energy.counts import Operation
from snnc.energy.fanout import fan_out
from snnc.energy.meter.labels import Book, Labels, Mark, Partial, varies
from snnc.energy.meter.records import Cells, cells, one_evaluation, summed
from snnc.errors import InputError
from snnc.ir import Conv, ConvTranspose, Kind, Linear

A = NDArray[Any]
Shape = tuple[int, ...]
Layer = Linear | Conv | ConvTranspose


@dataclass(frozen=True, eq=False)
class Plan:
    """How the activations of one layer are counted: made once for a weight, a shape and labels.

    Attributes:
        operation: of `Synapses`.
        node: the layer.
        features: axes of one evaluation.
        in_shape: extents of one evaluation.
        evaluations: of the layer in one call, over all samples.
        quick: axes that are summed first, because neither fan-out nor labels vary along them.
        reach: fan-out, one axis per axis of the input.
        gaps: (channel axis, channels, their products with weights that are 0), if there are any.
        cells: where sums are counted.
    """

    operation: Operation
    node: Layer
    features: Shape
    in_shape: Shape
    dense: int
    taps: int
    quick: Shape
    reach: Tensor
    gaps: tuple[int, Tensor, Tensor] | None
    cells: Cells


def plan(
    operation: Operation,
    node: Layer,
    shape: Shape,
    features: Shape,
    labels: Labels,
    samples: int,
    book: Book,
    name: str,
) -> Plan:
    """The plan for inputs of `shape`, of which `features` are the axes that the node sees.

    Raises:
        InputError: samples of the batch meet in one evaluation.
    """
    rank = len(shape)
    lead = tuple(axis for axis in range(rank) if axis not in features)
    reduced = book.reduced(labels, features)
    node_shape = tuple(shape[axis] for axis in features)
    reach = fan_out(node, node_shape)
    # Tokens: axes that a Linear does not see, and that belong to one evaluation of it.
    varying = {*varies(reduced.sample), *varies(reduced.step)}
    if operation == "linear":
        tokens = tuple(shape[a] for a in lead if a not in varying and shape[a] > 1)
        spot = cells(reduced, shape, (), samples, name)
        repeats = spot.index.size // (samples * len({t for t, _ in spot.keys}))
        if repeats > 1:
            tokens = (*tokens, repeats)
            spot = one_evaluation(spot, repeats)
    else:
        tokens = ()
        spot = cells(reduced, shape, lead, samples, name)
    wide = _spread(torch.from_numpy(reach.all), features, rank)
    gaps = None
    if reach.nonzero is not reach.all:
        lost = np.broadcast_to(reach.all - reach.nonzero, node_shape)
        channels = np.flatnonzero(lost.reshape(len(lost), -1).any(1))
        if channels.size:
            kept = torch.from_numpy(lost[channels].astype(np.float64))
            gaps = (features[0], torch.from_numpy(channels), _spread(kept, features, rank))
    quick = tuple(a for a in range(rank) if a not in spot.axes and wide.shape[a] == 1)
    return Plan(
        operation, node, features, (*tokens, *node_shape), math.prod(tokens) * reach.dense,
        math.prod(tokens) * reach.taps, quick, wide.double(), gaps, spot,
    )  # fmt: skip


def _spread(values: Tensor, features: Shape, rank: int) -> Tensor:
    """Values over the features (leading ones may be missing), as a tensor of `rank` axes."""
    full = values.reshape((1,) * (len(features) - values.dim()) + tuple(values.shape))
    shape = [1] * rank
    for axis, extent in zip(features, full.shape, strict=True):
        shape[axis] = extent
    return full.reshape(shape)


class Activity:
    """Non-zero values and magnitudes of an activation, in memory that is used again."""

    def __init__(self) -> None:
        self._memory: dict[torch.dtype, Tensor] = {}

    def events(self, x: Tensor, mark: Mark) -> Tensor:
        """1 where a value is not 0; spikes are that already."""
        if mark.kind is Kind.SPIKE:
            return x if x.is_floating_point() else x.float()
        return torch.ne(x, 0, out=self._room(x))

    def sizes(self, x: Tensor, mark: Mark) -> Tensor:
        """|x|."""
        if mark.natural:
            return x if x.is_floating_point() else x.double()
        return torch.abs(x, out=self._room(x)) if x.is_floating_point() else x.abs().double()

    def _room(self, x: Tensor) -> Tensor:
        dtype = x.dtype if x.is_floating_point() else torch.float32
        memory = self._memory.get(dtype)
        if memory is None or memory.numel() < x.numel():
            memory = self._memory[dtype] = torch.empty(x.numel(), dtype=dtype)
        return memory[: x.numel()].view(x.shape)


def measured(x: Tensor, mark: Mark, plan: Plan, activity: Activity, name: str) -> dict[str, A]:
    """(sample, column) of every quantity of `Synapses`.

    Raises:
        InputError: NaN or infinite activity, or spikes that are not 0 or 1.
    """
    if mark.kind is Kind.ANALOG and not bool(torch.isfinite(x.sum())):
        check_finite(x, name)
    known = mark.partial if mark.partial is not None and mark.partial.fits(x, plan.quick) else None
    events, products, kept = _counted(activity.events(x, mark), plan, mark.kind, x, name, known)
    nothing = np.zeros_like(events)
    result = {"events": events, "value": nothing, "products": products, "operations": products,
                  "products_nonzero": kept, "operations_nonzero": kept}  # fmt: skip
    if mark.kind is Kind.SPIKE:
        result["value"] = events
    elif mark.kind is Kind.GRADED:
        sizes = activity.sizes(x, mark)
        result["value"], result["operations"], result["operations_nonzero"] = _counted(
            sizes, plan, mark.kind, x, name
        )
    return result


def _counted(
    x: Tensor, plan: Plan, kind: Kind, original: Tensor, name: str, known: Partial | None = None
) -> tuple[A, A, A]:
    """Σ x, Σ x·fan-out and the same without zero weights, by cell."""
    most = 1 if kind is Kind.SPIKE or x is not original else math.inf
    sums = summed(x, plan.quick, most) if known is None else known.sums
    if kind is not Kind.ANALOG and known is None:
        check_whole(sums, original, plan.quick, kind, name)
    every = plan.cells.count(_on_cells(sums, plan.cells))
    if plan.reach.numel() == 1:
        products = every * float(plan.reach)
    else:
        products = plan.cells.count(_on_cells(sums * plan.reach, plan.cells))
    if plan.gaps is None:
        return every, products, products
    axis, channels, lost = plan.gaps
    part = x if len(channels) == x.shape[axis] else x.index_select(axis, channels)
    missed = plan.cells.count(_on_cells(part.double() * lost, plan.cells))
    return every, products, products - missed


def _on_cells(x: Tensor, spot: Cells) -> A:
    rest = tuple(axis for axis in range(x.dim()) if axis not in spot.axes)
    return np.asarray((x.sum(rest, dtype=torch.float64) if rest else x).numpy())


def check_finite(x: Tensor, name: str) -> None:
    """Raises:
    InputError: it has NaN or infinite values.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError(
            name, "its input becomes NaN or infinite", "check the data, weights and scales"
        )


def check_spikes(x: Tensor, name: str) -> None:
    """Raises:
    InputError: it holds other values than 0 and 1.
    """
    if not bool(((x == 0) | (x == 1)).all()):
        check_finite(x, name)
        raise InputError(
            name, "its spikes are not 0 or 1 everywhere", "give a neuron that puts out spikes"
        )


def check_whole(sums: Tensor, x: Tensor, axes: Shape, kind: Kind, name: str) -> None:
    """Spikes and integers by type must be such.

    Raises:
        InputError: they are not.
    """
    most = math.prod(x.shape[axis] for axis in axes) if kind is Kind.SPIKE else math.inf
    least, largest = (float(end) for end in torch.aminmax(sums))
    inside = least >= 0 and largest <= most and math.isfinite(largest)
    if inside and torch.equal(sums, sums.round()):
        return
    check_finite(x, name)
    wanted = "0 or 1" if kind is Kind.SPIKE else "integers"
    raise InputError(
        name, f"its input is {kind.value} by type but holds values that are not {wanted}",
        "check the neuron before it, and input_kind",
    )  # fmt: skip
