"""The arithmetic of papers, reproduced from the shapes of their networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.energy.conventions.spikformer import calculator
from snnc.energy.conventions.spikinghash_eq26 import equation_26, implied_rate
from snnc.energy.conventions.vtsnn_table3 import table3, torchstat_flops
from snnc.energy.counts import Cause, Counts, Synapses
from snnc.energy.graph_counts import count_float
from snnc.energy.verdicts import verdicts
from snnc.ir import Kind
from tests.energy.made import counts, figure, layer, population

UNET_RATE = 0.1366
"""SpikeRate of VTSNN's Table 3."""


@pytest.fixture(scope="module")
def unet() -> tuple[Any, Counts]:
    """(module, counts of two samples of eight bit planes) of the U-Net of VTSNN at 28×28."""
    pytest.importorskip("snntorch")
    from benchmarks.deep import unet as build
    from snnc.frontends.trace import trace

    module, planes, options = build()
    model = trace(module, planes, **options)
    assert model.example is not None
    return module, count_float(model.graph, model.example.inputs)


class TestVtsnn:
    def test_parameters(self, unet: tuple[Any, Counts]) -> None:
        module, _ = unet
        assert sum(p.numel() for p in module.parameters()) == 116_753
        # The paper says that biases are off, which would be 116,384.
        assert sum(p.numel() for p in module.parameters() if p.dim() > 1) == 116_384

    def test_torchstat_has_18_391_072_operations(self, unet: tuple[Any, Counts]) -> None:
        """Convolutions 18,188,800 and their biases 82,320; ReLU 101,136; max pooling 18,816;
        transposed convolutions 0. The rounded figure of the paper is 18.39 M."""
        _, counted = unet
        flops = torchstat_flops(counted)
        convs = [s for s in counted.synapses if s.operation == "conv"]
        assert sum(s.dense for s in convs) == 18_188_800
        assert sum(s.outputs for s in convs) == 82_320
        assert sum(flops[s.name] for s in convs) == 18_271_120
        pools = [line.name for line in counted.lines if line.cause is Cause.POOL]
        assert sum(flops[name] for name in pools) == 18_816
        neurons = [p.name for p in counted.populations if p.name in flops]
        assert sum(flops[name] for name in neurons) == 101_136
        assert not any(s.name in flops for s in counted.synapses if s not in convs)
        assert sum(flops.values()) == 18_391_072

    def test_dense_macs_and_taps(self, unet: tuple[Any, Counts]) -> None:
        """The transposed convolutions that torchstat skips are 802,816; padding is 8.4 %."""
        _, counted = unet
        ups = [s.dense for s in counted.synapses if s.operation == "conv_transpose"]
        assert sum(ups) == 802_816
        done = verdicts(counted, [])
        assert done.total.dense == 18_991_616
        assert done.total.taps == 17_399_104
        assert 1 - done.total.taps / done.total.dense == pytest.approx(0.084, abs=5e-4)

    def test_the_convention_squares_the_networks_own_rate(self, unet: tuple[Any, Counts]) -> None:
        _, counted = unet
        done = figure("vtsnn_table3", counted)
        neurons = [p for p in counted.populations if p.size in (12544, 6272, 3136, 784)]
        neurons = [p for p in neurons if not p.name.startswith("max_pool2d")]
        assert sum(p.size for p in neurons) == 101_136
        rates = sum(p.spikes.sum(1) for p in neurons) / (8 * 101_136)
        assert done.energy == pytest.approx(18_391_072 * rates**2 * 0.9)
        assert done.ann == pytest.approx(18_391_072 * 4.6)

    def test_the_published_row(self) -> None:
        """18.39 M·4.6 pJ = 8.46e-5 J; 2.51 M·0.9 pJ·0.1366 = 3.09e-7 J. 845.94/3.09 = 273.77 is
        the quotient of rounded figures, 274.14 that of unrounded ones."""
        row = table3(18.39e6, UNET_RATE, 8, op_snn=2.51e6)
        assert row.ann == pytest.approx(8.46e7, rel=1e-4)
        assert row.rate_squared == pytest.approx(3.09e5, rel=2e-3)
        rounded_ann, rounded_snn = round(row.ann / 1e5, 2), round(row.rate_squared / 1e5, 2)
        assert (rounded_ann, rounded_snn) == (845.94, 3.09)
        assert round(rounded_ann / rounded_snn, 2) == 273.77
        assert round(row.ratios[0], 2) == 274.14

    def test_the_other_readings_of_the_row(self) -> None:
        """Single rate: 37.45 (37.42 with 2.51 unrounded). Eight steps of it: 4.68."""
        rounded, exact = table3(18.39e6, UNET_RATE, 8, op_snn=2.51e6), table3(18.39e6, UNET_RATE, 8)
        assert round(rounded.ratios[1], 2) == 37.45
        assert round(exact.ratios[1], 2) == 37.42
        assert round(rounded.ratios[2], 2) == 4.68
        assert round(exact.ratios[2], 2) == 4.68
        assert rounded.single_rate == pytest.approx(2.259e6)
        assert rounded.per_step == pytest.approx(8 * 2.259e6)

    def test_the_row_on_torchstats_own_count(self) -> None:
        """With 18,391,072 operations, as the convention has it."""
        spikes = np.array([[round(UNET_RATE * 101_136)] * 8])
        stat = layer("all", spikes, 18_391_072 - 101_136)
        done = figure("vtsnn_table3", counts((stat,), (), (population("if", 101_136, spikes),)))
        assert done.energy[0] == pytest.approx(3.09e5, rel=1e-3)
        assert done.ann is not None
        assert done.ann / done.energy[0] == pytest.approx(273.9, rel=1e-3)


