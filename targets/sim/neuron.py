"""One neuron layer over a tile: `IntNeuron` in floats wherever floats are exact.

Decay. t0(x, d) = sign(x)·(|x|·f >> 12) with f = 4096 − d is trunc(x·f/4096). The product is exact
where |x|·f has no more digits than the mantissa, dividing by 4096 never loses one, so two float
operations are the definition. 24-bit states need float64 for it, unless f is a power of two (as
without decay), where float32 does.

Events. A bound on u and v over the whole tile, from the largest |A| in it and the largest state at
its start, nearly always shows that nothing can wrap or clip. Where it doesn't for v, every step
looks at its extremes and clips and counts when they leave the range; where it doesn't for u, the
int64 executor itself runs the tile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import IntNeuron
from snnc.reference.int64 import DISPUTED_SUM, IntState
from snnc.targets.sim.plan import EXACT32, EXACT64, largest, state_bound
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.steps import Parameter, Steps, Tile

A = NDArray[Any]

ONE = 4096
"""A decay factor of 1 in units of 2^−12."""


class Ranges:
    """Largest values of a population, and the number format in which all of them are exact."""

    def __init__(self, node: IntNeuron, total: int) -> None:
        self.limit = 1 << (node.state_bits - 1)
        p = {name: np.asarray(getattr(node, name)).astype(np.int64) for name in node.PARAMETERS}
        self.bias_u, self.bias_v = largest(p["bias_u"]), largest(p["bias_v"])
        self.v_sub = largest(p["v_sub"]) if node.fires and node.reset == "soft" else 0
        self.factor_u, self.factor_v = ONE - p["du"], ONE - p["dv"]
        drive = (total << node.shift) + self.bias_u
        self.remembers = bool(self.factor_u.any())
        self.u = max(self.limit, drive) if self.remembers else drive
        self.x = drive + (self.u if self.remembers else 0)
        self.v = state_bound(node)
        self.y = self.v + self.x + self.bias_v + self.v_sub
        self.theta = largest(p["theta"])
        self.wraps_once = drive <= 2 * self.limit or not self.remembers

    @property
    def dtype(self) -> type[np.float32] | type[np.float64] | None:
        """The narrowest exact float, or None where only int64 will do."""
        factors = np.concatenate([self.factor_u.ravel(), self.factor_v.ravel()])
        if factors.min() < 0 or factors.max() > ONE or not self.wraps_once:
            return None
        plain = max(self.x, self.y, self.theta, self.u, self.v)
        odd_u, odd_v = (largest(_odd(f)) for f in (self.factor_u, self.factor_v))
        if max(plain, self.u * odd_u, self.v * odd_v) <= EXACT32:
            return np.float32
        if max(plain, self.u * ONE, self.v * ONE) <= EXACT64:
            return np.float64
        return None


def _odd(factor: A) -> A:
    """Factors without their powers of two, which cost no digits."""
    return np.where(factor == 0, 0, factor // np.maximum(factor & -factor, 1))


def population(node: IntNeuron, total: int, record: Iterable[str]) -> Population | IntPopulation:
    """The executor of a layer whose summed input is at most `total` in magnitude."""
    ranges = Ranges(node, total)
    if ranges.dtype is None:
        return IntPopulation(node, frozenset(record))
    return Population(node, ranges, ranges.dtype, frozenset(record))


class IntPopulation:
    """A layer that floats can't hold, run by the int64 executor's own state."""

    def __init__(self, node: IntNeuron, record: frozenset[str]) -> None:
        self.node, self.record = node, record
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}
        self.records: dict[str, A] = {}

    def start(self, shape: tuple[int, ...]) -> None:
        """Begins a block of samples: all states at their initial values."""
        self.state = IntState(self.node, shape)

    def run(self, x: A, scaled: bool, steps: int, scratch: Scratch) -> A:
        """Outputs (step, sample, …) for the summed inputs `x`; see `Population.run`."""
        totals = as_int(x, self.node.shift if scaled else 0)
        output, self.records = run_state(self.state, totals, steps, self.record)
        for key in self.events:
            self.events[key] += self.state.events[key]
            self.state.events[key] = 0
        return output


def as_int(x: A, shift: int) -> A:
    """Integers held in any dtype, 2^shift times too large, as int64."""
    return x.astype(np.int64) >> shift


def run_state(
    state: IntState, totals: A, steps: int, record: Iterable[str]
) -> tuple[A, dict[str, A]]:
    """Steps of the int64 executor's state: outputs and recorded states, (step, sample, …)."""
    outputs: list[A] = []
    kept: dict[str, list[A]] = {port: [] for port in record}
    for t in range(steps):
        outputs.append(state.step(totals[t if len(totals) > 1 else 0]))
        for port, sequence in kept.items():
            sequence.append(getattr(state, port))
    return np.stack(outputs), {port: np.stack(sequence) for port, sequence in kept.items()}


