"""The three ways of a Linear layer, and the costs that choose among them."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from snnc.ir import Linear
from snnc.targets.sim import synapse
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.synapse import Cost, Dense, float_type

RNG = np.random.default_rng(0)
WEIGHT = RNG.integers(-128, 128, (256, 784))


def tile(kind: str) -> np.ndarray:
    """(step, sample, axon) spikes of 64 steps and 4 samples."""
    if kind == "uniform":
        return RNG.random((64, 4, 784)) < 0.1
    if kind == "few axons":
        return (RNG.random((64, 4, 784)) < 0.5) & (RNG.random((4, 784)) < 0.1)
    return RNG.random((64, 4, 784)) < 0.005


@pytest.mark.parametrize(
    ("kind", "way"), [("uniform", "dense"), ("few axons", "by_axon"), ("rare", "by_event")]
)
def test_activity_chooses_the_way(kind: str, way: str) -> None:
    x = tile(kind)
    layer = Dense(Linear(WEIGHT), 1)
    assert layer._choose(x)[0] == way
    np.testing.assert_array_equal(layer(x, Scratch()), x.astype(np.int64) @ WEIGHT.T)


@pytest.mark.parametrize("way", ["dense", "by_axon", "by_event"])
@pytest.mark.parametrize("kind", ["uniform", "few axons", "rare"])
@pytest.mark.parametrize("exp", [0, 2, -3])
def test_all_ways_give_the_same_sums(way: str, kind: str, exp: int) -> None:
    x = tile(kind).swapaxes(0, 1).copy().swapaxes(0, 1).view(np.uint8)
    bias = RNG.integers(-9, 9, 256)
    layer = Dense(Linear(WEIGHT, bias, exp), 1)
    with mock.patch.object(Dense, "_choose", return_value=(way, x.any(axis=0))):
        got = layer(x, Scratch())
    total = x.astype(np.int64) @ WEIGHT.T + bias
    np.testing.assert_array_equal(got, total << exp if exp >= 0 else total >> -exp)


def test_signed_bytes_are_events_too() -> None:
    x = tile("few axons").astype(np.int8) * RNG.integers(-128, 128, (64, 4, 784)).astype(np.int8)
    layer = Dense(Linear(WEIGHT), 128)
    assert layer._choose(x)[0] == "by_axon"
    np.testing.assert_array_equal(layer(x, Scratch()), x.astype(np.int64) @ WEIGHT.T)


def test_a_tile_without_any_spike() -> None:
    x = np.zeros((64, 4, 784), bool)
    layer = Dense(Linear(WEIGHT), 1)
    assert layer._choose(x)[0] != "dense"
    assert not layer(x, Scratch()).any()


def test_another_way_must_save_a_fifth() -> None:
    assert Cost(1.0, 0.9, 0.85).best == "dense"
    assert Cost(1.0, 0.7, 0.6).best == "by_event"


def test_number_formats() -> None:
    assert float_type(1 << 24) is np.float32
    assert float_type((1 << 24) + 1) is np.float64
    assert float_type(1 << 53) is np.float64
    assert float_type((1 << 53) + 1) is np.int64


def test_dense_sums_in_several_pieces() -> None:
    x = tile("uniform")
    with mock.patch.object(synapse, "PATCHES", 784 * 9):
        np.testing.assert_array_equal(
            Dense(Linear(WEIGHT), 1)(x, Scratch()), x.astype(np.int64) @ WEIGHT.T
        )
