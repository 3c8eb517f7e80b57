"""What a measurement of a running module collects: a record per place, a column per evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.energy import rules
from snnc.energy.counts import (
    Cause,
    Line,
    Measured,
    Op,
    Operation,
    Population,
    Synapses,
    whole,
)
from snnc.energy.meter.labels import NONE, Labels, varies
from snnc.errors import InputError
from snnc.ir import Kind, Neuron

A = NDArray[Any]
Shape = tuple[int, ...]
QUANTITIES = tuple(Measured.__annotations__)


@dataclass(frozen=True, eq=False)
class Cells:
    """Where the values along the labelled axes of a tensor are counted.

    Attributes:
        axes: along which sums are kept apart.
        index: column number + columns·sample, one per value along `axes`, flattened.
        samples: samples of the batch.
        keys: (step, number of the evaluation in it) of every column.
    """

    axes: tuple[int, ...]
    index: A
    samples: int
    keys: tuple[tuple[int, int], ...]

    def count(self, sums: A) -> A:
        """(sample, column) float64 sums of values along `axes`."""
        size = self.samples * len(self.keys)
        return np.bincount(self.index, sums.reshape(-1), size).reshape(self.samples, -1)


def cells(labels: Labels, shape: Shape, lead: Shape, samples: int, name: str) -> Cells:
    """Cells of a tensor of `shape` whose labels may vary along `lead`; of several values of the
    same sample and step along these axes, each one is an evaluation of its own.

    Raises:
        InputError: values of several samples in one.
    """
    axes = tuple(sorted({*lead, *varies(labels.sample), *varies(labels.step)}))
    wide = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    sample = labels.sample.expand(wide).reshape(-1).numpy()
    step = labels.step.expand(wide).reshape(-1).numpy()
    if samples == 1:
        sample = np.where(sample == NONE, 0, sample)
    if sample.size and sample.min() < 0:
        raise InputError(
            name,
            "its values belong to several samples of the batch at once, or can't be told apart",
            "measure with batch=1",
        )
    steps, place = np.unique(step, return_inverse=True)
    slot = sample * len(steps) + place
    order = np.argsort(slot, kind="stable")
    ranks = np.empty(slot.size, np.int64)
    starts = np.r_[True, slot[order][1:] != slot[order][:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(slot.size), 0))
    ranks[order] = np.arange(slot.size) - first
    repeats = int(ranks.max()) + 1
    keys = tuple((int(t), k) for t in steps for k in range(repeats))
    index = sample * len(keys) + place * repeats + ranks
    return Cells(axes, index, samples, keys)


def one_evaluation(spot: Cells, repeats: int) -> Cells:
    """Rows of the same sample and step as tokens of a single evaluation."""
    keys = tuple(key for key in spot.keys if key[1] == 0)
    sample, column = np.divmod(spot.index, len(spot.keys))
    return replace(spot, keys=keys, index=sample * len(keys) + column // repeats)


@dataclass(eq=False)
class Columns:
    """(sample,) counts by column. Unlabelled evaluations are numbered in their order."""

    samples: int
    by_key: dict[tuple[int, int], tuple[Mapping[str, A], int]] = field(default_factory=dict)

    def taken(self, keys: tuple[tuple[int, int], ...]) -> bool:
        """Whether one of these evaluations is there already; unlabelled ones never are."""
        return any(key in self.by_key for key in keys if key[0] != NONE)

    def add(self, keys: tuple[tuple[int, int], ...], counts: Mapping[str, A]) -> None:
        """Adds (sample, column) counts."""
        for column, key in enumerate(keys):
            if key[0] == NONE:
                key = (NONE, sum(k[0] == NONE for k in self.by_key))
            self.by_key[key] = (counts, column)

    def table(self, steps: int, static: bool) -> dict[str, A]:
        """(sample, column) by quantity. What is the same at every step and was computed once fills
        all columns; steps at which there was nothing to do yet are zeros."""
        keys = sorted(self.by_key)
        labelled = [step for step, _ in keys if step != NONE]
        if static and len(keys) == 1:
            keys *= steps
        elif labelled and len(labelled) == len(keys) and labelled != [steps - 1]:
            present = set(labelled)
            keys = sorted([*keys, *((t, 0) for t in range(steps) if t not in present)])
        block, _ = next(iter(self.by_key.values()))
        found = [self.by_key.get(key, (None, 0)) for key in keys]
        if all(counts is block and column == i for i, (counts, column) in enumerate(found)):
            return {what: whole(values) for what, values in block.items()}
        nothing = (dict.fromkeys(block, np.zeros((self.samples, 1))), 0)
        rows = [self.by_key.get(key, nothing) for key in keys]
        return {
            what: whole(np.stack([counts[what][:, column] for counts, column in rows], 1))
            for what in block
        }


@dataclass(eq=False)
class SynapseRecord:
    """Calls of one layer with weights, or of one product of signals."""

    name: str
    operation: Operation
    kind: Kind
    direct: bool
    static: bool
    in_shape: Shape
    out_shape: Shape
    dense: int
    taps: int
    columns: Columns
    kernel: Shape = ()
    stride: Shape = ()
    groups: int = 1
    weights: int = 0
    bias: bool = False
    second_size: int = 0
    source: str = ""

    def synapses(self, name: str, steps: int) -> Synapses:
        """The record as part of `Counts`."""
        table = self.columns.table(steps, self.static)
        measured = Measured(**{key: table[key] for key in QUANTITIES})  # type: ignore[typeddict-item]
        return Synapses(
            name=name, operation=self.operation, kind=self.kind, direct=self.direct,
            static=self.static, in_shape=self.in_shape, out_shape=self.out_shape,
            kernel=self.kernel, stride=self.stride, groups=self.groups, weights=self.weights,
            bias=self.bias, dense=self.dense, taps=self.taps, second_size=self.second_size,
            second_events=table.get("second_events"), **measured,
        )  # fmt: skip

    def bias_line(self, synapses: Synapses) -> Line:
        """Every output adds its bias in every evaluation."""
        count = synapses.outputs * synapses.steps
        work = {Op.AC: np.full(self.columns.samples, count, np.int64)}
        return Line(
            synapses.name, Cause.BIAS, "bias", self.static, synapses.outputs, synapses.outputs,
            synapses.steps, work,
        )  # fmt: skip


@dataclass(eq=False)
class LineRecord:
    """Evaluations of one operation that is no synaptic one; every sample costs the same."""

    name: str
    cause: Cause
    what: str
    static: bool
    inputs: int
    outputs: int
    work: Mapping[Op, int]
    samples: int
    foldable: bool
    evaluations: int = 0
    source: str = ""

    def line(self, steps: int) -> Line:
        """The record as part of `Counts`."""
        times = steps if self.static and self.evaluations == 1 else self.evaluations
        operations = {
            op: np.full(self.samples, count * times, np.int64) for op, count in self.work.items()
        }
        return Line(
            self.name, self.cause, self.what, self.static, self.inputs, self.outputs, times,
            operations, self.foldable,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Dynamics:
    """What one step of a population costs.

    Attributes:
        known: whether there is a rule for it.
        leaks: whether a state decays; taken for granted where nothing is known.
        work: of one step without bias and resets.
        biased: neurons that add a bias of their own.
        resets: additions per spike.
    """

    known: bool
    leaks: bool
    work: Mapping[Op, int]
    biased: int
    resets: int


UNKNOWN = Dynamics(False, True, {}, 0, 0)


def dynamics_of(node: Neuron, shape: Shape) -> Dynamics:
    """The costs of canonical neurons."""
    return Dynamics(
        True, rules.leaks(node), rules.update(node, shape), rules.biased(node, shape),
        rules.reset_adds(node),
    )  # fmt: skip


@dataclass(eq=False)
class PopulationRecord:
    """Calls of one neuron module; one that feeds back adds what its spikes make to its input."""

    name: str
    size: int
    dynamics: Dynamics
    fires: bool
    columns: Columns
    feeds_back: bool = False
    calls: int = 0

    def population(self, name: str, steps: int) -> Population:
        """The record as part of `Counts`."""
        spikes = self.columns.table(steps, False)["spikes"]
        return Population(name, self.size, self.dynamics.leaks, self.fires, spikes)

    def lines(self, population: Population) -> list[Line]:
        """Its updates."""
        fired, samples = population.spikes.sum(1), len(population.spikes)
        totals = {
            Op.UPDATE: np.full(samples, population.size * population.steps),
            Op.SPIKE: fired,
        }
        costs, found = self.dynamics, []
        if self.feeds_back:
            adds = {Op.AC: np.full(samples, population.size * population.steps)}
            found.append(self._line(population, Cause.ADD, "sum of branches", adds))
        work = {op: np.full(samples, n * population.steps) for op, n in costs.work.items()}
        if costs.resets:
            work[Op.AC] = work.get(Op.AC, np.zeros(samples, np.int64)) + costs.resets * fired
        if costs.biased:
            bias = {Op.AC: np.full(samples, costs.biased * population.steps)}
            found.append(self._line(population, Cause.BIAS, "neuron bias", bias))
        totals = {**work, **totals}
        return [*found, self._line(population, Cause.NEURON, "neuron update", totals)]

    def _line(self, population: Population, cause: Cause, what: str, work: Mapping[Op, A]) -> Line:
        size, steps = population.size, population.steps
        return Line(population.name, cause, what, False, size, size, steps, work)


def summed(x: Tensor, axes: Shape, most: float = math.inf) -> Tensor:
    """Σ of values from 0 to `most` over axes, which stay with extent 1. Exact for integers: a
    float32 sum that comes near 2^24 is done again in float64."""
    if x.dtype == torch.float64 or not axes:
        return x.sum(axes, keepdim=True) if axes else x
    quick = x.sum(axes, keepdim=True, dtype=torch.float32)
    small = most * math.prod(x.shape[axis] for axis in axes) < 1 << 24
    if not small and float(quick.max()) >= 1 << 24:
        return x.sum(axes, keepdim=True, dtype=torch.float64)
    return quick
