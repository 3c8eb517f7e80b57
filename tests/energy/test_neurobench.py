"""NeuroBench 2.3's synaptic operations against ours: equal where the rules are, else why not.

Its rules (neurobench/metrics/utils/layers): a layer's binarised input through its binarised
weights, without bias, so padding, zero activations and zero weights are out; AC if the whole batch
holds only −1, 0, 1, MAC else; the mean over samples.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from snnc.energy.conventions import Settings, conventions
from snnc.energy.counts import Counts, Op
from snnc.energy.graph_counts import count_float
from snnc.energy.prices import load_prices
from tests.energy.cases import CASES, RANDOM, Case, random_convolution, torch_linear

pytest.importorskip("neurobench", reason="NeuroBench is not installed")

AGREE = [
    "linear_with_bias", "conv_at_the_border", "conv_that_leaves_pixels_unread", "conv_with_a_rest",
    "conv_with_stride_and_padding", "conv_with_dilation", "conv_with_dilation_and_padding",
    "conv_in_groups", "conv_depthwise", "conv_over_one_axis",
    "conv_over_one_axis_with_stride_and_dilation", "zero_weights", "zero_weights_at_the_border",
    "averaged_spikes", "analog_input_of_two_values", "analog_input_with_zeros_and_signs",
    "batch_norm_after_a_convolution", "residual_currents", "concatenation", "upsampling",
    "two_layers_of_spikes",
]  # fmt: skip


class Root(nn.Module):
    """Holds a module: NeuroBench looks for layers below the root only."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.body(*inputs)


def neurobench(module: nn.Module, inputs: tuple[torch.Tensor, ...], samples: int) -> Any:
    """(MACs, ACs, dense) over all samples of one call."""
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(module)
    model.register_hooks()
    metric = SynapticOperations()
    with torch.no_grad():
        predictions = module(*inputs)
        result = metric(model, predictions, (torch.zeros(samples), None))
    model.cleanup_hooks()
    keys = ("Effective_MACs", "Effective_ACs", "Dense")
    return tuple(round(result[key] * samples) for key in keys)


def _neurobench(case: Case) -> Any:
    assert case.module is not None
    samples = len(next(iter(case.inputs.values())))
    return neurobench(Root(case.module), case.tensors, samples)


def ours(counts: Counts) -> tuple[int, int, int]:
    """(MACs, ACs, dense) by NeuroBench's rules that are ours as well."""
    total = dict.fromkeys((Op.MAC, Op.AC), 0)
    for layer in counts.synapses:
        total[layer.op] += int(layer.products_nonzero.sum())
    dense = sum(layer.taps * layer.events.size for layer in counts.synapses)
    return total[Op.MAC], total[Op.AC], dense


def _case(name: str) -> tuple[Case, Counts]:
    case = CASES[name]()
    return case, count_float(case.graph, case.inputs)


@pytest.mark.parametrize("name", AGREE)
def test_agrees(name: str) -> None:
    case, counts = _case(name)
    assert max(ours(counts)[:2]) > 0
    assert _neurobench(case) == ours(counts)


@pytest.mark.parametrize("seed", RANDOM)
def test_random_convolutions_agree(seed: int) -> None:
    """Effective without zero weights, and dense by real taps."""
    case = random_convolution(seed)
    assert _neurobench(case) == ours(count_float(case.graph, case.inputs))


NOTHING = [
    "transposed_conv", "transposed_conv_that_is_cropped", "transposed_conv_with_output_padding",
    "transposed_conv_in_groups_over_one_axis", "transposed_conv_with_dilation",
    "attention_of_spikes", "attention_of_integers_and_spikes",
]  # fmt: skip
INTEGERS = ["integer_spikes", "integer_spikes_at_the_border", "negative_integers"]


@pytest.mark.parametrize("name", [*AGREE, *INTEGERS, *NOTHING])
def test_the_convention_is_its_count(name: str) -> None:
    """What the convention `neurobench` makes of our counts is what the tool says."""
    case, counts = _case(name)
    prices = load_prices("45nm-fp32")
    items = conventions()["neurobench"].figure(counts, prices, Settings()).items
    totals = [sum(int(i.count.sum()) for i in items if i.op is op) for op in (Op.MAC, Op.AC)]
    macs, additions, dense = _neurobench(case)
    assert totals == [macs, additions]
    assert dense == sum(
        layer.taps * layer.steps * len(layer.events)
        for layer in counts.synapses
        if layer.operation in ("linear", "conv")
    )


def test_direct_encoding_is_counted_call_by_call() -> None:
    """It counts what is called: 3 calls are our `per_step` (12), one call is our `once` (4)."""
    case, counts = _case("direct_encoding")
    image = case.tensors[0]
    layer = counts.synapses[0]
    assert case.module is not None
    once = neurobench(Root(case.module), (image,), 1)
    steps = neurobench(Root(case.module), (image.expand(3, 1, 3),), 1)
    assert once == (4, 0, 6)
    assert steps == (12, 0, 18)
    assert layer.effective("once", True).tolist() == [once[0]]
    assert layer.effective("per_step", True).tolist() == [steps[0]]