def _spread(rate: float, inputs: int, steps: int) -> NDArray[np.int64]:
    """(1, step) spikes whose mean rate is as near to `rate` as whole spikes allow."""
    ends = np.rint(rate * inputs * np.arange(steps + 1)).astype(np.int64)
    return np.diff(ends)[None]


def _conv(
    name: str,
    in_channels: int,
    out: int,
    size: int,
    kernel: int,
    rate: float,
    steps: int,
    **more: Any,
) -> Synapses:
    """A convolution that keeps the size of its maps."""
    shape = (in_channels, size, size)
    events = _spread(rate, in_channels * size * size, steps)
    given = {"kernel": (kernel, kernel), "stride": (1, 1), **more}
    weights = in_channels * out * kernel * kernel
    return layer(
        name, events, weights * size * size, operation="conv", in_shape=shape,
        out_shape=(out, size, size), weights=weights, **given,
    )  # fmt: skip


def _product(
    name: str, heads: int, rows: int, inner: int, columns: int, rate: float, steps: int
) -> Synapses:
    """An attention product whose two operands have the same rate."""
    second = heads * inner * columns
    return layer(
        name, _spread(rate, heads * rows * inner, steps), heads * rows * inner * columns,
        operation="attention", in_shape=(heads, rows, inner), out_shape=(heads, rows, columns),
        second_size=second, second_events=_spread(rate, second, steps),
    )  # fmt: skip


def _mixers(channels: int, size: int, rate: float, steps: int) -> list[Synapses]:
    """Synaptic work of a WaveMixer: two Hadamard products and two mixes of channels in 8 groups for
    the 7 high bands of both levels, one Hadamard product for the low band. A level has 1/8 of the
    values of the one before, in time, height and width."""
    values = channels * size * size
    dense = round(values * (7 / 8 + 7 / 64) * (2 + 2 * channels / 8) + values / 64)
    return [
        layer("swm", _spread(rate, values, steps), dense, in_shape=(values,), out_shape=(values,))
    ]


