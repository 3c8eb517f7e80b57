"""syops 0.0.5, in its own environment, against our counts and our convention of its name.

Its rules (syops/ops.py): rate · dense products and biases as ACs if the whole tensor has at most
two values within 0..1, dense as MACs else; 2 a value for batch norm, 1 an input for pooling, 1 AC a
neuron. `SNNC_SYOPS_PYTHON` names an interpreter that has it and SpikingJelly 0.0.0.0.14.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from snnc.energy.conventions import Settings, conventions
from snnc.energy.counts import Counts, Op
from snnc.energy.graph_counts import count_float
from snnc.energy.prices import load_prices
from snnc.ir import Input, Kind, Linear, Neuron
from tests.energy.cases import CASES, chain, data, ramp

PYTHON = os.environ.get("SNNC_SYOPS_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="SNNC_SYOPS_PYTHON names no environment with syops"
)

AGREE = [
    "conv_at_the_border", "conv_that_leaves_pixels_unread", "conv_with_a_rest",
    "conv_with_stride_and_padding", "conv_with_dilation", "conv_with_dilation_and_padding",
    "conv_in_groups", "conv_depthwise", "conv_over_one_axis",
    "conv_over_one_axis_with_stride_and_dilation", "transposed_conv",
    "transposed_conv_that_is_cropped", "transposed_conv_with_output_padding", "zero_weights",
    "negative_integers", "analog_input_with_zeros_and_signs", "mixed_batch",
    "batch_norm_after_a_convolution", "averaged_map_of_spikes",
]  # fmt: skip
OTHERS = [
    "linear_with_bias", "averaged_spikes", "analog_input_of_two_values", "analog_image_of_ones",
    "IF", "LIF",
]  # fmt: skip


@pytest.fixture(scope="module")
def syops() -> dict[str, list[float]]:
    """[ACs, MACs] by case, from one process."""
    done = subprocess.run(
        [PYTHON, "-m", "tests.energy.syops_child", *AGREE, *OTHERS],
        capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _counts(name: str) -> Counts:
    case = CASES[name]()
    return count_float(case.graph, case.inputs)


def _convention(counts: Counts) -> list[float]:
    items = conventions()["syops"].figure(counts, load_prices("45nm-fp32"), Settings()).items
    return [sum(float(i.count.sum()) for i in items if i.op is op) for op in (Op.AC, Op.MAC)]


def _ours(name: str) -> int:
    return sum(int(layer.operations.sum()) for layer in _counts(name).synapses)


@pytest.mark.parametrize("name", AGREE)
def test_the_convention_is_its_count(syops: dict[str, list[float]], name: str) -> None:
    """Its rate is a float32."""
    assert _convention(_counts(name)) == pytest.approx(syops[name], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "theirs", "exact"),
    [
        ("conv_at_the_border", 54, 38),
        ("conv_that_leaves_pixels_unread", 13.5, 12),
        ("conv_with_a_rest", 2.56, 1),
        ("conv_with_stride_and_padding", 19.44, 14),
        ("conv_in_groups", 54, 39),
        ("transposed_conv", 96, 24),
        ("transposed_conv_that_is_cropped", 150, 32),
    ],
)
def test_rate_times_formula_is_not_the_count(
    syops: dict[str, list[float]], name: str, theirs: float, exact: int
) -> None:
    """Padding, unread pixels and places with fewer outputs are averaged away: 3/16·288 = 54 for 38
    at the border. A transposed convolution is multiplied by its *output* positions, 4 times too
    many at stride 2: 2/8·24·16 = 96 for 24, 3/9·18·25 = 150 for 32."""
    assert syops[name][0] == pytest.approx(theirs, rel=1e-6)
    assert _ours(name) == exact


def test_a_bias_is_added_once_per_call(syops: dict[str, list[float]]) -> None:
    """Two rows of 12 products and 3 biases at a rate of 5/8: it says (24 + 3)·5/8, so 3 of the 6
    additions of biases, and those only as often as inputs spike. Exact: 15 and 6."""
    assert syops["linear_with_bias"] == [16.875, 0]
    assert _ours("linear_with_bias") == 15


def test_two_values_are_spikes(syops: dict[str, list[float]]) -> None:
    """0 and 1/2 only: 2/8 of 8 products ... as ACs; by type 4 MACs. A white image: 36 ACs, padding
    included; by type 16 MACs."""
    assert syops["analog_input_of_two_values"] == [2, 0]
    assert syops["analog_image_of_ones"] == [36, 0]
    assert _ours("analog_input_of_two_values") == 4
    assert _ours("analog_image_of_ones") == 16


def test_one_average_is_a_spike(syops: dict[str, list[float]]) -> None:
    """3/4, alone in its tensor, is one value within 0..1: so 3/4 of a spike into 2 outputs, 1.5
    ACs, and the pool of 4 inputs at rate 3/4 takes 3. By type the 2 products are MACs."""
    assert syops["averaged_spikes"] == [4.5, 0]
    assert _ours("averaged_spikes") == 2


@pytest.mark.parametrize("kind", ["IF", "LIF"])
def test_a_neuron_is_one_addition(syops: dict[str, list[float]], kind: str) -> None:
    """2 → 3 on two spikes is 6; 3 neurons add 3, whether they leak or not: the MAC of a leak is
    commented out in its source."""
    assert syops[kind] == [9, 0]
    decay = np.asarray(0.5 if kind == "LIF" else 1.0)
    neuron = Neuron(decay, np.asarray(1.0))
    graph = chain(Input((2,), Kind.SPIKE), Linear(ramp(3, 2)), neuron)
    assert _convention(count_float(graph, data([1, 1]))) == [9, 0]