# Where the rules differ


def test_zero_weights_are_out_of_its_count() -> None:
    """A core stores and adds a zero weight like any other, so our default counts 6; leaving zero
    weights out is an option, and then it is 3 as in NeuroBench."""
    case, counts = _case("zero_weights")
    assert _neurobench(case) == (0, 3, 6)
    assert counts.synapses[0].effective("per_step", zero_weights=True).tolist() == [6]
    assert counts.synapses[0].effective("per_step", zero_weights=False).tolist() == [3]


@pytest.mark.parametrize(
    ("name", "theirs", "additions"), [("integer_spikes", 4, 6), ("negative_integers", 4, 6)]
)
def test_integer_spikes_are_macs_there(name: str, theirs: int, additions: int) -> None:
    """A 2 (two spikes added, as in SEW-ResNet) makes it multiply: 4 MACs. It is two additions of
    the weight: 6 ACs."""
    case, counts = _case(name)
    assert _neurobench(case)[:2] == (theirs, 0)
    layer = counts.synapses[0]
    assert layer.op is Op.AC
    assert (layer.products.sum(), layer.operations.sum()) == (theirs, additions)


def test_an_image_of_ones_is_spikes_there() -> None:
    """It looks at the values, so a white analog image makes 16 ACs; by its type it makes MACs."""
    case, counts = _case("analog_image_of_ones")
    assert _neurobench(case) == (0, 16, 16)
    assert ours(counts) == (16, 0, 16)


def test_a_batch_is_not_the_sum_of_its_samples_there() -> None:
    """A white image and a grey one, 6 → 3: apart 18 ACs and 18 MACs, in one batch 36 MACs. By
    type they are 36 MACs however they are batched."""
    module = Root(torch_linear(torch.ones(3, 6).numpy()))
    white, grey = torch.ones(1, 6), torch.full((1, 6), 0.5)
    assert neurobench(module, (white,), 1)[:2] == (0, 18)
    assert neurobench(module, (grey,), 1)[:2] == (18, 0)
    assert neurobench(module, (torch.cat([white, grey]),), 2)[:2] == (36, 0)


def test_our_batches_are_the_sum_of_their_samples() -> None:
    """`mixed_batch`: 6 + 4 MACs together and apart; NeuroBench says 10 MACs, or 6 ACs + 4 MACs."""
    case, counts = _case("mixed_batch")
    apart = [count_float(case.graph, {"input": case.inputs["input"][i : i + 1]}) for i in (0, 1)]
    assert [ours(part)[:2] for part in apart] == [(6, 0), (4, 0)]
    assert ours(counts)[:2] == (10, 0)
    samples = [replaced(case, i) for i in (0, 1)]
    assert [_neurobench(part)[:2] for part in samples] == [(0, 6), (4, 0)]
    assert _neurobench(case)[:2] == (10, 0)


def replaced(case: Case, sample: int) -> Case:
    """The case with one of its samples."""
    inputs = {name: x[sample : sample + 1] for name, x in case.inputs.items()}
    return Case(case.graph, inputs, module=case.module)


@pytest.mark.parametrize(
    ("name", "operations"),
    list(zip(NOTHING, (24, 32, 38, 10, 3, 5, 9), strict=True)),
)
def test_transposed_convolutions_and_attention_are_nothing_there(
    name: str, operations: int
) -> None:
    """It knows Linear, Conv1d to 3d and recurrent cells; what it doesn't know it doesn't say."""
    case, counts = _case(name)
    assert _neurobench(case) == (0, 0, 0)
    assert counts.synapses[0].operations.sum() == operations


def test_a_root_layer_is_nothing_there() -> None:
    """It looks below the root, so a model that is one layer has no operations: 0 of 15."""
    case, counts = _case("linear_with_bias")
    assert case.module is not None
    assert neurobench(case.module, case.tensors, 1) == (0, 0, 0)
    assert ours(counts) == (0, 15, 24)


def test_a_layer_that_is_used_twice_is_hooked_twice_there() -> None:
    """Tied weights under two names: both hooks see both calls, so 2 spikes that reach 3 outputs
    twice are 24 ACs, where 12 are done."""
    tied = torch_linear(torch.ones(3, 2).numpy())

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Sequential(tied), nn.Sequential(tied)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x) + self.second(x)

    assert neurobench(Twice(), (torch.ones(1, 2),), 1)[:2] == (0, 24)


def test_its_sums_are_rounded_to_24_bits() -> None:
    """4097 rows of 4097 spikes into one output are 4097² = 16,785,409 additions; it adds them up in
    float32, where odd numbers end at 2²⁴ = 16,777,216."""
    layer = torch_linear(torch.ones(1, 4097).numpy())
    assert neurobench(Root(layer), (torch.ones(4097, 4097),), 1)[1] == 16_785_408