def spikinghash(
    stem: int,
    widths: tuple[int, ...],
    size: int,
    early_pools: bool,
    channels: int,
    rate: float,
    steps: int,
) -> Counts:
    """The Spikinghash of Table I at one firing rate everywhere.

    Stem: 3×3 convolution. Each of four stages: 3×3 convolution, then pooling by 2 (in stages 1 and
    2 only with `early_pools`); WaveMixer in stages 1 and 2, attention of 16 heads with four 1×1
    convolutions in 3 and 4; MLP of ratio 4.
    """  # fmt: skip
    layers = [
        _conv("stem", channels, stem, size, 3, 1.0, steps, kind=Kind.ANALOG, direct=True)
    ]  # fmt: skip
    before = stem
    for stage, width in enumerate(widths):
        layers.append(_conv(f"down{stage}", before, width, size, 3, rate, steps))
        size = size if stage < 2 and not early_pools else (size + 1) // 2
        if stage < 2:
            layers += _mixers(width, size, rate, steps)
        else:
            layers += [
                _conv(f"{name}{stage}", width, width, size, 1, rate, steps)
                for name in ("q", "k", "v", "proj")
            ]
            tokens, each = size * size, width // 16
            layers.append(_product(f"qk{stage}", 16, tokens, each, tokens, rate, steps))
            layers.append(_product(f"qkv{stage}", 16, tokens, tokens, each, rate, steps))
        layers.append(_conv(f"fc1{stage}", width, 4 * width, size, 1, rate, steps))
        layers.append(_conv(f"fc2{stage}", 4 * width, width, size, 1, rate, steps))
        before = width
    return counts(tuple(layers))


VARIANTS = {
    "S, CIFAR-10": ((48, (96, 192, 192, 384), 32, False, 3), 4, 1.37, 0.56, 0.113),
    "M, CIFAR-10": ((48, (96, 192, 384, 384), 32, False, 3), 4, 2.24, 0.66, 0.081),
    "L, UCF101-DVS": ((64, (128, 256, 384, 512), 176, True, 2), 8, 10.7, 10.12, 0.130),
    "XL, UCF101-DVS": ((64, (128, 256, 512, 512), 176, True, 2), 8, 12.2, 12.31, 0.138),
}
"""Shape; T; GMAC per step; published mJ; mean firing rate that it implies."""


class TestSpikinghash:
    """Only the firing rates can't be checked: they are derived from the published energies. The
    M variant on UCF101-DVS (3.56 mJ) is left out: its input size isn't stated."""

    @pytest.mark.parametrize("name", VARIANTS)
    def test_the_widths_of_table_1_give_the_macs(self, name: str) -> None:
        """XL is 12.28 GMAC here; 12.22 without the mixers. Hence 0.7 %."""
        shape, steps, giga, _, _ = VARIANTS[name]
        counted = spikinghash(*shape, 0.1, steps)
        assert sum(s.dense for s in counted.synapses) / 1e9 == pytest.approx(giga, rel=7e-3)

    @pytest.mark.parametrize("name", VARIANTS)
    def test_the_published_energy_implies_a_plausible_rate(self, name: str) -> None:
        shape, steps, _, energy, rate = VARIANTS[name]
        dense = [s.dense for s in spikinghash(*shape, 0.1, steps).synapses]
        found = implied_rate(energy * 1e9, dense[0], sum(dense[1:]), steps)
        assert found == pytest.approx(rate, abs=5e-4)
        assert equation_26(dense[0], sum(dense[1:]), found, steps) == pytest.approx(energy * 1e9)

    @pytest.mark.parametrize("name", VARIANTS)
    def test_the_convention_gives_the_published_energy_at_that_rate(self, name: str) -> None:
        shape, steps, _, energy, rate = VARIANTS[name]
        done = figure("spikinghash_eq26", spikinghash(*shape, rate, steps))
        assert done.items[0].count.tolist() == [shape[0] * shape[4] * 9 * shape[2] ** 2]
        assert done.energy[0] / 1e9 == pytest.approx(energy, rel=6e-3)


