"""SpikingJelly 2.0's op_counter against ours: equal where the rules are, else why not.

Its rules (spikingjelly/activation_based/op_counter): on every aten operation of the forward, SynOp
and AC if one operand's values are all 0 or 1, with exact fan-out, MAC else, dense and with padding.
AC also has the additions of batch norm, pooling and of every tensor addition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnc.energy.counts import Cause, Counts, Op
from snnc.energy.graph_counts import count_float
from tests.energy.cases import CASES, RANDOM, Case, lit, random_convolution, torch_conv

pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed")

SYNAPSES_AGREE = [
    "linear_with_bias", "conv_at_the_border", "conv_that_leaves_pixels_unread", "conv_with_a_rest",
    "conv_with_stride_and_padding", "conv_with_dilation", "conv_with_dilation_and_padding",
    "conv_in_groups", "conv_depthwise", "conv_over_one_axis",
    "conv_over_one_axis_with_stride_and_dilation", "transposed_conv",
    "transposed_conv_that_is_cropped", "transposed_conv_with_output_padding",
    "transposed_conv_in_groups_over_one_axis", "transposed_conv_with_dilation", "zero_weights",
    "attention_of_spikes", "batch_norm_after_a_convolution", "residual_currents", "concatenation",
    "upsampling", "two_layers_of_spikes",
]  # fmt: skip
"""Spikes in, zero weights included: its SynOp is our synaptic ACs."""

AC_AGREE = {
    "residual_currents": Cause.ADD,
    "average_pool": Cause.POOL,
    "mean_over_steps": Cause.POOL,
}
"""Its AC beyond the SynOps is our additions for this cause."""


def jelly(module: nn.Module | None, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int, int]:
    """(MAC, AC, SynOp) of one call."""
    from spikingjelly.activation_based import op_counter

    counters: Any = op_counter.MACCounter(), op_counter.ACCounter(), op_counter.SynOpCounter()
    assert module is not None
    with op_counter.DispatchCounterMode(list(counters)), torch.no_grad():
        module.eval()(*inputs)
    return tuple(counter.get_total() for counter in counters)


def _jelly(case: Case) -> tuple[int, int, int]:
    return jelly(case.module, case.tensors)


def _case(name: str) -> tuple[Case, Counts]:
    case = CASES[name]()
    return case, count_float(case.graph, case.inputs)


def _synapses(counts: Counts, op: Op) -> int:
    return sum(int(layer.operations.sum()) for layer in counts.synapses if layer.op is op)


def _line(counts: Counts, cause: Cause, op: Op) -> int:
    lines = (line for line in counts.lines if line.cause is cause and op in line.operations)
    return sum(int(line.operations[op].sum()) for line in lines)


@pytest.mark.parametrize("name", SYNAPSES_AGREE)
def test_synaptic_operations_agree(name: str) -> None:
    case, counts = _case(name)
    assert _synapses(counts, Op.AC) > 0
    assert _jelly(case)[2] == _synapses(counts, Op.AC)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_convolutions_agree(seed: int) -> None:
    """With zero weights, as long as the weights don't happen to be 0 and 1 only."""
    case = random_convolution(seed)
    assert _jelly(case)[2] == _synapses(count_float(case.graph, case.inputs), Op.AC)


@pytest.mark.parametrize("name", AC_AGREE)
def test_additions_agree(name: str) -> None:
    case, counts = _case(name)
    _, additions, synapses = _jelly(case)
    assert additions - synapses == _line(counts, AC_AGREE[name], Op.AC) > 0


def test_batch_norm_multiplications_agree() -> None:
    """One per value, 16 in two steps."""
    case, counts = _case("batch_norm_after_a_convolution")
    assert _jelly(case)[0] == _line(counts, Cause.NORM, Op.MAC) == 16


def test_analog_macs_agree_without_zeros_and_padding() -> None:
    """3/4, the mean of a pool, into 2 outputs: 2 MACs by both, and 3 additions in the pool."""
    case, counts = _case("averaged_spikes")
    assert _jelly(case)[:2] == (2, 3)
    assert (_synapses(counts, Op.MAC), _line(counts, Cause.POOL, Op.AC)) == (2, 3)


# Where the rules differ


def test_bias_is_out_of_its_additions() -> None:
    """`addmm` counts its products; we show the 6 additions of biases on a line of their own."""
    case, counts = _case("linear_with_bias")
    assert _jelly(case) == (0, 15, 15)
    assert _line(counts, Cause.BIAS, Op.AC) == 6


def test_an_analog_zero_is_multiplied_there() -> None:
    """0, 1/2, 1/2, 0 into 2 outputs: 8 MACs there. We leave out the zeros: 4."""
    case, counts = _case("analog_input_of_two_values")
    assert _jelly(case)[0] == 8
    assert _synapses(counts, Op.MAC) == 4
    assert counts.synapses[0].dense == 8


def test_padding_is_multiplied_there() -> None:
    """A grey 2×2 image through 3×3 with padding 1: 9·4 = 36 MACs there, of which 20 multiply
    padding; 16 are done. Its spikes leave out padding: two rules in one counter."""
    case, counts = _case("analog_image_of_ones")
    assert jelly(case.module, (case.tensors[0] / 2,))[0] == 36
    assert _synapses(counts, Op.MAC) == 16


def test_an_image_of_ones_is_spikes_there() -> None:
    """Values, not types: 16 ACs for a white analog image, 16 MACs by its type."""
    case, counts = _case("analog_image_of_ones")
    assert _jelly(case) == (0, 16, 16)
    assert (_synapses(counts, Op.MAC), _synapses(counts, Op.AC)) == (16, 0)


