"""Chooses the scale of one population and rounds everything that depends on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import IntNeuron, Neuron, Sparse, Weighted
from snnc.ir.ops import ResetAt
from snnc.passes.limits import Limits
from snnc.passes.round_weights import round_to_grid

A = NDArray[Any]

HEADROOM = 2.0
"""Range of the states above what the calibration data reached."""

INT32 = (1 << 31) - 1

GRADED_BITS = 16
"""States of a population whose membrane feeds others: what it sends is multiplied by weights and
added up in 32 bits."""


@dataclass(frozen=True)
class LayerScale:
    """How a layer was quantised, for reports.

    Attributes:
        scale: S: an integer v means v / S, an integer u means u / (S·g).
        weight_bits: bits of the weights in use, sign included.
        weight_error: largest |rounded − real| weight over the largest |real| weight.
        decay_error: largest |rounded − real| of the decays (absolute).
        theta_error: |rounded − real| threshold over the real one.
        range: largest |state| that fits, in real units; `reached` what calibration reached.
        calibrated: whether `reached` was measured rather than assumed.
    """

    scale: float
    weight_bits: int
    weight_error: float
    decay_error: float
    theta_error: float
    range: float
    reached: float
    calibrated: bool


@dataclass(frozen=True)
class Synapse:
    """A weighted node into a population.

    Attributes:
        weight: real, per unit of the input, the neurons' gain included.
        peak: largest |input| in units.
        moment: of the input, see `Statistics`.
    """

    name: str
    node: Weighted
    weight: A
    peak: int
    moment: A | None

    @property
    def largest(self) -> float:
        """Largest |weight|."""
        return float(np.max(np.abs(self.weight), initial=0))

    def row_sum(self, weight: A) -> float:
        """Largest sum of |weights| into one neuron, for weights in place of this synapse's."""
        size: A = np.abs(weight).astype(np.float64)
        if not isinstance(self.node, Sparse):
            return float(np.max(size.reshape(len(size), -1).sum(1), initial=0))
        rows = np.repeat(np.arange(len(self.node.indptr) - 1), np.diff(self.node.indptr))
        return float(np.max(np.bincount(rows, size), initial=0))


