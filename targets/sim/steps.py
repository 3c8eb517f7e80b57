"""The steps of one neuron layer, as a list of numpy calls on fixed arrays.

Only states go step by step. They are float64 where a decay needs it, so a pass over a layer
costs about 0.2 ns per neuron while its states lie in the cache, 0.25 ns more where numpy has
to widen a mask or a float32 on the way. Hence the hard reset is a product with the mask of the
neurons that keep their state (`numpy.putmask` takes twice as long), and sums are widened by a
copy of their own where that saves more than one more call costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnc.targets.sim.neuron import Population

A = NDArray[Any]
Parameter = A | float
Op = Callable[[int], object]

WIDE = 1 << 16
"""Fewest states for which sums are widened by a call of their own: 0.13 ns per neuron less, but
one more call, and between two threads a call costs up to 5 µs (the interpreter's lock)."""


@dataclass(frozen=True)
class Tile:
    """The arrays of a layer in a tile.

    Attributes:
        x: summed inputs, (step or 1, sample, …). scale: what they are multiplied by.
        v, u, carried: states, (sample, …); `u` only where a later step needs it.
        work: memory of the same shape. above: the same of bools, for a guarded reset.
        output: (step, sample, …). records: the same by state, where recorded.
    """

    x: A
    scale: float
    v: A
    u: A | None
    carried: A
    work: A
    above: A
    output: A
    records: Mapping[str, A]


class Steps:
    """Runs a layer through a tile; its states are those after the last step, then."""

    def __init__(self, layer: Population, tile: Tile, guard: bool) -> None:
        self.layer, self.node, self.tile, self.guard = layer, layer.node, tile, guard
        self.drive: Sequence[A] = []
        hard = layer.reset == "hard"
        self.before = [~tile.carried if hard else tile.carried, *tile.output[:-1]]

    def run(self) -> None:
        """Runs all steps. A hard reset leaves the mask of the neurons that did not spike."""
        ops = self._ops()
        for t in range(len(self.tile.output)):
            for op in ops:
                op(t)
        if self.layer.reset == "hard":
            np.logical_not(self.tile.output, self.tile.output)

    def _ops(self) -> list[Op]:
        tile, layer = self.tile, self.layer
        v, theta, output, above = tile.v, layer.theta, tile.output, tile.above
        ops: list[Op] = []
        if layer.guarded:
            ops.append(lambda t: np.greater(v, theta, above))
        ops += self._integrate()
        if self.node.reset_at == "after":
            ops += self._reset_after()
        elif self.guard:
            ops.append(self._clip)
        if not self.node.fires:
            ops.append(lambda t: np.copyto(output[t], v))
        else:
            ops.append(self._compare())
            if self.node.reset_at != "after":
                ops += self._reset(output)
        if "v" in tile.records:
            kept = tile.records["v"]
            ops.append(lambda t: np.copyto(kept[t], v))
        return ops

    # ---- u and v up to their resets

    def _integrate(self) -> list[Op]:
        bias_u, bias_v = self.layer.bias_u, self.layer.bias_v
        if self.tile.u is not None:
            load = self._load(0.0)
            states = [self.tile.u] * len(self.tile.output)
            update_u, update_v = self._update_u(self.tile.u), self._update_v(states, bias_v)
            if self.node.order == "vu":
                return update_v + load + update_u
            return load + update_u + update_v
        both = bias_u + bias_v
        static = len(self.tile.x) == 1
        load = self._load(both if static else 0.0)
        if "u" in self.tile.records:
            kept, drive, rest = self.tile.records["u"], self.drive, -bias_v if static else bias_u
            load.append(lambda t: np.add(drive[t], rest, kept[t]))
        return load + self._update_v(self.drive, 0.0 if static else both)

    def _load(self, bias: Parameter) -> list[Op]:
        """Sets `drive`, the inputs of each step in the layer's own number format.

        Sums that are the same at every step are prepared once, with `bias`.
        """
        x, scale, work = self.tile.x, self.tile.scale, self.tile.work
        steps = len(self.tile.output)
        if len(x) == 1:
            once = np.multiply(x[0], scale, dtype=work.dtype, casting="unsafe")
            if np.any(bias):
                np.add(once, bias, once)
            self.drive = [once] * steps
            return []
        if scale == 1 and (x.dtype == work.dtype or work.size < WIDE):
            self.drive = list(x)
            return []
        self.drive = [work] * steps
        if scale == 1:
            return [lambda t: np.copyto(work, x[t], casting="unsafe")]
        dtype = work.dtype
        return [lambda t: np.multiply(x[t], scale, work, dtype=dtype, casting="unsafe")]

    def _update_u(self, u: A) -> list[Op]:
        bias, drive = self.layer.bias_u, self.drive
        ops: list[Op] = []
        if self.layer.ranges.remembers:
            ops += _decay(u, self.layer.decay_u)
            ops.append(lambda t: np.add(u, drive[t], u))
        else:
            ops.append(lambda t: np.copyto(u, drive[t]))
        if np.any(bias):
            ops.append(lambda t: np.add(u, bias, u))
        if "u" in self.tile.records:
            kept = self.tile.records["u"]
            ops.append(lambda t: np.copyto(kept[t], u))
        return ops

    def _update_v(self, drive: Sequence[A], bias: Parameter) -> list[Op]:
        v, decay = self.tile.v, self.layer.decay_v
        ops: list[Op]
        if np.any(decay):
            ops = [*_decay(v, decay), lambda t: np.add(v, drive[t], v)]
        else:
            ops = [lambda t: np.copyto(v, drive[t])]
        if np.any(bias):
            ops.append(lambda t: np.add(v, bias, v))
        return ops

    def _clip(self, t: int) -> None:
        del t
        self.layer.clip(self.tile.v)

    # ---- comparison and resets

    def _compare(self) -> Op:
        layer, v, theta = self.layer, self.tile.v, self.layer.theta
        output, work, above = self.tile.output, self.tile.work, self.tile.above
        if layer.reset == "hard":
            return lambda t: np.less_equal(v, theta, output[t])
        if not layer.guarded:
            return lambda t: np.greater(v, theta, output[t])

        def guarded(t: int) -> None:
            np.multiply(above, layer.v_sub, work, dtype=work.dtype)
            np.subtract(v, work, work)
            np.greater(work, theta, output[t])

        return guarded

    def _reset_after(self) -> list[Op]:
        clip: list[Op] = [self._clip] if self.guard else []
        reset = self._reset(self.before)
        return clip + reset if self.layer.reset == "hard" else reset + clip

    def _reset(self, where: Sequence[A] | A) -> list[Op]:
        """Resets where there were spikes or, if hard, wherever none is marked as kept."""
        v, work, v_sub = self.tile.v, self.tile.work, self.layer.v_sub
        if self.layer.reset == "hard":
            return [lambda t: np.multiply(v, where[t], v)]
        if self.layer.reset == "none":
            return []
        dtype = work.dtype
        return [
            lambda t: np.multiply(where[t], v_sub, work, dtype=dtype),
            lambda t: np.subtract(v, work, v),
        ]


def _decay(state: A, factor: Parameter) -> list[Op]:
    """state ← trunc(state·factor), in place."""
    if isinstance(factor, float) and factor == 1.0:
        return []
    return [
        lambda t: np.multiply(state, factor, state),
        lambda t: np.trunc(state, state),
    ]
