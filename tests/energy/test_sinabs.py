"""sinabs 3.1's synaptic operations against ours: equal where the rules are, else why not.

Its rules (sinabs/hooks.py): Σ value · fan-out of Linear and Conv2d inside one `Sequential`, exact
at the border, mean over the rows; average pools in front are multiplied out. It has no kinds of
operations, no dense count, no bias.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snnc.energy.counts import Counts, Op
from snnc.energy.graph_counts import count_float
from tests.energy.cases import CASES, RANDOM, Case, EachStep, random_convolution, torch_linear

pytest.importorskip("sinabs", reason="sinabs is not installed")

AGREE = [
    "linear_with_bias", "conv_at_the_border", "conv_that_leaves_pixels_unread", "conv_with_a_rest",
    "conv_with_stride_and_padding", "conv_with_dilation", "conv_with_dilation_and_padding",
    "conv_in_groups", "conv_depthwise", "zero_weights", "zero_weights_at_the_border",
    "integer_spikes_at_the_border", "batch_norm_after_a_convolution",
]  # fmt: skip


def sinabs(layers: nn.Sequential, rows: torch.Tensor) -> float:
    """Synaptic operations over all rows."""
    from sinabs.hooks import register_synops_hooks

    register_synops_hooks(layers)
    with torch.no_grad():
        layers(rows)
    return float(layers.hook_data["total_synops_per_timestep"]) * len(rows)  # type: ignore[index]


def _sinabs(case: Case) -> float:
    body = case.module.body if isinstance(case.module, EachStep) else case.module
    assert isinstance(body, nn.Module)
    layers = body if isinstance(body, nn.Sequential) else nn.Sequential(body)
    return sinabs(layers, case.tensors[0].flatten(0, 1))


def _case(name: str) -> tuple[Case, Counts]:
    case = CASES[name]()
    return case, count_float(case.graph, case.inputs)


def _operations(counts: Counts) -> int:
    return sum(int(layer.operations.sum()) for layer in counts.synapses)


@pytest.mark.parametrize("name", AGREE)
def test_agrees(name: str) -> None:
    """Spikes and integers: Σ value · fan-out, zero weights included."""
    case, counts = _case(name)
    assert _operations(counts) > 0
    assert _sinabs(case) == pytest.approx(_operations(counts), rel=1e-6)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_convolutions_agree(seed: int) -> None:
    """With zero weights."""
    case = random_convolution(seed)
    counts = count_float(case.graph, case.inputs)
    assert _sinabs(case) == pytest.approx(_operations(counts), rel=1e-6)


def test_integers_agree() -> None:
    """2, 1, 0 into 2 outputs: 6 unit additions by both, where NeuroBench and SpikingJelly say
    MAC."""
    case, counts = _case("integer_spikes")
    values = case.tensors[0] + case.tensors[1]
    assert sinabs(nn.Sequential(torch_linear(torch.ones(2, 3).numpy())), values[0]) == 6
    assert _operations(counts) == 6


def test_pools_of_spikes_agree_where_they_are_sums() -> None:
    """It multiplies an average pool out, as compiling does: 3/4 of 4 spikes are 3, into 2 outputs:
    6, as for our sum pool. An averaged value itself is analog here: 2 MACs."""
    averaged, counts = _case("averaged_spikes")
    _, summed = _case("summed_spikes")
    assert _sinabs(averaged) == _operations(summed) == 6
    assert _operations(counts) == 2
    assert counts.synapses[0].op is Op.MAC
    assert any("averaged spikes" in note for note in counts.notes)


# Where the rules differ


def test_analog_values_are_summed_there() -> None:
    """1/2 counts as half an operation: 2 of 4 MACs."""
    case, counts = _case("analog_input_of_two_values")
    assert _sinabs(case) == 2
    assert _operations(counts) == 4


def test_negative_values_cancel_there() -> None:
    """−2, 0, 1 into 2 outputs: −2 operations; Σ|value| is 3, so 6 additions."""
    case, counts = _case("negative_integers")
    assert _sinabs(case) == -2
    assert _operations(counts) == 6


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("conv_over_one_axis", 21),
        ("conv_over_one_axis_with_stride_and_dilation", 2),
        ("transposed_conv", 24),
        ("transposed_conv_that_is_cropped", 32),
        ("transposed_conv_with_output_padding", 38),
    ],
)
def test_other_layers_are_nothing_there(name: str, operations: int) -> None:
    """It knows Linear and Conv2d."""
    case, counts = _case(name)
    assert _sinabs(case) == 0
    assert _operations(counts) == operations


def test_nested_layers_are_nothing_there() -> None:
    """It looks at the layers of one Sequential only: 0 of 15."""
    case, counts = _case("linear_with_bias")
    assert case.module is not None
    assert sinabs(nn.Sequential(nn.Sequential(case.module)), case.tensors[0].flatten(0, 1)) == 0
    assert _operations(counts) == 15
