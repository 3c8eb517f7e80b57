"""Every convention on counts made by hand, with the derivation beside the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.energy.conventions import Settings, conventions
from snnc.energy.conventions.lemaire2022 import access_energy
from snnc.energy.conventions.vtsnn_table3 import torchstat_flops
from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.prices import Prices, load_prices
from snnc.ir import Kind
from tests.energy.made import FP32, counts, figure, layer, line, population, tally

NAMES = [
    "effective", "spikinghash_eq26", "vtsnn_table3", "spikformer", "syops", "neurobench",
    "lemaire2022",
]  # fmt: skip


def first(**more: Any) -> Synapses:
    """2 analog inputs to 4 outputs with bias, the same at both steps; one weight is 0."""
    given = {
        "kind": Kind.ANALOG, "direct": True, "static": True, "bias": True, "in_shape": (2,),
        "out_shape": (4,), "operations_nonzero": [[7, 7]], "products_nonzero": [[7, 7]], **more,
    }  # fmt: skip
    return layer("first", [[2, 2]], 8, **given)


def second(events: Any = ((1, 3),), **more: Any) -> Synapses:
    """4 spiking inputs to 3 outputs with bias; 1 and 3 spikes."""
    return layer("fc", events, 12, **{"bias": True, **more})


def lines() -> tuple[Line, ...]:
    """IF neurons with soft reset behind the first layer, LIF with hard reset behind the second."""
    return (
        line("first", Cause.BIAS, "bias", {Op.AC: 8}, steps=2, static=True, inputs=2, outputs=4),
        line(
            "if", Cause.NEURON, "neuron update",
            {Op.AC: 8 + 4, Op.COMPARE: 8, Op.UPDATE: 8, Op.SPIKE: 4}, steps=2,
        ),
        line("fc", Cause.BIAS, "bias", {Op.AC: 6}, steps=2, inputs=4, outputs=3),
        line(
            "lif", Cause.NEURON, "neuron update",
            {Op.MAC: 6, Op.COMPARE: 6, Op.UPDATE: 6, Op.SPIKE: 1}, steps=2,
        ),
    )  # fmt: skip


def populations() -> tuple[Population, ...]:
    return population("if", 4, [[1, 3]]), population("lif", 3, [[1, 0]], leaks=True)


def small(**more: Any) -> Counts:
    return counts((first(), second()), lines(), populations(), **more)


def test_there_are_seven_and_effective_is_the_default() -> None:
    known = conventions()
    assert list(known) == NAMES
    assert all(name == convention.name for name, convention in known.items())
    assert all(convention.paper and convention.rule for convention in known.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_convention_is_the_same_for_samples_together_and_alone(name: str) -> None:
    alone = [small(), counts(
        (first(), second([[0, 2]])), lines(),
        (population("if", 4, [[0, 2]]), population("lif", 3, [[2, 2]], leaks=True)),
    )]  # fmt: skip
    both = figure(name, Counts.joined(alone))
    each = np.concatenate([figure(name, part).energy for part in alone])
    assert both.energy.tolist() == pytest.approx(each.tolist(), rel=1e-12)
    assert each[0] != each[1]
    assert both.prices is FP32


@pytest.mark.parametrize("name", NAMES)
def test_operations_without_a_rule_make_every_figure_incomplete(name: str) -> None:
    done = figure(name, small(uncounted={"fft": "torch.fft.fft"}))
    assert not done.complete
    assert any("fft: torch.fft.fft" in text for text in done.left_out)


class TestEffective:
    def test_every_cause_is_an_item_of_its_own(self) -> None:
        """fc: 1·3 + 3·3 = 12 ACs; first: 2·4 MACs at each of 2 steps."""
        done = figure("effective", small())
        assert tally(done) == {
            ("first", "linear", "mac"): [16], ("fc", "linear", "ac"): [12],
            ("first", "bias", "ac"): [8], ("fc", "bias", "ac"): [6],
            ("if", "neuron update", "ac"): [12], ("if", "neuron update", "compare"): [8],
            ("lif", "neuron update", "mac"): [6], ("lif", "neuron update", "compare"): [6],
        }  # fmt: skip
        # MACs 16 + 6, additions 12 + 8 + 6 + 12, comparisons 8 + 6 at the price of an addition.
        assert done.energy[0] == pytest.approx(22 * 4.6 + 38 * 0.9 + 14 * 0.9)
        assert done.complete

    def test_once_evaluates_static_layers_and_their_bias_once(self) -> None:
        done = tally(figure("effective", small(), settings=Settings("once")))
        assert done["first", "linear", "mac"] == [8]
        assert done["first", "bias", "ac"] == [4]
        assert done["fc", "linear", "ac"] == [12]

    def test_zero_weights_can_be_left_out(self) -> None:
        done = tally(figure("effective", small(), settings=Settings(zero_weights=False)))
        assert done["first", "linear", "mac"] == [14]

    def test_the_ann_is_one_evaluation_with_relu(self) -> None:
        """8 + 12 MACs, 4 + 3 biases, 4 + 3 comparisons."""
        assert figure("effective", small()).ann == pytest.approx(20 * 4.6 + 7 * 0.9 + 7 * 0.9)

    def test_the_ann_has_no_sum_over_steps_and_taps_inside_the_frame_only(self) -> None:
        read = line("out", Cause.POOL, "sum over steps", {Op.AC: 3}, steps=2)
        norm = line("bn", Cause.NORM, "batch norm", {Op.MAC: 8}, steps=2)
        counted = counts((second(taps=10),), (read, norm), populations())
        assert figure("effective", counted).ann == pytest.approx(14 * 4.6 + 7 * 0.9)

    def test_functions_have_no_price_in_45_nm(self) -> None:
        soft = line("soft", Cause.FUNCTION, "sigmoid", {Op.FUNCTION: 3})
        none = line("none", Cause.FUNCTION, "sigmoid", {Op.FUNCTION: 0})
        done = figure("effective", counts((second(),), (soft, none)))
        assert done.left_out == ("soft: sigmoid (function): the price table has no price",)

    def test_loihi_prices_synaptic_operations_updates_and_spikes(self) -> None:
        """12 synaptic operations, 8 + 6 updates, 4 + 1 spikes; biases are inside the updates."""
        counted = counts((second(),), lines()[1:], populations())
        done = figure("effective", counted, load_prices("loihi"))
        assert done.energy[0] == pytest.approx(12 * 23.6 + 14 * 52 + 5 * 30.7)
        assert tally(done) == {
            ("fc", "linear", "ac"): [12], ("fc", "bias", "ac"): [6],
            ("if", "neuron update", "update"): [8], ("if", "neuron update", "spike"): [4],
            ("lif", "neuron update", "update"): [6], ("lif", "neuron update", "spike"): [1],
        }  # fmt: skip
        assert done.complete
        assert done.ann is None

    def test_loihi_has_no_price_for_macs_and_for_additions_elsewhere(self) -> None:
        add = line("sum", Cause.ADD, "sum of branches", {Op.AC: 3})
        done = figure("effective", counts((first(), second()), (add,)), load_prices("loihi"))
        assert [text.split(":")[0] for text in done.left_out] == ["first", "sum"]
        assert done.energy[0] == pytest.approx(12 * 23.6)


class TestPublishedFormulas:
    @pytest.mark.parametrize("name", ["spikinghash_eq26", "spikformer"])
    def test_the_first_layer_counts_once_and_all_others_by_their_rate(self, name: str) -> None:
        """First: 8 MACs, no T. fc: R = 4 spikes / (4 inputs · 2 steps), R·T·12 = 12."""
        done = figure(name, small(), settings=Settings("once", zero_weights=False))
        assert [item.count.tolist() for item in done.items] == [[8], [12]]
        assert done.energy[0] == pytest.approx(8 * 4.6 + 12 * 0.9)
        assert done.ann == pytest.approx(20 * 4.6)
        assert any("bias, neuron updates" in note for note in done.notes)

    def test_padding_counts_and_so_does_a_head_on_analog_values(self) -> None:
        """R = 1 of 4 inputs; the head has 2 of 3 analog inputs that are not 0."""
        conv = layer("conv", [[1]], 40, taps=30, operation="conv", kernel=(3, 3), stride=(1, 1))
        head = layer("head", [[2]], 6, kind=Kind.ANALOG, in_shape=(3,), out_shape=(2,))
        stem = layer("stem", [[1]], 5, in_shape=(1,), out_shape=(5,))
        done = figure("spikinghash_eq26", counts((stem, conv, head)))
        assert [float(item.count[0]) for item in done.items] == pytest.approx([5, 10, 4])
        assert [item.op for item in done.items] == [Op.MAC, Op.AC, Op.AC]
        assert any("input is spikes: stem" in note for note in done.notes)
        assert any("input is analog: head" in note for note in done.notes)

    def test_a_rate_of_integers_may_exceed_one(self) -> None:
        """Values 3 + 2 over 4 inputs: R = 1.25, R·T·12 = 15."""
        wide = layer("wide", [[2]], 12, kind=Kind.GRADED, value=[[5]], operations=[[15]])
        done = figure("spikinghash_eq26", counts((layer("in", [[1]], 12), wide)))
        assert done.items[1].count.tolist() == [15]

    def test_attention_has_the_smaller_rate_of_both_operands(self) -> None:
        """A: 3 of 8, B: 2 of 8; 32 products: 8."""
        product = layer(
            "qk", [[3]], 32, operation="attention", in_shape=(1, 4, 2), out_shape=(1, 4, 4),
            second_size=8, second_events=np.array([[2]]),
        )  # fmt: skip
        done = figure("spikinghash_eq26", counts((second([[1]]), product)))
        assert done.items[1].count.tolist() == [8]

    def test_a_table_without_macs_leaves_the_first_layer_out(self) -> None:
        done = figure("spikformer", small(), load_prices("loihi"))
        assert [text.split(":")[0] for text in done.left_out] == ["loihi", "first"]
        assert done.ann is None

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_prices_of_events_are_foreign_to_all_but_effective(self, name: str) -> None:
        done = figure(name, counts((second(),), (), populations()), load_prices("loihi"))
        assert not done.complete
        assert done.left_out[0].startswith("loihi: its prices are of events")


class TestSpikformerCalculator:
    def test_it_charges_the_first_layer_at_every_step_and_biases(self) -> None:
        """First: 2·(8 + 4) MACs; fc: R·T·(12 + 3) = 15 ACs."""
        notes = figure("spikformer", small()).notes
        total = 24 * 4.6 + 15 * 0.9
        assert any(f"24 MACs, {total:.6g} pJ" in note for note in notes)

    def test_integers_are_acs_or_macs_by_a_switch(self) -> None:
        wide = layer("wide", [[2]], 12, kind=Kind.GRADED, value=[[5]], operations=[[15]])
        notes = figure("spikformer", counts((wide,))).notes
        assert any(f"0 MACs, {15 * 0.9:.6g} pJ" in note for note in notes)
        assert any(f"Nspks_max = 1): {12 * 4.6:.6g} pJ" in note for note in notes)

    @pytest.mark.parametrize("key_first", [True, False])
    def test_attention_is_priced_as_if_keys_and_values_met_first(self, key_first: bool) -> None:
        """2 heads, 3 tokens, width 4: T·heads·N·d² = 2·3·16 = 96 at T = 1. Of 24 values Q has 6,
        K 12 and V 3 spikes: 96·(min(1/2, 1/8) + 1/4) = 36."""

        def product(name: str, a: int, b: int, left: Any, right: Any) -> Synapses:
            return layer(
                name, [[a]], 72, operation="attention", in_shape=left, out_shape=right,
                second_size=24, second_events=np.array([[b]]),
            )  # fmt: skip

        if key_first:
            pair = (
                product("kv", 12, 3, (2, 4, 3), (2, 4, 4)),
                product("qkv", 6, 24, (2, 3, 4), (2, 3, 4)),
            )
        else:
            pair = (
                product("qk", 6, 12, (2, 3, 4), (2, 3, 3)),
                product("qkv", 18, 3, (2, 3, 3), (2, 3, 4)),
            )
        notes = figure("spikformer", counts(pair)).notes
        assert any("is 36 ACs" in note for note in notes)
        odd = figure("spikformer", counts(pair[:1])).notes
        assert any("in pairs" in note for note in odd)


class TestSyops:
    def test_rate_times_dense_with_bias(self) -> None:
        """first: 2·(8 + 4) MACs. fc: 4/8 of 2·(12 + 3) ACs. IF: 8 ACs. LIF: 6 ACs and 6 MACs."""
        done = figure("syops", small())
        assert tally(done) == {
            ("first", "linear", "mac"): [24], ("fc", "linear", "ac"): [15],
            ("if", "neuron", "ac"): [8],
            ("lif", "neuron", "ac"): [6],
        }  # fmt: skip
        assert done.complete
        # One evaluation: 8 + 4 and 12 + 3, and 4 + 3 ReLUs.
        assert done.ann == pytest.approx(34 * 4.6)

    def test_transposed_convolutions_count_at_output_positions(self) -> None:
        """2 channels of 3×3 to 1 of 6×6, k = s = 2: 8 weights at 36 positions, not at 9."""
        up = layer(
            "up", [[9]], 72, operation="conv_transpose", in_shape=(2, 3, 3), out_shape=(1, 6, 6),
            kernel=(2, 2), stride=(2, 2), weights=8, products=[[36]],
        )  # fmt: skip
        assert tally(figure("syops", counts((up,))))["up", "conv_transpose", "ac"] == [144]

    def test_integers_are_macs_and_attention_has_no_rule(self) -> None:
        wide = layer("wide", [[2]], 12, kind=Kind.GRADED, value=[[5]])
        product = layer("qk", [[3]], 32, operation="attention")
        done = figure("syops", counts((wide, product)))
        assert tally(done) == {("wide", "linear", "mac"): [12]}
        assert done.left_out == ("qk: attention: syops has no rule and counts 0",)

    def test_norms_pools_and_functions(self) -> None:
        """Batch norm: 2 a value; a pool of spikes 1 a spike, of reals 1 an input."""
        work = {Op.AC: 1}
        given = {"steps": 2, "inputs": 10, "outputs": 4}
        counted = counts(
            (second(),),
            (
                line("bn", Cause.NORM, "batch norm", work, **given),
                line("ln", Cause.NORM, "layer", work, **given),
                line(
                    "avg", Cause.POOL, "avg pool", work, kind=Kind.SPIKE,
                    events=np.array([5]), **given,
                ),
                line(
                    "max", Cause.POOL, "max pool", work, kind=Kind.SPIKE,
                    events=np.array([7]), **given,
                ),
                line("maxa", Cause.POOL, "max pool", work, kind=Kind.ANALOG, **given),
                line("relu", Cause.FUNCTION, "relu", work, **given),
                line("exp", Cause.FUNCTION, "exp", work, **given),
                line("add", Cause.ADD, "sum of branches", work, **given),
            ),
        )  # fmt: skip
        done = figure("syops", counted)
        assert tally(done) == {
            ("fc", "linear", "ac"): [15], ("bn", "batch norm", "mac"): [40],
            ("avg", "avg pool", "ac"): [5], ("max", "max pool", "ac"): [7],
            ("maxa", "max pool", "mac"): [20], ("relu", "relu", "mac"): [8],
        }  # fmt: skip

    def test_a_maximum_of_unknown_rate_is_left_out(self) -> None:
        unknown = line("max", Cause.POOL, "max pool", {Op.COMPARE: 3}, inputs=4)
        done = figure("syops", counts((second(),), (unknown,)))
        assert not done.complete
        assert "max: max pool" in done.left_out[0]


class TestNeurobench:
    def test_products_of_what_is_not_zero_without_bias(self) -> None:
        done = figure("neurobench", small())
        assert tally(done) == {("first", "linear", "mac"): [14], ("fc", "linear", "ac"): [12]}
        assert done.ann is None
        assert any("dense operations: 40" in note for note in done.notes)

    def test_an_integer_is_one_mac_per_product(self) -> None:
        wide = layer(
            "wide", [[2]], 12, kind=Kind.GRADED, value=[[5]], products=[[6]], operations=[[15]]
        )
        assert tally(figure("neurobench", counts((wide,)))) == {("wide", "linear", "mac"): [6]}

    def test_what_it_has_no_rule_for_is_left_out(self) -> None:
        up = layer("up", [[2]], 8, operation="conv_transpose", products=[[8]])
        product = layer("qk", [[3]], 32, operation="attention", products=[[5]])
        done = figure("neurobench", counts((up, product)))
        assert done.energy.tolist() == [0]
        assert ["its products are 8" in done.left_out[0], "are 5" in done.left_out[1]] == [True] * 2


class TestVtsnn:
    def test_the_rate_enters_twice(self) -> None:
        """torchstat: 8 + 12 (no bias of linear layers) and 4 + 3 ReLUs = 27; rate 5/14."""
        done = figure("vtsnn_table3", small())
        rate = 5 / 14
        assert done.energy[0] == pytest.approx(27 * rate**2 * 0.9)
        assert done.ann == pytest.approx(27 * 4.6)
        assert any("rate squared" in note for note in done.notes)
        single, per_step = 27 * rate * 0.9, 27 * rate * 0.9 * 2
        assert any(f"({single:.6g} pJ)" in n and f"({per_step:.6g} pJ)" in n for n in done.notes)
        assert any("273.77" in note and "37.4" in note and "4.7" in note for note in done.notes)

    def test_torchstat_rules(self) -> None:
        maps = {"in_shape": (1, 4, 4), "out_shape": (2, 4, 4), "kernel": (3, 3), "stride": (1, 1)}
        counted = counts(
            (
                layer("conv", [[1]], 288, operation="conv", bias=True, **maps),
                layer("up", [[1]], 99, operation="conv_transpose", bias=True, **maps),
                layer("conv1", [[1]], 99, operation="conv", in_shape=(1, 4), out_shape=(2, 4),
                      kernel=(3,), stride=(1,)),
                layer("fc", [[1]], 12, bias=True),
                layer("qk", [[1]], 99, operation="attention"),
            ),
            (
                line("conv", Cause.BIAS, "bias", {Op.AC: 32}),
                line("bn", Cause.NORM, "batch norm", {Op.MAC: 32}, inputs=32),
                line("ln", Cause.NORM, "layer", {Op.MAC: 32}, inputs=32),
                line("max", Cause.POOL, "max pool", {Op.COMPARE: 24}, inputs=32, outputs=8),
                line("or", Cause.POOL, "sum pool", {Op.AC: 9}, inputs=16, outputs=7),
                line("out", Cause.POOL, "mean over steps", {Op.AC: 24}, inputs=32),
                line("act", Cause.FUNCTION, "relu", {Op.COMPARE: 5}, outputs=5),
                line("gate", Cause.NEURON, "neuron update", {Op.COMPARE: 7}),
                line("lif", Cause.NEURON, "neuron update", {Op.MAC: 7, Op.COMPARE: 7}),
            ),
            (
                population("gate", 7, [[1]], gate=True), population("lif", 7, [[2]]),
                population("read", 3, [[0]], fires=False),
            ),
        )  # fmt: skip
        assert torchstat_flops(counted) == {
            "conv": 288 + 32, "fc": 12, "bn": 64, "max": 32, "or": 16, "act": 5, "lif": 7,
        }  # fmt: skip
        # The gate is part of a maximum: the rate is that of the LIF alone.
        total = 288 + 32 + 12 + 64 + 32 + 16 + 5 + 7
        energy = figure("vtsnn_table3", counted).energy[0]
        assert energy == pytest.approx(total * (2 / 7) ** 2 * 0.9)

    def test_no_spikes_cost_nothing(self) -> None:
        silent = counts((second([[0, 0]]),), (), (population("if", 4, [[0, 0]]),))
        done = figure("vtsnn_table3", silent)
        assert done.energy.tolist() == [0]
        assert any("inf" in note for note in done.notes)


INT32 = load_prices("45nm-int32")
"""The widths and prices of the paper."""


def read(size: int, prices: Prices = INT32) -> float:
    """Price of an access to a memory of `size` values, far below the first anchor: 10 pJ per 64
    bits at 8 KiB, hence 10·(4·size / 8192)·(32/64)."""
    return 10 * size * prices.bits / 8 / 8192 * prices.bits / 64


class TestLemaire:
    @pytest.mark.parametrize(
        ("size", "energy"),
        [(0, 0), (4096, 5), (8192, 10), (20480, 15), (32768, 20), (1 << 20, 100)],
    )
    def test_an_access_is_interpolated_between_the_anchors(self, size: int, energy: float) -> None:
        assert access_energy(INT32, size) == pytest.approx(energy / 2)
        assert access_energy(load_prices("45nm-int8"), size) == pytest.approx(energy / 8)

    def test_beyond_the_last_anchor_the_last_slope_goes_on(self) -> None:
        """(100 − 20) pJ over 1 MiB − 32 KiB; a MiB more."""
        slope = 80 / ((1 << 20) - 32768)
        assert access_energy(INT32, 2 << 20) == pytest.approx((100 + slope * (1 << 20)) / 2)

    def test_a_table_without_memory_has_no_access(self) -> None:
        assert access_energy(load_prices("loihi"), 100) is None
        done = figure("lemaire2022", small(), load_prices("loihi"))
        assert not done.complete
        assert done.ann is None
        assert any("weight reads" in text for text in done.left_out)

    def test_a_linear_layer_on_spikes(self) -> None:
        """θ_in = 4, N_in = 4, N_out = 3, T = 2, θ_out = 1: the table of the docstring."""
        counted = counts((second(),), lines()[2:], populations()[1:])
        done = figure("lemaire2022", counted, INT32)
        assert tally(done) == {
            ("fc", "products", "ac"): [12], ("fc", "weight reads", "read"): [12],
            ("fc", "potential reads", "read"): [12], ("fc", "potential writes", "write"): [12],
            ("fc", "input reads", "read"): [4], ("fc", "addressing", "ac"): [12],
            ("fc", "bias", "ac"): [6], ("fc", "bias reads", "read"): [6],
            ("lif", "potential reads", "read"): [6], ("lif", "potential writes", "write"): [6],
            ("lif", "reset", "ac"): [1], ("lif", "output writes", "write"): [1],
            ("lif", "leak", "mac"): [6],
        }  # fmt: skip
        # 12 weights and 3 biases in one memory, 3 potentials, 4 inputs, 3 outputs.
        memory = 18 * read(15) + (24 + 12 + 1) * read(3) + 4 * read(4)
        assert done.energy[0] == pytest.approx((12 + 12 + 6 + 1) * 0.1 + 6 * 3.2 + memory)
        assert done.complete

    def test_a_linear_layer_of_the_ann(self) -> None:
        """12 MACs; 3 biases and N_in + N_out additions; reads of W, inputs, biases; writes."""
        counted = counts((second(),), lines()[2:], populations()[1:])
        expected = 12 * 3.2 + (3 + 7) * 0.1 + 15 * read(15) + 4 * read(4) + 3 * read(3)
        assert figure("lemaire2022", counted, INT32).ann == pytest.approx(expected)

    def test_a_convolution_with_stride_and_groups(self) -> None:
        """k = 3, s = 2, 4 channels of 5×5 to 6 of 3×3 in 2 groups: a spike adds to ⌈3/2⌉²·3 = 12
        outputs and addresses 9·3 = 27."""
        conv = layer(
            "conv", [[5]], 972, operation="conv", in_shape=(4, 5, 5), out_shape=(6, 3, 3),
            kernel=(3, 3), stride=(2, 2), groups=2, weights=108, products=[[100]],
        )  # fmt: skip
        done = figure("lemaire2022", counts((conv,)), INT32)
        assert tally(done) == {
            ("conv", "products", "ac"): [60], ("conv", "weight reads", "read"): [135],
            ("conv", "potential reads", "read"): [135],
            ("conv", "potential writes", "write"): [135],
            ("conv", "input reads", "read"): [5], ("conv", "addressing", "ac"): [135],
            ("conv", "addressing", "mac"): [10],
        }  # fmt: skip
        # The ANN reads a weight and an input for each of its 972 MACs; 100 + 54 + 6·9 addresses.
        expected = 972 * (3.2 + read(108) + read(100)) + 208 * 0.1 + 54 * read(54)
        assert done.ann == pytest.approx(expected)

    def test_a_layer_on_analog_inputs_works_as_in_the_ann_at_every_step(self) -> None:
        done = tally(figure("lemaire2022", counts((first(),)), INT32))
        assert done == {
            ("first", "products", "mac"): [16], ("first", "weight reads", "read"): [16],
            ("first", "input reads", "read"): [4], ("first", "addressing", "ac"): [12],
            ("first", "bias", "ac"): [8], ("first", "bias reads", "read"): [8],
        }  # fmt: skip

    def test_transposed_and_sparse_layers_reach_what_they_reach(self) -> None:
        up = layer(
            "up", [[9]], 72, operation="conv_transpose", in_shape=(2, 3, 3), out_shape=(1, 6, 6),
            kernel=(2, 2), stride=(2, 2), weights=8, products=[[36]],
        )  # fmt: skip
        some = layer("some", [[3]], 7, operation="sparse", products=[[5]])
        done = tally(figure("lemaire2022", counts((up, some)), INT32))
        assert done["up", "products", "ac"] == [36]
        assert done["some", "weight reads", "read"] == [5]

    def test_biases_of_neurons_count_too(self) -> None:
        bias = line("lif", Cause.BIAS, "neuron bias", {Op.AC: 6}, steps=2, inputs=3, outputs=3)
        counted = counts((second(bias=False),), (bias,), populations()[1:])
        done = tally(figure("lemaire2022", counted, INT32))
        assert done["lif", "bias", "ac"] == [6]
        assert done["lif", "bias reads", "read"] == [6]

    def test_what_is_outside_the_model_is_said(self) -> None:
        pool = line("max", Cause.POOL, "max pool", {Op.COMPARE: 3})
        product = layer("qk", [[3]], 32, operation="attention")
        done = figure("lemaire2022", counts((second([[1]]), product), (pool,)), INT32)
        assert done.left_out == ("qk: attention: outside the model",)
        assert "not counted by this rule: pooling" in done.notes
