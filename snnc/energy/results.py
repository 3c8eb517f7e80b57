"""The parts of an energy report: counts, figures and rates over the samples, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnc.energy.counts import Cause, FirstLayer, Place
from snnc.energy.prices import Prices
from snnc.energy.statistics import Statistics


def operands(prices: Prices) -> str:
    """What the prices are for, in words, with the width."""
    words, bits = prices.number, prices.bits
    return words if str(bits) in words else f"{bits}-bit {words}"


@dataclass(frozen=True)
class ItemResult:
    """One line of a figure, over the samples.

    Attributes:
        layer, cause, what, op, place: see `snnc.energy.conventions.base.Item`.
        count, count_sd: operations per sample, mean and standard deviation (None with one sample).
        price: pJ each; None where the table has no price.
        energy, energy_sd: pJ per sample; None where there is no price.
    """

    layer: str
    cause: Cause
    what: str
    op: str
    place: Place
    count: float
    count_sd: float | None
    price: float | None
    energy: float | None
    energy_sd: float | None


@dataclass(frozen=True)
class Reading:
    """A figure with the first layer evaluated at every step, or once per sample.

    Attributes:
        first_layer: which.
        energy: pJ per sample.
        items: what it is made of, in the order of the network.
        ann: pJ per sample of the ANN of the same shape; None where the convention has none.
        left_out: operations that the convention or the table can't price.
        notes: what a reader must know.
    """

    first_layer: FirstLayer
    energy: Statistics
    items: tuple[ItemResult, ...]
    ann: float | None
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """Energy of the ANN by that of the spiking network."""
        return self.ann / self.energy.mean if self.ann is not None and self.energy.mean else None


@dataclass(frozen=True)
class FigureResult:
    """The energy as one convention has it.

    Attributes:
        convention, paper, rule: name, publication, what it counts in one line.
        prices: the table used.
        per_step, once: both readings of the first layer.
    """

    convention: str
    paper: str
    rule: str
    prices: Prices
    per_step: Reading
    once: Reading

    @property
    def readings(self) -> tuple[Reading, Reading]:
        """Both."""
        return self.per_step, self.once

    @property
    def alike(self) -> bool:
        """Whether both readings say the same, down to every item."""
        return self.per_step.items == self.once.items

    @property
    def priced_with(self) -> str:
        """The price table and the width of its operands."""
        return f"{self.prices.name} ({operands(self.prices)})"

    def reading(self, first_layer: FirstLayer) -> Reading:
        """The one that the settings choose."""
        return self.per_step if first_layer == "per_step" else self.once

    @property
    def complete(self) -> bool:
        """Whether everything that the convention counts has a price."""
        return not any(reading.left_out for reading in self.readings)


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of a layer per sample, over all steps.

    Attributes:
        evaluations: how often the layer is evaluated.
        dense: by the formula, padding included.
        taps: without padding.
        rate_formula: R·T·FLOPs, the mean rate of the inputs times `dense`; of attention the smaller
            of both operands' rates.
        effective: counted exactly, mean over the samples.
        effective_nonzero: the same without weights that are 0.
    """

    evaluations: int
    dense: int
    taps: int
    rate_formula: float
    effective: float
    effective_nonzero: float


@dataclass(frozen=True)
class LayerCounts:
    """A layer with synapses, or an attention product.

    Attributes:
        name, operation, kind, direct, static, in_shape, out_shape, kernel, stride, groups, weights,
            bias, place: see `snnc.energy.counts.Synapses`.
        op: `ac` or `mac`, by the static type of the input.
        events: inputs that are not 0, per sample, over all steps.
        input_rate: per input and step: Σ|input| of spikes and graded inputs, the share of inputs
            that are not 0 of analog ones. Attention: of its first operand.
        spikes_per_synapse: effective operations per product inside the frame and inference (T·r);
            None for analog inputs and attention.
        per_step, once: both readings.
    """

    name: str
    operation: str
    kind: str
    op: str
    direct: bool
    static: bool
    place: Place
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    weights: int
    bias: bool
    events: float
    input_rate: float
    spikes_per_synapse: float | None
    per_step: Operations
    once: Operations

    def reading(self, first_layer: FirstLayer) -> Operations:
        """The one that the settings choose."""
        return self.per_step if first_layer == "per_step" else self.once


@dataclass(frozen=True)
class LineCounts:
    """Operations that are no synaptic ones.

    Attributes:
        name, cause, what, place, static, foldable, steps: see `snnc.energy.counts.Line`.
        per_step, once: operations per sample by kind, mean over the samples, in both readings.
    """

    name: str
    cause: Cause
    what: str
    place: Place
    static: bool
    foldable: bool
    steps: int
    per_step: Mapping[str, float]
    once: Mapping[str, float]


@dataclass(frozen=True)
class FiringRates:
    """A layer of neurons.

    Attributes:
        name, size, leaks, fires, steps: see `snnc.energy.counts.Population`.
        spikes: per sample.
        rate: spikes per neuron and step.
        rates: the same step by step.
    """

    name: str
    size: int
    leaks: bool
    fires: bool
    steps: int
    spikes: float
    rate: float
    rates: tuple[float, ...]
