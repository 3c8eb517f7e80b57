"""Exact integers: every operation counted by hand, see `cases.py`, in graphs and in modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.graph_counts import count_float
from tests.energy.cases import CASES, RANDOM, Case, Layer, random_convolution


def _synapses(layer: Synapses, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(layer, name) for name in names}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _check_layers(found: Iterable[Synapses], wanted: Iterable[Layer]) -> None:
    found = list(found)
    expected = [layer.expected() for layer in wanted]
    assert [_synapses(s, e) for s, e in zip(found, expected, strict=True)] == expected
    for layer in found:
        for name in ("events", "value", "products", "operations", "products_nonzero"):
            assert getattr(layer, name).dtype == np.int64, (layer.name, name)


def _totals(lines: Iterable[Line]) -> dict[tuple[Cause, Op], list[int]]:
    """Operations per sample by cause and kind; what is 0 everywhere is left out."""
    totals: dict[tuple[Cause, Op], Any] = {}
    for line in lines:
        for op, count in line.operations.items():
            totals[line.cause, op] = totals.get((line.cause, op), 0) + count
    return {key: count.tolist() for key, count in totals.items() if np.any(count)}


def _expected(case: Case) -> dict[tuple[Cause, Op], list[int]]:
    per_sample = {
        (cause, op): [count] if isinstance(count, int) else list(count)
        for cause, work in case.lines.items()
        for op, count in work.items()
    }
    return {key: count for key, count in per_sample.items() if any(count)}


def _check_spikes(found: Iterable[Population], case: Case) -> None:
    assert [p.spikes.tolist() for p in found] == list(case.spikes or ())


def _check(counts: Counts, case: Case, lines: Iterable[Line]) -> None:
    lines = list(lines)
    assert not counts.uncounted
    _check_layers(counts.synapses, case.layers)
    assert _totals(lines) == _expected(case)
    if case.foldable:
        assert [line.foldable for line in lines if line.cause is Cause.NORM] == list(case.foldable)


@pytest.mark.parametrize("name", CASES)
def test_graph(name: str) -> None:
    case = CASES[name]()
    counts = count_float(case.graph, case.inputs)
    _check(counts, case, counts.lines)
    _check_spikes(counts.populations, case)


class Watched(nn.Module):
    """A module beside neurons that never fire: a network without neurons is refused."""

    def __init__(self, body: nn.Module, steps: str) -> None:
        super().__init__()
        from spikingjelly.activation_based import neuron

        self.body, self.silent = body, neuron.IFNode(v_threshold=1e9, step_mode=steps)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        self.silent(inputs[0])
        return self.body(*inputs)


def _measured(case: Case) -> Counts:
    from snnc.energy.meter import measure

    assert case.module is not None
    module = case.module
    if case.spikes is None:
        module = Watched(module, "s" if case.static else "m")
    steps = case.graph.steps if case.static else None
    return measure(
        module.eval(),
        case.tensors,
        steps=steps,
        time_axis=None if case.static else 0,
        input_kind=case.kind,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", [name for name, build in CASES.items() if build().module])
def test_module(name: str) -> None:
    case = CASES[name]()
    counts = _measured(case)
    own = case.spikes is not None
    _check(counts, case, [x for x in counts.lines if own or x.cause is not Cause.NEURON])
    if own:
        _check_spikes(counts.populations, case)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_convolutions_are_the_same_both_ways(seed: int) -> None:
    case = random_convolution(seed)
    (graph,), (module,) = count_float(case.graph, case.inputs).synapses, _measured(case).synapses
    names = ("op", "kind", "dense", "taps", "events", "value", "products", "operations",
             "products_nonzero", "operations_nonzero", "in_shape", "out_shape", "kernel", "stride",
             "groups", "weights", "bias", "steps")  # fmt: skip
    assert _synapses(module, names) == _synapses(graph, names)


def test_first_layer() -> None:
    """12 MACs and 6 additions of biases over 3 steps, 4 and 2 if only the first step evaluates;
    the numbers are derived in `direct_encoding`."""
    case = CASES["direct_encoding"]()
    counts = count_float(case.graph, case.inputs)
    layer, line = counts.synapses[0], counts.lines[0]
    assert layer.effective("per_step", True).tolist() == [12]
    assert layer.effective("once", True).tolist() == [4]
    assert line.static
    assert line.effective(Op.AC, "per_step").tolist() == [6]
    assert line.effective(Op.AC, "once").tolist() == [2]


def test_zero_weights_are_left_out_on_demand() -> None:
    """6 products of which 3 have weights that aren't 0, see `zero_weights`."""
    case = CASES["zero_weights"]()
    layer = count_float(case.graph, case.inputs).synapses[0]
    assert layer.effective("per_step", True).tolist() == [6]
    assert layer.effective("per_step", False).tolist() == [3]


@pytest.mark.parametrize("name", ["mixed_batch", "two_layers_of_spikes"])
def test_a_batch_is_the_sum_of_its_samples(name: str) -> None:
    case = CASES[name]()
    single = [
        count_float(case.graph, {k: x[i : i + 1] for k, x in case.inputs.items()}) for i in (0, 1)
    ]
    counts = Counts.joined(single)
    _check(counts, case, counts.lines)
    _check_spikes(counts.populations, case)
