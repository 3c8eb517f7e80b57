"""Is it worth being a spiking network? Measured activity beside the published break-even points.

Spikes per synapse and inference, T·r, is the number that all of them are about: effective ACs per
product of one evaluation whose input lies inside the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from snnc.energy.conventions.base import Figure, Settings
from snnc.energy.conventions.parts import network_rate, neurons, rate_times_flops
from snnc.energy.counts import Counts, Op, Synapses

Side = Literal["below", "above", "inside the contested band", "not applicable"]
Winner = Literal["SNN", "ANN", "equal"]

SPIKES_PER_SYNAPSE = "spikes per synapse and inference"
RATE = "spikes per neuron and step"


@dataclass(frozen=True)
class Activity:
    """Synaptic operations per sample of a layer, or of several, in four readings.

    Attributes:
        name: of the layer, or `total`.
        kind: static type of the input; `mixed` for totals over several.
        evaluations: T; 0 for totals.
        dense: by the formula, padding included, one evaluation.
        taps: the same without padding.
        rate_formula: R·T·FLOPs.
        effective: exact; mean over the samples.
        spikes_per_synapse: effective / taps; None where the input is analog, for attention (it has
            no synapses), and without any product.
    """

    name: str
    kind: str
    evaluations: int
    dense: int
    taps: int
    rate_formula: float
    effective: float
    spikes_per_synapse: float | None


@dataclass(frozen=True)
class Sign:
    """Which network needs less energy in a figure, and by how much.

    Attributes:
        convention: of the figure.
        snn, ann: pJ per sample, mean.
        winner: the cheaper one.
        complete: whether everything that the convention counts is in both.
    """

    convention: str
    snn: float
    ann: float
    winner: Winner
    complete: bool

    @property
    def ratio(self) -> float:
        """ANN/SNN; infinite if the SNN costs nothing."""
        return self.ann / self.snn if self.snn else float("inf")


@dataclass(frozen=True)
class Threshold:
    """A published break-even point beside the measurement.

    Attributes:
        source: publication.
        quantity: what it is about.
        low, high: the point, or the band that is contested; None if the table has no such prices.
        measured: the network's own value; None if there is none.
        side: where that lies. Below favours the SNN; at the point is above.
        reason: why it isn't applicable, or under which conditions the point holds.
    """

    source: str
    quantity: str
    low: float | None
    high: float | None
    measured: float | None
    side: Side
    reason: str = ""


@dataclass(frozen=True)
class Verdicts:
    """All of it.

    Attributes:
        layers: by layer, in the order of the network.
        weighted: total over the layers whose input is spikes or integers.
        total: total over everything, attention and analog layers too.
        rate: spikes per neuron and step over all neurons; None without any.
        signs: one for every figure that has an ANN of the same shape.
        thresholds: the published points.
    """

    layers: tuple[Activity, ...]
    weighted: Activity
    total: Activity
    rate: float | None
    signs: tuple[Sign, ...]
    thresholds: tuple[Threshold, ...]

    @property
    def spikes_per_synapse(self) -> float | None:
        """Spikes per synapse and inference of the whole network."""
        return self.weighted.spikes_per_synapse

    @property
    def by_operations(self) -> Sign | None:
        """The verdict by operations alone: that of `effective`."""
        return self._sign("effective")

    @property
    def with_memory(self) -> Sign | None:
        """The verdict with memory accesses: that of `lemaire2022`."""
        return self._sign("lemaire2022")

    def _sign(self, convention: str) -> Sign | None:
        return next((sign for sign in self.signs if sign.convention == convention), None)


def verdicts(
    counts: Counts, figures: Sequence[Figure], settings: Settings | None = None
) -> Verdicts:
    """Holds a network's activity and figures against the ANN of its shape and the literature.

    Args:
        counts: what was counted.
        figures: of any conventions, all with the same price table; the break-even point by
            operations alone is that table's E_MAC/E_AC.
        settings: those of the figures.
    """
    chosen = settings or Settings()
    layers = tuple(_activity(layer, chosen) for layer in counts.synapses)
    pairs = list(zip(counts.synapses, layers, strict=True))
    weighted = _total(
        "spiking layers", [a for s, a in pairs if a.spikes_per_synapse is not None], True
    )
    rate = float(network_rate(counts).mean()) if neurons(counts) and counts.samples else None
    return Verdicts(
        layers,
        weighted,
        _total("total", layers, False),
        rate,
        tuple(_signs(figures)),
        tuple(_thresholds(counts, figures, weighted.spikes_per_synapse, rate)),
    )


def _activity(layer: Synapses, settings: Settings) -> Activity:
    counted = layer.effective(settings.first_layer, settings.zero_weights)
    effective = float(counted.mean()) if counted.size else 0.0
    formula = rate_times_flops(layer)
    synaptic = layer.op is Op.AC and layer.operation != "attention" and layer.taps > 0
    return Activity(
        layer.name,
        layer.kind.value,
        layer.steps,
        layer.dense,
        layer.taps,
        float(formula.mean()) if formula.size else 0.0,
        effective,
        effective / layer.taps if synaptic else None,
    )


def _total(name: str, layers: Sequence[Activity], synaptic: bool) -> Activity:
    kinds = {layer.kind for layer in layers}
    taps = sum(layer.taps for layer in layers)
    effective = sum(layer.effective for layer in layers)
    return Activity(
        name,
        kinds.pop() if len(kinds) == 1 else "mixed",
        0,
        sum(layer.dense for layer in layers),
        taps,
        sum(layer.rate_formula for layer in layers),
        effective,
        effective / taps if synaptic and taps else None,
    )


def _signs(figures: Iterable[Figure]) -> Iterable[Sign]:
    for figure in figures:
        if figure.ann is None or not figure.items:
            continue
        snn = float(np.mean(figure.energy))
        winner: Winner = "equal"
        if snn != figure.ann:
            winner = "SNN" if snn < figure.ann else "ANN"
        yield Sign(figure.convention, snn, figure.ann, winner, figure.complete)


def _thresholds(
    counts: Counts, figures: Sequence[Figure], synaptic: float | None, rate: float | None
) -> Iterable[Threshold]:
    unknown = "no layer sees spikes" if synaptic is None else ""
    for figure in figures[:1]:
        mac, ac = (figure.prices.operations.get(op) for op in (Op.MAC, Op.AC))
        table = f"E_MAC/E_AC of {figure.prices.name}, operations alone"
        if mac is None or not ac:
            reason = "the price table has no MAC or no AC"
            yield Threshold(
                table, SPIKES_PER_SYNAPSE, None, None, synaptic, "not applicable", reason
            )
        else:
            yield _compare(table, SPIKES_PER_SYNAPSE, (mac / ac, mac / ac), synaptic, unknown)
    yield _compare(
        "Davidson & Furber 2021, Frontiers in Neuroscience 15:651141",
        SPIKES_PER_SYNAPSE, (1.72, 1.72), synaptic, unknown,
    )  # fmt: skip
    yield _compare(
        "Dampfhoffer et al. 2023, IEEE TETCI 7(3), depends on the dataflow of the ANN",
        SPIKES_PER_SYNAPSE, (0.15, 1.38), synaptic, unknown,
    )  # fmt: skip
    steps = {layer.steps for layer in neurons(counts)}
    yield _compare(
        "Yan et al. 2024, arXiv 2409.08290 (v2, v3), T from 5 to 10, ANN of ⌈log₂(T + 1)⌉ bits",
        RATE, (0.064, 0.064), rate, _steps_outside(steps, 5, 10),
    )  # fmt: skip
    yield _compare(
        "Yan et al. 2024, arXiv 2409.08290 (v4), T = 5, ANN of 3 bits",
        RATE, (0.057, 0.057), rate, _steps_outside(steps, 5, 5),
    )  # fmt: skip


def _steps_outside(steps: set[int], low: int, high: int) -> str:
    """Why a point for some T doesn't apply; empty if it does."""
    if not steps:
        return "no neuron fires"
    if all(low <= step <= high for step in steps):
        return ""
    return f"T = {', '.join(map(str, sorted(steps)))}"


def _compare(
    source: str, quantity: str, band: tuple[float, float], measured: float | None, reason: str
) -> Threshold:
    low, high = band
    if reason or measured is None:
        return Threshold(source, quantity, low, high, measured, "not applicable", reason)
    side: Side = "inside the contested band"
    if measured < low:
        side = "below"
    elif measured > high or low == high:
        side = "above"
    return Threshold(source, quantity, low, high, measured, side)


__all__ = ["Activity", "Sign", "Threshold", "Verdicts", "verdicts"]
