"""Hand-made counts and conventions for reports: no network, no run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.energy.conventions.base import Figure, Item, Settings
from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.prices import Prices
from snnc.energy.report import Report, build_report
from snnc.ir import Kind

PRICES = Prices(
    name="45nm-fp32",
    bits=32,
    number="32-bit float",
    operations={"ac": 0.9, "mac": 4.6, "mul": 3.7, "compare": 0.9},
    memory=((8192.0, 10.0), (32768.0, 20.0)),
    source="Horowitz, ISSCC 2014",
    notes=("0.9 V",),
)


@dataclass(frozen=True)
class Plain:
    """Every counted operation times its price."""

    name: str = "effective"
    paper: str = "a paper"
    rule: str = "what was counted"

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        items = [
            Item(
                layer.name, Cause.SYNAPSES, layer.operation, layer.op,
                layer.effective(settings.first_layer, settings.zero_weights),
                prices.operations.get(layer.op),
            )
            for layer in counts.synapses
        ]  # fmt: skip
        items += [
            Item(
                line.name, line.cause, line.what, op,
                line.effective(op, settings.first_layer), prices.operations.get(op), line.place,
            )
            for line in counts.lines
            for op in line.operations
        ]  # fmt: skip
        left_out = tuple(f"{item.layer}: {item.op}" for item in items if item.price is None)
        return Figure(
            self.name, self.paper, self.rule, prices, tuple(items),
            ann=4.6 * sum(layer.taps for layer in counts.synapses),
            notes=("a note",), left_out=left_out,
        )  # fmt: skip


def layer(name: str, operations: Any, **changes: Any) -> Synapses:
    """3 inputs, 4 outputs, dense; `operations` is (sample, step) and 4 per event."""
    counts = np.asarray(operations, np.int64)
    values: dict[str, Any] = {
        "name": name, "operation": "linear", "kind": Kind.SPIKE, "direct": False, "static": False,
        "in_shape": (3,), "out_shape": (4,), "kernel": (), "stride": (), "groups": 1,
        "weights": 12, "bias": True, "dense": 12, "taps": 12, "events": counts // 4,
        "value": counts // 4, "products": counts, "operations": counts,
        "products_nonzero": counts, "operations_nonzero": counts - counts // 4,
    }  # fmt: skip
    return Synapses(**{**values, **changes})


def small_counts(**changes: Any) -> Counts:
    """Two samples, two steps: a static analog layer, a norm, neurons, a spiking layer.

    Operations per sample by hand: `first` 12 MAC at each of 2 steps (once: 12); `norm` 4 MAC per
    step; `lif` 4 compares per step and 4 MAC per step; `second` 4 + 8 and 12 + 12 AC.
    """
    pairs = np.full(2, 8, np.int64)
    values: dict[str, Any] = {
        "stage": "s1",
        "samples": 2,
        "steps": 2,
        "synapses": (
            layer("first", [[12, 12], [12, 12]], kind=Kind.ANALOG, direct=True, static=True,
                  value=np.zeros((2, 2), np.int64)),
            layer("second", [[4, 8], [12, 12]]),
        ),
        "lines": (
            Line("norm", Cause.NORM, "batch norm", True, 4, 4, 2, {Op.MAC: pairs}, foldable=True),
            Line("lif", Cause.NEURON, "LIF", False, 4, 4, 2, {Op.MAC: pairs, Op.COMPARE: pairs}),
        ),
        "populations": (Population("lif", 4, True, True, np.asarray([[1, 2], [3, 2]])),),
        "notes": ("said once",),
    }  # fmt: skip
    return Counts(**{**values, **changes})


def small_report(**changes: Any) -> Report:
    return build_report("small.pt", small_counts(**changes), [Plain()], PRICES, Settings())


def large_report(layers: int = 36, steps: int = 4, samples: int = 20) -> Report:
    """As many layers as a deep network, with long names."""
    rng = np.random.default_rng(0)
    synapses, lines, populations = [], [], []
    for index in range(layers):
        stage = f"layer{index // 9 + 1}.{index % 9}"
        analog = index == 0
        size = (64, 56, 56)
        counts = rng.integers(10**6, 10**7, (samples, steps))
        if analog:
            counts = np.repeat(counts[:, :1], steps, axis=1)
        synapses.append(
            layer(
                f"{stage}.conv", counts, kind=Kind.ANALOG if analog else Kind.SPIKE, direct=analog,
                static=analog, operation="conv", in_shape=size, out_shape=size, dense=115_605_504,
                taps=110_859_264, weights=36_864,
            )
        )  # fmt: skip
        values = np.full(samples, 64 * 56 * 56 * steps, np.int64)
        lines.append(Line(f"{stage}.bn", Cause.NORM, "batch norm", analog, size[0], size[0], steps,
                          {Op.MAC: values}, foldable=True))  # fmt: skip
        lines.append(Line(f"{stage}.lif", Cause.NEURON, "LIF", False, size[0], size[0], steps,
                          {Op.MAC: values, Op.COMPARE: values}))  # fmt: skip
        spikes = rng.integers(0, int(200_704 * 0.5 / (1 + index % 7)), (samples, steps))
        populations.append(Population(f"{stage}.lif", 200_704, True, True, spikes))
    counts_ = Counts(
        "torch", samples, steps, tuple(synapses), tuple(lines), tuple(populations),
        {"head.softmax": "softmax over classes"}, ("averages compile to weights",),
    )  # fmt: skip
    others = ("spikinghash_eq26", "vtsnn_table3", "spikformer", "syops", "neurobench")
    conventions = [
        Plain(),
        *(Plain(name, "authors, some journal 2024, eq. 26", "sum of products") for name in others),
    ]
    return build_report("resnet18.pt", counts_, conventions, PRICES, Settings())
