"""Measured activity beside the published break-even points."""

from __future__ import annotations

import pytest

from snnc.energy.conventions import Settings
from snnc.energy.counts import Cause, Counts, Op
from snnc.energy.prices import load_prices
from snnc.energy.verdicts import Threshold, Verdicts, verdicts
from snnc.ir import Kind
from tests.energy.made import FP32, counts, figure, layer, line, population


def network(events: int, steps: int = 8, size: int = 20) -> Counts:
    """10 inputs to 10 outputs, hence 10 ACs per event; 10 events are one spike per synapse. As many
    spikes leave as enter."""
    per_step = [[events // steps + (step < events % steps) for step in range(steps)]]
    return counts(
        (layer("fc", per_step, 100, in_shape=(10,), out_shape=(10,)),), (),
        (population("lif", size, per_step), population("read", 7, [[0] * steps], fires=False)),
    )  # fmt: skip


def judged(counted: Counts, table: str = "45nm-fp32") -> Verdicts:
    prices = load_prices(table)
    return verdicts(counted, [figure(n, counted, prices) for n in ("effective", "lemaire2022")])


def sides(done: Verdicts) -> list[str]:
    return [threshold.side for threshold in done.thresholds]


def test_spikes_per_synapse_are_effective_operations_by_taps() -> None:
    """fc: 12 of 10 taps; conv: 30 of 20; the analog layer and attention have no say: 42/30."""
    counted = counts(
        (
            layer("first", [[4]], 12, kind=Kind.ANALOG, products=[[12]]),
            layer("fc", [[4]], 12, taps=10, products=[[12]]),
            layer("conv", [[2]], 24, taps=20, kind=Kind.GRADED, value=[[5]], products=[[12]],
                  operations=[[30]]),
            layer("qk", [[3]], 32, operation="attention", products=[[9]]),
        ),
    )  # fmt: skip
    done = verdicts(counted, [])
    assert [one.spikes_per_synapse for one in done.layers] == [None, 1.2, 1.5, None]
    assert done.spikes_per_synapse == pytest.approx(42 / 30)
    assert (done.weighted.dense, done.weighted.taps, done.weighted.effective) == (36, 30, 42)
    assert done.weighted.kind == "mixed"
    assert (done.total.dense, done.total.taps, done.total.effective) == (80, 74, 63)
    # R·T·FLOPs: 12·4/4 (analog), 12·4/4, 24·5/4, and 32·3/4 for attention with a full operand.
    assert [one.rate_formula for one in done.layers] == [12, 12, 30, 24]
    assert done.signs == ()
    assert done.by_operations is None


def test_the_settings_reach_the_effective_operations() -> None:
    counted = counts((layer("fc", [[4]], 12, products=[[12]], operations_nonzero=[[6]]),))
    assert verdicts(counted, []).spikes_per_synapse == 1
    assert verdicts(counted, [], Settings(zero_weights=False)).spikes_per_synapse == 0.5


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (1, ["below", "below", "below", "below"]),
        (10, ["below", "below", "inside the contested band", "below"]),
        (15, ["below", "below", "above", "above"]),
        (20, ["below", "above", "above", "above"]),
        (60, ["above", "above", "above", "above"]),
    ],
)
def test_the_break_even_points(events: int, expected: list[str]) -> None:
    """`events` / 10 spikes per synapse against 5.11, 1.72 and 0.15 to 1.38; the rate is `events` /
    160 per neuron and step against 6.4 %."""
    done = judged(network(events))
    assert done.spikes_per_synapse == pytest.approx(events / 10)
    assert done.rate == pytest.approx(events / 160)
    assert sides(done) == [*expected, "not applicable"]
    bounds = [(one.low, one.high) for one in done.thresholds]
    assert bounds[0] == pytest.approx((5.11, 5.11), abs=0.002)
    assert bounds[1:] == [(1.72, 1.72), (0.15, 1.38), (0.064, 0.064), (0.057, 0.057)]


def test_the_two_rates_of_yan_differ() -> None:
    """3 events: 6 % of 10 neurons in 5 steps."""
    assert sides(judged(network(3, steps=5, size=10)))[3:] == ["below", "above"]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (4, ["not applicable", "not applicable"]),
        (8, ["above", "not applicable"]),
        (11, ["not applicable", "not applicable"]),
    ],
)
def test_a_point_for_some_t_holds_for_no_other(steps: int, expected: list[str]) -> None:
    done = judged(network(2 * steps, steps))
    assert sides(done)[3:] == expected
    reasons = [one.reason for one in done.thresholds[3:] if one.side == "not applicable"]
    assert all(reason == f"T = {steps}" for reason in reasons)


def test_every_point_names_its_source() -> None:
    sources = [one.source for one in judged(network(10)).thresholds]
    for source, name in zip(
        sources, ("45nm-fp32", "Davidson", "Dampfhoffer", "Yan", "Yan"), strict=True
    ):
        assert name in source


def test_without_spiking_layers_or_neurons_nothing_applies() -> None:
    counted = counts((layer("fc", [[4]], 12, kind=Kind.ANALOG),))
    done = judged(counted)
    assert done.spikes_per_synapse is None
    assert done.rate is None
    assert [(one.side, one.reason) for one in done.thresholds] == [
        ("not applicable", reason)
        for reason in (
            "no layer sees spikes", "no layer sees spikes", "no layer sees spikes",
            "no neuron fires", "no neuron fires",
        )
    ]  # fmt: skip


def test_a_table_without_macs_has_no_point_of_its_own() -> None:
    point: Threshold = judged(network(10), "loihi").thresholds[0]
    assert (point.side, point.low, point.high) == ("not applicable", None, None)
    assert "no MAC" in point.reason


def test_memory_can_turn_the_verdict() -> None:
    """One spike per synapse of 10 inputs and 10,000 outputs: 10^5 ACs against 10^5 MACs is a win by
    operations; with memory, every AC reads and writes a potential in 40 kB besides, some 10 pJ
    each, where the MAC saves 3.7 pJ."""
    size = 10_000
    fc = layer("fc", [[10]], 10 * size, in_shape=(10,), out_shape=(size,))
    done = judged(counts((fc,), (), (population("lif", size, [[10]]),)))
    operations, memory = done.by_operations, done.with_memory
    assert operations is not None
    assert memory is not None
    assert (operations.winner, memory.winner) == ("SNN", "ANN")
    # 100,000 MACs and 10,000 comparisons of ReLU against 100,000 ACs.
    assert operations.ratio == pytest.approx((460_000 + 9_000) / 90_000)
    assert memory.ratio < 1
    assert operations.complete


def test_equal_energies_have_no_winner_and_silence_wins() -> None:
    neuron = line("lif", Cause.NEURON, "neuron update", {Op.COMPARE: 5})
    counted = counts((layer("fc", [[0]], 12),), (neuron,), (population("lif", 5, [[0]]),))
    done = figure("effective", counted)
    silent = figure("spikinghash_eq26", counts((layer("a", [[0]], 1), layer("fc", [[0]], 12))))
    signs = verdicts(counted, [done, silent]).signs
    assert [sign.winner for sign in signs] == ["SNN", "SNN"]
    bare = counts((layer("fc", [[0]], 0, taps=0),), (neuron,), (population("lif", 5, [[0]]),))
    even = verdicts(bare, [figure("effective", bare)])
    assert even.signs[0].winner == "equal"
    assert even.spikes_per_synapse is None
    assert even.signs[0].ratio == 1


def test_figures_without_an_ann_have_no_sign() -> None:
    counted = network(10)
    done = verdicts(counted, [figure("neurobench", counted, FP32)])
    assert done.signs == ()