def test_integer_spikes_are_macs_there() -> None:
    """2, 1, 0 (SEW-ResNet's sum) into 2 outputs: 6 MACs there, the zero included. Ours: 3 spikes
    that reach 2 outputs, 6 ACs. For 2, 0, 0 it says 6 MACs again, where 4 additions are done."""
    case, counts = _case("integer_spikes")
    assert _jelly(case)[0] == 6
    assert (_synapses(counts, Op.AC), _synapses(counts, Op.MAC)) == (6, 0)
    twice = torch.tensor([[[1.0, 0, 0]]])
    assert jelly(case.module, (twice, twice))[0] == 6


def test_weights_are_taken_for_spikes_there() -> None:
    """An analog 3×3 image through a kernel that holds a single 1, padding 1. Because the *kernel*
    is binary it says AC: the weight at 9 positions. An operation's price must not depend on which
    weights were learned: 49 products with the image, 9 of them with a weight that isn't 0."""
    image = torch.full((1, 1, 3, 3), 0.5)
    one = lit((1, 1, 3, 3), (0, 0, 1, 1))
    assert jelly(torch_conv(one, padding=1), (image,)) == (0, 9, 9)
    assert jelly(torch_conv(2 * one, padding=1), (image,)) == (81, 0, 0)


def test_zero_weights_count_or_not_by_their_neighbours_there() -> None:
    """Zero weights are out if all others are 1 (3), in if they are 2 (8). We count 8, or 3 on
    demand, for both."""
    case, counts = _case("zero_weights_at_the_border")
    layer = counts.synapses[0]
    assert _jelly(case)[2] == layer.effective("per_step", False).sum() == 3
    doubled = torch_conv(2 * lit((1, 1, 3, 3), (0, 0, 0, 0), (0, 0, 1, 1)), padding=1)
    assert jelly(doubled, (case.tensors[0][0],))[2] == layer.effective("per_step", True).sum() == 8


def test_products_of_integers_and_spikes() -> None:
    """A = (2 0; 1 3), B = (1 0; 1 1): it counts B's 3 spikes for each of A's 2 rows: 6, zeros of A
    included, its integers not. Unit additions: Σ_k Σ|A|·Σ|B| = 3·1 + 3·2 = 9."""
    case, counts = _case("attention_of_integers_and_spikes")
    assert _jelly(case)[2] == 6
    assert _synapses(counts, Op.AC) == 9


def test_products_of_reals_and_spikes() -> None:
    """Where A is analog it says 6 ACs as well. Its products are sums of A's values, 4 of them
    without zeros; we call them MACs, since one operand is analog."""
    case, counts = _case("attention_of_reals")
    assert _jelly(case) == (0, 6, 6)
    assert (_synapses(counts, Op.MAC), _synapses(counts, Op.AC)) == (4, 0)


def test_batch_norm_adds_beyond_its_macs_there() -> None:
    """For 8 values in 2 channels at each of 2 steps it adds 8 differences and 2 ε: 20 ACs. With the
    statistics of training a batch norm is one affine map: only the 16 MACs are left."""
    case, counts = _case("batch_norm_after_a_convolution")
    _, additions, synapses = _jelly(case)
    assert additions - synapses == 20
    assert _line(counts, Cause.NORM, Op.AC) == 0


def test_padding_is_pooled_there() -> None:
    """3×3 windows with padding: 8 outputs · (9 − 1) = 64 additions there, 42 of real values."""
    case, counts = _case("average_pool_at_the_border")
    assert _jelly(case)[1] == 64
    assert _line(counts, Cause.POOL, Op.AC) == 42


def test_maxima_are_nothing_there() -> None:
    case, counts = _case("max_pool_at_the_border")
    assert _jelly(case) == (0, 0, 0)
    assert _line(counts, Cause.POOL, Op.COMPARE) == 42


@pytest.mark.parametrize(
    ("name", "theirs", "additions"),
    [("integrate_and_fire_soft", 19, 9), ("integrate_and_fire_hard", 21, 6)],
)
def test_neurons_are_tensor_operations_there(name: str, theirs: int, additions: int) -> None:
    """It counts how the framework writes a neuron: v + x, v − θ for the comparison, and the reset
    as dense arithmetic over all neurons, (1 − s)·v + s·v_reset or v − s·θ; a hard reset is the
    dearest. We count the update: one addition to the membrane, one comparison (its own kind of
    operation), and a soft reset's subtraction where there was a spike."""
    case, counts = _case(name)
    assert _jelly(case)[1] == theirs
    assert _line(counts, Cause.NEURON, Op.AC) == additions
    assert _line(counts, Cause.NEURON, Op.COMPARE) == 6


@pytest.mark.parametrize(("size", "theirs"), [(4, 33), (5, 42), (6, 53)])
def test_the_energy_report_counts_itself(size: int, theirs: int) -> None:
    """`estimate_simple_energy` on one spike in the middle, 1 → 2 by 3×3: 18 ACs, but its memory
    counter's own sums over the n×n input run inside the mode that counts: n² − 1 more."""
    from spikingjelly.activation_based.op_counter import estimate_simple_energy

    layer = torch_conv(np.full((2, 1, 3, 3), 0.5), padding=1)
    spike = torch.from_numpy(lit((1, 1, size, size), (0, 0, 1, 1)).astype(np.float32))
    counts = estimate_simple_energy(nn.Sequential(layer), spike).counts
    assert counts["synop"] == 18
    assert counts["ac"] == theirs == 18 + size**2 - 1