class Population:
    """A layer in floats, specialised by its settings; states last from tile to tile."""

    def __init__(
        self, node: IntNeuron, ranges: Ranges, dtype: type[np.floating[Any]], record: frozenset[str]
    ) -> None:
        self.node, self.ranges, self.dtype, self.record = node, ranges, dtype, record
        self.events = {"wrap": 0, "clip": 0, "disputed": 0}
        self.records: dict[str, A] = {}
        p = {name: self._parameter(getattr(node, name)) for name in node.PARAMETERS}
        self.theta, self.v_sub, self.v_init = p["theta"], p["v_sub"], p["v_init"]
        self.bias_u, self.bias_v = p["bias_u"], p["bias_v"]
        self.decay_u = self._parameter(ranges.factor_u, 1 / ONE)
        self.decay_v = self._parameter(ranges.factor_v, 1 / ONE)
        self.gain_u = _gain(ranges.factor_u)
        self.gain_v = _gain(ranges.factor_v)
        self.reset = node.reset if node.fires else "none"
        self.guarded = node.reset_at == "guarded" and self.reset != "none"
        self.keeps_u = ranges.remembers or node.order == "vu"

    def _parameter(self, values: A, unit: float = 1.0) -> Parameter:
        """One number where all neurons share it, else an array in the layer's own dtype."""
        array = np.asarray(values).astype(np.int64)
        first = array.ravel()[0]
        if (array == first).all():
            return float(first) * unit
        return (array * unit).astype(self.dtype)

    def start(self, shape: tuple[int, ...]) -> None:
        """Begins a block of samples: all states at their initial values."""
        self.shape = shape
        self.v = np.empty(shape, self.dtype)
        self.v[...] = self.v_init
        self.carried = np.zeros(shape, bool)
        self.u = np.zeros(shape, self.dtype) if self.keeps_u else None

    def run(self, x: A, scaled: bool, steps: int, scratch: Scratch) -> A:
        """Outputs (step, sample, …) of a tile.

        Args:
            x: summed inputs, (step, sample, …), or (1, sample, …) if they are the same at every
                step; integers in any dtype.
            scaled: `x` is 2^shift times the sum already.
            steps: number of steps.
            scratch: working memory; the result lies in it too.
        """
        scale = 1.0 if scaled else float(1 << self.node.shift)
        disputed = DISPUTED_SUM << self.node.shift
        biggest = extreme(x) * scale
        if self._u_may_leave(biggest, steps):
            return self._by_reference(x, scaled, steps)
        if biggest > disputed:
            count = np.count_nonzero(np.abs(x) > disputed / scale)
            self.events["disputed"] += int(count) * (steps if len(x) == 1 else 1)
        output = scratch.result((steps, *self.shape), bool if self.node.fires else self.dtype)
        self.records = {port: scratch.take(port, output.shape, self.dtype) for port in self.record}
        guard = self._v_may_leave(biggest, steps)
        tile = Tile(
            x, scale, self.v, self.u, self.carried, scratch.work("state", self.shape, self.dtype),
            scratch.work("above", self.shape, bool), output, self.records,
        )  # fmt: skip
        Steps(self, tile, guard).run()
        if self.reset != "none":
            np.copyto(self.carried, output[-1])
        return output

    def clip(self, v: A) -> None:
        """Clips membranes that left the range, and counts them."""
        limit = self.ranges.limit
        if extreme(v) >= limit:
            self.events["clip"] += int(np.count_nonzero(np.abs(v) >= limit))
            np.clip(v, 1 - limit, limit - 1, out=v)

    # ---- bounds over a tile

    def _u_bound(self, biggest: float, steps: int) -> float:
        drive = biggest + self.ranges.bias_u
        if not self.ranges.remembers:
            return max(drive, self._largest_u())
        return self._largest_u() + drive * _horizon(self.gain_u, steps)

    def _largest_u(self) -> float:
        return 0.0 if self.u is None else extreme(self.u)

    def _u_may_leave(self, biggest: float, steps: int) -> bool:
        bound = self._u_bound(biggest, steps)
        return bound + self.ranges.bias_v >= self.ranges.limit - 1

    def _v_may_leave(self, biggest: float, steps: int) -> bool:
        drive = self._u_bound(biggest, steps) + self.ranges.bias_v + self.ranges.v_sub
        bound = extreme(self.v) + drive * _horizon(self.gain_v, steps)
        return bound >= self.ranges.limit - 1

    def _by_reference(self, x: A, scaled: bool, steps: int) -> A:
        state = IntState(self.node, self.shape)
        state.v, state.carried = self.v.astype(np.int64), self.carried.copy()
        if self.u is not None:
            state.u = self.u.astype(np.int64)
        totals = as_int(x, self.node.shift if scaled else 0)
        output, self.records = run_state(state, totals, steps, self.record)
        self.v[...], self.carried[...] = state.v, state.carried
        if self.u is not None:
            self.u[...] = state.u
        for key in self.events:
            self.events[key] += state.events[key]
        return output.astype(bool) if self.node.fires else output


def extreme(x: A) -> float:
    """Largest |value|."""
    return max(float(x.max()), -float(x.min())) if x.size else 0.0


def _gain(factor: A) -> float:
    """1 / (1 − f), the sum of all powers of the slowest decay factor; infinite without decay."""
    slowest = int(factor.max())
    return ONE / (ONE - slowest) if slowest < ONE else np.inf


def _horizon(gain: float, steps: int) -> float:
    """By how many steps of equal drive a state can grow within a tile."""
    return min(gain, float(steps))