class Plan:
    """The population in integers.

    Attributes:
        scale: S. neuron: the integer neuron.
        weights, exps: integer weights and exponent of each synapse.
        needed: largest state, real units, that S leaves room for.
        report: how it went.
    """

    def __init__(
        self,
        name: str,
        node: Neuron,
        synapses: list[Synapse],
        bias: tuple[A, A],
        limits: Limits,
        reached: float | None,
        steps: int,
        sends_membrane: bool = False,
    ) -> None:
        self.name, self.node, self.synapses, self.steps = name, node, synapses, steps
        self.state_bits = GRADED_BITS if sends_membrane else limits.state_bits
        self.state_max = (1 << (self.state_bits - 1)) - 1
        self.bias_u, self.bias_v = bias
        self.limits = limits
        self.largest = max((s.largest for s in synapses), default=0.0)
        self.calibrated = reached is not None
        self.reached = self._range() if reached is None else max(reached, self._threshold())
        self.needed = self.reached * (HEADROOM if self.calibrated else 1.0) or 1.0
        self._check_decays()
        self.exact = self._exact_unit()
        self.unit, self.shift = self._scale()
        self.lif = self._fits_lif()
        if not (self.lif or limits.neuron_programs):
            self.lif, self.unit = True, self._shrunk_for_lif()
        self.scale = self.unit * (1 << self.shift)
        self.exps = [self._exponent(synapse) for synapse in synapses]
        self.weights = [
            self._weight(synapse, exp) for synapse, exp in zip(synapses, self.exps, strict=True)
        ]
        self._check_sums()
        self.neuron = self._neuron()
        self.report = self._report()

    def _threshold(self) -> float:
        fires = self.node.compare != "never"
        return float(np.max(np.abs(self.node.theta))) if fires else 0.0

    def _range(self) -> float:
        """Without calibration: the threshold plus what the largest input adds up to in u, and in
        v too where nothing resets it."""
        drive = sum(s.row_sum(s.weight) * s.peak for s in self.synapses)
        start = float(np.max(np.abs(self.node.v_init)))
        bias = float(np.max(np.abs(self.bias_u)) + np.max(np.abs(self.bias_v)))
        builds_up = self._steady(self.node.a_u)
        if self.node.reset == "none":
            builds_up *= self._steady(self.node.a_v)
        return self._threshold() + (drive + bias) * builds_up + start

    def _steady(self, keep: A) -> float:
        """What a constant input of 1 adds up to under a leak, within the steps of a sample."""
        top = float(np.max(keep))
        return float(self.steps) if top >= 1 else min(1 / (1 - top), float(self.steps))

    def _check_decays(self) -> None:
        states = {
            "its synaptic current keeps a_u": self.node.a_u,
            "its membrane keeps a_v": self.node.a_v,
        }
        for what, value in states.items():
            if np.any(value < 0) or np.any(value > 1):
                raise RefusedError(
                    self.name,
                    f"{what} = {_outside(value):g} of its value per step, which is not between 0"
                    f" and 1: a decay register holds {self.limits.decay_bits} bits, unsigned",
                    "use decays between 0 and 1",
                )
        if np.any(self.node.theta < 0) and self.node.compare != "never":
            rest = "the value that it resets to" if self.node.reset == "hard" else "0"
            raise RefusedError(
                self.name,
                f"its threshold lies below {rest}, by {-float(np.min(self.node.theta)):g}; a chip"
                " counts thresholds from there, unsigned",
                f"use a threshold above {rest}",
            )

    def _scale(self) -> tuple[float, int]:
        """(units of the synaptic sum per real unit, shift): as fine as weights and states allow.

        A chip with neuron programs can shift less, so that wide sums keep fine weights. The
        built-in LIF is kept as long as that costs at most one bit of the weights.
        """
        exact, shift = self.exact, self.limits.shift
        room = self.state_max / self.needed
        if threshold := self._threshold():
            room = min(room, self._threshold_max() / threshold)
        # Without weights a power of two: thresholds and biases that stand on one grid stay there.
        coarse = 2.0 ** math.floor(math.log2(room / (1 << shift)))
        fine = self._finest() if self.largest else coarse
        wanted = fine if exact is None else exact
        coarsest = wanted if exact is not None else wanted / 2
        if not self.limits.neuron_programs or (
            self._lif_shaped() and room / (1 << shift) >= coarsest
        ):
            return min(wanted, room / (1 << shift)), shift
        while shift and wanted * (1 << shift) > room:
            shift -= 1
        return min(wanted, room / (1 << shift)), shift

    def _threshold_max(self) -> int:
        """Largest threshold; what a soft reset takes off must fit into a synapse on a chip that
        feeds it back."""
        limits = self.limits
        if limits.neuron_programs or self.node.reset != "soft":
            return limits.theta_max
        return (limits.weight_max << limits.exp_max) << limits.shift

    def _finest(self) -> float:
        """Units at which the synapse with the smallest weights uses all bits of the weights and
        the one with the largest still has an exponent for them."""
        smallest = min(s.largest for s in self.synapses if s.largest)
        coarse = self.limits.weight_max * (1 << self.limits.exp_max) / self.largest
        return min(self.limits.weight_max / smallest, coarse)

    def _exponent(self, synapse: Synapse) -> int:
        """The smallest exponent at which all weights of a synapse fit."""
        top = float(np.max(synapse.weight, initial=0)) / self.limits.weight_max
        bottom = float(np.min(synapse.weight, initial=0)) / self.limits.weight_min
        needed = max(top, bottom) * self.unit
        return max(0, math.ceil(math.log2(needed) - 1e-9)) if needed else 0

    def _exact_unit(self) -> float | None:
        """The largest power of two that puts every weight exactly on the chip's grid, if any."""
        if not self.largest:
            return None
        bottom = min((float(np.min(s.weight, initial=0)) for s in self.synapses), default=0)
        top = max((float(np.max(s.weight, initial=0)) for s in self.synapses), default=0)
        room = min(
            self.limits.weight_max / top if top > 0 else math.inf,
            self.limits.weight_min / bottom if bottom < 0 else math.inf,
        )
        power = math.floor(math.log2(room))
        unit = 2.0**power
        grid = unit / self.limits.weight_step
        for synapse in self.synapses:
            scaled = synapse.weight * grid
            if not np.array_equal(scaled, np.rint(scaled)):
                return None
        return unit

    def _lif_shaped(self) -> bool:
        """Whether the built-in LIF has this population's dynamics."""
        node = self.node
        keeps = float(np.min(node.a_v)) * (1 << self.limits.decay_bits) >= 0.5
        return (
            all(getattr(node, p).ndim == 0 for p in ("a_u", "a_v", "theta"))
            and keeps
            and node.reset == "hard"
            and node.reset_at in ("now", "before")
            and node.order == "uv"
            and node.compare != "never"
            and not np.any(node.v_init)
            and not np.any(self.bias_u)
            and (node.compare == ">" or bool(np.all(node.theta > 0)))
            and not (self.limits.neuron_programs and self._meets_threshold())
        )

    def _meets_threshold(self) -> bool:
        """Whether v ≥ θ may meet v = θ exactly, which v > θ misses on a grid finer than θ's: the
        weights are exact, so that sums of them do what they did in training."""
        return self.node.compare == ">=" and self.exact is not None and not self._on_grid()

    def _fits_lif(self) -> bool:
        """Whether the built-in LIF can hold this population once its numbers are rounded."""
        fits = self._bias_exponent(self.unit) is not None
        return self._lif_shaped() and self.shift == self.limits.shift and fits

    def _bias_exponent(self, unit: float) -> int | None:
        """Exponent of the bias register at this scale, or None if the bias is too large for it.

        Without leak every other term is a multiple of 2^shift, and the bias is rounded to that
        too: the membrane then never leaves the grid of the threshold.
        """
        if not np.any(self.bias_v):
            return self.limits.shift
        largest = float(np.max(np.abs(self.bias_v))) * (unit * (1 << self.limits.shift))
        exponent = max(0, math.ceil(math.log2(largest / (self.limits.bias_mant_max + 0.5))))
        if self._on_grid():
            exponent = max(exponent, self.limits.shift)
        return exponent if exponent <= self.limits.bias_exp_max else None

    def _on_grid(self) -> bool:
        return not np.any(self.node.a_u) and bool(np.all(self.node.a_v == 1))

    def _shrunk_for_lif(self) -> float:
        """A coarser scale at which the bias fits, where only that keeps the LIF from holding it."""
        room = self.limits.bias_mant_max << self.limits.bias_exp_max
        largest = float(np.max(np.abs(self.bias_v), initial=0))
        return min(self.unit, room / (1 << self.limits.shift) / largest) if largest else self.unit

    def _weight(self, synapse: Synapse, exp: int) -> A:
        limits = self.limits
        return round_to_grid(
            synapse.weight * (self.unit / (1 << exp)),
            limits.weight_min,
            limits.weight_max,
            limits.weight_step,
            synapse.moment,
        )

    def _check_sums(self) -> None:
        total = sum(
            (int(s.row_sum(w)) * s.peak) << exp
            for w, s, exp in zip(self.weights, self.synapses, self.exps, strict=True)
        )
        if (total << self.shift) + (1 << self.state_bits) > INT32:
            raise RefusedError(
                self.name,
                f"its input can add up to {total << self.shift:,}, more than the 32 bits in which"
                " Lava adds",
                "use fewer input bits (--input-bits), a smaller fan-in, or calibration samples"
                " (--calibrate) that bring larger states",
            )

    def _neuron(self) -> IntNeuron:
        node, limits, scale = self.node, self.limits, self.scale
        full = 1 << limits.decay_bits
        amount, carried = self._soft_reset()
        return IntNeuron(
            du=_int(full * (1 - node.a_u)),
            dv=_int(full * (1 - node.a_v)),
            theta=self._theta(),
            bias_v=self._rounded_bias(self.bias_v),
            bias_u=_int(self.bias_u * scale),
            v_sub=amount,
            v_init=_int(node.v_init * scale),
            shift=self.shift,
            reset=node.reset,
            reset_at=carried if node.reset != "none" else "now",
            order=node.order,
            fires=node.compare != "never",
            state_bits=self.state_bits,
        )

    def _soft_reset(self) -> tuple[A, ResetAt]:
        """What a soft reset takes off, and when any reset acts.

        A chip without neuron programs feeds the reset back through a synapse, in multiples of
        2^shift and one step late: a_v·(v − θ·s) = a_v·v − a_v·θ·s, so it takes off a_v·θ then.
        """
        node = self.node
        at: ResetAt = node.reset_at if node.reset_at != "before" else "now"
        if node.reset != "soft":
            return np.asarray(0, np.int64), at
        if self.limits.neuron_programs:
            return _int(node.theta * self.scale), at
        late = at == "now" and bool(np.any(node.a_v < 1))
        amount = node.theta * node.a_v if late else node.theta
        return _int(amount * self.unit) << self.shift, "after" if late else at

    def _rounded_bias(self, bias: A) -> A:
        exponent = self._bias_exponent(self.unit) if self.lif else 0
        if self.lif and exponent is None:
            raise RefusedError(
                self.name,
                f"its bias, up to {float(np.max(np.abs(bias))):g}, does not fit a"
                f" register of {self.limits.bias_mant_bits} bits times"
                f" 2^{self.limits.bias_exp_max}",
                "use smaller biases or --chip loihi2",
            )
        grid = 1 << (exponent or 0)
        return _int(bias * self.scale / grid) * grid

    def _theta(self) -> A:
        """The integer θ of the strict comparison that means the same on the membrane's grid.

        On a grid of G: v > x is v > G·floor(x/G), and v ≥ x is v > G·(ceil(x/G) − 1). A leaky
        LIF leaves the grid of 64, so there the nearest multiple stands, or the one below where
        v = x would be missed.
        """
        if self.node.compare == "never":
            return np.asarray(0, np.int64)
        grid = 1 << self.limits.shift if self.lif else 1
        units = self.node.theta * (self.scale / grid)
        nearest = np.rint(units)
        units = np.where(np.abs(units - nearest) <= 1e-9 * np.abs(units), nearest, units)
        if self.lif and not self._on_grid():
            meets = self._meets_threshold() & (units == nearest)
            mantissa = np.where(meets, np.maximum(nearest - 1, 0), nearest)
        elif self.node.compare == ">":
            mantissa = np.floor(units)
        else:
            mantissa = np.ceil(units) - 1
        return np.minimum(mantissa.astype(np.int64) * grid, self.limits.theta_max)

    def _report(self) -> LayerScale:
        limits, scale = self.limits, self.scale
        errors = [
            float(np.max(np.abs(w * ((1 << exp) / self.unit) - s.weight), initial=0))
            for w, s, exp in zip(self.weights, self.synapses, self.exps, strict=True)
        ]
        levels = [(int(w.max(initial=0)), int(w.min(initial=0))) for w in self.weights]
        peak = max((max(high, -low - limits.weight_step) for high, low in levels), default=0)
        full = 1 << limits.decay_bits
        decays = [(self.neuron.du, self.node.a_u), (self.neuron.dv, self.node.a_v)]
        theta = self._threshold()
        return LayerScale(
            scale=scale,
            weight_bits=(peak // limits.weight_step).bit_length() + 1,
            weight_error=max(errors, default=0) / self.largest if self.largest else 0.0,
            decay_error=max(float(np.max(np.abs(1 - d / full - a))) for d, a in decays),
            theta_error=(
                float(np.max(np.abs(self.neuron.theta / scale - self.node.theta))) / theta
                if theta
                else 0.0
            ),
            range=self.state_max / scale,
            reached=self.reached,
            calibrated=self.calibrated,
        )


def _outside(values: A) -> float:
    """The first value that is not between 0 and 1."""
    return float(values[(values < 0) | (values > 1)].flat[0])


def _int(values: A) -> A:
    """Rounded to the nearest integer, ties to even."""
    return np.rint(np.asarray(values, np.float64)).astype(np.int64)
