"""Turns a float graph (S1) into an integer graph (S2) in a chip's number formats.

All rules are stated in `docs/quantisation.md`. For a population, S is the number of membrane
units per real unit: an integer state x means x / S. Its weights are

    w_int = step · round(S · g · w · s / (2^shift · step)),

with s the real value of one unit of the layer's input and step the spacing of the chip's weights.
With calibration data the rounding errors within a row are made to cancel on those data (see
`round_weights`); without, weights are rounded to nearest even. Everything else is rounded to the
grid that the neuron holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import Conv, Graph, Input, IntNeuron, Kind, Linear, Neuron, Node, Output, Pool
from snnc.passes.calibrate import Statistics
from snnc.passes.limits import Limits
from snnc.passes.round_weights import round_to_grid

A = NDArray[Any]

HEADROOM = 2.0
"""Range of the states above what the calibration data reached."""

COARSE_BITS = 6
"""Fewer weight bits than this are noted."""

UNKNOWN_STEPS = 100
"""Steps assumed for the reach of a membrane that never resets, where nothing says how many."""

INT32 = (1 << 31) - 1


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
class Quantised:
    """An integer graph and how it came about.

    Attributes:
        layers: by neuron layer.
        units: by output, the real value of one of its integers.
    """

    graph: Graph
    layers: Mapping[str, LayerScale] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Synapse:
    """A weighted node into a population, its real weights per unit of input, and the bounds."""

    name: str
    node: Linear | Conv
    weight: A
    peak: int
    moment: A | None


def quantise(graph: Graph, limits: Limits, statistics: Statistics | None = None) -> Quantised:
    """Quantises a float graph whose hops are in normal form (see `MergeHops`).

    Args:
        limits: the chip's number formats.
        statistics: of calibration data. Without them the largest input, leaked through u and,
            where nothing resets it, v, stands in for the range of the states, and weights are
            rounded to nearest.

    Raises:
        RefusedError: a node can't be said in these formats; names the limit and the remedy.
    """
    state = _Quantiser(graph, limits, statistics or Statistics())
    for name in graph.order:
        state.visit(name)
    nodes = {name: state.nodes[name] for name in graph.nodes}
    result = graph.with_(nodes=nodes).noting(*state.notes).check()
    return Quantised(result, state.layers, {name: state.unit[name] for name in graph.outputs})


class _Quantiser:
    """Walks the graph from inputs to outputs; `unit` is the real value of one unit of a signal."""

    def __init__(self, graph: Graph, limits: Limits, statistics: Statistics) -> None:
        self.graph, self.limits, self.statistics = graph, limits, statistics
        self.nodes: dict[str, Node] = {}
        self.unit: dict[str, float] = {}
        self.peak: dict[str, int] = {}
        self.layers: dict[str, LayerScale] = {}
        self.notes: list[str] = []

    def visit(self, name: str) -> None:
        node = self.graph.nodes[name]
        match node:
            case Input():
                self._input(name, node)
            case Neuron():
                self._population(name, node)
            case Linear() | Conv():
                self._follow(name, 1)
            case Output():
                self._output(name, node)
            case Pool():
                self._follow(name, node.window)
                self.nodes[name] = node
            case _:
                self._follow(name, 1)
                self.nodes[name] = node

    def _follow(self, name: str, taps: int) -> None:
        """A linear node passes its source's unit on; its peak grows by the taps that it sums."""
        source = self.graph.sources(name)[0]
        self.unit[name], self.peak[name] = self.unit[source], self.peak[source] * taps

    def _output(self, name: str, node: Output) -> None:
        sources = self.graph.sources(name)
        units = {self._port_unit(source, node) for source in sources}
        if len(units) > 1:
            raise RefusedError(
                name,
                f"sums {', '.join(sources)}, whose integers have different units",
                "give each its own output and add them up afterwards",
            )
        self.nodes[name], self.unit[name] = node, units.pop()

    def _port_unit(self, source: str, output: Output) -> float:
        """Real value of one integer of what an output reads."""
        neuron = self.graph.nodes[source]
        if output.port == "s" or not isinstance(neuron, Neuron):
            return self.unit[source]
        if output.port == "v":
            if neuron.reset_at == "before" and neuron.reset != "none":
                self.notes.append(
                    f"{source}: its membrane is read out after the reset here, before it in the"
                    " framework; the spikes are the same"
                )
            return 1 / self.layers[source].scale
        if neuron.g.ndim or not neuron.g:
            raise RefusedError(
                source, "its current is read out, but its gain differs", "read v or the spikes"
            )
        return 1 / (self.layers[source].scale * float(neuron.g))

    def _input(self, name: str, node: Input) -> None:
        if node.kind is Kind.ANALOG:
            raise RefusedError(
                name,
                "a real-valued input has no integers yet",
                "choose an encoding (--encoding direct, rate or latency)",
            )
        if node.kind is Kind.GRADED and node.bits > self.limits.message_bits:
            raise RefusedError(
                name,
                f"the input sends graded spikes of {node.bits} bits,"
                f" {self.limits.chip} carries {self.limits.message_bits or 'binary spikes only'}",
                "use --encoding rate or latency, or a chip with graded spikes (loihi2)",
            )
        self.nodes[name] = node
        self.unit[name] = node.scale
        self.peak[name] = max(map(abs, node.range))

    def _population(self, name: str, node: Neuron) -> None:
        node = _uniform(node)
        synapses = [self._synapse(name, node, s) for s in self.graph.sources(name)]
        bias = self._bias(name, node)
        plan = _Plan(
            name,
            node,
            synapses,
            bias,
            self.limits,
            self.statistics.reached.get(name),
            self.graph.steps or UNKNOWN_STEPS,
        )
        for synapse, weight in zip(synapses, plan.weights, strict=True):
            self.nodes[synapse.name] = replace(synapse.node, weight=weight, bias=None)
        self.nodes[name] = plan.neuron
        self.layers[name] = plan.report
        if plan.report.weight_bits < COARSE_BITS and any(np.any(s.weight) for s in synapses):
            self.notes.append(
                f"{name}: only {plan.report.weight_bits} bits of the weights are in use, so that"
                f" states up to {plan.needed:.3g} fit"
            )
        fires = node.compare != "never"
        self.unit[name] = 1.0 if fires else 1 / plan.scale
        self.peak[name] = 1 if fires else (1 << (self.limits.state_bits - 1)) - 1

    def _synapse(self, name: str, node: Neuron, source: str) -> _Synapse:
        weighted = self.graph.nodes[source]
        if not isinstance(weighted, Linear | Conv):
            raise RefusedError(source, "feeds a neuron without weights", "run merge-hops first")
        gain = _per_output(name, node.g, self.graph.signals[name].shape, weighted)
        weight = weighted.weight.astype(np.float64) * gain * self.unit[source]
        moment = self.statistics.moments.get(source)
        return _Synapse(source, weighted, weight, self.peak[source], moment)

    def _bias(self, name: str, node: Neuron) -> tuple[A, A]:
        """Real biases into (u, v) per neuron: constants of the synapses and of the neuron."""
        total: A = np.zeros(())
        for source in self.graph.sources(name):
            weighted = self.graph.nodes[source]
            assert isinstance(weighted, Linear | Conv)
            if weighted.bias is not None:
                rank = len(self.graph.signals[name].shape)
                total = total + weighted.bias.astype(np.float64).reshape(-1, *(1,) * (rank - 1))
        through_u = total * node.g
        read = any(
            isinstance(output, Output) and output.port == "u"
            for output in map(self.graph.nodes.__getitem__, self.graph.targets(name))
        )
        if node.order == "uv" and not np.any(node.a_u) and not read:
            return np.zeros(()), through_u + node.b
        return through_u, node.b.astype(np.float64)