def spikformer(rate: float = 0.1, steps: int = 4) -> Counts:
    """Spikformer-4-384 on CIFAR-10: convolutions 3→48→96→192→384 (the last two pool), one for
    positions, four blocks of 64 tokens and 12 heads, a head on the mean over tokens and steps."""
    first = {"kind": Kind.ANALOG, "direct": True, "static": True}
    layers = [
        _conv("patch_embed.proj_conv", 3, 48, 32, 3, 1.0, steps, **first),
        _conv("patch_embed.proj_conv1", 48, 96, 32, 3, rate, steps),
        _conv("patch_embed.proj_conv2", 96, 192, 32, 3, rate, steps),
        _conv("patch_embed.proj_conv3", 192, 384, 16, 3, rate, steps),
        _conv("patch_embed.rpe_conv", 384, 384, 8, 3, rate, steps),
    ]
    for block in range(4):
        layers += [
            _conv(f"{block}.{name}", 384, 384, 8, 1, rate, steps, bias=True)
            for name in ("q", "k", "v", "proj")
        ]
        layers.append(_product(f"{block}.qk", 12, 64, 32, 64, rate, steps))
        layers.append(_product(f"{block}.qkv", 12, 64, 64, 32, rate, steps))
        layers.append(_conv(f"{block}.fc1", 384, 1536, 8, 1, rate, steps, bias=True))
        layers.append(_conv(f"{block}.fc2", 1536, 384, 8, 1, rate, steps, bias=True))
    head = layer(
        "head", np.array([[384]]), 3840, kind=Kind.ANALOG, bias=True, in_shape=(384,),
        out_shape=(10,),
    )  # fmt: skip
    return counts((*layers, head))


class TestSpikformer:
    def test_the_formula_has_1_327_104_macs(self) -> None:
        done = figure("spikformer", spikformer())
        macs = [item for item in done.items if item.op == "mac"]
        assert [(item.layer, item.count.tolist()) for item in macs] == [
            ("patch_embed.proj_conv", [48 * 27 * 32**2])
        ]
        assert 48 * 27 * 32**2 == 1_327_104
        # The head is an AC by the formula: R = 1 of what it sees.
        head = done.items[-1]
        assert (head.op, head.count.tolist()) == ("ac", [3840])

    def test_its_calculator_has_5_312_266_macs(self) -> None:
        """A log of a user shows 5,312,266: 4 steps of the first layer, and the head with bias."""
        done = calculator(spikformer())
        assert done.mac.tolist() == [4 * 48 * 27 * 32**2 + 384 * 10 + 10] == [5_312_266]

    def test_its_term_of_attention(self) -> None:
        """Four blocks of T·heads·N·d²·(min(r_K, r_V) + r_Q) = 4·12·64·32²·0.2."""
        done = calculator(spikformer(0.125))
        assert done.attention is not None
        assert done.attention[0] == pytest.approx(4 * 4 * 12 * 64 * 32**2 * 0.25, rel=1e-3)

    def test_the_formula_prices_the_order_that_the_code_computes(self) -> None:
        """(Q·Kᵀ)·V is 2·heads·N²·d against 2·heads·N·d²: twice as much at N = 64 and d = 32."""
        done = figure("spikformer", spikformer(0.125))
        products = [item for item in done.items if ".qk" in item.layer]
        total = sum(float(item.count[0]) for item in products)
        assert total == pytest.approx(4 * 4 * 2 * 12 * 64**2 * 32 * 0.125, rel=1e-3)

    def test_parameters(self) -> None:
        """SpikingJelly's own has 9,310,906: no biases in the blocks. With them, as in the published
        code (four linear layers of 384 and an MLP of 1536 and 384), it is the 9.32 M of papers."""
        models = pytest.importorskip("spikingjelly.activation_based.model.spikformer")
        found = sum(p.numel() for p in models.spikformer_cifar10().parameters())
        assert found == 9_310_906
        assert round((found + 4 * (4 * 384 + 1536 + 384)) / 1e6, 2) == 9.32

    def test_weights_of_the_hand_made_network(self) -> None:
        """The shapes above are those of the network of 9,310,906 parameters: what is missing are
        batch norms, two parameters a channel, and the bias of the head."""
        weights = sum(s.weights for s in spikformer().synapses)
        norms = 2 * (48 + 96 + 192 + 384 + 384 + 4 * (4 * 384 + 1536 + 384))
        assert weights + norms + 10 == 9_310_906
