"""S0 against S1: what is a tie and what is a difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from snnc.errors import TraceError
from snnc.frontends.model import Example, Model
from snnc.frontends.trace import trace
from snnc.reference.agreement import CHUNK, _close, check_agreement, compare_with_framework


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), neuron.IFNode(), nn.Linear(4, 2), neuron.IFNode())
    return trace(net, torch.rand(CHUNK + 5, 3), steps=6)


def flipped(example: Example, name: str, place: tuple[int, ...]) -> Example:
    spikes = {key: value.copy() for key, value in example.spikes.items()}
    spikes[name][place] ^= 1
    return replace(example, spikes=spikes)


def test_counts(model: Model) -> None:
    report = compare_with_framework(model.graph, model.example)
    assert {n: r.decisions for n, r in report.items()} == {
        "1": (CHUNK + 5) * 6 * 4, "3": (CHUNK + 5) * 6 * 2,
    }  # fmt: skip
    assert all(r.differing == 0 and r.first is None for r in report.values())


@pytest.mark.parametrize("sample", [0, CHUNK + 2])
def test_one_difference_is_found_in_its_place_and_does_not_spread(
    model: Model, sample: int
) -> None:
    wrong = flipped(model.example, "1", (sample, 2, 3))
    report = compare_with_framework(model.graph, wrong)
    assert report["1"].real == 1
    assert report["1"].first == (sample, 2, 3)
    with pytest.raises(TraceError, match=rf"decides 1 of .*\({sample}, 2, 3\)"):
        check_agreement(model.graph, wrong)


def test_a_tie_is_counted_but_is_no_difference() -> None:
    """0.1 added ten times reaches 1 in float64's sum or not, depending on rounding."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), neuron.IFNode())
    net[0].weight.data.fill_(1)
    model = trace(net, torch.full((1, 1), 0.1), steps=10)
    wrong = flipped(model.example, "1", (0, 9, 0))
    report = compare_with_framework(model.graph, wrong)
    assert report["1"].ties == 1
    assert report["1"].differing == 1
    assert report["1"].real == 0


def test_rounding_of_large_membranes_is_real_but_not_beyond_float32() -> None:
    """The membrane comes back to 1 from 2^22, where float32 knows steps of 0.5 only."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), neuron.IFNode())
    net[0].weight.data.fill_(1)
    x = torch.tensor([-4194304.0, 4194304.0, 1.25, 0]).reshape(4, 1, 1)
    model = trace(net, x, time_axis=0)
    wrong = flipped(model.example, "1", (0, 2, 0))
    report = compare_with_framework(model.graph, wrong)["1"]
    assert report.real >= 1
    assert report.beyond == 0
    check_agreement(model.graph, replace(wrong, outputs={"output": wrong.spikes["1"]}))


def test_outputs_are_compared(model: Model) -> None:
    outputs = {name: 1 - value for name, value in model.example.outputs.items()}
    with pytest.raises(TraceError, match="output"):
        check_agreement(model.graph, replace(model.example, outputs=outputs))
    assert np.isin(model.example.outputs["output"], (0, 1)).all()


@pytest.mark.parametrize(
    ("ours", "theirs", "agree"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.inf, 1.0], [np.inf, 1.00001], True),
        ([np.nan, 1.0], [0.0, 1.0], False),
        ([0.0, 1.0], [np.nan, 1.0], False),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([1e9, 1.0], [np.inf, 1.0], False),
        ([np.inf, 1.0], [np.inf, 1.1], False),
    ],
)
def test_values_without_a_number_agree_with_themselves_only(
    ours: list[float], theirs: list[float], agree: bool
) -> None:
    assert _close(np.asarray(ours), np.asarray(theirs)) is agree