def _uniform(node: Neuron) -> Neuron:
    """Parameters that are equal for all neurons as scalars."""
    changes: dict[str, Any] = {}
    for label in node.PARAMETERS:
        value = np.asarray(getattr(node, label), np.float64)
        if value.ndim and value.size and np.all(value == value.flat[0]):
            value = np.asarray(value.flat[0])
        changes[label] = value
    return replace(node, **changes)


def _per_output(name: str, gain: A, shape: tuple[int, ...], node: Linear | Conv) -> A:
    """The neurons' input gain g as a factor of each row of the weights."""
    if gain.ndim == 0:
        return gain
    rows = np.broadcast_to(gain, (shape[0], *gain.shape[1:])).reshape(shape[0], -1)
    if not np.all(rows == rows[:, :1]):
        raise RefusedError(
            name,
            "its input gain differs within a channel, but a kernel is shared by the channel",
            "use one gain per channel",
        )
    return rows[:, 0].reshape(-1, *(1,) * (node.weight.ndim - 1))


class _Plan:
    """Chooses the scale of one population and rounds everything that depends on it."""

    def __init__(
        self,
        name: str,
        node: Neuron,
        synapses: list[_Synapse],
        bias: tuple[A, A],
        limits: Limits,
        reached: float | None,
        steps: int,
    ) -> None:
        self.name, self.node, self.synapses, self.steps = name, node, synapses, steps
        self.bias_u, self.bias_v = bias
        self.limits = limits
        self.calibrated = reached is not None
        self.reached = self._range() if reached is None else max(reached, self._threshold())
        self.needed = self.reached * (HEADROOM if self.calibrated else 1.0) or 1.0
        self._check_decays()
        self.unit, self.shift = self._scale()
        self.lif = self._fits_lif()
        if not (self.lif or limits.neuron_programs):
            self.unit = self._shrunk_for_lif()
        self.scale = self.unit * (1 << self.shift)
        self.weights = [self._weight(synapse) for synapse in synapses]
        self._check_sums()
        self.neuron = self._neuron()
        self.report = self._report()

    def _threshold(self) -> float:
        fires = self.node.compare != "never"
        return float(np.max(np.abs(self.node.theta))) if fires else 0.0

    def _range(self) -> float:
        """Without calibration: the threshold plus what the largest input adds up to in u, and in
        v too where nothing resets it."""
        drive = sum(
            float(np.max(np.abs(s.weight).reshape(len(s.weight), -1).sum(1), initial=0)) * s.peak
            for s in self.synapses
        )
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
        for label, value in (("a_u", self.node.a_u), ("a_v", self.node.a_v)):
            if np.any(value < 0) or np.any(value > 1):
                raise RefusedError(
                    self.name,
                    f"{label} = {_outside(value):g} is not between 0 and 1: a decay register"
                    f" holds {self.limits.decay_bits} bits, unsigned",
                    "use a leak between 0 and 1",
                )
        if np.any(self.node.theta < 0) and self.node.compare != "never":
            raise RefusedError(
                self.name, "its threshold lies below its reset", "raise the threshold"
            )

    def _scale(self) -> tuple[float, int]:
        """(units of the synaptic sum per real unit, shift): as fine as weights and states allow.

        A chip with neuron programs can shift less, so that wide sums keep fine weights. The
        built-in LIF is kept as long as that costs at most one bit of the weights.
        """
        largest = max(
            (float(np.max(np.abs(s.weight), initial=0)) for s in self.synapses), default=0
        )
        exact = self._exact_unit(largest)
        shift = self.limits.shift
        room = ((1 << (self.limits.state_bits - 1)) - 1) / self.needed
        if threshold := self._threshold():
            room = min(room, self._theta_top() / threshold)
        fine = self.limits.weight_max / largest if largest else room / (1 << shift)
        wanted = fine if exact is None else exact
        coarsest = wanted if exact is not None else wanted / 2
        if not self.limits.neuron_programs or (
            self._lif_shaped() and room / (1 << shift) >= coarsest
        ):
            return min(wanted, room / (1 << shift)), shift
        while shift and wanted * (1 << shift) > room:
            shift -= 1
        return min(wanted, room / (1 << shift)), shift

    def _exact_unit(self, largest: float) -> float | None:
        """The largest power of two that puts every weight exactly on the chip's grid, if any."""
        if not largest:
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
        )

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
        mantissa = (1 << (self.limits.bias_mant_bits - 1)) - 1
        largest = float(np.max(np.abs(self.bias_v))) * unit * (1 << self.limits.shift)
        exponent = max(0, math.ceil(math.log2(largest / (mantissa + 0.5))))
        if self._on_grid():
            exponent = max(exponent, self.limits.shift)
        return exponent if exponent <= self.limits.bias_exp_max else None

    def _on_grid(self) -> bool:
        return not np.any(self.node.a_u) and bool(np.all(self.node.a_v == 1))

    def _shrunk_for_lif(self) -> float:
        """A coarser scale at which the bias fits, where only that keeps the LIF from holding it."""
        mantissa = (1 << (self.limits.bias_mant_bits - 1)) - 1
        room = mantissa << self.limits.bias_exp_max
        largest = float(np.max(np.abs(self.bias_v), initial=0)) * (1 << self.limits.shift)
        unit = min(self.unit, room / largest) if largest else self.unit
        self.lif = True
        return unit

    def _weight(self, synapse: _Synapse) -> A:
        limits = self.limits
        return round_to_grid(
            synapse.weight * self.unit,
            limits.weight_min,
            limits.weight_max,
            limits.weight_step,
            synapse.moment,
        )

    def _check_sums(self) -> None:
        total = sum(
            int(np.max(np.abs(w).astype(np.int64).reshape(len(w), -1).sum(1), initial=0)) * s.peak
            for w, s in zip(self.weights, self.synapses, strict=True)
        )
        if (total << self.shift) + (1 << self.limits.state_bits) > INT32:
            raise RefusedError(
                self.name,
                f"its input can reach {total} << {self.shift}, more than the 32 bits in which"
                " Lava adds",
                "use fewer input bits (--input-bits) or a smaller fan-in",
            )

    def _neuron(self) -> IntNeuron:
        node, limits, scale = self.node, self.limits, self.scale
        full = 1 << limits.decay_bits
        soft = node.reset == "soft"
        carried = node.reset_at if node.reset_at != "before" else "now"
        return IntNeuron(
            du=_int(full * (1 - node.a_u)),
            dv=_int(full * (1 - node.a_v)),
            theta=self._theta(),
            bias_v=self._rounded_bias(self.bias_v),
            bias_u=_int(self.bias_u * scale),
            v_sub=_int(node.theta * scale) if soft else np.asarray(0, np.int64),
            v_init=_int(node.v_init * scale),
            shift=self.shift,
            reset=node.reset,
            reset_at=carried if node.reset != "none" else "now",
            order=node.order,
            fires=node.compare != "never",
            state_bits=limits.state_bits,
        )

    def _rounded_bias(self, bias: A) -> A:
        exponent = self._bias_exponent(self.unit) if self.lif else 0
        if self.lif and exponent is None:
            raise RefusedError(
                self.name,
                f"its bias does not fit {self.limits.bias_mant_bits} bits"
                f" << {self.limits.bias_exp_max}",
                "use smaller biases or --chip loihi2",
            )
        grid = 1 << (exponent or 0)
        return _int(bias * self.scale / grid) * grid

    def _theta(self) -> A:
        """The integer θ of the strict comparison that means the same on the membrane's grid.

        On a grid of G: v > x is v > G·floor(x/G), and v ≥ x is v > G·(ceil(x/G) − 1). A leaky
        LIF leaves the grid of 64, so there the nearest multiple stands.
        """
        if self.node.compare == "never":
            return np.asarray(0, np.int64)
        grid = 1 << self.limits.shift if self.lif else 1
        units = self.node.theta * (self.scale / grid)
        nearest = np.rint(units)
        units = np.where(np.abs(units - nearest) <= 1e-9 * np.abs(units), nearest, units)
        if self.lif and not self._on_grid():
            mantissa = nearest
        elif self.node.compare == ">":
            mantissa = np.floor(units)
        else:
            mantissa = np.ceil(units) - 1
        return np.minimum(mantissa.astype(np.int64) * grid, self._theta_top())

    def _theta_top(self) -> int:
        return ((1 << self.limits.theta_bits) - 1) << self.limits.shift

    def _report(self) -> LayerScale:
        limits, scale = self.limits, self.scale
        largest = max(
            (float(np.max(np.abs(s.weight), initial=0)) for s in self.synapses), default=0
        )
        errors = [
            float(np.max(np.abs(w / self.unit - s.weight), initial=0))
            for w, s in zip(self.weights, self.synapses, strict=True)
        ]
        levels = [(int(w.max(initial=0)), int(w.min(initial=0))) for w in self.weights]
        peak = max((max(high, -low - limits.weight_step) for high, low in levels), default=0)
        full = 1 << limits.decay_bits
        decays = [(self.neuron.du, self.node.a_u), (self.neuron.dv, self.node.a_v)]
        theta = self._threshold()
        return LayerScale(
            scale=scale,
            weight_bits=(peak // limits.weight_step).bit_length() + 1,
            weight_error=max(errors, default=0) / largest if largest else 0.0,
            decay_error=max(float(np.max(np.abs(1 - d / full - a))) for d, a in decays),
            theta_error=(
                float(np.max(np.abs(self.neuron.theta / scale - self.node.theta))) / theta
                if theta
                else 0.0
            ),
            range=((1 << (limits.state_bits - 1)) - 1) / scale,
            reached=self.reached,
            calibrated=self.calibrated,
        )


def _outside(values: A) -> float:
    """The first value that is not between 0 and 1."""
    return float(values[(values < 0) | (values > 1)].flat[0])


def _int(values: A) -> A:
    """Rounded to the nearest integer, ties to even."""
    return np.rint(np.asarray(values, np.float64)).astype(np.int64)
