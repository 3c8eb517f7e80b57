"""Wavelets against transforms written with slices, slowed neurons against decimated runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnc.clocks import Builder, Tap, clock, gate, mix, slowed
from snnc.compiler import Options, compile_model
from snnc.errors import GraphError, OptionError, RefusedError, SnncError
from snnc.frontends.model import Example, Model
from snnc.ir import Delay, Gather, Input, Kind, Neuron, Output, Rate
from snnc.reference import run_float
from snnc.verify import verify
from snnc.wavelets import (
    Bands,
    Pyramid,
    add_bias,
    haar,
    inverse_haar,
    neurons,
    pick,
    slot_weights,
)

A = NDArray[Any]
AXIS = {"h": -2, "w": -1, "t": 1}
SHAPES = {"h": (2, 8, 4), "w": (3, 8), "hw": (2, 8, 4), "wh": (2, 4, 8), "t": (3,)}
SHAPES |= {"wt": (2, 8), "tw": (2, 4), "hwt": (2, 4, 8), "thw": (1, 8, 4), "htw": (1, 4, 4)}

quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32)


# ---- the transforms, written once more


def halves(x: A, axis: int) -> tuple[A, A]:
    """(a + b, a − b) of the pairs (a, b) along an axis; an element left over is dropped."""
    x = np.moveaxis(x, axis, 0)
    first, second = x[0 : len(x) // 2 * 2 : 2], x[1::2]
    return np.moveaxis(first + second, 0, axis), np.moveaxis(first - second, 0, axis)


def one_level(x: A, axes: str, fire: Any = None) -> dict[str, A]:
    """Coefficients by band, in time without the silence; `fire` is applied after every axis but
    the last."""
    bands = {"": x}
    for place, axis in enumerate(axes):
        pairs = {name: halves(value, AXIS[axis]) for name, value in bands.items()}
        bands = {name + letter: pair[i] for name, pair in pairs.items()
                 for i, letter in enumerate("LH")}  # fmt: skip
        if fire is not None and place < len(axes) - 1:
            bands = {name: fire(value) for name, value in bands.items()}
    return bands


def lif(neuron: Neuron, x: A) -> A:
    """A hard-reset LIF on (sample, step, …)."""
    v, out = np.full(x[:, 0].shape, float(neuron.v_init)), []
    for t in range(x.shape[1]):
        v = neuron.a_v * v + neuron.g * x[:, t]
        s = v >= neuron.theta if neuron.compare == ">=" else v > neuron.theta
        v = np.where(s, neuron.v_reset, v)
        out.append(s)
    return np.array(out, float).reshape(x.shape[1], *x[:, 0].shape).swapaxes(0, 1)


def spread(x: A, period: int, steps: int) -> A:
    """Values at the ends of groups of `period` steps, silence between."""
    out = np.zeros((len(x), steps, *x.shape[2:]))
    out[:, period - 1 :: period] = x
    return out


def stacked(bands: dict[str, A], names: tuple[str, ...]) -> A:
    """Bands behind each other along the channels, channel c·bands + band."""
    values = np.stack([bands[name] for name in names], axis=3)
    return values.reshape(*values.shape[:2], -1, *values.shape[4:])


def run(net: Builder, x: A, *names: str) -> list[A]:
    """(sample, step, …) of some nodes."""
    nodes = {name: net.add(f"{name}.read", Output(), name) for name in names}
    return [run_float(net.graph(), {"input": x}).outputs[node] for node in nodes.values()]


def started(shape: tuple[int, ...], kind: Kind = Kind.SPIKE) -> Builder:
    net = Builder()
    net.add("input", Input(shape, kind))
    return net


def spikes(rng: np.random.Generator, steps: int, shape: tuple[int, ...]) -> A:
    return (rng.random((2, steps, *shape)) < 0.5).astype(float)


# ---- transforms


@quick
@given(seeds, st.sampled_from(["h", "w", "hw", "wh"]), st.integers(1, 2), st.booleans())
def test_space(seed: int, axes: str, levels: int, orthonormal: bool) -> None:
    rng = np.random.default_rng(seed)
    net = started(SHAPES[axes], Kind.ANALOG)
    x = rng.normal(size=(2, 3, *SHAPES[axes]))
    pyramid = haar(net, "dwt", "input", axes, levels, orthonormal=orthonormal)
    back = inverse_haar(net, "idwt", pyramid)
    *high, low, again = run(net, x, *(b.node for b in (*pyramid.high, pyramid.low, back)))
    rest = x
    for level, found in enumerate(high):
        bands = one_level(rest, axes)
        gain = 2 ** (-(level + 1) * len(axes) / 2) if orthonormal else 1
        wanted = stacked(bands, pyramid.high[level].names) * gain
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
        rest = bands["L" * len(axes)]
    np.testing.assert_allclose(low, rest * gain, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again, x, rtol=0, atol=1e-13)
    assert (back.lag, back.period) == (0, 1)


@quick
@given(seeds, st.sampled_from(["hw", "w"]), st.integers(1, 2))
def test_space_there_and_back_is_exact(seed: int, axes: str, levels: int) -> None:
    """With values that leave room for the sums, the reconstruction is bit by bit."""
    net = started(SHAPES[axes], Kind.ANALOG)
    x = np.random.default_rng(seed).integers(-(2**40), 2**40, (1, 2, *SHAPES[axes])) / 2**20
    back = inverse_haar(net, "idwt", haar(net, "dwt", "input", axes, levels))
    np.testing.assert_array_equal(run(net, x, back.node)[0], x)


@quick
@given(
    seeds,
    st.sampled_from(["t", "wt", "tw", "hwt", "thw", "htw"]),
    st.integers(1, 2),
    st.booleans(),
    st.integers(0, 3),
)
def test_time(seed: int, axes: str, levels: int, orthonormal: bool, more: int) -> None:
    """Coefficients at the last step of each pair, silence between, and a lag of 2^levels − 1."""
    rng, steps = np.random.default_rng(seed), 8 + more
    net = started(SHAPES[axes])
    x = spikes(rng, steps, SHAPES[axes])
    pyramid = haar(net, "dwt", "input", axes, levels, orthonormal=orthonormal)
    back = inverse_haar(net, "idwt", pyramid)
    *high, low, again = run(net, x, *(b.node for b in (*pyramid.high, pyramid.low, back)))
    rest = x
    for level, found in enumerate(high, 1):
        bands = one_level(rest, axes)
        gain = 2 ** (-level * len(axes) / 2) if orthonormal else 1
        wanted = stacked(bands, pyramid.high[level - 1].names) * gain
        np.testing.assert_allclose(found, spread(wanted, 2**level, steps), rtol=1e-12)
        rest = bands["L" * len(axes)]
    np.testing.assert_allclose(low, spread(rest * gain, 2**levels, steps), rtol=1e-12)
    assert (back.lag, back.period) == (2**levels - 1, 1)
    whole = steps // 2**levels * 2**levels
    got = again[:, back.lag : back.lag + whole]
    np.testing.assert_allclose(got, x[:, : got.shape[1]], rtol=0, atol=1e-13)
    assert not np.any(again[:, : back.lag])


@quick
@given(seeds, st.integers(-4, 0), st.integers(1, 5))
def test_time_over_integers_of_a_known_range(seed: int, low: int, high: int) -> None:
    rng = np.random.default_rng(seed)
    net = started((2, 4), Kind.GRADED)
    x = rng.integers(low, high + 1, (2, 7, 2, 4)).astype(float)
    pyramid = haar(net, "dwt", "input", "tw", levels=2, values=(low, high))
    fine, coarse = run(net, x, pyramid.high[0].node, pyramid.high[1].node)
    bands = one_level(x, "tw")
    np.testing.assert_array_equal(fine, spread(stacked(bands, pyramid.high[0].names), 2, 7))
    bands = one_level(bands["LL"], "tw")
    np.testing.assert_array_equal(coarse, spread(stacked(bands, pyramid.high[1].names), 4, 7))
    for name in (item.node for item in pyramid.high):
        assert net.signal(name).kind is Kind.GRADED


@quick
@given(seeds, st.sampled_from(["hwt", "thw", "hw"]))
def test_neurons_between_the_axes(seed: int, axes: str) -> None:
    """Two levels with a LIF after every axis and one on the low band, as Spikinghash has them."""
    rng, steps = np.random.default_rng(seed), 16
    between, coarse = (
        Neuron(np.asarray(rng.uniform(0.2, 0.9)), np.asarray(0.35)) for _ in range(2)
    )
    net = started((2, 4, 4))
    x = spikes(rng, steps, (2, 4, 4))
    pyramid = haar(net, "swm", "input", axes, 2, orthonormal=True, between=between, low=coarse)
    fine, low = run(net, x, pyramid.high[0].node, pyramid.low.node)
    last = 2 ** (-len(axes[-1:]) / 2)  # neurons before the last axis take their factor along
    root = 2**-0.5

    def fire(coefficients: A) -> A:
        return lif(between, coefficients * root)

    bands = one_level(x, axes, fire)
    period = 2 if "t" in axes else 1
    wanted = stacked(bands, pyramid.high[0].names) * last
    np.testing.assert_allclose(fine, spread(wanted, period, steps), rtol=1e-12)
    again = one_level(lif(coarse, bands["L" * len(axes)] * last), axes, fire)
    wanted = again["L" * len(axes)] * last
    np.testing.assert_allclose(low, spread(wanted, period**2, steps), rtol=1e-12)


@quick
@given(seeds)
def test_neurons_on_the_way_back(seed: int) -> None:
    """Time, then width, then height, with a LIF after each but the last and on the low band."""
    rng, steps = np.random.default_rng(seed), 16
    neuron = Neuron(np.asarray(rng.uniform(0.2, 0.9)), np.asarray(0.35))
    net = started((1, 4, 4))
    x = spikes(rng, steps, (1, 4, 4))
    pyramid = haar(net, "dwt", "input", "hwt", 2)
    back = inverse_haar(net, "idwt", pyramid, between=neuron, low=neuron)
    (found,) = run(net, x, back.node)
    fine = one_level(x, "hwt")
    coarse = one_level(fine["LLL"], "hwt")
    undone = undo(undo(coarse, "hwt", neuron), "", neuron)
    fine["LLL"] = lif(neuron, undone[""])
    wanted = undo(fine, "hwt", neuron)[""]
    assert back.lag == 3
    np.testing.assert_allclose(found[:, 3:], wanted[:, : steps - 3], rtol=0, atol=1e-13)


def undo(bands: dict[str, A], axes: str, neuron: Neuron) -> dict[str, A]:
    """One level of the inverse, neurons after every axis but the last one undone."""
    for place in reversed(range(len(axes))):
        axis = AXIS[axes[place]]
        joined = {}
        for name in {name[:-1] for name in bands}:
            low, high = bands[name + "L"], bands[name + "H"]
            pair = np.stack([(low + high) / 2, (low - high) / 2], axis % low.ndim + 1)
            shape = list(low.shape)
            shape[axis] *= 2
            joined[name] = pair.reshape(shape)
        bands = {key: lif(neuron, value) if place else value for key, value in joined.items()}
    return bands


def test_bands_that_lag_differently_wait_for_each_other() -> None:
    rng, steps = np.random.default_rng(4), 12
    net = started((3,))
    x = spikes(rng, steps, (3,))
    pyramid = haar(net, "dwt", "input", "t", 2)
    late = net.add("late", Delay(4), pyramid.high[0].node)
    fine = replace(pyramid.high[0], node=late, lag=4)
    back = inverse_haar(net, "idwt", replace(pyramid, high=(fine, pyramid.high[1])))
    assert back.lag == 5
    np.testing.assert_array_equal(run(net, x, back.node)[0][:, 5:], x[:, :-5])


def test_a_late_signal_is_transformed_in_its_own_time() -> None:
    """Pairs, biases and slots are those of the samples, however late these come."""
    rng, steps = np.random.default_rng(5), 14
    net = started((3,))
    x = spikes(rng, steps, (3,))
    back = inverse_haar(net, "idwt", haar(net, "dwt", "input", "t", 2))
    same = neurons(net, "same", back, Neuron(np.asarray(0.0), np.asarray(0.5)))
    pyramid = haar(net, "again", same, "t")
    biased = add_bias(net, "biased", pyramid.high[0], np.arange(3.0))
    weights = rng.normal(size=(4, 3))
    slots = slot_weights(net, "slots", same, weights)
    found, high, weighted = run(net, x, biased.node, pyramid.high[0].node, slots.node)
    wanted = spread(one_level(x, "t")["H"], 2, steps)[:, :-3]
    np.testing.assert_array_equal(high[:, 3:], wanted)
    offset = spread(np.broadcast_to(np.arange(3.0), (1, 7, 3)), 2, steps)[:, :-3]
    np.testing.assert_array_equal(found[:, 3:], wanted + offset)
    assert not np.any(found[:, :3])
    tiled = np.concatenate([weights] * 4)[: steps - 3]
    np.testing.assert_allclose(weighted[:, 3:], x[:, :-3] * tiled, rtol=1e-12)


def test_bands_of_another_transform_are_channels() -> None:
    rng = np.random.default_rng(6)
    net = started((2, 8))
    x = spikes(rng, 4, (2, 8))
    first = haar(net, "first", "input", "w").high[0]
    second = haar(net, "second", first, "t").high[0]
    assert second.names == ("H",)
    assert second.ranges == ((-2, 2),)
    wanted = one_level(one_level(x, "w")["H"], "t")["H"]
    np.testing.assert_array_equal(run(net, x, second.node)[0], spread(wanted, 2, 4))


# ---- clocks, gates and channel mixes


@quick
@given(st.integers(1, 40), st.data())
def test_clocks_fire_at_their_phases(period: int, data: st.DataObject) -> None:
    phases = data.draw(st.lists(st.integers(0, period - 1), unique=True, max_size=4))
    net = started((3, 2))
    (found,) = run(net, np.ones((1, 90, 3, 2)), clock(net, "input", period, phases))
    wanted = np.arange(90)[:, None] % period == np.array(phases or [period - 1])
    np.testing.assert_array_equal(found[0], wanted)


def test_clocks_are_shared() -> None:
    net = started((2,))
    first = clock(net, "input", 4)
    size = len(net.nodes)
    assert clock(Builder(net.nodes, net.edges), "input", 4) == first
    assert len(net.nodes) == size
    assert clock(net, "input", 4, (1,)) != first


@pytest.mark.parametrize("chip", ["loihi1", "loihi2"])
@pytest.mark.parametrize("period", [2, 3, 10, 100])
def test_clocks_stay_right_in_integers(period: int, chip: str) -> None:
    net = started((2,))
    net.add("output", Output(), clock(net, "input", period, tuple({0, period // 3, period - 1})))
    steps = 3 * period
    example = Example({"input": np.zeros((1, steps, 2))}, {}, {})
    artefact = compile_model(Model(net.graph(steps), example), Options("loihi", chip))
    report = verify(artefact, stages=["s1", "s2", "sim", "loihi"])
    assert report.ok
    assert [pair.differing for pair in report.pairs] == [0, 0, 0]


@quick
@given(seeds, st.integers(1, 3))
def test_gates_let_integers_through_at_their_ticks(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    ranges = [(-2, 3), (0, 1), (-1, 0)]
    net = started((channels * 3, 2), Kind.GRADED)
    low, high = np.tile(ranges, (channels, 1)).T
    x = rng.integers(low[:, None], high[:, None] + 1, (1, 12, channels * 3, 2)).astype(float)
    beat = clock(net, "input", 3, (0, 2))
    name, signs = gate(net, "gate", "input", ranges, [Tap(1, 0), Tap(0, 1)], beat)
    fired = run(net, x, name)[0].reshape(1, 12, channels, -1, 2)
    for tap, (delay, phase) in enumerate([(1, 0), (0, 2)]):
        found = np.einsum("ig,ntcgp->ntcip", signs[tap], fired).reshape(x.shape)
        shifted = np.concatenate([np.zeros_like(x[:, :delay]), x[:, : 12 - delay]], axis=1)
        at = (np.arange(12) % 3 == phase)[None, :, None, None]
        np.testing.assert_array_equal(found, shifted * at)


@quick
@given(seeds, st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
def test_mix(seed: int, axes: int, out: int, fan_in: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-1, 2, (out, fan_in))
    matrix[0, 0] = 1
    shape = (2 * fan_in, *(3, 2, 2)[:axes])
    net = started(shape, Kind.ANALOG)
    x = rng.normal(size=(2, 1, *shape))
    (found,) = run(net, x, net.add("mix", mix(matrix, shape), "input"))
    split = x.reshape(2, 1, 2, fan_in, *shape[1:])
    wanted = np.einsum("oi,ntci...->ntco...", matrix, split).reshape(2, 1, 2 * out, *shape[1:])
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


# ---- neurons at a lower rate


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.integers(1, 5),
    st.sampled_from([">", ">="]),
    st.sampled_from(["now", "before"]),
)
def test_a_slowed_neuron_does_the_same_on_slow_inputs(
    seed: int, period: int, compare: Any, reset_at: Any
) -> None:
    """Against the neuron on the values alone: no spike differs, none comes between."""
    rng = np.random.default_rng(seed)
    fast = Neuron(
        a_v=rng.choice([0.0, 1.0, rng.random(), rng.random()], 4),
        theta=rng.uniform(0.1, 1.5, 4),
        g=rng.uniform(-1.5, 1.5, 4),
        v_reset=rng.uniform(-1, 0.1, 4),
        v_init=rng.uniform(-1, 0.1, 4),
        compare=compare,
        reset_at=reset_at,
    )
    x = rng.normal(0.3, 1, (3, 30, 4))
    wanted = layer(fast, x)
    found = layer(slowed(fast, period), spread(x, period, 30 * period))
    np.testing.assert_array_equal(found, spread(wanted, period, 30 * period))


def layer(neuron: Neuron, x: A) -> A:
    net = started(x.shape[2:], Kind.ANALOG)
    return run(net, x, net.add("neuron", neuron, "input"))[0]


@pytest.mark.parametrize("reset", ["none", "soft"])
def test_without_memory_any_immediate_reset_can_be_slowed(reset: Any) -> None:
    neuron = Neuron(np.asarray(0.0), np.asarray(0.5), reset=reset)
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    found = layer(slowed(neuron, 3), spread(x, 3, 27))
    np.testing.assert_array_equal(found, spread(layer(neuron, x), 3, 27))


REFUSED: dict[str, dict[str, Any]] = {
    "bias": {"b": np.asarray([0.0, 0.1])},
    "current": {"a_u": np.asarray(0.5)},
    "late current": {"order": "vu"},
    "growing": {"a_v": np.asarray(1.1)},
    "alternating": {"a_v": np.asarray(-0.5)},
    "swallowing": {"reset_at": "after"},
    "soft": {"reset": "soft"},
    "soft, later": {"reset": "soft", "reset_at": "after"},
    "guarded, no memory": {"reset": "soft", "reset_at": "guarded", "a_v": np.asarray(0.0)},
    "no reset": {"reset": "none"},
    "integrator": {"reset": "none", "compare": "never"},
    "threshold of 0": {"theta": np.asarray(0.0), "compare": ">="},
    "high reset": {"v_reset": np.asarray(1.5)},
    "high start": {"v_init": np.asarray(1.0), "compare": ">="},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_has_no_slow_version_is_refused(changes: dict[str, Any]) -> None:
    neuron = replace(Neuron(np.asarray(0.5), np.asarray(1.0)), **changes)
    with pytest.raises(RefusedError, match=r"lif: can't run at 1/2 of the rate") as caught:
        slowed(neuron, 2, "lif")
    assert caught.value.fix
    assert slowed(neuron, 1) is neuron


@pytest.mark.parametrize("name", ["bias", "growing", "swallowing", "soft", "no reset",
                                  "integrator", "threshold of 0", "high reset"])  # fmt: skip
def test_what_is_refused_would_be_wrong(name: str) -> None:
    """The same neuron with the root of its leak does differ: no refusal is for nothing."""
    changes = {**REFUSED[name]}
    neuron = replace(Neuron(np.asarray(0.9), np.asarray(1.0)), **changes)
    slow = replace(neuron, a_v=np.sqrt(neuron.a_v))
    x = np.random.default_rng(1).normal(0.2, 1.5, (4, 60, 2))
    x[:, 0, 0] = 5
    wanted = spread(layer(neuron, x), 2, 120)
    assert np.any(layer(slow, spread(x, 2, 120)) != wanted)


@quick
@given(seeds)
def test_slot_weights(seed: int) -> None:
    rng, steps = np.random.default_rng(seed), 12
    net = started((2, 4))
    x = spikes(rng, steps, (2, 4))
    bands = haar(net, "dwt", "input", "wt").high[0]
    weights = rng.normal(size=(3, 6, 2))
    weighted = slot_weights(net, "slots", bands, weights)
    biased = add_bias(net, "biased", weighted, rng.normal(size=(6, 2)))
    before, after, offset = run(net, x, bands.node, weighted.node, biased.node)
    slow = before[:, 1::2] * np.concatenate([weights, weights])
    np.testing.assert_allclose(after, spread(slow, 2, steps), rtol=1e-12, atol=1e-12)
    assert not np.any(offset[:, ::2])


# ---- mistakes


def analog() -> Builder:
    return started((2, 6, 6), Kind.ANALOG)


def test_real_values_are_refused_in_time() -> None:
    with pytest.raises(RefusedError, match="no neuron multiplies") as caught:
        haar(analog(), "dwt", "input", "t")
    assert "spiking neuron" in caught.value.fix
    with pytest.raises(RefusedError):
        slot_weights(analog(), "slots", Bands("input", ("",)), np.ones((2, 2, 6, 6)))
    with pytest.raises(RefusedError, match="unknown range"):
        haar(started((2, 6, 6), Kind.GRADED), "dwt", "input", "t")


MISTAKES: list[tuple[type[SnncError], str, Any]] = [
    (OptionError, "axes 'hx'", lambda net: haar(net, "dwt", "input", "hx")),
    (OptionError, "axes 'hh'", lambda net: haar(net, "dwt", "input", "hh")),
    (OptionError, "axes ''", lambda net: haar(net, "dwt", "input", "")),
    (OptionError, "0 levels", lambda net: haar(net, "dwt", "input", "h", 0)),
    (OptionError, "a range of", lambda net: haar(net, "dwt", "input", "t", values=(1, 2))),
    (OptionError, "no band 'X'", lambda net: pick(net, "p", Bands("input", ("L",)), ["X"])),
    (OptionError, "period 0", lambda net: clock(net, "input", 0)),
    (OptionError, "phases", lambda net: clock(net, "input", 2, (2,))),
    (OptionError, "a period of 0", lambda net: slowed(Neuron(0.5, 1.0), 0)),  # type: ignore[arg-type]
    (GraphError, "odd extent 3", lambda net: haar(net, "dwt", "input", "hw", 2)),
    (GraphError, "no node of this name", lambda net: haar(net, "dwt", "missing")),
    (GraphError, "does not exist", lambda net: net.add("x", Delay(1), "missing")),
    (GraphError, "already", lambda net: net.add("input", Delay(1), "input")),
    (GraphError, "weights of shape", lambda net: slot_weights(
        net, "s", Bands("input", ("",)), np.ones((2, 3)))),
    (GraphError, "bias has shape", lambda net: add_bias(
        net, "b", Bands("input", ("",)), np.ones(3))),
    (GraphError, "one has|has a value in", lambda net: inverse_haar(net, "i", Pyramid(
        Bands("input", ("L",), period=2), (Bands("input", ("H",)),), "w", False))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "mistake"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistakes(kind: type[SnncError], words: str, mistake: Any) -> None:
    with pytest.raises(kind, match=words):
        mistake(started((2, 6, 6)))


@pytest.mark.parametrize("shape", [(4,), (2, 2, 4, 4)])
def test_a_signal_without_the_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="has no axes 'hw'"):
        haar(started(shape), "dwt", "input")


def test_a_range_for_real_values() -> None:
    with pytest.raises(GraphError, match="real values"):
        haar(analog(), "dwt", "input", "t", values=(0, 3))


def test_a_taken_clock_name() -> None:
    net = started((2,))
    net.add("clock2", Delay(1), "input")
    with pytest.raises(GraphError, match="clock2"):
        clock(net, "input", 2)


def test_a_network_goes_on_from_a_graph() -> None:
    net = started((2, 4))
    net.add("output", Output(), "input")
    graph = net.graph(steps=4)
    more = Builder.of(graph)
    more.add("picked", Gather(np.arange(2)), "input")
    assert "picked" not in graph.nodes
    assert more.signal("picked").shape == (2,)
    assert more.signal("input").rate is Rate.STEP


def test_the_example_in_the_documentation_runs() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "wavelets.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert blocks
    assert names["report"].ok
